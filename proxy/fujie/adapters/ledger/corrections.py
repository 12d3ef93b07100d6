"""Corrections of who is who, with evidence: two references are one person, or one is another than it was taken for.

Neither ever loses what closes, and neither ever makes anything that opens: a merge links what the other
refused and leaves behind what it agreed to; a split copies what closed and starts without any consent.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import (
    NUMBER,
    Alias,
    first_of,
    identity_of,
    insert_alias,
    join,
    joining,
    mark_linked,
    people_of,
    person,
)
from fujie.adapters.ledger.consents import copy_refusals
from fujie.adapters.ledger.database import Database, Query, members, next_change, padded_size
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.subjects import Subjects
from fujie.adapters.ledger.suppressions import copy_suppressions
from fujie.adapters.ledger.tables import alias, subject, subject_link
from fujie.model.customer import Correction, CustomerRef, Identity, StoreKey
from fujie.model.errors import RequestError

_MERGE: Final = "merge"
_SPLIT: Final = "split"

_BY_REQUEST = Query(
    sa.select(subject_link.c.request_digest).where(
        subject_link.c.actor == sa.bindparam("actor"),
        subject_link.c.request_id == sa.bindparam("request_id"),
    ),
    first_of,
)


def _alias(row: Sequence[Any]) -> Alias:
    return Alias(row[0], row[1], row[2], bytes(row[3]))


_LEADING = Query(
    sa.select(alias.c.kind, alias.c.scope, alias.c.key_version, alias.c.digest).where(
        alias.c.sid == sa.bindparam("sid"), alias.c.valid_to.is_(None), alias.c.kind != NUMBER
    ),
    _alias,
)
"""What leads to a subject now."""


class Corrections:
    """Merges and splits of the subjects of one ledger."""

    def __init__(self, database: Database, subjects: Subjects) -> None:
        self._database = database
        self._subjects = subjects

    async def merge(self, into: CustomerRef, source: CustomerRef, correction: Correction) -> Identity:
        """See `ports.Ledger.merge`."""
        kept, moved = (self._subjects.alias(ref).digest for ref in (into, source))
        digest = _digest(_MERGE, kept, moved, correction)

        def work(connection: Connection) -> None:
            if _was_done(connection, correction, digest):
                return
            links = self._subjects.links_within(connection, [kept, moved])
            sid, other = (
                _only([link.sid for link in people_of(each, links)], field)
                for each, field in ((kept, "into"), (moved, "from"))
            )
            if sid == other:
                return
            held = {entry.digest for entry in _LEADING.within(connection, {"sid": sid})}
            for entry in _LEADING.within(connection, {"sid": other}):
                _end(connection, entry, other, correction)
                if entry.digest not in held:
                    insert_alias(connection, entry, sid, correction.now)
            mark_linked(connection, subject.c.sid == sid)
            _insert_link(connection, (_MERGE, sid, other), correction, digest)

        return await self._done(work, (into,))

    async def split(self, refs: Sequence[CustomerRef], correction: Correction) -> Identity:
        """See `ports.Ledger.split`."""
        aliases = [self._subjects.alias(ref) for ref in refs]
        assert isinstance(refs[0], StoreKey), "a number has no identity to be split off"
        digests = [entry.digest for entry in aliases]
        digest = _digest(_SPLIT, digests[0], b"", correction)

        def work(connection: Connection) -> None:
            if _was_done(connection, correction, digest):
                return
            links = self._subjects.links_within(connection, digests)
            other = _only([link.sid for link in people_of(digests[0], links)], "store_key")
            found = identity_of(digests, links)
            assert found is not None, "the reference leads to somebody"
            sids = found[0].sids
            everybody = [*sids, *person(padded_size(len(sids))).within(connection, members(sids))]
            _end(connection, aliases[0], other, correction)
            links = [link for link in links if link.digest != digests[0]]
            sid = self._subjects.insert_subject(connection, correction.now)
            for entry in joining(aliases, sid, links):
                join(connection, entry, sid, links, correction.now)
            _insert_link(connection, (_SPLIT, sid, other), correction, digest)
            copy_refusals(connection, everybody, sid, correction)
            copy_suppressions(connection, everybody, sid, correction)

        return await self._done(work, refs)

    async def _done(self, work: Callable[[Connection], None], refs: Sequence[CustomerRef]) -> Identity:
        await self._database.write(work)
        identity = await self._subjects.find(refs)
        assert identity is not None, "the reference leads to somebody"
        return identity


def _only(sids: Sequence[str], field: str) -> str:
    """Return the one sid behind a reference: nobody is corrected by a guess."""
    if not sids:
        raise RequestError(code="CUSTOMER_NOT_FOUND", field=field)
    if len(sids) > 1:
        raise RequestError(code="CUSTOMER_AMBIGUOUS", field=field)
    return sids[0]


def _digest(kind: str, first: bytes, second: bytes, correction: Correction) -> str:
    """Return what makes two requests with one request_id the same, over keyed digests alone."""
    said = b"\0".join(
        (kind.encode(), first.hex().encode(), second.hex().encode(), correction.evidence_ref.encode())
    )
    return hashlib.sha256(said).hexdigest()


def _was_done(connection: Connection, correction: Correction, digest: str) -> bool:
    if not correction.request_id:
        return False
    same = {"actor": correction.actor, "request_id": correction.request_id}
    first = _BY_REQUEST.within(connection, same)
    if first and first[0] != digest:
        raise RequestError(code="REQUEST_ID_REUSED", field="context.request_id")
    return bool(first)


def _end(connection: Connection, entry: Alias, sid: str, correction: Correction) -> None:
    """Let an alias lead to `sid` no longer. The row stays: a number that was had goes on to count."""
    which = sa.and_(
        alias.c.key_version == entry.key_version,
        alias.c.digest == entry.digest,
        alias.c.sid == sid,
        alias.c.valid_to.is_(None),
    )
    values = {"valid_to": to_micros(correction.now), "change_seq": next_change(connection)}
    connection.execute(sa.update(alias).where(which).values(values))


def _insert_link(
    connection: Connection, link: tuple[str, str, str], correction: Correction, digest: str
) -> None:
    kind, sid, other = link
    row = {
        "kind": kind,
        "sid": sid,
        "other": other,
        "evidence_ref": correction.evidence_ref,
        "actor": correction.actor,
        "created_at": to_micros(correction.now),
        "request_id": correction.request_id or None,
        "request_digest": digest,
        "change_seq": next_change(connection),
    }
    connection.execute(sa.insert(subject_link), row)
