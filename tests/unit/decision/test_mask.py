"""Masking: examples as the policy guide gives them, and attacks on "never reveals more than the step keeps"."""

import enum
import re
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.classes import cleaned, normal_form
from fujie.decision.drawing import MASKED, drawing, drawing_together
from fujie.decision.mask import OMITTED, Masking, mask, mask_value
from fujie.decision.tokens import Tokeniser
from fujie.model.data_class import DEFAULT_LADDERS, DataClass, applicable, opens_when_short
from fujie.model.record import FieldTreatment, SealedRecord
from fujie.model.step import Ladder, Step, parse_step

TOKENS = Tokeniser(b"k" * 32, "p1", "demo").of("sid-1")


def masked(value: object, step: str, data_class: str) -> object:
    return mask_value(value, parse_step(step), DataClass(data_class), TOKENS)


@pytest.mark.parametrize(
    ("data_class", "step", "value", "shown"),
    [
        ("mobile", "keep(3,4)", "13800001234", "138****1234"),
        ("mobile", "keep(3,2)", "13800001234", "138******34"),
        ("mobile", "keep(3,4)", "+86 138-0000-1234", "138****1234"),
        ("mobile", "keep(3,4)", "１３８００００１２３４", "138****1234"),
        ("mobile", "keep(3,4)", 13800001234, "138****1234"),
        ("mobile", "keep(0,0)", "13800001234", "***********"),
        ("mobile", "mask_range(3,6)", "13800001234", "138****1234"),
        ("mobile", "mask_range(0,10)", "13800001234", "***********"),
        ("landline", "keep(3,4)", "010-12345678", "010-****5678"),
        ("landline", "keep(4,4)", "010-12345678", "010-****5678"),
        ("landline", "keep(4,4)", "0755-12345678", "0755-****5678"),
        ("landline", "keep(3,4)", "0755-12345678", "075*-****5678"),
        ("landline", "keep(4,4)", "07551234567", "0755-***4567"),
        ("landline", "keep(4,4)", "010-12345678转801", "010-****5678"),
        ("landline", "keep(0,0)", "010-12345678", "***-********"),
        ("resident_id", "keep(1,1)", "31010519491231002X", "3****************X"),
        ("resident_id", "keep(6,4)", "310105194912310021", "310105********0021"),
        ("resident_id", "keep(1,1)", "310105491231002", "3*************2"),
        ("resident_id", "keep(1,1)", "31010519491231002", MASKED),
        ("person_name", "keep(1,0)", "张三", "张**"),
        ("person_name", "keep(1,0)", "张三丰", "张**"),
        ("person_name", "keep(1,0)", "欧阳锋", "欧阳**"),
        ("person_name", "keep(1,0)", "司马相如", "司马**"),
        ("person_name", "keep(1,0)", "欧阳", "欧**"),
        ("person_name", "keep(1,0)", "张", MASKED),
        ("person_name", "keep(1,0)", "阿卜杜拉·买买提", "阿**"),
        ("person_name", "keep(1,0)", "阿卜杜拉•买买提", "阿**"),
        ("person_name", "keep(1,0)", "John Smith", "J**"),
        ("person_name", "keep(1,0)", "J", MASKED),
        ("person_name", "keep(0,1)", "张三", "**三"),
        ("person_name", "keep(1,1)", "张三", MASKED),
        ("person_name", "keep(1,1)", "欧阳锋", MASKED),
        ("person_name", "keep(1,1)", "张三丰", "张**丰"),
        ("person_name", "keep(0,0)", "张三", "**"),
        ("bank_card", "keep(6,4)", "6222020000000128", "622202******0128"),
        ("bank_card", "keep(0,4)", "6222 0200 0000 0128", "************0128"),
        ("bank_card", "keep(6,4)", "6222020000000000128", "622202*********0128"),
        ("email", "before(@,1)", "abc@ex.com", "a***@ex.com"),
        ("email", "before(@,1)", "a@ex.com", "***@ex.com"),
        ("email", "before(@,3)", "abc@ex.com", "***@ex.com"),
        ("email", "before(@)", "abc@ex.com", "***@ex.com"),
        ("email", "after(@)", "abc@ex.com", "abc@***"),
        ("email", "before(@,1)", "张三丰@ex.com", "张***@ex.com"),
        ("address", "region(district)", "河北省石家庄市长安区中山路1号", "河北省石家庄市长安区****"),
        ("address", "region(city)", "河北省石家庄市长安区中山路1号", "河北省石家庄市****"),
        ("address", "region(city)", "河北省 石家庄市 长安区 中山路1号", "河北省石家庄市****"),
        ("address", "region(province)", "河北省石家庄市长安区中山路1号", "河北省****"),
        ("address", "region(city)", "北京市朝阳区建国路1号", "北京市****"),
        ("address", "region(city)", "建国路1号", MASKED),
        ("birthday", "date_part(year)", "1991-02-03", "1991-**-**"),
        ("birthday", "date_part(month)", "1991年2月3日", "1991-02-**"),
        ("birthday", "date_part(year)", date(1991, 2, 3), "1991-**-**"),
        ("birthday", "date_part(year)", datetime(1991, 2, 3, 4, tzinfo=UTC), "1991-**-**"),
        ("birthday", "date_part(year)", 19910203, "1991-**-**"),
        ("plate", "keep(2,2)", "京A12345", "京A·***45"),
        ("plate", "keep(2,2)", "京A·12345", "京A·***45"),
        ("plate", "keep(2,2)", "京AD12345", "京A·****45"),
        ("plate", "keep(0,0)", "京A12345", "**·*****"),
        ("identifier", "keep(2,2)", "ORDER-20230101", "OR****01"),
        ("identifier", "keep(2,2)", "ABCD", MASKED),
        ("identifier", "keep(2,2)", "ABCDE", "AB****DE"),
        ("identifier", "keep(0,0)", "ABCDE", MASKED),
        ("identifier", "mask_range(2,4)", "ABCDEFG", "AB***FG"),
        ("identifier", "mask_range(2,6)", "ABCDEFG", "AB*****"),
        ("identifier", "mask_range(2,7)", "ABCDEFG", MASKED),
        ("identifier", "before(-)", "ORDER-1-2", "***-1-2"),
        ("identifier", "after(-,1)", "ORDER-123", "ORDER-1***"),
        ("identifier", "after(-,3)", "ORDER-123", "ORDER-***"),
        ("identifier", "before(-)", "ORDER", MASKED),
        ("identifier", "before(-)", "-ORDER", MASKED),
        ("identifier", "after(-)", "ORDER-", MASKED),
        ("identifier", "keep(1,1)", "🀄e\u0301𠮷x", "🀄****x"),
        ("text", "keep(1,0)", "👨\u200d👩\u200d👧 family", "👨****"),
        ("text", "before(:)", "电话：13800001234", "***:13800001234"),
        ("passport", "keep(1,2)", "E12345678", "E******78"),
        ("passport", "keep(1,2)", "e 1234 5678", "E******78"),
        ("passport", "keep(1,2)", "12345", MASKED),
        ("permit", "keep(1,2)", "C12345678", "C******78"),
        ("permit", "keep(1,2)", "H1234567801", "H********01"),
        ("permit", "keep(1,2)", "810000199001011230", "8***************30"),
        ("uscc", "keep(4,4)", "91350100M000100Y43", "9135**********0Y43"),
        ("uscc", "keep(4,4)", "91350100M000100Y44", MASKED),
        ("social_id", "keep(2,1)", "wxid_abc123", "wx****3"),
        ("social_id", "keep(2,1)", 12345678, "12****8"),
        ("social_id", "keep(2,1)", "张三", MASKED),
        ("ip", "network", "192.0.2.17", "192.0.2.0/24"),
        ("ip", "network", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("ip", "network", "::ffff:192.0.2.17", "192.0.2.0/24"),
        ("ip", "network", "fe80::1%eth0", "fe80::/48"),
        ("ip", "network", "192.0.2", MASKED),
        ("date", "date_part(month)", "2023-04-05 06:07:08", "2023-04-**"),
        ("number", "round(100)", 1234, "1200"),
        ("number", "round(100)", Decimal("1234.56"), "1200"),
        ("number", "round(100)", "¥1,234.56", "1200"),
        ("number", "round(100)", -0.5, "-100"),
        ("number", "round(100)", "-0.0", "0"),
        ("number", "round(100)", True, MASKED),
        ("number", "round(100)", float("nan"), MASKED),
        ("number", "round(100)", "1234 元", MASKED),
        ("number", "bucket(18,60)", 17.9, "<18"),
        ("number", "bucket(18,60)", 18, "[18,60)"),
        ("number", "bucket(18,60)", "59.99", "[18,60)"),
        ("number", "bucket(18,60)", 60, ">=60"),
        ("number", "bucket(-5)", -6, "<-5"),
        ("number", "bucket(-5)", "-5.0", ">=-5"),
        ("text", "redact", "致电13800001234 或 abc@ex.com。", "致电[mobile] 或 [email]。"),
        ("text", "redact", "姓名：张三，１３８００００１２３４", "姓名:[person_name],[mobile]"),
        ("text", "redact", "谢谢", "谢谢"),
        ("text", "redact", "好" * 10_001, MASKED),
        ("text", "redact", "13800001234 " * 10_000, MASKED),
        ("text", "regex(/[A-Z]{2}[0-9]+/)", "单AB12和CD3", "单***和***"),
        ("text", "regex(/[A-Z]{2}[0-9]+/,[单号])", "单🀄AB12", "单🀄[单号]"),
        ("text", "regex(/[0-9]+/)", "无", MASKED),
        ("text", "regex(/\\b/)", "one two", MASKED),
        ("text", "regex(/[0-9]/)", "1a" * 101, MASKED),
        ("identifier", "regex(/-.*/)", "ORDER-123-4", "ORDER***"),
        ("mobile", "constant(已隐藏)", "13800001234", "已隐藏"),
        ("plain", "constant(set)", False, "set"),
        ("plain", "constant(set)", b"x", "set"),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_the_step_says(data_class: str, step: str, value: object, shown: str) -> None:
    assert applicable(DataClass(data_class), parse_step(step))
    assert shown == masked(value, step, data_class)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("张三", "张三"), ("", ""), (" 138 0000 1234 ", " 138 0000 1234 "), (True, True), (False, False), (0, 0), (-5, -5),
        (2**53 - 1, 2**53 - 1), (2**53, "9007199254740992"), (-(2**63), "-9223372036854775808"), (1.5, 1.5),
        (float("inf"), "inf"), (float("nan"), "nan"), (Decimal("10.50"), "10.50"), (date(1991, 2, 3), "1991-02-03"),
        (datetime(1991, 2, 3, 4, 5, tzinfo=UTC), "1991-02-03T04:05:00+00:00"), (time(4, 5), "04:05:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"), ("a\ud800b", "a?b"),
        (b"13800001234", MASKED), (bytearray(b"x"), MASKED), (memoryview(b"x"), MASKED), ({"phone": "13800001234"}, MASKED),
        (["13800001234"], MASKED), (object(), MASKED), pytest.param(10**5000, MASKED, id="huge"), (None, None),
    ],
)  # fmt: skip
def test_reveal_gives_what_the_wire_can_carry(value: object, shown: object) -> None:
    revealed = masked(value, "reveal", "plain")
    assert (type(shown), shown) == (type(revealed), revealed)


@pytest.mark.parametrize(
    ("data_class", "spellings"),
    [
        (
            "mobile",
            ["13800001234", "+86 138 0000 1234", "１３８００００１２３４", 13800001234, "0086-13800001234"],
        ),
        ("landline", ["010-12345678", "01012345678", "+86 10 12345678"]),
        ("resident_id", ["31010519491231002X", "31010519491231002x"]),
        ("email", ["abc@ex.com", "ABC@EX.com"]),
        ("birthday", ["1991-02-03", "19910203", date(1991, 2, 3), datetime(1991, 2, 3, tzinfo=UTC)]),
        ("plate", ["京A12345", "京A·12345"]),
        ("identifier", ["１２３", "123", 123]),
    ],
)
def test_all_spellings_of_a_value_have_one_token(data_class: str, spellings: list[object]) -> None:
    tokens = {masked(spelling, "token", data_class) for spelling in spellings}
    assert len(tokens) == 1
    assert re.fullmatch(r"tok_p1_[a-z2-7]{26}", str(tokens.pop()))


def test_values_without_the_shape_of_their_class_still_have_distinct_tokens() -> None:
    assert (
        len(
            {
                masked(value, "token", "mobile")
                for value in ("abc@ex.com", "张三", "+1 381 234 5678", "13800001234")
            }
        )
        == 4
    )


class Strange(str):
    """A string that answers wrongly, as a driver's own type may."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("13800001234")


class Numbered(enum.IntEnum):
    ONE = 1


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("13800001234")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]  # an unhashable value is part of the attack

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("13800001234")


SHAPED: dict[DataClass, st.SearchStrategy[str]] = {
    DataClass.MOBILE: st.from_regex(r"\A1[3-9][0-9]{9}\Z"),
    DataClass.LANDLINE: st.from_regex(r"\A0(10|2[0-9]|[3-9][0-9]{2})-[1-9][0-9]{6,7}\Z"),
    DataClass.RESIDENT_ID: st.from_regex(r"\A[1-9][0-9]{5}(19[0-9]{2}0[1-9]1[0-9][0-9]{3}[0-9X]|[0-9]{2}0[1-9]1[0-9]{4})\Z"),
    DataClass.PERSON_NAME: st.one_of(
        st.text(st.sampled_from("欧阳司马张三李四"), min_size=1, max_size=6), st.from_regex(r"\A[A-Z][a-z]{0,9}( [A-Z][a-z]{1,9})?\Z"),
        st.from_regex(r"\A[买提阿卜]{1,5}·[买提阿卜]{1,5}\Z"),
    ),
    DataClass.BANK_CARD: st.from_regex(r"\A62[0-9]{11,17}\Z"),
    DataClass.EMAIL: st.from_regex(r"\A[a-z.]{1,9}@[a-z]{1,5}\.(com|cn)\Z"),
    DataClass.ADDRESS: st.from_regex(r"\A(河北省)?(石家庄市)?(长安区)?[张王李]{0,4}(路|小区|市)?[0-9]{0,3}号?\Z"),
    DataClass.BIRTHDAY: st.dates().map(str),
    DataClass.PLATE: st.from_regex(r"\A[京沪粤][A-H][0-9A-H]{5,6}\Z"),
    DataClass.PASSPORT: st.from_regex(r"\A(E[0-9]{8}|E[A-H][0-9]{7})\Z"),
    DataClass.PERMIT: st.from_regex(r"\A([CHM][0-9]{8}|[HM][0-9]{10}|[0-9]{8})\Z"),
    DataClass.USCC: st.just("91350100M000100Y43"),
    DataClass.SOCIAL_ID: st.from_regex(r"\A([a-z][a-z0-9_-]{5,19}|[1-9][0-9]{4,11})\Z"),
    DataClass.IP: st.ip_addresses().map(str),
    DataClass.DATE: st.dates().map(str),
    DataClass.NUMBER: st.integers(-(10**14), 10**14).map(str) | st.from_regex(r"\A-?[0-9]{1,9}\.[0-9]{1,3}\Z"),
    DataClass.IDENTIFIER: st.text(st.sampled_from("AB12-_"), min_size=1, max_size=12),
    DataClass.TEXT: st.text(min_size=1, max_size=20),
    DataClass.PLAIN: st.text(max_size=5),
}  # fmt: skip
SHAPED_OF_ANY_CLASS = st.one_of(*SHAPED.values())
ANYTHING = st.one_of(
    st.text(st.characters(), max_size=30), SHAPED_OF_ANY_CLASS, SHAPED_OF_ANY_CLASS.map(Strange),
    st.integers(), st.just(10**5000), st.booleans(), st.floats(), st.decimals(), st.binary(max_size=20), st.none(),
    st.dates(), st.datetimes(), st.times(), st.uuids(), st.timedeltas(), st.builds(Hostile), st.just(Numbered.ONE),
    st.recursive(st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5),
)  # fmt: skip
COUNTS = st.integers(0, 12)
STEPS = st.one_of(
    st.sampled_from([Step("reveal"), Step("token"), Step("omit")]),
    st.builds(lambda a, b: Step("keep", (a, b)), COUNTS, COUNTS),
    st.tuples(COUNTS, COUNTS).map(lambda ends: Step("mask_range", (min(ends), max(ends)))),
    st.builds(
        lambda n, c, k: Step(n, (c, k)),
        st.sampled_from(["before", "after"]),
        st.sampled_from("@-."),
        COUNTS,
    ),
    st.sampled_from(["province", "city", "district"]).map(lambda level: Step("region", (level,))),
    st.sampled_from(["year", "month"]).map(lambda unit: Step("date_part", (unit,))),
    st.builds(lambda days: Step("date_shift", (days,)), st.integers(1, 3660)),
    st.sampled_from(
        [
            "network",
            "redact",
            "regex(/[0-9]+/)",
            "regex(/./,x)",
            "constant(none)",
            "round(7)",
            "round(1000)",
        ]
    ).map(parse_step),
    st.sets(st.integers(-99, 99), min_size=1, max_size=5).map(lambda b: Step("bucket", tuple(sorted(b)))),
)
CLASSES = st.sampled_from(DataClass)


@given(ANYTHING, STEPS, CLASSES)
def test_masking_is_total_and_gives_only_what_utf8_and_json_can_carry(
    value: object, step: Step, data_class: DataClass
) -> None:
    shown = mask_value(value, step, data_class, TOKENS)
    if step.name == "omit":
        assert shown is OMITTED
    elif value is None:
        assert shown is None
    elif step.name != "reveal":
        assert type(shown) is str
        shown.encode("utf-8")
    else:
        assert type(shown) in {str, int, float, bool}
        str(shown).encode("utf-8")


@given(STEPS, CLASSES)
def test_null_stays_null_and_empty_stays_empty_under_every_step_but_omit(
    step: Step, data_class: DataClass
) -> None:
    shown = (mask_value(None, step, data_class, TOKENS), mask_value("", step, data_class, TOKENS))
    assert shown == ((OMITTED, OMITTED) if step.name == "omit" else (None, ""))


@given(ANYTHING, STEPS, CLASSES)
def test_a_step_that_means_nothing_for_the_class_shows_nothing(
    value: object, step: Step, data_class: DataClass
) -> None:
    if not applicable(data_class, step):
        assert mask_value(value, step, data_class, TOKENS) in (None, "", MASKED)


@given(ANYTHING, STEPS, CLASSES)
def test_without_a_customer_no_date_is_shifted(value: object, step: Step, data_class: DataClass) -> None:
    nobody = Tokeniser(b"k" * 32, "p1", "demo")
    if step.name == "date_shift":
        assert mask_value(value, step, data_class, nobody) in (None, "", MASKED)
    else:
        shown = mask_value(value, step, data_class, nobody)
        assert repr(shown) == repr(mask_value(value, step, data_class, TOKENS))


@pytest.mark.parametrize("step", [parse_step("keep(1,1)"), parse_step("token")])
@pytest.mark.parametrize(
    "value",
    [
        b"13800001234",
        ["13800001234"],
        {"a": "13800001234"},
        object(),
        Hostile(),
        pytest.param(10**5000, id="huge"),
    ],
)
def test_a_value_of_an_unknown_type_is_masked_whole(value: object, step: Step) -> None:
    assert mask_value(value, step, DataClass.IDENTIFIER, TOKENS) == MASKED


@pytest.mark.parametrize("data_class", [c for c in DataClass if normal_form(c)("🀄 ?") is None])
@given(value=st.one_of(SHAPED_OF_ANY_CLASS, st.text(max_size=30)))
def test_what_has_not_the_shape_of_its_class_is_masked_whole(data_class: DataClass, value: str) -> None:
    """An e-mail address or a name in the phone column: the steps were chosen for phones."""
    if value and not normal_form(data_class)(cleaned(value)):
        for step in DEFAULT_LADDERS[data_class].steps[1:]:
            if step.name not in {"token", "omit"}:
                assert mask_value(value, step, data_class, TOKENS) == MASKED


def survivors(shown: object) -> int:
    """Count the code points of a masked text that came from the value; the classes' own `·`, `-`, `@` apart."""
    text = str(shown)
    return 0 if text.startswith("tok_") else sum(c not in "*·-" for c in text)


@given(
    st.data(),
    st.sampled_from(
        sorted(
            c for c in DataClass if applicable(c, Step("keep", (0, 0))) and c not in {"person_name", "text"}
        )
    ),
    COUNTS,
    COUNTS,
)
def test_keep_never_leaves_more_than_it_says(
    data: st.DataObject, data_class: DataClass, first: int, last: int
) -> None:
    shown = mask_value(data.draw(SHAPED[data_class]), Step("keep", (first, last)), data_class, TOKENS)
    assert survivors(shown) <= first + last


@given(SHAPED[DataClass.PERSON_NAME], st.integers(0, 1), st.integers(0, 1))
def test_keep_of_a_name_leaves_a_surname_and_never_the_whole_name(name: str, first: int, last: int) -> None:
    shown = str(mask_value(name, Step("keep", (first, last)), DataClass.PERSON_NAME, TOKENS))
    assert survivors(shown) <= 2 * first + last
    assert survivors(shown) < len(name)
    assert len(shown) <= 2 + 2 + 1
    if first and not last and shown != MASKED:
        assert name.startswith(shown.removesuffix("**"))


@given(st.text(st.sampled_from("ab文𠮷🀄\u0301"), min_size=1, max_size=20), COUNTS, COUNTS)
def test_keep_of_free_text_leaves_its_ends_and_never_all_of_it(text: str, first: int, last: int) -> None:
    shown = str(mask_value(text, Step("keep", (first, last)), DataClass.TEXT, TOKENS))
    normal = cleaned(text)
    if first + last >= len(normal):
        assert shown == MASKED
    else:
        assert shown == normal[:first] + MASKED + normal[len(normal) - last :]


@given(st.text(st.sampled_from("ab文𠮷🀄"), min_size=1, max_size=20), COUNTS, COUNTS)
def test_mask_range_hides_all_of_the_range(text: str, one: int, other: int) -> None:
    start, end = sorted((one, other))
    shown = str(mask_value(text, Step("mask_range", (start, end)), DataClass.TEXT, TOKENS))
    if end >= len(text):
        assert shown == MASKED
    else:
        assert len(shown) == len(text)
        assert {"*"} == set(shown[start : end + 1])
        assert survivors(shown) == len(text) - (end - start + 1)


@given(st.text(st.sampled_from("ab-@文"), min_size=1, max_size=12), st.sampled_from("-@"), COUNTS)
def test_before_and_after_never_show_the_side_they_mask(text: str, chars: str, kept: int) -> None:
    head, separator, tail = text.partition(chars)
    before = str(mask_value(text, Step("before", (chars, kept)), DataClass.TEXT, TOKENS))
    after = str(mask_value(text, Step("after", (chars, kept)), DataClass.TEXT, TOKENS))
    start = (
        {True: head[:kept], False: ""}[len(head) > kept],
        {True: tail[:kept], False: ""}[len(tail) > kept],
    )
    assert before == (f"{start[0]}***{separator}{tail}" if separator and head else MASKED)
    assert after == (f"{head}{separator}{start[1]}***" if separator and tail else MASKED)


@pytest.mark.parametrize("data_class", DataClass)
@given(data=st.data())
def test_a_more_closed_step_never_leaves_more_along_the_default_ladder(
    data_class: DataClass, data: st.DataObject
) -> None:
    value = data.draw(SHAPED[data_class] | SHAPED_OF_ANY_CLASS | st.text(max_size=20))
    masking = DEFAULT_LADDERS[data_class].steps[1:-1]  # between reveal and omit
    if data_class is DataClass.NUMBER:  # what it leaves is not a part of the value's text; see below
        return
    left = [survivors(mask_value(value, step, data_class, TOKENS)) for step in masking]
    assert left == sorted(left, reverse=True)


@given(SHAPED[DataClass.MOBILE], st.text(st.sampled_from("０１２３-  \u200b"), max_size=3))
def test_padding_around_a_number_uncovers_nothing(phone: str, noise: str) -> None:
    shown = masked(noise + phone + noise, "keep(3,4)", "mobile")
    assert shown in (MASKED, f"{phone[:3]}****{phone[-4:]}")


RECORD = {"phone": "13800001234", "name": "张三", "note": "secret", "points": 7, "email": None, "city": ""}


def treated(**steps: tuple[str, str]) -> dict[str, FieldTreatment]:
    return {
        name: FieldTreatment(parse_step(step), DataClass(data_class))
        for name, (step, data_class) in steps.items()
    }


def test_only_the_fields_that_the_decision_names_leave() -> None:
    treatments = treated(
        points=("reveal", "plain"),
        phone=("keep(3,4)", "mobile"),
        email=("before(@)", "email"),
        city=("region(city)", "address"),
    )
    leaving = mask(SealedRecord(RECORD), treatments, TOKENS)
    assert leaving == {"points": 7, "phone": "138****1234", "email": None, "city": ""}
    assert list(leaving) == list(treatments)


def test_an_omitted_field_leaves_no_trace() -> None:
    leaving = mask(
        SealedRecord(RECORD),
        treated(phone=("omit", "mobile"), email=("omit", "email"), name=("keep(1,0)", "person_name")),
        TOKENS,
    )
    assert leaving == {"name": "张**"}


def test_a_field_that_the_record_lacks_is_absent_and_not_null() -> None:
    assert mask(SealedRecord(RECORD), treated(address=("reveal", "address")), TOKENS) == {}


def test_nothing_leaves_without_a_treatment() -> None:
    assert mask(SealedRecord(RECORD), {}, TOKENS) == {}


@given(
    st.dictionaries(st.text(max_size=3), ANYTHING, max_size=5),
    st.dictionaries(st.text(max_size=3), st.builds(FieldTreatment, STEPS, CLASSES), max_size=5),
)
def test_a_record_is_masked_as_its_values_are(
    values: dict[str, object], treatments: dict[str, FieldTreatment]
) -> None:
    one_by_one = {
        name: mask_value(values[name], t.step, t.data_class, TOKENS)
        for name, t in treatments.items()
        if name in values
    }
    leaving = mask(SealedRecord(values), treatments, TOKENS)
    assert repr({name: shown for name, shown in one_by_one.items() if shown is not OMITTED}) == repr(
        leaving
    )


LADDER_STEPS = st.one_of(
    st.builds(lambda m: Step("round", (m,)), st.sampled_from([2, 4, 10, 20, 100, 1000])),
    st.sets(st.sampled_from([-100, 0, 20, 100, 1000, 5000]), min_size=1).map(lambda b: Step("bucket", tuple(sorted(b)))),
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.builds(FieldTreatment, STEPS, CLASSES)),
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abcd"), ANYTHING), st.sampled_from(["", "s1", "s2"])),
        max_size=6,
    ),
    st.booleans(),
)
def test_many_records_are_masked_as_each_of_them_is(
    treatments: dict[str, FieldTreatment], people: list[tuple[dict[str, object], str]], like_a_scan: bool
) -> None:
    names = ("a", "b", "c", "d")
    if like_a_scan and people:  # every row has the columns of the first
        first = tuple(people[0][0])
        records = [SealedRecord(first, tuple(values.get(name) for name in first)) for values, _ in people]
    else:
        records = [SealedRecord(values) for values, _ in people]
    masking = Masking(treatments)
    together = list(masking.rows(names, records, [sid for _, sid in people], TOKENS))
    alone = [masking.of(record, TOKENS.of(sid)) for record, (_, sid) in zip(records, people, strict=True)]
    assert repr(together) == repr([tuple(shown.get(name, OMITTED) for name in names) for shown in alone])


