"""The review of a message: each fact says what the text says, and what nobody looked at is not there."""

from collections.abc import Iterable
from datetime import date

import pytest

from fujie.decision import review as module
from fujie.decision.message import render
from fujie.decision.review import Review, Reviewer
from fujie.model.facts import BUILT_IN_FACTS
from fujie.model.message import Category, Draft, Sender, Template
from fujie.model.vocabulary import State
from fujie.policy.bundle import Lexicon, Severity

LEXICONS = (
    Lexicon(
        "a", "superlatives", ("AdLaw-9",), Severity.DENY, "test", date(2026, 11, 21), ("国家级", "最佳")
    ),
    Lexicon(
        "b", "practice", ("AdLaw-9",), Severity.WARN, "test", date(2026, 11, 21), ("第一",), ("第一医院",)
    ),
)
LINK = "https://m.fujie.example/c/13800138000best最佳"
SENDER = Sender("示例", frozenset({"tencent"}), frozenset({"example.com"}))


def review(
    text: str,
    params: dict[str, str] | None = None,
    *,
    category: Category = Category.MARKETING,
    sender: Sender | None = SENDER,
    signature: str = "示例",
    provider: str = "tencent",
    country: str = "CN",
    template: Template | None = None,
    lexicons: Iterable[Lexicon] = LEXICONS,
) -> Review:
    draft = Draft(category, signature, "" if template else text, template.id if template else "")
    made = render(draft, template, params or {}, LINK)
    return Reviewer(lexicons).review(made, draft, template, sender, provider, country)


def fact(name: str, text: str, params: dict[str, str] | None = None, **how: object) -> object:
    return review(text, params, **how).facts.get(f"message.{name}")  # type: ignore[arg-type]  # one table, many types


def test_an_ordinary_message_has_every_fact_but_its_price_and_whether_it_is_in_a_campaign() -> None:
    found = review("双十一大促，详见 example.com ，拒收请回复R")
    assert found.findings == ()
    assert found.facts == {
        "message.category": State.MARKETING, "message.provider": "tencent", "message.is_template": False, "message.segments": 1,
        "message.has_signature": True, "message.signature_registered": True, "message.has_refusal": True,
        "message.links": State.LISTED, "message.findings": (), "message.concerns": (), "message.personal_data": (),
        "message.variables_fit": True,
    }  # fmt: skip
    assert {*found.facts, "message.in_campaign", "message.asks", "message.cost"} == {
        name for name in BUILT_IN_FACTS if name.startswith("message.")
    }


@pytest.mark.parametrize(
    ("text", "findings", "concerns"),
    [
        ("国 家 級最.佳第一", ("superlatives",), ("practice",)),
        ("市第一医院提醒您复诊", (), ()),
        ("您的包裹已到", (), ()),
        ("Your parcel has arrived.", (), ()),
    ],
)
def test_words_become_categories_by_severity(
    text: str, findings: tuple[str, ...], concerns: tuple[str, ...]
) -> None:
    assert fact("findings", text) == findings
    assert fact("concerns", text) == concerns


def test_without_lexicons_nobody_looked() -> None:
    found = review("最佳", lexicons=())
    assert not {"message.findings", "message.concerns"} & found.facts.keys()


def test_a_word_in_a_variable_is_a_word_of_the_message() -> None:
    assert fact("findings", "{shop}欢迎您", {"shop": "最佳"}) == ("superlatives",)
    assert fact("findings", "最{x}佳", {"x": "·"}) == ("superlatives",)


@pytest.mark.parametrize(
    "text",
    ["大促，拒收请回复R", "大促，拒收请回复Ｒ。", "大促 回T退订", "大促【回TD退订】", "大促，退訂回t！", "Sale! Reply STOP to opt out.", "Sale! Reply STOP to opt-out", "Sale. Text stop to end\n",
     "大促，拒 收 请 回 复 R"],
)  # fmt: skip
def test_refusal_wording_at_the_end_is_seen(text: str) -> None:
    assert fact("has_refusal", text) is True


@pytest.mark.parametrize(
    "text",
    ["大促", "拒收请回复R，谢谢惠顾大促", "如需退订请致电", "Don't stop", "R", "回复R领取红包", "non-stop"],
)
def test_what_is_not_refusal_wording_at_the_end_is_none(text: str) -> None:
    assert fact("has_refusal", text) is False


def test_a_signature_counts_only_as_the_one_that_is_put_before() -> None:
    assert fact("has_signature", "大促", signature="") is False
    for text in ("【别家】大促", "大促【别家】", "大促】"):
        assert fact("has_signature", text) is False


