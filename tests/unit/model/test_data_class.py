"""Which steps mean something for which class: what is refused when a policy loads."""

import pytest

from fujie.model.data_class import DEFAULT_LADDERS, DataClass, applicable
from fujie.model.step import parse_step


@pytest.mark.parametrize(
    ("data_class", "meaningful", "meaningless"),
    [
        (
            "mobile",
            ["keep(3,4)", "keep(0,0)", "keep(10,0)", "mask_range(3,6)", "token"],
            ["region(city)", "date_part(year)", "before(@)", "keep(7,4)", "keep(64,0)", "mask_range(3,11)"],
        ),
        (
            "landline",
            ["keep(3,4)", "keep(4,4)"],
            ["keep(5,4)", "keep(3,7)", "mask_range(1,2)", "region(city)"],
        ),
        (
            "resident_id",
            ["keep(1,1)", "keep(6,4)", "mask_range(6,13)"],
            ["keep(10,5)", "mask_range(6,15)", "before(-)"],
        ),
        (
            "person_name",
            ["keep(1,0)", "keep(0,1)"],
            ["keep(2,0)", "keep(0,2)", "mask_range(1,1)", "region(city)"],
        ),
        ("bank_card", ["keep(6,4)", "keep(0,4)"], ["keep(9,4)", "mask_range(6,11)", "date_part(year)"]),
        ("email", ["before(@)", "before(@,1)", "after(@)"], ["before(.)", "after(-)", "keep(1,1)"]),
        ("address", ["region(city)"], ["keep(3,4)", "before(-)", "date_part(year)"]),
        ("birthday", ["date_part(year)"], ["keep(4,0)", "region(city)"]),
        ("plate", ["keep(2,2)"], ["keep(5,2)", "mask_range(1,2)"]),
        (
            "identifier",
            ["keep(2,2)", "keep(64,64)", "before(-)", "mask_range(0,64)"],
            ["region(city)", "date_part(year)"],
        ),
        ("text", ["keep(1,0)", "after(:)"], ["region(city)"]),
        (
            "plain",
            ["reveal", "omit"],
            ["token", "keep(1,1)", "mask_range(0,1)", "before(-)", "region(city)"],
        ),
    ],
)
def test_a_step_is_applicable_where_it_means_something(
    data_class: str, meaningful: list[str], meaningless: list[str]
) -> None:
    assert [text for text in meaningful if not applicable(DataClass(data_class), parse_step(text))] == []
    assert [text for text in meaningless if applicable(DataClass(data_class), parse_step(text))] == []


@pytest.mark.parametrize("data_class", DataClass)
def test_every_class_can_be_revealed_and_omitted_and_has_an_applicable_ladder(
    data_class: DataClass,
) -> None:
    assert applicable(data_class, parse_step("reveal"))
    assert applicable(data_class, parse_step("omit"))
    assert all(applicable(data_class, step) for step in DEFAULT_LADDERS[data_class].steps)


def test_the_default_ladders_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        DEFAULT_LADDERS[DataClass.MOBILE] = DEFAULT_LADDERS[DataClass.PLAIN]  # type: ignore[index]  # the attack
