"""Which customer a consent is about: the stores say who is behind a reference, not the caller's spelling of it."""

from collections.abc import Sequence
from datetime import datetime

from fujie.flows.gate import Gate
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import RequestError, StoreError
from fujie.model.record import Fetched

_TIMEOUT_S = 2.0
"""Store time for one reference; nothing of the row but its keys is read."""

_NONE: frozenset[str] = frozenset()


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


async def rows_of(gate: Gate, ref: CustomerRef) -> Sequence[Fetched]:
    """Return the rows behind `ref`, without fields: of its store, or of every store for a number.

    Raises:
        RequestError: UNKNOWN_STORE.
        StoreError: a store can not be asked.

    """
    if isinstance(ref, StoreKey):
        store = gate.stores.get(ref.store)
        if store is None:
            raise RequestError(code="UNKNOWN_STORE", field="customer.store_key.store")
        return await store.fetch(ref, _NONE, _NONE, _TIMEOUT_S)
    return [
        row for store in gate.stores.values() for row in await store.fetch(ref, _NONE, _NONE, _TIMEOUT_S)
    ]
