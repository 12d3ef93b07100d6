"""Decide once more, under another bundle, what was decided: with the facts that were read then, and never a guess.

A fact that the other bundle reads is of three kinds. Known: it was read. Unknown: it was looked for and
not there, which decides like it did. Lacking: nobody looked, and whatever depends on it is not decided.

The procedure repeats that of a live request (`flows/lookup.py: judge`), whose order matters:

1. What no customer can change, without use and customer (`precheck`).
2. The same with the use, where a rule or limit depends on it.
3. Where the first decision ended before the customer was looked at, nothing more is known: not decided.
4. The whole decision, unless a rule in force for this request reads a lacking fact.
5. A customer who was not there, where no rule refused for another reason.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fujie.decision.decide import decide, outcomes, precheck, refuse
from fujie.decision.plan import Plan, is_late, rules_of
from fujie.model.decision import Decision
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    BREAK_GLASS,
    EXHAUSTED,
    EXPIRED,
    FREQUENT,
    ROWS,
    USAGE,
    USE_ROOTS,
    Facts,
    Unknown,
)
from fujie.model.request import Request
from fujie.model.vocabulary import CUSTOMER_ACTIONS

_CUSTOMER = "customer"
"""Stands among lacking facts for a customer that was not looked at."""

_NONE: frozenset[str] = frozenset()
_BY_ITSELF = frozenset({AGREEMENT, EXHAUSTED, EXPIRED, ROWS})
_OF_PERSON = frozenset({"PRINCIPAL_OFFBOARDED", "PRINCIPAL_SUSPENDED", "PRINCIPAL_UNKNOWN"})
_BEFORE_RULES = _OF_PERSON | {"PURPOSE_MISSING", "UNKNOWN_PURPOSE", "FIELDS_UNBOUNDED", "UNKNOWN_FIELD"}
"""Codes of refusals that come before any rule is looked at."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was known of a request when it was decided on `plan`.

    `facts` are those that were read, and as Unknown those that were looked for in vain. `is_closed`: the
    decision ended before the customer was looked at. `rows` is how many customers were there, where one was looked
    for. `lost` are facts that were read and can not be read again. `is_start`: it was whether an export or a campaign
    may start, and both plans are those of an admission.
    """

    plan: Plan
    request: Request
    facts: Facts
    is_closed: bool = False
    rows: int = 1
    lost: frozenset[str] = _NONE
    is_start: bool = False


@dataclass(frozen=True, slots=True)
class Anew:
    """The decision, or the facts that it `lacks`. `is_closed`: it did not need the customer."""

    decision: Decision | None
    lacks: frozenset[str] = field(default=_NONE)
    is_closed: bool = False


def decide_anew(plan: Plan, seen: Seen, expired: Iterable[str] = ()) -> Anew:
    """Decide on another `plan` what was decided on `seen.plan`. Never raises.

    `expired` is the value of the fact `EXPIRED` under the bundle of `plan`: bounds in time are the bundle's own.
    """
    values = {**seen.facts.values, EXPIRED: tuple(expired)}
    values.setdefault(
        APPROVED, ()
    )  # approvals are of requirements: of one that nobody had, there is none, and nobody broke it
    values.setdefault(BREAK_GLASS, ())
    return _decided(plan, seen, Facts(values), lacking(plan, seen))


def decide_again(seen: Seen) -> Anew:
    """Decide what was decided, on the same plan: the same decision, unless it rests on facts that are lost."""
    return _decided(seen.plan, seen, seen.facts, seen.lost)


def lacking(plan: Plan, seen: Seen) -> frozenset[str]:
    """Return the facts that `plan` reads and that nobody looked for when `seen` was decided."""
    return frozenset(path for path in plan.reads if path in seen.lost or not _is_told(path, plan, seen))


def _is_told(path: str, plan: Plan, seen: Seen) -> bool:
    if path in (EXPIRED, APPROVED, BREAK_GLASS):
        return True
    if path == EXHAUSTED:
        return _are_limits_told(plan, seen)
    if path == FREQUENT:
        return _are_caps_told(plan, seen)
    if plan.bundle.facts[path] != seen.plan.bundle.facts.get(path):
        return False
    if not isinstance(seen.facts.get(path), Unknown):
        return True
    if is_late((path,)):
        return path in seen.plan.reads and not seen.is_closed
    return path in seen.plan.reads or path in seen.facts.values


def _are_limits_told(plan: Plan, seen: Seen) -> bool:
    """Tell whether what was counted then tells which counters of `plan` are used up.

    A counter with room had room under a higher limit too; of a rule that was used up nobody wrote down which
    of its counters was.
    """
    told = seen.facts.get(EXHAUSTED)
    if not isinstance(told, tuple):
        return False
    counted = {(charge.rule, charge.limit): charge.at_most for charge in seen.plan.limits}
    own = {(charge.rule, charge.limit): charge.at_most for charge in plan.limits}
    if any(place not in counted for place in own):
        return False
    if any(most < counted[place] for place, most in own.items()):
        return False
    full = set(told)
    return all(
        {place: most for place, most in own.items() if place[0] == rule}
        == {place: most for place, most in counted.items() if place[0] == rule}
        for rule in full.intersection(rule for rule, _ in own)
    )


def _are_caps_told(plan: Plan, seen: Seen) -> bool:
    """Tell whether what was counted then tells which caps of the guards of `plan` are used up.

    A cap with room has room when it is higher; where one was used up nobody wrote down which, but it is when none is
    higher than it was.
    """
    told = seen.facts.get(FREQUENT)
    if not isinstance(told, tuple):
        return False
    counted = {guard.counted_as: guard.frequency for guard in seen.plan.bundle.capped_guards}
    for guard in plan.guards:
        own, then = guard.frequency, counted.get(guard.counted_as, {})
        if guard.counted_as in told:
            known = all(cap in own and own[cap] <= most for cap, most in then.items())
        else:
            known = all(cap in then and most >= then[cap] for cap, most in own.items())
        if own and not known:
            return False
    return True


def _decided(plan: Plan, seen: Seen, facts: Facts, missing: frozenset[str]) -> Anew:
    request = seen.request
    if request.action not in CUSTOMER_ACTIONS or seen.is_start:
        lacks = needed(plan, facts, missing)
        return Anew(None, lacks) if lacks else Anew(decide(plan, request, facts))
    early = Facts({path: value for path, value in facts.values.items() if not is_late((path,))})
    closed = precheck(plan, request, early)  # 1
    if closed and (not plan.reachable or closed.primary in _BEFORE_RULES):
        is_said = request.key_kind or not plan.reachable or closed.primary in _OF_PERSON
        return Anew(closed, is_closed=True) if is_said else Anew(None, frozenset({"request.key"}))
    if lacks := frozenset(path for path in needed(plan, early, missing) if not is_late((path,))):
        return Anew(None, lacks)
    if closed:
        return Anew(closed, is_closed=True)
    if EXHAUSTED in plan.reads or not USAGE.isdisjoint(plan.reads):  # 2
        if lacks := frozenset(path for path in missing if path.partition(".")[0] in USE_ROOTS):
            return Anew(None, lacks | needed(plan, facts, missing))
        use = {path: value for path, value in facts.values.items() if path.partition(".")[0] in USE_ROOTS}
        if closed := precheck(plan, request, Facts({**early.values, **use})):
            return Anew(closed, is_closed=True)
    if seen.is_closed:  # 3
        return Anew(None, missing or frozenset({_CUSTOMER}))
    if lacks := needed(plan, facts, missing):  # 4
        return Anew(None, lacks)
    decision = decide(plan, request, facts)
    if seen.rows != 1 and all(hit.code == "FACT_MISSING" for hit in decision.reasons):  # 5
        decision = refuse(plan.bundle.digest, "CUSTOMER_AMBIGUOUS" if seen.rows else "CUSTOMER_NOT_FOUND")
    return Anew(decision)


def needed(plan: Plan, facts: Facts, missing: Collection[str]) -> frozenset[str]:
    """Return those of the `missing` facts that the decision depends on: all that are read, but for
    guards that are out whatever these facts are."""
    if not missing:
        return _NONE
    reads = {*plan.conditions.reads, *_BY_ITSELF.intersection(plan.reads)}
    results = outcomes(plan.bundle.engine, plan.all_rules, facts)
    start = len(plan.conditions.rules)
    for guard in plan.guards:
        rules = rules_of(guard)
        verdicts = results[start : start + len(guard.conditions)]
        start += len(rules)
        # False is certain: what reads a missing fact is Unknown here.
        if not any(verdict is False for verdict in verdicts):
            reads.update(path for rule in rules for path in rule.reads)
            reads.update({FREQUENT} if guard.frequency else ())
    return frozenset(reads.intersection(missing))


def reason_codes(decision: Decision) -> tuple[str, ...]:
    """Return the reasons as an entry holds them: enforced ones plain, `warn:` and `audit:` in front of the others."""
    return (
        *(hit.code for hit in decision.reasons),
        *(f"warn:{hit.code}" for hit in decision.warnings),
        *(f"audit:{hit.code}" for hit in decision.shadow),
    )


def steps(decision: Decision) -> Mapping[str, str]:
    """Return the step of every field as an entry holds them."""
    return {name: str(outcome.step) for name, outcome in decision.fields.items()}
