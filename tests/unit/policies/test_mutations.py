"""Who weakens the shipped base policies fails their tests: every small change of a rule that changes decisions is seen.

A mutant is base with one element changed. It is killed when a case of `policies/base/tests` comes out otherwise, or
when those tests are no longer valid (they name what is gone). What does not compile is no mutant: nobody can load it.
Texts, citations, labels and retention decide nothing and are left alone, as are the catalogue, notices and templates; so are
the numbers of `limits`, which a PolicyTest can not see (it says who has used them up).
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import pytest
import yaml

from fujie.decision.decider import Decider
from fujie.decision.policy_tests import judge, settle
from fujie.model.policy_test import Case, PolicyTest
from fujie.model.vocabulary import CUSTOMER_ACTIONS, Action, Basis, KeyKind
from fujie.policy.bundle import Bundle, Grant, Guard
from fujie.policy.compile import compile_bundle
from fujie.policy.policy_tests import read_tests
from support.shipped import bundle, decider, files, policy_tests

Plain = Any  # what YAML holds: mappings, lists, texts, numbers
Path = tuple[str | int, ...]

DECIDES_NOTHING = {"message", "remedy", "basis", "label", "dpv", "retention", "name", "id"}
SHARE = 14
"""Of each kind of mutant one in so many is tried, always the same; with 1 all of them are, in five minutes or so."""

NO_GRANT = "no shipped grant opens it, so nobody gets as far as this"
NO_SEARCH = "the two keys are all there are, but for the end of a number, which a grant must name itself"
ALSO_CLOSED = "what the other of guard and grant, or the floor of the class, closes as far"
ALSO_OPEN = "another grant of the same role opens it anyway"
WIDER_CAPS = "the other categories have tighter caps of their own"
STANDS = "explicit and separate are derived of a consent that is GIVEN only"
EQUIVALENT = {
    "support-own-customers: drop match.keys": NO_SEARCH,
    "support-with-ticket: drop match.keys": NO_SEARCH,
    "fraud-analyst: drop match.keys": NO_SEARCH,
    "marketer: widen phone reveal": ALSO_CLOSED,
    "marketer: add field bank_card": ALSO_CLOSED,
    "marketer: add field id_card": ALSO_CLOSED,
    "marketer: add field passport": ALSO_CLOSED,
    "marketer: add field travel_permit": ALSO_CLOSED,
    "marketing-lists: widen phone *": ALSO_CLOSED,
    "marketing-lists: add field bank_card": ALSO_CLOSED,
    "marketing-lists: add field id_card": ALSO_CLOSED,
    "marketing-lists: add field passport": ALSO_CLOSED,
    "marketing-lists: add field travel_permit": ALSO_CLOSED,
    "identity-check: widen id_card reveal": ALSO_CLOSED,
    "marketing-needs-consent: widen id_card *": ALSO_CLOSED,
    "marketing-needs-consent: drop fields.id_card omit": ALSO_CLOSED,
    "marketing-needs-consent: widen passport *": ALSO_CLOSED,
    "marketing-needs-consent: drop fields.passport omit": ALSO_CLOSED,
    "marketing-needs-consent: widen travel_permit *": ALSO_CLOSED,
    "marketing-needs-consent: drop fields.travel_permit omit": ALSO_CLOSED,
    "marketing-needs-consent: widen bank_card *": ALSO_CLOSED,
    "marketing-needs-consent: drop fields.bank_card omit": ALSO_CLOSED,
    "minors-data: widen birthday *": ALSO_CLOSED,
    "minors-data: drop fields.birthday *": ALSO_CLOSED,
    "consent-desk: add role privacy_officer": ALSO_OPEN,
    "answers-to-prompts: add role consent_desk": ALSO_OPEN,
    "answers-to-prompts: add role privacy_officer": ALSO_OPEN,
    "consent-backs-its-basis: drop match.actions.2 send": NO_GRANT,
    "base: drop purposes.7.bases.legal_duty.evidence *": NO_GRANT,
    "base: add basis legal_duty *": NO_GRANT,
    "consent-backs-its-basis: clause matchConditions.0.expression request.basis == 'consent' && true":
        "marketing has the stricter guard, with the same codes: only the text of the reason differs",
    "consent-backs-its-basis: clause validations.1.expression * (true && consent.explicit)": STANDS,
    "marketing-needs-consent: clause variables.1.expression consent.explicit && true": STANDS,
    "sensitive-fields: clause validations.0.expression * (true && consent.separate)": STANDS,
    "exports-need-four-eyes: drop validations.1.approval.count": "one is what counts when nothing is said",
    "*exports-*: drop validations.0.approval.count": "one is what counts when nothing is said",
    "exports-need-four-eyes: operator validations.2.expression * request.rows > params.never_from":
        "what not-everybody refuses asks for no approval",
    "exports-need-four-eyes: clause validations.2.expression * || false":
        "what not-everybody refuses asks for no approval",
    "sends-codes: drop match.keys": NO_SEARCH,
    "compliance-officer: add action processor.write": ALSO_OPEN,
    "register-of-processors: add action approval.*": ALSO_OPEN,
    "service-is-no-marketing: drop match.purposes.[2-7] *": NO_GRANT,
    "notices-not-too-often: * matchConditions.0.expression true": WIDER_CAPS,
    "notices-not-too-often: drop matchConditions": WIDER_CAPS,
    "campaigns-need-four-eyes: drop validations.0.approval.count": "one is what counts when nothing is said",
}  # fmt: skip
"""Mutants (fnmatch patterns) that no case can tell from base, and why."""


@dataclass(frozen=True)
class Mutant:
    """`kind` is the operator, `name` says what was done where. `document` is None where it was dropped."""

    kind: str
    name: str
    number: int
    document: Plain


@cache
def documents() -> tuple[Plain, ...]:
    """Return every document of the base policies that can change a decision."""
    found = chain.from_iterable(yaml.load_all(text, yaml.CSafeLoader) for text in files(()).values())
    return tuple(each for each in found if each["kind"] not in ("PolicyTest", "Notice", "MessageTemplate"))


@cache
def as_file(number: int) -> bytes:
    return json.dumps(documents()[number], ensure_ascii=False).encode()


def compiled(mutant: Mutant) -> Bundle | None:
    """Return the bundle with this mutant, None when it is not valid."""
    parts = {f"{number}.yaml": as_file(number) for number in range(len(documents()))}
    if mutant.document is None:
        del parts[f"{mutant.number}.yaml"]
    else:
        assert mutant.document != documents()[mutant.number], mutant.name
        parts[f"{mutant.number}.yaml"] = json.dumps(mutant.document, ensure_ascii=False).encode()
    found = compile_bundle(parts)
    return found if isinstance(found, Bundle) else None


def put(document: Plain, path: Path, *value: Plain) -> Plain:
    """Return a copy with `value` in the place, or without the place when there is no value."""
    copy = deepcopy(document)
    owner = copy
    for key in path[:-1]:
        owner = owner[key]
    if value:
        owner[path[-1]] = value[0]
    else:
        del owner[path[-1]]
    return copy


def places(value: Plain, path: Path = ("spec",)) -> Iterator[tuple[Path, Plain]]:
    """Yield everything below that decides something, with its path."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        if key in DECIDES_NOTHING:
            continue
        yield (*path, key), entry
        if key != "limits":  # their numbers are not seen, only that there are some
            yield from places(entry, (*path, key))


