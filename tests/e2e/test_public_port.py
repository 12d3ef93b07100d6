"""The public port of a real server: shared by its workers, apart from probes, and silent in the logs."""

import http.client
from pathlib import Path

from e2e.server import Site

TOKEN = "A" * 22
URL = "http://127.0.0.1"


def ask(address: str, method: str, path: str) -> tuple[int, dict[str, str]]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request(method, path, headers={"Accept-Language": "en"})
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_every_worker_serves_the_page_and_no_log_holds_its_address(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    site.values["server"] |= {"public_listen": "127.0.0.1:0", "public_url": URL, "workers": 2}
    site.write()
    with site.running() as server:
        public = str(server.addresses["public"])
        for number in range(20):
            status, heads = ask(public, "GET", f"/c/{number:02d}{TOKEN[2:]}")
            assert (status, heads["cache-control"]) == (404, "no-store")
        assert ask(public, "POST", f"/callbacks/nobody/{TOKEN}")[0] == 404
        assert ask(public, "GET", "/healthz")[0] == 404
        assert server.get("http", f"/c/{TOKEN}")[0] == 404
        assert server.metric("fujie_received_total", provider="other", what="refused") == 1
        assert server.stop() == 0
        assert TOKEN[2:] not in server.output.read_text("utf-8")


def test_what_does_not_belong_together_is_refused_at_start(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    base = dict(site.values["server"])
    for settings, code in (
        ({"public_listen": "127.0.0.1:0"}, "SETTING_MISSING"),
        ({"public_listen": "0.0.0.0:0", "public_url": URL}, "PUBLIC_PLAINTEXT"),
        ({"public_listen": "127.0.0.1:0", "public_url": "http://p.example.com"}, "SETTING_INVALID"),
        ({"public_url": "https://u@p.example.com"}, "SETTING_INVALID"),
        ({"public_proxies": ["everybody"]}, "SETTING_INVALID"),
    ):
        site.values["server"] = {**base, **settings}
        site.write()
        assert {problem["code"] for problem in site.refusal()} == {code}, settings
