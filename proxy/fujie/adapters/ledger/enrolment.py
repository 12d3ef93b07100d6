"""Many customers at once: for each what `Subjects.enrol` does, by a few statements and one transaction for all.

Most are plain: each of their references leads to one sid, the same, for which nothing else counts. The others go the
way of `aliases`, with what was read for all of them together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import (
    Alias,
    Link,
    has_number,
    identity_of,
    is_full,
    joining,
    mark_linked,
    people_of,
)
from fujie.adapters.ledger.database import (
    Database,
    Query,
    insert_many,
    members,
    next_change,
    one_of,
    padded_size,
)
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.relatives import relatives
from fujie.adapters.ledger.subjects import Subjects
from fujie.adapters.ledger.tables import alias, change_counter, subject
from fujie.model.customer import CustomerRef, Identity, StoreKey
from fujie.model.errors import LedgerError

MOST_TOGETHER: Final = 4096
"""Values of one statement; PostgreSQL takes 32,767."""

_Row = tuple[bytes, str, str, bytes | None, bool, int]
"""A `Link` as the driver gives it, and the change that made it."""

_COLUMNS = (
    alias.c.digest, alias.c.sid, alias.c.kind, subject.c.wrapped_key, subject.c.is_linked, alias.c.change_seq
)  # fmt: skip


@lru_cache(maxsize=16)
def _leading(count: int) -> Query[Any]:
    """Return the query for where `count` digests lead, which an index answers by itself."""
    select = sa.select(alias.c.digest, alias.c.sid)
    return Query(select.where(one_of(alias.c.digest, count), alias.c.valid_to.is_(None)), tuple)


@lru_cache(maxsize=16)
def _subjects(count: int) -> Query[Any]:
    """Return the query for `count` subjects for which their aliases tell everything."""
    select = sa.select(subject.c.sid, subject.c.wrapped_key).where(one_of(subject.c.sid, count))
    return Query(select.where(subject.c.is_linked.is_(False)), tuple)


@lru_cache(maxsize=16)
def _linked(count: int) -> Query[Any]:
    select = (
        sa.select(*_COLUMNS)
        .join(subject, subject.c.sid == alias.c.sid)
        .where(one_of(alias.c.digest, count), alias.c.valid_to.is_(None))
    )
    return Query(select, tuple)


_Holding = tuple[str, tuple[bytes, str], int]
"""The index key of an alias, what it leads from and to, and the start of one of its times."""


def _holding(row: Sequence[Any]) -> _Holding:
    return row[0], (bytes(row[1]), row[2]), row[3]


@lru_cache(maxsize=16)
def _held(count: int) -> Query[_Holding]:
    """Return the query for every time of every alias that `count` sids have or had.

    Without GROUP BY, for which PostgreSQL reads a table that it takes for small in the order of its key, all of it.
    """
    own = (alias.c.key_version, alias.c.digest, alias.c.sid, alias.c.valid_from)
    return Query(sa.select(*own).where(one_of(alias.c.sid, count)), _holding)


def _number(row: Sequence[Any]) -> int:
    return int(row[0])


_MARKER = Query(sa.select(change_counter.c.value).where(change_counter.c.id == 1), _number)


class Group(NamedTuple):
    """Who the customers are, the digest of each of their references, and a change: what is written after these were read
    has a higher one. `is_new` tells that something was written for them."""

    marker: int
    identities: Sequence[Identity]
    digests: Sequence[Sequence[bytes]]
    is_new: bool


@dataclass(frozen=True, slots=True)
class _New:
    """What a transaction adds, and what it knows."""

    connection: Connection
    links: dict[bytes, list[_Row]]
    held: dict[tuple[bytes, str], int]
    now: int
    subjects: list[dict[str, object]] = field(default_factory=list)
    aliases: list[dict[str, object]] = field(default_factory=list)
    linked: set[str] = field(default_factory=set)


class Enrolment:
    """Over the tables of `Subjects`."""

    def __init__(self, database: Database, subjects: Subjects) -> None:
        self._database = database
        self._subjects = subjects

    async def enrol(self, customers: Sequence[Sequence[CustomerRef]], now: datetime) -> Group:
        """Return who they are, each given by all of its references; costs no write when every one is known."""
        if not all(customers):
            raise LedgerError("nobody can be enrolled without a reference", code="INTERNAL")
        digest = self.digester
        digests = [[digest(ref) for ref in refs] for refs in customers]
        every = list({digest for each in digests for digest in each})
        marker = await self.marker()
        plain = await self._plain(customers, digests, every)
        odd = {n: self._aliases(customers[n]) for n, identity in enumerate(plain) if identity is None}
        links = await self._links(list({digest for each in odd.values() for digest in each}))
        lacking = await self._lacking(list(odd.values()), links)
        if lacking:
            await self._database.write(partial(self._add, lacking, now))
            marker = await self.marker()
            plain = await self._plain(customers, digests, every)
            odd = {n: self._aliases(customers[n]) for n, identity in enumerate(plain) if identity is None}
            links = await self._links(list({digest for each in odd.values() for digest in each}))
        whole = await self._whole([(each, _links_of(each, links)) for each in odd.values()])
        found = dict(zip(odd, whole, strict=True))
        return Group(marker, [each or found[n] for n, each in enumerate(plain)], digests, bool(lacking))

    async def look(self, customers: Sequence[Sequence[CustomerRef]]) -> list[Identity]:
        """Return who each would be if it were enrolled, without writing; who is not known yet has the sid ""."""
        people = [self._aliases(refs) for refs in customers]
        links = await self._links(list({digest for each in people for digest in each}))
        return await self._whole([(each, _expected(each, _links_of(each, links))) for each in people])

    async def marker(self) -> int:
        """Return the last change. Read before all else: what is written between the two is higher, and is seen or not."""
        [marker] = await self._database.rows(_MARKER, {})
        return marker

    @property
    def digester(self) -> Callable[[CustomerRef], bytes]:
        """See `Subjects.digester`."""
        return self._subjects.digester

    def digests(self, store: str, people: Iterable[tuple[str, str]]) -> tuple[list[bytes], list[bytes]]:
        """See `aliases.digests_of`."""
        return self._subjects.digests(store, people)

    def _aliases(self, refs: Sequence[CustomerRef]) -> dict[bytes, Alias]:
        return {entry.digest: entry for entry in map(self._subjects.alias, refs)}

    async def _plain(
        self,
        customers: Sequence[Sequence[CustomerRef]],
        digests: Sequence[Sequence[bytes]],
        every: Sequence[bytes],
    ) -> list[Identity | None]:
        """Return who the references of each lead to, when they all lead to one sid alone and nothing else counts for it.

        A number by itself may be nobody's, and is not plain: what kind of alias it has is not read here.
        """
        leads: dict[bytes, str] = {}
        for part in _parts(every):
            for digest, sid in await self._database.rows(_leading(padded_size(len(part))), members(part)):
                leads[digest] = "" if digest in leads else sid  # two of them: nobody's alone
        sids: list[str] = []
        for refs, own in zip(customers, digests, strict=True):
            sid = leads.get(own[0], "")
            is_named = isinstance(refs[0], StoreKey) or any(isinstance(ref, StoreKey) for ref in refs)
            sids.append(sid if is_named and {sid}.issuperset(map(leads.get, own)) else "")
        keys: dict[str, bytes | None] = {}
        for part in _parts(list({sid for sid in sids if sid})):
            keys.update(await self._database.rows(_subjects(padded_size(len(part))), members(part)))
        return [Identity(sid, wrapped_key=keys[sid]) if sid in keys else None for sid in sids]

    async def _links(self, digests: Sequence[bytes]) -> dict[bytes, list[_Row]]:
        links: dict[bytes, list[_Row]] = {}
        for part in _parts(digests):
            for row in await self._database.rows(_linked(padded_size(len(part))), members(part)):
                links.setdefault(row[0], []).append(row)
        return links

    async def _lacking(
        self, customers: Sequence[Mapping[bytes, Alias]], links: Mapping[bytes, list[_Row]]
    ) -> list[Mapping[bytes, Alias]]:
        """Return those for whom something must be written: a full number that is known to be had is not."""
        lacking, unsure = list[Mapping[bytes, Alias]](), list[tuple[Mapping[bytes, Alias], str, bytes]]()
        for aliases in customers:
            own = _links_of(aliases, links)
            owners = people_of(next(iter(aliases)), own)
            missing = joining(aliases.values(), owners[0].sid, own) if owners else ()
            if not owners or not all(is_full(entry, own) for entry in missing):
                lacking.append(aliases)
            else:
                unsure += [(aliases, owners[0].sid, entry.digest) for entry in missing]
        held = set[tuple[bytes, str]]()
        for part in _parts(list({sid for _, sid, _ in unsure})):
            rows = await self._database.rows(_held(padded_size(len(part))), members(part))
            held.update(self._ours(rows))
        return lacking + [aliases for aliases, sid, digest in unsure if (digest, sid) not in held]

    def _ours(self, rows: Iterable[_Holding]) -> dict[tuple[bytes, str], int]:
        # Here and not in the statement, where it would invite the scan of all aliases of the key.
        ours = dict[tuple[bytes, str], int]()
        for version, pair, start in rows:
            if version == self._subjects.key_version:
                ours[pair] = max(start, ours.get(pair, start))
        return ours

    async def _whole(self, customers: Sequence[tuple[Mapping[bytes, Alias], list[Link]]]) -> list[Identity]:
        """Return who they are by their aliases and the links of these, with everybody who counts for them."""
        found = []
        for aliases, links in customers:
            one = identity_of(list(aliases), links)
            if one is None:
                raise LedgerError("a customer that was enrolled is not there")
            found.append(one)
        more = await relatives(
            self._database, (sid for one, is_linked in found if is_linked for sid in one.sids)
        )
        return [_with(one, more) if is_linked else one for one, is_linked in found]

    def _add(
        self, customers: Sequence[Mapping[bytes, Alias]], now: datetime, connection: Connection
    ) -> None:
        """Enrol one after the other, as `Subjects.enrol` does, and write it all at the end."""
        links: dict[bytes, list[_Row]] = {}
        for part in _parts(list({digest for each in customers for digest in each})):
            for row in _linked(padded_size(len(part))).within(connection, members(part)):
                links.setdefault(bytes(row[0]), []).append(row)
        owners = {row[1] for each in customers for row in links.get(next(iter(each)), ())}
        held: dict[tuple[bytes, str], int] = {}
        for part in _parts(list(owners)):
            held.update(self._ours(_held(padded_size(len(part))).within(connection, members(part))))
        new = _New(connection, links, held, to_micros(now))
        most = sum(1 + len(each) for each in customers)
        # More than are used, perhaps: higher means later, and no more.
        change = next_change(connection, most) - most
        for aliases in customers:
            change = self._add_one(new, aliases, change)
        insert_many(connection, subject, new.subjects)
        insert_many(connection, alias, new.aliases)
        if new.linked:
            mark_linked(connection, subject.c.sid.in_(sorted(new.linked)))

    def _add_one(self, new: _New, aliases: Mapping[bytes, Alias], change: int) -> int:
        """Add one customer behind `change`; return the last change that it took."""
        own = _links_of(aliases, new.links)
        owners = people_of(next(iter(aliases)), own)
        if owners:
            sid = owners[0].sid
        else:
            row = self._subjects.new_subject(new.now)
            sid, change = str(row["sid"]), change + 1
            new.subjects.append({**row, "change_seq": change})
        for entry in joining(aliases.values(), sid, own):
            last, ends = new.held.get((entry.digest, sid)), is_full(entry, own)
            if ends and last is not None:
                continue
            start, change = new.now if last is None else max(new.now, last + 1), change + 1
            new.held[entry.digest, sid] = start
            new.aliases.append(_alias_row(entry, sid, (start, start if ends else None), change))
            if not ends:
                new.links.setdefault(entry.digest, []).append(
                    (entry.digest, sid, entry.kind, None, False, change)
                )
            if has_number(entry.digest, own):
                new.linked.add(sid)
        return change


def _links_of(aliases: Iterable[bytes], links: Mapping[bytes, list[_Row]]) -> list[Link]:
    """Return the links of some references in the order in which they were made."""
    rows = sorted((row for digest in aliases for row in links.get(digest, ())), key=lambda row: row[5])
    return [Link(bytes(row[0]), row[1], row[2], row[3], bool(row[4])) for row in rows]


def _expected(aliases: Mapping[bytes, Alias], links: list[Link]) -> list[Link]:
    """Return the links as they would be behind an enrolment: of somebody new with those that he would get.

    Else a number would lead to who has it already, and what that one agreed to would count for the new one.
    """
    if people_of(next(iter(aliases)), links):
        return links
    new = [entry for entry in joining(aliases.values(), "", links) if not is_full(entry, links)]
    return links + [Link(each.digest, "", each.kind, None, has_number(each.digest, links)) for each in new]


def _with(identity: Identity, more: Mapping[str, set[tuple[int, str]]]) -> Identity:
    related = sorted(set().union(*(more.get(sid, set()) for sid in identity.sids)))
    everybody = tuple(dict.fromkeys([*identity.sids, *(sid for _, sid in related)]))
    return Identity(identity.sid, everybody[1:], identity.is_shared, identity.wrapped_key)


def _alias_row(entry: Alias, sid: str, time: tuple[int, int | None], change: int) -> dict[str, object]:
    return {
        "kind": entry.kind,
        "scope": entry.scope,
        "key_version": entry.key_version,
        "digest": entry.digest,
        "sid": sid,
        "valid_from": time[0],
        "valid_to": time[1],
        "change_seq": change,
    }


def _parts(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + MOST_TOGETHER] for start in range(0, len(values), MOST_TOGETHER)]
