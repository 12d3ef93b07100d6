"""Streams are bounded in number, time and size, stop when told to, and read no more than their flow asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from fujie.flows.export_reply import ExportPart
from fujie.flows.reply import Refusal, ScreenReply, Summary
from fujie.model.decision import Decision, ReasonHit
from fujie.model.errors import RequestError
from fujie.model.vocabulary import Effect
from fujie.transport.grpc import openstreams, streams
from fujie.transport.grpc.services import GRACE_S
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1

SCREEN = "/fujie.v1.MessagingService/ScreenRecipients"
WATCH = "/fujie.v1.MessagingService/WatchCampaign"
HEAD = messaging_v1.ScreenRecipientsRequest(
    draft=messaging_v1.MessageDraft(
        category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature="fujie", text="hello"
    ),
    store="crm",
    customer_ids=["C1"],
)
NEXT = messaging_v1.ScreenRecipientsRequest(store="crm", customer_ids=["C2"])
SUMMARY = Summary("d-1", Effect.ALLOW, "sha256:0")
REPLY = ScreenReply(SUMMARY, (Decision(Effect.ALLOW, "sha256:0"),), (0,))
REFUSED = Refusal(Summary("d-2", Effect.DENY, "sha256:0"), (ReasonHit("PRINCIPAL_OFFBOARDED", 1),))
INVALID = Refusal(Summary("d-3", Effect.DENY, "sha256:0"), (ReasonHit("ARGUMENT_INVALID", 30),))


def flow_of(served: Any, flow: Any) -> None:
    """Let the server answer screening by `flow(asked, batches)`."""
    object.__setattr__(
        served.front.flows, "screen_recipients", lambda _gate, _caller, asked, batches: flow(asked, batches)
    )


async def echo(_asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for batch in batches:
        if batch is not None:
            yield REPLY


def opened(served: Any, path: str = SCREEN) -> Any:
    return served.channel.stream_stream(path)(metadata=served.authorized, timeout=20)


async def status_of(call: Any) -> grpc.StatusCode:
    """Read a call to its end."""
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    code: grpc.StatusCode = await call.code()
    return code


async def test_each_batch_is_answered_before_the_next_is_sent(serve: Any) -> None:
    async with serve() as served:
        flow_of(served, echo)
        call = opened(served)
        for message in (HEAD, NEXT, NEXT):
            await call.write(message.SerializeToString())
            answer = messaging_v1.ScreenRecipientsResponse.FromString(await call.read())
            assert list(answer.places) == [0]
            assert answer.outcomes[0].count == 1
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_what_opens_a_stream_stands_in_its_first_message_alone(serve: Any) -> None:
    fields: list[str] = []

    async def flow(asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for batch in echo(asked, batches):
                yield batch
        except RequestError as error:
            fields.append(error.field)
            yield INVALID

    async with serve() as served:
        flow_of(served, flow)
        call = opened(served)
        await call.write(HEAD.SerializeToString())
        await call.read()
        await call.write(HEAD.SerializeToString())
        assert await status_of(call) is grpc.StatusCode.INVALID_ARGUMENT
        assert fields == ["draft"]


async def test_a_stream_without_a_message_is_refused_like_a_malformed_one(serve: Any) -> None:
    async with serve({"refuse_input": INVALID}) as served:
        call = opened(served)
        await call.done_writing()
        assert await status_of(call) is grpc.StatusCode.INVALID_ARGUMENT
        assert [name for name, _ in served.script.calls] == ["refuse_input"]


async def test_a_refusal_ends_a_stream_after_what_was_answered_before(serve: Any) -> None:
    async def flow(_asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        await anext(batches)
        yield REPLY
        yield REFUSED
        raise AssertionError("it went on")

    async with serve() as served:
        flow_of(served, flow)
        call = opened(served)
        await call.write(HEAD.SerializeToString())
        assert await call.read()
        assert await status_of(call) is grpc.StatusCode.PERMISSION_DENIED
        assert served.incidents == []


async def test_a_silent_client_wakes_the_flow_and_is_let_go_in_the_end(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TICK_S", 0.02)
    woken: list[Any] = []

    async def flow(_asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        monkeypatch.setattr(streams, "STALL_S", 0.1)  # from here on: its first message may take its time
        async for batch in batches:
            woken.append(batch)  # noqa: PERF401 - what came before the end counts
        yield REPLY

    async with serve() as served:
        flow_of(served, flow)
        call = opened(served)
        await call.write(HEAD.SerializeToString())
        assert await status_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert woken.count(None) == 4  # ticks are counted, however late each comes
        never = opened(served)
        assert await status_of(never) is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_flow_that_hangs_over_one_batch_ends_with_the_servers_deadline(serve: Any) -> None:
    async def flow(_asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for _ in batches:
            await asyncio.Event().wait()
        yield REPLY

    async with serve(timeout_s=-GRACE_S + 0.05) as served:
        flow_of(served, flow)
        call = opened(served)
        await call.write(HEAD.SerializeToString())
        assert await status_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_that_goes_away_ends_its_flow_and_gives_its_place_back(serve: Any) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def flow(_asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for _ in batches:
                started.set()
            yield REPLY
        finally:
            ended.set()

    async with serve() as served:
        flow_of(served, flow)
        call = opened(served)
        await call.write(HEAD.SerializeToString())
        await started.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 60)
        with served.front.streams.counted("anna") as has_room:
            assert has_room


async def test_nobody_takes_all_streams(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstreams, "MOST_OF_ONE", 2)
    limited = Refusal(SUMMARY, (ReasonHit("LIMIT_EXCEEDED", 1),))
    async with serve({"refuse_input": limited}) as served:
        flow_of(served, echo)
        calls = [opened(served), opened(served)]
        for call in calls:
            await call.write(HEAD.SerializeToString())
            await call.read()
        assert await status_of(opened(served)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        with served.front.streams.counted("li.na") as has_room:
            assert has_room
        await calls[0].done_writing()
        assert await calls[0].read() is grpc.aio.EOF
        again = opened(served)
        await again.write(HEAD.SerializeToString())
        assert await again.read()


async def test_no_stream_is_opened_without_a_credential(serve: Any) -> None:
    async with serve() as served:
        call = served.channel.stream_stream(SCREEN)(metadata=(), timeout=20)
        assert await status_of(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_message_is_read_only_when_the_flow_asks_for_it(serve: Any) -> None:
    """Who sends faster than the flow works waits: the transport takes one window of 64 KiB and what is being sent."""
    asked_for, has_begun = asyncio.Semaphore(0), asyncio.Event()
    taken: list[Any] = []

    async def flow(_asked: Any, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for batch in batches:
            taken.append(batch)
            has_begun.set()
            await asked_for.acquire()
            yield REPLY

    many = [f"C{number:050}" for number in range(1_000)]
    big = messaging_v1.ScreenRecipientsRequest(store="crm", customer_ids=many).SerializeToString()
    async with serve() as served:
        flow_of(served, flow)
        call = opened(served)
        await call.write(HEAD.SerializeToString())
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(100):  # 5 MB
                await call.write(big)
                written += 1

        writing = asyncio.ensure_future(write())
        await asyncio.wait_for(has_begun.wait(), 60)
        done, _ = await asyncio.wait({writing}, timeout=0.5)
        assert not done
        assert written < 8  # 2 or 3, whatever the machine does meanwhile
        assert len(taken) == 1
        writing.cancel()
        call.cancel()


async def test_a_batch_beyond_the_bound_of_a_message_is_not_read(serve: Any) -> None:
    async with serve() as served:
        flow_of(served, echo)
        call = opened(served)
        huge = messaging_v1.ScreenRecipientsRequest(store="crm", customer_ids=["C" * 200] * 1_000)
        await call.write(HEAD.SerializeToString())
        await call.read()
        await call.write(huge.SerializeToString())
        assert await status_of(call) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_watch_takes_one_message_and_answers_many(serve: Any) -> None:
    async with serve({"watch_campaign": lambda *_: []}) as served:
        call = served.channel.unary_stream(WATCH)(
            messaging_v1.WatchCampaignRequest(name="campaigns/" + "0" * 32).SerializeToString(),
            metadata=served.authorized,
        )
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


EXPORT = "/fujie.v1.CustomerDataService/ExportCustomers"
ASKED = customer_v1.ExportCustomersRequest(
    store="crm", read_mask={"paths": ["name"]}, max_rows=1, format=customer_v1.EXPORT_FORMAT_CSV
).SerializeToString()


def exporting(served: Any) -> Any:
    return served.channel.unary_stream(EXPORT)(ASKED, metadata=served.authorized, timeout=60)


async def test_who_takes_no_more_of_an_export_and_may_not_any_more_is_let_go(serve: Any) -> None:
    """The flow waits behind a message that nobody takes, so it can not look at the asker; its rows leave no later."""
    has_one, ended, looked = asyncio.Event(), asyncio.Event(), 0

    async def flow(*_: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield ExportPart(SUMMARY, 0, bytes(1 << 20), 0, "")
        finally:
            ended.set()

    async def left(*_: Any) -> Refusal | None:
        nonlocal looked
        looked += has_one.is_set()  # while he waits for the first one he is no slow reader
        return REFUSED if looked == 2 else None

    async with serve() as served:
        object.__setattr__(served.front.flows, "export_customers", flow)
        object.__setattr__(served.front.flows, "left", left)
        call = exporting(served)
        await call.read()
        has_one.set()
        await asyncio.wait_for(ended.wait(), 60)
        assert await status_of(call) is grpc.StatusCode.PERMISSION_DENIED
    assert looked == 2


async def test_nobody_takes_all_exports_and_a_workload_asks_for_many(serve: Any) -> None:
    limited = Refusal(SUMMARY, (ReasonHit("LIMIT_EXCEEDED", 1),))
    gone = asyncio.Event()

    async def flow(*_: Any) -> AsyncIterator[Any]:
        yield ExportPart(SUMMARY, 0, b"x", 1, "")
        await gone.wait()

    async with serve({"refuse_input": limited}) as served:
        object.__setattr__(served.front.flows, "export_customers", flow)
        calls = [exporting(served) for _ in range(openstreams.MOST_EXPORTS)]
        for call in calls:
            await call.read()
        assert await status_of(exporting(served)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        raw = customer_v1.ExportCustomersRequest.FromString(ASKED)
        raw.context.on_behalf_of = "li.na"
        other = served.channel.unary_stream(EXPORT)(raw.SerializeToString(), metadata=served.authorized)
        assert await other.read()
        gone.set()
        for call in calls:
            assert await status_of(call) is grpc.StatusCode.OK
        again = exporting(served)
        assert await again.read()
