"""The shipped packs: each on top of base, and all of them together; none opens what base closes."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.coverage import Watch
from fujie.decision.policy_tests import Settled, judge, settle
from fujie.model.decision import Decision
from fujie.model.facts import OWN
from fujie.model.policy_test import Case
from fujie.model.vocabulary import CUSTOMER_ACTIONS, Action, Effect
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.policy.lint import lint
from fujie.policy.lint_finding import Severity
from support.shipped import PACKS, bundle, decider, files, policy_tests

LOADS = ((), *((pack,) for pack in PACKS), PACKS)
_CLOSED = (Effect.ALLOW, Effect.APPROVAL_REQUIRED, Effect.DENY)


def settled(packs: tuple[str, ...]) -> list[tuple[Case, Settled]]:
    return [(case, settle(decider(packs), case)) for test in policy_tests(packs) for case in test.cases]


def test_these_packs_are_shipped() -> None:
    assert PACKS == ("education", "finance", "medical", "overseas", "records", "retail")


@pytest.mark.parametrize("packs", [(), PACKS], ids="+".join)
def test_every_case_of_base_and_of_all_packs_comes_out_and_all_of_them_is_seen(
    packs: tuple[str, ...],
) -> None:
    watch = Watch(bundle(packs))
    found = settled(packs)
    failed = [
        (result.id, result.differences)
        for case, each in found
        if not (result := judge(case, each)).is_passed
    ]
    assert failed == []
    seen = {mark for case, each in found for mark in watch.seen(case.ask.request.action, each)}
    assert watch.required - seen == set()


@pytest.mark.parametrize("pack", PACKS)
def test_every_case_of_a_pack_comes_out_with_base_alone_beside_it(pack: str) -> None:
    of_base = {test.name for test in policy_tests(())}
    own = [case for test in policy_tests((pack,)) if test.name not in of_base for case in test.cases]
    assert own
    results = [judge(case, settle(decider((pack,)), case)) for case in own]
    assert [(result.id, result.differences) for result in results if not result.is_passed] == []


@pytest.mark.parametrize("packs", LOADS, ids="+".join)
def test_every_load_is_without_a_finding(packs: tuple[str, ...]) -> None:
    found = lint(files(packs), bundle(packs), lambda _: ())
    assert [finding for finding in found if finding.severity is not Severity.HINT] == []


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_grants_its_own_purposes_alone(pack: str) -> None:
    """So that whatever base decides for its purposes, no grant of a pack has a say in it. Beside that each lets people take
    back what they asked for themselves."""
    old = {grant.name for grant in bundle(()).grants}
    every = [grant for grant in bundle((pack,)).grants if grant.name not in old]
    new = [grant for grant in every if grant.match.actions & CUSTOMER_ACTIONS]
    for grant in every:
        if grant not in new:
            assert grant.match.actions == {Action.APPROVAL_READ, Action.APPROVAL_DECIDE}
            assert grant.condition is not None
            assert grant.condition.expanded.strip() == OWN
    assert all(grant.match.purposes for grant in new)
    assert {purpose for grant in new for purpose in grant.match.purposes} & bundle(
        ()
    ).purposes.keys() == set()


def assert_not_wider(before: Decision, after: Decision, of: Bundle, what: str) -> None:
    assert _CLOSED.index(after.effect) >= _CLOSED.index(before.effect), what
    for name, outcome in after.fields.items():
        ladder = of.fields[name].ladder
        assert ladder.rank(outcome.step) >= ladder.rank(before.fields[name].step), (what, name)


@pytest.mark.parametrize("packs", LOADS[1:], ids="+".join)
def test_no_pack_widens_a_decision_of_base(packs: tuple[str, ...]) -> None:
    for case in base_cases() if packs == PACKS else base_cases()[::7]:
        before, after = settle(decider(()), case), settle(decider(packs), case)
        assert_not_wider(before.decision, after.decision, bundle(packs), case.id)


@cache
def base_cases() -> tuple[Case, ...]:
    return tuple(case for test in policy_tests(()) for case in test.cases)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_pack_widens_what_the_cases_of_base_make_when_mixed(data: st.DataObject) -> None:
    """Any asker of any case, with any roles, about any customer, for any request, with any facts missing."""
    cases = st.sampled_from(base_cases())
    whole = bundle(PACKS)
    asking, about, wanted = data.draw(cases), data.draw(cases), data.draw(cases)
    roles = sorted({role for grant in whole.grants for role in grant.roles})
    more = data.draw(st.frozensets(st.sampled_from(roles), max_size=3))
    who = replace(asking.asker.principal, roles=asking.asker.principal.roles | more)
    fields = data.draw(st.sets(st.sampled_from(sorted(bundle(()).fields)), max_size=4))
    request = wanted.ask.request
    if request.fields:
        request = replace(request, fields=tuple(sorted({*request.fields, *fields})))
    mixed = replace(
        asking,
        asker=replace(asking.asker, principal=who),
        sample=about.sample,
        ask=replace(wanted.ask, request=request),
        unknown=data.draw(st.frozensets(st.sampled_from(sorted(bundle(()).facts)), max_size=2)),
    )
    before, after = (settle(decider(packs), mixed).decision for packs in ((), PACKS))
    assert_not_wider(before, after, whole, mixed.id)


def test_all_packs_make_one_bundle_whatever_the_order_of_files() -> None:
    shuffled = dict(reversed(list(files(PACKS).items())))
    again = compile_bundle({f"z{number}/{name}": shuffled[name] for number, name in enumerate(shuffled)})
    assert isinstance(again, Bundle)
    assert again.digest == bundle(PACKS).digest


@pytest.mark.parametrize("pack", PACKS)
def test_what_a_pack_says_it_says_in_both_languages(pack: str) -> None:
    old = {guard.name for guard in bundle(()).guards}
    hits = [
        validation.hit
        for guard in bundle((pack,)).guards
        if guard.name not in old
        for validation in guard.validations
    ]
    assert hits
    for hit in hits:
        assert hit.message.zh
        assert hit.message.en
        assert bool(hit.remedy.zh) == bool(hit.remedy.en)
    labels = [purpose.label for purpose in bundle((pack,)).purposes.values()]
    assert all(label.zh and label.en for label in labels)
    words = files((pack,))[f"packs/{pack}/words.yaml"].decode()
    assert any("\u4e00" <= character <= "\u9fff" for character in words[: words.index("apiVersion")])
