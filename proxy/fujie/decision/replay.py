"""Replay: recorded decisions proven by the bundle that made them, then decided anew by a candidate.

An entry of the log holds the facts that its decision read. What the candidate reads beyond them, and what is
sealed or erased, is told by name; nothing is guessed. Time of day and validity of grants are computed from the
moment of the request. A refusal that no policy decided (a store that was away, a customer who was not
found) holds no facts: there is nothing to decide anew. Whether an export or a campaign may start is decided by the rules
of starts, as it was then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from enum import StrEnum

from fujie.decision.admission import NOT_YET, admission
from fujie.decision.anew import Anew, Seen, decide_again, decide_anew, reason_codes, steps
from fujie.decision.plan import Plan, Planner
from fujie.decision.validity import expired_at
from fujie.model.decision import Decision, ReasonHit
from fujie.model.facts import NOT_FETCHED, OWN, ROWS, Facts, FactType, FactValue, Kind, Known
from fujie.model.request import Request
from fujie.model.vocabulary import CUSTOMER_ACTIONS, Action, Effect, State
from fujie.policy.bundle import Bundle

FOUND = "store.rows"
"""Name, in an entry, of how many customers the store had, where it was not one: no fact of the policy."""

LEFT_OUT = "personal.erased"
"""Name, in an entry, of whether personal facts were known and left out, since there was no key to seal them under."""

PEOPLE = "decision.people"
"""Name, in an entry, of how many people were decided alike by it, where it was not one. Their personal facts stand
apart, each sealed under the own key."""

STARTS = "decision.starts"
"""Name, in an entry, of whether it decided that an export or campaign may start, on what no customer can change
(`decision/admission.py`)."""

UNNAMED = "?"
"""Stands in an entry for a name that nobody defined."""

_ROLES = "principal.roles"
_CLOCK = frozenset({"time.hour", "time.weekday"})


class Verdict(StrEnum):
    """What came of one recorded decision."""

    OUTSIDE = "outside"  # no policy decided it
    UNKNOWN_BUNDLE = "unknown_bundle"  # made by a bundle that is not at hand
    UNPROVEN = "unproven"  # the bundle that made it reads facts that can not be read any more
    DIFFERS = "differs"  # the bundle that made it decides otherwise on the facts recorded
    UNDECIDABLE = "undecidable"  # the candidate reads facts that the record lacks
    SAME = "same"  # the candidate decides the same, byte for byte
    FLIPS = "flips"  # the candidate comes to another effect
    CHANGES = "changes"  # the same effect, by other reasons or with other steps


class Why(StrEnum):
    """Why a fact can not be had."""

    NOT_RECORDED = "NOT_RECORDED"
    SEALED = "SEALED"
    ERASED = "ERASED"
    NOT_KEPT = (
        "NOT_KEPT"  # the personal facts of an export's rows: 500 sealed ones are more than an entry takes
    )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as its entry holds it, without whom it was about.

    `opened` are the personal facts, or why they can not be read; None when the entry has none.
    `moment` is when it was asked.
    """

    action: str
    purpose: str
    basis: str
    store: str
    bundle: str
    effect: str
    reasons: tuple[str, ...]
    fields: Mapping[str, str]
    facts: Mapping[str, Known]
    delegated: bool
    moment: datetime
    opened: Mapping[str, Known] | Why | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a recorded decision, and under what to count it.

    `before` and `after` are effects, with their primary reason or what they show; `rule` the guard with its validation,
    or the grants, that make the difference; `roles` those of the principal; `reason` the code. `facts` names
    what is missing, each with why.
    """

    verdict: Verdict
    bundle: str
    action: str
    purpose: str
    before: str
    roles: tuple[str, ...] = ()
    after: str = ""
    rule: str = ""
    reason: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Proof:
    """A recorded decision with what its own bundle made of it."""

    seen: Seen
    decision: Decision
    why: Mapping[str, Why] = field(default_factory=dict)


class Replay:
    """Decides recorded decisions anew, under one candidate. Not thread-safe; compiles each scope once."""

    def __init__(self, recorded: Sequence[Bundle], candidate: Bundle, zone: tzinfo) -> None:
        """`recorded` are the bundles that were in force; `zone` is that of the server, in which hours are read."""
        self._recorded = {bundle.digest: Planner(bundle) for bundle in recorded}
        self._candidate = Planner(candidate)
        self._zone = zone
        self.needs_clock = bool(candidate.timed_grants) or not _CLOCK.isdisjoint(_reads(candidate))
        """Whether two decisions on the same facts may come out differently at other moments."""

    def clock(self, moment: datetime) -> tuple[int, int, tuple[str, ...]]:
        """Return all that a decision can depend on of a moment."""
        local = moment.astimezone(self._zone)
        bundle = self._candidate.bundle
        out = tuple(grant.name for grant in bundle.timed_grants if not grant.is_valid(moment))
        return local.hour, local.isoweekday(), out

    def run(self, recorded: Recorded) -> Replayed:
        """Prove one decision, then decide it anew."""
        said = Replayed(
            Verdict.OUTSIDE, recorded.bundle, recorded.action, recorded.purpose,
            _shown(recorded.effect, recorded.reasons),
            reason=recorded.reasons[0] if recorded.reasons else "",
        )  # fmt: skip
        roles = recorded.facts.get(_ROLES)
        if not isinstance(roles, tuple):
            return said
        said = replace(said, roles=roles)
        planner = self._recorded.get(recorded.bundle)
        if planner is None:
            return replace(said, verdict=Verdict.UNKNOWN_BUNDLE)
        proof = self._prove(planner, recorded, roles)
        if isinstance(proof, Mapping):
            return replace(said, verdict=Verdict.UNPROVEN, facts=_named(proof, proof))
        own = proof.decision
        if not _equals(own, recorded):
            shown = _shown(own.effect.value, reason_codes(own))
            return replace(said, verdict=Verdict.DIFFERS, after=shown)
        return self._anew(said, proof, recorded, roles)

    def _prove(
        self, planner: Planner, recorded: Recorded, roles: tuple[str, ...]
    ) -> _Proof | Mapping[str, Why]:
        """Return the decision of the recorded bundle, or the facts that it would need."""
        request = _request(recorded)
        if request is None:
            return {"request.key": Why.NOT_RECORDED}
        starts = _starts(recorded)
        plan = _plan(planner, request, roles, starts=starts)
        facts, why = _facts(recorded, request, plan, self._zone)
        if starts and request.action is Action.SEND:  # what nobody counted then, and no entry says
            facts = Facts({**facts.values, **NOT_YET})
        found = recorded.facts.get(FOUND, 1)
        rows = found if isinstance(found, int) else 1
        seen = Seen(plan, request, facts, rows=rows, lost=frozenset(why), is_start=starts)
        again = decide_again(seen)
        if again.decision is None:
            return {path: why.get(path, Why.NOT_RECORDED) for path in again.lacks}
        return _Proof(replace(seen, is_closed=again.is_closed), again.decision, why)

    def _anew(self, said: Replayed, proof: _Proof, recorded: Recorded, roles: tuple[str, ...]) -> Replayed:
        bundle, request = self._candidate.bundle, proof.seen.request
        plan = _plan(self._candidate, request, roles, starts=proof.seen.is_start)
        if renamed := _new_names(request, proof.seen.plan.bundle, bundle):
            anew = Anew(None, renamed)
        else:
            expired = expired_at(bundle, request.action, roles, recorded.moment)
            anew = decide_anew(plan, proof.seen, expired)
        if anew.decision is None:
            facts = _named(anew.lacks, proof.why)
            return replace(said, verdict=Verdict.UNDECIDABLE, facts=facts)
        before, after = proof.decision, anew.decision
        if _equals(after, recorded):
            return replace(said, verdict=Verdict.SAME)
        verdict = Verdict.FLIPS if after.effect is not before.effect else Verdict.CHANGES
        is_closing = after.effect is not Effect.ALLOW
        return replace(
            said,
            verdict=verdict,
            after=_shown(after.effect.value, reason_codes(after)),
            rule=_rule(before, after),
            reason=after.primary if is_closing else before.primary,
            facts=_moved(steps(before), steps(after)),
        )


def _starts(recorded: Recorded) -> bool:
    return recorded.facts.get(STARTS) is True and recorded.action in (Action.SEND, Action.EXPORT)


def _plan(planner: Planner, request: Request, roles: tuple[str, ...], *, starts: bool) -> Plan:
    plan = planner.plan(request, roles)
    return admission(plan, request, roles) if starts else plan


def _request(recorded: Recorded) -> Request | None:
    """Return the request; None when the entry does not hold it."""
    facts, action = recorded.facts, Action(recorded.action)
    key, fields, rows = (facts.get(path) for path in ("request.key", "request.fields", ROWS))
    if action in CUSTOMER_ACTIONS:
        if not (isinstance(key, str) and isinstance(fields, tuple) and isinstance(rows, int)):
            return None
    else:
        key, fields, rows = "", (), 1
    return Request(
        action, recorded.purpose, recorded.basis, recorded.store, key, fields,
        facts.get("request.strict") is True,
        facts.get("request.has_basis_evidence") is True,
        facts.get("request.has_ticket") is True,
        recorded.delegated, rows,
        facts.get("request.has_prompt") is True,
        facts.get(OWN) is True,
        _text(facts, "request.channel"),
        _text(facts, "request.brand"),
    )  # fmt: skip


def _text(facts: Mapping[str, Known], name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else ""


def _facts(recorded: Recorded, request: Request, plan: Plan, zone: tzinfo) -> tuple[Facts, dict[str, Why]]:
    """Return the facts that were known, and those that were read and can not be read again."""
    types = plan.bundle.facts
    opened = recorded.opened if isinstance(recorded.opened, Mapping) else {}
    local = recorded.moment.astimezone(zone)
    values: dict[str, FactValue] = {"time.hour": local.hour, "time.weekday": local.isoweekday()}
    values["request.delegated"] = request.delegated
    if request.action in CUSTOMER_ACTIONS:
        values |= {
            "request.action": request.action.value, "request.purpose": request.purpose,
            "request.basis": request.basis, "request.store": request.store,
        }  # fmt: skip
    why: dict[str, Why] = {}
    for path, value in {**recorded.facts, **opened}.items():
        if path in types:
            typed = _typed(value, types[path])
            if typed is None:
                why[path] = Why.NOT_RECORDED
            else:
                values[path] = typed
    for path in ("request.purpose", "request.basis", "request.store", "request.fields"):
        said = values.get(path, "")
        if said == UNNAMED or (isinstance(said, tuple) and UNNAMED in said):
            why[path] = Why.NOT_RECORDED
    for path in plan.reads:
        if path in values or path in why:
            continue
        lack = _lack(path, types[path], recorded, request)
        if isinstance(lack, Why):
            why[path] = lack
        else:
            values[path] = lack
    return Facts(values), why


def _lack(path: str, declared: FactType, recorded: Recorded, request: Request) -> FactValue | Why:
    """Return what a fact is that the entry does not tell: unknown then too, or why it can not be had any more."""
    if path == OWN:  # looked up only where a grant of the asker read it
        return Why.NOT_RECORDED
    if declared.personal and recorded.facts.get(LEFT_OUT) is True:
        return Why.NOT_KEPT if request.action is Action.EXPORT else Why.ERASED
    if declared.personal and isinstance(recorded.opened, Why):
        return recorded.opened
    return NOT_FETCHED


def _typed(value: Known, declared: FactType) -> Known | None:
    """Return a value of the log as the type that the bundle declares; None when it is not of it."""
    match declared.kind:
        case Kind.STATE:
            return State(value) if isinstance(value, str) and value in declared.states else None
        case Kind.BOOL:
            return value if isinstance(value, bool) else None
        case Kind.INT:
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case Kind.STRING:
            return value if isinstance(value, str) else None
        case _:
            return value if isinstance(value, tuple) else None


def _new_names(request: Request, before: Bundle, after: Bundle) -> frozenset[str]:
    """Return what was asked for under a name that nobody defined then and the candidate may define."""
    found = set()
    if request.purpose == UNNAMED and not after.purposes.keys() <= before.purposes.keys():
        found.add("request.purpose")
    if UNNAMED in request.fields and not after.fields.keys() <= before.fields.keys():
        found.add("request.fields")
    if request.store == UNNAMED and not after.stores.keys() <= before.stores.keys():
        found.add("request.store")
    return frozenset(found)


def _equals(decision: Decision, recorded: Recorded) -> bool:
    return (
        decision.effect.value == recorded.effect
        and reason_codes(decision) == recorded.reasons
        and steps(decision) == recorded.fields
    )


def _rule(before: Decision, after: Decision) -> str:
    """Name what makes the difference: what refuses, else what refused; a guard where one did, else grants."""
    refusing = after if after.effect is not Effect.ALLOW else before
    first = refusing.reasons[0] if refusing.reasons else ReasonHit("", 0)
    if first.guard:
        return f"guard:{first.guard}/{first.validation}" if first.validation else f"guard:{first.guard}"
    return ", ".join(f"grant:{name}" for name in sorted({*before.grants} ^ {*after.grants}))


def _moved(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Name the fields that leave at another step; nothing where only one of the two lets any leave."""
    if not (before and after):
        return ()
    return tuple(
        f"{name}: {step} -> {after[name]}"
        for name, step in sorted(before.items())
        if after.get(name, step) != step
    )


def _shown(effect: str, reasons: tuple[str, ...]) -> str:
    return " ".join((effect, *reasons))


def _named(paths: Mapping[str, Why] | frozenset[str], why: Mapping[str, Why]) -> tuple[str, ...]:
    return tuple(f"{path} {why.get(path, Why.NOT_RECORDED)}" for path in sorted(paths))


def _reads(bundle: Bundle) -> set[str]:
    rules = [grant.condition for grant in bundle.grants if grant.condition]
    for guard in bundle.guards:
        rules += [rule for _, rule in guard.conditions]
        rules += [validation.rule for validation in guard.validations]
    return {path for rule in rules for path in rule.reads}
