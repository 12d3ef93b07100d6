"""What a customer who answers a message means: stop, perhaps stop, start, or something else.

A text is folded first, so that spelling tricks and habits of keyboards do not matter: NFKD (full-width forms, accents),
upper case, then only letters and digits (categories L* and N*) stay. `ＴＤ`, `t d`, `TD.` and `退订！` are one word.

A whole text that is a stop word closes. A text that holds one among others (STOP PLEASE) closes marketing too, since
nobody may have to say no twice, and goes to a person: the FCC takes any reasonable way of saying it (47 CFR
64.1200(a)(10)), and exact words alone are the known weak point of providers. Words of one character or of digits alone count
as a whole text only, since `T` or `N` may be anything within another.
"""

import re
import unicodedata
from enum import StrEnum


class Meaning(StrEnum):
    """What a reply says. MAYBE_STOP: it reads like a refusal, and a person must look."""

    STOP = "stop"
    MAYBE_STOP = "maybe_stop"
    START = "start"
    OTHER = "other"


# Sources, looked at 2026-11: the replies that Aliyun (T), Tencent and Huawei (R, TD) print under marketing messages; the
# default opt-out and opt-in words of Twilio, AWS End User Messaging and Telnyx; the rest is ours.
_CARRIERS = ("R", "T", "TD", "N", "0000")
_COPIED = tuple(
    how + code for how in ("回", "回复", "回覆", "發送", "发送") for code in ("R", "T", "TD", "N")
)
"""Who copies the instruction, and does not follow it, means the same."""
_ENGLISH = (
    *("STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"),  # Twilio
    *("ARRET", "REMOVE"),  # AWS
    "UNSUB",
)
_CHINESE = (
    *("退订", "退", "取消", "取消订阅", "拒收", "拒绝", "不要再发", "停止", "别发了"),
    *("退訂", "取消訂閱", "拒絕", "不要再發", "別發了"),
    *("停", "停发", "停止发送", "停發", "停止發送", "别再发", "別再發", "不再接收", "请勿打扰", "請勿打擾"),
)
_READS_LIKE_STOP = (
    *("骚扰", "騷擾", "投诉", "投訴", "举报", "舉報"),
    *("勿扰", "勿擾", "拉黑", "屏蔽", "報警", "报警"),
    *(
        "DONTTEXT",
        "DONOTTEXT",
        "DONTSEND",
        "DONOTSEND",
        "DONTCONTACT",
        "DONOTCONTACT",
        "DONTMESSAGE",
        "DONOTMESSAGE",
    ),
    *("NOMORE", "LEAVEMEALONE", "SPAM", "OPTOUT", "OPTMEOUT", "OPTINGOUT", "TAKEMEOFF", "UNSUBSCRIB"),
)
_MISSPELT = (
    *(
        "退定",
        "退顶",
        "退頂",
        "推订",
        "推訂",
        "TUIDING",
        "取关",
        "取關",
        "拒接",
        "滚开",
        "滾開",
        "别烦",
        "別煩",
        "烦死",
        "煩死",
    ),
    *("UNSUSCRIB", "UNSUBCRIB", "UNSCRIBE", "NOTINTERESTED", "STOPIT"),
)
"""As they are typed in a hurry, and what is said in anger."""
_CURT = (
    *("不要", "不要了", "不需要", "不用", "不用了", "不感兴趣", "不感興趣", "没兴趣", "沒興趣"),
    *("滚", "滾", "拒", "否", "不"),
    *("NO", "NOPE", "NOTHANKS", "NOTHANKYOU"),
)
"""Each, alone, says no to whatever came; within another text it may say no to anything."""
_REPEATED = re.compile(r"(TD|R|T|N|退)\1+")
"""Who writes a code twice means it: RR, TDTD, 退退退."""
_CODE_FIRST = re.compile(r"\s*+(?:TD|R|T|N)[\s,.;!~、。]++[^0-9A-Z]*+")
"""A code, a mark or blank, and something that is neither a word nor a number of Latin script: `R，谢谢`, not `T恤` or `N 95`."""
_REFUSES = re.compile(
    # Not 特别, 别的; 不准确; and 不要发票 is about an invoice.
    r"(?:不要|不想|不愿|不願|不用|不需|不准(?!确|時|时)|不許|不许|禁止|勿|莫(?=[再发發])|(?<![特区分性级类告个識识差])[别別](?![的人处墅名])).{0,6}?"
    r"(?:[发發](?!票|货|貨)|收到|推送|推销|推銷|打扰|打擾|烦我|煩我|联系|聯繫|联络|短信|信息|消息|广告|廣告)"
)
"""A no, and up to six characters behind it what is not wanted: 不要再给我发短信了."""
_SIGNS = frozenset("🛑🚫⛔🔕")
"""What refuses where nothing else is written."""
_START = ("START", "UNSTOP", "恢复订阅", "恢復訂閱", "重新订阅", "重新訂閱")
"""Without YES, which answers anything."""


def fold(text: str) -> str:
    """Return the letters and digits of a text, in one form of each."""
    return "".join(char for char in _upper(text) if _counts(char))


def _upper(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).upper())


def _counts(char: str) -> bool:
    return unicodedata.category(char)[0] in "LN"


STOP_WORDS = frozenset(fold(word) for word in (*_CARRIERS, *_COPIED, *_ENGLISH, *_CHINESE))
"""Each, alone, is a refusal."""

START_WORDS = frozenset(map(fold, _START))
"""Each, alone, asks to begin again."""

_WITHIN = frozenset(word for word in STOP_WORDS if len(word) > 1 and not word.isnumeric())
_LATIN = frozenset(word for word in _WITHIN if word.isascii())
_PHRASES = tuple(sorted((_WITHIN - _LATIN) | set(map(fold, (*_READS_LIKE_STOP, *_MISSPELT)))))
_NO = frozenset(map(fold, _CURT))


def meaning_of(text: str) -> Meaning:
    """Return what a reply means. Total; nothing that holds a stop word is anything but STOP or MAYBE_STOP."""
    folded = fold(text)
    if folded in STOP_WORDS:
        return Meaning.STOP
    if folded in START_WORDS:
        return Meaning.START
    if not folded and not _SIGNS.isdisjoint(text):
        return Meaning.MAYBE_STOP
    if not _LATIN.isdisjoint(_words(text)) or any(phrase in folded for phrase in _PHRASES):
        return Meaning.MAYBE_STOP
    if folded in _NO or _REPEATED.fullmatch(folded) or _CODE_FIRST.fullmatch(_upper(text)) or _begins(text):
        return Meaning.MAYBE_STOP
    if _REFUSES.search(folded):
        return Meaning.MAYBE_STOP
    return Meaning.OTHER


def _begins(text: str) -> bool:
    """Tell whether the first line is a refusal: below it stands what a phone puts under every message."""
    return any(fold(line) in STOP_WORDS for line in text.strip().splitlines()[:1])


def _words(text: str) -> list[str]:
    """Return the runs of ASCII letters and digits: `END` is one in `the end`, and none in `weekend`.

    What is written without a space beside another script (`请STOP`) is a word of its own; format characters within one,
    which nobody sees, do not end it, nor do accents.
    """
    seen = (char for char in _upper(text) if unicodedata.category(char) not in ("Cf", "Mn"))
    return "".join(char if char.isascii() and _counts(char) else " " for char in seen).split()
