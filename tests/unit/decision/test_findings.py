"""Recognition in free text. Every bug that a first draft had is a case here."""

import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision import findings
from fujie.decision.findings import LONGEST_SEARCHED, Finding, NotLooked, find_personal
from fujie.model.data_class import DataClass


def found(text: str) -> list[tuple[str, str]]:
    spans = find_personal(text)
    assert not isinstance(spans, NotLooked)
    return [(span.data_class.value, text[span.start : span.end]) for span in spans]


@pytest.mark.parametrize(
    ("data_class", "before", "value", "after"),
    [
        ("mobile", "", "13800001234", ""), ("mobile", "电话", "13800001234", "，谢谢"), ("mobile", "tel", "13800001234", "x"),
        ("mobile", "", "+86 138-0000-1234", ""), ("mobile", "致电", "008613800001234", "。"), ("mobile", "", "(+86)138 0000 1234"[1:], ""),
        ("mobile", "", "１３８００００１２３４", ""), ("mobile", "", "138\u200b0000\u200d1234", ""), ("mobile", "", "1 3 8 0 0 0 0 1 2 3 4", ""),
        ("mobile", "", "1️⃣3️⃣8️⃣00001234", ""), ("mobile", "", "138\x0000001234", ""), ("mobile", "", "1\u03013800001234", ""),
        ("mobile", "", "138——0000——1234", ""), ("mobile", "", "138.0000.1234", ""), ("mobile", "1.", "13800001234", " "),
        ("mobile", "20230101 ", "13800001234", ""), ("mobile", "", "138-0000-1234", "-567"), ("mobile", "", "013800001234", ""),
        ("mobile", "号码", "一三八零零零零一二三四", ""), ("mobile", "", "壹叁捌〇〇〇〇壹贰叁肆", ""), ("mobile", "", "幺三八洞洞洞洞幺两三四", ""),
        ("mobile", "", "1三8零000一2三4", ""), ("mobile", "张三", "一三八00001234", ""), ("mobile", "张三", "13800001234", ""),
        ("mobile", "", "٠١٣٨٠٠٠٠١٢٣٤"[1:], ""), ("mobile", "\u202e", "13800001234", "\u202c"),
        ("landline", "", "010-12345678", ""), ("landline", "（", "010)12345678", ""), ("landline", "", "0755-2234567", ""),
        ("landline", "", "01012345678", ""), ("landline", "", "+86 10 1234 5678", ""), ("landline", "", "010-12345678转801", "找他"),
        ("resident_id", "", "11010519491231002X", ""), ("resident_id", "证", "11010519491231002x", "号"),
        ("resident_id", "", "110105 19491231 002X", ""), ("resident_id", "", "１１０１０５１９４９１２３１００２Ｘ", ""),
        ("resident_id", "", "一一零一零五一九四九一二三一零零二X", ""), ("resident_id", "身份证", "110105491231002", ""),
        ("uscc", "公司", "91350100M000100Y43", ""), ("uscc", "", "91350100m000100y43", ""), ("uscc", "", "91 350100 M000100Y4 3", ""),
        ("bank_card", "卡", "4111111111111111", ""), ("bank_card", "", "4111 1111 1111 1111", ""), ("bank_card", "", "4111-1111-1111-1111", ""),
        ("bank_card", "", "622202 0200012345670", ""), ("bank_card", "", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", ""),
        ("bank_card", "", "四一一一一一一一一一一一一一一一", ""), ("bank_card", "", "4111111111111111", "."),
        ("email", "邮箱", "abc@ex.com", "谢谢"), ("email", "，", "a.b+c_d@mail.ex.com.cn", "。"), ("email", "<", "ABC＠ex.com", ">"),
        ("email", "", "13800001234@163.com", ""), ("email", "", "11010519491231002X@ex.com", ""), ("email", "", "a\u200bbc@ex.com", "."),
        ("plate", "车", "京A12345", ""), ("plate", "", "京AD12345", ""), ("plate", "", "京A·12345", "停"), ("plate", "", "粤Z1234港", ""),
        ("plate", "", "京Ａ１２３４５", ""), ("plate", "南", "京AD12345", "京"), ("plate", "", "沪a-d12345", ""),
        ("ip", "", "192.0.2.17", ""), ("ip", "从", "192.0.2.17", ":8080"), ("ip", "", "2001:db8::1", " "), ("ip", "", "192.0.2.17", ". "),
        ("person_name", "姓名：", "张三", ""), ("person_name", "收件人: ", "阿卜杜拉·买买提", "，"), ("person_name", "联系人是", "张 三", "，"),
        ("person_name", "姓名:", "张三", "电话"), ("person_name", "Name: ", "John Smith", ", tel"), ("person_name", "姓名：姓名：", "张三", ""),
        ("address", "地址：", "北京市朝阳区建国路1号, 2单元", "。其他"), ("address", "住址是", "建国路1号", "\n"), ("address", "地址：地址：", "建国路1号", "姓名"),
        ("passport", "护照号：", "E12345678", ""), ("passport", "passport No. ", "EA1234567", ""), ("permit", "通行证", "C12345678", ""),
        ("social_id", "微信：", "abc-123", ""), ("social_id", "加vx ", "abc12345", "，"), ("social_id", "QQ", "12345678", ""),
    ],
)  # fmt: skip
def test_what_stands_in_a_text_is_found_and_no_more(
    data_class: str, before: str, value: str, after: str
) -> None:
    assert found(before + value + after) == [(data_class, value)]


@pytest.mark.parametrize(
    "text",
    [
        "订单20231380000123", "订单号：20231380000123", "00861380000123", "138000012345", "2138000012345", "12800001234",
        "110105194912310021123", "9911010519491231002X"[:-1], "110105194912310020", "310105194913310021", "91350100M000100Y44",
        "X91350100M000100Y43", "91350100M000100Y431", "4111111111111112", "20231111111111119", "1700000000000",
        "411111111111", "41111111111111111111111", "2023-01-01 2023-02-02", "12:30:45", "00:11:22:33:44:55", "std::vector",
        "999.1.1.1", "1.2.3.4.5", "京ABCDEFG", "京A1234", "京A1234567", "张三@", "@ex.com", "a@b", "张三住在北京市朝阳区", "一二三四五六七八九十",
        "E12345678", "username=root", "地址：", "姓名：", "地址：，。", "微信支付", "1,380,000.1234", "", "🀄" * 20, "三八妇女节", "零下一三度",
    ],
)  # fmt: skip
def test_what_is_none_is_not_found(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13800001234@qq.com", ["email"]), ("QQ：13800001234", ["mobile"]), ("地址：建国路13800001234号院", ["address", "mobile", "address"]),
        ("1.13800001234 2.13900001234", ["mobile", "mobile"]), ("4111 1111 1111 1111 13800001234", ["bank_card", "mobile"]),
        ("京A12345京AD12345", ["plate", "plate"]), ("a@x.cn,b@y.com", ["email", "email"]), ("姓名：张三电话：13800001234", ["person_name", "mobile"]),
        ("居住证810000199001011230", ["resident_id"]), ("收件人：张三，地址：建国路1号，电话：010-12345678", ["person_name", "address", "landline"]),
    ],
)  # fmt: skip
def test_where_classes_claim_one_place_the_stronger_has_it(text: str, expected: list[str]) -> None:
    assert [data_class for data_class, _ in found(text)] == expected


