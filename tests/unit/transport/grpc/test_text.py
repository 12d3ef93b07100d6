from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.errors import RequestError
from fujie.transport.grpc import text


@pytest.mark.parametrize(
    "evil",
    [
        "a\x00b",
        "a\nb",
        "a\r\nb",
        "\x1b[31mred",
        "a\x7f",
        "a\x9bm",
        "a\u2028b",
        "a\u2029b",
        "\ud800",
        "x\udfff",
        "\t",
    ],
)
def test_text_that_could_forge_a_log_line_is_refused(evil: str) -> None:
    with pytest.raises(RequestError) as caught:
        text.clean(evil, "ticket", 100)
    assert (caught.value.code, caught.value.field) == ("TEXT_INVALID", "ticket")


@pytest.mark.parametrize("honest", ["", "欧阳·震华", "C-0001", "a b", "👩‍👩‍👧", "é", "Ａ"])
def test_honest_text_passes_unchanged(honest: str) -> None:
    assert honest == text.clean(honest, "ticket", 100)


def test_the_cap_counts_code_points_and_is_inclusive() -> None:
    assert text.clean("字" * 10, "f", 10) == "字" * 10
    with pytest.raises(RequestError, match="longer than 10"):
        text.clean("字" * 11, "f", 10)


@given(st.text(st.characters(exclude_categories=())))
def test_what_passes_is_encodable_and_one_line_and_what_fails_is_not_quoted(value: str) -> None:
    try:
        passed = text.clean(value, "f", 50)
    except RequestError as error:
        told = str(error)
    else:
        assert passed.encode("utf-8").decode() == value
        assert len(value.splitlines()) <= 1
        return
    assert len(value) < 5 or value not in told


@pytest.mark.parametrize("blank", ["", " ", "\u3000", "\u00a0"])
def test_a_name_must_not_be_blank(blank: str) -> None:
    with pytest.raises(RequestError, match="empty"):
        text.named(blank, "f")


@pytest.mark.parametrize("entries", [["a", ""], ["a", "a"], ["a"] * 65, [str(n) for n in range(65)]])
def test_a_list_has_no_empty_no_repeated_and_no_65th_entry(entries: list[str]) -> None:
    with pytest.raises(RequestError):
        text.each(entries, "f")


def test_a_list_keeps_its_order() -> None:
    assert text.each(["b", "a"], "f") == ("b", "a")


@pytest.mark.parametrize("unbounded", [[], ["*"], ["name", "*"]])
def test_an_unbounded_mask_is_refused(unbounded: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        text.mask(unbounded, "read_mask")
    assert caught.value.code == "FIELDS_UNBOUNDED"


@pytest.mark.parametrize(
    "path",
    [
        "a.b",
        "*.a",
        "a.*",
        "",
        " ",
        "a,b",
        "a b",
        "`a`",
        "a*",
        "1a",
        "名",
        "a\x00",
        "a;drop",
        "ａ",
        "x" * 129,
    ],
)
def test_a_path_that_is_not_one_plain_name_is_refused(path: str) -> None:
    with pytest.raises(RequestError) as caught:
        text.mask(["name", path], "read_mask")
    assert (caught.value.code, caught.value.field) == ("ARGUMENT_INVALID", "read_mask")


def test_a_mask_comes_sorted_and_without_duplicates() -> None:
    assert text.mask(["phone", "name", "phone"], "read_mask") == ("name", "phone")


def test_a_mask_that_was_asked_before_is_no_other() -> None:
    for _ in range(2):
        assert text.mask(["name", "phone"], "read_mask") == ("name", "phone")
        assert text.mask(["name"], "read_mask") == ("name",)
        assert text.mask(["namephone"], "read_mask") == ("namephone",)
        for field in ("read_mask", "other"):
            with pytest.raises(RequestError) as caught:
                text.mask(["name", "*"], field)
            assert caught.value.field == field


def test_a_path_that_is_named_a_hundred_thousand_times_is_one_and_is_not_kept_so_often() -> None:
    text._mask.cache_clear()
    for count in (100_000, 100_001):
        assert text.mask(["name"] * count, "read_mask") == ("name",)
    assert text._mask.cache_info().currsize == 1


def test_a_mask_of_a_hundred_thousand_paths_is_refused() -> None:
    with pytest.raises(RequestError, match="more than 128"):
        text.mask([f"f{n}" for n in range(100_000)], "read_mask")


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (0, 0),
        (-1, 0),
        (946_684_799, 999_999_999),
        (253_402_300_800, 0),
        (2**62, 0),
        (-(2**62), 0),
        (1_700_000_000, -1),
        (1_700_000_000, 1_000_000_000),
    ],
)
def test_a_time_out_of_range_is_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(RequestError):
        text.moment(Timestamp(seconds=seconds, nanos=nanos), "consent.event_time")


def test_a_time_is_utc_and_cut_to_microseconds() -> None:
    stamp = Timestamp(seconds=1_777_863_721, nanos=123_456_999)
    assert datetime(2026, 5, 4, 3, 2, 1, 123_456, UTC) == text.moment(stamp, "f")


@given(
    st.lists(st.text(max_size=12) | st.sampled_from(["a\x00b", "\ud800", "x" * 200, "\u2028"]), max_size=7)
)
def test_texts_that_are_told_at_once_to_be_clean_are_so_one_by_one(values: list[str]) -> None:
    if text.are_short(values):
        assert [text.clean(value, "ticket", text.NAME) for value in values] == values
    else:
        assert sum(map(len, values)) > text.NAME or any(text._FORBIDDEN.search(value) for value in values)
