"""Sending under test: a provider that counts what it is given, campaigns, and who agreed to get them."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from fujie.app.shipped import shipped_policies
from fujie.flows.dispatch import dispatch
from fujie.flows.gate import Gate, Sending
from fujie.flows.recipients import planned
from fujie.model.campaign import Campaign, CampaignState, Lease
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.message import Category, Draft, MessageState, Recipient
from fujie.ports.providers import (
    Acceptance,
    Callback,
    Called,
    Outgoing,
    Provider,
    Receipt,
    Submission,
    Unresolved,
)
from support.house import House

SIGNATURE = "测试公司"
DRAFT = Draft(Category.MARKETING, SIGNATURE, "新品到店，欢迎选购。拒收请回复R")

POLICY = f"""
apiVersion: fujie.dev/v1
kind: Sender
metadata: {{name: test-company}}
spec: {{signature: {SIGNATURE}}}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: marketer-sends}}
spec:
  match: {{actions: [send]}}
  roles: [marketer]
  purposes: [marketing]
""".encode()


BY_DAY = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: by-day}
spec:
  match: {actions: [send]}
  validations:
    - {name: hours, expression: "recipient.hour >= 8 && recipient.hour < 22", outcome: defer, reason: X_NIGHT}
---
apiVersion: fujie.dev/v1
kind: Reasons
metadata: {name: of-the-night}
spec:
  reasons:
    - {code: X_NIGHT, priority: 300, message: {en: It is night., zh: It is night.}}
"""
"""Whoever has night where he lives gets nothing before the morning."""


def _without_sending() -> Mapping[str, bytes]:
    base = shipped_policies() / "base"
    grants = yaml.safe_load_all((base / "grants.yaml").read_bytes())
    others = [each for each in grants if "send" not in each["spec"]["match"]["actions"]]
    return {"grants.yaml": yaml.safe_dump_all(others).encode(), "messages.yaml": b""}


NO_SENDING = _without_sending()
"""What takes the place of base's rules on messages, where a test brings its own: they are tested by their policy tests."""


class CountingProvider:
    """Stands in for a provider, in memory: it keeps what it is given, and answers as the test says."""

    processor = ""
    needs_template = False
    timeout_s = 0.5

    def __init__(self, name: str = "counting", most: int = 100) -> None:
        self.name = name
        self.most = most
        self.got: list[Outgoing] = []
        self.says: Callable[[Outgoing], Submission] = lambda message: Submission(
            Acceptance.ACCEPTED, f"id-{message.intent_id}"
        )
        self.room: Callable[[int], bool] = lambda count: True
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.told: Called = Called()
        self.knows: dict[str, Receipt] = {}

    @property
    def times(self) -> Counter[str]:
        """How often each number got something."""
        return Counter(each.phone.e164 for each in self.got)

    async def ready(self, count: int) -> bool:
        return self.room(count)

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        assert 0 < len(messages) <= self.most
        self.got += messages
        if self.meanwhile is not None:
            await self.meanwhile()
        return [self.says(message) for message in messages]

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        return self.knows.get(sent.intent_id)

    async def poll(self) -> Called:
        told, self.told = self.told, Called()
        return told

    def callback(self, call: Callback) -> Called:
        return Called()

    async def close(self) -> None:
        return


def sending(house: House, *providers: Provider, policy: bytes = POLICY, **more: Any) -> House:
    """Return the house with these providers, and somebody who may send marketing."""
    with_grant = house.with_policy({**NO_SENDING, "sending.yaml": policy})
    ports = Sending(
        house.ledger.outbox, house.ledger.processors, {each.name: each for each in providers}, **more
    )
    return replace(with_grant, gate=replace(with_grant.gate, sending=ports))


def keys(count: int, first: int = 1) -> list[StoreKey]:
    return [StoreKey("crm", f"C{number:05d}") for number in range(first, first + count)]


async def agree(house: House, customers: Sequence[CustomerRef]) -> None:
    """Let customers of the store agree to marketing, written straight into the ledger."""
    for key in customers:
        refs = await refs_of(house, key)
        now = house.hands.now()
        identity = await house.ledger.enrol(refs, now)
        given = ConsentEvent(
            house.gate.ids.new_id(),
            identity.sid,
            "marketing",
            ConsentEventType.GIVEN,
            now,
            now,
            "desk",
            explicit=True,
        )
        await house.ledger.record_consent(given, "", "")


async def refs_of(house: House, ref: CustomerRef) -> tuple[CustomerRef, ...]:
    if isinstance(ref, Phone):
        return (ref,)
    (row,) = await house.gate.stores["crm"].fetch(ref, frozenset(), frozenset(), 2.0)
    return (ref, Phone(row.phone))


async def phone_of(house: House, key: CustomerRef) -> str:
    phone = (await refs_of(house, key))[-1]
    assert isinstance(phone, Phone)
    return phone.e164


async def campaign_to(
    gate: Gate,
    customers: Sequence[CustomerRef],
    draft: Draft = DRAFT,
    requester: str = "marketer",
    **more: Any,
) -> Campaign:
    """Return a running campaign, written straight into the ledger."""
    assert gate.sending is not None
    outbox, now = gate.sending.outbox, gate.clock.now()
    made = Campaign(
        gate.ids.new_id(),
        CampaignState.DRAFT,
        requester,
        requester,
        "",
        "marketing",
        "consent",
        False,
        False,
        draft,
        now,
    )
    made = await outbox.create_campaign(replace(made, **more), "", "")
    for at in range(0, len(customers), 500):
        recipients = [Recipient(each) for each in customers[at : at + 500]]
        await outbox.plan(made.id, await planned(gate, made, recipients, now), now)
    return await outbox.move_campaign(made.id, CampaignState.RUNNING, gate.clock.now())


async def leases(gate: Gate, seconds: float = 30.0, most: int = 500) -> AsyncIterator[Lease]:
    """Yield what there is to lease, until there is nothing."""
    assert gate.sending is not None
    while True:
        lease = await gate.sending.outbox.lease(gate.ids.new_id(), gate.clock.now(), seconds, most)
        if lease is None:
            return
        yield lease


async def work_off(gate: Gate, seconds: float = 30.0, most: int = 500) -> None:
    """Dispatch until nothing is due any more."""
    async for lease in leases(gate, seconds, most):
        await dispatch(gate, lease)


async def states(gate: Gate, campaign: Campaign) -> dict[str, int]:
    """Return how many recipients of a campaign are in which state; none that nobody is in."""
    assert gate.sending is not None
    known = await gate.sending.outbox.campaign(campaign.id)
    assert known is not None
    return {state.value: count for state, count in known.tally.states.items() if count}


async def reasons(gate: Gate, campaign: Campaign) -> dict[str, int]:
    assert gate.sending is not None
    known = await gate.sending.outbox.campaign(campaign.id)
    assert known is not None
    return {reason: count for reason, count in known.tally.reasons.items() if count}


FINAL = {state.value for state in MessageState} - {MessageState.PLANNED.value, MessageState.CLAIMED.value}
