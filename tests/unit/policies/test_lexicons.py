"""The shipped lexicons: only the law's own words deny, each says where it comes from, ordinary messages pass."""

from functools import cache

import pytest

from fujie.decision.folding import fold
from fujie.decision.wording import Finding, Words
from fujie.policy.bundle import Lexicon, Severity
from support.law import articles
from support.shipped import PACKS, bundle


@cache
def words() -> Words:
    return Words(bundle(PACKS).lexicons.values())


def found(text: str) -> tuple[Finding, ...]:
    return words().find(fold(text))


def test_only_the_words_that_the_law_lists_deny() -> None:
    denied = [each for each in bundle(PACKS).lexicons.values() if each.severity is Severity.DENY]
    assert [(each.articles, set(each.words)) for each in denied] == [
        (("AdLaw-9",), {"国家级", "最高级", "最佳"})
    ]
    assert not any(each.exceptions for each in denied)


def test_every_article_is_one_that_the_rule_base_knows_and_was_read() -> None:
    for lexicon in bundle(PACKS).lexicons.values():
        status = {articles()[article]["status"] for article in lexicon.articles}
        denies = lexicon.severity is Severity.DENY
        assert status <= ({"read"} if denies else {"read", "provider"}), lexicon.name


@pytest.mark.parametrize("lexicon", bundle(PACKS).lexicons.values(), ids=lambda each: each.name)
def test_every_word_is_found_and_every_exception_is_not(lexicon: Lexicon) -> None:
    alone = Words([lexicon])
    for word in lexicon.words:
        assert word in [each.word for each in alone.find(fold(f"您好，{word}。"))]
    for text in lexicon.exceptions:
        assert alone.find(fold(f"您好{text}。")) == ()


@pytest.mark.parametrize(
    "text",
    [
        "您的验证码是 123456，5 分钟内有效，请勿告知他人。",
        "您的订单已发货，顺丰单号后四位 0042，预计明日送达。",
        "包裹已到转运中心，请注意查收。",
        "市第一人民医院提醒您：明日上午复诊，请携带病历。",
        "会员日满 200 减 30，详见 example.com ，拒收请回复R",
        "尊敬的会员，您的积分将于月底到期，请第一时间使用。",
        "本店坚持绿色环保，本周六照常营业。",
        "您的课程将于周五晚七点开始，请提前十分钟进入教室。",
        "Your order has shipped and should arrive on Friday.",
        "Your code is 482913. Do not share it.",
        "Members save 10% this weekend. Reply STOP to opt out.",
    ],
)
def test_ordinary_messages_hold_none_of_them(text: str) -> None:
    assert found(text) == ()


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("國傢級品质，最 佳选择", {"superlatives"}),
        ("全城销量第①，全网最低价", {"superlatives_practice"}),
        ("保·本理财，稳赚不赔", {"finance_guarantees"}),
        ("祖传秘方，根*治鼻炎，无副作用", {"medical_guarantees"}),
        ("名师押题，包过班火热报名", {"education_guarantees"}),
        ("投资增值潜力大，学区名额有限", {"property_promises"}),
        ("点击领取现金红包，加威信详聊", {"inducement"}),
        ("免息借款，低息贷款秒批", {"barred_sectors"}),
        ("We are №1 and the b.e.s.t e.v.e.r", {"superlatives_practice"}),
    ],
)
def test_what_is_not_to_be_said_is_found(text: str, categories: set[str]) -> None:
    assert categories <= {each.category for each in found(text)}
