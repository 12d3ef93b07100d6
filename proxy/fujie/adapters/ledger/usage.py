"""How much each principal has used of its limits, exactly, whoever counts at the same time.

A counter is one row: its key names the limit, the rule and the principal, its value the counts by
period (`model.limit`). So the table has one row for each counter that was ever used and never grows
with use. What is taken is taken under the lock of the row: SQLite has one writer, PostgreSQL locks the
rows of a transaction in the order of their keys.

A durable commit costs more than everything else here (0.4 ms and more), so reservations that wait at the same
time share one: while one transaction runs, the next ones gather.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache, partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.given import Told, given_rows, run_given
from fujie.adapters.ledger.usage_tables import IS_COUNTED_ON_A_DAY, usage_count, usage_customer
from fujie.model.errors import LedgerError
from fujie.model.limit import PER_CUSTOMER, Charge, Reservation, Rows, bucket_of, counted_on, in_window

MOST_TOGETHER = 256
"""Reservations that share a transaction: enough for a burst, short enough for the next writer."""

DAYS_KEPT = 31
"""Days whose counts are kept: today, and the month that it is held against."""

_MOST_REMEMBERED = 16_384
"""Customers of the day that a process need not ask the ledger about again; people come back to the same ones."""

_NONE: frozenset[Charge] = frozenset()

_Counting = tuple[str, tuple[Charge, ...], date, str]
"""A principal, what it is charged on, a day, and the sid of a customer."""

_Customer = tuple[str, int, str]
"""The key of a counter, a day, and the sid of a customer that was counted on it."""


def counter_key(limit: str, rule: str, principal: str) -> str:
    """Return the key of a counter; a principal's id may hold anything, and comes last."""
    return f"{limit} {rule} {principal}"


def of_charge(charge: Charge, principal: str) -> str:
    """Return the key of the counter that `principal` is charged on."""
    return counter_key(charge.limit, charge.rule, principal)


def read_counts(text: str) -> dict[int, int] | None:
    """Return the counts of a row; None when it holds what nobody of ours wrote."""
    try:
        stored = json.loads(text)
        counts = {int(period): int(count) for period, count in stored}
    except (ValueError, TypeError, OverflowError):  # OverflowError: JSON as Python reads it has Infinity
        return None
    return counts if isinstance(stored, list) else None


def _row(row: Sequence[Any]) -> tuple[str, str]:
    return row[0], row[1]


@lru_cache(maxsize=32)
def _counters(count: int) -> Query[tuple[str, str]]:
    return Query(
        sa.select(usage_count.c.key, usage_count.c.counts).where(one_of(usage_count.c.key, count)), _row
    )


def _seen(row: Sequence[Any]) -> _Customer:
    return row[0], row[1], row[2]


_KEYS = usage_count.c.key.in_(sa.bindparam("keys", expanding=True))
_LOCK = (
    sa.select(usage_count.c.key, usage_count.c.counts)
    .where(_KEYS)
    .order_by(usage_count.c.key)
    .with_for_update()
)
_EXISTING = sa.select(usage_count.c.key).where(_KEYS)
_ADD = sa.text("INSERT INTO usage_count (key, counts) VALUES (:key, '[]') ON CONFLICT DO NOTHING")
_SET = sa.update(usage_count).where(usage_count.c.key == sa.bindparam("k")).values(counts=sa.bindparam("c"))
# By its whole key, each: else everybody is read whom a counter holds.
_KNOWN: Final = """
SELECT u.key, u.day, u.sid FROM {rows} LEFT JOIN usage_customer AS u
    ON u.key = given.value ->> 0 AND u.day = CAST(given.value ->> 1 AS integer) AND u.sid = given.value ->> 2
WHERE coalesce(u.key, '') <> ''
"""
_COUNTED: Final = Query(Told(_KNOWN), _seen)
_SEE: Final = """
INSERT INTO usage_customer (key, day, sid)
SELECT given.value ->> 0, CAST(given.value ->> 1 AS integer), given.value ->> 2 FROM {rows}
WHERE true ON CONFLICT DO NOTHING
"""
_FORGET = sa.delete(usage_customer).where(
    usage_customer.c.day < sa.bindparam("before"), IS_COUNTED_ON_A_DAY
)
"""Of every counter, and of no month that is not over (`counted_on`): those of people who left and of rules with another name are not taken from any more."""


