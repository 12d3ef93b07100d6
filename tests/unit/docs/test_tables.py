"""The tables of the documentation say what the code says. Run this file to write docs/reasons.md anew."""

import re
from functools import cache
from pathlib import Path

import pytest

from fujie.decision.mask import mask_value
from fujie.decision.tokens import Tokeniser
from fujie.model.data_class import DEFAULT_LADDERS, DataClass, applicable
from fujie.model.facts import BUILT_IN_FACTS
from fujie.model.reason import ReasonDefinition
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.step import KNOWN_STEPS, parse_step
from fujie.model.vocabulary import Basis
from fujie.policy.bundle import Bundle
from fujie.policy.compile import KINDS, compile_bundle
from fujie.transport.grpc.status import CODES
from support import shipped

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "policy-guide.md").read_text()
REASONS = ROOT / "docs" / "reasons.md"
BASE = {path.name: path.read_bytes() for path in (ROOT / "policies" / "base").glob("*.yaml")}


@cache
def bundle() -> Bundle:
    result = compile_bundle(BASE)
    assert isinstance(result, Bundle), "\n".join(map(str, result))
    return result


def rows(text: str, first_column: str) -> list[list[str]]:
    """Return the rows, without the head, of the table whose first column is headed so."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            break
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    assert found, f"no table headed {first_column}"
    return found


def test_facts_of_the_guide_are_those_of_the_code() -> None:
    documented = {path.strip("`"): shape for path, shape, meaning in rows(GUIDE, "fact") if meaning}
    assert documented == {
        path: ", ".join(fact.states) or fact.kind.value for path, fact in BUILT_IN_FACTS.items()
    }


def test_ladders_of_the_guide_are_those_of_the_code() -> None:
    documented = dict(rows(GUIDE, "class"))
    assert documented == {name: str(ladder).strip("[]") for name, ladder in DEFAULT_LADDERS.items()}


STEP_NAMES = (
    "keep(1,0)", "mask_range(0,1)", "before(@)", "after(@)", "region(city)", "date_part(year)", "date_shift(1)", "network", "round(2)",
    "bucket(1)", "redact", "regex(/a/)",
)  # fmt: skip


def test_the_guide_shows_every_step_of_every_class_at_work() -> None:
    """The shift of a date depends on the key and the customer: this one's."""
    tokeniser = Tokeniser(b"k" * 32, "p1", "guide").of("sid-3")
    examples = [[cell.strip("`") for cell in row] for row in rows(GUIDE, "of class")]
    for data_class, step, value, shown in examples:
        assert applicable(DataClass(data_class), parse_step(step))
        assert shown == mask_value(value, parse_step(step), DataClass(data_class), tokeniser)
    assert {(data_class, step.partition("(")[0]) for data_class, step, *_ in examples} == {
        (data_class.value, text.partition("(")[0])
        for data_class in DataClass
        for text in STEP_NAMES
        if applicable(data_class, parse_step(text))
    } | {("plain", "constant")}
    named = {name for row in rows(GUIDE, "step") for name in re.findall(r"`([a-z_]+)[(`]", row[0])}
    assert named == set(re.findall(r"(?:^|, |or )([a-z_]+)", re.sub(r"\([^)]*\)", "", KNOWN_STEPS)))


def test_attributes_that_the_guide_names_are_the_shipped_ones() -> None:
    sentence = GUIDE[GUIDE.index("the shipped one adds") :].partition(".\n")[0].partition(". `consent`")[0]
    declared = {f"principal.{name}" for name in bundle().principal_attributes}
    declared |= {f"customer.{name}" for name in bundle().customer_attributes}
    assert set(re.findall(r"`((?:customer|principal)\.\w+)`", sentence)) == declared


def test_guide_names_every_kind_and_basis() -> None:
    for kind in KINDS:
        assert f"**{kind}**" in GUIDE
    for basis in Basis:
        assert f"`{basis}`" in GUIDE


