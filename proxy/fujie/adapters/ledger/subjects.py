"""Subjects: find who is behind references, and make a random sid for who is new. See `aliases` for the rules."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import (
    NUMBER,
    Alias,
    IndexKey,
    Link,
    alias_of,
    current,
    digest_of,
    digester,
    digests_of,
    first_of,
    has_number,
    identity_of,
    insert_alias,
    is_full,
    join,
    joining,
    mark_linked,
    people_of,
    person,
)
from fujie.adapters.ledger.database import Database, Query, members, next_change, padded_size
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import alias, subject
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.errors import LedgerError
from fujie.ports import Identifiers

__all__ = ["IndexKey", "Subjects"]


def _wrapped_key(row: Sequence[Any]) -> bytes | None:
    return row[0]  # type: ignore[no-any-return]  # a driver's row is untyped; the column is LargeBinary


_KEY = Query(sa.select(subject.c.wrapped_key).where(subject.c.sid == sa.bindparam("sid")), _wrapped_key)

_HAS = Query(
    sa.select(alias.c.sid)
    .where(
        alias.c.key_version == sa.bindparam("key_version"),
        alias.c.digest == sa.bindparam("digest"),
        alias.c.sid == sa.bindparam("sid"),
    )
    .limit(1),
    first_of,
)
"""Whether a subject has or had an alias, though it may lead nowhere."""


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
        """See `ports.Ledger.find`; a second read only for who was merged or whose number has spoken."""
        digests = [self.alias(ref).digest for ref in refs]
        return await self._whole(digests, await self._links(digests)) if digests else None

    async def enrol(self, refs: Sequence[CustomerRef], now: datetime) -> Identity:
        """See `ports.Ledger.enrol`; costs no write when every ref is known."""
        if not refs:
            raise LedgerError("nobody can be enrolled without a reference", code="INTERNAL")
        aliases = {entry.digest: entry for entry in map(self.alias, refs)}
        digests = list(aliases)
        links = await self._links(digests)
        if (owners := people_of(digests[0], links)) and not await self._lacks(
            aliases, owners[0].sid, links
        ):
            return await self._known(digests, links)

        def work(connection: Connection) -> None:
            links = self.links_within(connection, digests)  # again: another process may have been faster
            firsts = people_of(digests[0], links)
            sid = firsts[0].sid if firsts else self.insert_subject(connection, now)
            for entry in joining(aliases.values(), sid, links):
                if not (is_full(entry, links) and _HAS.within(connection, _holding(entry, sid))):
                    join(connection, entry, sid, links, now)

        await self._database.write(work)
        return await self._known(digests, await self._links(digests))

    async def number(self, phone: Phone, now: datetime) -> Identity:
        """See `ports.Ledger.number`; costs no write when the number has spoken before."""
        entry = self.alias(phone)
        links = await self._links([entry.digest])
        if not has_number(entry.digest, links):
            await self._database.write(lambda connection: self._let_speak(connection, entry, now))
            links = await self._links([entry.digest])
        number = next(link for link in links if link.kind == NUMBER)
        sids = dict.fromkeys([number.sid, *(link.sid for link in links)])
        others = tuple(await self._database.rows(person(padded_size(len(sids))), members(list(sids))))
        everybody = tuple(dict.fromkeys([*sids, *others]))
        return Identity(number.sid, everybody[1:], wrapped_key=number.wrapped_key)

    async def subject_key(self, sid: str) -> bytes | None:
        """See `ports.Ledger.subject_key`."""
        found = await self._database.rows(_KEY, {"sid": sid})
        return found[0] if found else None

    def alias(self, ref: CustomerRef) -> Alias:
        """Return the alias of a reference under the index key."""
        return alias_of(self._index, ref)

    def digest(self, ref: CustomerRef) -> bytes:
        """Return the digest of the alias of a reference."""
        return digest_of(self._index, ref)

    @property
    def digester(self) -> Callable[[CustomerRef], bytes]:
        """What makes the digest of the alias of a reference."""
        return digester(self._index.secret)

    def digests(self, store: str, people: Iterable[tuple[str, str]]) -> tuple[list[bytes], list[bytes]]:
        """See `aliases.digests_of`."""
        return digests_of(self._index.secret, store, people)

    def links_within(self, connection: Connection, digests: Sequence[bytes]) -> list[Link]:
        """Return what the digests lead to as the transaction of `connection` sees it."""
        return current(padded_size(len(digests))).within(connection, members(digests))

    @property
    def key_version(self) -> str:
        """The id of the index key that aliases are made under."""
        return self._index.id

    def new_subject(self, created_at: int) -> dict[str, object]:
        """Return the row of a new subject with a data key of its own, but for its `change_seq`."""
        sid = f"sid_{self._identifiers.new_id()}"
        wrapped_key = self._new_wrapped_key(sid)
        return {"sid": sid, "wrapped_key": wrapped_key, "created_at": created_at, "is_linked": False}

    def insert_subject(self, connection: Connection, now: datetime) -> str:
        """Make a subject with a data key of its own; return its sid."""
        row = {**self.new_subject(to_micros(now)), "change_seq": next_change(connection)}
        connection.execute(sa.insert(subject), row)
        return str(row["sid"])

    async def _links(self, digests: Sequence[bytes]) -> list[Link]:
        return await self._database.rows(current(padded_size(len(digests))), members(digests))

    async def _whole(self, digests: Sequence[bytes], links: Sequence[Link]) -> Identity | None:
        found = identity_of(digests, links)
        if found is None:
            return None
        identity, is_linked = found
        if not is_linked:
            return identity
        sids = identity.sids
        more = await self._database.rows(person(padded_size(len(sids))), members(sids))
        everybody = tuple(dict.fromkeys([*sids, *more]))
        return Identity(identity.sid, everybody[1:], identity.is_shared, identity.wrapped_key)

    async def _known(self, digests: Sequence[bytes], links: Sequence[Link]) -> Identity:
        identity = await self._whole(digests, links)
        assert identity is not None, "the first ref is known here"
        return identity

    async def _lacks(self, aliases: dict[bytes, Alias], sid: str, links: Sequence[Link]) -> bool:
        """Tell whether a write is needed: a full number that `sid` is known to have is not."""
        for entry in joining(aliases.values(), sid, links):
            if not (is_full(entry, links) and await self._database.rows(_HAS, _holding(entry, sid))):
                return True
        return False

    def _let_speak(self, connection: Connection, entry: Alias, now: datetime) -> None:
        """Give a number a sid of its own, for everybody who has or had it."""
        if has_number(entry.digest, self.links_within(connection, [entry.digest])):
            return
        sid = self.insert_subject(connection, now)
        holders = sa.select(alias.c.sid).where(
            alias.c.key_version == entry.key_version, alias.c.digest == entry.digest
        )
        mark_linked(connection, subject.c.sid.in_(holders))
        insert_alias(connection, Alias(NUMBER, "", entry.key_version, entry.digest), sid, now)


def _holding(entry: Alias, sid: str) -> dict[str, object]:
    return {"key_version": entry.key_version, "digest": entry.digest, "sid": sid}
