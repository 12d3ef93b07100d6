"""PolicyTest documents: what they mean, and that one which tests nothing is a problem at its place."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.decider import Decider
from fujie.decision.policy_tests import run
from fujie.model.consent import ConsentEventType
from fujie.model.diagnostic import Diagnostic
from fujie.model.policy_test import NOBODY, NOT_LISTED, Expected, PolicyTest
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.compile import compile_bundle
from fujie.policy.policy_tests import MAX_CASES, read_tests
from support.bundles import compiled, document, grant, guard

APPROVAL = {
    "match": {"actions": ["lookup"]},
    "validations": [
        {"name": "adults", "expression": "!customer.minor", "outcome": "approval",
         "approval": {"roles": ["lead"], "count": 1, "valid_for": "24h"}}
    ],
}  # fmt: skip
BUNDLE = compiled(
    grant(limits={"distinct_customers_per_day": 9}),
    grant("desk", actions=("consent.read",), purposes=()),
    guard("tags", "customer.tags.all(t, t != 'blocked')"),
    document("Guard", "minors", APPROVAL),
)
SOUND = """\
apiVersion: fujie.dev/v1
kind: PolicyTest
metadata: {name: care}
spec:
  now: "2026-11-20T10:00:00+08:00"
  principals:
    agent: {roles: [agent], department: east, training: VALID, used_up: ["grant:grant"], usage: {volume: EXCEEDED}}
    robot: {kind: SERVICE, roles: []}
  customers:
    child:
      attributes: {minor: true, owner: east, tags: [], points: 3}
      consents:
        - {purpose: care, event: given, at: "2026-11-19T10:00:00+08:00", explicit: true, valid_until: "2027-01-01T00:00:00Z"}
        - {purpose: marketing, state: WITHDRAWN}
      suppressions: [{}, {purpose: care, channel: sms, brand: Test}]
  requests:
    look: {action: lookup, purpose: care, basis: contract, has_basis_evidence: true, store: crm, key: phone, fields: [phone, name], approvals: [minors/adults]}
    read: {action: consent.read}
  tests:
    - name: one
      description: what it says
      principals: [agent, robot]
      customers: [child]
      requests: [look]
      expect:
        - {principal: agent, effect: ALLOW, treatments: {phone: "keep(3, 4)", name: omit}, warnings: []}
    - name: two
      now: "2026-11-20T23:00:00+08:00"
      unknown: [time.hour]
      principals: [agent]
      requests: [read]
      expect:
        - {effect: DENY, reasons: [NO_GRANT]}