Edit = tuple[str, str, Plain]  # kind, what, changed document


def dropped(document: Plain) -> Iterator[Edit]:
    if document["kind"] in ("Grant", "Guard"):
        yield "drop rule", "drop", None
    for path, entry in places(document["spec"]):
        shown: str = entry if isinstance(entry, str) else ""
        if isinstance(entry, dict):
            shown = str(entry.get("name", entry.get("id", "")))
        where = ".".join(map(str, path[1:]))
        yield f"drop {_owner(path)}", f"drop {where} {shown}", put(document, path)
        if path[-1] == "outcome" and entry == "approval":
            yield (
                "drop approval",
                f"drop {where} and terms",
                put(put(document, path), (*path[:-1], "approval")),
            )


def _owner(path: Path) -> str:
    return (
        str(path[-1])
        if isinstance(path[-1], str) and path[-2] not in ("fields", "bases")
        else str(next(key for key in reversed(path[:-1]) if isinstance(key, str)))
    )


OTHER = {"&&": "||", "||": "&&", "==": "!=", "!=": "==", ">=": ">", "<=": "<", ">": ">=", "<": "<="}
_OPERATOR = re.compile(r"&&|\|\||[=!<>]=|[<>]")
_NUMBER = re.compile(r"(?<![\w.'])\d+")
_CLAUSE = re.compile(r"[\w.]+ (?:[=!<>]=|[<>]) [\w.']+|(?<![\w.'])[a-z_]+\.[\w.]+(?![\w.(]| [=!<>]| in)")
_ITEM = re.compile(r"'\w+'(?:, )?(?=[^\[\]]*\])")


