"""Segmentation, against two libraries that we did not write and against what the standard says.

Where they are wrong, they are not asked: smpplib cuts pairs and has a grave accent where the section sign belongs;
aiosmpplib counts characters of the extension table as one septet when it cuts.
"""

import pytest
from aiosmpplib.codec import GSM_BASIC_DECODE_MAP, GSM_EXTENDED_DECODE_MAP, GSM7BitCodec
from aiosmpplib.utils import split_sms_udh
from hypothesis import example, given
from hypothesis import strategies as st
from smpplib import gsm as smpplib_gsm

from fujie.model.segments import is_gsm7, parts, segments, septets

_BASIC = "".join(GSM_BASIC_DECODE_MAP.values())
_EXTENSION = "".join(GSM_EXTENDED_DECODE_MAP.values())

basic_texts = st.text(_BASIC, max_size=700)
gsm_texts = st.text(_BASIC + _EXTENSION * 5, max_size=700)
ucs2_texts = st.text(st.sampled_from("中退订R 😀🀄é【】"), min_size=1, max_size=300).map(
    lambda text: text + "。"
)
any_texts = st.one_of(gsm_texts, ucs2_texts, st.text(max_size=400))


def _units(text: str) -> int:
    return len(text.encode("utf-16-be")) // 2


@given(any_texts)
@example("😀" * 71)
@example("a" * 152 + "€" + "b" * 20)
def test_joined_parts_are_the_text_and_each_can_be_read_alone(text: str) -> None:
    cut = parts(text)
    assert "".join(cut) == text
    for part in cut:
        assert part.encode("utf-16-be").decode("utf-16-be") == part
    if is_gsm7(text):
        assert GSM7BitCodec().decode(b"".join(map(septets, cut)))[0] == text
        assert all(GSM7BitCodec().decode(septets(part))[0] == part for part in cut)


@given(any_texts)
def test_no_part_is_longer_than_a_message_carries(text: str) -> None:
    cut = parts(text)
    size, one, each = (lambda part: len(septets(part)), 160, 153) if is_gsm7(text) else (_units, 70, 67)
    assert all(size(part) <= (one if len(cut) == 1 else each) for part in cut)


@given(any_texts)
def test_no_way_of_cutting_between_characters_needs_fewer_parts(text: str) -> None:
    size, one, each = (lambda part: len(septets(part)), 160, 153) if is_gsm7(text) else (_units, 70, 67)
    sizes = [size(character) for character in text]
    fewest = [0]
    start = 0
    for end in range(1, len(sizes) + 1):
        while sum(sizes[start:end]) > each:
            start += 1
        fewest.append(fewest[start] + 1)
    assert len(parts(text)) == (1 if sum(sizes) <= one else fewest[-1])


@given(ucs2_texts)
def test_ucs2_parts_are_those_of_aiosmpplib(text: str) -> None:
    theirs = split_sms_udh(text, "ucs2", 1)
    bodies = [theirs[0][1:]] if len(theirs) == 1 else [part[6:] for part in theirs]
    assert [part.encode("utf-16-be") for part in parts(text)] == bodies


@given(st.text(st.characters(max_codepoint=0xD7FF), min_size=1, max_size=300).map(lambda text: text + "。"))
def test_ucs2_parts_without_surrogates_are_those_of_smpplib(text: str) -> None:
    theirs, _, flags = smpplib_gsm.make_parts(text)
    assert [part.encode("utf-16-be") for part in parts(text)] == [p[6:] if flags else p for p in theirs]


@given(basic_texts.map(lambda text: text.replace("§", "")))
def test_gsm7_parts_without_escapes_are_those_of_smpplib(text: str) -> None:
    theirs, _, flags = smpplib_gsm.make_parts(text)
    assert [septets(part) for part in parts(text)] == [p[6:] if flags else p for p in theirs]


@given(st.text(st.characters(max_codepoint=0x20FF), max_size=50))
def test_the_alphabet_and_its_codes_are_those_of_aiosmpplib(text: str) -> None:
    assert is_gsm7(text) == GSM7BitCodec.is_gsm_text(text)
    if is_gsm7(text):
        assert septets(text) == GSM7BitCodec().encode(text)[0]


def test_every_character_of_both_tables_has_the_code_that_aiosmpplib_and_smpplib_give_it() -> None:
    assert [septets(character) for character in _BASIC] == [bytes((code,)) for code in GSM_BASIC_DECODE_MAP]
    assert [septets(c) for c in _EXTENSION] == [bytes((0x1B, code)) for code in GSM_EXTENDED_DECODE_MAP]
    shared = (_BASIC + _EXTENSION).replace("§", "").replace("\f", "")
    assert septets(shared) == smpplib_gsm.gsm_encode(shared)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" * 100, 3),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("中" * 134, 2),
        ("中" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
    ],
)
def test_lengths_at_the_boundaries(text: str, count: int) -> None:
    assert len(parts(text)) == count
    assert segments(text, "US") == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 70, 1),
        ("a" * 71, 2),
        ("a" * 134, 2),
        ("a" * 135, 3),
        ("中" * 160, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_the_mainland_bills_every_character_alike(text: str, count: int) -> None:
    """160 characters are 67 + 67 + 26 in the example of Alibaba Cloud."""
    assert segments(text, "CN") == count


def test_a_text_of_another_alphabet_is_refused_without_telling_it() -> None:
    with pytest.raises(ValueError, match=r"^not a text of the GSM 7-bit alphabet$") as caught:
        septets("code 中 4711")
    assert caught.value.__suppress_context__
