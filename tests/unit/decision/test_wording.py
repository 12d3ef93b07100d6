"""Words of lexicons are found however they are written, and nothing else is."""

import sys
from collections.abc import Sequence
from datetime import date
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.folding import fold
from fujie.decision.wording import Words
from fujie.policy.bundle import Lexicon, Severity

SOURCE = ("test", date(2026, 11, 21))
DENIED = Lexicon(
    "superlatives",
    "superlatives",
    ("AdLaw-9",),
    Severity.DENY,
    *SOURCE,
    ("国家级", "最佳", "最高级", "后来居上"),
)
WARNED = Lexicon(
    "practice", "practice", ("AdLaw-9",), Severity.WARN, *SOURCE, ("no.1", "保本", "唯一", "第一", "100%", "best", "c++", "risk free", "★"),
    ("第一医院",),
)  # fmt: skip
WORDS = Words([DENIED, WARNED])


def found(text: str, words: Words = WORDS) -> list[str]:
    return [each.word for each in words.find(fold(text))]


TRADITIONAL = str.maketrans("国级后来", "國級後來")
LOOKALIKES = str.maketrans({"国": "囯", "最": "朂", "级": "級", "第": "苐", "一": "弌"})
FULL_WIDTH = {c: chr(ord(c) + 0xFEE0) for c in map(chr, range(0x21, 0x7F))}
FORMATS = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u2063"
MARKS = ".·-_*~/|\u3000 ❤😀…—"
CLAUSES = "，。！？；\n"


@given(word=st.sampled_from([*DENIED.words, "第一", "唯一", "保本"]), data=st.data())
def test_a_word_is_found_through_every_disguise(word: str, data: st.DataObject) -> None:
    between = MARKS + FORMATS + (CLAUSES if word in DENIED.words else "")
    gaps = st.text(st.sampled_from(between), max_size=4)
    dressed = data.draw(st.sampled_from([word, word.translate(TRADITIONAL), word.translate(LOOKALIKES)]))
    spread = "".join(c + data.draw(gaps) for c in dressed)
    around = st.text(st.sampled_from("您好的店铺，。 \u200b"), max_size=8)
    assert word in found(data.draw(around) + spread + data.draw(around))


@given(data=st.data())
def test_a_latin_word_is_found_through_every_disguise(data: st.DataObject) -> None:
    forms = [["b", "B", "ｂ", "В"], ["e", "É", "е", "ｅ"], ["s", "S", "ѕ"], ["t", "T", "Т", "ｔ"]]
    gap = data.draw(st.sampled_from(["", " ", " . ", "-", "\u200b", "*"]))
    dressed = [data.draw(st.sampled_from(each)) for each in forms]
    marks = st.text(st.sampled_from("-.*_" + FORMATS), max_size=3)
    assert found("the " + gap.join(dressed) + " shop") == ["best"]
    assert found("the " + "".join(c + data.draw(marks) for c in dressed) + " shop") == ["best"]


HARMLESS = st.text(
    st.characters(
        exclude_characters="国家级最高佳后来居上no1保本唯一第百bestrikf★c+囯圀髙冣朂㝡苐弌壹ー國級後來"
    ),
    max_size=80,
)


@given(HARMLESS.filter(lambda text: not set(fold(text).plain) & set("国家级最高佳后来居上n1保本唯第bsrc★")))
def test_texts_of_other_characters_hold_no_word(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    ["本店绿色环保，本店欢迎您", "国家电网级联设备", "bestow asbestos be st. louis", "c+ c plus", "满100元减10", "piano 1 hour", "2100%x", "risky freedom",
     "第市第二，一起来", "第3一", "最abc佳", "保A，本", "保\n本", "市第一医院就诊提醒", "a100%"],
)  # fmt: skip
def test_what_only_looks_like_a_word_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("全城最佳口碑，销量第一！", ["最佳", "第一"]),
        ("最x佳，保kk本", ["最佳", "保本"]),  # letters between, which no Chinese word has
        ("第a一医院", ["第一"]),
        ("最，佳", ["最佳"]),  # who is denied a word gets nowhere with a comma
        ("100％正品", ["100%"]),
        ("We are No. 1, no 1, №1, No．1!", ["no.1"]),
        ("the b e s t", ["best"]),
        ("risk-free, riskfree", ["risk free"]),
        ("learn C++ now", ["c++"]),
        ("五★好评", ["★"]),
        ("第一医院旁，销量第一", ["第一"]),
        ("第一，医院推荐", ["第一"]),  # an exception is one word
        ("第 一 医院", ["第一"]),
        ("最佳最佳", ["最佳"]),
    ],
)
def test_words_are_named_as_the_lexicon_has_them(text: str, words: Sequence[str]) -> None:
    assert found(text) == words


def test_an_exception_of_one_lexicon_opens_nothing_of_another() -> None:
    more = Lexicon("own", "own", ("X",), Severity.DENY, *SOURCE, ("第一",))
    assert [each.category for each in Words([WARNED, more]).find(fold("第一医院"))] == ["own"]


def test_a_word_of_two_lexicons_is_two_findings() -> None:
    more = Lexicon("own", "own", ("X",), Severity.WARN, *SOURCE, ("最佳",))
    one, two = Words([DENIED, more]).find(fold("最佳"))
    assert {(one.category, one.articles), (two.category, two.articles)} == {
        ("superlatives", ("AdLaw-9",)),
        ("own", ("X",)),
    }


def test_without_words_nothing_is_found() -> None:
    assert found("最佳", Words([])) == []
    assert found("最佳★", Words([Lexicon("s", "s", ("X",), Severity.DENY, *SOURCE, ("★",))])) == ["★"]


def steps(text: str) -> int:
    """Return how many lines of ours a search runs, which no load of the machine changes."""
    counted = 0
    ours: dict[CodeType, bool] = {}

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal counted
        code = frame.f_code
        if not ours.setdefault(code, "fujie" in code.co_filename):
            return None
        counted += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found(text)
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize(
    "piece", ["最", "最佳", "第一医院", "b e s t ", "最.", "，", "好", "no.1", "100%", "\u200b", "1 "]
)
def test_the_work_grows_with_the_text_and_no_faster(piece: str) -> None:
    steps(piece * 200)  # what is learned of characters once is not counted
    one, four = steps(piece * 200), steps(piece * 800)
    assert four <= 4.2 * one + 100
