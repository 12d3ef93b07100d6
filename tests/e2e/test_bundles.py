"""A server on signed bundles: followed from an address, kept across a restart without it, closed when it ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest

from e2e.server import ADMIN, POLICY, Server, Site, lookup, probed_until
from fujie.app.client import read_refusal
from fujie.policy.archive import Archive
from fujie.v1 import policy_service_pb2 as policy_v1
from support.releases import ALICE, BOB, bundle

REFUSALS = "fujie_bundle_reload_failures_total"


@dataclass
class Shelf:
    """What an address holds."""

    content: bytes
    unchanged: int = 0


@contextmanager
def shelved(shelf: Shelf) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, tag = shelf.content, f'"{hash(shelf.content)}"'
            is_known = self.headers.get("If-None-Match") == tag
            shelf.unchanged += is_known
            self.send_response(304 if is_known else 200)
            self.send_header("ETag", tag)
            self.end_headers()
            if not is_known:
                self.wfile.write(content)

        def log_message(self, *_words: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}/site.fujie"
        finally:
            listener.shutdown()
            thread.join()


def release(revision: int, text: str = POLICY, expires: datetime | None = None) -> Archive:
    return bundle(revision, {"site/base.yaml": text.encode()}, (ALICE, BOB), expires)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site")
    keys = [signer.verifier.vkey for signer in (ALICE, BOB)]
    site.values["policy"] = {
        "trusted_keys": keys, "signatures": 2, "state_dir": str(site.root / "state"), "reload_seconds": 0.1, "poll_seconds": 1,
    }  # fmt: skip
    return site


def shown(server: Server) -> tuple[int, list[str]]:
    stubs = server.connect(ADMIN)
    with stubs.channel:
        reply = stubs.policy.GetBundle(policy_v1.GetBundleRequest(), timeout=30)
        return reply.revision, list(reply.signers)


def test_an_address_is_followed_and_the_last_good_bundle_outlives_it(site: Site) -> None:
    shelf = Shelf(release(5).encoded)
    with shelved(shelf) as url:
        site.values["policy"]["url"] = url
        site.values["server"]["workers"] = 2
        site.write()
        with site.running() as server:
            assert server.metric("fujie_bundle_revision") == 5
            shelf.content = release(7).encoded
            loaded = server.wait_for("policies_loaded", count=4)
            assert (loaded["revision"], loaded["signers"]) == (7, "alice, bob")
            assert shown(server) == (7, ["alice", "bob"])
            shelf.content = release(6).encoded
            assert server.wait_for("policies_refused", count=2)["code"] == "BUNDLE_OLDER"
            assert server.metric(REFUSALS) == 2
            assert server.metric("fujie_bundle_revision") == 7
            assert server.get("http", "/readyz")[0] == 200
            assert server.stop() == 0
    with site.running() as server:
        assert server.wait_for("policies_away", count=2)["code"] == "POLICY_SOURCE_AWAY"
        assert shown(server) == (7, ["alice", "bob"])
        assert server.metric(REFUSALS) == 0, "nothing was refused: there was none"
    assert shelf.unchanged > 0


def test_a_bundle_that_ends_closes_a_running_gate_and_the_next_opens_it(site: Site) -> None:
    path = site.root / "site.fujie"
    path.write_bytes(release(5).encoded)
    site.values["policy"]["bundle"] = str(path)
    site.write()
    with site.running() as server:
        server.add_principal("agent", "support")
        stubs = server.connect("agent")
        with stubs.channel:
            assert stubs.customers.LookupCustomer(lookup("C00001", "name"), timeout=30)
            revision = until_one_is_loaded_that_ends(server, path)
            assert server.metric("fujie_bundle_expiry_timestamp_seconds") > 0
            assert server.wait_for("not_serving")["state"] == "policy"
            assert probed_until(server, "policy") == (503, "not ready: policy\n")
            with pytest.raises(grpc.RpcError) as refused:
                stubs.customers.LookupCustomer(lookup("C00001", "name"), timeout=30)
            assert read_refusal(refused.value).reason == "NO_GRANT"
            opened = len(server.events("serving"))
            path.write_bytes(release(revision + 1).encoded)
            server.wait_for("serving", opened + 1)
            assert stubs.customers.LookupCustomer(lookup("C00001", "name"), timeout=30)
            with pytest.raises(KeyError):
                server.metric("fujie_bundle_expiry_timestamp_seconds")


def until_one_is_loaded_that_ends(server: Server, path: Path) -> int:
    """Put a bundle in place that ends soon; what has ended before it is read is refused, and the next has more time. Return its
    revision."""
    for revision, seconds in enumerate((4, 16, 64, 256), 6):
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        path.write_bytes(release(revision, expires=ends).encoded)
        while datetime.now(UTC) < ends:
            if len(server.events("policies_loaded")) > 1:
                return revision
            time.sleep(0.02)
    raise AssertionError("nothing is loaded in time")


def test_a_start_without_enough_signatures_is_refused(site: Site) -> None:
    path = site.root / "site.fujie"
    path.write_bytes(bundle(1, {"site/base.yaml": POLICY.encode()}, (ALICE,)).encoded)
    site.values["policy"]["bundle"] = str(path)
    site.write()
    (refused,) = site.refusal()
    assert refused["code"] == "BUNDLE_SIGNERS_MISSING"
