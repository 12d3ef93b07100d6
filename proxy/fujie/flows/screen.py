"""Screening: what sending would decide of each recipient now. Nothing is sent, nothing is taken from any limit.

Every batch is a request of its own: the asker anew, the bundle in force, stores and ledger read, one entry that names whom
it was about and how it came out. Who holds no grant for the purpose is told that before anybody is looked for.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, derive
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.judging import opened_matter
from fujie.flows.recipients import request_to
from fujie.flows.refuse import gone, guarded, refuse_input, refused, standing
from fujie.flows.reply import Refusal, ScreenReply
from fujie.flows.screening import Met, Screened, screen_many
from fujie.flows.wording import worded
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.message import Draft
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

STORE_S = 4.0
"""Store time for one batch."""

_TRIES = 3
"""How often a batch is judged anew since the asker's record changed meanwhile."""

Refs = Sequence[CustomerRef] | None
"""A batch of 1 to 1,000; None each half second in which none came, so that who has left is not waited for."""


@dataclass(frozen=True, slots=True, repr=False)
class ScreenAsk:
    """Why and for what is screened. `params` stand in the variables of the draft, the same for all."""

    context: RequestContext
    draft: Draft
    params: Mapping[str, str]


async def screen_recipients(
    gate: Gate, caller: Credential, asked: ScreenAsk, batches: AsyncIterator[Refs]
) -> AsyncIterator[ScreenReply | Refusal]:
    """Yield what came of each batch, in order; a refusal ends it. Raises AuditError: evidence could not be written."""
    met = Met(asked.params)
    try:
        async for refs in batches:
            reply = await (
                _look(gate, caller, asked) if refs is None else _batch(gate, caller, asked, met, refs)
            )
            if reply is not None:
                yield reply
            if isinstance(reply, Refusal):
                return
    except RequestError as error:  # of a batch that can not be read
        yield await refuse_input(gate, caller, Action.SEND, error)


async def _batch(
    gate: Gate, caller: Credential, asked: ScreenAsk, met: Met, refs: Sequence[CustomerRef]
) -> ScreenReply | Refusal:
    case = open_case(gate, caller, asked.context, request_to(refs[0], asked.context, asked.draft))

    async def steps(case: Case) -> ScreenReply | Refusal:
        judged: list[Screened] = []
        for group in _groups(refs):
            of_group = replace(
                case,
                request=replace(
                    request_to(group[0], asked.context, asked.draft), delegated=case.request.delegated
                ),
            )
            found = await _judged(of_group, asked, met, group)
            if isinstance(found, Decision):
                return await refused(of_group, found)
            judged += found
        subject = _subject(judged)
        summary = await record(
            case, EntryKind.DECISION, Decision(Effect.ALLOW, case.decider.bundle.digest), subject
        )
        decisions, places = _shared(judged)
        case.watch.stop()
        return ScreenReply(summary, decisions, places)

    return await guarded(case, steps)


async def _judged(
    case: Case, asked: ScreenAsk, met: Met, refs: Sequence[CustomerRef]
) -> Sequence[Screened] | Decision:
    """Judge recipients of one store and key kind; return the refusal that no recipient can change."""
    for _ in range(_TRIES):
        principal = await standing(case)
        if isinstance(principal, Decision):
            return principal
        plan = case.decider.plan(case.request, principal.roles)
        asker = derive(plan.bundle, case.request, Raw(principal), case.now, case.gate.zone)
        if (closed := precheck(plan, case.request, asker)) is not None:
            return closed
        wording = await worded(case, asked.draft, in_campaign=True)
        matter = await opened_matter(case, principal, wording)
        if isinstance(matter, Decision):
            return matter
        screened = await screen_many(matter, refs, met, STORE_S)
        if screened is not None:
            return screened
    return refuse(case.decider.bundle.digest, "LEDGER_UNAVAILABLE")


async def _look(gate: Gate, caller: Credential, asked: ScreenAsk) -> Refusal | None:
    """Return the refusal of an asker who may not ask any more."""
    case = open_case(gate, caller, asked.context, Request(Action.SEND, asked.context.purpose))

    async def steps(case: Case) -> Refusal | None:
        left = await gone(case)
        return await refused(case, left) if left is not None else None

    return await guarded(case, steps)


def _groups(refs: Sequence[CustomerRef]) -> Iterable[Sequence[CustomerRef]]:
    """Yield the batch by key kind: it names customers of one store first, and numbers behind them."""
    split = sum(isinstance(ref, StoreKey) for ref in refs)
    return [part for part in (refs[:split], refs[split:]) if part]


def _shared(judged: Sequence[Screened]) -> tuple[tuple[Decision, ...], tuple[int, ...]]:
    """Return the decisions, each once, in the order in which they came up, and where that of each stands.

    The memo of decisions gives one object to many, which spares its hash.
    """
    each = {id(decision): decision for _, decision in judged}
    of_said: dict[object, int] = {}
    decisions = list[Decision]()
    place_of: dict[int, int] = {}
    for known, decision in each.items():
        said = (decision.effect, decision.reasons, decision.deferrable)
        place_of[known] = of_said.setdefault(said, len(decisions))
        if place_of[known] == len(decisions):
            decisions.append(decision)
    return tuple(decisions), tuple([place_of[id(decision)] for _, decision in judged])


def _subject(judged: Sequence[Screened]) -> Subject:
    """Return whom the entry is about, and how it came out: for each a sid, whoever else shares it."""
    sids = dict.fromkeys([sid for sid, _ in judged if sid])
    effects = [decision.effect for _, decision in judged]
    return Subject(
        tuple(sids),
        facts={
            "screen.recipients": len(judged),
            "screen.allowed": effects.count(Effect.ALLOW),
            "screen.refused": effects.count(Effect.DENY),
            "screen.to_approve": effects.count(Effect.APPROVAL_REQUIRED),
        },
    )
