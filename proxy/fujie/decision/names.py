"""Personal names: their shape, and how much of one is the surname."""

import re
from typing import Final

HAN: Final = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""Han characters, for use inside a regular expression's brackets."""

COMPOUND_SURNAMES: Final = frozenset(
    (  # noqa: SIM905 - as a list literal they are ninety lines
        "欧阳 太史 端木 上官 司马 东方 独孤 南宫 万俟 闻人 夏侯 诸葛 尉迟 公羊 赫连 澹台 皇甫 宗政 濮阳 公冶 "
        "太叔 申屠 公孙 慕容 仲孙 钟离 长孙 宇文 司徒 鲜于 司空 闾丘 亓官 司寇 巫马 公西 颛孙 壤驷 公良 漆雕 "
        "乐正 宰父 谷梁 拓跋 轩辕 令狐 段干 百里 呼延 东郭 南门 羊舌 微生 梁丘 左丘 西门 第五 南荣 纳兰 完颜 "
        "歐陽 司馬 東方 獨孤 南宮 萬俟 聞人 諸葛 尉遲 赫連 澹臺 濮陽 公孫 仲孫 鍾離 鐘離 長孫 鮮于 閭丘 巫馬 "
        "顓孫 壤駟 樂正 穀梁 軒轅 東郭 南門 西門 左丘 納蘭 完顏"
    ).split()
)
"""Surnames of two characters in use, simplified and traditional."""

_DOTS = str.maketrans(dict.fromkeys("•‧∙⋅・･●．", "·"))
_HAN_NAME = re.compile(f"[{HAN}]{{1,6}}|[{HAN}]{{1,12}}(?:·[{HAN}]{{1,12}}){{1,4}}")
# Any script; marks above and below the letters, as Latin names have them, too.
_LETTER_NAME = re.compile(r"[^\W\d_](?:[^\W\d_]|[ \-'’.·\u0300-\u036f]){0,63}")
_HAN_ONLY = re.compile(f"[{HAN}]+")
_BETWEEN_HAN = re.compile(rf"(?<=[{HAN}·])\s+(?=[{HAN}·])")


def name_of(cleaned: str) -> str | None:
    """Return the name in its normal form, or None when the text does not look like a name.

    All middle dots become `·`, and spaces between Han characters go: `张 三` is `张三`.
    """
    name = _BETWEEN_HAN.sub("", cleaned.translate(_DOTS)) if not cleaned.isascii() else cleaned
    is_name = _HAN_NAME.fullmatch(name) or (_LETTER_NAME.fullmatch(name) and not _is_long_han(name))
    return name if is_name else None


def surname_length(name: str) -> int:
    """Return how many leading code points of a normal name may count as its surname.

    Two for a compound surname with a given name behind it. One for everything else: for names with `·` and
    in other scripts, which put the given name first, that is an initial.
    """
    return 2 if len(name) > 2 and name[:2] in COMPOUND_SURNAMES and _HAN_ONLY.fullmatch(name) else 1


def _is_long_han(name: str) -> bool:
    # Seven or more Han characters in a row are an address or a company.
    return re.search(f"[{HAN}]{{7}}", name) is not None
