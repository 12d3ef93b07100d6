"""The decision: grants open, guards close, the field steps combine (DESIGN section 5, "Combining").

`decide` is pure and total. The procedure, whose order matters:

1. A principal that is not ACTIVE is refused, whatever it holds.
2. When no grant that is valid opens the action to any role of the asker: NO_GRANT, and nothing else is said.
3. Names that the bundle does not define are invalid.
4. A grant matches when its scope matches, it is valid now, its condition is true and its limits leave room;
   an error or an Unknown fact is no match. None: NO_GRANT, or LIMIT_EXCEEDED where a limit is in the way.
5. The basis must be one that the purpose accepts, with its evidence. What is sent goes through a processor whose
   agreement is in force, or that needs none.
6. Every guard in scope is evaluated. A match condition that is false takes the guard out; one that
   errs leaves it in, and refuses. A validation that is not true refuses; one that is false and may be
   approved refuses nothing, but asks for its approval unless that is granted. A guard whose cap on messages to one
   person is used up refuses. A guard whose limits leave no room refuses with LIMIT_EXCEEDED, and nothing else is said.
7. The step of a field is the most open among the matching grants, then the most closed of that, of
   every applicable guard's `fields`, and of the floor of its class.
8. Fields that no grant names are withheld; all of them withheld, or any under `strict`, refuses.
9. What nothing refuses is allowed once nothing is left to approve: to refuse comes before to ask. Who breaks the glass
   needs no approval where every requirement that is left lets one of his roles do so; it warns. What only
   validations refuse that defer may open later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from fujie.decision.limits import closed_to_all, taken, used_up, without_grant
from fujie.decision.plan import Plan, RuleSet, is_late
from fujie.decision.validity import is_reachable, out_of_validity
from fujie.model.approval import Requirement
from fujie.model.decision import Decision, FieldOutcome, ReasonHit
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    BREAK_GLASS,
    FREQUENT,
    NOT_FETCHED,
    Facts,
    FactValue,
    Unknown,
)
from fujie.model.notice import NOTICE
from fujie.model.reason import LocalizedText
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.request import Request
from fujie.model.step import Step
from fujie.model.vocabulary import ANY_CHANNEL, CUSTOMER_ACTIONS, FIELD_ACTIONS, Action, Effect, State
from fujie.policy.bundle import Grant, Guard, Rule, Validation
from fujie.policy.cel import Engine, EvaluationError, Result

_OMIT = Step("omit")
_AGREED = (State.VALID, State.NOT_NEEDED)
_EMPLOYMENT = {State.OFFBOARDED: "PRINCIPAL_OFFBOARDED", State.SUSPENDED: "PRINCIPAL_SUSPENDED"}

Outcome = Result | Unknown
"""What one rule came to: true, false, an evaluation error, or an Unknown fact that it reads."""


def decide(plan: Plan, request: Request, facts: Facts) -> Decision:
    """Decide one request. Never raises; the same arguments give the same decision."""
    try:
        return _decide(plan, request, facts)
    except Exception:  # noqa: BLE001 - total by contract: whatever breaks here must refuse, not escape
        return _deny(plan, facts, [built_in("GUARD_ERROR")])


def refuse(bundle_digest: str, code: str) -> Decision:
    """Return the refusal for a reason that lies outside the policy: nobody known, nothing readable."""
    return Decision(Effect.DENY, bundle_digest, (built_in(code),))


def built_in(code: str, *, guard: str = "", validation: str = "", detail: str = "") -> ReasonHit:
    """Return the hit for a built-in reason; `detail`, a fact path for example, follows its text in brackets."""
    row = BUILT_IN_REASONS[code]
    message = row.message
    if detail:
        message = LocalizedText(f"{message.zh}（{detail}）", f"{message.en} ({detail})")
    return ReasonHit(code, row.priority, guard, validation, message, row.basis, row.remedy)


def matching_grants(plan: Plan, facts: Facts) -> tuple[Grant, ...]:
    """Return the grants of the plan that are valid, whose condition is true and whose limits leave room."""
    results = outcomes(plan.bundle.engine, plan.conditions, facts)
    return _matching(plan, results, used_up(plan, facts), out_of_validity(plan, facts))


def _matching(
    plan: Plan, results: Sequence[Outcome], limited: frozenset[str], out: frozenset[str]
) -> tuple[Grant, ...]:
    conditions = iter(results)
    found = tuple(grant for grant in plan.grants if grant.condition is None or next(conditions) is True)
    if not limited and not out:
        return found
    return tuple(grant for grant in found if grant.counted_as not in limited and grant.name not in out)


def outcomes(engine: Engine, asked: RuleSet, facts: Facts) -> list[Outcome]:
    """Evaluate the rules that are asked; one that reads an Unknown fact is Unknown, whatever it gave.

    Never raises: facts that are not of their types make every rule an error.
    """
    if not asked.rules:
        return []
    try:
        messages = engine.messages(facts, asked.reads)
    except ValueError as error:
        return [EvaluationError(str(error))] * len(asked.rules)
    results: list[Outcome] = [result for program in asked.programs for result in program.run(messages)]
    told = facts.values.get
    unknown = {p: value for p in asked.reads if isinstance(value := told(p, NOT_FETCHED), Unknown)}
    if unknown:
        for index, rule in enumerate(asked.rules):
            if missing := sorted(rule.reads & unknown.keys()):
                results[index] = unknown[missing[0]]
    return results


def precheck(plan: Plan, request: Request, facts: Facts) -> Decision | None:
    """Return the refusal that no fact about the customer can change (steps 1 to 4), else None.

    `facts` come without the customer; what this refuses is refused without touching store or ledger,
    so its answer tells nothing about any customer. As long as they do not tell which limits are used
    up, none is.
    """
    if refused := _closed(plan, request, facts):
        return refused
    out = out_of_validity(plan, facts)
    if limited := used_up(plan, facts, so_far=True):
        results = outcomes(plan.bundle.engine, plan.all_rules, facts)
        code = closed_to_all(plan, limited, results, out)
        return _deny(plan, facts, [built_in(code)]) if code else None
    if not _needs_customer(plan, out):
        results = outcomes(plan.bundle.engine, plan.conditions, facts)
        if not _matching(plan, results, limited, out):
            return _deny(plan, facts, [built_in("NO_GRANT")])
    return None


def _needs_customer(plan: Plan, out: frozenset[str]) -> bool:
    if not out or not plan.needs_customer:
        return plan.needs_customer
    valid = (grant for grant in plan.grants if grant.name not in out)
    return any(grant.condition is not None and is_late(grant.condition.reads) for grant in valid)


def _closed(plan: Plan, request: Request, facts: Facts) -> Decision | None:
    employment = facts.get("principal.employment")
    if employment is not State.ACTIVE:  # 1
        code = _EMPLOYMENT.get(employment) if isinstance(employment, State) else None
        return _deny(plan, facts, [built_in(code or "PRINCIPAL_UNKNOWN")])
    if not is_reachable(plan, facts):  # 2
        return _deny(plan, facts, [built_in("NO_GRANT")])
    if invalid := list(_invalid_names(plan, request)):  # 3
        return _deny(plan, facts, invalid)
    return None


def _decide(plan: Plan, request: Request, facts: Facts) -> Decision:
    if refused := _closed(plan, request, facts):
        return refused
    results = outcomes(plan.bundle.engine, plan.all_rules, facts)
    limited, out = used_up(plan, facts), out_of_validity(plan, facts)  # 4
    if limited and (code := closed_to_all(plan, limited, results, out)):
        return _deny(plan, facts, [built_in(code)])
    grants = _matching(plan, results, limited, out)
    if not grants:
        return _deny(plan, facts, [built_in(without_grant(plan, limited, results, out))])
    closing = _guarded(plan, request, results, facts)  # 6
    if not limited.isdisjoint(guard.counted_as for guard in closing.applicable):
        return _deny(plan, facts, [built_in("LIMIT_EXCEEDED")])
    fields = _fields(plan, request, grants, closing.applicable)  # 7
    refusing = [
        *_basis(plan, request), *_processor(request, facts), *closing.denying, *_withheld(request, fields),
    ]  # 5, 8  # fmt: skip
    needed, used = _approvals(closing.approvable, facts)  # 9
    broken = needed if not refusing and _breaks(needed, facts) else []
    needed = [] if broken else needed
    effect = Effect.DENY if refusing else Effect.APPROVAL_REQUIRED if needed else Effect.ALLOW
    is_open = effect is Effect.ALLOW
    return Decision(
        effect=effect,
        bundle=plan.bundle.digest,
        reasons=_told(plan, request, refusing or [validation.hit for validation in needed]),
        fields=MappingProxyType(fields if is_open else {}),
        grants=tuple(grant.name for grant in grants),
        warnings=_told(plan, request, [*closing.warning, *map(_broke, broken)]),
        shadow=_sorted(closing.shadow),
        read=_read(plan, facts),
        charges=taken(request.action, grants, closing.applicable) if plan.limits and is_open else (),
        needs=() if refusing else tuple(v.approval for v in needed if v.approval),
        uses=used if is_open else (),
        breaks=tuple(v.approval for v in broken if v.approval),
        deferrable=bool(refusing) and len(refusing) == closing.deferring,
    )


@dataclass(slots=True)
class _Closing:
    """What the guards of a plan came to: those that apply, their hits by mode, how many of the `denying` are of
    validations that defer, and what may be approved."""

    applicable: list[Guard]
    denying: list[ReasonHit]
    warning: list[ReasonHit]
    shadow: list[ReasonHit]
    approvable: list[Validation]
    deferring: int = 0


def _guarded(plan: Plan, request: Request, results: Sequence[Outcome], facts: Facts) -> _Closing:
    found = _Closing([], [], [], [], [])
    start = len(plan.conditions.rules)
    for guard in plan.guards:
        end = start + len(guard.conditions) + len(guard.validations)
        verdicts = results[start:end]
        hits = guard_hits(guard, verdicts, facts)
        start = end
        if hits is None:
            continue
        found.applicable.append(guard)
        (found.denying if guard.enforced else found.warning if guard.warns else found.shadow).extend(hits)
        if plan.approvals:
            found.approvable.extend(to_approve(guard, verdicts))
        if hits and request.action is Action.SEND:
            found.deferring += _deferring(guard, verdicts)
    return found


def _deferring(guard: Guard, verdicts: Sequence[Outcome]) -> int:
    """Return how many validations are false that defer; one that could not be evaluated will not be by waiting."""
    of_validations = zip(guard.validations, verdicts[len(guard.conditions) :], strict=True)
    return sum(found.defers and verdict is False for found, verdict in of_validations)


def _approvals(
    approvable: Sequence[Validation], facts: Facts
) -> tuple[list[Validation], tuple[Requirement, ...]]:
    """Return the validations that lack their approval, and the requirements whose approval is there."""
    given = granted(facts)
    asked = [(validation, validation.approval) for validation in approvable if validation.approval]
    needed = [validation for validation, requirement in asked if requirement.key not in given]
    return needed, tuple(requirement for _, requirement in asked if requirement.key in given)


def _breaks(needed: Sequence[Validation], facts: Facts) -> bool:
    """Tell whether the asker goes ahead without what is needed: all of it or nothing, as part of an approval is none."""
    asked = facts.get(BREAK_GLASS)
    if not isinstance(asked, tuple):
        return False
    return all(
        v.approval is not None and v.approval.key in asked and may_break(v.approval, facts) for v in needed
    )


def may_break(requirement: Requirement, facts: Facts) -> bool:
    """Tell whether one of the asker's roles may go ahead without this requirement."""
    roles, terms = facts.get("principal.roles"), requirement.break_glass
    return terms is not None and isinstance(roles, tuple) and terms.opens_to(roles)


