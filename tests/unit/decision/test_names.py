"""Names: a surname is as long as it may be, and never longer."""

import pytest

from fujie.decision.names import COMPOUND_SURNAMES, surname_length


@pytest.mark.parametrize(
    ("name", "length"),
    [("欧阳锋", 2), ("司马相如", 2), ("上官婉儿", 2), ("诸葛亮", 2), ("歐陽鋒", 2), ("欧阳", 1), ("张三", 1), ("张三丰", 1), ("陈方安生", 1),
     ("阿卜杜拉·买买提", 1), ("司马·买买提", 1), ("欧阳Jack", 1), ("John Smith", 1), ("𠮷野", 1)],
)  # fmt: skip
def test_a_surname_is_as_long_as_it_may_be(name: str, length: int) -> None:
    assert length == surname_length(name)


def test_every_compound_surname_has_two_characters() -> None:
    assert {2} == {len(surname) for surname in COMPOUND_SURNAMES}
    assert len(COMPOUND_SURNAMES) > 80
