"""What the rows of an export take from the limits: many customers of one principal, in one transaction.

Who was counted before is told by adding everybody: a unique index finds that by itself. A SELECT is planned once for each
connection, in PostgreSQL perhaps while the table is small, and then read all that was counted on the day.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import compress
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, CursorResult

from fujie.adapters.ledger.given import with_given
from fujie.adapters.ledger.usage import of_charge, store, tally_of
from fujie.model.limit import PER_CUSTOMER, Charge, Rows, bucket_of, counted_on

_COUNT: Final = """
INSERT INTO usage_customer (key, day, sid) SELECT CAST(:key AS text), CAST(:day AS integer), given.value FROM {given}
WHERE true ON CONFLICT DO NOTHING
"""
_COUNT_AND_TELL: Final = f"{_COUNT} RETURNING sid"

_Charged = Sequence[tuple[tuple[Charge, ...], str]]

_charges: Any = itemgetter(0)
_sid: Any = itemgetter(1)


def take_rows(rows: Rows, connection: Connection) -> int:
    """Take the rows in order until one has no room; return how many were taken."""
    amounts = _amounts(rows.charged)
    keys = {charge: of_charge(charge, rows.principal) for charge in amounts}
    tally = tally_of(connection, keys.values())
    left = {charge: tally.left(charge, keys[charge], rows) for charge in amounts}
    days = {
        charge: counted_on(charge.limit, rows.day) for charge in amounts if charge.limit in PER_CUSTOMER
    }
    adding = partial(_added, connection, keys, days)
    taken = len(rows.charged)
    if any(left[charge] < amount for charge, amount in amounts.items()):
        attempt = connection.begin_nested()
        told = adding(rows.charged, _COUNT_AND_TELL)
        taken = _room(rows.charged, left, {charge: set(new.scalars()) for charge, new in told.items()})
        attempt.rollback()
        amounts = _amounts(rows.charged[:taken])
    for charge, added in adding(rows.charged[:taken], _COUNT).items():
        if new := added.rowcount:
            tally.count_customers(keys[charge], rows.day, days[charge], new)
    for charge, amount in amounts.items():
        if charge not in days:
            tally.count(keys[charge], bucket_of(charge.limit, rows.now), amount)
    store(connection, tally)
    return taken


def _marked(charged: _Charged) -> tuple[list[int], Mapping[int, tuple[Charge, ...]]]:
    """Return a mark of the charges of each row, and the charges of each mark. Rows share few kinds of charges; to hash one
    for each row, or to run a step of the interpreter, would cost more than all else here."""
    marks = [*map(id, map(_charges, charged))]
    return marks, dict(zip(marks, map(_charges, charged), strict=True))


def _amounts(charged: _Charged) -> Mapping[Charge, int]:
    """Return how many of the rows each charge is for."""
    marks, kinds = _marked(charged)
    amounts = Counter[Charge]()
    for mark, amount in Counter(marks).items():
        amounts.update(dict.fromkeys(kinds[mark], amount))
    return amounts


def _added(
    connection: Connection,
    keys: Mapping[Charge, str],
    days: Mapping[Charge, int],
    charged: _Charged,
    statement: str,
) -> Mapping[Charge, CursorResult[Any]]:
    """Count the customers of each charge on its day; return what the database says of those whom it has not counted before."""
    marks, kinds = _marked(charged)
    counting = connection.execution_options(preserve_rowcount=True)
    said = dict[Charge, CursorResult[Any]]()
    for charge, day in days.items():
        is_charged = {mark: charge in charges for mark, charges in kinds.items()}
        # In the order in which they lie in the index; one who stands there twice is added once.
        sids = sorted(map(_sid, compress(charged, map(is_charged.__getitem__, marks))))
        said[charge] = with_given(counting, statement, sids, {"key": keys[charge], "day": day})
    return said


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
