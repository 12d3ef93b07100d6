"""Leased files open for whom a decision opens them, as often and as long as the lease says, and never again once a key is gone."""

import asyncio
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa

from fujie.adapters.ledger.export_tables import export_chunk
from fujie.audit.container import open_part, parts, read_header
from fujie.audit.entry import EntryKind
from fujie.audit.errors import LogUnavailable, SealBroken
from fujie.audit.unfinished import unfinished
from fujie.flows import opening
from fujie.flows.approvals import approve
from fujie.flows.directory import upsert_principal
from fujie.flows.exports import get_export, list_exports, revoke_export
from fujie.flows.gate import Gate
from fujie.flows.opening import open_export
from fujie.flows.reply import ExportReply, ExportsReply, KeysReply, PrincipalReply, Refusal, TracesReply
from fujie.flows.tracing import TraceQuery, trace_customer
from fujie.model.approval import id_of
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import LedgerError
from fujie.model.export import Closing, Export, ExportFilter, ExportState, Format
from fujie.model.page import Slice
from fujie.model.principal import Credential, Principal
from fujie.model.request import ExportAsk, LeaseAsk, RequestContext
from fujie.model.vocabulary import State
from support.cancelling import SlowEnd, cancelled_twice
from support.exports import LARGE, ME, POLICY, Came, exported, lists, wanting
from support.exports import export as exporting
from support.house import ADMIN, House, RecordingLog, caller

WHY = RequestContext(basis_evidence="order-7")
NOTHING = RequestContext()
COLLEAGUE, AUDITOR, OFFICER = caller("marketer-2"), caller("auditor-1"), caller("officer-1")
OFFICER_2, STRANGER, COURIER = caller("officer-2"), caller("nobody-in-particular"), caller("courier-desk")
ROLES = {
    COLLEAGUE: "marketer", AUDITOR: "auditor", OFFICER: "compliance_officer", OFFICER_2: "compliance_officer",
    COURIER: "list_exporter",
}  # fmt: skip


