"""Files to a bundle: whole or not at all, and the same bundle however it is written."""

import json
import random

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fujie.policy.bundle import Bundle
from fujie.policy.compile import TEST_KEYS, compile_bundle
from fujie.policy.schema import schema
from support.bundles import CATALOGUE, compiled, document, grant, guard, problems, rule_documents


def compile_files(files: dict[str, str]) -> Bundle:
    result = compile_bundle({name: text.encode() for name, text in files.items()})
    assert isinstance(result, Bundle), "\n".join(map(str, result))
    return result


@settings(max_examples=40)
@given(rule_documents(), st.randoms(use_true_random=False))
def test_order_split_and_format_of_the_documents_change_nothing(
    documents: list[str], shuffler: random.Random
) -> None:
    every = [*CATALOGUE, *documents]
    one = compile_files({"all.yaml": "\n---\n".join(every)})
    shuffled = every.copy()
    shuffler.shuffle(shuffled)
    written = [
        yaml.safe_dump(yaml.safe_load(text), allow_unicode=shuffler.random() < 0.5) for text in shuffled
    ]
    cut = shuffler.randint(0, len(written))
    other = compile_files(
        {
            "z/one.yaml": "# a comment\n---\n" + "\n---\n".join(written[:cut]),
            "a/two.yaml": "\ufeff" + "\n--- # another\n".join(written[cut:]).replace("\n", "\r\n"),
        }
    )
    assert one.digest == other.digest
    assert [g.name for g in one.grants] == [g.name for g in other.grants]
    assert [g.name for g in one.guards] == [g.name for g in other.guards]


BASE = (grant(), guard("guard", "true"))
CHANGED = {
    "another step": (grant(fields={"phone": "keep(3,4)"}), BASE[1]),
    "another role": (grant(roles=("lead",)), BASE[1]),
    "a condition": (grant(condition="true"), BASE[1]),
    "another expression": (BASE[0], guard("guard", "true ")),
    "another mode": (BASE[0], guard("guard", "true", mode="Audit")),
    "another name": (BASE[0], guard("other", "true")),
    "a document more": (*BASE, guard("more", "true")),
    "a document less": BASE[:1],
    "another validity": (grant(valid=("", "2026-12-01T00:00:00Z")), BASE[1]),
    "an approval": (BASE[0], guard("guard", "true", approvable=(0,))),
    "limits": (grant(limits={"rows_per_hour": 1}), BASE[1]),
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED.keys())
def test_every_change_of_content_changes_the_digest(changed: tuple[str, ...]) -> None:
    assert compiled(*BASE).digest != compiled(*changed).digest


