import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from fujie.app.client import (
    READS,
    SERVICE_CONFIG,
    PlaintextRefused,
    RefusalDetail,
    connect,
    read_refusal,
)
from fujie.flows.reply import Refusal, Summary
from fujie.model.decision import ReasonHit
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.vocabulary import Effect
from fujie.transport.grpc import status, trailers
from fujie.transport.grpc.methods import METHODS
from fujie.v1 import policy_service_pb2 as policy_v1

TOKEN = "a-secret-token"
HIT = ReasonHit("UNKNOWN_FIELD", 30, message=BUILT_IN_REASONS["UNKNOWN_FIELD"].message)
REFUSAL = Refusal(Summary("d-1", Effect.DENY, "sha256:0"), (HIT,), field="read_mask")


@asynccontextmanager
async def serving(failure: status.Failure) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that fails every call in one way, and keeps the metadata of the calls."""
    seen: list[Any] = []

    async def fail(_raw: bytes, context: Any) -> bytes:
        seen.extend(context.invocation_metadata())
        await context.abort(failure.code, failure.message, failure.trailing)
        return b""

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"GetBundle": grpc.unary_unary_rpc_method_handler(fail)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("fujie.v1.PolicyService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        await server.stop(None)


def call_sync(address: str) -> RefusalDetail:
    stubs = connect(address, TOKEN)
    with stubs.channel, pytest.raises(grpc.RpcError) as caught:
        stubs.policy.GetBundle(policy_v1.GetBundleRequest(), timeout=20)
    assert TOKEN not in repr((stubs, caught.value))
    return read_refusal(caught.value)


async def call_aio(address: str) -> RefusalDetail:
    async with grpc.aio.insecure_channel(address) as channel:
        method: Any = channel.unary_unary("/fujie.v1.PolicyService/GetBundle")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"", timeout=20)
        return read_refusal(caught.value)


async def both(failure: status.Failure) -> tuple[RefusalDetail, list[Any]]:
    async with serving(failure) as (address, seen):
        told = await asyncio.to_thread(call_sync, address)
        sent = list(seen)
        assert told == await call_aio(address)
        return told, sent


async def test_a_refusal_is_read_whole_by_both_kinds_of_client() -> None:
    told, sent = await both(status.refused(REFUSAL))
    assert (
        told.reason,
        told.decision_id,
        told.bundle,
        told.fields,
    ) == ("UNKNOWN_FIELD", "d-1", "sha256:0", ("read_mask",))
    assert grpc.StatusCode.INVALID_ARGUMENT is told.code
    assert (HIT.message.en, HIT.message.zh) == (told.message, told.message_zh)
    assert told.detail is not None
    assert [reason.code for reason in told.detail.reasons] == ["UNKNOWN_FIELD"]
    assert [f"Bearer {TOKEN}"] == [value for key, value in sent if key == "authorization"]


async def test_an_error_is_read_with_its_incident() -> None:
    told, _ = await both(status.failed("LEDGER_UNAVAILABLE", "i-1"))
    assert (
        told.reason,
        told.incident_id,
        told.decision_id,
        told.detail,
    ) == ("LEDGER_UNAVAILABLE", "i-1", "", None)


@pytest.mark.parametrize(
    "trailing",
    [(), ((trailers.DETAILS_KEY, b"\xff\xff"),), ((trailers.DETAILS_KEY, b""),)],
    ids=["none", "broken", "empty"],
)
async def test_what_is_not_ours_is_read_as_code_and_message(
    trailing: tuple[tuple[str, bytes], ...],
) -> None:
    told, _ = await both(status.Failure(grpc.StatusCode.UNAVAILABLE, "elsewhere", trailing))
    assert RefusalDetail(grpc.StatusCode.UNAVAILABLE, "elsewhere") == told


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        (status.Failure(grpc.StatusCode.UNAVAILABLE, "lost", ()), 4),
        (status.Failure(grpc.StatusCode.CANCELLED, "crossed a GOAWAY", ()), 4),
        (status.failed("LEDGER_UNAVAILABLE", "i-1"), 1),
        (status.refused(REFUSAL), 1),
    ],
    ids=["lost", "cancelled", "error of the gate", "refusal"],
)
async def test_what_was_lost_on_the_way_is_asked_again_and_no_answer_of_the_gate(
    failure: status.Failure, attempts: int
) -> None:
    async with serving(failure) as (address, seen):
        await asyncio.to_thread(call_sync, address)
    assert len([value for key, value in seen if key == "authorization"]) == attempts


def test_only_methods_that_are_there_and_change_nothing_are_asked_again() -> None:
    writing = {
        "record",
        "withdraw",
        "add",
        "remove",
        "write",
        "offboard",
        "decide",
        "handle",
        "send",
        "export",
        "erase",
        "correct",
    }
    by_path = {method.path: method for method in METHODS}
    for service, names in READS.items():
        for name in names:
            assert not writing & set(by_path[f"/{service}/{name}"].action.value.split(".")), name


def test_the_service_config_of_the_documentation_is_that_of_the_client() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")
    written = text.partition("```json")[2].partition("```")[0]
    assert json.loads(written) == json.loads(SERVICE_CONFIG)


async def test_a_details_of_another_domain_gives_no_reason() -> None:
    failure = status.failed("INTERNAL", "i-1")
    [(key, raw)] = failure.trailing
    assert isinstance(raw, bytes)
    told, _ = await both(
        status.Failure(failure.code, failure.message, ((key, raw.replace(b"fujie.dev", b"other.dev")),))
    )
    assert (told.reason, told.incident_id) == ("", "")


@pytest.mark.parametrize(
    "address", ["10.0.0.1:7443", "example.com:7443", "0.0.0.0:7443", "localhost.example.com:1", "127.0.0.1.example.com:1", "dns:///x:1", "[::]:1", ""]
)  # fmt: skip
def test_a_token_never_leaves_the_machine_in_plain_text(address: str) -> None:
    with pytest.raises(PlaintextRefused) as caught:
        connect(address, TOKEN)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
def test_loopback_needs_no_tls(address: str) -> None:
    connect(address, TOKEN).channel.close()


def test_a_missing_root_file_is_the_users_mistake(tmp_path: Any) -> None:
    with pytest.raises(OSError, match="none"):
        connect("example.com:1", TOKEN, tmp_path / "none.pem")
