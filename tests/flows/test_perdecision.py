"""What is made once of a decision is never that of another one, or of another bundle."""

from dataclasses import replace

import pytest

from fujie.app.shipped import shipped_policies
from fujie.flows.perdecision import PerDecision
from fujie.model.decision import Decision
from fujie.model.vocabulary import Effect
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle

ALLOW = Decision(Effect.ALLOW, "sha256:1")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    base = shipped_policies() / "base"
    made = compile_bundle({path.name: path.read_bytes() for path in base.glob("*.yaml")})
    assert isinstance(made, Bundle)
    return made


def test_it_is_made_once_for_one_decision_and_anew_for_an_equal_one(bundle: Bundle) -> None:
    made = PerDecision(lambda _decision, _bundle: object())
    assert made.of(ALLOW, bundle) is made.of(ALLOW, bundle)
    assert made.of(replace(ALLOW), bundle) is not made.of(ALLOW, bundle)


def test_under_another_bundle_it_is_another(bundle: Bundle) -> None:
    made = PerDecision(lambda _decision, of: id(of))
    other = replace(bundle)
    assert [made.of(ALLOW, each) for each in (bundle, other, bundle)] == [id(bundle), id(other), id(bundle)]


def test_of_decisions_that_come_and_go_none_gets_what_another_left(
    bundle: Bundle,
) -> None:
    made = PerDecision(lambda decision, _bundle: decision.bundle)
    for n in range(2_000):  # each is dropped at once, so that its identity is free for the next
        assert made.of(Decision(Effect.DENY, str(n)), bundle) == str(n)
    assert len(made) == 0


def test_it_stays_as_long_as_its_decision(bundle: Bundle) -> None:
    made = PerDecision(lambda decision, _bundle: decision.bundle)
    kept = [Decision(Effect.DENY, str(n)) for n in range(9)]
    assert [made.of(each, bundle) for each in kept] == [each.bundle for each in kept]
    del kept[3:]
    assert len(made) == 3
