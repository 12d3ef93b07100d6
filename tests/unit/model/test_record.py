"""The sealed record: every ordinary way to see, copy or send the values fails."""

import ast
import copy
import json
import pathlib
import pickle
from dataclasses import asdict, is_dataclass
from typing import Any

import pytest

from fujie.model.data_class import DataClass
from fujie.model.record import FieldTreatment, SealedRecord, open_columns_for_masking, open_for_masking
from fujie.model.step import parse_step

SECRET = "13800001234"
PACKAGE = pathlib.Path(__file__).parents[3] / "proxy" / "fujie"


DOORS = {"open_for_masking", "open_columns_for_masking"}


def sealed() -> Any:
    return SealedRecord({"phone": SECRET, "name": "张三"})


def test_it_opens_for_masking() -> None:
    assert open_for_masking(sealed()) == {"phone": SECRET, "name": "张三"}


def test_many_open_by_column_whatever_each_of_them_is_made_of() -> None:
    names = ("name", "phone")
    of_a_row = [SealedRecord(names, (f"n{n}", f"p{n}")) for n in range(3)]
    assert open_columns_for_masking(of_a_row, "-") == {
        "name": ("n0", "n1", "n2"), "phone": ("p0", "p1", "p2")
    }  # fmt: skip
    mixed = [
        *of_a_row[:1],
        SealedRecord({}),
        SealedRecord({"phone": "q", "name": "m"}),
        SealedRecord({"id": 7}),
    ]
    assert open_columns_for_masking(mixed, "-") == {
        "name": ["n0", "-", "m", "-"], "phone": ["p0", "-", "q", "-"], "id": ["-", "-", "-", 7]
    }  # fmt: skip
    assert open_columns_for_masking([], "-") == {}
    with pytest.raises(ValueError, match="zip"):
        open_for_masking(SealedRecord(names, ("one",)))


def test_only_mask_names_the_door() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Name) and node.id in DOORS)
        or (isinstance(node, ast.Attribute) and node.attr in DOORS)
        or (isinstance(node, ast.alias) and node.name in DOORS)
    }
    assert users == {"decision/mask.py"}


@pytest.mark.parametrize(
    "show", [repr, str, ascii, "{}".format, "{0!r:>60}".format, lambda r: f"{[r]} {(r,)}"]
)
def test_printing_shows_the_number_of_fields_only(show: Any) -> None:
    text = show(sealed())
    assert "2 fields" in text
    assert not any(word in text for word in (SECRET, "phone", "name", "张"))


@pytest.mark.parametrize(
    "attempt",
    [
        pickle.dumps, copy.copy, copy.deepcopy, json.dumps, iter, len, list, dict, vars, asdict,
        lambda r: r["phone"], lambda r: r.phone, lambda r: r.values, lambda r: "phone" in r, lambda r: {**r},
        lambda r: setattr(r, "note", 1), lambda r: r.__getstate__().decode(),
    ],
)  # fmt: skip
def test_no_ordinary_way_leads_in(attempt: Any) -> None:
    with pytest.raises((TypeError, AttributeError)) as refused:
        attempt(sealed())
    assert SECRET not in str(refused.value)


def test_pickling_is_refused_by_every_protocol() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            pickle.dumps(sealed(), protocol)


def test_no_public_attribute_holds_a_value() -> None:
    record = sealed()
    public = [getattr(record, name) for name in dir(record) if not name.startswith("_")]
    assert public == []
    assert not is_dataclass(record)


def test_equal_contents_can_not_be_probed_by_comparison() -> None:
    assert sealed() != sealed()


def test_it_keeps_its_own_copy() -> None:
    values: dict[str, object] = {"phone": SECRET}
    record = SealedRecord(values)
    values["phone"] = "changed"
    assert open_for_masking(record) == {"phone": SECRET}


def test_a_field_treatment_is_a_value() -> None:
    step = parse_step("keep(3,4)")
    assert FieldTreatment(step, DataClass.MOBILE) == FieldTreatment(
        parse_step("keep(3,4)"), DataClass.MOBILE
    )
