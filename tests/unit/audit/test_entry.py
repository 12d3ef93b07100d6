import dataclasses
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.entry import MAX_ENTRY_BYTES, Entry, EntryKind, leaf_bytes, parse_entry
from fujie.audit.errors import EntryInvalid, EntryTooLarge

KEYS = [
    "v",
    "uid",
    "time",
    "origin",
    "kind",
    "decision_id",
    "principal",
    "on_behalf_of",
    "action",
    "purpose",
    "basis",
    "store",
    "sids",
    "fields",
    "effect",
    "reasons",
    "facts",
    "sealed",
    "bundle",
    "request_digest",
    "engine",
]

names = st.text("abc_.", min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
facts = st.dictionaries(
    names, texts | st.booleans() | st.integers(-9, 9) | st.lists(texts, max_size=3).map(tuple)
)
built = st.builds(
    Entry,
    uid=texts.filter(bool),
    time=st.just("2026-11-21T08:00:00.000000Z"),
    origin=st.just("prod-a/w0"),
    kind=st.sampled_from(EntryKind),
    principal=texts,
    sids=st.lists(texts, max_size=3).map(tuple),
    fields=st.dictionaries(names, texts, max_size=3),
    reasons=st.lists(texts, max_size=3).map(tuple),
    facts=facts,
    sealed=st.dictionaries(names, texts, max_size=2),
)


def entry(**changes: Any) -> Entry:
    made = Entry(uid="u1", time="2026-11-21T08:00:00.000000Z", origin="prod-a/w0", kind=EntryKind.DECISION)
    return dataclasses.replace(made, **changes)


def test_the_key_set_is_always_the_whole_one() -> None:
    assert json.loads(leaf_bytes(entry())).keys() == set(KEYS)


def test_bytes_are_fixed_for_ever() -> None:
    assert leaf_bytes(entry(facts={"b": 1, "a": ("x", "y")}, sids=("s1",))) == (
        b'{"action":"","basis":"","bundle":"","decision_id":"","effect":"","engine":"","facts":{"a":["x","y"],"b":1},'
        b'"fields":{},"kind":"decision","on_behalf_of":"","origin":"prod-a/w0","principal":"","purpose":"",'
        b'"reasons":[],"request_digest":"","sealed":{},"sids":["s1"],"store":"",'
        b'"time":"2026-11-21T08:00:00.000000Z","uid":"u1","v":1}'
    )


@given(built)
def test_parse_gives_back_the_entry_and_its_bytes_are_rfc_8785(value: Entry) -> None:
    leaf = leaf_bytes(value)
    assert parse_entry(leaf) == value
    assert rfc8785.dumps(json.loads(leaf)) == leaf


def test_an_entry_of_exactly_the_limit_is_taken_and_one_byte_more_is_refused() -> None:
    room = MAX_ENTRY_BYTES - len(leaf_bytes(entry()))
    assert len(leaf_bytes(entry(principal="x" * room))) == MAX_ENTRY_BYTES
    with pytest.raises(EntryTooLarge):
        leaf_bytes(entry(principal="x" * (room + 1)))


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"uid": ""},
        {"origin": ""},
        {"time": "2026-11-21T08:00:00Z"},
        {"time": "2026-11-21T08:00:00.000000+00:00"},
        {"time": "2026-11-21T08:00:00.000000Z\n"},
        {"time": "٢٠٢٦-11-21T08:00:00.000000Z"},
        {"facts": {"x": 1.5}},
        {"facts": {"名": 1}},
        {"principal": "a\0b"},
    ],
)
def test_refuses_an_entry_that_is_not_of_its_form(changes: dict[str, Any]) -> None:
    with pytest.raises(EntryInvalid):
        leaf_bytes(entry(**changes))


def _twisted(**changes: Any) -> bytes:
    return rfc8785.dumps({**json.loads(leaf_bytes(entry())), **changes})


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        leaf_bytes(entry()) + b" ",
        leaf_bytes(entry()).replace(b'"v":1', b'"v":1,"v":1'),
        leaf_bytes(entry()).replace(b'"v":1', b'"v":1.0'),
        _twisted(extra="x"),
        _twisted(v=2),
        _twisted(v=True),
        _twisted(kind="other"),
        _twisted(kind=[]),
        _twisted(sids="abc"),
        _twisted(sids=[1]),
        _twisted(fields=[]),
        _twisted(fields={"phone": 1}),
        _twisted(facts={"a": None}),
        _twisted(facts={"a": {"b": "c"}}),
        _twisted(facts={"a": [1]}),
        _twisted(sealed={"s": []}),
        _twisted(uid=1),
    ],
)
def test_parse_refuses_other_bytes_than_an_entry_encodes_to(leaf: bytes) -> None:
    with pytest.raises(EntryInvalid):
        parse_entry(leaf)
