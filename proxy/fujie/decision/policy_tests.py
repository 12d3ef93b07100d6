"""Runs the cases of PolicyTest documents: the facts that a server would derive, the decision that it would give."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from fujie.decision.decider import Decider
from fujie.decision.explain import explain
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan
from fujie.decision.recipient import Reached
from fujie.model.decision import Decision, ReasonHit, RuleTrace
from fujie.model.facts import APPROVED, BREAK_GLASS, EXHAUSTED, NOT_FETCHED, Facts, FactValue
from fujie.model.message import Category, SentMessage
from fujie.model.policy_test import Case, CaseResult, Difference, Expected, Names, PolicyTest, Sent
from fujie.model.vocabulary import Action, State
from fujie.policy.bundle import Bundle
from fujie.policy.fixtures import SID

_COUNTRY = "CN"
_CONTENT = "the message to come"


@dataclass(frozen=True, slots=True)
class Settled:
    """A case with everything that its decision reads, and the decision."""

    plan: Plan
    facts: Facts
    decision: Decision


def run(decider: Decider, test: PolicyTest) -> tuple[CaseResult, ...]:
    """Decide every case of the test and compare."""
    return tuple(judge(case, settle(decider, case)) for case in test.cases)


def settle(decider: Decider, case: Case) -> Settled:
    """Decide one case."""
    request = case.ask.request
    plan = decider.plan(request, case.asker.principal.roles)
    facts = facts_of(decider.bundle, case)
    return Settled(plan, facts, decider.decide(plan, request, facts))


def facts_of(bundle: Bundle, case: Case) -> Facts:
    """Derive the facts of a case, as a server would from directory, ledger and store.

    The counters of limits are always read, an approval that is not listed is not given, and the facts that
    the case says are unknown are as if they had not been fetched.
    """
    request, sample = case.ask.request, case.sample
    is_local = case.ask.processor is None
    raw = Raw(case.asker.principal, message=case.ask.message, is_local=is_local)
    stated: Mapping[str, FactValue] = case.ask.processor or {}
    assert case.now.tzinfo is not None, "the reader takes instants with their offset only"
    if sample is not None:
        raw = raw._replace(
            events=[event for event in sample.events if event.purpose == request.purpose],
            sid=SID,
            attributes=sample.attributes,
            suppressions=sample.suppressions,
            reached=Reached(_COUNTRY, (case.now.tzinfo,), tuple(_sent(case, sample.sent)), _CONTENT),
        )
        of_recipient = sample.recipient if request.action is Action.SEND else {}
        stated = {**stated, **sample.stated.get(request.purpose, {}), **of_recipient}
    derived = derive(bundle, request, raw, case.now, case.now.tzinfo)
    given: dict[str, FactValue] = {
        EXHAUSTED: case.asker.used_up,
        APPROVED: case.ask.approved,
        BREAK_GLASS: case.ask.broken,
        **case.asker.usage,
    }
    unknown = dict.fromkeys(case.unknown, NOT_FETCHED)
    return Facts({**derived.values, **given, **stated, **unknown})


def _sent(case: Case, sent: Sent) -> Iterator[SentMessage]:
    """Yield messages as often as they are stated to have been sent, the youngest first."""
    category = (case.ask.message or {}).get("message.category")
    if not isinstance(category, State):
        return
    ages = [timedelta(seconds=1)] * sent.last_minute
    ages += [timedelta(minutes=30)] * (sent.last_hour - sent.last_minute)
    ages += [timedelta(hours=12)] * (sent.last_day - sent.last_hour)
    for place, age in enumerate(ages):
        content = _CONTENT if place < sent.same_content else ""
        yield SentMessage(case.now - age, content, Category(category.value))


def judge(case: Case, settled: Settled) -> CaseResult:
    """Compare a decision with what the case expects; `trace` tells why it came out so."""
    decision = settled.decision
    return CaseResult(
        id=case.id,
        document=case.document,
        test=case.test,
        principal=case.principal,
        customer=case.customer,
        request=case.request,
        where=case.where,
        effect=decision.effect,
        differences=tuple(_differences(case.expected, decision)),
    )


def trace(case: Case, settled: Settled) -> tuple[RuleTrace, ...]:
    """Explain the decision of a case, with every value shown: those of a test are made up, and stand in its file.

    About 20 ms.
    """
    bundle = settled.plan.bundle
    shown = {path: replace(fact, personal=False) for path, fact in bundle.facts.items()}
    plan = replace(settled.plan, bundle=replace(bundle, facts=shown))
    return tuple(
        replace(rule, clauses=tuple(replace(clause, reads=dict(clause.reads)) for clause in rule.clauses))
        for rule in explain(plan, case.ask.request, settled.facts).rules
    )


def _differences(expected: Expected, decision: Decision) -> Iterator[Difference]:
    if expected.effect != decision.effect:
        yield Difference("effect", (expected.effect.value,), (decision.effect.value,))
    reasons = _codes(decision.reasons)
    compared: tuple[tuple[str, Names | None, Names | None], ...] = (
        ("reasons", expected.reasons, reasons),
        ("treatments", _lines(expected.treatments), _steps(decision)),
        ("warnings", expected.warnings, _codes(decision.warnings)),
        ("shadow", expected.shadow, _codes(decision.shadow)),
        ("needs", _sorted(expected.needs), _needs(decision, expected.needs)),
        ("deferrable", _flag(expected.deferrable), _flag(decision.deferrable)),
    )
    for part, wanted, found in compared:
        if wanted is not None and wanted != found:
            yield Difference(part, wanted, found or ())
        elif part == "reasons" and wanted is None and expected.effect != decision.effect and found:
            yield Difference(part, (), found)  # not asked for, but what the reader wants to know


def _codes(hits: tuple[ReasonHit, ...]) -> Names:
    return tuple(dict.fromkeys(hit.code for hit in hits))


def _steps(decision: Decision) -> Names:
    return tuple(f"{name}: {outcome.step}" for name, outcome in sorted(decision.fields.items()))


def _flag(flag: bool | None) -> Names | None:  # noqa: FBT001 - the value itself is what is shown
    return None if flag is None else (str(flag).lower(),)


def _lines(treatments: Mapping[str, str] | None) -> Names | None:
    return None if treatments is None else tuple(f"{name}: {step}" for name, step in treatments.items())


def _needs(decision: Decision, expected: Names | None) -> Names:
    """Return what must be approved; with its terms where some are expected of it."""
    detailed = {name for name, _, terms in (each.partition(" ") for each in expected or ()) if terms}
    return tuple(
        sorted(
            f"{need.name} by {need.terms}" if need.name in detailed else need.name
            for need in decision.needs
        )
    )


def _sorted(names: Names | None) -> Names | None:
    return None if names is None else tuple(sorted(names))
