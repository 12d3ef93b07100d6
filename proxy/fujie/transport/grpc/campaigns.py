"""Campaigns and screening on the wire."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

from fujie.flows.additions import Row
from fujie.flows.campaign_query import MOST_NAMED
from fujie.flows.campaign_review import Reviewed
from fujie.flows.campaign_scan import QueryAsk
from fujie.flows.campaign_start import StartAsk
from fujie.flows.campaigns import CampaignAsk, DraftReply
from fujie.flows.reply import CampaignReply, RecipientsReply, Refusal, ScreenReply
from fujie.flows.screen import ScreenAsk
from fujie.model.campaign import Campaign
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.message import Recipient
from fujie.model.phone import NotAPhoneNumber, normalise
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import messages, parse, render, text
from fujie.transport.grpc.exports import FILTER
from fujie.transport.grpc.messages import SERVICE
from fujie.transport.grpc.services import Call, Method
from fujie.transport.grpc.streams import Stream, once
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import types_pb2 as types_v1

MOST_ADDED: Final = 500
"""Recipients of one message: each becomes rows of the ledger in one transaction, which others wait for."""

MOST_SCREENED: Final = 1_000
"""Recipients of one batch: the sids of all stand in its entry."""

MOST_PLACES: Final = 100
"""Places that are told of rows that were refused for one reason; who has more has another problem than those rows."""


class _Naming(Protocol):
    """A request about one campaign."""

    @property
    def name(self) -> str: ...

    @property
    def context(self) -> types_v1.RequestContext: ...


def named(request: _Naming) -> tuple[RequestContext, str]:
    """Return the context, and the id of the campaign that is meant."""
    return parse.context(request.context), messages.id_in(request.name, "campaigns")


def created(request: messaging_v1.CreateCampaignRequest) -> CampaignAsk:
    """Return the campaign to draft."""
    return CampaignAsk(
        parse.context(request.context), messages.drafted(request.draft), request.validate_only
    )


def started(request: messaging_v1.StartCampaignRequest) -> StartAsk:
    """Return which campaign is to start."""
    return StartAsk(*named(request), request.validate_only)


def added_to(request: messaging_v1.AddRecipientsRequest) -> tuple[RequestContext, str] | QueryAsk:
    """Return the campaign that is added to, with the query when that says who."""
    context, campaign_id = named(request)
    if not request.HasField("query"):
        return context, campaign_id
    query = request.query
    if not 1 <= query.max_rows <= MOST_NAMED:
        raise RequestError(f"1 to {MOST_NAMED} customers", field="query.max_rows")
    return QueryAsk(
        context,
        campaign_id,
        text.named(query.store, "query.store"),
        text.clean(query.filter, "query.filter", FILTER),
        query.max_rows,
        text.clean(query.resume_token, "query.resume_token", text.TOKEN),
    )


def rows(request: messaging_v1.AddRecipientsRequest) -> tuple[Row, ...]:
    """Return the recipients of one message; one that can not be read is its reason code."""
    if len(request.recipients) > MOST_ADDED:
        raise RequestError(f"more than {MOST_ADDED} recipients", field="recipients")
    return tuple(map(_row, request.recipients))


def screened(request: messaging_v1.ScreenRecipientsRequest) -> ScreenAsk:
    """Return what is to be screened."""
    return ScreenAsk(
        parse.context(request.context),
        messages.drafted(request.draft),
        messages.params(request.params, "params"),
    )


def batch(request: messaging_v1.ScreenRecipientsRequest) -> tuple[CustomerRef, ...]:
    """Return the customers of one batch."""
    if not 1 <= len(request.customer_ids) + len(request.phones) <= MOST_SCREENED:
        raise RequestError(f"name 1 to {MOST_SCREENED} customers", field="customer_ids")
    store = text.named(request.store, "store") if request.store or request.customer_ids else ""
    ids = text.all_named(request.customer_ids, "customer_ids", text.IDENTITY)
    return (*[StoreKey(store, each) for each in ids], *map(_phone, request.phones))


def told(campaign: Campaign) -> messaging_v1.Campaign:
    """Return a campaign with its counts."""
    tally = campaign.tally
    return messaging_v1.Campaign(
        name=campaign.name if campaign.id else "",
        state=f"CAMPAIGN_STATE_{campaign.state}",
        requester=campaign.requester,
        purpose=campaign.purpose,
        basis=campaign.basis,
        draft=messages.draft_told(campaign.draft),
        created_at=render.stamp(campaign.created_at),
        started_at=render.stamp(campaign.started_at) if campaign.started_at else None,
        ended_at=render.stamp(campaign.ended_at) if campaign.ended_at else None,
        recipients=tally.total,
        states=(
            messaging_v1.StateCount(state=f"MESSAGE_STATE_{state}", count=count)
            for state, count in sorted(tally.states.items())
            if count
        ),
        reasons=(
            messaging_v1.ReasonCount(reason=reason, count=count)
            for reason, count in sorted(tally.reasons.items())
            if count
        ),
    )


def _row(given: messaging_v1.Recipient) -> Row:
    try:
        return Recipient(parse.customer(given.customer), messages.params(given.params, "params"))
    except RequestError as error:
        return error.code


def _phone(written: str) -> Phone:
    try:
        return Phone(normalise(text.clean(written, "phones", text.PHONE)))
    except NotAPhoneNumber:
        raise RequestError("does not normalise", code="PHONE_INVALID", field="phones") from None


def _created(reply: DraftReply) -> messaging_v1.CreateCampaignResponse:
    return messaging_v1.CreateCampaignResponse(
        campaign=told(reply.campaign), review=_review(reply.review), decision=render.summary(reply.summary)
    )


def _review(given: Reviewed) -> messaging_v1.Review:
    return messaging_v1.Review(
        findings=(
            messaging_v1.Finding(
                category=each.category, articles=each.articles, severity=each.severity, word=each.word
            )
            for each in given.findings
        ),
        segments=given.segments,
        cost=given.cost,
        personal_data=given.personal_data,
        problems=map(render.reason, given.problems),
    )


def _added(reply: RecipientsReply) -> messaging_v1.AddRecipientsResponse:
    return messaging_v1.AddRecipientsResponse(
        added=reply.added,
        repeated=reply.repeated,
        refused=(
            types_v1.RefusedRows(reason=code, count=len(places), rows=places[:MOST_PLACES])
            for code, places in sorted(reply.refused.items())
        ),
        decision=render.summary(reply.summary),
        resume_token=reply.resume,
    )


def _started(reply: CampaignReply) -> messaging_v1.StartCampaignResponse:
    return messaging_v1.StartCampaignResponse(
        campaign=told(reply.campaign), decision=render.summary(reply.summary)
    )


def _paused(reply: CampaignReply) -> messaging_v1.PauseCampaignResponse:
    return messaging_v1.PauseCampaignResponse(
        campaign=told(reply.campaign), decision=render.summary(reply.summary)
    )


def _cancelled(reply: CampaignReply) -> messaging_v1.CancelCampaignResponse:
    return messaging_v1.CancelCampaignResponse(
        campaign=told(reply.campaign), decision=render.summary(reply.summary)
    )


def _got(reply: CampaignReply) -> messaging_v1.GetCampaignResponse:
    return messaging_v1.GetCampaignResponse(
        campaign=told(reply.campaign), decision=render.summary(reply.summary)
    )


def _watched(reply: CampaignReply) -> messaging_v1.WatchCampaignResponse:
    return messaging_v1.WatchCampaignResponse(
        campaign=told(reply.campaign), decision=render.summary(reply.summary)
    )


def _screened(reply: ScreenReply) -> messaging_v1.ScreenRecipientsResponse:
    counts = Counter(reply.places)
    return messaging_v1.ScreenRecipientsResponse(
        outcomes=(_outcome(decision, counts[place]) for place, decision in enumerate(reply.decisions)),
        places=reply.places,
        decision=render.summary(reply.summary),
    )


def _outcome(decision: Decision, count: int) -> messaging_v1.ScreenOutcome:
    return messaging_v1.ScreenOutcome(
        count=count,
        effect=render.EFFECTS[decision.effect],
        reasons=map(render.reason, decision.reasons),
        deferrable=decision.deferrable,
    )


def _add(
    call: Call, asked: tuple[RequestContext, str] | QueryAsk, batches: Any
) -> AsyncIterator[RecipientsReply | Refusal]:
    flows, gate = call.front.flows, call.front.gate
    if isinstance(asked, QueryAsk):
        return once(flows.add_from_store(gate, call.caller, asked, batches, call.timeout_s))
    return once(flows.add_recipients(gate, call.caller, *asked, batches))


_CREATE = Method(
    SERVICE,
    "CreateCampaign",
    Action.SEND,
    messaging_v1.CreateCampaignRequest,
    created,
    lambda call, asked: call.front.flows.create_campaign(call.front.gate, call.caller, asked),
    _created,
)
_START = Method(
    SERVICE,
    "StartCampaign",
    Action.SEND,
    messaging_v1.StartCampaignRequest,
    started,
    lambda call, asked: call.front.flows.start_campaign(call.front.gate, call.caller, asked),
    _started,
)
_PAUSE = Method(
    SERVICE,
    "PauseCampaign",
    Action.SEND,
    messaging_v1.PauseCampaignRequest,
    named,
    lambda call, asked: call.front.flows.pause_campaign(call.front.gate, call.caller, *asked),
    _paused,
)
_CANCEL = Method(
    SERVICE,
    "CancelCampaign",
    Action.SEND,
    messaging_v1.CancelCampaignRequest,
    named,
    lambda call, asked: call.front.flows.cancel_campaign(call.front.gate, call.caller, *asked),
    _cancelled,
)
_GET = Method(
    SERVICE,
    "GetCampaign",
    Action.SEND,
    messaging_v1.GetCampaignRequest,
    named,
    lambda call, asked: call.front.flows.get_campaign(call.front.gate, call.caller, *asked),
    _got,
)
_ADD = Stream(
    SERVICE,
    "AddRecipients",
    Action.SEND,
    messaging_v1.AddRecipientsRequest,
    added_to,
    rows,
    frozenset({"name", "context", "query"}),
    _add,
    _added,
)
_WATCH: Stream[Any, tuple[RequestContext, str], None, CampaignReply] = Stream(
    SERVICE,
    "WatchCampaign",
    Action.SEND,
    messaging_v1.WatchCampaignRequest,
    named,
    None,
    frozenset(),
    lambda call, asked, _: call.front.flows.watch_campaign(call.front.gate, call.caller, *asked),
    _watched,
)
_SCREEN = Stream(
    SERVICE,
    "ScreenRecipients",
    Action.SEND,
    messaging_v1.ScreenRecipientsRequest,
    screened,
    batch,
    frozenset({"context", "draft", "params"}),
    lambda call, asked, batches: call.front.flows.screen_recipients(
        call.front.gate, call.caller, asked, batches
    ),
    _screened,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_CREATE, _START, _PAUSE, _CANCEL, _GET)
"""The rows of this module that are no streams."""

STREAMS: Final[tuple[Stream[Any, Any, Any, Any], ...]] = (_ADD, _WATCH, _SCREEN)
"""Those that are."""
