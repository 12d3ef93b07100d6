"""The SMPP provider against a server on another codec (npm `smpp`), told to misbehave."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.providers import smpp
from fujie.adapters.providers.smpp import SMPP, Line
from fujie.adapters.providers.smpp_link import Account
from fujie.adapters.providers.smpp_wire import Address
from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.model.message import MessageState
from fujie.ports.providers import Acceptance, Callback, Called, Outgoing, Submission, Unresolved
from support import certificates
from support.smsc import SMSC, smsc

PHONE = Phone("+8613800138000")
NO_NUMBER = "10690000"


def _line(port: int, **changes: Any) -> Line:
    account = Account("127.0.0.1", port, "fujie", "secret")
    return replace(Line(account, Address(NO_NUMBER, 0, 0), timeout_s=5.0), **changes)


def _out(text: str = "您的订单已发货", intent_id: str = "i1", signature: str = "符节") -> Outgoing:
    return Outgoing(intent_id, PHONE, signature, text)


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - of many states of many parts
            await asyncio.sleep(0.01)


async def _polled(provider: SMPP, receipts: int = 0, replies: int = 0) -> Called:
    """Poll until so many have come, and give what all the polls returned."""
    all_of_it = Called()
    async with asyncio.timeout(60):
        while len(all_of_it.receipts) < receipts or len(all_of_it.replies) < replies:
            called = await provider.poll()
            all_of_it = Called(
                [*all_of_it.receipts, *called.receipts],
                [*all_of_it.replies, *called.replies],
                all_of_it.skipped + called.skipped,
            )
            await asyncio.sleep(0.01)
    return all_of_it


@asynccontextmanager
async def _bound(server: SMSC, **changes: Any) -> AsyncIterator[SMPP]:
    provider = SMPP("carrier", "carrier-co", _line(server.port, **changes), SystemClock())
    try:
        while not await provider.ready(1):
            pass
        yield provider
    finally:
        await provider.close()


async def _submit(provider: SMPP, *messages: Outgoing) -> Sequence[Submission]:
    return await provider.submit(messages or (_out(),))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp, "_FIRST_PAUSE_S", 0.01)


@pytest.fixture
async def server() -> AsyncIterator[SMSC]:
    async with smsc() as running:
        yield running


async def test_a_message_arrives_as_it_was_written_and_is_accepted_with_the_id_of_the_smsc(
    server: SMSC,
) -> None:
    async with _bound(server) as provider:
        assert await _submit(provider) == [Submission(Acceptance.ACCEPTED, "id-1")]
    event = server.submitted()[0]
    assert (event["text"], event["to"], event["ton"], event["npi"]) == (
        "【符节】您的订单已发货",
        "8613800138000",
        1,
        1,
    )
    assert (event["from"], event["coding"], event["receipt"], event["udh"]) == (NO_NUMBER, 8, 1, [])
    assert await server.event("unbind")


async def test_a_text_of_the_basic_alphabet_arrives_in_it_with_its_escapes(server: SMSC) -> None:
    async with _bound(server) as provider:
        await _submit(provider, _out("Price: 5€ {today} @ §1 [x]", signature=""))
    assert (server.submitted()[0]["coding"], server.submitted()[0]["text"]) == (
        0,
        "Price: 5€ {today} @ §1 [x]",
    )


@pytest.mark.parametrize(
    ("numbers", "phone", "to", "ton"),
    [
        ("national", "+8613800138000", "13800138000", 2),
        ("national", "+12025550123", "12025550123", 1),
        ("international", "+12025550123", "12025550123", 1),
    ],
)
async def test_numbers_are_written_as_the_carrier_wants_them(
    server: SMSC, numbers: str, phone: str, to: str, ton: int
) -> None:
    async with _bound(server, numbers=numbers) as provider:
        await provider.submit([Outgoing("i1", Phone(phone), "", "hello")])
    assert (server.submitted()[0]["to"], server.submitted()[0]["ton"]) == (to, ton)


@pytest.mark.parametrize(
    "text", ["中" * 66 + "😀" * 40, "a" * 152 + "€" * 100, "x" * 400], ids=["ucs2", "escapes", "plain"]
)
async def test_the_parts_of_a_long_text_make_the_text_again_and_one_of_them_asks_for_a_receipt(
    server: SMSC, text: str
) -> None:
    async with _bound(server) as provider:
        submission, *_ = await _submit(provider, _out(text, signature=""))
    parts = server.submitted()
    headers = [bytes.fromhex(part["udh"][0]) for part in parts]
    assert [header[-1] for header in headers] == list(range(1, len(parts) + 1))
    assert {header[:-1] for header in headers} == {bytes((0, 3, headers[0][2], len(parts)))}
    assert "".join(part["text"] for part in parts) == text
    assert [part["receipt"] for part in parts] == [0] * (len(parts) - 1) + [1]
    assert submission == Submission(Acceptance.ACCEPTED, f"id-{len(parts)}")


async def test_a_long_text_may_go_whole_in_a_message_payload(server: SMSC) -> None:
    async with _bound(server, is_payload=True) as provider:
        assert await _submit(provider, _out("退订" * 100)) == [Submission(Acceptance.ACCEPTED, "id-1")]
    assert [event["payload"] for event in server.submitted()] == ["【符节】" + "退订" * 100]


@pytest.mark.parametrize(
    ("status", "acceptance", "code"),
    [
        (0x58, Acceptance.RETRY, "ESME_RTHROTTLED"),
        (0x14, Acceptance.RETRY, "ESME_RMSGQFUL"),
        (0x0B, Acceptance.REFUSED, "ESME_RINVDSTADR"),
        (0x45, Acceptance.REFUSED, "ESME_RSUBMITFAIL"),
        (0x0400, Acceptance.REFUSED, "0x00000400"),
    ],
)
async def test_a_status_says_whether_it_may_be_tried_again(
    server: SMSC, status: int, acceptance: Acceptance, code: str
) -> None:
    async with _bound(server) as provider:
        await server.tell(plan=[status])
        assert await _submit(provider) == [Submission(acceptance, code=code)]


async def test_a_line_lost_after_the_write_leaves_it_unknown_and_nothing_goes_over_the_next_line(
    server: SMSC,
) -> None:
    async with _bound(server) as provider:
        await server.tell(plan=["drop"])
        assert await _submit(provider) == [Submission(Acceptance.UNKNOWN, code="ANSWER")]
        await server.event("bind")
        await server.event("bind")
        await _until(lambda: provider._link is not None)
        assert await _submit(provider, _out("second")) == [Submission(Acceptance.ACCEPTED, "id-1")]
    assert [event["text"] for event in server.submitted()] == ["【符节】您的订单已发货", "【符节】second"]


async def test_a_line_lost_with_many_messages_under_way_leaves_each_of_them_unknown_or_answered_once(
    server: SMSC,
) -> None:
    async with _bound(server, window=20) as provider:
        await server.tell(plan=[0, 0x58, "silent", 0x0B, "silent", "drop"])
        messages = [_out(f"message {n}", f"i{n}") for n in range(20)]
        said = [submission.acceptance for submission in await provider.submit(messages)]
    texts = [event["text"] for event in server.submitted()]
    assert len(texts) == len(set(texts))
    decided = [Acceptance.ACCEPTED, Acceptance.RETRY, Acceptance.UNKNOWN, Acceptance.REFUSED]
    for heard, was in zip(said, decided + [Acceptance.UNKNOWN] * 16, strict=True):
        assert heard in {was, Acceptance.UNKNOWN}, "an answer may be lost with the line; none may change"


async def test_without_a_line_nothing_is_kept_for_later(server: SMSC) -> None:
    async with _bound(server) as provider:
        await server.tell(bind_status=0x0D)
        await server.tell(kill=True)
        await _until(lambda: provider._link is None)
        assert await _submit(provider) == [Submission(Acceptance.RETRY, code="CONNECT")]
        assert not await provider.ready(1)
        await server.tell(bind_status=0)
        while not await provider.ready(1):
            pass
    assert server.submitted() == []


async def test_a_silent_smsc_is_unknown_in_time_and_its_late_answer_is_a_receipt(server: SMSC) -> None:
    async with _bound(server, timeout_s=0.3) as provider:
        await server.tell(plan=["late", "silent"])
        messages = [_out(intent_id="i1"), _out("other", "i2")]
        assert await provider.submit(messages) == [Submission(Acceptance.UNKNOWN, code="TIMEOUT")] * 2
        assert (await provider.poll()).receipts == []
        await server.tell(release=True)
        receipt, *more = (await _polled(provider, receipts=1)).receipts
    assert more == []
    assert (receipt.intent_id, receipt.state, receipt.provider_message_id) == (
        "i1",
        MessageState.SUBMITTED,
        "id-1",
    )


async def test_a_first_part_that_is_throttled_leaves_nothing_behind(server: SMSC) -> None:
    async with _bound(server) as provider:
        await server.tell(plan=[0x58])
        assert await _submit(provider, _out("长" * 150)) == [
            Submission(Acceptance.RETRY, code="ESME_RTHROTTLED")
        ]
    assert len(server.submitted()) == 1


@pytest.mark.parametrize("status", [0x58, 0x0B])
async def test_a_later_part_that_is_not_taken_makes_the_whole_unknown(server: SMSC, status: int) -> None:
    async with _bound(server) as provider:
        await server.tell(plan=[0, status])
        submission, *_ = await _submit(provider, _out("长" * 150))
    assert (submission.acceptance, submission.provider_message_id) == (Acceptance.UNKNOWN, "")


async def test_no_part_follows_once_submit_has_given_up(server: SMSC) -> None:
    async with _bound(server, timeout_s=0.3) as provider:
        await server.tell(plan=["late"])
        assert await _submit(provider, _out("长" * 150)) == [Submission(Acceptance.UNKNOWN, code="TIMEOUT")]
        await server.tell(release=True)
        await _submit(provider, _out("next"))
        assert [(await server.event("submit"))["udh"] == [] for _ in range(2)] == [False, True]
    assert len(server.submitted()) == 2


async def test_what_an_smsc_that_stopped_reading_has_not_got_is_never_sent(server: SMSC) -> None:
    async with _bound(server, timeout_s=0.3, window=5000, is_payload=True) as provider:
        await server.tell(deaf=True)
        link = provider._link
        assert link is not None
        line = link._writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the kernel would hold megabytes
        said = set()
        async with asyncio.timeout(60):
            while (
                not link.gone.done()
            ):  # until what the kernels hold is full, and we are left with the rest
                submissions = await provider.submit([_out("长" * 1500, f"i{n}") for n in range(100)])
                said |= {submission.acceptance for submission in submissions}
        assert said <= {Acceptance.UNKNOWN, Acceptance.RETRY}
        assert Acceptance.UNKNOWN in said


async def test_a_receipt_comes_by_its_text_or_by_its_parameters_and_each_is_acknowledged(
    server: SMSC,
) -> None:
    texts = [
        "id:id-1 sub:001 dlvrd:001 submit date:2611220800 done date:2611220801 stat:DELIVRD err:000 text:id:fake",
        "id:id-2 sub:001 dlvrd:000 submit date:2611220800 done date:2611220801 stat:UNDELIV err:0A1 text:",
        "id:id-3 stat:ENROUTE err:000",
        "id:id-4 stat:MBBLACK err:",
    ]
    async with _bound(server) as provider:
        for text in texts:
            await server.tell(
                deliver={"esm_class": 4, "short_message": text, "source_addr": "8613800138000"}
            )
        await server.tell(deliver={"esm_class": 4, "receipted_message_id": "id-5", "message_state": 2})
        await server.tell(deliver={"esm_class": 4, "receipted_message_id": "id-6", "message_state": 5})
        called = await _polled(provider, receipts=6)
        statuses = [(await server.event("delivered"))["status"] for _ in range(6)]
    assert [(receipt.provider_message_id, receipt.state, receipt.code) for receipt in called.receipts] == [
        ("id-1", MessageState.DELIVERED, "DELIVRD:000"),
        ("id-2", MessageState.FAILED, "UNDELIV:0A1"),
        ("id-3", MessageState.SUBMITTED, "ENROUTE:000"),
        ("id-4", MessageState.FAILED, "MBBLACK"),
        ("id-5", MessageState.DELIVERED, "DELIVRD"),
        ("id-6", MessageState.FAILED, "UNDELIV"),
    ]
    assert statuses == [0] * 6
    assert [receipt.phone for receipt in called.receipts if receipt.is_opted_out] == [PHONE]


async def test_a_reply_is_acknowledged_only_when_it_is_asked_again(server: SMSC) -> None:
    async with _bound(server) as provider:
        await server.tell(
            deliver={"source_addr": "8613800138000", "source_addr_ton": 1, "short_message": "TD"}
        )
        called = await _polled(provider, replies=1)
        assert not [event for event in server.seen if event["event"] == "delivered"]
        await provider.poll()
        assert (await server.event("delivered"))["status"] == 0
    reply, *_ = called.replies
    assert (reply.phone, reply.text, reply.provider) == (PHONE, "TD", "carrier")
    assert abs((reply.at - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize(
    ("source", "ton", "text", "coding"),
    [
        ("13800138000", 0, "退订", 8),
        ("+8613800138000", 0, "不要再发😀", 8),
        ("8613800138000", 0, "ARRÊT", 3),
        ("13800138000", 1, "退订", 8),  # no number of any other country, whatever the carrier calls it
    ],
)
async def test_a_reply_is_read_in_any_form_of_number_and_alphabet(
    server: SMSC, source: str, ton: int, text: str, coding: int
) -> None:
    octets = text.encode("utf-16-be" if coding == 8 else "latin-1").hex()
    async with _bound(server) as provider:
        await server.tell(
            deliver={"source_addr": source, "source_addr_ton": ton, "data_coding": coding, "hex": octets}
        )
        called = await _polled(provider, replies=1)
    assert [(reply.phone, reply.text) for reply in called.replies] == [(PHONE, text)]


async def test_what_cannot_be_read_is_counted_acknowledged_and_ends_nothing(server: SMSC) -> None:
    async with _bound(server) as provider:
        await server.tell(
            deliver={"source_addr": "shortcode", "source_addr_ton": 5, "short_message": "spam"}
        )
        await server.tell(deliver={"esm_class": 4, "short_message": "no receipt at all"})
        await server.tell(raw="00000013000000050000000000000099ff0000")
        await _until(lambda: provider._skipped == 3)
        await server.tell(query=True)
        assert (await server.event("answer"))["status"] == 3
        assert await _submit(provider) == [Submission(Acceptance.ACCEPTED, "id-1")]
        assert (await provider.poll()).skipped == 3
        assert (await provider.poll()).skipped == 0


@pytest.mark.parametrize(
    "octets",
    [
        "7fffffff000000050000000000000001",
        "0000000100000005000000000000000100",
        "474554202f20485454502f312e310d0a0d0a",
    ],
)
async def test_a_peer_that_speaks_something_else_loses_the_line_and_not_our_memory(
    server: SMSC, octets: str
) -> None:
    async with _bound(server) as provider:
        await server.tell(raw=octets)
        await server.event("closed")
        while not await provider.ready(1):
            pass
        assert await _submit(provider) == [Submission(Acceptance.ACCEPTED, "id-1")]


async def test_an_smsc_that_unbinds_is_bound_again(server: SMSC) -> None:
    async with _bound(server) as provider:
        await server.event("bind")
        await server.tell(unbind=True)
        await server.event("bind")
        await _until(lambda: provider._link is not None)
        assert await _submit(provider) == [Submission(Acceptance.ACCEPTED, "id-1")]


async def test_an_idle_line_is_tried_and_a_dead_one_given_up(server: SMSC) -> None:
    account = Account("127.0.0.1", server.port, "fujie", "secret", enquire_s=0.2)
    async with _bound(server, account=account) as provider:
        await server.event("enquire")
        await server.tell(deaf=True)
        await _until(lambda: provider._link is None)


async def test_a_refused_bind_is_said_without_the_password(
    server: SMSC, caplog: pytest.LogCaptureFixture
) -> None:
    await server.tell(bind_status=0x0E)
    provider = SMPP("carrier", "carrier-co", _line(server.port), SystemClock())
    assert not await provider.ready(1)
    await server.event("bind")
    await _until(lambda: bool(caplog.records))
    await provider.close()
    assert vars(caplog.records[0])["code"] == "ESME_RINVPASWD"
    assert "secret" not in str([vars(record) for record in caplog.records])


async def test_a_host_that_is_no_name_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    account = Account("a..b", 2775, "fujie", "secret")
    provider = SMPP("carrier", "carrier-co", replace(_line(0), account=account), SystemClock())
    await provider.poll()
    await _until(lambda: len(caplog.records) > 1)
    await provider.close()
    assert {vars(record)["code"] for record in caplog.records} == {"CONNECT"}


async def test_no_smsc_at_all_is_said_and_can_be_closed() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen: nobody else gets the port meanwhile
        provider = SMPP("carrier", "carrier-co", _line(silent.getsockname()[1]), SystemClock())
        assert not await provider.ready(1)
        assert await _submit(provider) == [Submission(Acceptance.RETRY, code="CONNECT")]
        await provider.close()


async def test_over_tls_only_a_server_whose_certificate_holds_is_told_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, strange = certificates.authority("ours"), certificates.authority("strange")
    async with smsc(*certificates.server(ours).files(tmp_path, "smsc")) as server:
        for issuer, is_bound in ((strange, False), (ours, True)):
            context = ssl.create_default_context(cadata=issuer.pem.decode())
            account = replace(_line(server.port).account, host="localhost", tls=context)
            provider = SMPP("carrier", "carrier-co", replace(_line(0), account=account), SystemClock())
            await provider.poll()
            while not (caplog.records or provider._link):  # noqa: ASYNC110 - one of two
                await asyncio.sleep(0.01)
            assert (provider._link is not None) is is_bound
            await provider.close()
            caplog.clear()
        assert len([event for event in server.seen if event["event"] == "bind"]) == 1


async def test_it_can_not_be_asked_and_calls_nobody(server: SMSC) -> None:
    provider = SMPP("carrier", "carrier-co", _line(server.port), SystemClock())
    sent = Unresolved("i1", "s1", b"", None, "carrier", "", datetime.now(UTC))
    assert await provider.query(sent, PHONE) is None
    with pytest.raises(RequestError):
        provider.callback(Callback("https://example.com/", {}, b""))
    await provider.close()
