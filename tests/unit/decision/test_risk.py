"""The grade of what is asked for: the documented table, and that more of anything never makes it lower."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.risk import TIERS, Exposed, Exposure, Grade, Sign, grade

ORDER = list(Grade)
NOON = Exposure((), 1, 0, 12, 3)

exposures = st.builds(
    Exposure,
    st.lists(st.builds(Exposed, st.integers(1, 4), st.booleans()), max_size=4).map(tuple),
    st.integers(0, 40_000),
    st.integers(0, 40_000),
    st.integers(0, 23),
    st.integers(1, 7),
)


@pytest.mark.parametrize(
    ("level", "is_revealed", "high_from"),
    [(4, True, 25), (4, False, 250), (3, True, 250), (3, False, 2_500), (2, True, 2_500), (1, True, 2_500),
     (2, False, 25_000), (1, False, 25_000)],
)  # fmt: skip
def test_each_kind_of_data_has_the_tier_that_the_page_says(
    level: int, is_revealed: bool, high_from: int
) -> None:
    def of(rows: int) -> Grade:
        return grade(replace(NOON, fields=(Exposed(level, is_revealed),), rows=rows)).grade

    medium_from = -(-high_from // 10)
    assert [of(high_from), of(high_from - 1), of(medium_from), of(medium_from - 1)] == [
        Grade.HIGH, Grade.MEDIUM, Grade.MEDIUM, Grade.LOW,
    ]  # fmt: skip


def test_what_shows_nothing_is_the_mildest_kind() -> None:
    assert grade(replace(NOON, rows=TIERS[-1])).grade is Grade.HIGH
    assert grade(replace(NOON, rows=TIERS[-2] - 1)).grade is Grade.LOW


def test_what_was_taken_before_counts_and_the_hour_raises() -> None:
    asked = replace(NOON, fields=(Exposed(2, True),), rows=200)  # fmt: skip
    assert grade(asked) .grade is Grade.LOW  # fmt: skip
    assert grade(replace(asked, rows_before=2_300)).grade is Grade.HIGH
    assert grade(replace(asked, hour=20)).grade is Grade.MEDIUM
    assert grade(replace(asked, weekday=6)).grade is Grade.MEDIUM
    assert Sign.OFF_HOURS in grade(replace(asked, hour=7)).signs
    assert Sign.OFF_HOURS not in grade(replace(asked, hour=8)).signs


@given(exposures, st.builds(Exposed, st.integers(1, 4), st.booleans()), st.integers(0, 5_000))
def test_more_of_anything_never_lowers_the_grade(exposure: Exposure, more: Exposed, rows: int) -> None:
    before = ORDER.index(grade(exposure).grade)
    wider = [
        replace(exposure, fields=(*exposure.fields, more)),
        replace(exposure, rows=exposure.rows + rows),
        replace(exposure, rows_before=exposure.rows_before + rows),
        replace(exposure, fields=tuple(replace(each, is_revealed=True) for each in exposure.fields)),
        replace(exposure, hour=3),
        replace(exposure, weekday=7),
    ]
    assert all(ORDER.index(grade(each).grade) >= before for each in wider)
