"""A message on its way to a customer, with a link to the customer's own page in it; and the gate that it comes back to."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from fujie.flows.gate import Gate, Sending
from fujie.flows.recipients import sealed
from fujie.model.customer import CustomerRef, Phone
from fujie.model.message import Category, Claim, MessageState, Planned, Recipient, Settled
from fujie.ports.providers import Provider
from support.house import House

SIGNATURE = "示例商城"
PAGE_URL = "https://p.example.com/c/"


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that went out."""

    token: str
    intent_id: str
    provider_message_id: str


def sending(house: House, providers: Mapping[str, Provider] | None = None) -> Gate:
    """Return the gate of the house with an outbox."""
    outbox = Sending(
        house.ledger.outbox,
        house.ledger.processors,
        MappingProxyType(dict(providers or {})),
        PAGE_URL,
    )
    return replace(house.gate, sending=outbox)


async def send(
    gate: Gate, ref: CustomerRef, phone: Phone, purpose: str = "marketing", *, is_settled: bool = True
) -> Sent:
    """Take one message through the outbox until a provider has it, or, not settled, until it is on its way there."""
    assert gate.sending is not None
    outbox, now = gate.sending.outbox, gate.clock.now()
    refs = tuple(dict.fromkeys((ref, phone)))
    identity = await gate.ledger.enrol(refs, now)
    intent_id, token, holder = gate.ids.new_id(), secrets.token_urlsafe(16), "worker"
    planned = Planned(
        intent_id,
        identity.sid,
        sealed(gate, identity.sid, identity.wrapped_key, Recipient(ref)),
        requester="boss",
        purpose=purpose,
        category=Category.MARKETING,
        signature=SIGNATURE,
    )
    _, lease = await outbox.begin(planned, holder, now, 60.0, ("", ""))
    assert lease is not None
    marker = (await outbox.recall_many([refs], purpose, now)).marker
    digest = hashlib.sha256(token.encode()).digest()
    claim = Claim(intent_id, phone, identity.sids, "content", "wire", 1, digest)
    claimed = await outbox.claim(lease, [claim], marker, "boss", now)
    assert claimed.claimed == {intent_id}, claimed
    provider_id = f"p-{intent_id}"
    settled = Settled(intent_id, MessageState.SUBMITTED, provider_message_id=provider_id)
    if is_settled:
        await outbox.settle(holder, [settled], now)
    return Sent(token, intent_id, provider_id)
