"""Exports against a gate of real parts: each row on its own, evidence before it leaves, an outcome however it ends."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import fujie.flows.export as flow
from flows.test_opt_outs import opt_out
from fujie.audit.errors import LogUnavailable
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.export_filling import SEARCH_S
from fujie.flows.export_reply import ExportPart
from fujie.flows.lookup import lookup
from fujie.flows.reply import LookupReply, PrincipalReply
from fujie.model.customer import StoreKey
from fujie.model.errors import StoreError
from fujie.model.export import Closing, ExportState, Format
from fujie.model.record import Fetched
from fujie.model.request import LeaseAsk, RequestContext
from fujie.model.vocabulary import State
from fujie.ports.stores import Scan
from support.exports import (
    LARGE,
    ME,
    MUCH_AT_ONCE,
    POLICY,
    Came,
    export,
    exported,
    last,
    lists,
    released,
    wanting,
)
from support.house import ADMIN, Changing, House, ask, caller

NOBODY = caller("nobody-in-particular")
EVERYBODY = POLICY.replace(b"customer.owner_department == principal.department", b'"true"')
Act = Callable[[House], Awaitable[object]]


class Doors:
    """A store that counts what is read of a scan, lets something happen before a batch, and can break."""

    def __init__(self, inner: Any, act: Callable[[int], Awaitable[object]] | None = None) -> None:
        self._inner = inner
        self._act = act
        self.batches = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def scan(self, wanted: Scan, timeout_s: float) -> AsyncIterator[AsyncIterator[Sequence[Fetched]]]:
        async with self._inner.scan(wanted, timeout_s) as batches:
            yield self._counted(batches)

    async def _counted(self, batches: AsyncIterator[Sequence[Fetched]]) -> AsyncIterator[Sequence[Fetched]]:
        async for rows in batches:
            if self._act is not None:
                await self._act(self.batches)
            self.batches += 1
            yield rows


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks of ten: two hundred customers are many of them then."""
    monkeypatch.setattr(flow, "CHUNK", 10)


async def test_a_chunk_whose_entry_would_be_too_large_leaves_under_several(house: House) -> None:
    """The sids of a thousand customers leave little room for what a rule read, such as who has hundreds of roles."""
    rule = b"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: no-interns}
spec:
  match: {actions: [export]}
  validations:
    - {name: no-intern, expression: "!('intern' in principal.roles)", reason: X_LISTED_MINOR}
