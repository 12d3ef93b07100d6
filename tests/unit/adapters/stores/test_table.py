"""The spellings of a number lead to that number and to no other."""

from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.stores.table import PhoneFormat, spellings
from fujie.model.phone import NotAPhoneNumber, normalise


@given(st.integers(10**9, 10**12).map(str) | st.integers(13 * 10**9, 20 * 10**9).map(str))
def test_every_national_spelling_normalises_to_its_own_number_or_to_none(text: str) -> None:
    try:
        number = normalise(text)
    except NotAPhoneNumber:
        return
    forms = spellings(number, PhoneFormat.NATIONAL)
    assert number in forms
    assert len(forms) == 4
    for form in forms:
        try:
            assert normalise(form) == number
        except NotAPhoneNumber:
            continue


def test_foreign_numbers_have_one_spelling() -> None:
    assert set(spellings("+12025550143", PhoneFormat.NATIONAL)) == {"+12025550143"}
    assert set(spellings("+85291234567", PhoneFormat.NATIONAL)) == {"+85291234567"}


def test_e164_is_one_spelling() -> None:
    assert spellings("+8613800138000", PhoneFormat.E164) == ("+8613800138000",)
