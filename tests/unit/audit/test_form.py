"""A form gives the bytes of the whole entry, whatever is in it, and refuses what an entry may not hold."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.entry import MAX_ENTRY_BYTES, Entry, EntryKind, leaf_bytes
from fujie.audit.errors import EntryInvalid, EntryTooLarge
from fujie.audit.form import Form, Own

names = st.text("abc_.", min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
facts = texts | st.booleans() | st.integers(-9, 9) | st.lists(texts, max_size=3).map(tuple)
NAMES = (
    "action", "basis", "bundle", "decision_id", "effect", "engine", "on_behalf_of", "principal", "purpose", "request_digest",
    "store",
)  # fmt: skip
entries = st.builds(
    Entry,
    uid=texts.filter(bool),
    time=st.just("2026-11-21T08:00:00.000000Z"),
    origin=texts.filter(bool),
    kind=st.sampled_from(EntryKind),
    sids=st.lists(texts, max_size=3).map(tuple),
    fields=st.dictionaries(names, texts, max_size=3),
    reasons=st.lists(texts, max_size=3).map(tuple),
    facts=st.dictionaries(names, facts, max_size=4),
    sealed=st.dictionaries(names, texts, max_size=2),
    **dict.fromkeys(NAMES, texts),
)
PLAIN = Entry(uid="u1", time="2026-11-21T08:00:00.000000Z", origin="prod-a/w0", kind=EntryKind.DECISION)


def own(entry: Entry) -> Own:
    return Own(*[getattr(entry, name) for name in Own._fields])


@given(entries, entries)
def test_like_entries_have_the_bytes_that_each_has_alone(first: Entry, second: Entry) -> None:
    form = Form(first)
    for each in (first, second):
        alike = replace(first, **own(each)._asdict())
        assert form.leaf(own(alike)) == leaf_bytes(alike)


@pytest.mark.parametrize(
    "text", [',"time":"', '","time":"', ',"request_digest":', '\\","time":"x', ",", '"', "\\"]
)
@pytest.mark.parametrize("name", ["decision_id", "request_digest", "uid", "sids", "sealed"])
def test_what_an_entry_says_moves_no_part_of_it(name: str, text: str) -> None:
    said = {"sids": (text, "time", text), "sealed": {"request_digest": text, "time": text, "uid": text}}
    alike = replace(PLAIN, **{name: said.get(name, text)})  # type: ignore[arg-type]  # each of its type
    assert Form(PLAIN).leaf(own(alike)) == leaf_bytes(alike)


@pytest.mark.parametrize(
    "changes",
    [{"uid": ""}, {"time": ""}, {"time": "2026-11-21T08:00:00Z"}, {"decision_id": "a\0"}, {"sids": ("\ud800",)},
     {"sealed": {"no key": ""}}],
)  # fmt: skip
def test_what_an_entry_may_not_say_for_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EntryInvalid):
        Form(PLAIN).leaf(own(PLAIN)._replace(**changes))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("changes", [{"v": 2}, {"origin": ""}, {"facts": {"a": None}}, {"principal": "\0"}])
def test_what_entries_may_not_share_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EntryInvalid):
        Form(replace(PLAIN, **changes))  # type: ignore[arg-type]  # on purpose


def test_the_longest_entry_passes_and_one_byte_more_does_not() -> None:
    form = Form(PLAIN)
    room = MAX_ENTRY_BYTES - len(leaf_bytes(PLAIN))
    assert len(form.leaf(own(PLAIN)._replace(decision_id="x" * room))) == MAX_ENTRY_BYTES
    with pytest.raises(EntryTooLarge):
        form.leaf(own(PLAIN)._replace(decision_id="x" * (room + 1)))