def _broke(validation: Validation) -> ReasonHit:
    return built_in("BREAK_GLASS_USED", guard=validation.hit.guard, validation=validation.name)


def granted(facts: Facts) -> tuple[str, ...]:
    """Return the keys of the requirements that are approved: none, when the facts do not tell."""
    told = facts.get(APPROVED)
    return told if isinstance(told, tuple) else ()


def _invalid_names(plan: Plan, request: Request) -> Iterator[ReasonHit]:
    if request.action not in CUSTOMER_ACTIONS:
        return
    if not request.purpose:
        yield built_in("PURPOSE_MISSING")
    elif request.purpose not in plan.bundle.purposes:
        yield built_in("UNKNOWN_PURPOSE")
    if request.action in FIELD_ACTIONS and not request.fields:
        yield built_in("FIELDS_UNBOUNDED")
    if any(name not in plan.bundle.fields for name in request.fields):
        yield built_in("UNKNOWN_FIELD")


def _basis(plan: Plan, request: Request) -> Iterator[ReasonHit]:
    if request.action not in CUSTOMER_ACTIONS:
        return
    bases = plan.bundle.purposes[request.purpose].bases
    if request.basis not in bases:
        yield built_in("BASIS_NOT_ACCEPTED")
    elif bases[request.basis] and not request.has_basis_evidence:
        yield built_in("BASIS_EVIDENCE_MISSING", detail=bases[request.basis])