def test_nobody_looked_is_not_nothing_found() -> None:
    assert find_personal("好" * LONGEST_SEARCHED) == ()
    assert find_personal("好" * (LONGEST_SEARCHED + 1)) is NotLooked.TOO_LONG
    assert find_personal("13800001234" * 10_000) is NotLooked.TOO_LONG


def test_a_finding_does_not_hold_the_text() -> None:
    assert find_personal("电话13800001234") == (Finding(DataClass.MOBILE, 2, 13),)
    assert "138" not in repr(find_personal("电话13800001234"))


PIECES = st.sampled_from(
    ["13800001234", "11010519491231002X", "4111111111111111", "91350100M000100Y43", "京AD12345", "a@ex.com", "地址：", "姓名：", "微信",
     "１３８", "一三八", "零", "0", "86", "+", " ", "-", "@", ".", ":", "\u200b", "\u0301", "⑩", "🀄", "\0", "\ud800", "张三", "\n", "。", "QQ", "[mobile]"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(st.characters(), max_size=3), max_size=14).map("".join)


@given(TEXTS)
def test_findings_lie_in_the_text_in_order_without_overlap(text: str) -> None:
    spans = find_personal(text)
    assert not isinstance(spans, NotLooked)
    place = 0
    for span in spans:
        assert place <= span.start < span.end <= len(text)
        place = span.end


@given(
    st.sampled_from(["13800001234", "11010519491231002X", "4111111111111111", "91350100M000100Y43", "京AD12345", "abc@ex.com", "010-12345678"]),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from("\u200b\u200d\ufeff\u00ad\u0301\u20e3\0\U000e0031")), max_size=6),
    st.booleans(),
)  # fmt: skip
def test_nothing_invisible_and_no_width_hides_a_value(
    value: str, breaks: list[tuple[int, str]], wide: bool
) -> None:
    text = value.translate({c: c + 0xFEE0 for c in range(0x21, 0x7F)}) if wide else value
    for place, invisible in breaks:
        text = text[:place] + invisible + text[place:]
    spans = find_personal(f"好{text}好")
    assert not isinstance(spans, NotLooked)
    assert len(spans) == 1
    left = f"好{text}好"[: spans[0].start] + f"好{text}好"[spans[0].end :]
    assert not any(c.isalnum() for c in left.replace("好", ""))