def reworded(document: Plain) -> Iterator[Edit]:
    """Yield every expression turned around, weakened or shifted at one place."""
    for path, text in places(document["spec"]):
        if path[-1] not in ("expression", "condition"):
            continue
        edits = [("negate", f"!({text})"), ("constant", "true"), ("constant", "false")]
        for pattern, kind, instead in (
            (_OPERATOR, "operator", lambda old: (OTHER[old],)),
            (_NUMBER, "number", lambda old: (str(int(old) - 1), str(int(old) + 1))),
            (_CLAUSE, "clause", lambda _: ("true", "false")),
            (_ITEM, "item", lambda _: ("",)),
        ):
            edits += [
                (kind, text[: found.start()] + new + text[found.end() :])
                for found in pattern.finditer(text)
                for new in instead(found[0])
            ]
        for kind, new in edits:
            new = new.replace(", ]", "]")
            yield kind, f"{kind} {'.'.join(map(str, path[1:]))} {new}", put(document, path, new)


def shifted(document: Plain) -> Iterator[Edit]:
    """Yield every number and length of time one more and one less."""
    for path, value in places(document["spec"]):
        length = re.fullmatch(r"(\d+)([dhm])", value) if isinstance(value, str) else None
        for by in (-1, 1):
            if isinstance(value, int) and not isinstance(value, bool):
                yield (
                    "shift",
                    f"shift {'.'.join(map(str, path[1:]))} {by:+}",
                    put(document, path, value + by),
                )
            elif length:
                new = f"{int(length[1]) + by}{length[2]}"
                yield "shift", f"shift {'.'.join(map(str, path[1:]))} {new}", put(document, path, new)


def widened(document: Plain) -> Iterator[Edit]:
    """Yield every step of a grant or guard one more open."""
    for name, step in document["spec"].get("fields", {}).items():
        steps = [str(each) for each in bundle(()).fields[name].ladder.steps]
        if at := steps.index(step):
            changed = put(document, ("spec", "fields", name), steps[at - 1])
            yield "widen", f"widen {name} {steps[at - 1]}", changed


def opened(document: Plain) -> Iterator[Edit]:
    """Yield every grant with one more role, field, action, purpose or key."""
    spec, base = document["spec"], bundle(())
    roles = {role for grant in base.grants for role in grant.roles}
    on_customers = spec["match"]["actions"][0] in CUSTOMER_ACTIONS
    actions = {action for action in Action if (action in CUSTOMER_ACTIONS) == on_customers}
    for kind, path, known in (
        ("role", ("spec", "roles"), roles),
        ("action", ("spec", "match", "actions"), actions),
        ("purpose", ("spec", "purposes"), base.purposes.keys()),
        ("key", ("spec", "match", "keys"), set(KeyKind)),
    ):
        old = spec.get(path[-1], spec["match"].get(path[-1], []))
        for each in sorted(known - set(old)) if old else ():
            yield f"add {kind}", f"add {kind} {each}", put(document, path, [*old, str(each)])
    for name in sorted(base.fields.keys() - spec["fields"].keys()) if "fields" in spec else ():
        changed = put(document, ("spec", "fields", name), str(base.fields[name].floor))
        yield "add field", f"add field {name}", changed


def accepting(document: Plain) -> Iterator[Edit]:
    """Yield every purpose with one more basis."""
    for number, purpose in enumerate(document["spec"]["purposes"]):
        for basis in sorted(set(Basis) - purpose["bases"].keys()):
            changed = put(document, ("spec", "purposes", number, "bases", str(basis)), {})
            yield "add basis", f"add basis {purpose['id']} {basis}", changed


def approving(document: Plain) -> Iterator[Edit]:
    """Yield every approval that one more role may give."""
    for path, value in places(document["spec"]):
        if path[-1] == "approval":
            changed = put(document, (*path, "roles"), [*value["roles"], "list_exporter"])
            yield "add approver", f"add approver {'.'.join(map(str, path[1:]))}", changed


