"""Check digits: one changed or two swapped characters are noticed, as the standards promise."""

from hypothesis import assume, given
from hypothesis import strategies as st

from fujie.decision.checks import USCC_CHARACTERS, is_luhn, is_resident_id, is_uscc

DIGITS = st.text("0123456789", min_size=12, max_size=18)
ID_BODY = st.from_regex(r"\A(11|31|44|65|81)[0-9]{4}19[0-9]{2}0[1-9]1[0-9]{4}\Z")
USCC_BODY = st.text(USCC_CHARACTERS, min_size=17, max_size=17)


def with_check(body: str, alphabet: str, check: object) -> str:
    fitting = [body + c for c in alphabet if check(body + c)]  # type: ignore[operator] # any of the three
    assert len(fitting) == 1
    return fitting[0]


@given(ID_BODY, USCC_BODY, DIGITS)
def test_every_body_has_exactly_one_check_character(id_body: str, uscc_body: str, digits: str) -> None:
    with_check(id_body, "0123456789X", is_resident_id)
    with_check(uscc_body, USCC_CHARACTERS, is_uscc)
    with_check(digits, "0123456789", is_luhn)


@given(ID_BODY, st.integers(2, 16), st.sampled_from("0123456789"))
def test_a_mistyped_resident_id_is_none(body: str, place: int, other: str) -> None:
    number = with_check(body, "0123456789X", is_resident_id)
    assume(number[place] != other)
    assert not is_resident_id(number[:place] + other + number[place + 1 :])


@given(USCC_BODY, st.integers(0, 15))
def test_two_swapped_characters_make_no_code(body: str, place: int) -> None:
    code = with_check(body, USCC_CHARACTERS, is_uscc)
    assume(code[place] != code[place + 1])
    assert not is_uscc(code[:place] + code[place + 1] + code[place] + code[place + 2 :])


@given(DIGITS, st.integers(0, 11), st.sampled_from("0123456789"))
def test_a_mistyped_card_is_none(body: str, place: int, other: str) -> None:
    number = with_check(body, "0123456789", is_luhn)
    assume(number[place] != other)
    assert not is_luhn(number[:place] + other + number[place + 1 :])


def test_published_examples_hold() -> None:
    assert is_resident_id("11010519491231002X")  # GB 11643
    assert is_uscc("91350100M000100Y43")  # GB 32100
    assert is_luhn("4111111111111111")
    assert not is_resident_id("99010519491231002X")
    assert is_resident_id("110105491231002")
    assert not is_resident_id("990105491231002")
