"""Look up one customer: the main job.

The order is the promise:

1. who asks, and could any grant open this at all; if not, no store and no ledger row is touched;
   then the attempt is counted;
2. fetch the row, with only the columns that a rule reads or a grant can open;
3. find the customer's identity, read consent;
4. derive, decide, reserve what the limits take, use up the approval; what rests on that or on a consent is decided
   on what the ledger says after that, so that no wait stands between the reading and the entry;
5. the entry, durable;
6. mask, answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from fujie.audit.entry import EntryKind
from fujie.decision.anew import Seen as Read
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, with_customer
from fujie.decision.mask import Masking
from fujie.decision.plan import Plan
from fujie.decision.replay import FOUND
from fujie.flows.agreement import Agreement, Emergency, ask_approval
from fujie.flows.evidence import APPROVAL_ID, EXPLAINED, Subject, record
from fujie.flows.explanation import explanation_of, may_explain
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import refs_of
from fujie.flows.perdecision import PerDecision
from fujie.flows.prompt import offer
from fujie.flows.refuse import guarded, refused, standing
from fujie.flows.reply import LookupReply, Prompt, Refusal
from fujie.flows.reserve import Meter
from fujie.model.customer import Identity
from fujie.model.decision import Decision, Explanation
from fujie.model.errors import StoreError
from fujie.model.facts import Facts, Known
from fujie.model.principal import Credential, Principal
from fujie.model.record import Fetched, FieldTreatment
from fujie.model.request import LookupAsk, Request
from fujie.model.vocabulary import Action, Basis, Effect
from fujie.policy.bundle import Bundle

LATELY_S = 0.25
"""How old what is known of the asker may be when the entry is written. Most look-ups take a hundredth of it; behind a
slow store the directory is asked again."""


class Seen(NamedTuple):
    """What the edges told about the customer: raw values for facts, the identity, the row when there is exactly one.
    A named tuple, as `Judged`: one of each is made for every look-up."""

    raw: Raw
    identity: Identity | None = None
    rows: Sequence[Fetched] = ()

    @property
    def sid(self) -> str:
        """The customer's, where there is exactly one row; else empty."""
        return self.identity.sid if self.identity and len(self.rows) == 1 else ""

    def __repr__(self) -> str:
        return "Seen(...)"


class Judged(NamedTuple):
    """A decided look-up: the plan and facts that decided, the decision, what was seen of the customer, and the id of
    the approval that it used up or that it lacks, or of what is to be reviewed (empty: none)."""

    plan: Plan
    facts: Facts
    decision: Decision
    seen: Seen
    approval: str = ""

    def __repr__(self) -> str:
        return "Judged(...)"


