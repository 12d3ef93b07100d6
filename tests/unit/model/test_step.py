"""Steps and ladders: nothing ill-formed gets past the loader."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.pattern import fault_of
from fujie.model.step import KNOWN_STEPS, Ladder, Step, parse_step

COUNTS = st.integers(0, 64)
SEPARATORS = st.text("@-_.:/#;!|", min_size=1, max_size=8)
TEXTS = st.text("a1*隐 []{}:", min_size=1, max_size=64).filter(lambda text: text == text.strip())
STEPS = st.one_of(
    st.sampled_from([Step("reveal"), Step("token"), Step("omit")]),
    st.builds(lambda a, b: Step("keep", (a, b)), COUNTS, COUNTS),
    st.tuples(COUNTS, COUNTS).map(lambda ends: Step("mask_range", (min(ends), max(ends)))),
    st.builds(lambda n, c, k: Step(n, (c, k)), st.sampled_from(["before", "after"]), SEPARATORS, COUNTS),
    st.sampled_from(["province", "city", "district"]).map(lambda level: Step("region", (level,))),
    st.sampled_from(["year", "month"]).map(lambda unit: Step("date_part", (unit,))),
    st.sampled_from([Step("network"), Step("redact")]),
    st.builds(lambda days: Step("date_shift", (days,)), st.integers(1, 3660)),
    st.builds(lambda step: Step("round", (step,)), st.integers(2, 10**15)),
    st.sets(st.integers(-(10**15), 10**15), min_size=1, max_size=20).map(
        lambda b: Step("bucket", tuple(sorted(b)))
    ),
    st.builds(lambda text: Step("constant", (text,)), TEXTS),
    st.builds(
        lambda p, r: Step("regex", (p, r)),
        st.text("ab/, ()[]", min_size=1).filter(lambda p: not fault_of(p)),
        TEXTS,
    ),
)


@pytest.mark.parametrize(
    ("text", "step", "canonical"),
    [
        ("reveal", Step("reveal"), "reveal"),
        (" token ", Step("token"), "token"),
        ("keep(3,4)", Step("keep", (3, 4)), "keep(3,4)"),
        ("keep( 3 , 4 )", Step("keep", (3, 4)), "keep(3,4)"),
        ("keep(0,64)", Step("keep", (0, 64)), "keep(0,64)"),
        ("mask_range(3,3)", Step("mask_range", (3, 3)), "mask_range(3,3)"),
        ("before(@)", Step("before", ("@", 0)), "before(@)"),
        ("before(@,0)", Step("before", ("@", 0)), "before(@)"),
        ("before(@,1)", Step("before", ("@", 1)), "before(@,1)"),
        ("before(＠,1)", Step("before", ("@", 1)), "before(@,1)"),
        ("after(--)", Step("after", ("--", 0)), "after(--)"),
        ("region(city)", Step("region", ("city",)), "region(city)"),
        ("date_part(year)", Step("date_part", ("year",)), "date_part(year)"),
        ("date_shift(30)", Step("date_shift", (30,)), "date_shift(30)"),
        ("network", Step("network"), "network"),
        ("round( 100 )", Step("round", (100,)), "round(100)"),
        ("bucket(-5, 0,1000)", Step("bucket", (-5, 0, 1000)), "bucket(-5,0,1000)"),
        ("redact", Step("redact"), "redact"),
        ("regex(/a{2,}(b|c)/)", Step("regex", ("a{2,}(b|c)", "***")), "regex(/a{2,}(b|c)/)"),
        ("regex( /a/,/b/ , [x] )", Step("regex", ("a/,/b", "[x]")), "regex(/a/,/b/,[x])"),
        ("regex(/a b /,***)", Step("regex", ("a b ", "***")), "regex(/a b /)"),
        ("constant( 已隐藏 )", Step("constant", ("已隐藏",)), "constant(已隐藏)"),
        ("constant(007)", Step("constant", ("007",)), "constant(007)"),
    ],
)
def test_known_text_is_its_step_in_canonical_form(text: str, step: Step, canonical: str) -> None:
    assert step == parse_step(text)
    assert canonical == str(step)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "hide", "Reveal", "REVEAL", "reveal()", "reveal(1)", "omit,omit", "token(x)", "keep", "keep()",
        "keep(3)", "keep(3,4,5)", "keep(-1,4)", "keep(3,65)", "keep(3,100)", "keep(03,4)", "keep(３,4)", "keep(3.0,4)",
        "keep(a,b)", "keep(3,4", "keep 3,4", "keep(3,4))", "keep(true,1)", "mask_range(4,3)", "mask_range(1)",
        "before", "before()", "before( )", "before(,)", "before(，)", "before(a)", "before(中)", "before(1)",
        "before(*)", "before(()", "before(@,65)", "before(@,x)", "before(@,1,2)", "before(---------)", "before(\0)",
        "before(\u200b)", "region", "region(street)", "region(City)", "date_part(day)", "date_part()", "nosuch(1)",
        "keep(3,4)\nreveal", "_", "(3,4)", "date_shift", "date_shift(0)", "date_shift(-1)", "date_shift(3661)",
        "date_shift(1,2)", "network(24)", "round", "round(1)", "round(0)", "round(-10)", "round(0.5)", "round(1000000000000001)",
        "bucket", "bucket()", "bucket(1,1)", "bucket(2,1)", "bucket(1,x)", "bucket(1.5)", "bucket(01)", "bucket(-0)",
        f"bucket({','.join(map(str, range(21)))})", "redact()", "redact(mobile)", "constant", "constant()", "constant( )", "constant(a,b)",
        "constant(a(b))", "constant(a/b)", "constant(a\u200bb)", f"constant({'x' * 65})", "regex", "regex()", "regex(a)", "regex(//)",
        "regex(/a/,)", "regex(/a/,b,c)", "regex(/a*/)", "regex(/^/)", "regex(/(a/)", "regex(/(?=a)b/)", r"regex(/(a)\1/)", r"regex(/\C/)",
        "regex(/a\nb/)", f"regex(/{'a' * 201}/)", "regex(/((a{100}){100}){100}/)",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_told_what_is_known(text: str) -> None:
    with pytest.raises(ValueError, match="known steps") as refused:
        parse_step(text)
    assert KNOWN_STEPS in str(refused.value)


def test_a_step_that_a_comma_inside_braces_cut_off_is_told_to_stand_in_quotes() -> None:
    with pytest.raises(ValueError, match=r"'keep\(3' is not a step: put it in quotes"):
        parse_step("keep(3")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("keep", (99, 1)),
        ("keep", (True, 1)),
        ("keep", ("3", "4")),
        ("before", ("@",)),
        ("nosuch", ()),
        ("omit", (1,)),
    ],
)
def test_no_step_is_built_around_the_parser(name: str, args: tuple[int | str, ...]) -> None:
    with pytest.raises(ValueError, match="known steps"):
        Step(name, args)


@given(STEPS)
def test_every_step_survives_its_canonical_text(step: Step) -> None:
    assert step == parse_step(str(step))


@given(st.text(max_size=40))
def test_arbitrary_text_is_a_step_or_a_value_error(text: str) -> None:
    try:
        step = parse_step(text)
    except ValueError:
        return
    assert step == parse_step(str(step))


def test_a_step_is_a_frozen_value() -> None:
    step = parse_step("keep(3,4)")
    with pytest.raises(AttributeError):
        step.name = "reveal"  # type: ignore[misc]  # the assignment is the attack
    assert step == pickle.loads(pickle.dumps(step))
    assert {step: 1}[parse_step("keep( 3,4)")] == 1


def ladder(*texts: str) -> Ladder:
    return Ladder(tuple(map(parse_step, texts)))


MOBILE = ladder("reveal", "keep(3,4)", "keep(3,2)", "token", "omit")


def test_a_ladder_ranks_from_open_to_closed() -> None:
    assert [MOBILE.rank(step) for step in MOBILE.steps] == [0, 1, 2, 3, 4]
    assert parse_step("keep(3,4)") == MOBILE.most_open([parse_step("token"), parse_step("keep(3,4)")])
    assert parse_step("token") == MOBILE.most_closed([parse_step("token"), parse_step("keep(3,4)")])
    assert str(MOBILE) == "[reveal, keep(3,4), keep(3,2), token, omit]"


@given(
    st.lists(st.sampled_from(MOBILE.steps), min_size=1).flatmap(
        lambda s: st.tuples(st.just(s), st.permutations(s))
    )
)
def test_the_most_open_and_closed_do_not_depend_on_order(orders: tuple[list[Step], list[Step]]) -> None:
    steps, turned = orders
    assert MOBILE.most_open(steps) == MOBILE.most_open(turned)
    assert MOBILE.most_closed(steps) == MOBILE.most_closed(turned)
    least, most = MOBILE.rank(MOBILE.most_open(steps)), MOBILE.rank(MOBILE.most_closed(steps))
    assert all(least <= MOBILE.rank(step) <= most for step in steps)


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ((), "at least"),
        (("reveal",), "must end with omit"),
        (("reveal", "omit", "token"), "must end with omit"),
        (("keep(3,4)", "keep( 3,4)", "omit"), "keep\\(3,4\\) stands on the ladder .* twice"),
        (("keep(3,4)", "reveal", "omit"), "reveal must be the first"),
    ],
)
def test_an_ill_formed_ladder_is_refused(texts: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ladder(*texts)


def test_a_step_that_is_not_on_the_ladder_has_no_rank() -> None:
    stranger = parse_step("keep(4,4)")
    for ask in (
        MOBILE.rank,
        lambda s: MOBILE.most_open([s]),
        lambda s: MOBILE.most_closed([MOBILE.steps[0], s]),
    ):
        with pytest.raises(ValueError, match=r"keep\(4,4\) is not on the ladder \[reveal"):
            ask(stranger)


def test_the_most_open_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        MOBILE.most_open([])
    with pytest.raises(ValueError):
        MOBILE.most_closed([])


@pytest.mark.parametrize(
    "texts",
    [
        ("keep(3,2)", "keep(3,4)", "omit"),
        ("keep(3,4)", "keep(4,2)", "omit"),
        ("keep(1,1)", "token", "keep(3,4)", "omit"),
        ("mask_range(2,9)", "mask_range(3,9)", "omit"),
        ("before(@)", "before(@,1)", "omit"),
        ("region(province)", "region(city)", "omit"),
        ("date_part(year)", "date_part(month)", "omit"),
        ("token", "keep(1,0)", "omit"),
        ("constant(x)", "token", "omit"),
        ("constant(x)", "keep(1,0)", "omit"),
        ("round(100)", "round(10)", "omit"),
        ("round(10)", "round(15)", "omit"),
        ("round(100)", "bucket(50,100)", "omit"),
        ("bucket(100)", "round(100)", "omit"),
        ("bucket(100)", "bucket(100,200)", "omit"),
        ("bucket(100,200)", "bucket(150)", "omit"),
        ("date_shift(30)", "date_shift(10)", "omit"),
        ("date_shift(30)", "date_part(year)", "omit"),
        ("date_part(year)", "date_shift(30)", "omit"),
        ("before(-)", "before(_)", "omit"),
        ("before(@)", "after(@)", "omit"),
        ("keep(3,4)", "mask_range(3,6)", "omit"),
        ("mask_range(3,6)", "keep(3,4)", "omit"),
        ("redact", "keep(1,0)", "omit"),
        ("keep(1,0)", "redact", "omit"),
        ("redact", "regex(/a/)", "omit"),
        ("regex(/a/)", "regex(/a|b/)", "omit"),
        ("regex(/a/)", "regex(/a/,x)", "omit"),
    ],
)
def test_a_ladder_that_opens_on_the_way_down_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="is more open than"):
        Ladder(tuple(map(parse_step, texts)))


@pytest.mark.parametrize(
    "texts",
    [
        ("reveal", "round(10)", "round(100)", "bucket(-200,0,1000)", "bucket(0)", "constant(x)", "omit"),
        ("date_shift(10)", "date_shift(30)", "token", "constant(x)", "omit"),
        ("before(@,2)", "before(@)", "constant(x)", "constant(y)", "omit"),
        ("mask_range(3,4)", "mask_range(2,4)", "omit"),
    ],
)
def test_a_ladder_that_closes_on_the_way_down_is_taken(texts: tuple[str, ...]) -> None:
    assert [str(step) for step in ladder(*texts).steps] == list(texts)
