"""What replies mean: no spelling of a refusal gets past, and nothing that reads like one opens anything."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.keywords import START_WORDS, STOP_WORDS, Meaning, fold, meaning_of

CLOSING = {Meaning.STOP, Meaning.MAYBE_STOP}
NOISE = st.text(
    st.characters(categories=("P", "S", "Z", "Cc", "Cf")).filter(lambda c: not fold(c)), max_size=4
)


def wide(text: str) -> str:
    """Return the full-width form of ASCII, as Chinese keyboards write it."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@given(st.sampled_from(sorted(STOP_WORDS)), st.data())
def test_no_noise_case_or_width_hides_a_stop_word(word: str, data: st.DataObject) -> None:
    spelt = data.draw(st.sampled_from([word, word.lower(), wide(word), wide(word.lower())]))
    noisy = "".join(data.draw(NOISE) + char for char in spelt) + data.draw(NOISE)
    assert meaning_of(noisy) is Meaning.STOP


@given(
    st.sampled_from(sorted(word for word in STOP_WORDS if len(word) > 1 and not word.isnumeric())),
    st.data(),
)
def test_a_stop_word_among_others_never_passes_for_nothing(word: str, data: st.DataObject) -> None:
    before, after = (data.draw(st.text(max_size=20)) for _ in range(2))
    assert meaning_of(f"{before} {word.lower()} {after}") in CLOSING


@given(st.text(max_size=200))
def test_every_text_has_a_meaning_and_folding_keeps_letters_and_digits_alone(text: str) -> None:
    assert meaning_of(text) in Meaning
    assert all(unicodedata.category(char)[0] in "LN" for char in fold(text))


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_words_are_in_their_folded_form_and_mean_one_thing() -> None:
    assert all(fold(word) == word and word for word in STOP_WORDS | START_WORDS)
    assert not STOP_WORDS & START_WORDS


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("ＴＤ", Meaning.STOP), ("t d", Meaning.STOP), ("TD.", Meaning.STOP), ("\u200bTD", Meaning.STOP),
        ("退订！", Meaning.STOP), ("退訂", Meaning.STOP), ("R", Meaning.STOP), ("r。", Meaning.STOP),
        ("Stop all", Meaning.STOP), ("opt-out", Meaning.STOP), ("0000", Meaning.STOP),
        ("STOP PLEASE", Meaning.MAYBE_STOP), ("Please stop messaging me", Meaning.MAYBE_STOP),
        ("回复TD退订", Meaning.MAYBE_STOP), ("请别发了谢谢", Meaning.MAYBE_STOP), ("不要发短信给我", Meaning.MAYBE_STOP),
        ("S\u200bT\u200bO\u200bP now", Meaning.MAYBE_STOP), ("STOP 12345", Meaning.MAYBE_STOP),
        ("don't text me", Meaning.MAYBE_STOP), ("START 退订", Meaning.MAYBE_STOP), ("我要投诉", Meaning.MAYBE_STOP),
        ("START", Meaning.START), ("unstop", Meaning.START), ("恢复订阅", Meaning.START),
        ("停发", Meaning.STOP), ("回复T", Meaning.STOP), ("回TD", Meaning.STOP), ("arrêt", Meaning.STOP),
        ("不要再给我发短信了", Meaning.MAYBE_STOP), ("別再發給我", Meaning.MAYBE_STOP), ("我不想再收到你们的广告", Meaning.MAYBE_STOP),
        ("I want to opt out", Meaning.MAYBE_STOP), ("don’t contact me again", Meaning.MAYBE_STOP),
        ("please have me unsubscribed", Meaning.MAYBE_STOP), ("take me off your list", Meaning.MAYBE_STOP),
        ("🛑", Meaning.MAYBE_STOP), ("TD 🙏", Meaning.STOP), ("START 🛑", Meaning.START),
        ("退定", Meaning.MAYBE_STOP), ("请退顶", Meaning.MAYBE_STOP), ("tuiding", Meaning.MAYBE_STOP), ("unsuscribe me", Meaning.MAYBE_STOP),
        ("RR", Meaning.MAYBE_STOP), ("t t t", Meaning.MAYBE_STOP), ("tdtd!", Meaning.MAYBE_STOP), ("退！退！退！", Meaning.MAYBE_STOP),
        ("R，谢谢", Meaning.MAYBE_STOP), ("ｔｄ 你们太烦了", Meaning.MAYBE_STOP), ("N。不来了", Meaning.MAYBE_STOP),
        ("不需要", Meaning.MAYBE_STOP), ("不用了。", Meaning.MAYBE_STOP), ("NO", Meaning.MAYBE_STOP), ("no, thanks", Meaning.MAYBE_STOP),
        ("别烦我了", Meaning.MAYBE_STOP), ("取關", Meaning.MAYBE_STOP), ("拒", Meaning.MAYBE_STOP), ("不。", Meaning.MAYBE_STOP),
        ("R\n\nSent from my phone", Meaning.MAYBE_STOP), ("\r\nT\r\n-- \nMr Wang", Meaning.MAYBE_STOP),
        ("YES", Meaning.OTHER), ("weekend", Meaning.OTHER), ("Mr T is here", Meaning.OTHER),
        ("码是0000对吗", Meaning.OTHER), ("", Meaning.OTHER), ("谢谢", Meaning.OTHER),
    ],
)  # fmt: skip
def test_what_people_write(text: str, meaning: Meaning) -> None:
    assert meaning_of(text) is meaning


@pytest.mark.parametrize(
    "text",
    [
        "请再发一次短信", "有别的颜色吗，发一下图", "特别想收到你们的消息", "不要发票，谢谢", "还没收到货", "分别发给我", "别人的快递，联系一下",
        "T恤还有吗", "N95口罩有货吗", "N 95 有吗", "R级会员是什么", "你好\nR", "T is here", "不用谢", "不要紧，慢慢来", "no problem", "not now", "TNT",
        "退款了吗", "推荐一下", "麻烦发货快点", "请发到公司", "怎么退款", "退货地址是哪里", "不要辣", "Can you send it again?", "not received yet", "See you at 5",
    ],
)  # fmt: skip
def test_what_customers_ask_of_a_service_is_no_refusal(text: str) -> None:
    assert meaning_of(text) is Meaning.OTHER
