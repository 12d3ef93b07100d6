"""Aliases: from a reference to the sids that it leads to, and to everybody whose refusals count for them.

An alias is HMAC-SHA-256 under the `ledger_index` key of `kind 0x00 scope 0x00 value`, in full: with
the file alone nobody can test whether a number is in it.

What closes for a person, and never gets less except by a split, which copies it:

1. What was said under its own sid, and under those that were merged into it.
2. What was said under the sids that share a number with it, among the first `MOST_SHARERS` that had the number.
3. What was said by a number that it has or ever had: a number has a sid of its own for that.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Query, next_change, one_of
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import alias, subject, subject_link
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.errors import LedgerError

MOST_SHARERS: Final = 50
"""How many sids one number links. A family or an office shares a number; one that thousands have is a
placeholder and says nothing of who they are. Who comes later shares what the number itself said, and no more,
so that an entry can always name all (65,535 bytes hold 1,600 sids)."""

PHONE, STORE_KEY, NUMBER = "phone", "store_key", "number"

_INNER, _OUTER = (bytes(each ^ pad for each in range(256)) for pad in (0x36, 0x5C))


@dataclass(frozen=True, slots=True)
class IndexKey:
    """The `ledger_index` key: `id` is stored beside every alias, so that a later key can be told apart."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Alias:
    """One reference as the table has it."""

    kind: str
    scope: str
    key_version: str
    digest: bytes

    @property
    def may_be_shared(self) -> bool:
        """People share numbers; a store gives an id to one customer."""
        return self.kind == PHONE


class Link(NamedTuple):
    """A digest and a sid that it is current for. `wrapped_key` and `is_linked` are those of the sid."""

    digest: bytes
    sid: str
    kind: str
    wrapped_key: bytes | None
    is_linked: bool


def alias_of(index: IndexKey, ref: CustomerRef) -> Alias:
    """Return the alias of a reference."""
    if isinstance(ref, Phone):
        return Alias(PHONE, "", index.id, digest_of(index, ref))
    return Alias(STORE_KEY, ref.store, index.id, digest_of(index, ref))


def digest_of(index: IndexKey, ref: CustomerRef) -> bytes:
    """Return the digest of the alias of a reference, which is most of its cost."""
    return digester(index.secret)(ref)


