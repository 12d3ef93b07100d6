"""Memory changes the speed of a decision and nothing else."""

from collections.abc import Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision import decider as decider_module
from fujie.decision import plan as plan_module
from fujie.decision.decide import decide, precheck
from fujie.decision.decider import Decider, Opening
from fujie.decision.facts import Raw, derive
from fujie.decision.message import render
from fujie.decision.plan import Planner
from fujie.model.facts import APPROVED, EXPIRED, Facts, FactValue
from fujie.model.message import Category, Draft
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from support.bundles import (
    FACTS,
    ROLES,
    compiled,
    document,
    facts,
    grant,
    guard,
    requests,
    requirement,
    rule_documents,
    values,
)

ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
AGENT = frozenset({"agent"})
KNOWN: dict[str, FactValue] = {"principal.employment": State.ACTIVE, "principal.roles": ("agent",)}


Case = tuple[Request, frozenset[str], Facts]


@st.composite
def neighbours(draw: st.DrawFn, planner: Planner) -> list[Case]:
    """Cases that differ from one another in little: one fact that is read, or one part of the request."""
    request, roles, found = draw(requests()), draw(ROLES), draw(facts(active=draw(st.booleans())))
    cases = [(request, roles, found), (replace(request, strict=not request.strict), roles, found)]
    cases.append((replace(request, basis=draw(st.sampled_from(("consent", "contract")))), roles, found))
    cases.append((replace(request, fields=request.fields[1:]), roles, found))
    cases.append((replace(request, has_basis_evidence=not request.has_basis_evidence), roles, found))
    cases += [
        (replace(request, purpose=purpose, channel=channel), roles, found)
        for purpose, channel in (("", ""), ("nobody-knows-it", ""), (request.purpose, "email"))
    ]
    cases.append((request, draw(ROLES), found))
    read = planner.plan(request, roles).reads
    changed = [Facts({**found.values, path: draw(values(FACTS[path]))}) for path in read]
    return [*cases, *((request, roles, other) for other in changed)]


@settings(max_examples=20)
@given(rule_documents(), st.data())
def test_a_remembered_decision_is_the_cold_one_whatever_was_forgotten_in_between(
    documents: list[str], data: st.DataObject
) -> None:
    bundle = compiled(*documents)
    planner = Planner(bundle)
    cases = data.draw(neighbours(planner))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider_module, "_MAX_DECISIONS", data.draw(st.sampled_from((1, 2, 100))))
        patch.setattr(plan_module, "_MAX_PLANS", data.draw(st.integers(1, 3)))
        decider = Decider(bundle)
        for request, roles, found in (*cases, *data.draw(st.permutations(cases))):
            cold = decide(planner.plan(request, roles), request, found)
            assert decider.decide(decider.plan(request, roles), request, found) == cold


def test_a_repeated_request_is_answered_from_memory() -> None:
    decider = Decider(compiled(grant(), guard("g", "time.hour > 1")))
    plan = decider.plan(ASKED, AGENT)
    first = decider.decide(plan, ASKED, Facts({**KNOWN, "time.hour": 5, "time.weekday": 1}))
    again = decider.decide(plan, ASKED, Facts({**KNOWN, "time.hour": 5, "time.weekday": 2}))
    assert again is first  # no rule reads the weekday


def test_a_fact_that_a_rule_reads_is_never_answered_from_memory_of_another() -> None:
    decider = Decider(compiled(grant(), guard("g", "consent.state == GIVEN")))
    plan = decider.plan(ASKED, AGENT)
    given_, withdrawn = (
        decider.decide(plan, ASKED, Facts({**KNOWN, "consent.state": state}))
        for state in (State.GIVEN, State.WITHDRAWN)
    )
    assert (given_.effect, withdrawn.effect) == (Effect.ALLOW, Effect.DENY)