"""
    at = lists(house, EVERYBODY, LARGE, rule)
    me = await at.ledger.directory.get("marketer")
    assert me is not None
    many = frozenset(f"{n:06d}" for n in range(6_600))
    await at.ledger.directory.upsert(replace(me, roles=me.roles | many), at.hands.now())
    before = len(at.entries)
    came = await exported(at.gate, wanting())
    assert came.tail is not None
    assert len(came.rows) == came.tail.rows > 150
    assert len(released(at, before)) == len(set(released(at, before))) == came.tail.rows
    entries = [entry for entry in at.entries[before:] if entry.kind == "release"]
    assert len(entries) > len(came.parts)
    assert sum(int(str(entry.facts["decision.people"])) for entry in entries) == came.tail.rows


def rows_of(crm: Path, where: str = "1") -> list[sqlite3.Row]:
    store = sqlite3.connect(crm)
    store.row_factory = sqlite3.Row
    with closing(store):
        return store.execute(f"SELECT * FROM customer WHERE {where} ORDER BY id").fetchall()


def through(house: House, act: Callable[[int], Awaitable[object]] | None = None) -> tuple[House, Doors]:
    doors = Doors(house.gate.stores["crm"], act)
    return replace(house, gate=replace(house.gate, stores={"crm": cast("Any", doors)})), doors


async def until_chunk(house: House, number: int, act: Act, **changes: Any) -> Came:
    """Export, and let `act` happen while the reader has chunk `number`."""
    came = Came()
    async for answer in export(house.gate, wanting(**changes)):
        came.take(answer)
        if isinstance(answer, ExportPart) and answer.number == number:
            await act(house)
    return came


async def test_what_leaves_is_what_every_look_up_of_its_own_would_show(house: House, crm: Path) -> None:
    house = lists(house, POLICY.replace(b"[export], stores", b"[export, lookup], stores"), LARGE)
    came = await exported(house.gate, wanting())
    assert came.tail is not None
    assert came.tail.rows == len(came.rows) > 50
    seen = {row["customer_no"]: row for row in came.rows}
    for row in rows_of(crm)[:40]:
        reply = await lookup(
            house.gate, ME, ask("customer_no", "gender", "name", "phone", customer=row["id"]), 2
        )
        shown = dict(reply.customer) if isinstance(reply, LookupReply) else None
        # A guard of the list alone: a look-up shows a minor with a ticket, and here nobody has one.
        assert seen.get(row["id"]) == shown


async def test_rows_that_left_were_withheld_and_are_outside_add_up_to_the_store(
    house: House, crm: Path
) -> None:
    house = lists(house)
    await opt_out(house, StoreKey("crm", "C00003"))
    came = await exported(house.gate, wanting())
    east = rows_of(crm, "department = 'east'")
    minors = [row for row in east if row["minor"]]
    outcome = last(house)
    assert outcome["export.rows"] == len(east) - len(minors) - 1 == len(came.rows)
    told = dict(each.rsplit(" ", 1) for each in outcome["export.withheld"])
    assert sum(map(int, told.values())) == len(minors) + 1
    assert told["X_LISTED_OPTED_OUT"] == "1"
    assert outcome["export.end"] == "COMPLETE"
    assert came.tail is not None
    assert set(came.tail.withheld.values()) == {0}, "fewer than ten are nobody's business"
    assert "NO_GRANT" not in came.tail.withheld


async def test_counts_of_the_withheld_are_told_from_ten_on_and_never_behind_a_filter(house: House) -> None:
    house = lists(house, EVERYBODY, LARGE)
    came = await exported(house.gate, wanting())
    assert came.tail is not None
    assert max(came.tail.withheld.values()) >= 10
    came = await exported(house.gate, wanting('gender = "F"'))
    assert came.tail is not None
    assert came.tail.withheld == {}


async def test_evidence_names_every_row_before_it_leaves(house: House, ten: None) -> None:
    house = lists(house)
    async with aclosing(cast("Any", export(house.gate, wanting()))) as answers:
        left = 0
        async for answer in answers:
            if isinstance(answer, ExportPart):
                left += answer.rows
                assert len(released(house)) == left, "the entry is there when the chunk is"
                kept = await house.gate.exports.export(answer.summary.decision_id)
                assert kept is not None
                assert kept.rows == left
    kinds = [entry.kind for entry in house.entries]
    assert kinds[0] == "admission"
    assert kinds[-1] == "outcome"
    assert len(set(released(house))) == left
    assert kept is not None
    assert kept.state is ExportState.RUNNING
    assert {entry.decision_id for entry in house.entries} == {kept.id}
    ended = await house.gate.exports.export(kept.id)
    assert ended is not None
    assert ended.state is ExportState.COMPLETE


async def offboard(house: House) -> object:
    return await offboard_principal(house.gate, ADMIN, RequestContext(), ME.subject)


def becoming(**changes: Any) -> Act:
    async def act(house: House) -> object:
        now = await house.gate.directory.get(ME.subject)
        assert now is not None
        reply = await upsert_principal(house.gate, ADMIN, RequestContext(), replace(now, **changes))
        assert isinstance(reply, PrincipalReply), reply
        return reply

    return act


async def lapse_by_the_clock(house: House) -> None:
    """Nobody writes anything while it runs: the time comes."""
    await becoming(training_until=house.hands.time + timedelta(seconds=1))(house)
    house.hands.time += timedelta(seconds=2)


async def leave_by_the_clock(house: House) -> None:
    at = house.hands.time + timedelta(seconds=1)
    await offboard_principal(house.gate, ADMIN, RequestContext(), ME.subject, at)
    house.hands.time += timedelta(seconds=2)


async def revoke(house: House) -> object:
    (running,) = {entry.decision_id for entry in house.entries if entry.action == "export"}
    return await house.gate.exports.close_export(
        running, Closing(at=house.hands.now(), by="boss", why="EXPORT_REVOKED")
    )


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (offboard, "PRINCIPAL_OFFBOARDED"),
        (becoming(employment=State.SUSPENDED), "PRINCIPAL_SUSPENDED"),
        (becoming(roles=frozenset({"nothing"})), "NO_GRANT"),
        (becoming(training=State.LAPSED), "TRAINING"),
        (lapse_by_the_clock, "TRAINING"),
        (leave_by_the_clock, "PRINCIPAL_OFFBOARDED"),
        (revoke, "EXPORT_CLOSED"),
    ],
    ids=["offboarded", "suspended", "another-role", "training-lapsed", "lapsing", "leaving", "revoked"],
)
async def test_who_may_not_any_more_gets_no_further_chunk(
    house: House, ten: None, act: Act, code: str
) -> None:
    house = lists(house)
    came = await until_chunk(house, 1, act)
    assert code in came.code
    assert [part.number for part in came.parts] == [0, 1]
    assert came.tail is None
    outcome = last(house)
    assert (outcome["export.rows"], outcome["export.chunks"]) == (20, 2)
    assert outcome["export.end"] == came.code
    assert len(released(house)) in (20, 30), (
        "what was closed in the ledger may stand in the log, and did not leave"
    )
    assert came.head is not None
    assert came.head.export is not None
    kept = await house.gate.exports.export(came.head.export.id)
    assert kept is not None
    assert kept.state is ExportState.STOPPED


async def test_who_moves_to_another_department_gets_the_rows_of_that_one(
    house: House, crm: Path, ten: None
) -> None:
    house = lists(house)
    came = await until_chunk(house, 1, becoming(department="north"))
    assert came.tail is not None
    departments = {row["id"]: row["department"] for row in rows_of(crm)}
    assert {departments[row["customer_no"]] for row in came.rows[:20]} == {"east"}
    assert {departments[row["customer_no"]] for row in came.rows[20:]} == {"north"}


async def test_who_opts_out_while_an_export_runs_is_in_none_of_the_chunks_behind(
    house: House, ten: None
) -> None:
    house = lists(house)
    listed = [row["customer_no"] for row in (await exported(house.gate, wanting())).rows]
    later = listed[25:40]

    async def act(house: House) -> None:
        for each in later:
            await opt_out(house, StoreKey("crm", each))
        house.hands.ahead += 1.0  # the chunk that was ready has waited for its reader

    came = await until_chunk(house, 1, act)
    assert [row["customer_no"] for row in came.rows] == [each for each in listed if each not in later]


async def test_a_slow_reader_holds_one_chunk_ahead_and_no_more(house: House, ten: None) -> None:
    house, doors = through(lists(house))
    async with aclosing(cast("Any", export(house.gate, wanting()))) as answers:
        parts = 0
        async for answer in answers:
            for _ in range(50):  # as long as it likes
                await asyncio.sleep(0.001)
            parts += isinstance(answer, ExportPart)
            # Of most batches somebody stays behind, so a chunk takes one or two.
            assert doors.batches <= parts + 3


async def test_a_reader_who_leaves_leaves_an_outcome(house: House, ten: None) -> None:
    house = lists(house)
    answers = cast("Any", export(house.gate, wanting()))
    async for answer in answers:
        if isinstance(answer, ExportPart):
            break
    await answers.aclose()
    assert last(house)["export.end"] == "CANCELLED"
    assert last(house)["export.rows"] == 10
    kept = await house.gate.exports.export(house.entries[0].decision_id)
    assert kept is not None
    assert (kept.state, kept.reason, kept.rows) == (ExportState.STOPPED, "CANCELLED", 10)


@pytest.mark.parametrize(
    ("act", "code"),
    [(offboard, "PRINCIPAL_OFFBOARDED"), (becoming(employment=State.SUSPENDED), "PRINCIPAL_SUSPENDED")],
    ids=["offboarded", "suspended"],
)
async def test_the_outcome_of_a_reader_who_was_let_go_says_why(
    house: House, ten: None, act: Act, code: str
) -> None:
    """As the stream does with who takes no more of it, and may not any more: it closes the flow."""
    house = lists(house)
    answers = cast("Any", export(house.gate, wanting()))
    async for answer in answers:
        if isinstance(answer, ExportPart):
            break
    await act(house)
    await answers.aclose()
    assert last(house)["export.end"] == code
    kept = await house.gate.exports.export(house.entries[0].decision_id)
    assert kept is not None
    assert (kept.state, kept.reason, kept.rows) == (ExportState.STOPPED, code, 10)


async def test_a_call_that_is_cancelled_while_it_reads_leaves_an_outcome(house: House, ten: None) -> None:
    stuck = asyncio.Event()

    async def act(batch: int) -> None:
        if batch == 2:
            stuck.set()
            await asyncio.Event().wait()

    house, _ = through(lists(house), act)
    running = asyncio.ensure_future(exported(house.gate, wanting()))
    await stuck.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert last(house)["export.end"] == "CANCELLED"


async def test_whoever_leaves_while_the_store_hangs_is_told_without_the_store(
    house: House, ten: None
) -> None:
    hanging = asyncio.Event()

    async def act(batch: int) -> None:
        if batch == 1:
            hanging.set()
            await asyncio.Event().wait()

    house, _ = through(lists(house), act)
    running = asyncio.ensure_future(exported(house.gate, wanting()))
    await hanging.wait()
    while not released(house):  # noqa: ASYNC110 - the first chunk is on its way, and its ledger would say EXPORT_CLOSED
        await asyncio.sleep(0.01)
    await offboard(house)
    assert (await running).code == "PRINCIPAL_OFFBOARDED"


async def test_a_store_that_dies_leaves_what_left_and_an_outcome(house: House, ten: None) -> None:
    async def act(batch: int) -> None:
        if batch == 2:
            raise StoreError(code="STORE_UNAVAILABLE")

    house, _ = through(lists(house), act)
    came = await exported(house.gate, wanting())
    assert came.code == "STORE_UNAVAILABLE"
    assert last(house)["export.rows"] == sum(part.rows for part in came.parts) == len(released(house)) == 20


@dataclass
class Bent:
    """A database whose rows are of another shape from the second reading on."""

    inner: Any
    bend: Callable[[list[Any]], list[Any]]
    times: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def open_scan(self, *arguments: Any) -> Any:
        return replace(self, inner=await self.inner.open_scan(*arguments))

    async def more(self, deadline: float) -> Any:
        rows = [list(row) for row in await self.inner.more(deadline)]
        self.times += 1
        return self.bend(rows) if self.times > 2 and rows else rows


BENT: dict[str, Callable[[list[Any]], list[Any]]] = {
    "short": lambda rows: [row[:-1] for row in rows],
    "long": lambda rows: [[*row, "13800131234"] for row in rows],
    "one-is-short": lambda rows: [*rows[:-1], rows[-1][:-1]],
    "one-is-empty": lambda rows: [[], *rows[1:]],
    "no-id": lambda rows: [[None, *row[1:]] for row in rows],
    "a-number-for-an-id": lambda rows: [[4.5, *row[1:]] for row in rows],
    "bytes-for-an-id": lambda rows: [[b"\xff\xfe", *row[1:]] for row in rows],
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
async def test_of_rows_in_another_shape_nothing_leaves_and_it_ends(
    house: House, ten: None, monkeypatch: pytest.MonkeyPatch, bend: Callable[[list[Any]], list[Any]]
) -> None:
    """A view that is replaced under a reader, a driver that loses a column: values in each other's places are a leak."""
    house = lists(house)
    whole, store = (await exported(house.gate, wanting())).rows, cast("Any", house.gate.stores["crm"])
    monkeypatch.setattr(store, "_source", Bent(store._source, bend))
    came = await exported(house.gate, wanting())
    assert came.code == "STORE_UNAVAILABLE"
    assert came.rows == whole[: len(came.rows)] != whole
    assert last(house)["export.rows"] == len(came.rows)
    assert "13800131234" not in came.data.decode()