class Tally:
    """Counters as one transaction, or one look, sees them, and what is taken from them there."""

    def __init__(self, counts: Mapping[str, str], known: Iterable[_Customer]) -> None:
        self._counts = {key: read_counts(text) for key, text in counts.items()}
        self._known = set(known)
        self.changed: set[str] = set()
        self.new: list[_Customer] = []
        self.new_days: set[tuple[str, int]] = set()

    def lacking(self, charges: Iterable[Charge], reservation: Reservation) -> frozenset[Charge]:
        """Return those of `charges` whose counter has no room for the reservation."""
        return frozenset(charge for charge in charges if not self._has_room(charge, reservation))

    def take(self, reservation: Reservation) -> None:
        """Count the reservation on all of its charges; they have room."""
        for charge in reservation.charges:
            key = of_charge(charge, reservation.principal)
            if charge.limit in PER_CUSTOMER:
                self.see(key, reservation.day, reservation.sid, counted_on(charge.limit, reservation.day))
                continue
            self.count(key, bucket_of(charge.limit, reservation.now), reservation.amount)

    def count(self, key: str, bucket: int, amount: int) -> None:
        """Count in a rolling window, and forget what left it. What is given back moves nothing that was counted since."""
        before = self._counts.get(key) or {}
        counts = in_window(before, bucket) if amount > 0 else dict(before)
        counts[bucket] = max(0, counts.get(bucket, 0) + amount)
        self._counts[key] = counts
        self.changed.add(key)

    def see(self, key: str, day: date, sid: str, counted: int) -> bool:
        """Count a customer among the distinct ones of the period that is counted on the day `counted`, once; tell whether
        it was the first time."""
        if (key, counted, sid) in self._known:
            return False
        self._known.add((key, counted, sid))
        self.new.append((key, counted, sid))
        self.count_customers(key, day, counted, 1)
        return True

    def count_customers(self, key: str, day: date, counted: int, amount: int) -> None:
        """Count customers, who are counted for the first time, among the distinct ones of the period of the day `counted`."""
        counts = self._counts.get(key) or {}
        if counted not in counts:
            self.new_days.add((key, day.toordinal()))
            counts = {kept: count for kept, count in counts.items() if kept > counted - DAYS_KEPT}
        self._counts[key] = {**counts, counted: counts.get(counted, 0) + amount}
        self.changed.add(key)

    def note(self, key: str, slot: int, behind: int, day: date) -> None:
        """Keep `day` as the last one of a slot, and the last one before it under `slot + behind`."""
        counts, today = dict(self._counts.get(key) or {}), day.toordinal()
        if counts.get(slot) == today:
            return
        if slot in counts:
            counts[slot + behind] = counts[slot]
        self._counts[key] = {**counts, slot: today}
        self.changed.add(key)

    def stored(self, key: str) -> str:
        """Return the stored form of a counter."""
        return json.dumps(sorted((self._counts[key] or {}).items()), separators=(",", ":"))

    def left(self, charge: Charge, key: str, rows: Rows) -> int:
        """Return how many more customers a counter has room for; none, when it can not be read."""
        counts = self._counts.get(key, {})
        if counts is None:
            return 0
        if charge.limit in PER_CUSTOMER:
            return charge.at_most - counts.get(counted_on(charge.limit, rows.day), 0)
        return charge.at_most - sum(in_window(counts, bucket_of(charge.limit, rows.now)).values())

    def _has_room(self, charge: Charge, reservation: Reservation) -> bool:
        key = of_charge(charge, reservation.principal)
        counts = self._counts.get(key, {})
        if counts is None:  # unreadable is used up, for this principal and rule alone
            return False
        if charge.limit in PER_CUSTOMER:
            on = counted_on(charge.limit, reservation.day)
            return (key, on, reservation.sid) in self._known or counts.get(on, 0) < charge.at_most
        if reservation.amount < 0:  # back it goes, also where others have taken by a wider limit since
            return True
        used = sum(in_window(counts, bucket_of(charge.limit, reservation.now)).values())
        return used + reservation.amount <= charge.at_most