def request_of(ask: LookupAsk) -> Request:
    """Return what the policy sees of a look-up."""
    context = ask.context
    return _request(
        context.purpose, context.basis, ask.store, str(ask.key_kind), ask.fields, ask.strict,
        bool(context.basis_evidence), bool(context.ticket), bool(context.on_behalf_of), ask.rows,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _request(*said: Any) -> Request:
    """Return the one object for this request: what follows from it is looked up by its identity."""
    return Request(Action.LOOKUP, *said)


async def lookup(
    gate: Gate, caller: Credential, ask: LookupAsk, timeout_s: float, *, may_prompt: bool = True
) -> LookupReply | Refusal:
    """Answer one look-up within `timeout_s` seconds of store time. `may_prompt`: a refusal may carry a prompt, and its explanation.

    Raises:
        AuditError: evidence could not be written; nothing was released.

    """
    case = open_case(gate, caller, ask.context, request_of(ask))

    async def steps(case: Case) -> _Answer:
        judged = await _judged(case, ask, timeout_s)  # 1 to 4
        if isinstance(judged, Decision):
            return await refused(case, judged)
        decision = judged.decision
        if decision.effect is Effect.APPROVAL_REQUIRED:
            return await _unapproved(case, judged, ask)
        if decision.effect is not Effect.ALLOW:
            prompt = await _prompt(case, judged) if may_prompt else None
            why = await _explanation(case, judged) if may_prompt and ask.context.explain else None
            refusal = await refused(
                case, decision, _subject(case, judged, is_explained=why is not None), prompt=prompt
            )
            return replace(refusal, explanation=why)
        subject = _subject(case, judged)
        summary = await record(case, EntryKind.DECISION, decision, subject)  # 5
        masking = _MASKING.of(decision, judged.plan.bundle)
        tokeniser = gate.tokeniser.of(subject.sids[0]) if masking.needs_customer else gate.tokeniser
        shown = masking.of(judged.seen.rows[0].record, tokeniser)  # 6
        case.watch.lap("mask")
        case.watch.stop()
        return LookupReply(summary, shown, decision.fields)

    return await guarded(case, steps)


def _masking(decision: Decision, bundle: Bundle) -> Masking:
    return Masking(
        {
            name: FieldTreatment(outcome.step, bundle.fields[name].data_class)
            for name, outcome in decision.fields.items()
            if not outcome.withheld
        }
    )


_MASKING = PerDecision(_masking)
_OF_ONE = Emergency()
_Answer = LookupReply | Refusal


async def _judged(case: Case, ask: LookupAsk, timeout_s: float) -> Judged | Decision:
    """Judge the look-up by what the directory says of the asker: lately, however slow the store was (promise 7)."""
    principal = await standing(case)
    while not isinstance(principal, Decision):
        read_at = case.gate.clock.monotonic()
        judged = await judge(case, case.request, principal, ask, timeout_s)
        # To use an approval up is a write that waits for every other: before it is not lately.
        if not judged.approval and case.gate.clock.monotonic() - read_at <= LATELY_S:
            return judged
        before, principal = principal, await standing(case)
        if principal == before:
            return judged
    return principal


async def _explanation(case: Case, judged: Judged) -> Explanation | None:
    """Return why the look-up is refused, to who could ask for it anyway."""
    if not may_explain(case, judged.seen.raw.principal):
        return None
    return await explanation_of(case, seen_of(judged, case.request), judged.decision)


def seen_of(judged: Judged, request: Request) -> Read:
    """Return what a look-up had read when it was decided."""
    seen = judged.seen
    is_closed = seen.raw.events is None
    return Read(judged.plan, request, judged.facts, is_closed, 1 if is_closed else len(seen.rows))


def _subject(case: Case, judged: Judged, *, is_explained: bool = False) -> Subject:
    """Return whom the entry is about, with what a replay must know and what the shadow says."""
    subject = Subject.of(judged.seen.identity)
    facts: dict[str, Known] = {}
    if len(judged.seen.rows) != 1 or case.gate.shadow is not None:
        read = seen_of(judged, case.request)
        if read.rows != 1:
            facts[FOUND] = read.rows
        if case.gate.shadow is not None:
            facts |= case.gate.shadow.ask(read, judged.decision, case.now, case.decision_id)
    if is_explained:
        facts[EXPLAINED] = True
    if judged.approval:
        facts[APPROVAL_ID] = judged.approval
    return replace(subject, facts=facts) if facts else subject


async def _unapproved(case: Case, judged: Judged, ask: LookupAsk) -> Refusal:
    """Refuse what others have to agree to first, and name the approval that waits for them. Whom a search found
    gets none: who may not be seen is left out."""
    if ask.found_by is not None:
        return await refused(case, judged.decision, _subject(case, judged))
    approval = await ask_approval(case, judged.decision, ask.customer, judged.seen.sid)
    judged = judged._replace(approval=approval.id)
    refusal = await refused(case, judged.decision, _subject(case, judged))
    return replace(refusal, approval=approval.name)


async def _prompt(case: Case, judged: Judged) -> Prompt | None:
    """Return how to ask a customer who is there for what the look-up lacks."""
    seen = judged.seen
    if len(seen.rows) != 1:
        return None
    return await offer(case, judged.decision, seen.identity, seen.raw.events or (), seen.rows[0].key)


async def judge(
    case: Case, request: Request, principal: Principal, ask: LookupAsk, timeout_s: float
) -> Judged:
    """Decide a look-up by `principal`: the one way to do so, for those who ask and for those who ask why.

    Raises:
        StoreError, LedgerError: what the decision needs could not be read.

    """
    plan, asker, closed = case.decider.opening(request, principal, case.now, case.gate.zone)
    closed = closed or _unmapped(case, ask)
    case.watch.lap("precheck")
    meter = Meter(case, plan, principal.id, ask.customer)
    if not closed and meter.is_needed:
        asker = await meter.attempt(asker)
        if meter.is_short:
            closed = precheck(plan, request, asker)
        if closed:
            meter.watched(closed, "")
    if closed:
        return Judged(plan, asker, closed, Seen(Raw(principal)))
    rows = await _fetched(case, plan, ask, timeout_s)
    seen = await _remembered(case, plan, principal, ask, rows)
    agreement = Agreement(case, plan, ask.customer, _OF_ONE)
    facts = await agreement.known(asker, seen.sid)
    while True:
        facts = with_customer(plan.bundle, request, facts, seen.raw, case.now)
        decision = _decided(case, plan, request, facts, seen)
        while (again := await _lacking(meter, agreement, decision, facts, seen.sid)) is not None:
            facts = again
            decision = _decided(case, plan, request, facts, seen)
        has_waited = agreement.used or (meter.is_needed and request.basis == Basis.CONSENT)
        if decision.effect is not Effect.ALLOW or not has_waited:
            break
        # To take it may have needed a while, in which a withdrawal was acknowledged, or who approved has left.
        before, seen = (seen.raw, facts), await _remembered(case, plan, principal, ask, rows)
        facts = await agreement.known(facts, seen.sid)
        if (seen.raw, facts) == before:
            break
    meter.watched(decision, seen.sid)
    return Judged(plan, facts, decision, seen, agreement.used)


async def _lacking(
    meter: Meter, agreement: Agreement, decision: Decision, facts: Facts, sid: str
) -> Facts | None:
    """Take what the decision takes; return None when all was there, else the facts to decide anew on. Limits come
    first: what they refuse uses up no approval."""
    again = await meter.take(decision, facts, sid) if meter.is_needed else None
    return again if again is not None else await agreement.take(decision, facts)


def _decided(case: Case, plan: Plan, request: Request, facts: Facts, seen: Seen) -> Decision:
    decision = case.decider.decide(plan, request, facts)
    # A rule that could not read a customer who is not there says nothing; any other reason comes first.
    if len(seen.rows) != 1 and all(hit.code == "FACT_MISSING" for hit in decision.reasons):
        decision = refuse(decision.bundle, "CUSTOMER_AMBIGUOUS" if seen.rows else "CUSTOMER_NOT_FOUND")
    case.watch.lap("decide")
    return decision


async def _fetched(case: Case, plan: Plan, ask: LookupAsk, timeout_s: float) -> Sequence[Fetched]:
    """Fetch the row, with only the columns that a rule reads or a grant can open."""
    store = case.gate.stores[ask.store]
    if timeout_s <= 0:
        raise StoreError(code="STORE_TIMEOUT")
    rows = await store.fetch(
        ask.customer,
        plan.openable.intersection(ask.fields),
        plan.customer_attributes & store.attributes,
        timeout_s,
    )
    case.watch.lap("store")
    return rows


async def _remembered(
    case: Case, plan: Plan, principal: Principal, ask: LookupAsk, rows: Sequence[Fetched]
) -> Seen:
    """Return what the ledger knows of the customer behind `rows` now; find or create the identity.

    A customer that does not exist gets no identity; what the ledger knows under the asked key still counts.
    """
    gate = case.gate
    if len(rows) == 1:
        identity, events = await gate.ledger.recall(refs_of(rows[0]), ask.context.purpose, case.now)
    else:
        found = await gate.ledger.find((ask.customer,))
        if found is None:
            case.watch.lap("ledger")  # here too: the metrics tell nobody apart
            return Seen(Raw(principal, events=(), suppressions=()), rows=rows)
        identity, events = found, await gate.ledger.consent_events(found.sids, ask.context.purpose)
    opt_outs = await gate.ledger.suppressions(identity.sids) if plan.needs_suppressions else None
    case.watch.lap("ledger")
    attributes = rows[0].attributes if len(rows) == 1 else None
    return Seen(Raw(principal, events, identity.sid, attributes, opt_outs), identity, rows)


def _unmapped(case: Case, ask: LookupAsk) -> Decision | None:
    """Refuse a store that is not configured, or a field that it does not map."""
    store = case.gate.stores.get(ask.store)
    if store is None:
        return refuse(case.decider.bundle.digest, "UNKNOWN_STORE")
    if not store.fields.issuperset(ask.fields):
        return refuse(case.decider.bundle.digest, "UNKNOWN_FIELD")
    return None