@given(step=STEPS, data=st.data())
@pytest.mark.parametrize("data_class", list(DataClass))
def test_a_column_of_one_shape_is_masked_as_its_values_are(
    data_class: DataClass, step: Step, data: st.DataObject
) -> None:
    values = data.draw(st.lists(SHAPED.get(data_class, st.text(max_size=9)), min_size=1, max_size=5))
    if data_class is DataClass.PLATE:
        values = [
            f"{value[:2]}{data.draw(st.sampled_from(['', '·', '··', ' ']))}{value[2:]}" for value in values
        ]
    values += data.draw(st.lists(st.sampled_from([None, "", "x\ny", 7, b"x"]), max_size=1))
    masking = Masking({"a": FieldTreatment(step, data_class)})
    records = [SealedRecord({"a": value}) for value in values]
    together = masking.rows(("a",), records, ["s1"] * len(values), TOKENS)
    own = TOKENS.of("s1")
    assert [cell for (cell,) in together] == [mask_value(value, step, data_class, own) for value in values]


@given(data=st.data())
@pytest.mark.parametrize("data_class", [each for each in DataClass if each is not DataClass.NUMBER])
def test_a_column_is_drawn_as_its_values_are(data_class: DataClass, data: st.DataObject) -> None:
    """Long columns, of one width as of several, by the steps that a column has a way of its own for."""
    step = data.draw(
        st.builds(lambda *kept: Step("keep", kept), st.integers(0, 9), st.integers(0, 9))
        | st.builds(lambda *given: Step("before", given), st.sampled_from("@.-"), st.integers(0, 3))
        | st.sampled_from([parse_step(text) for text in STEPS_OF_LISTS])
    )
    if not applicable(data_class, step):
        return
    texts = data.draw(st.lists(SHAPED.get(data_class, st.text(max_size=9)), max_size=12))
    normal = [each for each in map(normal_form(data_class), texts) if each and "\n" not in each]
    column = normal * data.draw(st.integers(1, 3))
    assert drawing_together(step, data_class)(column) == list(map(drawing(step, data_class), column))