class Usage:
    """The counters of a ledger. Belongs to one event loop, like its database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Reservation, asyncio.Future[frozenset[Charge]]]] = []
        self._taking: asyncio.Task[None] | None = None
        self._counted: set[_Counting] = set()
        """What is taken for good: who was counted on a day stays counted on it, whoever asks again."""

    async def reserve(self, reservation: Reservation) -> frozenset[Charge]:
        """See `ports.Ledger.reserve`."""
        if not reservation.charges or await self._is_counted(reservation):
            return (await self._look([reservation]))[0] if reservation.also_told else _NONE
        future: asyncio.Future[frozenset[Charge]] = asyncio.get_running_loop().create_future()
        self._waiting.append((reservation, future))
        if self._taking is None or self._taking.done():
            self._taking = asyncio.ensure_future(self._take_all())
        lacking = await future
        if lacking.isdisjoint(reservation.charges) and _is_lasting(reservation):
            self._remember(reservation)
        return lacking

    async def reserve_many(self, reservations: Sequence[Reservation]) -> Sequence[frozenset[Charge]]:
        """See `ports.Ledger.reserve_many`."""
        if any(reservation.charges for reservation in reservations):
            return await self._database.transact(partial(_take, reservations))
        return await self._look(reservations)

    async def _is_counted(self, reservation: Reservation) -> bool:
        """Tell whether nothing is left to take: the customer was counted today on all that is charged."""
        if _counting(reservation) in self._counted:  # nothing that does not last is
            return True
        if not _is_lasting(reservation):
            return False
        wanted = set(_customers(reservation, reservation.charges))
        if len(await self._known(wanted)) < len(wanted):
            return False
        self._remember(reservation)
        return True

    def _remember(self, reservation: Reservation) -> None:
        if len(self._counted) >= _MOST_REMEMBERED:
            self._counted.clear()
        self._counted.add(_counting(reservation))

    async def _known(self, customers: set[_Customer]) -> list[_Customer]:
        """Return those of them that were counted."""
        return await self._database.rows(_COUNTED, given_rows(sorted(customers))) if customers else []

    async def _look(self, reservations: Sequence[Reservation]) -> Sequence[frozenset[Charge]]:
        """Tell what has no room, without a transaction."""
        keys = sorted({of_charge(charge, r.principal) for r in reservations for charge in r.also_told})
        if not keys:
            return [frozenset()] * len(reservations)
        counts = await self._database.rows(_counters(padded_size(len(keys))), members(keys))
        tally = Tally(dict(counts), ())
        if any(tally.lacking(r.also_told, r) for r in reservations):  # but for whom it has counted already
            customers = {each for r in reservations if r.sid for each in _customers(r, r.also_told)}
            tally = Tally(dict(counts), await self._known(customers))
        return [tally.lacking(r.also_told, r) for r in reservations]

    async def _take_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            reservations = [reservation for reservation, _ in group]
            try:
                results = await self._database.transact(partial(_take, reservations))
            except LedgerError as error:  # it may have been taken: those who wait get nothing for it
                for _, future in group:
                    if not future.done():
                        future.set_exception(LedgerError(str(error), code=error.code))
                continue
            for (_, future), lacking in zip(group, results, strict=True):
                if not future.done():  # who went away has used up what was taken for him
                    future.set_result(lacking)


def _customers(reservation: Reservation, charges: Iterable[Charge]) -> Iterator[_Customer]:
    """Yield its customer as each of the charges counts him."""
    for charge in charges:
        if charge.limit in PER_CUSTOMER:
            key = of_charge(charge, reservation.principal)
            yield key, counted_on(charge.limit, reservation.day), reservation.sid


def _is_lasting(reservation: Reservation) -> bool:
    """Tell whether all that is charged counts a customer once in its period."""
    return all(charge.limit in PER_CUSTOMER for charge in reservation.charges)


def _counting(reservation: Reservation) -> _Counting:
    return reservation.principal, reservation.charges, reservation.day, reservation.sid


def _take(reservations: Sequence[Reservation], connection: Connection) -> list[frozenset[Charge]]:
    """Take the reservations in order, each whole or not at all; return what each was lacking."""
    told = {(charge, r.principal) for r in reservations for charge in (*r.charges, *r.also_told)}
    customers = {each for r in reservations if r.sid for each in _customers(r, (*r.charges, *r.also_told))}
    tally = tally_of(connection, {of_charge(*each) for each in told}, customers)
    results = []
    for reservation in reservations:
        lacking = tally.lacking(reservation.charges, reservation)
        if not lacking:
            tally.take(reservation)
        # What is told beside is told as it was: nothing of it was taken here.
        results.append(lacking | tally.lacking(reservation.also_told, reservation))
    store(connection, tally)
    return results


def tally_of(connection: Connection, keys: Iterable[str], customers: Iterable[_Customer] = ()) -> Tally:
    """Read counters for change: their rows are locked, in the order of their keys, those that were missing made first.

    Of the customers that they counted, those among `customers` are known.
    """
    wanted = sorted(keys)
    # One at a time from here on: who makes a row waits for whoever makes the same, and holds no other's.
    found = {row[0] for row in connection.execute(_EXISTING, {"keys": wanted})}
    if missing := [{"key": key} for key in wanted if key not in found]:
        connection.execute(_ADD, missing)
    counts = {row[0]: row[1] for row in connection.execute(_LOCK, {"keys": wanted})}
    asked = sorted(set(customers))
    return Tally(counts, map(_seen, run_given(connection, _KNOWN, given_rows(asked)) if asked else ()))


def store(connection: Connection, tally: Tally) -> None:
    """Write what was taken; the customers of days that are over are forgotten when a new day begins."""
    if tally.changed:
        connection.execute(_SET, [{"k": key, "c": tally.stored(key)} for key in sorted(tally.changed)])
    if tally.new:
        run_given(connection, _SEE, given_rows(tally.new))
    if tally.new_days:
        connection.execute(_FORGET, {"before": min(day for _, day in tally.new_days) - 1})