ENVELOPE = "apiVersion: fujie.dev/v1\nkind: {kind}\nmetadata: {{name: probe}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Purposes", "{zzz: 1}"),
        ("Purposes", "{purposes: [{zzz: 1}]}"),
        ("FieldCatalog", "{zzz: 1}"),
        ("FieldCatalog", "{classes: {mobile: {zzz: 1}}}"),
        ("FieldCatalog", "{classes: {mobile: {}}, fields: {own: {zzz: 1}}}"),
        ("FieldCatalog", "{attributes: {customer: {own: {zzz: 1}}}}"),
        ("Reasons", "{reasons: [{zzz: 1}]}"),
        ("Notice", "{zzz: 1}"),
        ("Grant", "{zzz: 1}"),
        ("Grant", "{match: {zzz: 1}}"),
        ("Guard", "{zzz: 1}"),
        ("Guard", "{match: {zzz: 1}}"),
        ("Guard", "{match: {actions: [lookup]}, matchConditions: [{name: a, zzz: 1}]}"),
        ("Guard", "{match: {actions: [lookup]}, variables: [{zzz: 1}]}"),
        ("Guard", "{match: {actions: [lookup]}, validations: [{zzz: 1}]}"),
        ("Guard", "{match: {actions: [lookup]}, validations: [{outcome: approval, approval: {zzz: 1}}]}"),
        ("Params", "{zzz: 1}"),
        ("Lexicon", "{zzz: 1}"),
    ],
)
def test_guide_names_every_key_that_the_loader_knows(kind: str, spec: str) -> None:
    problems = compile_bundle({"probe.yaml": ENVELOPE.format(kind=kind, spec=spec).encode()})
    assert isinstance(problems, tuple)
    known = {
        key
        for problem in problems
        if problem.code == "UNKNOWN_KEY" and "`zzz`" in problem.message
        for key in problem.message.partition("known: ")[2].split(", ")
    }
    assert known
    assert {key for key in known if not re.search(rf"\b{key}\b", GUIDE)} == set()


def fences(label: str) -> list[str]:
    return re.findall(rf"^```{label}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def test_policies_of_the_guide_compile_on_top_of_base() -> None:
    examples = fences("yaml")
    assert examples
    files = {f"example{number}.yaml": text.encode() for number, text in enumerate(examples)}
    result = compile_bundle(BASE | files)
    assert isinstance(result, Bundle), "\n".join(map(str, result))


def test_refusal_of_the_guide_is_what_the_loader_says() -> None:
    (refused,), (shown,) = fences("yaml refused"), fences("text")
    problems = compile_bundle(BASE | {"example.yaml": refused.encode()})
    assert isinstance(problems, tuple)
    assert "\n".join(map(str, problems)) + "\n" == shown


LATER = (
    "{match: {actions: [erase]}, limits: {rows_per_hour: 1}}",
    "{match: {actions: [correct]}, validations: [{name: a, expression: customer.minor}]}",
    "{match: {actions: [lookup]}, validations: [{name: a, expression: 'true', message: {zh: '{x}', en: x}}]}",
    "{match: {actions: [erase]}, validations: [{name: a, expression: 'true', outcome: approval, approval: {roles: [x], valid_for: 1h}}]}",
)


@pytest.mark.parametrize("spec", LATER)
def test_what_the_guide_calls_not_yet_enforced_is_refused(spec: str) -> None:
    problems = compile_bundle(BASE | {"probe.yaml": ENVELOPE.format(kind="Guard", spec=spec).encode()})
    assert isinstance(problems, tuple)
    assert [problem.code for problem in problems] == ["NOT_YET_ENFORCED"]


def test_reasons_page_is_that_of_the_code() -> None:
    assert REASONS.read_text() == reasons_page(), "run this file to write the page anew"


def reasons_page() -> str:
    base, whole = bundle().reasons, shipped.bundle(shipped.PACKS).reasons
    of_base = [reason for code, reason in base.items() if code not in BUILT_IN_REASONS]
    of_packs = [reason for code, reason in whole.items() if code not in base]
    return f"""# Reasons

Every refusal and error carries one of these codes as `ErrorInfo.reason` and as a metric label. A code is never renamed
or reused. The lower the priority, the earlier a reason stands; the first is the primary one. Citations name law and
article, see [law-coverage.md](law-coverage.md). This page is generated from the code and compared by a
test.

## Built in
{_table(BUILT_IN_REASONS.values())}

## Declared by the shipped base bundle
{_table(of_base)}

## Declared by the shipped packs
{_table(of_packs)}
"""


def _table(reasons: object) -> str:
    assert hasattr(reasons, "__iter__")
    lines = ["| code | priority | gRPC status | says | remedy | cites |", "|---|---|---|---|---|---|"]
    ordered: list[ReasonDefinition] = sorted(reasons, key=lambda reason: (reason.priority, reason.code))
    for reason in ordered:
        says, remedy = (f"{t.en}<br>{t.zh}" if t.en else "" for t in (reason.message, reason.remedy))
        status, cites = CODES[reason.outcome].name, ", ".join(reason.basis)
        lines.append(f"| {reason.code} | {reason.priority} | {status} | {says} | {remedy} | {cites} |")
    return "\n".join(lines)


if __name__ == "__main__":
    REASONS.write_text(reasons_page())
