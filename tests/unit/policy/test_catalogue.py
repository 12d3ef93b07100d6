"""Purposes, fields and reasons: a word is defined once, and only with what the build knows."""

from collections.abc import Mapping

import pytest

from fujie.model.data_class import DataClass
from fujie.model.vocabulary import Basis
from support.bundles import compiled, document, problems, purpose

TEXT = {"zh": "文", "en": "text"}


def codes(kind: str, spec: Mapping[str, object]) -> list[str]:
    return [problem.code for problem in problems(document(kind, "own", spec))]


PURPOSES: list[tuple[Mapping[str, object], list[str]]] = [
    ({"id": "p", "label": TEXT}, ["MISSING_KEY"]),
    ({"id": "p", "label": TEXT, "bases": {}}, ["EMPTY_LIST"]),
    ({"id": "p", "label": TEXT, "bases": {"consent": None}}, ["WRONG_TYPE", "EMPTY_LIST"]),
    ({"id": "p", "label": TEXT, "bases": {"consent": True}}, ["WRONG_TYPE", "EMPTY_LIST"]),
    ({"id": "p", "label": TEXT, "bases": {"conset": {}}}, ["UNKNOWN_BASIS"]),
    ({"id": "p", "label": TEXT, "bases": {"contract": {"evidence": ""}}}, ["EMPTY_TEXT"]),
    ({"id": "p", "label": TEXT, "bases": {"contract": {"evidnce": "x"}}}, ["UNKNOWN_KEY"]),
    ({"id": "p", "label": {"en": "x"}, "bases": {"consent": {}}}, ["MISSING_KEY"]),
    ({"id": "p", "label": {**TEXT, "fr": "x"}, "bases": {"consent": {}}}, ["UNKNOWN_KEY"]),
    ({"id": "p", "label": {**TEXT, "en": "{notice}"}, "bases": {"consent": {}}}, ["NOT_YET_ENFORCED"]),
    ({"id": "P", "label": TEXT, "bases": {"consent": {}}}, ["NAME_INVALID"]),
    ({"id": "p" * 64, "label": TEXT, "bases": {"consent": {}}}, ["NAME_INVALID"]),
    ({"id": "p\n", "label": TEXT, "bases": {"consent": {}}}, ["NAME_INVALID"]),
    ({"id": "marketing", "label": TEXT, "bases": {"consent": {}}}, ["DUPLICATE_NAME"]),
    ({"id": 1, "label": TEXT, "bases": {"consent": {}}}, ["WRONG_TYPE"]),
    *(
        ({**purpose("p", {"consent": {}}), "consent_ttl": ttl}, ["DURATION_INVALID"])
        for ttl in ("365", "0d", "-1d", "1h", "1.5d", "３d", "365d ", "100000d", "365d\n")
    ),
    ({**purpose("p", {"consent": {}}), "consent_ttl": 365}, ["WRONG_TYPE"]),
    ({**purpose("p", {"consent": {}}), "consent_tll": "365d"}, ["UNKNOWN_KEY"]),
]


@pytest.mark.parametrize(("entry", "expected"), PURPOSES)
def test_a_purpose_that_is_not_exactly_right_is_refused(
    entry: Mapping[str, object], expected: list[str]
) -> None:
    assert sorted(codes("Purposes", {"purposes": [entry]})) == sorted(expected)


def test_a_purpose_keeps_its_bases_and_their_evidence() -> None:
    assert dict(compiled().purposes["care"].bases) == {Basis.CONSENT: "", Basis.CONTRACT: "order_id"}


CLASSES: list[tuple[Mapping[str, object], list[str]]] = [
    ({"mobil": {}}, ["UNKNOWN_CLASS"]),
    ({"email": {"level": 0}}, ["OUT_OF_RANGE"]),
    ({"email": {"level": "2"}}, ["WRONG_TYPE"]),
    ({"email": {"ladder": []}}, ["EMPTY_LIST", "LADDER_INVALID"]),
    ({"email": {"ladder": ["reveal"]}}, ["LADDER_INVALID"]),
    ({"email": {"ladder": ["omit", "reveal"]}}, ["LADDER_INVALID"]),
    ({"email": {"ladder": ["token", "reveal", "omit"]}}, ["LADDER_INVALID"]),
    ({"email": {"ladder": ["reveal", "keep(3,4)", "omit"]}}, ["STEP_NOT_APPLICABLE"]),
    ({"email": {"ladder": ["reveal", "kep(3,4)", "omit"]}}, ["UNKNOWN_STEP"]),
    ({"email": {"ladder": ["reveal", "before(@)", "before(＠)", "omit"]}}, ["LADDER_INVALID"]),
    ({"email": {"ladder": ["reveal", "before(@,3)", "before(@,1)", "omit"]}}, ["LADDER_INVALID"]),
    ({"email": {"ladder": ["reveal", "before(@)", "after(@)", "omit"]}}, ["LADDER_INVALID"]),
    ({"number": {"ladder": ["reveal", "bucket(10)", "round(10)", "omit"]}}, ["LADDER_INVALID"]),
    ({"text": {"ladder": ["reveal", "regex(/(a/)", "omit"]}}, ["UNKNOWN_STEP"]),
    ({"email": {"floor": "keep(3,4)"}}, ["STEP_NOT_ON_LADDER"]),
    ({"email": {"floor": "nothing"}}, ["UNKNOWN_STEP"]),
    ({"email": {"floor": ["omit"]}}, ["WRONG_TYPE"]),
    ({"email": {"flor": "omit"}}, ["UNKNOWN_KEY"]),
    ({"mobile": {}}, ["DUPLICATE_NAME"]),
    ({"email": None}, ["WRONG_TYPE"]),
]


