"""Who else counts for many customers: as `aliases.person` says for one, by one statement for all."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.aliases import NUMBER
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.messages import parts
from fujie.adapters.ledger.tables import alias, subject, subject_link

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
    merged = sa.select(known.c.root, subject_link.c.other).join(known, known.c.sid == subject_link.c.sid)
    known = known.union(merged.where(subject_link.c.kind == "merge"))
    held, number = alias.alias("held"), alias.alias("number")
    numbers = (
        sa.select(known.c.root, number.c.sid)
        .select_from(known)
        .join(held, held.c.sid == known.c.sid)
        .join(number, number.c.digest == held.c.digest)
        .where(number.c.kind == NUMBER, number.c.valid_to.is_(None))
    )
    found = sa.union(sa.select(known.c.root, known.c.sid), numbers).subquery("found")
    select = sa.select(found.c.root, subject.c.change_seq, found.c.sid)
    return Query(select.join(subject, subject.c.sid == found.c.sid), _relative)


async def relatives(database: Database, sids: Iterable[str]) -> Mapping[str, set[tuple[int, str]]]:
    """Return for each sid all that count for it, itself included, with their ages: the oldest sorts first."""
    found: dict[str, set[tuple[int, str]]] = {}
    for part in parts(list(dict.fromkeys(sids))):
        for root, age, sid in await database.rows(_relatives(padded_size(len(part))), members(part)):
            found.setdefault(root, set()).add((age, sid))
    return found