STEPS_OF_LISTS = (
    "keep(1,0)", "region(province)", "region(city)", "region(district)", "date_part(year)", "date_part(month)",
)  # fmt: skip


def on_one_ladder(data_class: DataClass, *steps: Step) -> bool:
    try:
        ladder = Ladder((*steps, Step("omit")))
    except ValueError:
        return False
    return all(applicable(data_class, step) for step in steps) and not opens_when_short(data_class, ladder)


PARTIAL = [
    *(Step("keep", (first, last)) for first in range(5) for last in range(5)),
    *(Step("mask_range", (start, end)) for start in range(4) for end in range(start, 6)),
    *(Step(name, (chars, kept)) for name in ("before", "after") for chars in "@-" for kept in range(4)),
]
# Characters of a value are all different, so that what is shown tells which positions are open.
DISTINCT = {
    DataClass.IDENTIFIER: ["ABCDEFGHIJ"[:n] for n in range(1, 11)] + ["ab@cd-ef", "ab-cd@ef", "@a", "a@", "abcd@-e", "a@bcd"],
    DataClass.TEXT: ["一二三四五六七"[:n] for n in range(1, 8)] + ["甲乙@丙丁-戊", "🀄e@𠮷x"],
    DataClass.PERSON_NAME: ["张三", "张三丰", "欧阳锋", "司马相如", "阿卜·买提"],
    DataClass.EMAIL: ["a@bc.de", "ab@cd.ef", "abc@de.fg", "abcd@ef.gh"],
    DataClass.PLATE: ["京A12345", "京AD12345"],
    DataClass.PASSPORT: ["E12345678"],
    DataClass.SOCIAL_ID: ["12345", "abcdef123"],
    DataClass.LANDLINE: ["021-3456789"],
}  # fmt: skip