async def test_without_a_durable_entry_no_chunk_leaves(house: House, ten: None) -> None:
    house = lists(house)
    came = Came()

    class Full:
        origin, healthy = house.log.origin, False

        async def append(self, leaf: bytes) -> int:
            if b'"export.chunk":1' in leaf or b'"outcome"' in leaf:
                raise LogUnavailable("full")
            return await house.log.append(leaf)

    gate = replace(house.gate, log=cast("Any", Full()))
    with pytest.raises(LogUnavailable):
        await exported(gate, wanting(), came=came)
    assert [part.number for part in came.parts] == [0]
    kept = await house.gate.exports.export(house.entries[0].decision_id)
    assert kept is not None
    assert (kept.state, kept.reason) == (ExportState.STOPPED, "LOG_UNAVAILABLE")


async def test_most_rows_is_exact_and_takes_no_more(house: House, ten: None) -> None:
    house, doors = through(lists(house))
    came = await exported(house.gate, wanting(max_rows=23))
    assert len(came.rows) == 23
    assert came.tail is not None
    assert doors.batches <= 6  # three chunks, one that was ready ahead, and a batch behind it
    assert last(house)["export.end"] == "COMPLETE"


LIMITED = POLICY.replace(b"  fields: {customer_no", b"  limits: {%s}\n  fields: {customer_no")


