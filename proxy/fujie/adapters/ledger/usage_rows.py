"""What the rows of an export take from the limits: many customers of one principal, in one transaction.

Who was counted before is told by adding everybody: a unique index finds that by itself. A SELECT is planned once for each
connection, in PostgreSQL perhaps while the table is small, and then read all that was counted on the day.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection

from fujie.adapters.ledger.given import with_given
from fujie.adapters.ledger.usage import of_charge, store, tally_of
from fujie.model.limit import PER_CUSTOMER, Charge, Rows, bucket_of, counted_on

_COUNT: Final = """
INSERT INTO usage_customer (key, day, sid) SELECT CAST(:key AS text), CAST(:day AS integer), given.value FROM {given}
WHERE true ON CONFLICT DO NOTHING RETURNING sid
"""

_Charged = Sequence[tuple[tuple[Charge, ...], str]]


def take_rows(rows: Rows, connection: Connection) -> int:
    """Take the rows in order until one has no room; return how many were taken."""
    # Rows share few kinds of charges; to hash one for each row would cost more than all else here.
    every = {charge for charges in _kinds(rows.charged).values() for charge in charges}
    keys = {charge: of_charge(charge, rows.principal) for charge in every}
    tally = tally_of(connection, keys.values())
    left = {charge: tally.left(charge, keys[charge], rows) for charge in every}
    days = {charge: counted_on(charge.limit, rows.day) for charge in every if charge.limit in PER_CUSTOMER}
    adding = partial(_added, connection, keys, days)
    if all(left[charge] >= amount for charge, amount in _amounts(rows.charged).items()):
        new, taken = adding(rows.charged), len(rows.charged)
    else:
        attempt = connection.begin_nested()
        taken = _room(rows.charged, left, adding(rows.charged))
        attempt.rollback()
        new = adding(rows.charged[:taken])
    for charge, sids in new.items():
        if sids:
            tally.count_customers(keys[charge], rows.day, days[charge], len(sids))
    for charge, amount in _amounts(rows.charged[:taken]).items():
        if charge not in days:
            tally.count(keys[charge], bucket_of(charge.limit, rows.now), amount)
    store(connection, tally)
    return taken


def _kinds(charged: _Charged) -> Mapping[int, tuple[Charge, ...]]:
    return {id(charges): charges for charges, _ in charged}


def _amounts(charged: _Charged) -> Mapping[Charge, int]:
    """Return how many of the rows each charge is for."""
    kinds, amounts = _kinds(charged), Counter[Charge]()
    for kind, amount in Counter([id(charges) for charges, _ in charged]).items():
        amounts.update(dict.fromkeys(kinds[kind], amount))
    return amounts


def _added(
    connection: Connection, keys: Mapping[Charge, str], days: Mapping[Charge, int], charged: _Charged
) -> Mapping[Charge, set[str]]:
    """Count the customers of each charge on its day; return those whom it has not counted before."""
    kinds, new = _kinds(charged), dict[Charge, set[str]]()
    for charge, day in days.items():
        own = {kind for kind, charges in kinds.items() if charge in charges}
        sids = sorted({sid for charges, sid in charged if id(charges) in own})
        new[charge] = set(with_given(connection, _COUNT, sids, {"key": keys[charge], "day": day}).scalars())
    return new


def _room(charged: _Charged, left: Mapping[Charge, int], new: Mapping[Charge, set[str]]) -> int:
    """Return how many of the rows there is room for, one after the other."""
    left, unseen = dict(left), {charge: set(sids) for charge, sids in new.items()}
    for number, (charges, sid) in enumerate(charged):
        taking = [charge for charge in charges if charge not in unseen or sid in unseen[charge]]
        if any(left[charge] <= 0 for charge in taking):
            return number
        for charge in taking:
            left[charge] -= 1
            unseen.get(charge, set[str]()).discard(sid)
    return len(charged)
