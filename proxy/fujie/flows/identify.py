"""Which customer a consent is about: the stores say who is behind a reference, not the caller's spelling of it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fujie.flows.gate import Gate
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import FujieError, RequestError, StoreError
from fujie.model.record import Fetched

_TIMEOUT_S = 2.0
"""Store time for one reference; nothing of the row but its keys is read."""

_NONE: frozenset[str] = frozenset()

_AT_ONCE = 16
"""Numbers that are looked for in the stores at a time: they are found one by one."""

Asked = tuple[CustomerRef, bool]
"""A reference, and whether the event about it closes."""

Rows = Sequence[Fetched] | FujieError
"""What the stores have behind a reference, or why that can not be told."""


def refs_of(row: Fetched) -> tuple[CustomerRef, ...]:
    """Return the references of one customer: its store key first, then its number where it has one."""
    return (row.key, *((Phone(row.phone),) if row.phone else ()))


async def identify(gate: Gate, ref: CustomerRef, now: datetime, *, closes: bool) -> Identity:
    """Return the identity that an event about `ref` belongs to, made where the ledger has none.

    A store key must name a store that is configured and a customer who is there. A number leads to the
    customer who has it; where several have it, to an identity that `is_shared`. A number that no store
    knows stands for itself. An event that `closes` is taken also while a store can not be asked, and for a
    customer whose row is gone but whom the ledger knows: nobody has to say no twice. What closes by a number
    belongs to the number, and so to everybody who has it, had it, or will have it.

    Raises:
        RequestError: UNKNOWN_STORE or CUSTOMER_NOT_FOUND.
        StoreError: a store can not be asked, and the event opens.

    """
    try:
        rows = await rows_of(gate, ref)
    except StoreError:
        if not closes:
            raise
        rows = ()
        if isinstance(ref, StoreKey):
            return await gate.ledger.enrol((ref,), now)
    if isinstance(ref, StoreKey) and not rows:
        known = await gate.ledger.find((ref,)) if closes else None
        if known is None:
            raise RequestError(code="CUSTOMER_NOT_FOUND", field="customer")
        return known
    for row in rows:  # each of them is told
        identity = await gate.ledger.enrol(refs_of(row), now)
    if closes and isinstance(ref, Phone):
        return await gate.ledger.number(ref, now)
    return identity if len(rows) == 1 else await gate.ledger.enrol((ref,), now)


async def identify_many(
    gate: Gate, asked: Sequence[Asked], found: Mapping[CustomerRef, Rows], now: datetime
) -> list[Identity | str]:
    """Do what `identify` does for each of at most 100 references, of which the stores `found` this (`rows_of_many`).

    Where it would raise there is the reason code. Raises LedgerError.
    """
    customers: dict[tuple[CustomerRef, ...], None] = {}
    for ref, closes in asked:
        rows, here = found[ref], list[tuple[CustomerRef, ...]]()
        if isinstance(rows, FujieError):
            here = [(ref,)] if closes and isinstance(rows, StoreError) and isinstance(ref, StoreKey) else []
        else:
            here = [refs_of(row) for row in rows]
            here += [(ref,)] if isinstance(ref, Phone) and len(rows) != 1 and not closes else []
        customers.update(dict.fromkeys(here))
    identities = await gate.ledger.enrol_many(list(customers), now) if customers else ()
    known = dict(zip(customers, identities, strict=True))
    return [await _identified(gate, each, found[each[0]], known, now) for each in asked]


async def _identified(
    gate: Gate,
    asked: Asked,
    rows: Rows,
    known: Mapping[tuple[CustomerRef, ...], Identity],
    now: datetime,
) -> Identity | str:
    ref, closes = asked
    if code := trouble_of(ref, rows, closes=closes):
        return code
    if isinstance(ref, Phone) and closes:
        return await gate.ledger.number(ref, now)
    if isinstance(rows, FujieError):
        return known[(ref,)]
    if isinstance(ref, StoreKey) and not rows:
        return await gate.ledger.find((ref,)) or "CUSTOMER_NOT_FOUND"
    return known[refs_of(rows[0])] if len(rows) == 1 else known[(ref,)]


def trouble_of(ref: CustomerRef, rows: Rows, *, closes: bool) -> str:
    """Return the reason code for which no event about `ref` is taken, as far as the stores tell; else nothing."""
    if isinstance(rows, FujieError):
        return "" if closes and isinstance(rows, StoreError) else rows.code
    return "" if rows or closes or isinstance(ref, Phone) else "CUSTOMER_NOT_FOUND"


async def rows_of_many(gate: Gate, refs: Iterable[CustomerRef]) -> dict[CustomerRef, Rows]:
    """Return what `rows_of` does for each reference, or why it can not be told: a store that fails once is not asked
    again, so that nobody waits for it as often as there are rows."""
    found: dict[CustomerRef, Rows] = {}
    of_store: dict[str, list[StoreKey]] = {}
    numbers = []
    for ref in dict.fromkeys(refs):
        if isinstance(ref, StoreKey):
            of_store.setdefault(ref.store, []).append(ref)
        else:
            numbers.append(ref)
    for name, keys in of_store.items():
        found.update(await _rows_of_store(gate, name, keys))
    room = asyncio.Semaphore(_AT_ONCE)
    away: list[StoreError] = []

    async def look(number: Phone) -> None:
        async with room:
            try:
                found[number] = away[0] if away else await rows_of(gate, number)
            except StoreError as error:
                found[number] = error
                away.append(error)

    await asyncio.gather(*map(look, numbers))
    return found


async def _rows_of_store(gate: Gate, name: str, keys: Sequence[StoreKey]) -> Mapping[CustomerRef, Rows]:
    store = gate.stores.get(name)
    if store is None:
        return dict.fromkeys(keys, RequestError(code="UNKNOWN_STORE", field="customer.store_key.store"))
    try:
        rows = {row.key: row for row in await store.fetch_many(keys, _NONE, _TIMEOUT_S)}
    except StoreError as error:
        return dict.fromkeys(keys, error)
    return {key: (rows[key],) if key in rows else () for key in keys}


async def identity_of(gate: Gate, ref: CustomerRef, now: datetime) -> Identity | None:
    """Return who is behind a reference, with all that the customer's row says; None when nobody knows it.

    A customer with a row is enrolled first: else its number would lead to whoever else has it, and to
    what that other agreed to.

    Raises:
        RequestError: UNKNOWN_STORE.
        StoreError: a store can not be asked.

    """
    rows = await rows_of(gate, ref)
    if len(rows) == 1:
        return await gate.ledger.enrol(refs_of(rows[0]), now)
    return await gate.ledger.find((ref,))


async def rows_of(
    gate: Gate, ref: CustomerRef, attributes: frozenset[str] = _NONE, timeout_s: float = _TIMEOUT_S
) -> Sequence[Fetched]:
    """Return the rows behind `ref`, without fields: of its store, or of every store for a number. Of `attributes` each
    has those that its store maps.

    Raises:
        RequestError: UNKNOWN_STORE.
        StoreError: a store can not be asked.

    """
    if isinstance(ref, StoreKey):
        store = gate.stores.get(ref.store)
        if store is None:
            raise RequestError(code="UNKNOWN_STORE", field="customer.store_key.store")
        return await store.fetch(ref, _NONE, attributes & store.attributes, timeout_s)
    return [
        row
        for store in gate.stores.values()
        for row in await store.fetch(ref, _NONE, attributes & store.attributes, timeout_s)
    ]