def test_a_signature_is_registered_for_its_providers_alone() -> None:
    assert fact("signature_registered", "大促", provider="aliyun") is False
    assert fact("signature_registered", "大促", sender=None) is False
    assert fact("signature_registered", "大促", signature="别家") is False
    assert fact("signature_registered", "大促", provider="aliyun", sender=Sender("示例")) is True


def test_segments_count_the_signature_and_the_link() -> None:
    assert fact("segments", "好" * 66) == 1  # with 【示例】 70
    assert fact("segments", "好" * 67) == 2
    assert fact("segments", "{link}" + "好" * 30) == 2
    assert fact("segments", "a" * 160, signature="", country="US") == 1


def test_the_customers_own_page_is_a_listed_link_and_hides_no_other() -> None:
    assert fact("links", "详见{link}", sender=None) is State.LISTED
    assert fact("links", "详见{link} evil.com") is State.UNLISTED
    assert fact("links", "详见http://evil.com@{link}") is State.UNLISTED
    assert fact("links", "详见{link}.evil.com") is State.UNLISTED
    assert fact("links", "{link} t.cn/x") is State.SHORTENED
    assert fact("links", "example.com", sender=None) is State.UNLISTED
    assert fact("links", "{x}.com", {"x": "evil"}) is State.UNLISTED


def test_what_stands_in_the_customers_own_link_is_neither_word_nor_number() -> None:
    found = review("详见{link}")
    assert found.facts["message.personal_data"] == found.facts["message.findings"] == ()


def test_personal_data_are_found_by_kind_and_the_recipients_own_name_is_none() -> None:
    own = {"name": "张三", "phone": "13800138000"}
    assert fact("personal_data", "{name}您好，姓名：{name}", {"name": "张三"}) == ()
    assert fact("personal_data", "{name}您好，回电{phone}", own) == ("mobile",)
    assert fact("personal_data", "{name}您好，收件人：李四", {"name": "张三"}) == ("person_name",)
    assert fact("personal_data", "回电１３８ ００１３ ８０００ 或 a@example.com") == ("email", "mobile")
    assert fact("personal_data", "身份证11010519491231002X") == ("resident_id",)


def test_nothing_that_was_found_repeats_what_was_personal() -> None:
    found = review("最佳{phone}", {"phone": "13800138000"})
    assert "13800138000" not in repr(found)


def test_the_rules_on_variables_are_those_of_the_kind_of_provider() -> None:
    of = Template("t", "1", Category.VERIFICATION, "验证码{code}", {"code": 10})
    draft = Draft(Category.VERIFICATION, "示例", template="t")
    made, reviewer = render(draft, of, {"code": "12345678"}, ""), Reviewer(())
    for provider, kind, fits in (
        ("tencent", "", False),
        ("main", "tencent", False),
        ("main", "twilio", True),
        ("main", "", None),
    ):
        facts = reviewer.review(made, draft, of, None, provider, "CN", kind).facts
        assert facts.get("message.variables_fit") is fits
        assert facts["message.is_template"] is True


def test_texts_that_come_again_are_answered_from_memory_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_TEXTS", 3)
    reviewer, draft = Reviewer(LEXICONS), Draft(Category.MARKETING, "示例", "{x}最佳")
    made = [render(draft, None, {"x": str(n)}, "") for n in range(10)]
    first = [reviewer.review(each, draft, None, SENDER, "tencent", "CN") for each in made]
    assert len(reviewer._looked) == 3
    looked = reviewer._looked[(made[9].bare, made[9].filled)]
    again = [reviewer.review(each, draft, None, SENDER, "tencent", "CN") for each in reversed(made)]
    assert again == first[::-1]
    assert looked.findings == first[9].findings


def test_one_text_from_memory_still_knows_who_sends_it_where() -> None:
    reviewer, draft = Reviewer(LEXICONS), Draft(Category.MARKETING, "示例", "好" * 70 + "example.com")
    made = render(draft, None, {}, "")
    ours = reviewer.review(made, draft, None, SENDER, "tencent", "CN").facts
    other = reviewer.review(
        made, draft, None, Sender("示例", frozenset(), frozenset({"x.cn"})), "aliyun", "US"
    ).facts
    assert (ours["message.links"], other["message.links"]) == (State.LISTED, State.UNLISTED)
    assert (ours["message.provider"], other["message.provider"]) == ("tencent", "aliyun")
