"""What providers tell us, by callback or when asked: what became of messages, and what customers answered."""

from dataclasses import replace
from functools import partial

from fujie.audit.errors import AuditError
from fujie.flows.gate import Gate
from fujie.flows.replies import block, hear
from fujie.flows.settlement import have_outcome
from fujie.model.customer import Phone
from fujie.model.errors import FujieError, LedgerError
from fujie.ports.messaging import Incoming, Outbox
from fujie.ports.providers import Called, Receipt

_EARLY_S = 4.0
"""How long a receipt is kept that no message is known for yet, while one to its number has no outcome."""


async def receive(gate: Gate, provider_name: str, called: Called) -> None:
    """Take in what one call of a provider said: replies first, since a refusal must hold before anything else.

    Harmless when repeated, late, or out of order. A receipt of no message of ours is counted and changes nothing. What can not
    be taken does not take with it what comes behind, which would be repeated with it, and never heard.

    Raises:
        LedgerError: something was not written. The rest was not looked at: the provider must hear an error, and repeats.
        AuditError: the same, of something; the rest was looked at.

    """
    acts = [
        *(partial(hear, gate, reply) for reply in called.replies),
        *(partial(_take, gate, provider_name, receipt) for receipt in called.receipts),
    ]
    trouble: FujieError | AuditError | None = None
    for act in acts:
        try:
            gate.metrics.received(provider_name, await act())
        except LedgerError:
            raise
        except (FujieError, AuditError) as error:  # whatever one of them brings, the next may be a refusal
            trouble = trouble or error
    for _ in range(called.skipped):
        gate.metrics.received(provider_name, "skipped")
    if trouble is not None:
        raise trouble


async def blocked(gate: Gate, provider_name: str, phone: Phone, intent_id: str, code: str) -> None:
    """Take over that a provider refused a message because the customer opted out there. Raises like `receive`."""
    if await block(gate, provider_name, phone, code, intent_id):
        gate.metrics.received(provider_name, "block")


async def _take(gate: Gate, provider_name: str, receipt: Receipt) -> str:
    assert gate.sending is not None
    outbox = gate.sending.outbox
    incoming, receipt = await _received(gate, outbox, receipt)
    if incoming is Incoming.UNKNOWN and receipt.phone and not receipt.intent_id:
        # Faster than its sender, who may be writing down now by which id the provider knows it. Most repeat nothing.
        phones = tuple(each for each in (receipt.phone, receipt.also) if each)
        under_way = await outbox.claimed_of((), phones)
        if under_way and await have_outcome(gate, under_way, _EARLY_S):
            incoming, receipt = await _received(gate, outbox, receipt)
    # Also of a repeated one: the process may have died between the two writes. Never of a message that is not ours,
    # or anybody who finds the address could opt out others.
    if receipt.is_opted_out and receipt.phone and incoming is not Incoming.UNKNOWN:
        message = receipt.provider_message_id or receipt.intent_id
        await blocked(gate, provider_name, receipt.phone, message, receipt.code)
    return incoming.value


async def _received(gate: Gate, outbox: Outbox, receipt: Receipt) -> tuple[Incoming, Receipt]:
    """Write a receipt down; return what came of it, and the receipt with the number that it is of: where digits can mean two,
    the message tells which."""
    incoming = await outbox.receive(receipt, gate.clock.now())
    if incoming is Incoming.UNKNOWN and receipt.also:
        other = replace(receipt, phone=receipt.also, also=None)
        of_other = await outbox.receive(other, gate.clock.now())
        if of_other is not Incoming.UNKNOWN:
            return of_other, other
    return incoming, receipt
