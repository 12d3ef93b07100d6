"""The short way for mainland mobile numbers ends where the whole way does."""

import phonenumbers
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import timezone

from fujie.model.phone import NotAPhoneNumber, country_of, normalise, normalise_together, zones_of

# Every prefix of four digits that could be mistaken for a mobile's, with the lengths around eleven.
_DIGITS = st.builds(
    lambda prefix, rest: f"{prefix}{rest}",
    st.integers(100, 9999),
    st.text("0123456789", min_size=5, max_size=9),
)
_WRITTEN = st.builds(
    str.__add__, st.sampled_from(("", "+86", "86", "0086", "+", "0", "+1", "+852")), _DIGITS
)


def whole(text: str, region: str) -> str | None:
    """Return what `phonenumbers` makes of plain digits."""
    compact = "+" + text[2:] if text.startswith("00") else text
    try:
        number = phonenumbers.parse(compact, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def short(text: str, region: str) -> str | None:
    try:
        return normalise(text, region)
    except NotAPhoneNumber:
        return None


@given(_WRITTEN, st.sampled_from(("CN", "US", "HK")))
@example("13800138000", "US")
@example("17901380013", "CN")
def test_a_number_normalises_as_phonenumbers_says(text: str, region: str) -> None:
    assert short(text, region) == whole(text, region)


def test_every_mobile_prefix_normalises_as_phonenumbers_says() -> None:
    for prefix in range(1000, 2000):
        text = f"{prefix}1234567"
        assert short(text, "CN") == whole(text, "CN"), prefix
        assert short("+86" + text, "US") == whole("+86" + text, "US"), prefix


_MOBILES = st.builds("{}13{:09}".format, st.sampled_from(("", "+86")), st.integers(0, 999_999_999))


@given(
    st.lists(
        st.one_of(_MOBILES, _MOBILES, _WRITTEN, st.sampled_from(("", "13800138000\n", "1380013800٠"))),
        max_size=6,
    )
)
@example(["13800138000\n13800138000"])
@example(["13800138000\n", ""])
def test_many_numbers_normalise_together_as_each_does(texts: list[str]) -> None:
    together = normalise_together(texts)
    assert together is None or together == [short(text, "CN") for text in texts]


@given(st.lists(_MOBILES, min_size=1))
def test_plain_mobile_numbers_take_the_short_way_together(texts: list[str]) -> None:
    assert normalise_together(texts) is not None


def test_digits_of_other_scripts_are_no_short_way_in() -> None:
    for text in ("١٣٨٠٠١٣٨٠٠٠", "1380013800٠", "1380013800０"):
        assert short(text, "CN") in (None, "+8613800138000")
    assert short("1380013800٠", "CN") is None


@given(_DIGITS)
def test_country_and_zones_of_a_chinese_number_are_those_of_phonenumbers(digits: str) -> None:
    e164 = short("+86" + digits, "CN")
    if e164 is not None:
        number = phonenumbers.parse(e164)
        assert country_of(e164) == phonenumbers.region_code_for_number(number) == "CN"
        assert zones_of(e164) == tuple(sorted(timezone.time_zones_for_number(number)))