@lru_cache(maxsize=4)
def digester(secret: bytes) -> Callable[[CustomerRef], bytes]:
    """Return what makes digests under a key: HMAC (RFC 2104) whose inner and outer hash, with the key in them, are copied,
    which takes a third of what `hmac` takes, twice for each customer. A test holds it against `hmac`."""
    begin, end = _hmac(secret)

    def digest(ref: CustomerRef) -> bytes:
        if isinstance(ref, Phone):
            message = f"{PHONE}\0\0{ref.e164}"
        elif "\0" in ref.store:  # else ("a\0b", "c") and ("a", "b\0c") would be one alias
            raise LedgerError("the name of a store holds NUL", code="INTERNAL")
        else:
            message = f"{STORE_KEY}\0{ref.store}\0{ref.customer_id}"
        inner, outer = begin(), end()
        inner.update(message.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.digest()

    return digest


def digests_of(
    secret: bytes, store: str, people: Iterable[tuple[str, str]]
) -> tuple[list[bytes], list[bytes]]:
    """Return the digests of store key and number of customers, given by both; without a number, the first again.

    The same as `digester` makes, at two thirds of its cost: what is alike of all is hashed, or written, once.
    """
    if "\0" in store:
        raise LedgerError("the name of a store holds NUL", code="INTERNAL")
    begin, end = _hmac(secret)
    of_key, of_number = begin(), begin()
    of_key.update(f"{STORE_KEY}\0{store}\0".encode("utf-8", "surrogatepass"))
    of_number.update(f"{PHONE}\0\0".encode())
    begin_key, begin_number = of_key.copy, of_number.copy
    of_keys, of_numbers = list[bytes](), list[bytes]()
    for customer_id, number in people:
        inner, outer = begin_key(), end()
        inner.update(customer_id.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        key = other = outer.digest()
        if number:
            inner, outer = begin_number(), end()
            inner.update(number.encode("utf-8", "surrogatepass"))
            outer.update(inner.digest())
            other = outer.digest()
        of_keys.append(key)
        of_numbers.append(other)
    return of_keys, of_numbers


@lru_cache(maxsize=4)
def _hmac(secret: bytes) -> "tuple[Callable[[], hashlib._Hash], Callable[[], hashlib._Hash]]":
    """Return what copies the inner and the outer hash of HMAC under a key."""
    block = hashlib.sha256().block_size
    key = (hashlib.sha256(secret).digest() if len(secret) > block else secret).ljust(block, b"\0")
    inner, outer = (hashlib.sha256(key.translate(pad)).copy for pad in (_INNER, _OUTER))
    return inner, outer


def _link(row: Sequence[Any]) -> Link:
    return Link(row[0], row[1], row[2], row[3], bool(row[4]))


@lru_cache(maxsize=32)
def current(count: int) -> Query[Link]:
    """Return the query for all that `count` digests lead to, in the order in which it was linked."""
    select = (
        sa.select(alias.c.digest, alias.c.sid, alias.c.kind, subject.c.wrapped_key, subject.c.is_linked)
        .join(subject, subject.c.sid == alias.c.sid)
        .where(one_of(alias.c.digest, count), alias.c.valid_to.is_(None))
    )
    return Query(select.order_by(alias.c.change_seq), _link)


def first_of(row: Sequence[Any]) -> str:
    """Return a row's only column, a sid."""
    return str(row[0])


@lru_cache(maxsize=32)
def person(count: int) -> Query[str]:
    """Return the query for `count` sids, all that were merged into them, and the numbers that any of these has or had."""
    known = sa.select(subject.c.sid).where(one_of(subject.c.sid, count)).cte("person", recursive=True)
    merged, other = merged_into(known)
    known = known.union(sa.select(other).select_from(merged).where(is_there(other)))
    numbers, number = numbers_of(known)
    found = sa.union(
        sa.select(known.c.sid), sa.select(number).select_from(numbers).where(is_there(number))
    ).subquery("found")
    whole = found.outerjoin(subject, subject.c.sid == found.c.sid)
    return Query(sa.select(subject.c.sid).select_from(whole).order_by(subject.c.change_seq), first_of)


def merged_into(known: sa.CTE) -> tuple[sa.Join, sa.Column[str]]:
    """Return the join of people with who was merged into each, and the sid of that one.

    Outer joins here and below, so that no database begins with all merges, or all numbers, of the ledger (`given`).
    """
    merge = sa.and_(subject_link.c.kind == "merge", subject_link.c.sid == known.c.sid)
    return known.outerjoin(subject_link, merge), subject_link.c.other


def numbers_of(known: sa.CTE) -> tuple[sa.Join, sa.Column[str]]:
    """Return the join of people with the numbers that each has or had, and the sid of a number."""
    held, number = alias.alias("held"), alias.alias("number")
    same = sa.and_(number.c.digest == held.c.digest, number.c.kind == NUMBER, number.c.valid_to.is_(None))
    return known.outerjoin(held, held.c.sid == known.c.sid).outerjoin(number, same), number.c.sid


def is_there(column: sa.Column[str]) -> sa.ColumnElement[bool]:
    """Return whether an outer join has found something, in words by which no database takes it for an inner one."""
    return sa.func.coalesce(column, "") != ""


def people_of(digest: bytes, links: Iterable[Link]) -> list[Link]:
    """Return the links of a digest to people: without the number itself."""
    return [link for link in links if link.digest == digest and link.kind != NUMBER]


def has_number(digest: bytes, links: Iterable[Link]) -> bool:
    """Tell whether the number behind a digest has spoken for itself."""
    return any(link.digest == digest and link.kind == NUMBER for link in links)


def identity_of(digests: Sequence[bytes], links: Sequence[Link]) -> tuple[Identity, bool] | None:
    """Return who the digests lead to, and whether more counts for them than their aliases tell.

    `links` come in the order in which they were made. A number that has no customer is somebody by itself.
    """
    owners = next(filter(None, (people_of(digest, links) for digest in digests)), [])
    first = owners[0] if owners else links[0] if links else None
    if first is None:
        return None
    linking = {digest for digest in digests if digest == first.digest or _links(digest, first.sid, links)}
    close = [link for link in links if link.kind == NUMBER or link.digest in linking]
    others = dict.fromkeys(link.sid for link in close if link.sid != first.sid)
    identity = Identity(first.sid, tuple(others), is_shared=len(owners) > 1, wrapped_key=first.wrapped_key)
    return identity, any(link.is_linked for link in close)


def _links(digest: bytes, sid: str, links: Sequence[Link]) -> bool:
    """Tell whether those who share a digest count for `sid`: it is among them, or they are still few."""
    sharers = people_of(digest, links)
    return len(sharers) < MOST_SHARERS or any(sharer.sid == sid for sharer in sharers)


def joining(aliases: Iterable[Alias], sid: str, links: Sequence[Link]) -> list[Alias]:
    """Return the aliases that `sid` has yet to get: a phone although others have it, a store key that nobody has."""
    found = []
    for entry in aliases:
        sids = [link.sid for link in people_of(entry.digest, links)]
        if sid not in sids and (entry.may_be_shared or not sids):
            found.append(entry)
    return found


def is_full(entry: Alias, links: Sequence[Link]) -> bool:
    """Tell whether a number links as many as it may: who comes now only has it."""
    return entry.may_be_shared and len(people_of(entry.digest, links)) >= MOST_SHARERS


def insert_alias(
    connection: Connection, entry: Alias, sid: str, now: datetime, *, ends: bool = False
) -> None:
    """Let an alias lead to `sid`. One that `ends` at once leads nowhere, and only remembers that `sid` has the number."""
    table, start = alias.c, to_micros(now)
    own = sa.and_(table.key_version == entry.key_version, table.digest == entry.digest, table.sid == sid)
    last = connection.execute(sa.select(sa.func.max(table.valid_from)).where(own)).scalar()
    start = start if last is None else max(start, last + 1)
    row = {
        "kind": entry.kind,
        "scope": entry.scope,
        "key_version": entry.key_version,
        "digest": entry.digest,
        "sid": sid,
        "valid_from": start,
        "valid_to": start if ends else None,
        "change_seq": next_change(connection),
    }
    connection.execute(sa.insert(alias), row)


def join(connection: Connection, entry: Alias, sid: str, links: Sequence[Link], now: datetime) -> None:
    """Give `sid` an alias, as far as it may be shared, and what its number said for itself."""
    insert_alias(connection, entry, sid, now, ends=is_full(entry, links))
    if has_number(entry.digest, links):
        mark_linked(connection, subject.c.sid == sid)


def mark_linked(connection: Connection, which: sa.ColumnElement[bool]) -> None:
    """Remember that more counts for these subjects than their aliases tell."""
    connection.execute(sa.update(subject).where(which).values(is_linked=True))
