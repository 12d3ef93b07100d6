"""Who somebody is and what was agreed to, in one read: what every look-up asks.

One statement is one snapshot and, in PostgreSQL, one round trip; in SQLite it saves the second transaction's
locks. It answers for most customers; who was merged, or whose number has spoken, needs more than their
aliases tell and is left to `Subjects` and `Consents`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.aliases import NUMBER
from fujie.adapters.ledger.consents import BEARING_COLUMNS, bare_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.subjects import Subjects
from fujie.adapters.ledger.tables import alias, consent_event, subject
from fujie.model.consent import BareEvent
from fujie.model.customer import CustomerRef, Identity

_LINK_COLUMNS = (alias.c.digest, alias.c.sid, alias.c.kind, subject.c.wrapped_key, subject.c.is_linked)
_AFTER_LINK = len(_LINK_COLUMNS)

_Found = tuple[bytes, str, bool, bytes | None, BareEvent | None]
"""A digest and the sid that it is current for, whether that is not all there is to know, the wrapped key of the sid, and an
event of it."""


def _found(row: Sequence[Any]) -> _Found:
    event = None if row[_AFTER_LINK] is None else bare_of(row[_AFTER_LINK:])
    return row[0], row[1], row[2] == NUMBER or bool(row[4]), row[3], event


@lru_cache(maxsize=32)
def _known(count: int) -> Query[_Found]:
    """Return the query for all that `count` digests lead to, each with the events of its sid for one purpose.

    Of an event it reads what bears on consent: for the many who said nothing each column more costs as much as for others.
    """
    of_purpose = sa.and_(
        consent_event.c.sid == alias.c.sid, consent_event.c.purpose == sa.bindparam("purpose")
    )
    select = (
        sa.select(*_LINK_COLUMNS, *BEARING_COLUMNS)
        .join(subject, subject.c.sid == alias.c.sid)
        .outerjoin(consent_event, of_purpose)
        .where(one_of(alias.c.digest, count), alias.c.valid_to.is_(None))
    )
    order = (alias.c.change_seq, consent_event.c.event_time, consent_event.c.change_seq)
    return Query(select.order_by(*order), _found)


class Recall:
    """The one read, over the tables of `Subjects` and `Consents`."""

    def __init__(self, database: Database, subjects: Subjects) -> None:
        self._database = database
        self._subjects = subjects

    async def known(
        self, refs: Sequence[CustomerRef], purpose: str
    ) -> tuple[Identity, Sequence[BareEvent]] | None:
        """Return identity and events of whom every one of `refs` leads to and nothing else counts for; else None."""
        digests = list(dict.fromkeys(map(self._subjects.digester, refs)))
        rows = await self._database.rows(
            _known(padded_size(len(digests))), {**members(digests), "purpose": purpose}
        )
        missing = set(digests)
        for digest, sid, is_more, _, _ in rows:
            if is_more or sid != rows[0][1]:
                return None
            missing.discard(digest)
        if missing:
            return None
        first, sid, _, wrapped_key, _ = rows[0]
        # Each alias brings the events of its sid: those of the first are all, since there is one sid.
        events = [event for digest, _, _, _, event in rows if event is not None and digest == first]
        return Identity(sid, wrapped_key=wrapped_key), events
