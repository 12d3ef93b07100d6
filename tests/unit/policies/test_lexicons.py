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


LETTERED = (
    "您预约的B超检查在门诊楼A座3层，请空腹前来。",
    "您的U盘订单已发货，预计明天送达。",
    "本店T恤第2件半价，欢迎选购。拒收请回复R",
    "会员K歌之夜本周五晚8点开始，请提前到场。",
    "您的X光片结果已出，请到1楼自助机打印。",
    "尊敬的VIP会员，您的积分将于月底到期。",
    "C位席已为您预留，请于7点前入场。",
    "您的5G套餐已升级，当月流量为30G。",
    "您好，A区停车位已满，请停B区。",
    "快递已放入E栈柜，取件码123456。",
    "请到D口出站，换乘2号线。",
    "您乘坐的G102次列车8点02分开车，检票口B12。",
    "您尾号1234的卡于3月5日支出100元。",
    "您的车辆京A12345年检将到期，请及时办理。",
    "Q币充值成功，余额50元。",
    "您的PS课程今晚开课，请点开App上课。",
    "维生素C片已到货，请到店领取。",
    "您的A4纸订单已出库，承运商为顺丰。",
    "升A班的同学请于周一报到。",
    "中心E座电梯检修，请走F座。",
    "唯品会员A级专场明天10点开始。",
    "第A组比赛在1号馆举行。",
    "请家长带好户口本A4复印件一份。",
    "您的O型血检测报告已出。",
    "下午3点见，地点在2号楼。",
    "会议于9点开始，请准时参加。",
    "活动今晚8点ok了吗，请回复。",
    "明早7点go，集合地点不变。",
    "优惠券已到账，满200减30，详见example.com",
    "请在App中点我的查看订单。",
    "您的订单含3点5折商品一件，已发货。",
    "营业时间8点am到10点pm，欢迎光临。",
    "您已预约3点id登记，请携带证件。",
    "请点to do列表查看任务。",
    "产品a点b区取货。",
    "您的H5页面已发布，请查看。",
    "您的V3版本合同已生成，请签署。",
    "Your table for 2 is booked at 7 pm. See you soon.",
    "Reply YES to confirm. It is dot matrix day.",
    "Your bit is done, dot the i and sign.",
    "请贷方J先生核对款项。",
    "本月还款日为15日，请留意余额。",
    "体检套餐A含胸片，套餐B含CT检查。",
    "小B同学您好，您的作业已批改。",
    "您的e通卡余额不足20元，请及时充值。",
    "T台秀门票已出票，座位K排8号。",
    "您的IC卡已制作完成，请到柜台领取。",
    "D型血袋预约成功，感谢您的爱心。",
    "您的IP属地已变更，如非本人请修改密码。",
    "新书《第N次》已到店，请到柜台取书。",
    "您的L码外套已补货，点此进入小程序查看。",
)
"""Ordinary messages, written for this: letters between Chinese characters, and hours that look like a dot spelled out."""


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
        *LETTERED,
    ],
)
def test_ordinary_messages_hold_none_of_them(text: str) -> None:
    assert found(text) == ()


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("國傢級品质，最 佳选择", {"superlatives"}),
        ("全城销量第①，全网最低价", {"superlatives_practice"}),
        ("醉佳之选", {"superlatives_practice"}),
        ("低息d贷k款", {"barred_sectors"}),
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
