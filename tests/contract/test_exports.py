"""What every register of exports must do (`ports.exports.Exports`)."""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from fujie.adapters.ledger import SQLLedger, export_keys, export_traces
from fujie.adapters.ledger.database import Query
from fujie.model.errors import LedgerError, RequestError
from fujie.model.export import (
    Closing,
    Export,
    ExportChunk,
    ExportEnd,
    ExportFilter,
    ExportState,
    Format,
    Lease,
    Opening,
    Trace,
)
from fujie.model.limit import Charge, Limit, Rows
from fujie.model.page import Slice

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
BOTH = tuple[SQLLedger, SQLLedger]


def export(number: int, opens: int = 3, requester: str = "marketer", store: str = "crm") -> Export:
    """Return an export that begins, with a leased file unless `opens` is 0."""
    lease = Lease(expires_at=NOW + timedelta(hours=1), opens_left=opens) if opens else None
    return Export(
        id=f"{number:032x}",
        requester=requester,
        caller="crm-server",
        store=store,
        purpose="marketing",
        basis="consent",
        steps={"phone": "keep(3,4)", "name": "reveal"},
        request_digest="digest",
        bundle="bundle",
        started_at=NOW + timedelta(minutes=number),
        format=Format.CSV,
        approval="approvals/1",
        lease=lease,
    )


def chunk(of: Export, number: int, *sids: str) -> ExportChunk:
    return ExportChunk(of.id, number, sids, b"key %d" % number if of.lease else None)


def by(who: str = "officer", why: str = "EXPORT_REVOKED", minutes: int = 5) -> Closing:
    return Closing(at=NOW + timedelta(minutes=minutes), by=who, why=why)


def opening(minutes: int = 1, who: str = "marketer") -> Opening:
    return Opening(who, NOW + timedelta(minutes=minutes))


async def begun(ledger: SQLLedger, wanted: Export, *chunks: tuple[str, ...]) -> Export:
    await ledger.exports.begin_export(wanted)
    for number, sids in enumerate(chunks):
        await ledger.exports.add_chunk(chunk(wanted, number, *sids))
    return wanted


async def keys_of(ledger: SQLLedger, of: Export, minutes: int = 1) -> list[bytes | None]:
    found = await ledger.exports.open_lease(of.id, opening(minutes))
    assert list(found) == list(range(len(found)))
    return list(found.values())


async def refusal(ledger: SQLLedger, of: Export, minutes: int = 1) -> str:
    with pytest.raises(RequestError) as refused:
        await ledger.exports.open_lease(of.id, opening(minutes))
    return refused.value.code


async def test_an_export_is_told_as_it_was_begun_with_the_rows_that_left(ledgers: BOTH) -> None:
    here, there = ledgers
    wanted = await begun(here, export(1), ("s1", "s2"), ("s3",))
    assert await there.exports.export(wanted.id) == replace(wanted, rows=3)
    end = ExportEnd(ExportState.STOPPED, NOW + timedelta(minutes=9), 2, "LIMIT_EXCEEDED")
    await there.exports.end_export(wanted.id, end)
    await here.exports.end_export(wanted.id, ExportEnd(ExportState.COMPLETE, NOW, 7))
    ended = replace(wanted, rows=2, state=end.state, ended_at=end.at, reason=end.reason)
    assert await here.exports.export(wanted.id) == ended
    assert await here.exports.export("0" * 32) is None


async def test_nothing_is_added_to_an_export_that_ended_or_was_closed_or_never_began(ledgers: BOTH) -> None:
    here, there = ledgers
    ended, closed = await begun(here, export(1), ("s1",)), await begun(here, export(2), ("s1",))
    await there.exports.end_export(ended.id, ExportEnd(ExportState.COMPLETE, NOW, 1))
    await there.exports.close_export(closed.id, by())
    for each in (ended, closed, export(3)):
        with pytest.raises(RequestError, match="EXPORT_CLOSED"):
            await here.exports.add_chunk(chunk(each, 1, "s9"))
    assert (await here.exports.traces(["s9"], Slice())).rows == ()


async def test_a_chunk_is_there_with_everybody_in_it_or_not_at_all(ledgers: BOTH) -> None:
    here, _ = ledgers
    wanted = await begun(here, export(1), ("s1",))
    with pytest.raises(LedgerError):
        await here.exports.add_chunk(chunk(wanted, 0, "s2"))  # that number was taken
    assert (await here.exports.traces(["s2"], Slice())).rows == ()
    known = await here.exports.export(wanted.id)
    assert known is not None
    assert known.rows == 1


