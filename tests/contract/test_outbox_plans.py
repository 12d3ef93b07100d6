"""A chunk of a campaign reads its own rows, however many the ledger holds, whatever PostgreSQL knew when it planned."""

from datetime import UTC

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.adapters.ledger.usage import of_charge
from fujie.model.limit import Charge, Limit, Reservation
from fujie.model.message import MessageState, Settled
from support.outboxes import (
    INDEX,
    NOW,
    campaign,
    claim,
    key,
    leased,
    marker,
    opened,
    phone,
    planned,
    running,
)
from support.postgresql import execute, ledger_url, wait_until_alone

_MANY = 20_000
_EACH = 4
_MOST = 6_000
"""Entries or pages of one index that six chunks may read: some 2,400 are. A statement that reads all customers, messages or
counts beside those that it looks for reads 20,000 for each chunk; one that goes through the pages of an index, 200 for each customer."""
_CHARGE = Charge("grant:a", Limit.DISTINCT_CUSTOMERS_PER_DAY, 10 * _MANY)
_TABLES = ("subject", "alias", "message", "usage_customer")


def _reservation(sid: str) -> Reservation:
    return Reservation(principal="marketer", now=NOW, day=NOW.date(), charges=(_CHARGE,), sid=sid)


async def _customers(ledger: SQLLedger, first: int, count: int = _EACH) -> list[str]:
    """Enrol customers, of whom the last has the number of the first: who he is takes every statement there is."""
    refs = [(key(n), phone(n)) for n in range(first, first + count)]
    told = await ledger.outbox.recall_many([*refs[:-1], (refs[-1][0], refs[0][1])], "marketing", NOW)
    return [each.identity.sid for each in told.customers]


async def _chunk(ledger: SQLLedger, draft: str, first: int) -> None:
    """Do what a chunk of a campaign does: plan, lease, recall, reserve, claim, settle."""
    outbox, seen = ledger.outbox, await marker(ledger)
    sids = await _customers(
        ledger, first
    )  # whose numbers are new since `seen`: their holders are looked for
    await outbox.plan(draft, [planned(sid) for sid in sids], NOW)
    lease = await leased(ledger, most=_EACH)
    claims = [
        claim(each.intent_id, phone(first + 90 + n), each.sid) for n, each in enumerate(lease.intents)
    ]
    assert (
        await ledger.reserve_many([_reservation(each.sid) for each in lease.intents])
        == [frozenset()] * _EACH
    )
    assert await ledger.reserve(_reservation(sids[0])) == frozenset()
    done = await outbox.claim(lease, claims, seen, "marketer", NOW)
    assert len(done.claimed) == _EACH
    await outbox.settle(lease.holder, [Settled(each, MessageState.SUBMITTED) for each in done.claimed], NOW)


def _fill(url: str, draft: str, run: str) -> None:
    """Put many customers, messages and counts beside those that are asked for, as campaigns leave them."""
    numbers, sid = f"FROM generate_series(1, {_MANY}) AS n", "'sid_' || n"
    columns = (
        "intent_id, campaign_id, sid, requester, purpose, category, signature, reason, holder, due_at, attempts, created_at,"
        " changed_at, request_digest, content, segments, provider, asked_at, state, address, claimed_at, claim_seq"
    )
    row = f"{sid}, 'marketer', 'marketing', 'MARKETING', 's', '', '', {{due}}, 0, 0, 0, '', '', 1, '', 0"
    at = int(NOW.replace(tzinfo=UTC).timestamp() * 1_000_000)
    execute(
        url,
        f"INSERT INTO subject SELECT {sid}, 'k', 0, false, -n {numbers}",
        f"INSERT INTO alias SELECT 'phone', '', '{INDEX.id}', sha256(n::text::bytea), {sid}, 0, NULL, -n {numbers}",
        f"INSERT INTO message ({columns}) SELECT 'd' || n, '{draft}', {row.format(due=at)},"
        f" 'PLANNED', NULL, NULL, NULL {numbers}",
        f"INSERT INTO message ({columns}) SELECT 'r' || n, '{run}', {row.format(due=at)},"
        f" 'SUBMITTED', sha256(n::text::bytea), {at}, 1 {numbers}",
        f"INSERT INTO usage_customer SELECT '{of_charge(_CHARGE, 'marketer')}', {NOW.date().toordinal()}, {sid} {numbers}",
    )


def _read(url: str) -> dict[str, tuple[int, int]]:
    """Return what was read of each index since the beginning: entries, and pages."""
    reads = (
        "SELECT i.indexrelname, i.idx_tup_read, o.idx_blks_read + o.idx_blks_hit FROM pg_stat_user_indexes AS i"
        " JOIN pg_statio_user_indexes AS o USING (indexrelid)"
    )
    return {row[0]: (row[1], row[2]) for row in execute(url, reads)}


@pytest.mark.parametrize("is_analysed", [False, True], ids=["knowing nothing", "knowing of a few messages"])
async def test_a_chunk_reads_its_own_rows_whether_it_was_planned_on_an_empty_ledger_or_a_full_one(
    *, is_analysed: bool
) -> None:
    """A plan stays as long as its connection, or until the server looks at the table again. By `campaign = :c AND sid IN (...)`
    each chunk read the whole campaign (215 ms at 20,000), by counter and customers all whom the counter held."""
    with ledger_url() as url:
        execute(url, *(f"ALTER TABLE {name} SET (autovacuum_enabled = off)" for name in _TABLES))
        early = await opened(url)
        draft = await early.outbox.create_campaign(campaign(), "", "")
        run = await running(early, await _customers(early, 1000, 12 * _EACH))
        await _chunk(early, draft.id, 2000)
        if is_analysed:
            execute(url, "ANALYZE message, campaign, campaign_count, usage_customer, usage_count")
        await _chunk(early, draft.id, 2100)
        _fill(url, draft.id, run.id)
        later = await opened(url)
        wait_until_alone(url, besides="fujie")  # what filled it has been counted
        before = _read(url)
        for n, ledger in enumerate((early, later) * 3):
            await _chunk(ledger, draft.id, 3000 + 100 * n)
        await early.close()
        await later.close()
        wait_until_alone(url)
        after = _read(url)
    grown = {
        name: [now - then for now, then in zip(after[name], before[name], strict=True)] for name in after
    }
    assert not {name: read for name, read in grown.items() if max(read) > _MOST}