def test_nothing_that_a_decision_reads_of_a_request_is_forgotten_in_the_key() -> None:
    """Each part of a request in turn, on both sides of what is remembered. A remedy names the notice of the channel."""
    words = {"zh": "{controller}告知：可以随时撤回。", "en": "{controller} asks. You can withdraw."}
    spec = {"version": "2", "purposes": ["care"], "explicit": True, "text": words, "storage": ["CN"]}
    spec |= {"withdrawal": {"zh": "可以随时撤回", "en": "You can withdraw"}, "data_classes": ["mobile"]}
    validation = {
        "name": "agreed",
        "expression": "consent.state == GIVEN",
        "remedy": {"zh": "{notice}", "en": "{notice}"},
    }
    asks = document("Guard", "asks", {"match": {"actions": ["lookup"]}, "validations": [validation]})
    notices = [
        document("Notice", "any", spec),
        document("Notice", "email", {**spec, "channels": ["email"]}),
    ]
    changes: dict[str, object] = {
        "purpose": "", "basis": "", "store": "", "key_kind": "", "channel": "email", "brand": "x", "fields": (),
        "strict": True, "has_basis_evidence": True, "has_ticket": True, "delegated": True, "has_prompt": True, "rows": 2,
        "terms": "x", "is_own": True,
    }  # fmt: skip
    assert changes.keys() | {"action"} == {each.name for each in dataclass_fields(Request)}
    bundle, told = compiled(grant(fields={"phone": "reveal"}), asks, *notices), set()
    for asked in (ASKED, replace(ASKED, fields=("phone", "name"))):
        for state in (State.NONE, State.GIVEN):
            known = Facts({**KNOWN, "consent.state": state})
            for name, value in changes.items():
                pair = (asked, replace(asked, **{name: value}))  # type: ignore[arg-type]  # a value of that field
                colds = [decide(Planner(bundle).plan(each, AGENT), each, known) for each in pair]
                for first, second in ((0, 1), (1, 0)):
                    decider = Decider(bundle)
                    decider.decide(decider.plan(pair[first], AGENT), pair[first], known)
                    plan = decider.plan(pair[second], AGENT)
                    assert decider.decide(plan, pair[second], known) == colds[second], name
                told |= {name} if colds[0] != colds[1] else set()
    assert {"purpose", "basis", "fields", "strict", "channel"} <= told, (
        "what differs makes a difference here"
    )


def test_an_offboarding_is_never_hidden_by_memory() -> None:
    decider = Decider(compiled(grant()))
    plan = decider.plan(ASKED, AGENT)
    assert decider.decide(plan, ASKED, Facts(KNOWN)).effect is Effect.ALLOW
    gone = Facts({**KNOWN, "principal.employment": State.OFFBOARDED})
    assert decider.decide(plan, ASKED, gone).primary == "PRINCIPAL_OFFBOARDED"


def test_an_approval_is_never_remembered_for_a_request_without_one() -> None:
    decider = Decider(compiled(grant(), guard("g", "false", approvable=(0,))))
    plan = decider.plan(ASKED, AGENT)
    for granted, effect in (
        ((requirement("g", "v0").key,), Effect.ALLOW),
        ((), Effect.APPROVAL_REQUIRED),
        ((requirement("h", "v0").key,), Effect.APPROVAL_REQUIRED),
    ):
        assert decider.decide(plan, ASKED, Facts({**KNOWN, APPROVED: granted})).effect is effect


def test_a_grant_that_is_over_is_never_hidden_by_memory() -> None:
    decider = Decider(compiled(grant("old", valid=("", "2026-12-01T00:00:00Z"))))
    plan = decider.plan(ASKED, AGENT)
    for out, effect in (((), Effect.ALLOW), (("old",), Effect.DENY), ((), Effect.ALLOW)):
        assert decider.decide(plan, ASKED, Facts({**KNOWN, EXPIRED: out})).effect is effect


def test_two_bundles_share_no_memory() -> None:
    open_, closed = Decider(compiled(grant())), Decider(compiled(grant(), guard("g", "false")))
    for decider, effect in ((open_, Effect.ALLOW), (closed, Effect.DENY)):
        assert decider.decide(decider.plan(ASKED, AGENT), ASKED, Facts(KNOWN)).effect is effect