def unbounded(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield the repeats without an upper bound; what has none takes a bounded number of steps at each place."""
    depth = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern.pattern)
    yield from re.findall(r"[*+]|\{[0-9]*,\}", depth.replace("(?:x|00)", ""))


def patterns() -> dict[str, re.Pattern[str]]:
    named = {name: value for name, value in vars(findings).items() if isinstance(value, re.Pattern)}
    return named | {data_class.value: pattern for data_class, pattern in findings._LABELLED.items()}


def test_every_pattern_takes_a_bounded_number_of_steps_at_each_place() -> None:
    """But the address, which ends where the next label begins, so no two of them read the same place."""
    assert {name for name, pattern in patterns().items() if list(unbounded(pattern))} == {
        "_NOT_ALNUM",
        "address",
    }
    labels = ("地址", "住址", "Address", "address")
    address = findings._LABELLED[DataClass.ADDRESS]
    for label in labels:
        assert [len(match[1]) for match in address.finditer(f"{label}:北京" * 50)] == [2] * 50


EVIL = ["1 ", "一", "a@", "a", "8", "地址:", "姓名:", "京A1", ":1", "1-", "6 ", "六", "C", " ", "四 ", "86", "微信 ", "微信号: ", "0", "1.", "\u0301", "⑩",
        "@a.", "护照  ", "4111111111111111 ", "13800001234 "]  # fmt: skip


@pytest.mark.parametrize("piece", EVIL)
def test_twice_the_text_is_at_most_twice_the_work(piece: str) -> None:
    """Work is the number of calls, Python's and C's; what one search in C does is bounded by the test above."""

    def calls(text: str) -> int:
        count = 0

        def profile(_frame: object, _event: str, _arg: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(profile)
        try:
            find_personal(text)
        finally:
            sys.setprofile(None)
        return count

    once, twice = (calls((piece * LONGEST_SEARCHED)[:size]) for size in (1_000, 2_000))
    assert twice <= 2.1 * once + 100
