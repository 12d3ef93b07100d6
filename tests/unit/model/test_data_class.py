"""Which steps mean something for which class: what is refused when a policy loads."""

import pytest

from fujie.model.data_class import DEFAULT_LADDERS, DataClass, applicable, opens_when_short
from fujie.model.step import Ladder, parse_step


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
            ["token", "keep(1,1)", "mask_range(0,1)", "before(-)", "region(city)", "round(10)", "redact"],
        ),
        (
            "passport",
            ["keep(1,2)", "keep(8,0)", "mask_range(1,6)"],
            ["keep(1,8)", "mask_range(1,9)", "network"],
        ),
        ("permit", ["keep(1,2)", "keep(0,7)"], ["keep(4,4)", "mask_range(1,2)"]),
        ("uscc", ["keep(4,4)", "mask_range(8,17)"], ["keep(9,9)", "round(10)"]),
        ("social_id", ["keep(2,1)", "keep(0,4)"], ["keep(3,2)", "mask_range(1,2)", "redact"]),
        ("ip", ["network", "token"], ["keep(3,0)", "before(:)"]),
        ("date", ["date_part(year)", "date_shift(30)"], ["keep(4,0)", "round(10)"]),
        ("birthday", ["date_shift(30)"], ["bucket(1990)"]),
        ("number", ["round(10)", "bucket(0,10)"], ["token", "keep(1,0)", "regex(/a/)"]),
        ("text", ["redact", "regex(/a/)", "constant(x)"], ["network", "date_shift(3)"]),
        ("identifier", ["regex(/a/)"], ["redact"]),
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
    assert applicable(data_class, parse_step("constant(x)"))
    assert opens_when_short(data_class, DEFAULT_LADDERS[data_class]) is None
    assert all(applicable(data_class, step) for step in DEFAULT_LADDERS[data_class].steps)


def test_the_default_ladders_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        DEFAULT_LADDERS[DataClass.MOBILE] = DEFAULT_LADDERS[DataClass.PLAIN]  # type: ignore[index]  # the attack


@pytest.mark.parametrize(
    ("data_class", "texts", "pair"),
    [
        ("identifier", ["keep(4,4)", "keep(2,2)", "omit"], ("keep(4,4)", "keep(2,2)")),
        ("identifier", ["reveal", "keep(4,4)", "keep(0,0)", "omit"], None),
        ("identifier", ["mask_range(3,4)", "mask_range(1,9)", "omit"], None),
        ("text", ["after(:,9)", "after(:,1)", "token", "omit"], ("after(:,9)", "after(:,1)")),
        ("person_name", ["keep(1,1)", "keep(1,0)", "omit"], ("keep(1,1)", "keep(1,0)")),
        ("email", ["before(@,3)", "before(@,1)", "omit"], ("before(@,3)", "before(@,1)")),
        ("email", ["before(@,3)", "before(@)", "omit"], None),
        ("mobile", ["keep(3,4)", "keep(3,2)", "omit"], None),
    ],
)
def test_a_ladder_that_opens_short_values_on_the_way_down_is_told(
    data_class: str, texts: list[str], pair: tuple[str, str] | None
) -> None:
    """`keep(4,4)` masks ABCDE whole; `keep(2,2)` behind it would show AB and DE."""
    found = opens_when_short(DataClass(data_class), Ladder(tuple(map(parse_step, texts))))
    assert (found and tuple(map(str, found))) == pair
