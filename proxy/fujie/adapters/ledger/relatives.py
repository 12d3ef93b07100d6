"""Who else counts for many customers: as `aliases.person` says for one, by one statement for all."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.aliases import is_there, merged_into, numbers_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.messages import parts
from fujie.adapters.ledger.tables import subject

_Relative = tuple[str, int, str]
"""A sid that was asked for, the age of one that counts for it, and that one."""


def _relative(row: Sequence[Any]) -> _Relative:
    return row[0], row[1], row[2]


@lru_cache(maxsize=16)
def _relatives(count: int) -> Query[_Relative]:
    """Return the query for `count` sids: each with all that were merged into it, and the numbers that any of these had."""
    known = (
        sa.select(subject.c.sid.label("root"), subject.c.sid)
        .where(one_of(subject.c.sid, count))
        .cte("person", recursive=True)
    )
    merged, other = merged_into(known)
    known = known.union(sa.select(known.c.root, other).select_from(merged).where(is_there(other)))
    numbers, number = numbers_of(known)
    found = sa.union(
        sa.select(known.c.root, known.c.sid),
        sa.select(known.c.root, number).select_from(numbers).where(is_there(number)),
    ).subquery("found")
    select = sa.select(found.c.root, subject.c.change_seq, found.c.sid)
    return Query(select.select_from(found.outerjoin(subject, subject.c.sid == found.c.sid)), _relative)


async def relatives(database: Database, sids: Iterable[str]) -> Mapping[str, set[tuple[int, str]]]:
    """Return for each sid all that count for it, itself included, with their ages: the oldest sorts first."""
    found: dict[str, set[tuple[int, str]]] = {}
    for part in parts(list(dict.fromkeys(sids))):
        for root, age, sid in await database.rows(_relatives(padded_size(len(part))), members(part)):
            found.setdefault(root, set()).add((age, sid))
    return found
