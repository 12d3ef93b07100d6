"""Normal forms: one form for all spellings, none for what is something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.classes import PLAIN_FORMS, cleaned, is_normal, normal_form
from fujie.model.data_class import DataClass

WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


@pytest.mark.parametrize(
    ("data_class", "normal", "spellings"),
    [
        (
            "mobile",
            "13800001234",
            [
                "13800001234", "+8613800001234", "+86 138 0000 1234", "008613800001234", "86-138-0000-1234",
                " 138\t0000\n1234 ", "(+86)13800001234", "138‑0000‑1234", "138—0000—1234", "138\u30000000\u00a01234",
                "13800001234".translate(WIDE), "＋８６１３８００００１２３４", "138\u200b0000\u200d1234\ufeff", "\u202a13800001234\u202c",
            ],
        ),
        (
            "landline",
            "010-12345678",
            ["010-12345678", "01012345678", "(010)12345678", "（010）1234 5678", "+86 10 1234 5678", "+86-010-12345678",
             "0086 10 12345678", "010-12345678转801", "010-12345678 ext. 801"],
        ),
        ("landline", "0755-2234567", ["0755-2234567", "07552234567", "+86 755 2234567"]),
        (
            "resident_id",
            "11010519491231002X",
            ["11010519491231002X", "11010519491231002x", "110105 19491231 002X", "１１０１０５１９４９１２３１００２Ｘ"],
        ),
        ("resident_id", "110105491231002", ["110105491231002"]),
        ("person_name", "张三", ["张三", " 张三 ", "张 三", "张　三", "张\u200b三"]),
        ("person_name", "阿卜杜拉·买买提", ["阿卜杜拉·买买提", "阿卜杜拉•买买提", "阿卜杜拉・买买提", "阿卜杜拉 · 买买提"]),
        ("person_name", "O'Neil-Smith", ["O'Neil-Smith", "Ｏ'Neil-Smith"]),
        ("person_name", "José", ["José", "Jose\u0301"]),
        ("bank_card", "6222021234560128", ["6222021234560128", "6222 0212 3456 0128", "6222-0212-3456-0128"]),
        ("email", "abc@ex.com", ["abc@ex.com", "ABC@Ex.com", "abc＠ex.com"]),
        ("birthday", "1991-02-03", ["1991-02-03", "19910203", "1991/2/3", "1991.02.03", "1991年2月3日", "1991-02-03T08:00:00Z"]),
        ("plate", "京A12345", ["京A12345", "京A·12345", "京a 12345", "京Ａ•１２３４５"]),
        ("plate", "粤BD12345", ["粤BD12345", "粤B·D12345"]),
        ("plate", "粤Z1234港", ["粤Z·1234港"]),
        ("passport", "E12345678", ["E12345678", "e12345678", "E 1234-5678", "Ｅ１２３４５６７８"]),
        ("passport", "EA1234567", ["ea1234567"]),
        ("permit", "H1234567801", ["h1234567801", "H12345678 01"]),
        ("permit", "CA1234567", ["CA1234567"]),
        ("permit", "81000019900101123X", ["81000019900101123x"]),
        ("uscc", "91350100M000100Y43", ["91350100m000100y43", "91 350100 M000100Y4-3"]),
        ("social_id", "wxid_abc-1", ["wxid_abc-1", "WXID_ABC-1"]),
        ("ip", "192.0.2.17", ["192.0.2.17", "::ffff:192.0.2.17", "１９２.0.2.17"]),
        ("ip", "2001:db8::1", ["2001:DB8:0:0:0:0:0:1", "2001:db8::1%eth0"]),
        ("date", "2023-04-05", ["2023-04-05", "2023年4月5日", "20230405", "2023-04-05T08:00:00Z"]),
        ("number", "1234", ["1234", "1234.9", "1,234.56", "¥1,234", "+1234.0", "￥1234", "１２３４"]),
        ("number", "-1235", ["-1234.5", "-1,235", "-1235.000"]),
        ("number", "0", ["0", "-0.0", "0.99"]),
    ],
)  # fmt: skip
def test_all_spellings_have_one_normal_form(data_class: str, normal: str, spellings: list[str]) -> None:
    normalise = normal_form(DataClass(data_class))
    assert dict.fromkeys(spellings, normal) == {
        spelling: normalise(cleaned(spelling)) for spelling in spellings
    }


@pytest.mark.parametrize(
    ("data_class", "strangers"),
    [
        (
            "mobile",
            [
                "1380000123", "138000012345", "12800001234", "+13812345678", "+852 5123 4567", "010-12345678",
                "138O0001234", "一三八00001234", "abc@ex.com", "张三", "13800001234 13900001234", "13800001234转1",
                "٠١٢٣٤٥٦٧٨٩٠", "13800001234.0", "20230101123456", "",
            ],
        ),
        ("landline", ["12345678", "13800001234", "013800001234", "400-800-1234", "010-123456", "010-123456789", "+1 212 555 0100"]),
        (
            "resident_id",
            ["11010519491231002", "1101051949123100", "110105194912310021X", "110105194913310021", "110105194912320021",
             "010105194912310021", "6222021234567890128", "622202123456789012", "1101054912310021", "张三"],
        ),
        ("person_name", ["张三1", "13800001234", "abc@ex.com", "张三，李四", "北京市朝阳区建国路", "*", "·", "-张", "🀄", "_a"]),
        ("bank_card", ["622202123456", "62220212345678901234", "11010519491231002X", "110105194912310021", "8613800001234",
                       "008613800001234", "6222O21234560128", ""]),
        ("email", ["abc", "@ex.com", "abc@", "a@b@c.com", "abc@ex", "a b@ex.com", "13800001234 @ex.com", "abc@13800001234.com",
                   "abc@ex.123", "abc@北京市，朝阳区.cn", "abc@.com"]),
        ("birthday", ["1991", "1991-02", "1991-02-30", "1991-13-01", "0000-01-01", "19910230", "665798400", "13800001234", "1991-02-03号",
                      "明天"]),
        ("passport", ["E1234567", "E123456789", "123456789", "EAB123456", "11010519491231002X"]),
        ("permit", ["1234567", "A12345678", "110105194912310021", "H123456789"]),
        ("uscc", ["91350100M000100Y44", "91350100M000100Y4", "91350100I000100Y43", "110105194912310021", "0"]),
        ("social_id", ["abc", "1234", "张三", "a b c d e f", "0123456", "-abcdef", "a@ex.com", "x" * 21]),
        ("ip", ["192.0.2", "256.1.1.1", "010.1.1.1", "192.0.2.1:80", "192.0.2.0/24", "::g", "", "1"]),
        ("number", ["", "1e5", "nan", "inf", "1,23", "12,34,567", "1.", ".5", "1 2", "true", "0x10", "1" * 16, "13 元"]),
        ("plate", ["京A1234", "京AD123456", "A12345", "京12345", "京I", "京AI2345", "使123456", "京A12345京A12345"]),
    ],
)  # fmt: skip
def test_what_is_something_else_has_no_normal_form(data_class: str, strangers: list[str]) -> None:
    normalise = normal_form(DataClass(data_class))
    assert [stranger for stranger in strangers if normalise(cleaned(stranger)) is not None] == []


@pytest.mark.parametrize(
    ("data_class", "core"),
    [("mobile", "13800001234"), ("resident_id", "11010519491231002X"), ("bank_card", "6222021234560128")],
)
@given(
    breaks=st.lists(
        st.tuples(st.integers(0, 18), st.sampled_from(" -\u00a0\u3000\u200b\ufeff—（）")), max_size=12
    )
)
def test_separators_never_matter_between_digits(
    data_class: str, core: str, breaks: list[tuple[int, str]]
) -> None:
    spelled = core
    for place, separator in breaks:
        spelled = spelled[:place] + separator + spelled[place:]
    normalise = normal_form(DataClass(data_class))
    assert core == normalise(cleaned(spelled)) == normalise(cleaned(spelled.translate(WIDE)))


@pytest.mark.parametrize("data_class", PLAIN_FORMS)
@given(sampled=st.data())
def test_what_is_told_to_be_normal_at_once_is_its_own_normal_form(
    data_class: DataClass, sampled: st.DataObject
) -> None:
    text = sampled.draw(st.from_regex(PLAIN_FORMS[data_class], fullmatch=True))
    assert normal_form(data_class)(cleaned(text)) == text
    assert is_normal(data_class)(text)