@pytest.mark.parametrize("limit", [b"rows_per_hour: 25", b"distinct_customers_per_day: 25"])
async def test_rows_for_which_a_limit_has_room_leave_and_then_it_ends(
    house: House, ten: None, limit: bytes
) -> None:
    house = lists(house, LIMITED % limit, LARGE)
    came = await exported(house.gate, wanting())
    assert len(came.rows) == 25
    assert came.code == "LIMIT_EXCEEDED"
    assert last(house)["export.rows"] == 25
    read = len(house.entries)
    again = await exported(house.gate, wanting('name = "nobody"'))
    assert (again.code, again.head) == ("LIMIT_EXCEEDED", None), "else 0 rows would tell that nobody passes"
    assert [entry.kind for entry in house.entries[read:]] == ["decision"]


async def test_what_was_counted_and_did_not_arrive_is_taken_up_again_at_the_limit(
    house: House, ten: None
) -> None:
    house = lists(house, LIMITED % b"distinct_customers_per_month: 25", LARGE)
    came = await exported(house.gate, wanting())
    again = await exported(house.gate, wanting(resume=came.parts[0].token))
    assert again.code == "LIMIT_EXCEEDED"
    assert again.rows == came.rows[10:] != []


async def test_every_chunk_but_the_last_is_full(house: House, ten: None) -> None:
    """However many of a batch stay behind: its size would tell how many."""
    house = lists(house, EVERYBODY, LARGE)
    for filter_ in ("", 'gender = "F"', 'customer_no > "C00050" AND name != "陈晨嘉"'):
        came = await exported(house.gate, wanting(filter_))
        sizes = [part.rows for part in came.parts]
        assert set(sizes[:-1]) == {10}
        assert 0 < sizes[-1] <= 10
        assert last(house)["export.rows"] == sum(sizes) == len(came.rows)