"""


def read(text: str) -> tuple[PolicyTest, ...]:
    found = read_tests({"care.yaml": text.encode()}, BUNDLE)
    assert all(isinstance(each, PolicyTest) for each in found), "\n".join(map(str, found))
    return tuple(each for each in found if isinstance(each, PolicyTest))


def problems(text: str) -> list[Diagnostic]:
    found = [
        each for each in read_tests({"care.yaml": text.encode()}, BUNDLE) if isinstance(each, Diagnostic)
    ]
    assert found, "no problem found"
    return found


def test_a_document_is_every_cell_of_every_matrix_in_order() -> None:
    (test,) = read(SOUND)
    assert [case.id for case in test.cases] == [
        "care/one/agent/child/look",
        "care/one/robot/child/look",
        "care/two/agent/read",
    ]
    one, unlisted, two = test.cases
    assert (unlisted.expected, unlisted.where) == (NOT_LISTED, "care.yaml:20:7")
    assert one.where == "care.yaml:26:11"
    assert one.expected == Expected(
        Effect.ALLOW, treatments={"name": "omit", "phone": "keep(3,4)"}, warnings=()
    )
    assert two.expected == Expected(Effect.DENY, reasons=("NO_GRANT",))
    assert (two.customer, two.sample, two.unknown) == (NOBODY, None, frozenset({"time.hour"}))
    zone = timezone(timedelta(hours=8))
    assert [one.now, two.now] == [datetime(2026, 11, 20, hour, tzinfo=zone) for hour in (10, 23)]


def test_fixtures_are_read_as_they_stand() -> None:
    one = read(SOUND)[0].cases[0]
    principal, request = one.asker.principal, one.ask.request
    assert (principal.roles, principal.department, principal.training) == (
        frozenset({"agent"}),
        "east",
        State.VALID,
    )
    assert (one.asker.used_up, one.asker.usage["usage.volume"]) == (("grant:grant",), State.EXCEEDED)
    assert (request.action, request.purpose, request.key_kind, request.fields) == (
        Action.LOOKUP, "care", "phone", ("name", "phone"),
    )  # fmt: skip
    assert request.has_basis_evidence
    assert not request.has_ticket
    (requirement,) = (v.approval for g in BUNDLE.guards for v in g.validations if v.approval)
    assert one.ask.approved == (requirement.key,)
    sample = one.sample
    assert sample is not None
    assert sample.attributes == {"minor": True, "owner": "east", "tags": (), "points": 3}
    (event,) = sample.events
    assert (event.type, event.purpose, event.explicit) == (ConsentEventType.GIVEN, "care", True)
    assert sample.stated["marketing"]["consent.state"] is State.WITHDRAWN
    scopes = [each.scope for each in sample.suppressions]
    assert scopes == [SuppressionScope(), SuppressionScope("care", "sms", "Test")]


# Old text, new text, code, and the text in front of which the problem is shown.
WRONG = (
    # Names.
    ("principals: [agent, robot]", "principals: [agent, robto]", "UNKNOWN_NAME", "robto"),
    ("customers: [child]", "customers: [chlid]", "UNKNOWN_NAME", "chlid"),
    ("requests: [look]", "requests: [loook]", "UNKNOWN_NAME", "loook"),
    ("purpose: care, basis", "purpose: car, basis", "UNKNOWN_PURPOSE", "car, basis"),
    ("purpose: care, event", "purpose: car, event", "UNKNOWN_PURPOSE", "car, event"),
    ("{purpose: care, channel", "{purpose: car, channel", "UNKNOWN_PURPOSE", "car, channel"),
    ("basis: contract", "basis: contrac", "UNKNOWN_BASIS", "contrac"),
    ("key: phone", "key: fone", "UNKNOWN_KEY_KIND", "fone"),
    ("fields: [phone, name]", "fields: [phone, shoe]", "UNKNOWN_FIELD", "shoe"),
    ("action: consent.read", "action: consent.raed", "UNKNOWN_ACTION", "consent.raed"),
    ("[minors/adults]", "[minors/adult]", "UNKNOWN_NAME", "minors/adult"),
    ('["grant:grant"]', '["grant:desk"]', "UNKNOWN_NAME", '"grant:desk"'),
    ("volume: EXCEEDED", "volume: EXCEDED", "UNKNOWN_STATE", "EXCEDED"),
    ("training: VALID", "training: GIVEN", "UNKNOWN_STATE", "GIVEN"),
    ("event: given", "event: gave", "UNKNOWN_EVENT", "gave"),
    ("state: WITHDRAWN", "state: GIVNE", "UNKNOWN_STATE", "GIVNE"),
    ("unknown: [time.hour]", "unknown: [time.hours]", "UNKNOWN_FACT", "time.hours"),
    ("unknown: [time.hour]", "unknown: [approvals.granted]", "UNKNOWN_FACT", "approvals.granted"),
    ("minor: true", "adult: true", "UNKNOWN_KEY", "adult: true"),
    ("usage: {volume", "usage: {volumes", "UNKNOWN_KEY", "volumes"),
    # Rows.
    ("{principal: agent, effect", "{principal: nobody, effect", "UNREACHABLE_ROW", "nobody"),
    ("{principal: agent, effect", "{effect", "MISSING_KEY", "{effect: ALLOW"),
    ("effect: ALLOW", "effect: ALOW", "UNKNOWN_EFFECT", "ALOW"),
    ("reasons: [NO_GRANT]", "reasons: [NO_GRANTS]", "UNKNOWN_REASON", "NO_GRANTS"),
    ("warnings: []", "warnings: [X_NOT_THERE]", "UNKNOWN_REASON", "X_NOT_THERE"),
    ("name: omit}", "shoe: omit}", "UNKNOWN_FIELD", "shoe"),
    ("name: omit}", "name: token(3)}", "UNKNOWN_STEP", "token(3)"),
    ("name: omit}", 'name: "keep(3,4)"}', "STEP_NOT_ON_LADDER", '"keep(3,4)"'),
    (", name: omit}", "}", "MISSING_KEY", "{phone: "),
    ("effect: DENY, reasons", "effect: ALLOW, reasons", "CONTRADICTION", "reasons"),
    ("warnings: []}", "needs: [minors/adults]}", "CONTRADICTION", "needs"),
    ("warnings: []}", "needs: [minors/adult by 1 of lead for 24h]}", "UNKNOWN_NAME", "minors/adult by"),
    ("warnings: []}", "needs: [minors/adults by 0 of lead for 24h]}", "TERMS_INVALID", "minors/adults by"),
    ("warnings: []}", "needs: [minors/adults by 1 of lead for 1d]}", "TERMS_INVALID", "minors/adults by"),
    ("warnings: []}", "needs: [minors/adults by 1 of lead]}", "TERMS_INVALID", "minors/adults by"),
    # What says nothing.
    ("requests: [look]", "requests: []", "EMPTY_LIST", "[]\n      expect"),
    ("- name: two", "- name: one", "DUPLICATE_NAME", "one\n      now"),
    ("\n      expect:\n        - {effect: DENY, reasons: [NO_GRANT]}", "", "MISSING_KEY", "name: two"),
    ("{effect: DENY, reasons: [NO_GRANT]}", "{reasons: [NO_GRANT]}", "MISSING_KEY", "{reasons"),
    # Shapes.
    ('+08:00"\n  principals', '"\n  principals', "INSTANT_INVALID", '"2026-11-20T10:00:00"'),
    ('now: "2026-11-20T23:00:00+08:00"', "now: 2026-11-20", "WRONG_TYPE", "2026-11-20\n"),
    ('at: "2026-11-19T10:00:00+08:00"', 'at: "2026-11-19"', "INSTANT_INVALID", '"2026-11-19"'),
    ('at: "2026-11-19T10:00:00+08:00"', 'at: "9999-12-31T23:59:59Z"', "INSTANT_INVALID", '"9999-12-31T23:59:59Z"'),
    ("minor: true", "minor: 1", "WRONG_TYPE", "1, owner"),
    ("state: WITHDRAWN", "state: WITHDRAWN, explicit: true", "CONTRADICTION", "state: WITHDRAWN"),
    ("purpose: marketing, state", "purpose: care, state", "CONTRADICTION", "consents"),
    ("{action: consent.read}", "{action: consent.read, purpose: care}", "UNKNOWN_KEY", "purpose: care}\n  tests"),
    ("description: what it says", "skip: true", "UNKNOWN_KEY", "skip"),
)  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "shown"), WRONG)
def test_what_tests_nothing_is_a_problem_at_its_place(old: str, new: str, code: str, shown: str) -> None:
    assert SOUND.count(old) == 1
    text = SOUND.replace(old, new)
    before = text[: text.index(shown)]
    assert text.count(shown) == 1
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert (code, *place) in [(each.code, each.line, each.column) for each in problems(text)]


def test_a_second_row_for_a_case_names_the_first() -> None:
    row = "        - {effect: DENY, reasons: [NO_GRANT]}\n"
    (problem,) = problems(SOUND + row)
    assert (problem.code, problem.line, problem.column) == ("DUPLICATE_ROW", 34, 11)
    assert "line 33" in problem.message


def test_all_problems_are_told_at_once_by_place() -> None:
    text = SOUND.replace("basis: contract", "basis: x").replace("effect: ALLOW", "effect: Y")
    assert [each.code for each in problems(text)] == ["UNKNOWN_BASIS", "UNKNOWN_EFFECT"]


def test_two_documents_of_one_name_are_refused() -> None:
    found = read_tests({"a.yaml": SOUND.encode(), "b.yaml": SOUND.encode()}, BUNDLE)
    assert [(each.code, each.file) for each in found if isinstance(each, Diagnostic)] == [
        ("DUPLICATE_NAME", "b.yaml")
    ]


def test_other_kinds_are_passed_over() -> None:
    files = {"grant.yaml": grant().encode(), "care.yaml": SOUND.encode()}
    (test,) = read_tests(files, BUNDLE)
    assert isinstance(test, PolicyTest)
    assert (test.name, test.file) == ("care", "care.yaml")


def test_a_matrix_that_nobody_could_read_is_refused_before_it_is_made() -> None:
    spec = yaml.safe_load(SOUND)
    many = {f"r{n}": spec["spec"]["requests"]["look"] for n in range(MAX_CASES // 2)}
    spec["spec"]["requests"] |= many
    spec["spec"]["tests"][0]["requests"] = [*many, "look"]
    found = problems(json.dumps(spec))
    assert [each.code for each in found] == ["TOO_MANY_CASES"]


def test_tests_are_no_part_of_the_bundle() -> None:
    def digest(files: Mapping[str, bytes]) -> str:
        bundle = compile_bundle(files)
        assert not isinstance(bundle, tuple), "\n".join(map(str, bundle))
        return bundle.digest

    own = {"own.yaml": grant("desk", actions=("consent.read",), purposes=()).encode()}
    assert digest(own) == digest({**own, "care.yaml": SOUND.encode()})


_WORDS = sorted(set(re.findall(r"[\w.:+-]+", SOUND)))
_MARKS = (
    "",
    "[]",
    "{}",
    ": ",
    "- ",
    "null",
    "\n",
    "  ",
    "{",
    "]",
    "yes",
    "007",
    "'",
    '"',
    "~",
    "&a",
    "*a",
    "!!int",
)
_PIECES = st.sampled_from((*_MARKS, *_WORDS))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(SOUND)), st.integers(0, 30), _PIECES), min_size=1, max_size=3))
def test_whatever_stands_there_is_read_or_told_and_what_is_read_runs(
    edits: list[tuple[int, int, str]],
) -> None:
    text = SOUND
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    for found in read_tests({"care.yaml": text.encode()}, BUNDLE):
        if isinstance(found, PolicyTest):
            assert len(run(Decider(BUNDLE), found)) == len(found.cases)
        else:
            assert found.code
            assert found.line >= 1
            assert found.column >= 1


SENDING = """\
apiVersion: fujie.dev/v1
kind: PolicyTest
metadata: {name: sends}
spec:
  now: "2026-11-20T10:00:00+08:00"
  principals: {agent: {roles: [agent]}}
  customers:
    calm: {sent: {last_day: 1}}
    full: {sent: {last_minute: 1, last_hour: 1, last_day: 2}}
    asleep: {recipient: {country: US, hour: 21}}
  messages:
    promo: {category: MARKETING, segments: 2}
    bad: {category: MARKETING, findings: [absolute]}
  processors:
    cloud: {region: SG}
    lapsed: {agreement: LAPSED}
  requests:
    promo: {action: send, purpose: care, basis: consent, store: crm, key: phone, message: promo, processor: cloud, signature: Test}
    bad: {action: send, purpose: care, basis: consent, store: crm, key: phone, message: bad}
    lapsed: {action: send, purpose: care, basis: consent, store: crm, key: phone, message: promo, processor: lapsed}
    unsaid: {action: send, purpose: care, basis: consent, store: crm, key: phone}
  tests:
    - name: all
      principals: [agent]
      customers: [calm, full, asleep]
      requests: [promo, bad, lapsed, unsaid]
      expect:
        - {customer: calm, request: promo, effect: ALLOW}
        - {customer: full, request: promo, effect: DENY, reasons: [FREQUENCY_EXCEEDED], deferrable: false}
        - {customer: asleep, request: promo, effect: DENY, reasons: [GUARD_REFUSED], deferrable: true}
        - {customer: calm, request: bad, effect: DENY, reasons: [GUARD_REFUSED], deferrable: false}
        - {customer: calm, request: lapsed, effect: DENY, reasons: [PROCESSOR_NOT_VALID], deferrable: false}
        - {customer: calm, request: unsaid, effect: DENY, reasons: [FACT_MISSING], deferrable: false}