TAGGED = st.sampled_from(("tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "0", "true"))
PLAIN = st.sampled_from((0, 1, True, False)) | TAGGED | st.lists(TAGGED, min_size=1, unique=True)


@given(PLAIN, PLAIN)
@example(0, ["tag:yaml.org,2002:int", "0"])
def test_two_values_have_one_digest_only_when_they_are_one_value(one: object, other: object) -> None:
    """`(params.x + params.x) == params.x` is true of 0 and false of any list."""

    def digest(value: object) -> str:
        rule = {"name": "v", "expression": "[params.x] == [params.x]"}
        spec = {"match": {"actions": ["lookup"]}, "params": {"x": value}, "validations": [rule]}
        return compiled(document("Guard", "guard", spec)).digest

    assert (digest(one) == digest(other)) == (repr(one) == repr(other))


def test_the_digest_is_one_that_was_written_down() -> None:
    """Entries name it for years: the canonical form may not change unseen."""
    assert compile_files({"f": ""}).digest == (
        "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    )


def test_all_problems_of_all_documents_come_at_once_in_order_of_place() -> None:
    broken = [
        grant("a", roles=()),
        grant("b", condition="customer.minro"),
        guard("c", "consent.state == ACTIVE", "1"),
        document("Lexicon", "d", {}),
        document("PolicyTest", "e", {}),
        document("Garnt", "f", {}),
        grant("G"),
        grant("a"),
    ]
    found = problems(*broken)
    assert [d.code for d in found] == [
        "EMPTY_LIST", "EXPRESSION_INVALID", "STATE_MISUSE", "NOT_BOOLEAN", *["MISSING_KEY"] * 6,
        "UNKNOWN_KIND", "NAME_INVALID", "DUPLICATE_NAME",
    ]  # fmt: skip
    assert [(d.file, d.line) for d in found] == sorted((d.file, d.line) for d in found)
    assert all(d.source and d.line and d.column for d in found)


def test_a_bad_envelope_says_everything_that_is_wrong_with_it() -> None:
    found = problems("apiVersion: v1\nkind: Rule\nmetadata: {name: A, nam: b}\nspec: {}\nstatus: {}")
    assert [(d.line, d.code) for d in found] == [
        (1, "UNKNOWN_VERSION"), (2, "UNKNOWN_KIND"), (3, "NAME_INVALID"), (3, "UNKNOWN_KEY"), (5, "UNKNOWN_KEY"),
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["apiVersion", "kind", "metadata", "spec"])
def test_every_part_of_the_envelope_is_required(key: str) -> None:
    content = yaml.safe_load(grant())
    del content[key]
    assert "MISSING_KEY" in [d.code for d in problems(yaml.safe_dump(content))]


def test_one_name_twice_is_refused_with_the_place_of_the_first() -> None:
    found = problems(guard("twice", "true"), guard("twice", "false"))
    assert [(d.line, d.code) for d in found] == [(3, "DUPLICATE_NAME")]
    assert "own:1" in found[0].message


def test_a_grant_and_a_guard_may_share_a_name() -> None:
    assert compiled(grant("same"), guard("same", "true")).guards[0].name == "same"


def test_one_problem_refuses_the_whole_bundle() -> None:
    assert problems(grant(), guard("g", "tru"))


def test_thousands_of_documents_compile_to_a_bundle_in_order_of_name() -> None:
    grants = [grant(f"grant-{i}", roles=(f"role{i}",)) for i in range(3_000)]
    guards = [guard(f"guard-{i}", f"time.hour > {i}") for i in range(1_000)]
    bundle = compiled(*guards, *reversed(grants))
    assert (len(bundle.grants), len(bundle.guards)) == (3_000, 1_000)
    assert [g.name for g in bundle.grants] == sorted(g.name for g in bundle.grants)


def test_thousands_of_problems_are_all_reported_without_repeating_a_long_line() -> None:
    found = problems(document("Grant", "g", {"match": {"actions": [f"a{i}" for i in range(5_000)]}}))
    assert sum(d.code == "UNKNOWN_ACTION" for d in found) == 5_000
    assert sum(len(str(d)) for d in found) < 5_000_000


@pytest.mark.parametrize(
    "spec",
    [{}, {"now": ["anything", {"at all": None}]}, {"tests": [{"expression": "fals"}], "requests": 1}],
)
def test_tests_beside_the_policies_are_no_part_of_the_bundle(spec: dict[str, object]) -> None:
    """What they say is read by those who run them; a test that changed the digest would void approvals of policy."""
    alone, beside = compiled(grant()), compiled(grant(), document("PolicyTest", "t", spec))
    assert alone.digest == beside.digest
    assert [(d.kind, d.name) for d in alone.documents] == [(d.kind, d.name) for d in beside.documents]


def test_tests_beside_the_policies_have_a_sound_envelope() -> None:
    (found,) = problems(document("PolicyTest", "t", {}).replace("metadata", "metdata"))[:1]
    assert found.code == "MISSING_KEY"


def test_a_guard_that_is_called_a_test_is_not_passed_over() -> None:
    """One word changed in its `kind` would switch a guard off, and nothing would say so."""
    disguised = json.loads(guard("g", "!customer.minor")) | {"kind": "PolicyTest"}
    assert {found.code for found in problems(json.dumps(disguised))} == {"UNKNOWN_KEY"}
    tunes = document("PolicyTest", "p", {"guards": {"g": {"first": 1}}})
    assert [found.code for found in problems(tunes)] == ["UNKNOWN_KEY"]


def test_what_a_test_has_is_what_its_schema_says() -> None:
    spec = schema("PolicyTest")["properties"]["spec"]
    assert frozenset(spec["properties"]) == TEST_KEYS


def test_a_misspelt_name_is_answered_with_the_nearest_that_is_known() -> None:
    misspelt = json.loads(grant("g", fields={"phnoe": "reveal"}, purposes=["car"]))
    misspelt["spec"]["match"]["actions"] = ["lokup"]
    catalog = document("FieldCatalog", "f", {"fields": {"tel": {"class": "mobil"}}})
    found = problems(json.dumps(misspelt), catalog, document("Garnt", "x", {}))
    said = " ".join(each.message for each in found)
    for name in ("phone", "care", "lookup", "mobile", "Grant"):
        assert f"did you mean `{name}`?" in said, said