async def test_who_is_left_out_while_a_chunk_waits_makes_room_for_the_next(house: House, ten: None) -> None:
    house = lists(house)
    listed = [row["customer_no"] for row in (await exported(house.gate, wanting())).rows]

    async def act(house: House) -> None:
        for each in listed[23:26]:
            await opt_out(house, StoreKey("crm", each))
        house.hands.ahead += 1.0

    came = await until_chunk(house, 1, act)
    assert {part.rows for part in came.parts[:-1]} == {10}
    assert len(came.rows) == len(listed) - 3
    withheld = dict(each.rsplit(" ", 1) for each in last(house)["export.withheld"])
    assert withheld["X_LISTED_OPTED_OUT"] == "3"


async def test_a_search_that_takes_too_long_gives_what_it_found(house: House, ten: None) -> None:
    async def act(batch: int) -> None:
        house.hands.ahead += SEARCH_S + 1

    house, doors = through(lists(house, EVERYBODY, LARGE), act)
    came = await exported(house.gate, wanting())
    assert came.tail is not None
    assert len(came.rows) == last(house)["export.rows"] > 0
    assert any(part.rows < 10 for part in came.parts[:-1])
    assert doors.batches >= len(came.parts)


async def test_counts_of_the_withheld_differ_by_nobody_between_one_row_and_the_next(house: House) -> None:
    """Else the count, asked for with one row more each time, would tell between whom who was refused stands."""
    house = lists(house, EVERYBODY, LARGE)
    whole = await exported(house.gate, wanting())
    assert whole.tail is not None
    assert {count % 10 for count in whole.tail.withheld.values()} == {0}
    for rows in range(len(whole.rows) - 5, len(whole.rows)):
        came = await exported(house.gate, wanting(max_rows=rows))
        assert came.tail is not None
        assert came.tail.withheld == {}


async def test_every_chunk_is_counted_where_a_rule_reads_what_stands_out(house: House, ten: None) -> None:
    house = lists(house, POLICY + MUCH_AT_ONCE, LARGE)
    house.hands.time += timedelta(days=-1)
    assert len((await exported(house.gate, wanting(max_rows=3))).rows) == 3
    await house.ledger._observer.catch_up()
    house.hands.time += timedelta(days=1)
    came = await exported(house.gate, wanting())
    assert len(came.rows) > 20, "what is on its way ends by itself"
    await house.ledger._observer.catch_up()
    assert (await exported(house.gate, wanting(max_rows=1))).code == "X_LISTED_MINOR"


