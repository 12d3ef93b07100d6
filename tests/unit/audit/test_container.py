"""The sealed file of an export: whatever is done to it, it reads the same or is known to be altered."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.container import (
    MAGIC,
    MOST_PART,
    Header,
    Part,
    Place,
    open_part,
    parts,
    read_header,
    seal_part,
)
from fujie.audit.errors import ContainerInvalid, EntryInvalid, SealBroken

HEADER = Header(
    "exports/" + "a" * 32, "2026-03-01T10:30:00Z", {"name": "reveal", "phone": "keep(3,4)"}, "csv"
)
ROWS = (b"first\r\n", b"", b"third, longer\r\n")
KEYS = tuple(bytes([n]) * 32 for n in range(9))
NONCE = b"n" * 12


def sealed(header: Header = HEADER, keys: tuple[bytes, ...] = KEYS) -> list[bytes]:
    """Return the pieces of a file: header, parts, end."""
    pieces = [header.encoded()]
    for number, plain in enumerate(ROWS):
        pieces.append(seal_part(plain, Place(number, number + 1), header.digest, keys[number], NONCE))
    end = Place(len(ROWS), 0, is_end=True)
    return [*pieces, seal_part(b"footer", end, header.digest, keys[len(ROWS)], NONCE)]


FILE = b"".join(sealed())


def read(file: bytes, keys: tuple[bytes, ...] = KEYS) -> tuple[Header, list[bytes], bool]:
    """Return header, what is in each part, and whether the end is there. Raises what tells of an alteration."""
    source = io.BytesIO(file)
    header, plain, is_whole = read_header(source.read), list[bytes](), False
    for part in parts(source.read):
        plain.append(open_part(part, header.digest, keys[part.place.number]))
        is_whole = part.place.is_end
    return header, plain, is_whole


def is_noticed(file: bytes) -> bool:
    """Tell whether a file is known not to be the one that was made."""
    try:
        _, _, is_whole = read(file)
    except (ContainerInvalid, SealBroken):
        return True
    return not is_whole


def test_a_file_reads_as_it_was_made() -> None:
    assert read(FILE) == (HEADER, [*ROWS, b"footer"], True)


def test_the_format_is_what_the_documentation_says_byte_by_byte() -> None:
    text = (
        b'{"expires":"2026-03-01T10:30:00Z","export":"exports/' + b"a" * 32 + b'",'
        b'"fields":{"name":"reveal","phone":"keep(3,4)"},"format":"csv"}'
    )
    header = b"FJX\r\n\x1a" + b"\x01" + len(text).to_bytes(4, "big") + text
    head = b"\x01" + b"\0\0\0\0" + b"\0\0\0\x01" + (12 + 7 + 16).to_bytes(4, "big")
    assert FILE.startswith(header + head + NONCE)
    end = b"\x02" + b"\0\0\0\x03" + b"\0\0\0\0" + (12 + 6 + 16).to_bytes(4, "big")
    assert FILE[-(13 + 12 + 6 + 16) :].startswith(end + NONCE)


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_noticed_wherever_it_is(at: int, change: int) -> None:
    assert is_noticed(FILE[:at] + bytes([FILE[at] ^ change]) + FILE[at + 1 :])


def test_every_flipped_bit_is_noticed() -> None:
    missed = [
        (at, bit)
        for at in range(len(FILE))
        for bit in range(8)
        if not is_noticed(FILE[:at] + bytes([FILE[at] ^ 1 << bit]) + FILE[at + 1 :])
    ]
    assert missed == []


@given(st.integers(0, len(FILE) - 1))
def test_a_cut_is_noticed_wherever_it_is(at: int) -> None:
    assert is_noticed(FILE[:at])


@given(st.integers(0, len(FILE)), st.integers(0, len(FILE)), st.binary(max_size=80))
def test_what_was_put_in_the_place_of_something_is_noticed_or_is_the_same(
    start: int, length: int, other: bytes
) -> None:
    altered = FILE[:start] + other + FILE[start + length :]
    assert is_noticed(altered) or altered == FILE


@given(st.lists(st.integers(0, 4), max_size=8))
def test_parts_in_another_order_or_number_are_noticed(order: list[int]) -> None:
    pieces = sealed()
    altered = b"".join(pieces[n] for n in order)
    assert is_noticed(altered) == (order != [0, 1, 2, 3, 4])


@given(st.integers(1, 4))
def test_a_part_of_another_file_is_noticed(place: int) -> None:
    """Even one under the same keys, and of one that differs in its lease alone."""
    longer = replace(HEADER, expires="2027-03-01T10:30:00Z")
    for others in (sealed(keys=KEYS[1:]), sealed(longer)):
        pieces = sealed()
        pieces[place] = others[place]
        assert is_noticed(b"".join(pieces))


def test_what_is_whole_of_a_file_that_was_cut_is_read() -> None:
    first = b"".join(sealed()[:3])
    assert read(first + sealed()[3][:-1]) == (HEADER, [*ROWS[:2]], False)


@pytest.mark.parametrize(
    "start",
    [b"", b"PK\x03\x04" * 9, MAGIC.replace(b"\r\n", b"\n") + FILE[6:], b"FJX", MAGIC, FILE[:20]],
)
def test_what_is_no_leased_file_is_told_so(start: bytes) -> None:
    with pytest.raises(ContainerInvalid):
        read_header(io.BytesIO(start).read)


def test_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(ContainerInvalid, match="version 2"):
        read_header(io.BytesIO(MAGIC + b"\x02" + FILE[7:]).read)


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        b'{"expires":"x","export":"e","fields":{"a":1},"format":"csv"}',
        b'{"expires":"x","export":"e","fields":{},"format":"csv","more":"m"}',
        b'{"export":"e","expires":"x","fields":{},"format":"csv"}',  # other bytes for the same
        b'{"expires":"x","export":"e","fields":[],"format":"csv"}',
        b'{"expires":"x","export":null,"fields":{},"format":"csv"}',
        b"not json",
        b"[" * 60_000,
    ],
)
def test_a_header_of_another_shape_is_refused(text: bytes) -> None:
    with pytest.raises(ContainerInvalid):
        read_header(io.BytesIO(MAGIC + b"\x01" + len(text).to_bytes(4, "big") + text).read)


def test_a_length_that_nobody_wrote_is_not_read() -> None:
    asked = list[int]()

    def reading(size: int) -> bytes:
        asked.append(size)
        return source.read(size)

    source = io.BytesIO(FILE[: len(HEADER.encoded())] + b"\x01" + bytes(8) + b"\xff" * 4)
    read_header(reading)
    with pytest.raises(ContainerInvalid):
        list(parts(reading))
    assert max(asked) < MOST_PART


def test_no_part_opens_without_a_key_of_32_bytes() -> None:
    part = Part(Place(0, 1), sealed()[1][13:])
    for key in (b"", b"k" * 31, KEYS[1]):
        with pytest.raises(SealBroken):
            open_part(part, HEADER.digest, key)


def test_a_header_that_can_not_be_read_back_is_not_written() -> None:
    with pytest.raises(EntryInvalid):
        replace(HEADER, export="exports/\0").encoded()


@pytest.mark.parametrize(
    "changes",
    [
        {"export": "exports/" + "a" * 31 + "\x1b"},
        {"export": "../../" + "a" * 32},
        {"expires": "\x1b]0;owned\x07"},
        {"expires": "2026-03-01T10:30:00Z\n"},
        {"expires": "[red]soon[/red]"},
        {"format": "xlsx"},
        {"fields": {"-1:A1": "reveal"}},
        {"fields": {"name": "\x1b[2Jreveal"}},
        {"fields": {"name": "\u202ereveal"}},
    ],
)
def test_a_header_that_would_steer_a_terminal_or_a_spreadsheet_is_none(changes: dict[str, object]) -> None:
    """Of a file without any part nothing proves the header, and it is shown all the same."""
    with pytest.raises(ContainerInvalid):
        read(replace(HEADER, **changes).encoded())  # type: ignore[arg-type] # any field of it