@pytest.mark.parametrize("data_class", DISTINCT)
def test_no_ladder_lets_a_later_step_open_a_position_that_an_earlier_one_hides(
    data_class: DataClass,
) -> None:
    """Whatever ladder a policy may write; every pair of steps that the loader lets stand on one."""
    pairs = [pair for pair in permutations(PARTIAL, 2) if on_one_ladder(data_class, *pair)]
    opening = [
        (value, str(earlier), str(later))
        for earlier, later in pairs
        for value in DISTINCT[data_class]
        if not set(str(mask_value(value, later, data_class, TOKENS))) - set("*·-@.")
        <= set(str(mask_value(value, earlier, data_class, TOKENS)))
    ]
    assert len(pairs) > 0
    assert opening == []


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), LADDER_STEPS, LADDER_STEPS)
def test_numbers_that_one_step_makes_equal_stay_equal_under_every_later_one(
    one: int, other: int, earlier: Step, later: Step
) -> None:
    if on_one_ladder(DataClass.NUMBER, earlier, later) and earlier.name not in {"reveal", "constant"}:
        near = one + other % 10  # often within one range
        shown = [
            [mask_value(n, step, DataClass.NUMBER, TOKENS) for n in (one, near)]
            for step in (earlier, later)
        ]
        assert shown[0][0] != shown[0][1] or shown[1][0] == shown[1][1]