def test_invented_names_grow_neither_plans_nor_decisions_without_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decider_module, "_MAX_DECISIONS", 50)
    decider = Decider(compiled(grant(), guard("g", "true")))
    for number in range(500):
        asked = replace(
            ASKED, purpose=f"p{number}", store=f"s{number}", basis=f"b{number}", key_kind=f"k{number}"
        )
        roles = AGENT | {f"r{number}"}
        decider.decide(decider.plan(asked, roles), asked, Facts(KNOWN))
    assert len(decider._decisions) <= 50
    assert len(decider._planner._plans) == 1


def test_many_combinations_of_known_roles_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "_MAX_PLANS", 16)
    decider = Decider(compiled(*(grant(f"g{i}", roles=(f"r{i}",)) for i in range(8))))
    for bits in range(256):
        decider.plan(ASKED, frozenset(f"r{i}" for i in range(8) if bits >> i & 1))
        assert len(decider._planner._plans) <= 16


def test_a_bundle_has_one_reviewer_by_its_own_lexicons() -> None:
    spec = {
        "category": "own", "articles": ["X"], "severity": "deny", "source": "test", "as_of": "2026-11-21", "words": ["最佳"],
    }  # fmt: skip
    decider = Decider(compiled(document("Lexicon", "own", spec)))
    draft = Draft(Category.MARKETING, "示例", "最佳")
    rendered = render(draft, None, {}, "")
    found = decider.reviewer.review(rendered, draft, None, None, "outbox", "CN")
    assert [each.category for each in found.findings] == ["own"]
    assert decider.reviewer is decider.reviewer


NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
HOURLY = (grant(), guard("awake", "time.hour < 22"), guard("workday", "time.weekday < 6"))


def cold(
    decider: Decider, request: Request, principal: Principal, now: datetime, zone: ZoneInfo
) -> Opening:
    plan = decider.plan(request, principal.roles)
    asker = derive(decider.bundle, request, Raw(principal), now, zone)
    return Opening(plan, asker, precheck(plan, request, asker))


@pytest.mark.parametrize(
    "documents", [HOURLY, (*HOURLY, grant("later", valid=("2026-11-20T13:00:00+08:00", "")))]
)
@pytest.mark.parametrize("most", [1, 100])
def test_a_remembered_opening_is_the_cold_one_of_that_moment(
    documents: Sequence[str], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider_module, "_MAX_OPENINGS", most)
    decider = Decider(compiled(*documents))
    people = [
        Principal("a", roles=AGENT),
        Principal("b", roles=AGENT, employment=State.SUSPENDED),
        Principal("c", roles=AGENT, offboard_at=NOON + timedelta(minutes=20)),
        Principal("d", roles=AGENT, training=State.VALID, training_until=NOON + timedelta(minutes=20)),
        Principal("e"),
    ]
    asked = [ASKED, replace(ASKED, strict=True), replace(ASKED, purpose=""), replace(ASKED)]
    moments = [NOON + timedelta(minutes=20 * n) for n in (0, 1, 2, 3, 30, 72, 5, 0)]
    for now in moments:
        for zone in (SHANGHAI, ZoneInfo("UTC")):
            for principal in people:
                for request in asked:
                    told = decider.opening(request, principal, now, zone)
                    assert told == cold(decider, request, principal, now, zone)


def test_an_opening_is_remembered_within_its_hour_for_who_is_held_alone() -> None:
    decider, agent = Decider(compiled(*HOURLY)), Principal("a", roles=AGENT)
    first = decider.opening(ASKED, agent, NOON, SHANGHAI)
    assert decider.opening(ASKED, agent, NOON + timedelta(minutes=59), SHANGHAI) is first
    assert decider.opening(ASKED, agent, NOON + timedelta(minutes=60), SHANGHAI) is not first
    assert decider.opening(ASKED, replace(agent), NOON, SHANGHAI) is not first
    assert decider.opening(replace(ASKED), agent, NOON, SHANGHAI) is not first
