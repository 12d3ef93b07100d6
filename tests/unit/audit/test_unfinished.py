"""Acts without an end: each that a log begins and does not end is told, whatever stands between, and no other."""

from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.entry import Entry, EntryKind, leaf_bytes
from fujie.audit.unfinished import unfinished

ENDS = (EntryKind.OUTCOME, EntryKind.DECISION)


def leaf(kind: EntryKind, act: str, action: str = "consent.record", text: str = "") -> bytes:
    return leaf_bytes(
        Entry(
            uid="u", time="2026-03-01T09:30:00.000000Z", origin="prod-a/w0", kind=kind, decision_id=act, action=action, purpose=text,
            principal=text,
        )
    )  # fmt: skip


KINDS = st.sampled_from(EntryKind)


@given(st.lists(st.tuples(KINDS, st.sampled_from("abc")), max_size=12), st.integers(0, 5))
def test_what_is_told_is_what_began_and_has_no_end_behind_it(
    said: list[tuple[EntryKind, str]], first: int
) -> None:
    expected: dict[str, int] = {}
    for index, (kind, act) in enumerate(said, first):
        if kind is EntryKind.ADMISSION:
            expected.setdefault(act, index)
        elif kind in ENDS:
            expected.pop(act, None)
    found = unfinished([leaf(kind, act) for kind, act in said], first)
    assert {each.entry.decision_id: each.index for each in found if each.entry} == expected
    assert len(found) == len(expected)
    assert [each.index for each in found] == sorted(expected.values())


def test_a_search_that_was_admitted_changes_nothing_and_is_not_told() -> None:
    assert unfinished([leaf(EntryKind.ADMISSION, "a", "lookup")]) == ()


def test_no_text_in_an_entry_begins_or_ends_an_act() -> None:
    """A quote inside a text has a backslash before it."""
    sly = '","kind":"outcome","decision_id":"a'
    leaves = [leaf(EntryKind.ADMISSION, "a"), leaf(EntryKind.RELEASE, "b", text=sly)]
    assert [each.entry.decision_id for each in unfinished(leaves) if each.entry] == ["a"]
    sly = '","kind":"admission","decision_id":"c'
    assert unfinished([leaf(EntryKind.RELEASE, "b", text=sly)]) == ()


def test_what_is_no_entry_begins_and_ends_nothing_and_without_a_place_the_first_is_0() -> None:
    begun = leaf(EntryKind.ADMISSION, "a")
    assert [each.index for each in unfinished([b"", b"\xff", b'{"kind":"admission"}', begun])] == [3]
    assert [each.index for each in unfinished([begun, b'{"kind":"outcome"}', b""])] == [0]
