"""Subjects and their aliases: from a phone number or a customer id to random sids.

An alias is HMAC-SHA-256 under the `ledger_index` key of `kind 0x00 scope 0x00 value`, in full: with
the file alone nobody can test whether a number is in it.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, members, next_change, one_of, padded_size
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import alias, subject
from fujie.model.customer import CustomerRef, Phone
from fujie.model.errors import LedgerError
from fujie.ports import Identifiers, Identity


@dataclass(frozen=True, slots=True)
class IndexKey:
    """The `ledger_index` key: `id` is stored beside every alias, so that a later key can be told apart."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class _Alias:
    kind: str
    scope: str
    digest: bytes

    @property
    def may_be_shared(self) -> bool:
        """People share numbers; a store gives an id to one customer."""
        return self.kind == _PHONE


_PHONE, _STORE_KEY = "phone", "store_key"

_Link = tuple[bytes, str, bytes | None]
"""A digest, a sid that it is current for, and the wrapped data key of that sid."""


@lru_cache(maxsize=32)
def _current(count: int) -> Query[_Link]:
    select = (
        sa.select(alias.c.digest, alias.c.sid, subject.c.wrapped_key)
        .join(subject, subject.c.sid == alias.c.sid)
        .where(one_of(alias.c.digest, count), alias.c.valid_to.is_(None))
    )
    return Query(select.order_by(alias.c.change_seq), _link)


def _link(row: Sequence[Any]) -> _Link:
    return row[0], row[1], row[2]


def _wrapped_key(row: Sequence[Any]) -> bytes | None:
    return row[0]  # type: ignore[no-any-return]  # a driver's row is untyped; the column is LargeBinary


_KEY = Query(sa.select(subject.c.wrapped_key).where(subject.c.sid == sa.bindparam("sid")), _wrapped_key)


class Subjects:
    """Who is who. `new_wrapped_key` makes the data key of a new sid and wraps it; it runs in the writer thread."""

    def __init__(
        self,
        database: Database,
        index: IndexKey,
        identifiers: Identifiers,
        new_wrapped_key: Callable[[str], bytes],
    ) -> None:
        self._database = database
        self._index = index
        self._identifiers = identifiers
        self._new_wrapped_key = new_wrapped_key

    async def find(self, refs: Sequence[CustomerRef]) -> Identity | None:
        """See `ports.Ledger.find`."""
        if not refs:
            return None
        digests = [self._alias(ref).digest for ref in refs]
        links = await self._database.rows(_current(padded_size(len(digests))), members(digests))
        return _identity(digests, links)

    async def enrol(self, refs: Sequence[CustomerRef], now: datetime) -> Identity:
        """See `ports.Ledger.enrol`; costs no write when every ref is known."""
        if not refs:
            raise LedgerError("nobody can be enrolled without a reference", code="INTERNAL")
        aliases = {entry.digest: entry for entry in map(self._alias, refs)}
        digests = list(aliases)
        query, values = _current(padded_size(len(digests))), members(digests)
        links = await self._database.rows(query, values)
        identity = _identity(digests, links)
        if identity is not None and not _joining(aliases.values(), identity.sid, links):
            return identity

        def work(connection: Connection) -> Identity:
            links = query.within(connection, values)  # again: another process may have been faster
            firsts = _sids(digests[0], links)
            sid, key = firsts[0] if firsts else self._insert_subject(connection, now)
            for entry in _joining(aliases.values(), sid, links):
                self._insert_alias(connection, entry, sid, now)
                links.append((entry.digest, sid, key))
            identity = _identity(digests, links)
            assert identity is not None, "the first ref is known here"
            return identity

        return await self._database.write(work)

    async def subject_key(self, sid: str) -> bytes | None:
        """See `ports.Ledger.subject_key`."""
        found = await self._database.rows(_KEY, {"sid": sid})
        return found[0] if found else None

    def _alias(self, ref: CustomerRef) -> _Alias:
        if isinstance(ref, Phone):
            kind, scope, value = _PHONE, "", ref.e164
        else:
            kind, scope, value = _STORE_KEY, ref.store, ref.customer_id
        if "\0" in scope:  # else ("a\0b", "c") and ("a", "b\0c") would be one alias
            raise LedgerError("the name of a store holds NUL", code="INTERNAL")
        message = f"{kind}\0{scope}\0{value}".encode("utf-8", "surrogatepass")
        return _Alias(kind, scope, hmac.digest(self._index.secret, message, "sha256"))

    def _insert_subject(self, connection: Connection, now: datetime) -> tuple[str, bytes]:
        sid = f"sid_{self._identifiers.new_id()}"
        wrapped_key = self._new_wrapped_key(sid)
        row = {
            "sid": sid,
            "wrapped_key": wrapped_key,
            "created_at": to_micros(now),
            "change_seq": next_change(connection),
        }
        connection.execute(sa.insert(subject), row)
        return sid, wrapped_key

    def _insert_alias(self, connection: Connection, entry: _Alias, sid: str, now: datetime) -> None:
        row = {
            "kind": entry.kind,
            "scope": entry.scope,
            "key_version": self._index.id,
            "digest": entry.digest,
            "sid": sid,
            "valid_from": to_micros(now),
            "change_seq": next_change(connection),
        }
        connection.execute(sa.insert(alias), row)


def _sids(digest: bytes, links: Sequence[_Link]) -> list[tuple[str, bytes | None]]:
    return [(sid, key) for linked, sid, key in links if linked == digest]


def _joining(aliases: Iterable[_Alias], sid: str, links: Sequence[_Link]) -> list[_Alias]:
    """Return the aliases that `sid` has yet to get."""
    return [
        entry
        for entry in aliases
        if sid not in (sids := [other for other, _ in _sids(entry.digest, links)])
        and (entry.may_be_shared or not sids)
    ]


def _identity(digests: Sequence[bytes], links: Sequence[_Link]) -> Identity | None:
    """Return who the digests lead to; `links` come in the order in which they were made."""
    for digest in digests:
        sids = _sids(digest, links)
        if sids:
            first, key = sids[0]
            others = dict.fromkeys(sid for _, sid, _ in links if sid != first)
            return Identity(first, tuple(others), is_shared=len(sids) > 1, wrapped_key=key)
    return None
