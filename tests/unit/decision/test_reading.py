"""The plain form of a text, and the way back to the original."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.reading import read


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""), ("abc 138\t\n", "abc 138\t\n"), ("１３８", "138"), ("姓名：张三", "姓名:张三"), ("1\u200b3\u00ad8\ufeff", "138"),
        ("1\u03013\u20dd8", "138"), ("1\ufe0f\u20e33\ufe0f\u20e3", "13"), ("1\x003\x7f8", "138"), ("\u202e138\u202c", "138"),
        ("𝟙𝟛𝟠", "138"), ("①❸⑧", "138"), ("٠١٢", "012"), ("⑩", "10"), ("1\u31643\u28008", "1 3 8"), ("a\ud800b", "ab"), ("🀄", "🀄"),
        ("\U000e0031\U000e0033", ""), ("1\u00a03\u30008", "1 3 8"),
    ],
)  # fmt: skip
def test_the_plain_form_is_what_a_person_reads(text: str, plain: str) -> None:
    assert read(text).plain == plain


@given(st.text(st.characters() | st.sampled_from("１３⑩\u200b\u0301ﷺ\0\ud800一"), max_size=60))
def test_every_plain_character_knows_where_it_came_from(text: str) -> None:
    reading = read(text)
    assert len(reading.plain) == len(reading.origins)
    assert list(reading.origins) == sorted(reading.origins)
    assert all(0 <= origin < len(text) for origin in reading.origins)
    for place, origin in enumerate(reading.origins):
        assert reading.plain[place] in read(text[origin]).plain
        start, end = reading.original(place, place + 1)
        assert (start, end) == (origin, origin + 1)