@pytest.mark.parametrize(("classes", "expected"), CLASSES)
def test_a_class_that_is_not_exactly_right_is_refused(
    classes: Mapping[str, object], expected: list[str]
) -> None:
    assert sorted(codes("FieldCatalog", {"classes": classes})) == sorted(expected)


@pytest.mark.parametrize("data_class", DataClass)
def test_every_class_can_do_without_a_ladder_of_its_own(data_class: DataClass) -> None:
    if data_class in ("mobile", "person_name", "resident_id"):
        return  # the shared catalogue has given them one
    spec = {"classes": {data_class.value: {}}, "fields": {"own": {"class": data_class.value}}}
    field = compiled(document("FieldCatalog", "own", spec)).fields["own"]
    assert field.floor == field.ladder.steps[0]


FIELDS: list[tuple[Mapping[str, object], list[str]]] = [
    ({"fields": {"own": {"class": "email"}}}, ["UNKNOWN_CLASS"]),
    ({"fields": {"own": {}}}, ["MISSING_KEY"]),
    ({"fields": {"phone": {"class": "mobile"}}}, ["DUPLICATE_NAME"]),
    ({"fields": {"Own": {"class": "mobile"}}}, ["NAME_INVALID"]),
    ({"fields": {"a.b": {"class": "mobile"}}}, ["NAME_INVALID"]),
    ({"fields": {"*": {"class": "mobile"}}}, ["NAME_INVALID"]),
    ({"fields": {"own": {"class": "mobile", "clas": "x"}}}, ["UNKNOWN_KEY"]),
    ({"attributes": {"customer": {"own": {"type": "date"}}}}, ["UNKNOWN_TYPE"]),
    ({"attributes": {"customer": {"own": {}}}}, ["MISSING_KEY"]),
    ({"attributes": {"customer": {"minor": {"type": "bool"}}}}, ["DUPLICATE_NAME"]),
    ({"attributes": {"customer": {"mi_nor": {"type": "bool"}}}}, ["DUPLICATE_NAME"]),
    (
        {"attributes": {"customer": {"own1": {"type": "bool"}, "own_1": {"type": "int"}}}},
        ["DUPLICATE_NAME"],
    ),
    ({"attributes": {"customer": {"a_b": {"type": "bool"}, "a__b": {"type": "int"}}}}, ["DUPLICATE_NAME"]),
    ({"attributes": {"principal": {"roles": {"type": "strings"}}}}, ["DUPLICATE_NAME"]),
    ({"attributes": {"principal": {"employment": {"type": "bool"}}}}, ["DUPLICATE_NAME"]),
    ({"attributes": {"customer": {"Own": {"type": "bool"}}}}, ["NAME_INVALID"]),
    ({"attributes": {"customer": {"own.x": {"type": "bool"}}}}, ["NAME_INVALID"]),
    ({"attributes": {"consent": {"state": {"type": "bool"}}}}, ["UNKNOWN_KEY"]),
    ({"attributes": {"customer": {"own": {"type": "bool", "personal": "yes"}}}}, ["WRONG_TYPE"]),
]


@pytest.mark.parametrize(("spec", "expected"), FIELDS)
def test_a_field_or_attribute_that_is_not_exactly_right_is_refused(
    spec: Mapping[str, object], expected: list[str]
) -> None:
    assert codes("FieldCatalog", spec) == expected


def test_fields_may_use_the_classes_of_a_later_document() -> None:
    uses = document("FieldCatalog", "a", {"fields": {"own": {"class": "email"}}})
    defines = document("FieldCatalog", "b", {"classes": {"email": {"level": 3}}})
    assert compiled(uses, defines).fields["own"].level == 3


REASONS: list[tuple[Mapping[str, object], list[str]]] = [
    ({"code": "CONSENT_MISSING", "message": TEXT}, ["REASON_CODE_INVALID"]),
    ({"code": "X_lower", "message": TEXT}, ["REASON_CODE_INVALID"]),
    ({"code": "X_", "message": TEXT}, ["REASON_CODE_INVALID"]),
    ({"code": "X_A\n", "message": TEXT}, ["REASON_CODE_INVALID"]),
    ({"code": "X_" + "A" * 62, "message": TEXT}, ["REASON_CODE_INVALID"]),
    ({"code": "X_A"}, ["MISSING_KEY"]),
    ({"code": "X_A", "message": {"zh": "文"}}, ["MISSING_KEY"]),
    ({"code": "X_A", "message": TEXT, "priority": 99}, ["OUT_OF_RANGE"]),
    ({"code": "X_A", "message": TEXT, "priority": 900}, ["OUT_OF_RANGE"]),
    ({"code": "X_A", "message": TEXT, "remedy": {"zh": "文", "en": "read {notice}"}}, ["NOT_YET_ENFORCED"]),
    ({"code": "X_A", "message": TEXT, "basis": []}, ["EMPTY_LIST"]),
]


@pytest.mark.parametrize(("entry", "expected"), REASONS)
def test_a_reason_that_is_not_exactly_right_is_refused(
    entry: Mapping[str, object], expected: list[str]
) -> None:
    """Priorities below 100 belong to reasons that come before any policy, from 900 to failures."""
    assert codes("Reasons", {"reasons": [entry]}) == expected


def test_a_reason_is_declared_once() -> None:
    entry = {"code": "X_A", "message": TEXT}
    assert codes("Reasons", {"reasons": [entry, entry]}) == ["DUPLICATE_NAME"]