async def test_exports_at_the_same_time_share_one_limit_exactly(house: House, ten: None) -> None:
    house = lists(house, LIMITED % b"rows_per_hour: 57", LARGE)
    all_of_them = await asyncio.gather(*(exported(house.gate, wanting()) for _ in range(4)))
    assert sum(len(came.rows) for came in all_of_them) == 57
    assert {came.code for came in all_of_them} == {"LIMIT_EXCEEDED"}


async def test_a_limit_per_request_refuses_before_anything_is_read(house: House) -> None:
    house, doors = through(lists(house, LIMITED % b"rows_per_request: 100", LARGE))
    came = await exported(house.gate, wanting(max_rows=101))
    assert came.code == "LIMIT_EXCEEDED"
    assert doors.batches == 0
    assert (await exported(house.gate, wanting(max_rows=100))).code == ""


async def test_who_holds_no_grant_is_told_no_more_whatever_the_request(house: House) -> None:
    house, doors = through(lists(house))
    for asked in (wanting(), wanting("((("), wanting(store="no-such-store"), wanting(fields=("nothing",))):
        assert (await exported(house.gate, asked, NOBODY)).code == "NO_GRANT"
    assert doors.batches == 0


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"filter": "gender ="}, "FILTER_INVALID"),
    ({"filter": 'phone = "+8613800131234"'}, "FILTER_NOT_REVEALED"),
    ({"filter": 'email = "a@example.com"'}, "FILTER_NOT_REVEALED"),
    ({"filter": 'birthday = "1990-01-01"'}, "FILTER_NOT_REVEALED"),
    ({"fields": ("plate",)}, "NO_FIELD_GRANTED"),
    ({"store": "nowhere"}, "NO_GRANT"),
    ({"resume": "no token of ours"}, "RESUME_TOKEN_INVALID"),
)


async def test_what_can_not_be_is_refused_before_anything_is_read(house: House) -> None:
    house, doors = through(lists(house))
    for changes, code in IMPOSSIBLE:
        assert (await exported(house.gate, wanting(**changes))).code == code
    assert doors.batches == 0
    assert {entry.kind for entry in house.entries} == {"decision"}


async def test_only_deciding_reads_nothing_and_takes_nothing(house: House) -> None:
    house, doors = through(lists(house))
    came = await exported(house.gate, wanting(validate_only=True))
    assert came.head is not None
    assert came.head.export is None
    assert str(came.head.treatments["phone"].step) == "keep(3,4)"
    assert (doors.batches, came.parts, came.tail) == (0, [], None)
    assert [entry.kind for entry in house.entries] == ["decision"]


@pytest.mark.parametrize(
    ("policies", "code", "least"),
    [((LARGE,), "NO_GRANT", 10), ((POLICY,), "X_EXPORT_NEEDS_APPROVAL", 10), ((POLICY, LARGE), "", 50)],
    ids=["closed", "four-eyes", "the-same-anew"],
)
async def test_policies_that_take_the_place_of_others_while_an_export_runs_decide_on_the_rest(
    house: House, ten: None, policies: tuple[bytes, ...], code: str, least: int
) -> None:
    house, later = lists(house), lists(house, *policies)

    async def act(house: House) -> None:
        in_force.current = later.gate.policies.current

    in_force = Changing(house.gate.policies.current)
    house = replace(house, gate=replace(house.gate, policies=in_force))
    came = await until_chunk(house, 0, act, max_rows=100)
    assert came.code == code
    assert (len(came.rows) > least) if not code else (len(came.rows) == least)


async def test_no_personal_data_is_in_the_log_or_in_metrics(house: House, crm: Path, ten: None) -> None:
    house = lists(house)
    await exported(house.gate, wanting('gender = "F" AND name != "陈晨嘉"'))
    await exported(house.gate, wanting(format=Format.CSV))
    whole = b"".join(house.log.leaves).decode() + str(house.counted)
    for row in rows_of(crm):
        for column in ("id", "full_name", "mobile", "id_number", "email", "address", "plate"):
            assert row[column] not in whole


async def test_a_leased_file_leaves_sealed(house: House) -> None:
    house = lists(house)
    came = await exported(house.gate, wanting(format=Format.CSV, lease=LeaseAsk(3600, 3)))
    assert came.tail is not None
    assert len(came.parts) > 0
    assert "陈".encode() not in came.data
    assert all(part.token == "" for part in came.parts)
    assert came.head is not None
    assert came.head.export is not None
    kept = await house.gate.exports.export(came.head.export.id)
    assert kept is not None
    assert kept.lease is not None
    assert kept.lease.opens_left == 3
