"""What became of messages whose outcome nobody knows: the provider is asked, and nothing is ever sent again."""

from datetime import timedelta

from fujie.flows.gate import Gate
from fujie.flows.hearing import keep, take
from fujie.flows.identify import rows_of
from fujie.flows.receipts import receive
from fujie.flows.recipients import readable, sending_of
from fujie.model.customer import CustomerRef, Phone
from fujie.model.errors import RequestError
from fujie.ports.providers import Called, Provider

ASK_AFTER = timedelta(seconds=5)
"""How old a message without an outcome is when its provider is first asked: receipts come in seconds."""

MOST_ASKED = 20
"""Messages that one provider is asked about at a time: their interfaces for this allow a few calls a second."""


async def resolve(gate: Gate, provider: Provider) -> int:
    """Ask a provider about messages that may have been taken; return how many it could tell of.

    Raises:
        StoreError, LedgerError, AuditError: the next ones were not asked about.

    """
    outbox = sending_of(gate).outbox
    told = 0
    for sent in await outbox.unresolved(provider.name, gate.clock.now() - ASK_AFTER, MOST_ASKED):
        recipient = readable(gate, sent.sid, sent.sealed, sent.wrapped_key)
        phone = await _number(gate, recipient.customer) if recipient else None
        if phone is None:  # erased, broken or gone: it stays listed as UNKNOWN
            continue
        receipt = await provider.query(sent, phone)
        if receipt is not None:
            called = Called(receipts=(receipt,))
            # Once its outcome is written nobody asks again, so an opt-out must be kept before.
            heard = await keep(gate, provider.name, called) if receipt.is_opted_out else None
            await (take(gate, heard) if heard else receive(gate, provider.name, called))
            told += 1
    return told


async def _number(gate: Gate, ref: CustomerRef) -> Phone | None:
    if isinstance(ref, Phone):
        return ref
    try:
        rows = await rows_of(gate, ref)
    except RequestError:  # its store is configured no more
        return None
    return Phone(rows[0].phone) if rows and rows[0].phone else None