OPERATORS = {
    "Grant": (dropped, reworded, widened, opened),
    "Guard": (dropped, reworded, shifted, widened, approving),
    "Purposes": (dropped, shifted, accepting),
}


def mutants() -> Iterator[Mutant]:
    for number, document in enumerate(documents()):
        for operator in OPERATORS.get(document["kind"], ()):
            for kind, what, changed in operator(document):
                name = f"{document['metadata']['name']}: {what}".strip()
                yield Mutant(kind, name, number, changed)


@cache
def by_kind() -> Mapping[str, tuple[Mutant, ...]]:
    found: dict[str, list[Mutant]] = {}
    for mutant in mutants():
        found.setdefault(mutant.kind, []).append(mutant)
    return {kind: tuple(each) for kind, each in found.items()}


def named(of: Bundle) -> tuple[frozenset[str], ...]:
    """Return what a test may name: purposes, rules with limits, and approvals, which are bound to their terms."""
    rules: tuple[Grant | Guard, ...] = (*of.grants, *of.guards)
    limited = frozenset(rule.counted_as for rule in rules if rule.limits)
    needs = (validation.approval for guard in of.guards for validation in guard.validations)
    return frozenset(of.purposes), limited, frozenset(need.key for need in needs if need)


@cache
def without_grant() -> frozenset[str]:
    """Return the cases that base refuses because no grant opens: there no guard has a say."""
    cases = (case for test in policy_tests(()) for case in test.cases)
    decided = ((case.id, settle(decider(()), case).decision) for case in cases)
    return frozenset(
        case
        for case, decision in decided
        if decision.reasons[:1] and decision.reasons[0].code == "NO_GRANT"
    )


def concerns(mutant: Mutant, case: Case) -> bool:
    """Tell whether what was changed, as it was or as it is, can have a say in this case.

    All other decisions are those of base: they need not be made.
    """
    old, request = documents()[mutant.number], case.ask.request
    rules = [document["spec"] for document in (old, mutant.document) if document]
    if old["kind"] == "Purposes":
        before, after = (rule["purposes"] for rule in rules)
        changed = [each for each in (*before, *after) if each not in before or each not in after]
        return request.purpose in [purpose["id"] for purpose in changed]
    if request.action not in {action for rule in rules for action in rule["match"]["actions"]}:
        return False
    if old["kind"] == "Guard":
        return case.id not in without_grant()
    return not case.asker.principal.roles.isdisjoint(role for rule in rules for role in rule["roles"])


def is_killed(mutant: Mutant, weaker: Bundle) -> bool:
    tests = policy_tests(())
    if named(weaker) != named(bundle(())):
        found = read_tests(files(()), weaker)
        tests = tuple(test for test in found if isinstance(test, PolicyTest))
        if len(tests) < len(found):
            return True
    deciding = Decider(weaker)
    cases = (case for test in tests for case in test.cases if concerns(mutant, case))
    return any(not judge(case, settle(deciding, case)).is_passed for case in cases)


def reasons_of(mutant: Mutant) -> list[str]:
    return [reason for pattern, reason in EQUIVALENT.items() if fnmatchcase(mutant.name, pattern)]


@pytest.mark.parametrize("kind", by_kind())
def test_who_changes_a_rule_fails_the_shipped_tests(kind: str) -> None:
    found = by_kind()[kind]
    tried = Random(kind).sample(found, -(-len(found) // SHARE))
    wrong = [
        f"{mutant.name}: {'is not equivalent' if killed else 'no case sees it'}"
        for mutant in tried
        if (weaker := compiled(mutant))
        and (killed := is_killed(mutant, weaker)) == bool(reasons_of(mutant))
    ]
    assert wrong == []


def test_most_mutants_are_policies_that_would_load() -> None:
    """So that the operators do not only break the form."""
    tried = [mutant for found in by_kind().values() for mutant in found[::120]]
    assert sum(compiled(mutant) is not None for mutant in tried) > len(tried) / 2


def test_the_list_of_equivalent_mutants_names_mutants() -> None:
    names = [mutant.name for found in by_kind().values() for mutant in found]
    assert [
        pattern for pattern in EQUIVALENT if not any(fnmatchcase(name, pattern) for name in names)
    ] == []
    assert sum(bool(reasons_of(mutant)) for found in by_kind().values() for mutant in found) < 60
