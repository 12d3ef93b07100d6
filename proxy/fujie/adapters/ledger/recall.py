"""Who somebody is and what was agreed to, in one read: what every look-up asks.

One statement is one snapshot and, in PostgreSQL, one round trip; in SQLite it saves the second transaction's
locks. It answers for most customers; who was merged, or whose number has spoken, needs more than their
aliases tell and is left to `Subjects` and `Consents`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.aliases import Link, identity_of, joining
from fujie.adapters.ledger.consents import EVENT_COLUMNS, event_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.subjects import Subjects
from fujie.adapters.ledger.tables import alias, consent_event, subject
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, Identity

_LINK_COLUMNS = (alias.c.digest, alias.c.sid, alias.c.kind, subject.c.wrapped_key, subject.c.is_linked)
_AFTER_LINK = len(_LINK_COLUMNS)

_Found = tuple[Link, ConsentEvent | None]


def _found(row: Sequence[Any]) -> _Found:
    link = Link(row[0], row[1], row[2], row[3], bool(row[4]))
    return link, None if row[_AFTER_LINK] is None else event_of(row[_AFTER_LINK:])


@lru_cache(maxsize=32)
def _known(count: int) -> Query[_Found]:
    """Return the query for all that `count` digests lead to, each with the events of its sid for one purpose."""
    of_purpose = sa.and_(
        consent_event.c.sid == alias.c.sid, consent_event.c.purpose == sa.bindparam("purpose")
    )
    select = (
        sa.select(*_LINK_COLUMNS, *EVENT_COLUMNS)
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
    ) -> tuple[Identity, Sequence[ConsentEvent]] | None:
        """Return identity and events of whom every one of `refs` leads to and nothing else counts for; else None."""
        aliases = {entry.digest: entry for entry in map(self._subjects.alias, refs)}
        digests = list(aliases)
        rows = await self._database.rows(
            _known(padded_size(len(digests))), {**members(digests), "purpose": purpose}
        )
        links = list(dict.fromkeys([link for link, _ in rows]))
        found = identity_of(digests, links)
        if found is None or found[1]:
            return None
        identity = found[0]
        if any(link.sid != identity.sid for link in links) or joining(
            aliases.values(), identity.sid, links
        ):
            return None
        # Each alias brings the events of its sid: those of the first are all, since there is one sid.
        first = rows[0][0]
        return identity, [event for link, event in rows if event and link == first]