"""
SENDER = compiled(
    grant(actions=("send",), fields={}),
    guard("g", "message.findings.size() == 0", frequency={"per_day": 2}, match={"actions": ["send"]}),
    guard("hours", "recipient.hour < 20", defers=(0,), match={"actions": ["send"]}),
)


def sends(text: str) -> tuple[PolicyTest, ...] | tuple[Diagnostic, ...]:
    return read_tests({"sends.yaml": text.encode()}, SENDER)


def test_messages_processors_and_what_was_sent_before_are_fixtures() -> None:
    (test,) = sends(SENDING)
    assert isinstance(test, PolicyTest)
    wrong = [(each.id, each.differences) for each in run(Decider(SENDER), test) if not each.is_passed]
    assert wrong == []
    case = test.cases[0]
    assert (case.ask.request.channel, case.ask.request.brand) == ("sms", "Test")
    assert case.ask.message is not None
    assert (case.ask.message["message.segments"], case.ask.message["message.has_refusal"]) == (2, True)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("message: promo, processor: cloud", "message: prom, processor: cloud", "UNKNOWN_NAME"),
        ("processor: cloud", "processor: clod", "UNKNOWN_NAME"),
        ("category: MARKETING, segments: 2", "segments: 2", "MISSING_KEY"),
        ("category: MARKETING, segments: 2", "category: SPAM", "UNKNOWN_STATE"),
        ("segments: 2", "segments: 0", "OUT_OF_RANGE"),
        ("segments: 2", "sgments: 2", "UNKNOWN_KEY"),
        ("agreement: LAPSED", "agreement: GIVEN", "UNKNOWN_STATE"),
        ("hour: 21", "hour: 24", "OUT_OF_RANGE"),
        ("last_hour: 1, last_day: 2", "last_hour: 0, last_day: 2", "CONTRADICTION"),
        ("last_day: 1}", "last_day: 1, same_content: 2}", "CONTRADICTION"),
        ("effect: ALLOW", "effect: ALLOW, deferrable: true", "CONTRADICTION"),
        ("action: send, purpose: care, basis: consent, store: crm, key: phone}", "action: consent.read, message: promo}", "UNKNOWN_KEY"),
    ],
)  # fmt: skip
def test_fixtures_of_sending_that_say_nothing_are_problems(old: str, new: str, code: str) -> None:
    assert old in SENDING
    assert code in {each.code for each in sends(SENDING.replace(old, new)) if isinstance(each, Diagnostic)}
