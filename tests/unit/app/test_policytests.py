"""Running policy tests: shares of any size give what one process gives, and a second engine that differs is heard."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from fujie.app.policies import Files, read_files
from fujie.app.policytests import MOST_TRACES, Outcome, Wanted, _joined, cases_of, run_cases, run_tests
from fujie.app.problems import CannotStart
from fujie.model.policy_test import Expected
from fujie.model.vocabulary import Effect
from support.bundles import CATALOGUE, grant, guard

BASE = Path(__file__).parents[3] / "policies" / "base"
TESTS = """
apiVersion: fujie.dev/v1
kind: PolicyTest
metadata: {name: text}
spec:
  now: "2026-11-20T10:00:00+08:00"
  principals: {agent: {roles: [agent]}}
  customers: {adult: {attributes: {minor: false, points: 3}}}
  requests:
    look: {action: lookup, purpose: care, basis: contract, has_basis_evidence: true, store: crm, key: phone, fields: [phone]}
    again: {action: lookup, purpose: care, basis: contract, has_basis_evidence: true, store: crm, key: phone, fields: [phone]}
  tests:
    - name: two
      principals: [agent]
      customers: [adult]
      requests: [look, again]
      expect:
        - {request: look, effect: ALLOW}
        - {request: again, effect: ALLOW}
"""


def files(*documents: str) -> Files:
    return {"bundle.yaml": "\n---\n".join((*CATALOGUE, *documents, TESTS)).encode()}


@cache
def base() -> Files:
    return read_files([BASE])


@cache
def serial() -> Outcome:
    return run_cases(*cases_of(Wanted(base())))


@pytest.mark.parametrize("jobs", [3, 50])
def test_cases_dealt_to_any_number_of_shares_come_back_as_one(jobs: int) -> None:
    bundle, cases = cases_of(Wanted(base()))
    cases = cases[::10]
    wrong = tuple(replace(case, expected=Expected(Effect.APPROVAL_REQUIRED)) for case in cases[::50])
    cases = (*wrong, *cases)
    whole = run_cases(bundle, cases)
    assert _joined([run_cases(bundle, cases[index::jobs]) for index in range(jobs)]) == whole
    assert len(whole.failed) == len(wrong)


def test_only_the_first_failures_are_explained_and_none_is_lost() -> None:
    many = {f"r{n}": "{action: consent.read}" for n in range(MOST_TRACES + 5)}
    text = TESTS.replace(
        "    again: {", "".join(f"    {name}: {ask}\n" for name, ask in many.items()) + "    again: {"
    )
    text = text.replace("requests: [look, again]", f"requests: [look, again, {', '.join(many)}]")
    text += "".join(f"        - {{request: {name}, effect: ALLOW}}\n" for name in many)
    desk = grant("desk", actions=("consent.read",), roles=("clerk",), purposes=())
    bundle = "\n---\n".join((*CATALOGUE, grant(), desk, text))
    outcome = run_tests(Wanted({"bundle.yaml": bundle.encode()}))
    assert len(outcome.failed) == MOST_TRACES + 5
    assert [bool(result.trace) for result in outcome.results if result.is_passed] == [False, False]
    assert [bool(result.trace) for result in outcome.failed] == [True] * MOST_TRACES + [False] * 5


def test_processes_give_what_one_process_gives() -> None:
    crossed = Wanted(base(), cross_check=True, pattern="^(marketing|support)/")
    assert run_tests(crossed, jobs=2) == run_tests(crossed, jobs=1)


def test_nothing_picked_is_nothing_run_whatever_the_processes() -> None:
    assert run_tests(Wanted(base(), pattern="^nothing$"), jobs=2).results == ()


def test_a_pattern_picks_cases_by_the_whole_of_their_names() -> None:
    picked = run_tests(Wanted(base(), pattern="^marketing/.*/silent/")).results
    assert {(result.document, result.customer) for result in picked} == {("marketing", "silent")}
    assert picked == tuple(result for result in serial().results if result in picked)


DIFFERS = "string(request.has_ticket) == 'false'"
"""True by the specification and in the engine that decides; cel-python says `False`."""


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_expression_on_which_the_engines_differ_is_told_once_with_what_it_read(jobs: int) -> None:
    outcome = run_tests(Wanted(files(grant(), guard("text", DIFFERS)), cross_check=True), jobs)
    assert outcome.failed == ()
    assert not outcome.is_agreed
    (found,) = outcome.disagreements
    assert (found.rule, found.expression) == ("guard text validations[v0]", DIFFERS)
    assert (found.ours, found.theirs) == ("true", "false")
    assert dict(found.facts) == {"request.has_ticket": "false"}
    assert found.case == "text/two/agent/adult/look"
    assert len(outcome.crossed) == 1


def test_errors_agree_and_what_reads_an_unknown_fact_goes_to_neither_engine() -> None:
    rules = (
        "customer.points / 0 == 1 || true",
        "1 / (customer.points - 3) == 1",
        "customer.owner == 'east'",
    )
    outcome = run_tests(Wanted(files(grant(), guard("odd", *rules)), cross_check=True))
    assert outcome.disagreements == ()
    assert {text for text, _ in outcome.crossed} == {*rules[:2]}
    assert {name for _, name in outcome.uncrossed} == {"guard odd validations[v2]"}, "and that is told"


def test_without_being_asked_the_second_engine_is_not() -> None:
    assert serial().crossed == frozenset()


def test_bad_policies_are_told_before_bad_tests_and_each_with_its_place() -> None:
    with pytest.raises(CannotStart) as policies:
        run_tests(Wanted(files(guard("bad", "consent.state == GIVNE"))))
    assert {problem.code for problem in policies.value.problems} == {"EXPRESSION_INVALID"}
    with pytest.raises(CannotStart) as tests:
        run_tests(
            Wanted({"bundle.yaml": files(grant())["bundle.yaml"].replace(b"[agent]\n", b"[agnet]\n")})
        )
    (problem,) = (each for each in tests.value.problems if each.code == "UNKNOWN_NAME")
    assert problem.place.startswith("bundle.yaml:")
