"""The outbox: the tables of what is sent behind `ports.messaging.Outbox`."""

from collections.abc import Sequence
from datetime import datetime

from fujie.adapters.ledger.aliases import IndexKey
from fujie.adapters.ledger.campaigns import Campaigns
from fujie.adapters.ledger.claims import Claims
from fujie.adapters.ledger.database import Database
from fujie.adapters.ledger.enrolment import Enrolment
from fujie.adapters.ledger.heard import Hearing
from fujie.adapters.ledger.leases import Leases
from fujie.adapters.ledger.messages import Messages
from fujie.adapters.ledger.outcomes import Outcomes
from fujie.adapters.ledger.recollection import Recollections
from fujie.adapters.ledger.replies import Replies
from fujie.adapters.ledger.standing import Standing, standing
from fujie.adapters.ledger.subjects import Subjects
from fujie.model.campaign import Campaign, CampaignState, Lease
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.message import Claim, Claimed, Message, Planned, ReplyOutcome, Settled
from fujie.model.page import Page, Slice
from fujie.ports.messaging import Asked, Heard, Incoming, KeptReply, ProviderLink
from fujie.ports.providers import Receipt, Unresolved
from fujie.ports.recollection import People, Recollection, Survey


class SQLOutbox:
    """What is sent, as `ports.messaging.Outbox`; part of a `SQLLedger`."""

    def __init__(self, database: Database, index: IndexKey, subjects: Subjects) -> None:
        self._database = database
        self._enrolment = Enrolment(database, subjects)
        self._recollections = Recollections(database, self._enrolment)
        self._campaigns = Campaigns(database)
        self._leases = Leases(database)
        self._claims = Claims(database, index)
        self._outcomes = Outcomes(database, index)
        self._messages = Messages(database, index)
        self._replies = Replies(database)
        self._hearing = Hearing(database)

    async def enrol_many(self, refs: Sequence[CustomerRef], now: datetime) -> Sequence[Identity]:
        """See `ports.messaging.Outbox.enrol_many`."""
        return (await self._enrolment.enrol([(ref,) for ref in refs], now)).identities

    async def recall_many(
        self, customers: Sequence[Sequence[CustomerRef]], purpose: str, now: datetime
    ) -> Recollection:
        """See `ports.messaging.Outbox.recall_many`."""
        return await self._recollections.recall_many(customers, purpose, now)

    async def survey(
        self, store: str, people: People, purpose: str, now: datetime, *, enrol: bool, sent: bool
    ) -> Survey:
        """See `ports.messaging.Outbox.survey`."""
        return await self._recollections.survey(store, people, purpose, now, enrol=enrol, sent=sent)

    async def create_campaign(self, campaign: Campaign, request_id: str, request_digest: str) -> Campaign:
        """See `ports.messaging.Outbox.create_campaign`."""
        return await self._campaigns.create_campaign(campaign, request_id, request_digest)

    async def campaign(self, campaign_id: str) -> Campaign | None:
        """See `ports.messaging.Outbox.campaign`."""
        return await self._campaigns.campaign(campaign_id)

    async def move_campaign(
        self,
        campaign_id: str,
        to: CampaignState,
        now: datetime,
        approved: tuple[str, ...] = (),
        recipients: int | None = None,
    ) -> Campaign:
        """See `ports.messaging.Outbox.move_campaign`."""
        return await self._campaigns.move_campaign(campaign_id, to, now, approved, recipients)

    async def unfinished_of(self, requester: str) -> Sequence[tuple[str, CampaignState]]:
        """See `ports.messaging.Outbox.unfinished_of`."""
        return await self._campaigns.unfinished_of(requester)

    async def hand_over(self, requester: str, to: str) -> Sequence[str]:
        """See `ports.messaging.Outbox.hand_over`."""
        return await self._campaigns.hand_over(requester, to)

    async def plan(self, campaign_id: str, planned: Sequence[Planned], now: datetime) -> int:
        """See `ports.messaging.Outbox.plan`."""
        return await self._campaigns.plan(campaign_id, planned, now)

    async def first(self, requester: str, request_id: str, request_digest: str) -> Message | None:
        """See `ports.messaging.Outbox.first`."""
        return await self._leases.first(requester, request_id, request_digest)

    async def begin(
        self, planned: Planned, holder: str, now: datetime, seconds: float, request: tuple[str, str]
    ) -> tuple[Message, Lease | None]:
        """See `ports.messaging.Outbox.begin`."""
        return await self._leases.begin(planned, holder, now, seconds, request)

    async def lease(self, holder: str, now: datetime, seconds: float, most: int) -> Lease | None:
        """See `ports.messaging.Outbox.lease`."""
        return await self._leases.lease(holder, now, seconds, most)

    async def claim(
        self, lease: Lease, claims: Sequence[Claim], marker: int, requester: str, now: datetime
    ) -> Claimed:
        """See `ports.messaging.Outbox.claim`."""
        return await self._claims.claim(lease, claims, marker, requester, now)

    async def settle(
        self, holder: str, settled: Sequence[Settled], now: datetime, heard: Heard | None = None
    ) -> None:
        """See `ports.messaging.Outbox.settle`."""
        await self._outcomes.settle(holder, settled, now, heard)

    async def sweep(self, now: datetime, seconds: float) -> int:
        """See `ports.messaging.Outbox.sweep`; ends cancellations too."""
        await self._campaigns.cancel_left_behind(now)
        return await self._outcomes.sweep(now, seconds)

    async def claimed_of(
        self, sids: Sequence[str], phones: Sequence[Phone], requester: str = ""
    ) -> frozenset[str]:
        """See `ports.messaging.Outbox.claimed_of`."""
        return await self._messages.claimed_of(sids, phones, requester)

    async def still_claimed(self, intent_ids: frozenset[str]) -> bool:
        """See `ports.messaging.Outbox.still_claimed`."""
        return await self._messages.still_claimed(intent_ids)

    async def standing(self, now: datetime) -> Standing:
        """Return how sending stands, for metrics."""
        return await standing(self._database, now)

    async def message(self, message_id: str) -> Message | None:
        """See `ports.messaging.Outbox.message`."""
        return await self._messages.message(message_id)

    async def receive(self, receipt: Receipt, now: datetime) -> Incoming:
        """See `ports.messaging.Outbox.receive`."""
        return await self._outcomes.receive(receipt, now)

    async def unresolved(self, provider: str, before: datetime, most: int) -> Sequence[Unresolved]:
        """See `ports.messaging.Outbox.unresolved`."""
        return await self._messages.unresolved(provider, before, most)

    async def link(self, digest: bytes) -> ProviderLink | None:
        """See `ports.messaging.Outbox.link`."""
        return await self._messages.link(digest)

    async def asking(self, before: datetime, most: int) -> Sequence[Asked]:
        """See `ports.messaging.Outbox.asking`."""
        return await self._messages.asking(before, most)

    async def asked(self, intent_ids: Sequence[str]) -> None:
        """See `ports.messaging.Outbox.asked`."""
        await self._messages.asked(intent_ids)

    async def keep_heard(self, heard: Heard) -> None:
        """See `ports.messaging.Outbox.keep_heard`."""
        await self._hearing.keep_heard(heard)

    async def heard(self, before: datetime, most: int, behind: Heard | None = None) -> Sequence[Heard]:
        """See `ports.messaging.Outbox.heard`."""
        return await self._hearing.heard(before, most, behind)

    async def forget_heard(self, heard_id: str) -> None:
        """See `ports.messaging.Outbox.forget_heard`."""
        await self._hearing.forget_heard(heard_id)

    async def keep_reply(self, reply: KeptReply) -> bool:
        """See `ports.messaging.Outbox.keep_reply`."""
        return await self._replies.keep_reply(reply)

    async def replies(
        self, part: Slice, *, with_reviewed: bool = False, since: datetime | None = None
    ) -> Page[KeptReply]:
        """See `ports.messaging.Outbox.replies`."""
        return await self._replies.replies(part, with_reviewed=with_reviewed, since=since)

    async def reply(self, reply_id: str) -> KeptReply | None:
        """See `ports.messaging.Outbox.reply`."""
        return await self._replies.reply(reply_id)

    async def mark_reply(self, reply_id: str, outcome: ReplyOutcome, by: str, now: datetime) -> KeptReply:
        """See `ports.messaging.Outbox.mark_reply`."""
        return await self._replies.mark_reply(reply_id, outcome, by, now)