async def test_a_person_with_two_rows_in_a_chunk_counts_twice_and_is_held_once(ledgers: BOTH) -> None:
    here, _ = ledgers
    wanted = await begun(here, export(1), ("s1", "s1", "s2"))
    assert (await here.exports.traces(["s1"], Slice())).rows == (Trace(replace(wanted, rows=3), (0,)),)


async def test_the_last_export_comes_first_on_every_page_and_filters_narrow(ledgers: BOTH) -> None:
    here, there = ledgers
    for number in range(5):
        of = "marketer" if number % 2 else "analyst"
        await begun(here, export(number, requester=of, store="crm" if number else "shop"))
    await here.exports.end_export(export(4).id, ExportEnd(ExportState.COMPLETE, NOW, 0))
    found, part = list[str](), Slice(size=2)
    while True:
        page = await there.exports.export_page(ExportFilter(), part)
        found += [each.id for each in page.rows]
        if not page.next:
            break
        part = Slice(page.next, 2)
    assert found == [export(number).id for number in reversed(range(5))]
    narrowed = {
        ExportFilter(requester="analyst"): [4, 2, 0],
        ExportFilter(requester="analyst", store="crm"): [4, 2],
        ExportFilter(store="shop"): [0],
        ExportFilter(requester="analyst", state=ExportState.RUNNING): [2, 0],
        ExportFilter(requester="nobody"): [],
    }
    for asked, numbers in narrowed.items():
        rows = (await there.exports.export_page(asked, Slice())).rows
        assert [int(each.id, 16) for each in rows] == numbers


async def test_each_opening_takes_one_and_the_last_one_leaves_nothing_behind(ledgers: BOTH) -> None:
    here, there = ledgers
    wanted = await begun(here, export(1, opens=2), ("s1",), ("s2",), ())
    assert await keys_of(there, wanted) == [b"key 0", b"key 1", b"key 2"]
    assert await keys_of(here, wanted, 2) == [b"key 0", b"key 1", b"key 2"]
    assert await refusal(there, wanted) == "EXPORT_USED_UP"
    assert await here.exports.close_expired(NOW + timedelta(minutes=3)) == 1
    assert await here.exports.close_expired(NOW + timedelta(minutes=3)) == 0
    known = await there.exports.export(wanted.id)
    assert known is not None
    assert (known.closed_by, known.closed_why) == ("fujie", "EXPORT_USED_UP")
    assert await refusal(there, wanted) == "EXPORT_USED_UP"
    [trace] = (await there.exports.traces(["s2"], Slice())).rows
    assert trace.chunks == (1,)
    assert trace.openings == (opening(1), opening(2))


async def test_of_many_who_take_the_last_opening_one_gets_the_keys(ledgers: BOTH) -> None:
    wanted = await begun(ledgers[0], export(1, opens=1), ("s1",))
    taking = [ledgers[n % 2].exports.open_lease(wanted.id, opening()) for n in range(6)]
    taken = await asyncio.gather(*taking, return_exceptions=True)
    assert [each for each in taken if not isinstance(each, RequestError)] == [{0: b"key 0"}]
    assert {each.code for each in taken if isinstance(each, RequestError)} == {"EXPORT_USED_UP"}


async def test_what_can_not_be_opened_says_why(ledgers: BOTH) -> None:
    here, _ = ledgers
    expired, closed = await begun(here, export(1), ("s1",)), await begun(here, export(2), ("s1",))
    await here.exports.close_export(closed.id, by())
    plain = await begun(here, export(3, opens=0), ("s1",))
    assert await refusal(here, expired, 60) == "EXPORT_EXPIRED"
    assert await refusal(here, closed, 60) == "EXPORT_CLOSED"
    assert await refusal(here, plain) == await refusal(here, export(4)) == "EXPORT_NOT_FOUND"
    known = await here.exports.export(expired.id)
    assert known is not None
    assert known.lease == expired.lease  # a refusal takes nothing


async def test_the_end_of_a_lease_destroys_its_keys_though_nobody_opens_and_stops_who_still_writes(
    ledgers: BOTH,
) -> None:
    here, there = ledgers
    wanted = await begun(here, export(1), ("s1",))
    await begun(here, export(2, opens=0), ("s1",))
    assert await there.exports.close_expired(NOW + timedelta(minutes=59)) == 0
    assert await there.exports.open_leases(NOW + timedelta(minutes=59)) == 1
    assert await there.exports.open_leases(NOW + timedelta(hours=1)) == 0
    late = NOW + timedelta(hours=1)
    assert await there.exports.close_expired(late) == 1
    known = await here.exports.export(wanted.id)
    assert known is not None
    assert (known.state, known.reason, known.closed_at) == (ExportState.STOPPED, "EXPORT_EXPIRED", late)
    assert await refusal(here, wanted) == "EXPORT_EXPIRED"  # whatever a clock that went back says
    with pytest.raises(RequestError, match="EXPORT_CLOSED"):
        await here.exports.add_chunk(chunk(wanted, 1, "s2"))


