"""What providers tell us, by callback or when asked: what became of messages, and what customers answered."""

from fujie.flows.gate import Gate
from fujie.flows.replies import block, hear
from fujie.flows.settlement import have_outcome
from fujie.model.customer import Phone
from fujie.ports.messaging import Called, Incoming, Receipt

_EARLY_S = 4.0
"""How long a receipt is kept that no message is known for yet, while one to its number has no outcome."""


async def receive(gate: Gate, provider_name: str, called: Called) -> None:
    """Take in what one call of a provider said: replies first, since a refusal must hold before anything else.

    Harmless when repeated, late, or out of order. A receipt of no message of ours is counted and changes nothing.

    Raises:
        LedgerError, AuditError: something was not written. The rest may not have been looked at: the provider must
            hear an error, and repeats.

    """
    for reply in called.replies:
        gate.metrics.received(provider_name, await hear(gate, reply))
    for receipt in called.receipts:
        gate.metrics.received(provider_name, await _take(gate, provider_name, receipt))
    for _ in range(called.skipped):
        gate.metrics.received(provider_name, "skipped")


async def blocked(gate: Gate, provider_name: str, phone: Phone, intent_id: str, code: str) -> None:
    """Take over that a provider refused a message because the customer opted out there. Raises like `receive`."""
    if await block(gate, provider_name, phone, code, intent_id):
        gate.metrics.received(provider_name, "block")


async def _take(gate: Gate, provider_name: str, receipt: Receipt) -> str:
    assert gate.sending is not None
    outbox = gate.sending.outbox
    incoming = await outbox.receive(receipt, gate.clock.now())
    if incoming is Incoming.UNKNOWN and receipt.phone and not receipt.intent_id:
        # Faster than its sender, who may be writing down now by which id the provider knows it. Most repeat nothing.
        under_way = await outbox.claimed_of((), (receipt.phone,))
        if under_way and await have_outcome(gate, under_way, _EARLY_S):
            incoming = await outbox.receive(receipt, gate.clock.now())
    # Also of a repeated one: the process may have died between the two writes. Never of a message that is not ours,
    # or anybody who finds the address could opt out others.
    if receipt.is_opted_out and receipt.phone and incoming is not Incoming.UNKNOWN:
        message = receipt.provider_message_id or receipt.intent_id
        await blocked(gate, provider_name, receipt.phone, message, receipt.code)
    return incoming.value
