"""Look up one customer: the main job.

The order is the promise:

1. who asks, and could any grant open this at all; if not, no store and no ledger row is touched;
   then the attempt is counted;
2. fetch the row, with only the columns that a rule reads or a grant can open;
3. find the customer's identity, read consent;
4. derive, decide, reserve what the limits take; what rests on a consent is decided on what the ledger
   says after that, so that no wait stands between the reading and the entry;
5. the entry, durable;
6. mask, answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fujie.audit.entry import EntryKind
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, derive, with_customer
from fujie.decision.mask import mask
from fujie.decision.plan import Plan
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import refs_of
from fujie.flows.prompt import offer
from fujie.flows.refuse import guarded, refused, standing
from fujie.flows.reply import LookupReply, Prompt, Refusal
from fujie.flows.reserve import Meter
from fujie.model.decision import Decision
from fujie.model.errors import StoreError
from fujie.model.facts import Facts
from fujie.model.principal import Credential, Principal
from fujie.model.record import FieldTreatment
from fujie.model.request import LookupAsk, Request
from fujie.model.vocabulary import Action, Basis, Effect
from fujie.ports import Fetched, Identity


@dataclass(frozen=True, slots=True, repr=False)
class Seen:
    """What the edges told about the customer: raw values for facts, the identity, the row when there is exactly one."""

    raw: Raw
    identity: Identity | None = None
    rows: Sequence[Fetched] = ()

    @property
    def sid(self) -> str:
        """The customer's, where there is exactly one row; else empty."""
        return self.identity.sid if self.identity and len(self.rows) == 1 else ""


@dataclass(frozen=True, slots=True, repr=False)
class Judged:
    """A decided look-up: the plan and facts that decided, the decision, and what was seen of the customer."""

    plan: Plan
    facts: Facts
    decision: Decision
    seen: Seen


def request_of(ask: LookupAsk) -> Request:
    """Return what the policy sees of a look-up."""
    context = ask.context
    return Request(
        Action.LOOKUP, context.purpose, context.basis, ask.store, ask.key_kind.value, ask.fields, ask.strict,
        bool(context.basis_evidence), bool(context.ticket), bool(context.on_behalf_of), ask.rows,
    )  # fmt: skip


async def lookup(
    gate: Gate, caller: Credential, ask: LookupAsk, timeout_s: float, *, may_prompt: bool = True
) -> LookupReply | Refusal:
    """Answer one look-up within `timeout_s` seconds of store time. `may_prompt`: a refusal may carry a prompt.

    Raises:
        AuditError: evidence could not be written; nothing was released.

    """
    case = open_case(gate, caller, ask.context, request_of(ask))

    async def steps(case: Case) -> LookupReply | Refusal:
        principal = await standing(case)  # 1
        if isinstance(principal, Decision):
            return await refused(case, principal)
        judged = await judge(case, case.request, principal, ask, timeout_s)  # 1 to 4
        decision, subject = judged.decision, Subject.of(judged.seen.identity)
        if decision.effect is not Effect.ALLOW:
            prompt = await _prompt(case, judged) if may_prompt else None
            return await refused(case, decision, subject, prompt=prompt)
        summary = await record(case, EntryKind.DECISION, decision, subject)  # 5
        fields = judged.plan.bundle.fields
        treatments = {
            name: FieldTreatment(outcome.step, fields[name].data_class)
            for name, outcome in decision.fields.items()
            if not outcome.withheld
        }
        shown = mask(judged.seen.rows[0].record, treatments, gate.tokeniser.of(subject.sids[0]))  # 6
        case.watch.lap("mask")
        case.watch.stop()
        return LookupReply(summary, shown, decision.fields)

    return await guarded(case, steps)


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
    plan = case.decider.plan(request, principal.roles)
    asker = derive(plan.bundle, request, Raw(principal), case.now, case.gate.zone)
    closed = precheck(plan, request, asker) or _unmapped(case, ask)
    case.watch.lap("precheck")
    meter = Meter(case, plan, principal.id, ask.customer)
    if not closed and meter.is_needed:
        asker = await meter.attempt(asker)
        closed = precheck(plan, request, asker)
        if closed:
            meter.watched(closed, "")
    if closed:
        return Judged(plan, asker, closed, Seen(Raw(principal)))
    rows = await _fetched(case, plan, ask, timeout_s)
    seen = await _remembered(case, plan, principal, ask, rows)
    facts = asker
    while True:
        facts = with_customer(plan.bundle, request, facts, seen.raw, case.now)
        decision = _decided(case, plan, request, facts, seen)
        while meter.is_needed and (again := await meter.take(decision, facts, seen.sid)) is not None:
            facts = again
            decision = _decided(case, plan, request, facts, seen)
        if decision.effect is not Effect.ALLOW or not (meter.is_needed and request.basis == Basis.CONSENT):
            break
        # To reserve may have taken a while, in which a withdrawal was acknowledged: it holds here too.
        before, seen = seen, await _remembered(case, plan, principal, ask, rows)
        if seen.raw == before.raw:
            break
    meter.watched(decision, seen.sid)
    return Judged(plan, facts, decision, seen)


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
    openable = frozenset(name for grant in plan.grants for name in grant.fields)
    if timeout_s <= 0:
        raise StoreError(code="STORE_TIMEOUT")
    rows = await store.fetch(
        ask.customer,
        openable.intersection(ask.fields),
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
        identity = await gate.ledger.enrol(refs_of(rows[0]), case.now)
    else:
        found = await gate.ledger.find((ask.customer,))
        if found is None:
            return Seen(Raw(principal, events=(), suppressions=()), rows=rows)
        identity = found
    events = await gate.ledger.consent_events(identity.sids, ask.context.purpose)
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
