"""The console of a real server: shared by its workers, closed to strangers, open with a token of a configured issuer."""

import http.client
import re
from pathlib import Path
from urllib.parse import urlencode

from e2e.server import Site

URL = "https://console.example.com"
HEADS = {"Accept-Language": "en", "Origin": URL, "Content-Type": "application/x-www-form-urlencoded"}


def ask(
    address: str, method: str, path: str, cookie: str = "", **form: str
) -> tuple[int, dict[str, str], str]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        heads = HEADS | ({"Cookie": cookie} if cookie else {})
        connection.request(method, path, body=urlencode(form) if form else None, headers=heads)
        response = connection.getresponse()
        body = response.read().decode()
        said: dict[str, str] = {}
        for name, value in response.getheaders():
            said[name.lower()] = f"{said[name.lower()]}, {value}" if name.lower() in said else value
        return response.status, said, body
    finally:
        connection.close()


def test_every_worker_knows_a_session_that_one_of_them_began(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    site.values["server"] |= {"console_listen": "127.0.0.1:0", "workers": 2}
    site.values["console"] = {"url": URL}
    site.write()
    with site.running() as server:
        console = str(server.addresses["console"])
        token = site.token("administrator")
        status, heads, _ = ask(console, "GET", "/console")
        assert (status, heads["location"]) == (303, "/console/login?lang=en")
        assert ask(console, "POST", "/console/login", token="nonsense")[0] == 403
        status, heads, _ = ask(console, "POST", "/console/login", token=token)
        assert status == 200
        (cookie,) = re.findall("__Host-fujie=[^;]+", heads["set-cookie"])
        # The cookie is the session for every worker, and each asks the directory, which decides.
        seen = [ask(console, "GET", "/console?lang=en", cookie) for _ in range(12)]
        assert {
            (status, "PRINCIPAL_UNKNOWN" in body or "NO_GRANT" in body) for status, _, body in seen
        } == {(403, True)}
        assert ask(console, "GET", "/healthz")[0] == 404
        assert ask(console, "GET", "/c/" + "A" * 22)[0] == 404
        assert server.stop() == 0
        said = server.output.read_text("utf-8")
        assert token not in said
        assert cookie not in said
        assert "console/sign-in" in said
