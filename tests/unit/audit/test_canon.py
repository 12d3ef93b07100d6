import datetime
import json
from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.canon import MAX_INT, canonical
from fujie.audit.errors import EntryInvalid

keys = st.text("abcXYZ019_.:-", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
scalars = texts | st.booleans() | st.integers(-MAX_INT, MAX_INT)
entries = st.dictionaries(
    keys, scalars | st.lists(texts, max_size=4) | st.dictionaries(keys, scalars, max_size=5)
)


@given(entries)
def test_bytes_equal_rfc_8785_on_our_value_domain(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(entries)
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


class _Name(StrEnum):
    A = "a"


@pytest.mark.parametrize(
    "value",
    [
        {"x": 1.0},
        {"x": float("nan")},
        {"x": None},
        {"x": MAX_INT + 1},
        {"x": -MAX_INT - 1},
        {"x": 2**70},
        {"x": "\ud800"},
        {"x": ["\udfff"]},
        {"x": "a\0b"},
        {"x": ["\0"]},
        {"x": {"y": "\\\0"}},
        {"x": b"bytes"},
        {"x": _Name.A},
        {"x": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)},
        {"x": {1.5}},
        {"é": 1},
        {"𝄞": 1},
        {"": 1},
        {"a b": 1},
        {"a\nb": 1},
        {"a\n": 1},
        {1: "x"},
        {_Name.A: "x"},
        {"x": {"y": {"z": {"w": {"v": 1}}}}},
    ],
)
def test_refuses_what_other_readers_could_read_differently(value: dict[str, Any]) -> None:
    with pytest.raises(EntryInvalid):
        canonical(value)


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\u0000b", "\u0001\\u0000"])
def test_text_that_only_looks_like_an_escaped_nul_is_kept(text: str) -> None:
    assert json.loads(canonical({"x": text})) == {"x": text}


@given(st.text("\\u0\0", max_size=12))
def test_nul_is_found_behind_any_run_of_backslashes(text: str) -> None:
    if "\0" in text:
        with pytest.raises(EntryInvalid):
            canonical({"x": text})
    else:
        assert json.loads(canonical({"x": text})) == {"x": text}


def test_the_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(EntryInvalid) as caught:
        canonical({"x": "13800138000\ud800"})
    assert "138" not in str(caught.value)
    assert caught.value.__cause__ is None
