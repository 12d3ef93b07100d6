"""Somebody leaves a real server of two workers, through SCIM: calls, streams, a token that is still valid, and his device."""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from e2e.server import ADMIN, POLICY, Server, Site
from e2e.test_workers import connected, soon
from fujie.app.client import read_refusal
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import directory_service_pb2 as directory_v1

IMPORT = "/fujie.v1.ConsentService/ImportConsents"
SECRET, TOKEN = b"s" * 32, "t" * 22
CONNECTIONS = 16
GRANTS = """
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: desk}
spec:
  match: {actions: [consent.record]}
  roles: [desk]
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: provisioners}
spec:
  match: {actions: [principal.read, principal.write, principal.offboard]}
  roles: [provisioner]
"""


class Receiver(BaseHTTPRequestHandler):
    """Takes webhooks, and remembers them."""

    heard: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def receiving() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    heard: list[tuple[dict[str, str], bytes]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Receiver,), {"heard": heard}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site")
    site.policy_file.write_text(POLICY + GRANTS, "utf-8")
    (site.root / "secret").write_text("whsec_" + base64.b64encode(SECRET).decode(), "ascii")
    (site.root / "token").write_text(TOKEN, "ascii")
    site.values["server"] |= {
        "workers": 2, "public_listen": "127.0.0.1:0", "public_url": "https://fujie.example.com",
    }  # fmt: skip
    site.values["scim"] = {
        "principal": "idp",
        "token_file": str(site.root / "token"),
        "groups": {"Desk": "desk"},
    }
    return site


def post(server: Server, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    host, _, port = str(server.addresses["public"]).rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, json.dumps(body).encode() if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def hired(server: Server) -> str:
    """Write the service that provisions, and hire the clerk through it; return the clerk's id in SCIM."""
    stubs = server.connect(ADMIN)
    with stubs.channel:
        for name, kind, roles, devices in (
            ("idp", directory_v1.PRINCIPAL_KIND_SERVICE, ["provisioner"], []),
            ("clerk", directory_v1.PRINCIPAL_KIND_EMPLOYEE, ["support"], ["laptop-7"]),
        ):
            record = directory_v1.Principal(
                id=name, kind=kind, roles=roles, devices=devices,
                employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
            )  # fmt: skip
            stubs.directory.UpsertPrincipal(
                directory_v1.UpsertPrincipalRequest(principal=record), timeout=30
            )
    status, found = post(server, "GET", "/scim/v2/Users?filter=userName%20eq%20%22clerk%22", token=TOKEN)
    assert (status, found["totalResults"]) == (200, 1)
    clerk = str(found["Resources"][0]["id"])
    _, groups = post(server, "GET", "/scim/v2/Groups", token=TOKEN)
    join = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "Add", "path": "members", "value": [{"value": clerk}]}],
    }
    status, _ = post(server, "PATCH", f"/scim/v2/Groups/{groups['Resources'][0]['id']}", join, TOKEN)
    assert status == 200
    return clerk


async def refusal_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).reason or f"{error.code().name} {error.details()}"
    return ""


async def test_who_is_offboarded_is_gone_in_every_worker_and_his_device_is_ordered_to_be_wiped(
    site: Site,
) -> None:
    with receiving() as (url, heard):
        site.values["notify"] = {"url": url, "secret_file": str(site.root / "secret")}
        site.write()
        with site.running() as server:
            clerk = await asyncio.to_thread(hired, server)
            async with connected(server, CONNECTIONS, "clerk") as clients:
                assert {await client.ask() for client in clients} == {""}
                metadata = (("authorization", f"Bearer {site.token('clerk')}"),)
                streams: list[Any] = [
                    client.channel.stream_unary(IMPORT)(metadata=metadata) for client in clients
                ]
                for each in streams:
                    await each.write(consent_v1.ImportConsentsRequest().SerializeToString())
                assert await asyncio.to_thread(
                    post, server, "DELETE", f"/scim/v2/Users/{clerk}", None, TOKEN
                ) == (204, None)
                assert {await client.ask() for client in clients} == {"PRINCIPAL_OFFBOARDED"}
                # Nothing is sent to them any more: the server itself looks, and ends them.
                assert {await refusal_of(each) for each in streams} == {"PRINCIPAL_OFFBOARDED"}
            await soon(lambda: bool(heard))
            await asyncio.to_thread(acknowledged, server, heard)


def acknowledged(server: Server, heard: list[tuple[dict[str, str], bytes]]) -> None:
    """Do what a receiver does, and see the checklist change."""
    site = server.site
    headers, body = heard[0]
    # One, which comes again where the answer was late.
    assert {each["webhook-id"] for each, _ in heard} == {headers["webhook-id"]}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    said = json.loads(body)["data"]
    assert (said["device"], said["principal"]) == ("laptop-7", "clerk")
    base = "https://fujie.example.com"
    path = said["acknowledge"]["url"].removeprefix(base)
    (site.root / "boss.token").write_text(site.token("boss"), "ascii")
    where = ("--address", server.grpc, "--token-file", str(site.root / "boss.token"), "--output", "json")
    states = []
    for token, status in (("x" * 43, 404), (said["acknowledge"]["token"], 204)):
        assert post(server, "POST", path, {"token": token})[0] == status
        told = site.command("principal", "offboarding", "clerk", *where)
        assert told.returncode == 0, told.stderr
        items = json.loads(told.stdout)["items"]
        states.append({item["kind"]: item["state"] for item in items}["OFFBOARDING_KIND_DEVICE"])
    assert states == ["OFFBOARDING_STATE_OUTSTANDING", "OFFBOARDING_STATE_DONE"]
    assert server.metric("fujie_notifications_overdue") == 0


async def test_a_set_time_comes_in_every_worker_also_when_one_was_killed(site: Site) -> None:
    site.write()
    with site.running() as server:
        await asyncio.to_thread(hired, server)
        stubs = server.connect("boss")
        with stubs.channel:
            stubs.directory.GetPrincipal(
                directory_v1.GetPrincipalRequest(id="clerk"), timeout=30
            )  # connected
            at = datetime.now(UTC) + timedelta(seconds=4)
            request = directory_v1.OffboardPrincipalRequest(id="clerk", at=at)
            assert (
                stubs.directory.OffboardPrincipal(request, timeout=30).principal.offboard_at.ToDatetime(UTC)
                == at
            )
        os.kill(server.worker(0), signal.SIGKILL)
        await asyncio.to_thread(server.wait_for, "worker_ready", 3)
        await soon(lambda: datetime.now(UTC) > at)
        async with connected(server, CONNECTIONS, "clerk") as clients:
            assert {await client.ask() for client in clients} == {"PRINCIPAL_OFFBOARDED"}
