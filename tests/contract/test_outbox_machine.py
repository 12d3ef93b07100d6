"""Any order of whatever moves messages, by several holders: none is claimed twice, none goes back, all are counted."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fujie.model.campaign import CampaignState, Lease
from fujie.model.errors import RequestError
from fujie.model.message import MessageState, Settled
from fujie.ports.providers import Receipt
from support.outboxes import NOW, URLS, campaign, claim, key, marker, opened, phone, planned

S = MessageState
FORWARD = {
    S.PLANNED: {S.CLAIMED, S.REFUSED, S.CANCELLED, S.FAILED},
    S.CLAIMED: {S.PLANNED, S.SUBMITTED, S.DELIVERED, S.FAILED, S.UNKNOWN, S.CANCELLED},
    S.SUBMITTED: {S.DELIVERED, S.FAILED},
    S.UNKNOWN: {S.SUBMITTED, S.DELIVERED, S.FAILED},
}
"""Every step that one rule may take a message; CLAIMED to CANCELLED is back to PLANNED in a cancelled campaign."""
CUSTOMERS = 4
HOLDERS = ["w0", "w0", "w0", "w1"]


class OutboxMachine(RuleBasedStateMachine):
    """Two campaigns to the same few customers, two of whom share a number."""

    kind = "sqlite"

    @initialize()
    def start(self) -> None:
        self.context = URLS[self.kind]()
        self.runner = asyncio.Runner()
        url = self.context.__enter__()
        self.ledger = self.runner.run(opened(url))
        self.outbox = self.ledger.outbox
        self.now = NOW
        self.leases: list[Lease] = []
        self.states: dict[str, MessageState] = {}
        self.of: dict[str, tuple[str, int]] = {}
        self.out: Counter[str] = Counter()
        recalled = self.runner.run(
            self.outbox.recall_many([(key(n),) for n in range(CUSTOMERS)], "marketing", NOW)
        )
        self.sids = [each.identity.sid for each in recalled.customers]
        self.campaigns = [campaign() for _ in range(2)]
        for draft in self.campaigns:
            self.runner.run(self.outbox.create_campaign(draft, "", ""))
        self.plan(0, set(range(CUSTOMERS)))
        self.runner.run(self.outbox.move_campaign(self.campaigns[0].id, CampaignState.RUNNING, NOW))

    def number(self, n: int) -> Any:
        return phone(max(n, 1))  # customers 0 and 1 share one

    @rule(which=st.integers(0, 1), who=st.sets(st.integers(0, CUSTOMERS - 1), min_size=1))
    def plan(self, which: int, who: set[int]) -> None:
        draft, wanted = self.campaigns[which].id, [planned(self.sids[n]) for n in sorted(who)]
        try:
            self.runner.run(self.outbox.plan(draft, wanted, self.now))
        except RequestError:
            return
        known = {n for campaign_id, n in self.of.values() if campaign_id == draft}
        for n, each in zip(sorted(who), wanted, strict=True):
            if n not in known:
                self.states[each.intent_id], self.of[each.intent_id] = S.PLANNED, (draft, n)

    @rule(
        which=st.integers(0, 1),
        to=st.sampled_from(
            [CampaignState.RUNNING, CampaignState.RUNNING, CampaignState.RUNNING, *CampaignState]
        ),
    )
    def move(self, which: int, to: CampaignState) -> None:
        try:
            self.runner.run(self.outbox.move_campaign(self.campaigns[which].id, to, self.now))
        except RequestError as refused:
            assert refused.code == "CAMPAIGN_STATE"  # noqa: PT017 - either way is right

    @rule(holder=st.sampled_from(HOLDERS), most=st.integers(1, 4))
    def lease(self, holder: str, most: int) -> None:
        if lease := self.runner.run(self.outbox.lease(holder, self.now, 30, most)):
            for intent in lease.intents:
                assert self.states[intent.intent_id] is S.PLANNED
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), is_old=st.sampled_from([False, False, False, True]))
    def claim(self, data: Any, is_old: bool) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        claims = [
            claim(intent.intent_id, self.number(self.of[intent.intent_id][1]), intent.sid)
            for intent in lease.intents
        ]
        at = 0 if is_old else self.runner.run(marker(self.ledger))
        done = self.runner.run(self.outbox.claim(lease, claims, at, "marketer", self.now))
        assert not (is_old and done.claimed)
        for intent_id in done.claimed:
            self.out[intent_id] += 1
            assert self.out[intent_id] == 1, "claimed twice"
        reached = [
            (self.of[each][0], self.number(self.of[each][1]).e164) for each, n in self.out.items() if n
        ]
        assert len(reached) == len(set(reached)), "one number, one message of a campaign"

    @precondition(lambda self: self.states)
    @rule(
        data=st.data(),
        holder=st.sampled_from(HOLDERS),
        to=st.sampled_from([S.PLANNED, S.SUBMITTED, S.UNKNOWN, *S]),
        minutes=st.sampled_from([None, 0, 5]),
        reason=st.sampled_from(["", "CONSENT_MISSING", "30003"]),
    )
    def settle(self, data: Any, holder: str, to: MessageState, minutes: int | None, reason: str) -> None:
        ids = data.draw(st.sets(st.sampled_from(sorted(self.states)), min_size=1))
        later = None if minutes is None else self.now + timedelta(minutes=minutes)
        settled = [Settled(each, to, reason, f"p-{each}", later, to is S.PLANNED) for each in sorted(ids)]
        before = dict(self.states)
        self.runner.run(self.outbox.settle(holder, settled, self.now))
        self.look()
        for each in ids:
            if before[each] is S.CLAIMED and self.states[each] in (S.PLANNED, S.CANCELLED):
                self.out[each] -= 1

    @precondition(lambda self: self.states)
    @rule(
        data=st.data(),
        to=st.sampled_from([S.SUBMITTED, S.DELIVERED, S.FAILED]),
        is_echo=st.booleans(),
        has_phone=st.booleans(),
    )
    def receive(self, data: Any, to: MessageState, is_echo: bool, has_phone: bool) -> None:
        intent_id = data.draw(st.sampled_from(sorted(self.states)))
        number = self.number(self.of[intent_id][1]) if has_phone else None
        receipt = Receipt(
            "outbox", to, f"p-{intent_id}", number, intent_id if is_echo else "", "30003" * (to is S.FAILED)
        )
        self.runner.run(self.outbox.receive(receipt, self.now))

    @rule(seconds=st.sampled_from([0, 60]))
    def sweep(self, seconds: int) -> None:
        self.runner.run(self.outbox.sweep(self.now, seconds))

    @rule(seconds=st.sampled_from([1, 31, 400]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def look(self) -> None:
        """Read every message: it has stayed, or moved forward."""
        for intent_id, before in self.states.items():
            message = self.runner.run(self.outbox.message(intent_id))
            assert message is not None
            assert message.state is before or message.state in FORWARD.get(before, ())
            self.states[intent_id] = message.state

    @invariant()
    def tallies_are_exact(self) -> None:
        for draft in self.campaigns:
            known = self.runner.run(self.outbox.campaign(draft.id))
            assert known is not None
            mine = Counter(self.states[each] for each, (of, _) in self.of.items() if of == draft.id)
            assert dict(known.tally.states) == dict(mine)
            assert sum(known.tally.reasons.values()) <= mine[S.REFUSED] + mine[S.FAILED]

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.runner.run(self.ledger.close())
            self.runner.close()
            self.context.__exit__(None, None, None)


class PostgreSQLOutboxMachine(OutboxMachine):
    """The same on a server."""

    kind = "postgresql"


TestSQLite = OutboxMachine.TestCase
TestSQLite.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestPostgreSQL = PostgreSQLOutboxMachine.TestCase
TestPostgreSQL.settings = settings(max_examples=5, stateful_step_count=25, deadline=None)