@pytest.fixture
async def small_chunks(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house with more people, where a chunk has eight rows."""
    monkeypatch.setattr("fujie.flows.export.LEASED_CHUNK", 8)
    for who, role in ROLES.items():
        of = Principal(who.subject, roles=frozenset({role}), department="east", training=State.VALID)
        assert isinstance(await upsert_principal(house.gate, ADMIN, NOTHING, of), PrincipalReply)
    return lists(house)


def leased(opens: int = 3, **changes: Any) -> ExportAsk:
    return wanting(lease=LeaseAsk(3_600, opens), **changes)


async def made(house: House, asked: ExportAsk | None = None) -> tuple[Export, bytes]:
    """Export a leased file; return the export and the file."""
    came = await exported(house.gate, asked or leased())
    assert came.refusal is None, came.code
    assert came.head is not None
    assert came.head.export is not None
    return came.head.export, came.data


async def opened(
    gate: Gate, export: Export, who: Credential = ME, why: RequestContext = WHY
) -> dict[int, bytes | None] | Refusal:
    keys: dict[int, bytes | None] = {}
    async for reply in open_export(gate, who, why, export.id):
        if isinstance(reply, Refusal):
            return reply
        keys.update(reply.keys)
    return keys


async def keys(gate: Gate, export: Export, who: Credential = ME) -> dict[int, bytes | None]:
    found = await opened(gate, export, who)
    assert isinstance(found, dict), found.reasons
    return found


async def code(gate: Gate, export: Export, who: Credential = ME, why: RequestContext = WHY) -> str:
    found = await opened(gate, export, who, why)
    assert isinstance(found, Refusal)
    return found.reasons[0].code


def read(file: bytes, keys: dict[int, bytes | None]) -> list[bytes | None]:
    """Return what is in each part; None for what does not open."""
    return list(_read(file, keys))


def _read(file: bytes, keys: dict[int, bytes | None]) -> Iterator[bytes | None]:
    source = io.BytesIO(file)
    digest = read_header(source.read).digest
    for part in parts(source.read):
        try:
            yield open_part(part, digest, keys.get(part.place.number) or b"")
        except SealBroken:
            yield None


def plain(file: bytes, keys: dict[int, bytes | None]) -> bytes:
    found = read(file, keys)
    assert None not in found
    return b"".join(each for each in found if each is not None)


def last_line(text: bytes) -> bytes:
    return text.splitlines(keepends=True)[-1]


@pytest.mark.parametrize("form", Format)
async def test_an_opened_file_holds_what_the_same_export_without_a_lease_holds(
    small_chunks: House, form: Format
) -> None:
    export, file = await made(small_chunks, leased(format=form))
    open_one = await exported(small_chunks.gate, wanting(format=form))
    said = plain(file, await keys(small_chunks.gate, export))
    assert said.removesuffix(last_line(said)) == open_one.data.removesuffix(last_line(open_one.data))
    assert export.name.encode() in last_line(said)
    assert len(read(file, {})) > 3


async def test_the_file_by_itself_tells_no_row(small_chunks: House) -> None:
    _, file = await made(small_chunks)
    open_one = await exported(small_chunks.gate, wanting())
    assert all(str(row["phone"]).encode() not in file for row in open_one.rows)
    assert set(read(file, {})) == {None}


async def test_a_revoked_file_does_not_open_and_its_keys_are_nowhere(small_chunks: House) -> None:
    """Whoever has the file, the seal key and the ledger's files: what was destroyed is not in them."""
    house = small_chunks
    export, file = await made(house)
    before = await keys(house.gate, export)
    wrapped = await wrapped_keys(house, export)
    assert len(wrapped) == len(before) > 3
    assert all(key in ledger_bytes(house) for key in wrapped)
    revoked = await revoke_export(house.gate, OFFICER, NOTHING, export.id)
    assert isinstance(revoked, ExportReply)
    assert (revoked.export.closed_by, revoked.export.closed_why) == ("officer-1", "EXPORT_REVOKED")
    assert await code(house.gate, export) == "EXPORT_CLOSED"
    assert await wrapped_keys(house, export) == []
    left = ledger_bytes(house)
    assert [key for key in wrapped if key in left] == []
    assert None not in read(file, before)  # who kept the keys of an opening keeps what he saw


async def test_the_requester_revokes_his_own_and_nobody_elses(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house)
    for who in (COLLEAGUE, STRANGER, AUDITOR):
        refusal = await revoke_export(house.gate, who, NOTHING, export.id)
        assert isinstance(refusal, Refusal)
        assert refusal.reasons[0].code == "NO_GRANT"
    assert len(await keys(house.gate, export)) > 3
    assert isinstance(await revoke_export(house.gate, ME, NOTHING, export.id), ExportReply)
    assert await code(house.gate, export) == "EXPORT_CLOSED"


async def test_when_the_lease_ends_nothing_opens_and_the_keys_go_by_themselves(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house)
    house.hands.time += timedelta(seconds=3_601)
    assert await code(house.gate, export) == "EXPORT_EXPIRED"
    wrapped = await wrapped_keys(house, export)
    assert await house.gate.exports.close_expired(house.hands.now()) == 1
    assert await wrapped_keys(house, export) == []
    left = ledger_bytes(house)
    assert [key for key in wrapped if key in left] == []
    assert await code(house.gate, export) == "EXPORT_EXPIRED"


async def test_who_leaves_leaves_files_that_nobody_opens(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house)
    closing = Closing(at=house.hands.now(), by=ADMIN.subject, why="PRINCIPAL_OFFBOARDED")
    assert await house.gate.exports.close_exports_of(ME.subject, closing) == 1
    assert await code(house.gate, export, COLLEAGUE) == "EXPORT_CLOSED"


async def test_an_erased_customer_takes_his_chunk_with_him_and_no_other(small_chunks: House) -> None:
    house = small_chunks
    export, file = await made(house)
    whole = read(file, await keys(house.gate, export))
    sid, place = await somebody(house, whole)
    assert await house.gate.exports.forget([sid]) == 1
    left = read(file, await keys(house.gate, export))
    assert left[place] is None
    assert left == [None if n == place else each for n, each in enumerate(whole)]


async def test_each_opening_takes_one_and_of_two_the_last_one_goes_to_one(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house, leased(opens=2))
    await keys(house.gate, export)
    found = await asyncio.gather(*(opened(house.gate, export, who) for who in (ME, COLLEAGUE, ME)))
    assert sorted(type(each).__name__ for each in found) == ["Refusal", "Refusal", "dict"]
    assert {each.reasons[0].code for each in found if isinstance(each, Refusal)} == {"EXPORT_USED_UP"}
    known = await house.gate.exports.export(export.id)
    assert known is not None
    assert known.lease is not None
    assert known.lease.opens_left == 0


async def test_to_open_a_file_takes_its_rows_from_the_hour_as_the_export_did(small_chunks: House) -> None:
    """Else files are a way around `rows_per_hour`: small exports over days, all of them opened in one minute."""
    export, _ = await made(small_chunks)
    kept = await small_chunks.gate.exports.export(export.id)
    assert kept is not None
    rows, hour = kept.rows, b"  limits: {rows_per_hour: %d}\n  fields: {customer_no"
    limited = lists(small_chunks, POLICY.replace(b"  fields: {customer_no", hour % (2 * rows + 1)), LARGE)
    both = await asyncio.gather(*(opened(limited.gate, export) for _ in range(3)))
    refusals = [each for each in both if isinstance(each, Refusal)]
    assert [each.reasons[0].code for each in refusals] == ["LIMIT_EXCEEDED"], (
        "exactly two, whoever comes first"
    )
    left = await limited.gate.exports.export(export.id)
    assert left is not None
    assert left.lease is not None
    assert left.lease.opens_left == 1, "a refusal takes no opening"
    limited.hands.time += timedelta(minutes=30)
    assert await code(limited.gate, export) == "LIMIT_EXCEEDED"
    assert (await exported(limited.gate, wanting())).code == "LIMIT_EXCEEDED", "of the same hour"
    limited.hands.time += timedelta(minutes=32)
    await revoke_export(limited.gate, ME, NOTHING, export.id)
    for _ in range(3):
        assert await code(limited.gate, export) == "EXPORT_CLOSED"
    assert (await exported(limited.gate, wanting())).code == "", "what opens nothing takes nothing"


async def test_who_loses_a_race_for_a_file_loses_none_of_his_rows(small_chunks: House) -> None:
    """Four at once want the last opening: one gets it, and the hour of the others is as it was, to the row."""
    export, _ = await made(small_chunks, leased(opens=1))
    kept = await small_chunks.gate.exports.export(export.id)
    assert kept is not None
    hour = b"  limits: {rows_per_hour: %d}\n  fields: {customer_no" % (4 * kept.rows)
    limited = lists(small_chunks, POLICY.replace(b"  fields: {customer_no", hour), LARGE)
    found = await asyncio.gather(*(opened(limited.gate, export) for _ in range(4)))
    assert sorted(type(each).__name__ for each in found) == ["Refusal", "Refusal", "Refusal", "dict"]
    assert await code(limited.gate, export) == "EXPORT_USED_UP"
    again, _ = await made(limited, wanting(lease=LeaseAsk(36_000, 9)))
    for _ in range(2):
        await keys(limited.gate, again)
    assert await code(limited.gate, again) == "LIMIT_EXCEEDED", "four files' rows, and not one more"
    limited.hands.time += timedelta(minutes=61)
    for _ in range(4):
        await keys(limited.gate, again)
    assert await code(limited.gate, again) == "LIMIT_EXCEEDED", "nor is more given back than was taken"


async def one_file_an_hour(house: House, rest: bytes = LARGE) -> tuple[House, Export]:
    """Return the house where an hour has room for the rows of one opening, and a leased file that opens ten times."""
    export, _ = await made(house, wanting(lease=LeaseAsk(36_000, 10)))
    kept = await house.gate.exports.export(export.id)
    assert kept is not None
    hour = b"  limits: {rows_per_hour: %d}\n  fields: {customer_no" % kept.rows
    return lists(house, POLICY.replace(b"  fields: {customer_no", hour), rest), export


async def test_who_stops_waiting_for_a_file_loses_none_of_his_rows_and_the_log_tells_its_end(
    small_chunks: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by his deadline, on a slow day: else the file would open for nobody for an hour, and look like the victim of a crash."""
    limited, export = await one_file_an_hour(small_chunks)
    began = asyncio.Event()

    async def slow(*_: object) -> None:
        began.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(limited.ledger.exports, "open_lease", slow)
        opening_it = asyncio.ensure_future(opened(limited.gate, export))
        await began.wait()
        assert await code(limited.gate, export) == "LIMIT_EXCEEDED"
        opening_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening_it
    assert [(each.kind, each.facts["export.keys"]) for each in limited.entries[-1:]] == [
        (EntryKind.OUTCOME, 0)
    ]
    assert unfinished(limited.log.leaves) == ()
    await keys(limited.gate, export)


@pytest.mark.parametrize("got", [0, 1])
async def test_an_opening_that_is_cancelled_twice_leaves_an_outcome_all_the_same(
    small_chunks: House, monkeypatch: pytest.MonkeyPatch, got: int
) -> None:
    """The second time while the outcome is on its way to the disk, before the first keys and behind them."""
    export, _ = await made(small_chunks)
    began, log = asyncio.Event(), SlowEnd(small_chunks.log)

    async def slow(*_: object) -> None:
        began.set()
        await asyncio.Event().wait()

    async def running() -> None:
        async with aclosing(cast("Any", open_export(gate, ME, WHY, export.id))) as replies:
            async for _ in replies:
                began.set()
                await asyncio.Event().wait()

    gate = replace(small_chunks.gate, log=log)
    if not got:
        monkeypatch.setattr(small_chunks.ledger.exports, "open_lease", slow)
    await cancelled_twice(running(), began, log)
    end = small_chunks.entries[-1]
    assert (end.kind, bool(end.facts["export.keys"])) == (EntryKind.OUTCOME, bool(got))


FOUR_EYES = b"""
apiVersion: fujie.dev/v1
kind: Params
metadata: {name: large-lists}
spec: {guards: {exports-need-four-eyes: {one_approval_from: 1, two_approvals_from: 60000, never_from: 70000}}}
"""


async def test_an_approval_that_can_not_be_used_up_costs_no_rows(
    small_chunks: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited, export = await one_file_an_hour(small_chunks, FOUR_EYES)
    asked = await opened(limited.gate, export, COLLEAGUE)
    assert isinstance(asked, Refusal)
    await approve(limited.gate, OFFICER, NOTHING, id_of(asked.approval))
    why = replace(WHY, approval=asked.approval)

    async def away(*_: object) -> None:
        raise LedgerError("away")

    with monkeypatch.context() as patch:
        patch.setattr(limited.ledger, "end_approval", away)
        assert await code(limited.gate, export, COLLEAGUE, why) == "LEDGER_UNAVAILABLE"
    assert isinstance(await opened(limited.gate, export, COLLEAGUE, why), dict)


async def test_a_file_that_took_hours_has_no_more_rows_than_an_hour_opens(small_chunks: House) -> None:
    """An opening takes all of them at once: with one row more it would open for nobody, ever."""
    hour = b"  limits: {rows_per_hour: 12}\n  fields: {customer_no"
    limited, came = lists(small_chunks, POLICY.replace(b"  fields: {customer_no", hour), LARGE), Came()
    async for answer in exporting(limited.gate, wanting(lease=LeaseAsk(36_000, 3))):
        came.take(answer)
        limited.hands.time += timedelta(minutes=61)
    assert (came.code, [part.rows for part in came.parts]) == ("LIMIT_EXCEEDED", [8, 4])
    assert came.head is not None
    assert came.head.export is not None
    limited.hands.time += timedelta(minutes=61)
    assert None not in read(came.data, await keys(limited.gate, came.head.export))


async def test_nobody_without_a_grant_learns_whether_an_export_exists(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house)
    absent = replace(export, id="0" * 32)
    for who, told in ((STRANGER, "NO_GRANT"), (AUDITOR, "NO_GRANT"), (COURIER, "EXPORT_NOT_FOUND")):
        refusals = [await opened(house.gate, each, who) for each in (export, absent)]
        assert all(isinstance(each, Refusal) for each in refusals)
        assert (
            len(
                {
                    (each.reasons, each.field, each.approval)
                    for each in refusals
                    if isinstance(each, Refusal)
                }
            )
            == 1
        )
        assert await code(house.gate, export, who) == told
    for act in (get_export, revoke_export):
        ends = [await act(house.gate, STRANGER, NOTHING, each.id) for each in (export, absent)]
        assert len({each.reasons for each in ends if isinstance(each, Refusal)}) == 1
    assert len(await keys(house.gate, export)) > 3


NARROW = POLICY.replace(b'name: reveal, phone: "keep(3,4)"', b'name: reveal, phone: "keep(3,2)"')


async def test_who_would_get_less_today_does_not_open_what_holds_more(small_chunks: House) -> None:
    """Also the requester himself: the decision is of now."""
    house = small_chunks
    export, _ = await made(house)
    narrow = lists(house, NARROW, LARGE)
    for who in (ME, COLLEAGUE):
        assert await code(narrow.gate, export, who) == "FIELD_NOT_GRANTED"
    gone = lists(house, POLICY.replace(b"gender: reveal, ", b""), LARGE)
    assert await code(gone.gate, export) == "FIELD_NOT_GRANTED"
    known = await house.gate.exports.export(export.id)
    assert known is not None
    assert known.lease == export.lease


async def test_the_basis_needs_its_evidence_again(small_chunks: House) -> None:
    export, _ = await made(small_chunks)
    assert await code(small_chunks.gate, export, why=NOTHING) == "BASIS_EVIDENCE_MISSING"


async def test_what_others_agreed_to_opens_for_the_requester_and_for_nobody_else(
    small_chunks: House,
) -> None:
    house = lists(small_chunks, POLICY)  # 25 rows and more need a second person
    asked = leased(max_rows=30)
    wanted = (await exported(house.gate, asked)).refusal
    assert wanted is not None
    await agreed(house, wanted.approval)
    export, _ = await made(house, replace(asked, context=replace(asked.context, approval=wanted.approval)))
    assert export.rows == 0
    known = await house.gate.exports.export(export.id)
    assert known is not None
    assert known.rows >= 25
    assert len(await keys(house.gate, export)) > 3
    refusal = await opened(house.gate, export, COLLEAGUE)
    assert isinstance(refusal, Refusal)
    assert refusal.approval
    assert refusal.approval != wanted.approval
    borrowed = replace(WHY, approval=wanted.approval)
    assert await code(house.gate, export, COLLEAGUE, borrowed) == "X_EXPORT_NEEDS_APPROVAL"
    await agreed(house, refusal.approval)
    own = replace(WHY, approval=refusal.approval)
    assert isinstance(await opened(house.gate, export, COLLEAGUE, own), dict)
    assert await code(house.gate, export, COLLEAGUE, own) == "X_EXPORT_NEEDS_APPROVAL"  # used up


async def test_nobody_is_asked_to_agree_to_a_file_that_is_dead(small_chunks: House) -> None:
    house = lists(small_chunks, POLICY)
    asked = leased(max_rows=30)
    wanted = (await exported(house.gate, asked)).refusal
    assert wanted is not None
    await agreed(house, wanted.approval)
    export, _ = await made(house, replace(asked, context=replace(asked.context, approval=wanted.approval)))
    closing = Closing(at=house.hands.now(), by=ADMIN.subject, why="PRINCIPAL_OFFBOARDED")
    await house.gate.exports.close_export(export.id, closing)
    refusal = await opened(house.gate, export, COLLEAGUE)
    assert isinstance(refusal, Refusal)
    assert (refusal.reasons[0].code, refusal.approval) == ("EXPORT_CLOSED", "")
    assert await code(house.gate, export, STRANGER) == "NO_GRANT"


async def test_the_log_holds_who_opened_what_before_any_key_left(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house)
    start = len(house.entries)
    seen: list[list[str]] = []
    async for reply in open_export(house.gate, COLLEAGUE, WHY, export.id):
        assert isinstance(reply, KeysReply)
        seen.append([entry.kind for entry in house.entries[start:]])
    assert seen[0] == [EntryKind.ADMISSION, EntryKind.RELEASE]
    admission, release, outcome = house.entries[start:]
    assert outcome.kind is EntryKind.OUTCOME
    for entry in (admission, release, outcome):
        assert (entry.principal, entry.action, entry.effect) == ("marketer-2", "export", "ALLOW")
        assert entry.facts["export.id"] == export.id
        assert entry.sids == ()
    known = await wrapped_keys(house, export)
    assert (release.facts["export.chunks"], release.facts["export.lost"]) == (len(known), 0)
    assert outcome.facts["export.keys"] == len(known)


class Failing(RecordingLog):
    """A log that takes `most` entries more."""

    def __init__(self, inner: Any, most: int) -> None:
        super().__init__(inner)
        self.most = most

    async def append(self, leaf: bytes) -> int:
        if self.most == 0:
            raise LogUnavailable("full")
        self.most -= 1
        return await super().append(leaf)


@pytest.mark.parametrize("most", [0, 1])
async def test_without_its_entry_no_key_leaves(small_chunks: House, most: int) -> None:
    export, _ = await made(small_chunks)
    gate = replace(small_chunks.gate, log=Failing(small_chunks.log, most))
    with pytest.raises(LogUnavailable):
        await anext(open_export(gate, ME, WHY, export.id))


async def test_keys_stop_for_who_leaves_in_between(
    small_chunks: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = small_chunks
    export, _ = await made(house)
    monkeypatch.setattr(opening, "MOST_KEYS", 2)
    got: list[KeysReply | Refusal] = []
    async for reply in open_export(house.gate, COLLEAGUE, WHY, export.id):
        got.append(reply)
        await house.ledger.directory.employ(
            COLLEAGUE.subject, State.SUSPENDED, house.hands.now(), ADMIN.subject
        )
    assert [type(each).__name__ for each in got] == ["KeysReply", "Refusal"]
    assert house.entries[-1].facts["export.keys"] == 2


async def test_an_opening_that_is_given_up_is_told_with_what_left(small_chunks: House) -> None:
    export, _ = await made(small_chunks)
    stream = open_export(small_chunks.gate, ME, WHY, export.id)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert small_chunks.entries[-1].kind is EntryKind.OUTCOME


async def test_a_customer_is_traced_by_key_and_by_phone_with_who_opened(small_chunks: House) -> None:
    house = small_chunks
    export, file = await made(house)
    whole = read(file, await keys(house.gate, export, COLLEAGUE))
    _, place = await somebody(house, whole)
    key, phone = await named(house, whole[place])
    for ref in (key, phone):
        traced = await trace_customer(house.gate, AUDITOR, NOTHING, TraceQuery(ref))
        assert isinstance(traced, TracesReply)
        [trace] = traced.page.rows
        assert (trace.export.id, trace.chunks) == (export.id, (place,))
        assert [each.principal for each in trace.openings] == ["marketer-2"]
        assert house.entries[-1].sids
    nobody = await trace_customer(house.gate, AUDITOR, NOTHING, TraceQuery(StoreKey("crm", "C99999")))
    assert isinstance(nobody, TracesReply)
    assert nobody.page.rows == ()
    refusal = await trace_customer(house.gate, ME, NOTHING, TraceQuery(key))
    assert isinstance(refusal, Refusal)


async def test_lists_show_all_to_who_decides_and_his_own_to_the_requester(small_chunks: House) -> None:
    house = small_chunks
    mine, _ = await made(house)
    await exported(house.gate, wanting(), COLLEAGUE)
    everything = await list_exports(house.gate, OFFICER, NOTHING, ExportFilter(), Slice())
    assert isinstance(everything, ExportsReply)
    assert [each.requester for each in everything.page.rows] == ["marketer-2", "marketer"]
    own = await list_exports(house.gate, ME, NOTHING, ExportFilter(requester=ME.subject), Slice())
    assert isinstance(own, ExportsReply)
    assert [(each.id, each.state) for each in own.page.rows] == [(mine.id, ExportState.COMPLETE)]
    for asked in (ExportFilter(), ExportFilter(requester=COLLEAGUE.subject)):
        refusal = await list_exports(house.gate, ME, NOTHING, asked, Slice())
        assert isinstance(refusal, Refusal)
        assert refusal.reasons[0].code == "NO_GRANT"
    shown = await get_export(house.gate, ME, NOTHING, mine.id)
    assert isinstance(shown, ExportReply)
    assert isinstance(await get_export(house.gate, COLLEAGUE, NOTHING, mine.id), Refusal)


async def agreed(house: House, name: str) -> None:
    for who in (OFFICER, OFFICER_2):
        await approve(house.gate, who, NOTHING, id_of(name))


async def somebody(house: House, whole: Sequence[bytes | None]) -> tuple[str, int]:
    """Return the sid of a customer in the second part that has rows, and its place."""
    key, _ = await named(house, whole[1])
    identity = await house.ledger.find((key,))
    assert identity is not None
    return identity.sid, 1


async def named(house: House, part: bytes | None) -> tuple[StoreKey, Phone]:
    """Return how the first customer of a part of JSON lines is called."""
    assert part is not None
    key = StoreKey("crm", json.loads(part.splitlines()[0])["customer_no"])
    [row] = await house.gate.stores["crm"].fetch(key, frozenset(), frozenset(), 5.0)
    return key, Phone(row.phone)


async def wrapped_keys(house: House, export: Export) -> list[bytes]:
    select = sa.select(export_chunk.c.wrapped_key).where(
        export_chunk.c.export_id == export.id, export_chunk.c.wrapped_key.is_not(None)
    )
    return await house.ledger.database.transact(
        lambda connection: [bytes(row[0]) for row in connection.execute(select)]
    )


def ledger_bytes(house: House) -> bytes:
    """Return every byte of the ledger's files."""
    return b"".join(path.read_bytes() for path in sorted(house.root.glob("ledger.db*")))