async def test_the_first_closing_stands(ledgers: BOTH) -> None:
    here, there = ledgers
    wanted = await begun(here, export(1), ("s1",))
    first = await here.exports.close_export(wanted.id, by())
    assert (first.closed_by, first.closed_why, first.state) == (
        "officer",
        "EXPORT_REVOKED",
        ExportState.STOPPED,
    )
    assert await there.exports.close_export(wanted.id, by("somebody", "ELSE", 9)) == first
    assert await there.exports.close_exports_of("marketer", by("somebody", "ELSE", 9)) == 0
    assert await there.exports.export(wanted.id) == first
    with pytest.raises(RequestError, match="EXPORT_NOT_FOUND"):
        await here.exports.close_export("0" * 32, by())


async def test_who_leaves_takes_what_runs_and_what_can_be_opened_with_him_and_nobody_elses(
    ledgers: BOTH,
) -> None:
    here, there = ledgers
    running = await begun(here, export(1, opens=0), ("s1",))
    leased = await begun(here, export(2), ("s1",))
    over = await begun(here, export(3, opens=0), ("s1",))
    others = await begun(here, export(4, requester="analyst"), ("s1",))
    for each in (leased, over):
        await here.exports.end_export(each.id, ExportEnd(ExportState.COMPLETE, NOW, 1))
    assert await there.exports.close_exports_of("marketer", by(why="PRINCIPAL_OFFBOARDED")) == 2
    with pytest.raises(RequestError, match="EXPORT_CLOSED"):
        await here.exports.add_chunk(chunk(running, 1, "s2"))
    assert await refusal(here, leased) == "EXPORT_CLOSED"
    assert await here.exports.export(over.id) == replace(
        over, rows=1, state=ExportState.COMPLETE, ended_at=NOW
    )
    assert await keys_of(here, others) == [b"key 0"]


async def test_to_forget_a_customer_destroys_the_chunks_that_hold_him_and_no_other(ledgers: BOTH) -> None:
    here, there = ledgers
    one = await begun(here, export(1), ("s1", "s2"), ("s3",), ("s2",))
    two = await begun(here, export(2), ("s3",), ("s2",))
    assert await there.exports.forget(["s2", "alias-of-s2"]) == 3
    assert await there.exports.forget(["s2"]) == 0
    assert await there.exports.forget([]) == 0
    assert await keys_of(here, one) == [None, b"key 1", None]
    assert await keys_of(here, two) == [b"key 0", None]


async def test_a_customer_is_traced_through_every_sid_the_last_export_first(ledgers: BOTH) -> None:
    here, there = ledgers
    made = [await begun(here, export(n), ("other",), (f"s{n % 2}", "x")) for n in range(4)]
    await keys_of(here, made[3])
    page = await there.exports.traces(["s0", "s1"], Slice(size=3))
    assert [(each.export.id, each.chunks) for each in page.rows] == [(made[n].id, (1,)) for n in (3, 2, 1)]
    assert [len(each.openings) for each in page.rows] == [1, 0, 0]
    rest = await there.exports.traces(["s0", "s1"], Slice(page.next, 3))
    assert [each.export.id for each in rest.rows] == [made[0].id]
    assert not rest.next
    of_one = await there.exports.traces(["s1"], Slice())
    assert [each.export.id for each in of_one.rows] == [made[3].id, made[1].id]


async def test_who_is_looked_for_in_exports_is_looked_up_in_each_and_never_read_through(
    ledgers: BOTH,
) -> None:
    """The statements as a ledger plans them that holds little: one that begins with the members reads all of them later."""
    here, _ = ledgers
    await begun(here, export(1), ("s1", "s2"))
    sids = {"v0": "s1", "v1": "s2"}
    asked: dict[Query[Any], dict[str, object]] = {
        export_traces._holding(2): {**sids, "after": "z", "size": 2},
        export_traces._chunks_of(2, 2): {**sids, "e0": export(1).id, "e1": export(2).id},
        export_keys._holding(2): {**sids},
        export_keys._held_chunks(2): {**sids, "id": export(1).id},
    }
    for query, values in asked.items():
        plan = await here.database.transact(partial(planned, query, values))
        of_members = [line for line in plan if re.search("(SEARCH|SCAN|on) export_member", line)]
        assert of_members
        assert all("export_id" in line and "sid" in line for line in of_members), "\n".join(plan)