@given(
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.integers(1, 3660),
    st.text(min_size=1, max_size=9),
)
def test_shifted_dates_of_one_customer_keep_their_distance_and_never_their_place(
    one: date, other: date, days: int, sid: str
) -> None:
    customer = Tokeniser(b"k" * 32, "p1", "demo").of(sid)
    step = Step("date_shift", (days,))
    shown = [
        date.fromisoformat(str(mask_value(day, step, DataClass.DATE, customer))) for day in (one, other)
    ]
    assert shown[0] - shown[1] == one - other
    assert 1 <= abs((shown[0] - one).days) <= days


def test_a_date_at_the_end_of_the_calendar_is_masked_whole_rather_than_cut() -> None:
    shown = {
        mask_value(day, Step("date_shift", (3660,)), DataClass.DATE, TOKENS.of(f"sid-{n}"))
        for day in (date.min, date.max)
        for n in range(20)
    }
    assert MASKED in shown
    assert {str(day) for day in (date.min, date.max)}.isdisjoint(map(str, shown))


VALUES = ["13800001234", "11010519491231002X", "4111111111111111", "91350100M000100Y43", "京AD12345", "abc@ex.com", "010-12345678", "192.0.2.17"]  # fmt: skip
NOISE = st.text(
    st.sampled_from("好，。 \n\u0301\u200b\u202e🀄ﷺ\0：[]*") | st.characters(categories=["Lo", "Po", "Sc"]),
    max_size=8,
)


