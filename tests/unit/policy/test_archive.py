"""A bundle file has one spelling, and every byte of it counts."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.policy.archive import (
    MAGIC,
    MAX_BYTES,
    MAX_FILES,
    MAX_REVISION,
    ArchiveInvalid,
    Manifest,
    build,
    read,
)

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
MANIFEST = Manifest(DIGEST, 7, MADE, provenance={"commit": "c0ffee", "branch": "main"})
FILES = {"a/x.yaml": b"one\n", "a/y.yml": "二\n".encode()}
LINE = "— alice AAAA"

parts = st.from_regex(r"[\w][\w. -]{0,8}", fullmatch=True)
names = st.builds(
    lambda folders, name: "/".join([*folders, f"{name}.yaml"]), st.lists(parts, max_size=3), parts
)
files = st.dictionaries(names, st.binary(min_size=1, max_size=200), min_size=1, max_size=5)


instants = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(files, st.integers(1, MAX_REVISION), st.none() | instants)
def test_what_was_built_is_read_again_and_has_the_same_bytes(
    files: dict[str, bytes], revision: int, expires: datetime | None
) -> None:
    manifest = Manifest(DIGEST, revision, MADE, expires)
    built = build(manifest, files)
    again = read(built.encoded)
    assert (again.manifest, dict(again.files), again.lines) == (manifest, files, ())
    assert again.encoded == built.encoded
    assert build(manifest, dict(reversed(files.items()))).encoded == built.encoded


def test_the_order_of_signing_makes_no_difference() -> None:
    built = build(MANIFEST, FILES)
    one, other = (built.with_line(f"— {name} AAAA") for name in ("alice", "bob"))
    both = one.with_line("— bob AAAA")
    assert both.encoded == other.with_line("— alice AAAA").encoded == both.with_line("— bob AAAA").encoded
    assert read(both.encoded).lines == ("— alice AAAA", "— bob AAAA")
    assert read(both.encoded).note == built.note, "what is signed does not change by signing"


def test_no_byte_of_manifest_and_files_can_be_changed_without_changing_what_was_signed() -> None:
    """Every byte, to every neighbour that differs in one bit: refused, or another note than the one that was signed."""
    good = build(MANIFEST, FILES).with_line(LINE)
    content = good.encoded
    for place in range(len(content)):
        for bit in range(8):
            altered = content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
            try:
                found = read(altered)
            except ArchiveInvalid:
                continue
            assert (found.note, found.lines) != (good.note, good.lines), f"byte {place}, bit {bit}"


@given(st.integers(0, 10_000))
def test_a_bundle_that_was_cut_off_is_refused(end: int) -> None:
    content = build(MANIFEST, FILES).with_line(LINE).encoded
    with pytest.raises(ArchiveInvalid):
        read(content[: end % len(content)])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_bundle_or_are_refused(content: bytes) -> None:
    for whole in (content, f"{MAGIC}\n".encode() + content, f"{MAGIC}\n{{}}\n\n".encode() + content):
        with pytest.raises(ArchiveInvalid):
            read(whole)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/a.yaml", "../a.yaml", "a/../b.yaml", "./a.yaml", "a//b.yaml", "a/.hidden.yaml", "..yaml", ".yaml",
        "a\\b.yaml", "c:a.yaml", "a.yaml/", "a.yaml/b", "a.txt", "a.YAML", "a\n.yaml", "a\x00.yaml", "\u202ea.yaml",
        "a\ud800.yaml", "", "x" * 196 + ".yaml",
    ],
)  # fmt: skip
def test_a_file_name_that_could_leave_a_directory_or_deceive_is_refused(name: str) -> None:
    with pytest.raises(ArchiveInvalid):
        build(MANIFEST, {name: b"x"})


def test_names_are_of_any_script() -> None:
    assert "策略/营销.yaml" in read(build(MANIFEST, {"策略/营销.yaml": b"x"}).encoded).files


def altered(change: Callable[[dict[str, Any]], object], body: bytes = b"".join(FILES.values())) -> bytes:
    """Return the bundle with a changed manifest, spelled canonically."""
    plain = json.loads(build(MANIFEST, FILES).note.split("\n")[1])
    change(plain)
    return f"{MAGIC}\n{json.dumps(plain, sort_keys=True, separators=(',', ':'))}\n\n\n".encode() + body


def first(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain["files"][0].update(values)


def test_an_unchanged_manifest_is_accepted_by_the_test_that_changes_them() -> None:
    assert read(altered(lambda plain: None)).files == FILES


REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "another key": lambda plain: plain.update(extra=1),
    "no revision": lambda plain: plain.pop("revision"),
    "revision 0": lambda plain: plain.update(revision=0),
    "revision below 0": lambda plain: plain.update(revision=-1),
    "a revision that is true": lambda plain: plain.update(revision=True),
    "a fraction": lambda plain: plain.update(revision=1.5),
    "a whole fraction": lambda plain: plain.update(revision=7.0),
    "a text": lambda plain: plain.update(revision="7"),
    "a revision that readers round": lambda plain: plain.update(revision=MAX_REVISION + 1),
    "not a number": lambda plain: plain.update(revision=float("nan")),
    "no digest": lambda plain: plain.update(digest="sha256:0"),
    "another digest": lambda plain: plain.update(digest="md5:" + "0" * 32),
    "a list as digest": lambda plain: plain.update(digest=[]),
    "a local time": lambda plain: plain.update(created="2026-01-02T03:04:05+08:00"),
    "a day": lambda plain: plain.update(created="2026-01-02"),
    "a short day": lambda plain: plain.update(created="2026-1-2T03:04:05Z"),
    "an end that is none": lambda plain: plain.update(expires=None),
    "an end that never comes": lambda plain: plain.update(expires="2026-02-30T00:00:00Z"),
    "a provenance of other kinds": lambda plain: plain.update(provenance={"host": "x"}),
    "a long provenance": lambda plain: plain.update(provenance={"builder": "x" * 201}),
    "a provenance with a line break": lambda plain: plain.update(provenance={"builder": "a\nb"}),
    "no files": lambda plain: plain.update(files=[]),
    "files as an object": lambda plain: plain.update(files={}),
    "a file as a text": lambda plain: plain.update(files=["a.yaml"]),
    "a file of another size": first(size=5),
    "a file of no size": first(size=0),
    "a file of negative size": first(size=-4),
    "a file of a huge size": first(size=2**60),
    "a file with another digest": first(sha256="0" * 64),
    "a file with a digest that is none": first(sha256=None),
    "a file with a mode": first(mode=7),
    "a file left out": lambda plain: plain["files"].pop(),
    "a file twice": lambda plain: plain["files"].append(plain["files"][-1]),
    "files in another order": lambda plain: plain["files"].reverse(),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_a_manifest_that_says_too_much_too_little_or_something_else_is_refused(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(ArchiveInvalid):
        read(altered(change))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"revision":7', b'"revision": 7'),
        (b'"revision":7', b'"revision":7,"revision":7'),
        (b'"revision":7', b'"revision":7e0'),
        (b'"revision":7', b'"revision":07'),
        (b"c0ffee", b"c\\u0030ffee"),
        (b'{"branch"', b'{\r"branch"'),
    ],
)
def test_a_manifest_in_another_spelling_is_refused(before: bytes, after: bytes) -> None:
    content = build(MANIFEST, FILES).encoded
    assert before in content
    with pytest.raises(ArchiveInvalid, match="canonical"):
        read(content.replace(before, after, 1))


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(ArchiveInvalid):
        read(f"{MAGIC}\n{'[' * 200_000}\n\n\n".encode())


def test_signature_lines_have_one_order_and_stand_once() -> None:
    good = build(MANIFEST, FILES)
    for lines in (("— b AAAA", "— a AAAA"), ("— a AAAA", "— a AAAA")):
        with pytest.raises(ArchiveInvalid, match="signature lines"):
            read(replace(good, lines=lines).encoded)


def test_what_is_too_large_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(ArchiveInvalid, match="larger"):
        read(b"x" * (MAX_BYTES + 1))
    with pytest.raises(ArchiveInvalid, match="larger"):
        build(MANIFEST, {"a.yaml": b"x" * MAX_BYTES})
    with pytest.raises(ArchiveInvalid, match="files"):
        build(MANIFEST, {f"{number}.yaml": b"x" for number in range(MAX_FILES + 1)})
    with pytest.raises(ArchiveInvalid, match="no end"):
        read(f"{MAGIC}\n{' ' * 2_000_000}\n\n\n".encode())