def planned(query: Query[Any], values: dict[str, object], connection: Connection) -> list[str]:
    """Return a line for each table of the plan, with the condition by which it is looked up."""
    text = query.select.params(values).compile(connection, compile_kwargs={"literal_binds": True})
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    plan = " ".join(row[0].strip() for row in connection.exec_driver_sql(f"EXPLAIN {text}"))
    return plan.split("->")


async def test_a_closing_that_died_between_two_steps_is_finished_by_anybody(ledgers: BOTH) -> None:
    """Its mark is durable before the first key goes, so that the rest is found."""
    here, there = ledgers
    wanted = await begun(here, export(1), *[("s1",)] * 3)
    dying = here.exports._keys._database.transact
    calls = 0

    async def transact(work):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls > 1:
            raise LedgerError("died")
        return await dying(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(here.database, "transact", transact)
        with pytest.raises(LedgerError):
            await here.exports.close_export(wanted.id, by())
    assert await refusal(there, wanted) == "EXPORT_CLOSED"
    assert await keys_left(there, wanted) == 3
    assert await there.exports.close_expired(NOW + timedelta(minutes=6)) == 0  # it was closed before
    assert await keys_left(there, wanted) == 0


async def keys_left(ledger: SQLLedger, of: Export) -> int:
    """Count the keys in the table itself, since nothing gives them away any more."""
    import sqlalchemy as sa

    from fujie.adapters.ledger.export_tables import export_chunk

    select = sa.select(sa.func.count(export_chunk.c.wrapped_key)).where(export_chunk.c.export_id == of.id)
    return await ledger.database.transact(lambda connection: int(connection.execute(select).scalar_one()))


def taking(*sids: str, most: int, who: str = "marketer") -> Rows:
    """Return what these rows take: each one from the customers of a day, of whom there may be `most`."""
    people = Charge("guard:people", Limit.DISTINCT_CUSTOMERS_PER_DAY, most)
    return Rows(principal=who, now=NOW, day=NOW.date(), charged=tuple(((people,), sid) for sid in sids))


async def added(ledger: SQLLedger, of: Export, number: int, rows: Rows) -> int:
    sids = tuple(sid for _, sid in rows.charged)
    return await ledger.exports.add_chunk(ExportChunk(of.id, number, sids, b"key"), rows)


async def held(ledger: SQLLedger, sid: str) -> list[tuple[int, ...]]:
    return [tuple(each.chunks) for each in (await ledger.exports.traces([sid], Slice())).rows]


async def test_a_chunk_holds_those_alone_for_whom_the_limits_had_room(ledgers: BOTH) -> None:
    here, there = ledgers
    wanted = await begun(here, export(1))
    assert await added(here, wanted, 0, taking("s1", "s2", most=3)) == 2
    assert await added(there, wanted, 1, taking("s2", "s3", "s4", "s1", most=3)) == 2
    assert [await held(here, sid) for sid in ("s1", "s2", "s3", "s4")] == [[(0,)], [(0, 1)], [(1,)], []]
    known = await here.exports.export(wanted.id)
    assert known is not None
    assert known.rows == 4


async def test_a_chunk_of_nobody_is_not_kept(ledgers: BOTH) -> None:
    here, _ = ledgers
    wanted = await begun(here, export(1))
    assert await added(here, wanted, 0, taking("s1", most=0)) == 0
    assert await held(here, "s1") == []
    assert await keys_of(here, wanted) == [], "nor a key of nothing"


async def test_what_joins_nothing_takes_nothing(ledgers: BOTH) -> None:
    """An export that was closed a moment ago: its chunk goes, and with it what its rows took."""
    here, there = ledgers
    wanted, other = await begun(here, export(1)), await begun(here, export(2))
    await there.exports.close_export(wanted.id, by())
    with pytest.raises(RequestError, match="EXPORT_CLOSED"):
        await added(here, wanted, 0, taking("s1", "s2", most=2))
    assert await added(here, other, 0, taking("s3", "s4", most=2)) == 2


async def test_exports_at_the_same_time_share_a_limit_exactly(ledgers: BOTH) -> None:
    wanted = [await begun(ledgers[0], export(number)) for number in range(1, 7)]
    counts = await asyncio.gather(
        *(
            added(ledgers[n % 2], each, 0, taking(*(f"s{n}-{m}" for m in range(30)), most=100))
            for n, each in enumerate(wanted)
        )
    )
    assert sum(counts) == 100
    known = [await ledgers[0].exports.export(each.id) for each in wanted]
    assert [each.rows for each in known if each] == counts