@given(st.lists(st.tuples(NOISE, st.sampled_from(VALUES)), max_size=5), NOISE)
def test_redacted_text_holds_none_of_the_values_and_redacting_again_changes_nothing(
    parts: list[tuple[str, str]], end: str
) -> None:
    text = "".join(f"{noise}。{value}。" for noise, value in parts) + end
    shown = str(masked(text, "redact", "text"))
    assert not any(value in cleaned(shown) for value in VALUES)
    assert shown == masked(shown, "redact", "text")


@given(
    st.lists(
        st.sampled_from(
            [
                "地址：",
                "姓名：",
                "微信",
                "QQ",
                "张三",
                "13800001234",
                "北京",
                ",",
                " ",
                "[mobile]",
                "一三八",
                "。",
                "abc12345",
                "@ex.com",
                "1",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_redacting_twice_is_redacting_once_around_labels(text: str) -> None:
    shown = masked(text, "redact", "text")
    assert shown == masked(shown, "redact", "text")


EVIL = ["e\u0301" * 50, "\u202e13800001234\u202c", "👨\u200d👩\u200d👧" * 20, "\0" * 9, "a\0b", "𠮷" * 65, "\ufeff", " \u200b ", "ﷺ" * 30, "\ud800" * 5,
        "\U000e0031" * 9, "1" * 100_000, "好" * 100_000, "地址：" * 2_000, "\u0301" * 1_000, "*" * 40, "tok_p1_", "[mobile]", "\r\n" * 99]  # fmt: skip


@pytest.mark.parametrize("value", EVIL, ids=range(len(EVIL)))
@given(step=STEPS, data_class=CLASSES)
def test_evil_text_is_masked_like_any_other(value: str, step: Step, data_class: DataClass) -> None:
    shown = mask_value(value, step, data_class, TOKENS)
    if step.name not in {"omit", "reveal"}:
        assert type(shown) is str
        shown.encode("utf-8")
        assert shown != value or set(shown) <= {"*"} or step.name in {"redact", "constant"}