def _processor(request: Request, facts: Facts) -> Iterator[ReasonHit]:
    if request.action is Action.SEND and facts.get(AGREEMENT) not in _AGREED:
        yield built_in("PROCESSOR_NOT_VALID")


def guard_hits(guard: Guard, verdicts: Sequence[Outcome], facts: Facts) -> list[ReasonHit] | None:
    """Return why the guard refuses, empty when it does not; None when it does not apply. For what may be approved
    see `to_approve`."""
    if verdicts.count(True) == len(verdicts):
        return list(frequency_hits(guard, facts))
    split = len(guard.conditions)
    if any(verdict is False for verdict in verdicts[:split]):
        return None
    hits = [
        _broken(verdict, rule, guard.name, name, facts)
        for (name, rule), verdict in zip(guard.conditions, verdicts, strict=False)
        if verdict is not True
    ]
    for validation, verdict in zip(guard.validations, verdicts[split:], strict=True):
        if verdict is False:
            if validation.approval is None:
                hits.append(validation.hit)
        elif verdict is not True:
            hits.append(_broken(verdict, validation.rule, guard.name, validation.name, facts))
    return [*hits, *frequency_hits(guard, facts)]


def frequency_hits(guard: Guard, facts: Facts) -> Iterator[ReasonHit]:
    """Yield why the caps of a guard that applies refuse: one is used up, or the facts do not tell."""
    if not guard.frequency:
        return
    told = facts.get(FREQUENT)
    if not isinstance(told, tuple):
        yield built_in("FACT_MISSING", guard=guard.name, detail=FREQUENT)
    elif guard.counted_as in told:
        yield built_in("FREQUENCY_EXCEEDED", guard=guard.name)


