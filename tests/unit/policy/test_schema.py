"""The JSON Schemas: those committed are those generated, what loads is valid, what is misshapen is not.

Run this file to write schemas/ anew.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from fujie.model.data_class import DEFAULT_LADDERS
from fujie.policy.bundle import Bundle
from fujie.policy.compile import KINDS, compile_bundle
from fujie.policy.policy_tests import KIND as POLICY_TEST
from fujie.policy.schema import EVERY, SCHEMAS, schema
from support.bundles import CATALOGUE, document, rule_documents
from support.odd_bundles import odd_grants, odd_guards

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "schemas"
POLICIES = sorted((ROOT / "policies").rglob("*.yaml"))


def written(kind: str) -> str:
    return json.dumps(schema(kind), ensure_ascii=False, indent=2) + "\n"


@cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema(kind))


def faults(content: Mapping[str, Any]) -> list[str]:
    """Return where a document is not valid, by the schema of its kind; that of every kind must say the same."""
    kind = content.get("kind")
    found = list(validator(EVERY).iter_errors(content))
    if kind in SCHEMAS and kind != EVERY:
        alone = sorted(error.json_path for error in validator(kind).iter_errors(content))
        assert bool(alone) == bool(found)
        return alone
    return [error.json_path for error in found]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_committed_schema_is_the_generated_one_and_is_a_schema(kind: str) -> None:
    assert (FOLDER / SCHEMAS[kind]).read_text("utf-8") == written(kind)
    Draft202012Validator.check_schema(schema(kind))


def test_there_is_a_schema_for_every_kind_and_no_other_file() -> None:
    assert SCHEMAS.keys() - {EVERY} == {*KINDS, POLICY_TEST}
    assert {path.name for path in FOLDER.iterdir()} == set(SCHEMAS.values())


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_file_names_a_schema_that_is_there_and_is_valid_by_it(path: Path) -> None:
    text = path.read_text("utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named, "the first line names the schema"
    by_editor = Draft202012Validator(json.loads((path.parent / named[1]).resolve().read_text("utf-8")))
    for content in yaml.safe_load_all(text):
        assert faults(content) == []
        assert list(by_editor.iter_errors(content)) == []


@settings(max_examples=40, deadline=None)
@given(rule_documents())
def test_what_loads_is_valid(documents: list[str]) -> None:
    for text in (*CATALOGUE, *documents):
        assert faults(yaml.safe_load(text)) == []


@settings(max_examples=100, deadline=None)
@given(odd_grants("odd") | odd_guards("odd"))
def test_what_nobody_would_write_and_loads_is_valid_too(text: str) -> None:
    """A schema that refuses what the server takes sends its author after a mistake that is none."""
    if isinstance(compile_bundle({"f": "\n---\n".join((*CATALOGUE, text)).encode()}), Bundle):
        assert faults(yaml.safe_load(text)) == []


def test_every_step_of_every_default_ladder_is_valid() -> None:
    for data_class, ladder in DEFAULT_LADDERS.items():
        classes = {data_class.value: {"ladder": [str(step) for step in ladder.steps], "floor": "omit"}}
        assert faults(yaml.safe_load(document("FieldCatalog", "c", {"classes": classes}))) == []


# Every key of a kind, each with a value that its reader takes.
TEXT = {"zh": "文", "en": "text"}
MATCH = {"actions": ["lookup"], "stores": ["crm"], "keys": ["phone"]}
LIMITS = {
    "rows_per_request": 1,
    "rows_per_hour": 1,
    "distinct_customers_per_day": 1,
    "lookups_per_minute": 1,
}
FULL: dict[str, dict[str, Any]] = {
    "Purposes": {
        "purposes": [{"id": "care", "dpv": "X", "label": TEXT, "bases": {"contract": {"evidence": "id"}},
                      "consent_ttl": "1d", "retention": "1d"}]
    },
    "FieldCatalog": {
        "classes": {"mobile": {"level": 1, "ladder": ["reveal", "omit"], "floor": "reveal"}},
        "fields": {"phone": {"class": "mobile"}},
        "attributes": {"customer": {"minor": {"type": "bool", "personal": True}}, "principal": {"region": {"type": "int"}}},
    },
    "Reasons": {"reasons": [{"code": "X_A", "message": TEXT, "remedy": TEXT, "basis": ["PIPL-6"], "priority": 100}]},
    "Grant": {
        "match": MATCH, "roles": ["r"], "purposes": ["care"], "condition": "true", "fields": {"phone": "reveal"},
        "limits": LIMITS, "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00+08:00",
    },
    "Guard": {
        "match": {**MATCH, "purposes": ["care"]},
        "matchConditions": [{"name": "c", "expression": "true"}],
        "variables": [{"name": "v", "expression": "1"}],
        "params": {"p": True},
        "validations": [{"name": "v", "expression": "true", "reason": "CONSENT_MISSING", "message": TEXT, "remedy": TEXT,
                         "basis": ["PIPL-6"], "outcome": "approval",
                         "approval": {"roles": ["r"], "count": 1, "valid_for": "1h"}}],
        "fields": {"phone": "omit"}, "limits": LIMITS, "validationActions": ["Deny"],
        "frequency": {"per_minute": 1, "per_hour": 1, "per_day": 1, "same_content_per_day": 1},
    },
    "Sender": {"signature": "符节", "providers": ["main"], "domains": ["example.com"]},
    "MessageTemplate": {
        "version": "1", "category": "verification", "text": "{code} {link}", "variables": {"code": 6}, "codes": {"main": "SMS_1"},
    },
    "Params": {"guards": {"g": {"p": True, "q": -1, "r": "text", "s": ["a", "b"]}}},
    "Lexicon": {
        "category": "absolute_terms", "articles": ["AdLaw-9"], "severity": "warn", "source": "AdLaw", "as_of": "2026-11-21",
        "words": ["最佳"],
    },
    "Notice": {
        "version": "1", "purposes": ["care"], "channels": ["sms"], "text": TEXT, "withdrawal": TEXT, "explicit": True,
        "separate": True, "data_classes": ["mobile"], "recipients": ["a"], "storage": ["CN"],
    },
}  # fmt: skip


def mappings(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every mapping in `content`."""
    if isinstance(content, dict):
        yield path
        for key, value in content.items():
            yield from mappings(value, (*path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from mappings(value, (*path, index))


def at(content: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


OPEN = {
    ("classes",),
    ("fields",),
    ("attributes", "customer"),
    ("attributes", "principal"),
    ("params",),
    ("variables",),
    ("codes",),
    ("guards",),
    ("guards", "g"),
    ("purposes", 0, "bases"),
}
"""Mappings whose keys are names: any key is a name to them."""
PLACES = [(kind, path) for kind, spec in FULL.items() for path in mappings(spec) if path not in OPEN]


@pytest.mark.parametrize(("kind", "path"), PLACES, ids=lambda part: str(part))
def test_the_keys_of_the_schema_are_those_of_the_reader(kind: str, path: tuple[str | int, ...]) -> None:
    """The reader names the keys that it knows when it meets another."""
    spec = json.loads(json.dumps(FULL[kind]))
    at(spec, path)["unheard_of"] = 1
    result = compile_bundle({"f": document(kind, "n", spec).encode()})
    assert isinstance(result, tuple)
    (known,) = {
        d.message.partition("known: ")[2]
        for d in result
        if d.code == "UNKNOWN_KEY" and "unheard_of" in d.message
    }
    shape = schema(kind)["properties"]["spec"]
    for key in path:
        if isinstance(key, int):
            shape = shape["items"]
        else:
            shape = (
                shape["properties"].get(key) or shape["additionalProperties"]
                if "properties" in shape
                else shape["additionalProperties"]
            )
    assert set(known.split(", ")) == set(shape["properties"])
    full = yaml.safe_load(document(kind, "n", FULL[kind]))
    assert faults(full) == []
    assert faults(yaml.safe_load(document(kind, "n", spec))) != []


def changed(kind: str, **spec: Any) -> dict[str, Any]:
    """Return a full document of a kind with some keys of its spec set, or with None left out."""
    merged = {**FULL[kind], **spec}
    return dict(
        yaml.safe_load(
            document(kind, "n", {key: value for key, value in merged.items() if value is not None})
        )
    )


MISSHAPEN: dict[str, dict[str, Any]] = {
    "another version": {**changed("Grant"), "apiVersion": "fujie.dev/v2"},
    "an unknown kind": {**changed("Grant"), "kind": "Garnt"},
    "no kind": {key: value for key, value in changed("Grant").items() if key != "kind"},
    "no metadata": {key: value for key, value in changed("Grant").items() if key != "metadata"},
    "a key beside the envelope": {**changed("Grant"), "status": {}},
    "a name in upper case": {**changed("Grant"), "metadata": {"name": "Grant"}},
    "an annotation that is no text": {**changed("Grant"), "metadata": {"name": "g", "annotations": {"a": 1}}},
    "a grant without roles": changed("Grant", roles=None),
    "a grant for nobody": changed("Grant", roles=[]),
    "a grant without purposes": changed("Grant", purposes=None),
    "a grant without fields": changed("Grant", fields=None),
    "a grant without a match": changed("Grant", match=None),
    "an unknown action": changed("Grant", match={"actions": ["loookup"]}),
    "an action twice": changed("Grant", match={"actions": ["lookup", "lookup"]}),
    "no action": changed("Grant", match={"actions": []}),
    "an unknown key kind": changed("Grant", match={"actions": ["lookup"], "keys": ["email"]}),
    "an unknown step": changed("Grant", fields={"phone": "kepp(3,4)"}),
    "a step that is no text": changed("Grant", fields={"phone": True}),
    "an unknown limit": changed("Grant", limits={"rows_per_day": 1}),
    "a limit of nothing": changed("Grant", limits={"rows_per_hour": 0}),
    "no limit": changed("Grant", limits={}),
    "a date for an instant": changed("Grant", valid_until="2026-01-01"),
    "a condition that is no text": changed("Grant", condition=True),
    "an empty condition": changed("Grant", condition=" "),
    "a guard that closes nothing": changed("Guard", validations=None, fields=None, limits=None, frequency=None),
    "an unknown validation action": changed("Guard", validationActions=["Dney"]),
    "a message in one language": changed("Guard", validations=[{"name": "v", "expression": "true", "message": {"en": "no"}}]),
    "an approval without its terms": changed("Guard", validations=[{"name": "v", "expression": "true", "outcome": "approval"}]),
    "terms without an approval": changed(
        "Guard", validations=[{"name": "v", "expression": "true", "approval": {"roles": ["r"], "valid_for": "1h"}}]),
    "an approval for ever": changed(
        "Guard", validations=[{"name": "v", "expression": "true", "outcome": "approval", "approval": {"roles": ["r"]}}]),
    "an unknown outcome": changed("Guard", validations=[{"name": "v", "expression": "true", "outcome": "alow"}]),
    "a validation without an expression": changed("Guard", validations=[{"name": "v"}]),
    "a param that is a mapping": changed("Guard", params={"p": {}}),
    "a purpose without a basis": changed("Purposes", purposes=[{"id": "care", "label": TEXT, "bases": {}}]),
    "an unknown basis": changed("Purposes", purposes=[{"id": "care", "label": TEXT, "bases": {"interest": {}}}]),
    "no purpose": changed("Purposes", purposes=[]),
    "a purpose in camel case": changed("Purposes", purposes=[{"id": "afterSales", "label": TEXT, "bases": {"consent": {}}}]),
    "a year": changed("Purposes", purposes=[{"id": "care", "label": TEXT, "bases": {"consent": {}}, "retention": "1y"}]),
    "an unknown class": changed("FieldCatalog", classes={"shoe": {}}),
    "a field without a class": changed("FieldCatalog", fields={"phone": {}}),
    "a level too high": changed("FieldCatalog", classes={"mobile": {"level": 5}}),
    "an unknown type": changed("FieldCatalog", attributes={"customer": {"minor": {"type": "boolean"}}}),
    "an attribute of nobody": changed("FieldCatalog", attributes={"store": {}}),
    "a code without X_": changed("Reasons", reasons=[{"code": "MINE", "message": TEXT}]),
    "a reason without words": changed("Reasons", reasons=[{"code": "X_MINE"}]),
    "a priority of the built-in": changed("Reasons", reasons=[{"code": "X_MINE", "message": TEXT, "priority": 1}]),
    "an unknown cap": changed("Guard", frequency={"per_week": 1}),
    "a cap of nothing": changed("Guard", frequency={"per_day": 0}),
    "no cap": changed("Guard", frequency={}),
    "a sender without a signature": changed("Sender", signature=None),
    "a domain with a scheme": changed("Sender", domains=["https://example.com"]),
    "a wildcard for a domain": changed("Sender", domains=["*.example.com"]),
    "a template without a category": changed("MessageTemplate", category=None),
    "an unknown category": changed("MessageTemplate", category="MARKETING"),
    "a variable of no length": changed("MessageTemplate", variables={"code": 0}),
    "a template without a text": changed("MessageTemplate", text=None),
    "a version that is a number": changed("Notice", version=1),
    "a notice without withdrawal": changed("Notice", withdrawal=None),
    "an unknown channel": changed("Notice", channels=["fax"]),
    "an unknown severity": changed("Lexicon", severity="Deny"),
    "a lexicon without words": changed("Lexicon", words=[]),
    "a lexicon without a date": changed("Lexicon", as_of=None),
    "params of no guard": changed("Params", guards=None),
    "a guard without params": changed("Params", guards={"g": {}}),
    "params of no guard at all": changed("Params", guards={}),
    "an empty param": changed("Params", guards={"g": {"p": " "}}),
    "a param of no text": changed("Guard", params={"p": []}),
    "a param with an empty text": changed("Guard", params={"p": ["a", ""]}),
    "a param with a text twice": changed("Params", guards={"g": {"p": ["a", "a"]}}),
    "a param whose name is none": changed("Guard", params={"p-1": 1}),
}  # fmt: skip


@pytest.mark.parametrize("content", MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_what_is_misshapen_is_refused_by_the_schema_and_by_the_reader(content: dict[str, Any]) -> None:
    assert faults(content) != []
    text = json.dumps(content, ensure_ascii=False)
    assert isinstance(compile_bundle({"f": "\n---\n".join((*CATALOGUE, text)).encode()}), tuple)


@pytest.mark.parametrize("value", ["", " ", ["a", " "], ["a", "a"]])
def test_an_attribute_that_no_test_can_state_is_refused_by_the_schema(value: object) -> None:
    attributes = (
        "properties",
        "spec",
        "properties",
        "principals",
        "additionalProperties",
        "properties",
        "attributes",
    )
    shape = Draft202012Validator(at(schema(POLICY_TEST), attributes))
    assert not shape.is_valid({"region": value})
    assert shape.is_valid({"region": "x", "tags": [], "minor": False, "points": 0})


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each, name in SCHEMAS.items():
        (FOLDER / name).write_text(written(each), "utf-8")