def to_approve(guard: Guard, verdicts: Sequence[Outcome]) -> list[Validation]:
    """Return the validations of a guard that applies which are false and may be approved."""
    of_validations = zip(guard.validations, verdicts[len(guard.conditions) :], strict=True)
    return [found for found, verdict in of_validations if found.approval is not None and verdict is False]


def _broken(verdict: Outcome, rule: Rule, guard: str, name: str, facts: Facts) -> ReasonHit:
    if isinstance(verdict, Unknown):
        missing = ", ".join(sorted(path for path in rule.reads if isinstance(facts.get(path), Unknown)))
        return built_in("FACT_MISSING", guard=guard, validation=name, detail=missing)
    return built_in("GUARD_ERROR", guard=guard, validation=name)


def _fields(
    plan: Plan, request: Request, grants: Sequence[Grant], guards: Sequence[Guard]
) -> dict[str, FieldOutcome]:
    fields: dict[str, FieldOutcome] = {}
    for name in request.fields:
        field = plan.bundle.fields[name]
        opened = [grant.fields[name] for grant in grants if name in grant.fields]
        if not opened:
            fields[name] = FieldOutcome(_OMIT, "FIELD_NOT_GRANTED")
            continue
        closing = [guard.fields[name] for guard in guards if name in guard.fields]
        ladder = field.ladder
        step = ladder.most_closed((ladder.most_open(opened), *closing, field.floor))
        fields[name] = FieldOutcome(step, "FIELD_NOT_GRANTED" if step == _OMIT else "")
    return fields


def _withheld(request: Request, fields: dict[str, FieldOutcome]) -> Iterator[ReasonHit]:
    withheld = [name for name, outcome in fields.items() if outcome.withheld]
    if withheld and len(withheld) == len(fields):
        yield built_in("NO_FIELD_GRANTED", detail=", ".join(withheld))
    elif withheld and request.strict:
        yield built_in("FIELD_NOT_GRANTED", detail=", ".join(withheld))


def _deny(plan: Plan, facts: Facts, hits: list[ReasonHit]) -> Decision:
    return Decision(Effect.DENY, plan.bundle.digest, _sorted(hits), read=_read(plan, facts))


def _read(plan: Plan, facts: Facts) -> Mapping[str, FactValue]:
    told = facts.values.get
    return MappingProxyType({path: told(path, NOT_FETCHED) for path in plan.reads})


def _told(plan: Plan, request: Request, hits: list[ReasonHit]) -> tuple[ReasonHit, ...]:
    """Return the hits in order, each remedy with the notice that it names."""
    if not any(NOTICE in hit.remedy.en or NOTICE in hit.remedy.zh for hit in hits):
        return _sorted(hits)
    notice = plan.bundle.notice_for(request.purpose, request.channel or ANY_CHANNEL)
    name = f"{notice.id} {notice.version}" if notice else request.purpose

    def named(hit: ReasonHit) -> ReasonHit:
        zh, en = (text.replace(NOTICE, name) for text in (hit.remedy.zh, hit.remedy.en))
        return replace(hit, remedy=LocalizedText(zh, en))

    return _sorted([named(hit) for hit in hits])


def _sorted(hits: list[ReasonHit]) -> tuple[ReasonHit, ...]:
    if len(hits) < 2:  # nearly always
        return tuple(hits)
    return tuple(sorted(hits, key=lambda hit: (hit.priority, hit.guard, hit.validation, hit.code)))
