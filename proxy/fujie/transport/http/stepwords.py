"""What is left of a field at a step, in the words of who decides about it and writes no policies."""

from fujie.model.step import parse_step
from fujie.transport.http.words import LANGUAGES

_NAMED = {
    "reveal": ("明文", "as it is"),
    "omit": ("不提供", "left out"),
    "token": ("去标识化代号", "a pseudonym"),
    "network": ("仅网段", "its network alone"),
    "redact": ("隐去其中的个人信息", "without the personal data in it"),
    "regex": ("按规则隐去部分内容", "with parts replaced by a rule"),
    "bucket": ("仅所在区间", "the range that it lies in"),
}
_DOWN_TO = {
    "province": ("仅到省级", "down to the province"),
    "city": ("仅到市级", "down to the city"),
    "district": ("仅到区县", "down to the district"),
    "year": ("仅到年份", "the year alone"),
    "month": ("仅到月份", "year and month"),
}


def step_words(step: str, language: str) -> str:
    """Return what a step leaves, in one of LANGUAGES. `step` is a `Step` as text: raises ValueError for anything else."""
    return _words(step)[LANGUAGES.index(language)]


def _words(text: str) -> tuple[str, str]:
    step = parse_step(text)
    match step.name, step.args:
        case "keep", (int() as first, int() as last):
            return _kept(first, last)
        case "mask_range", (int() as start, int() as end):
            return (
                f"隐去第 {start + 1} 至 {end + 1} 位",
                f"without characters {start + 1} to {end + 1}",
            )
        case "before" | "after" as side, (chars, int() as kept):
            zh, rest = {"before": "之前", "after": "之后"}[side], f"，但保留前 {kept} 位" * bool(kept)
            but = f", but its first {kept}" * bool(kept)
            return f"隐去“{chars}”{zh}的内容{rest}", f"without what stands {side} “{chars}”{but}"
        case "region" | "date_part", (str() as level,):
            return _DOWN_TO[level]
        case "date_shift", (days,):
            return f"日期偏移，最多 {days} 天", f"moved by {days} days at most"
        case "round", (size,):
            return f"按 {size} 向下取整", f"rounded down to multiples of {size}"
        case "constant", (shown,):
            return f"固定显示“{shown}”", f"“{shown}” in its place"
        case name, _:
            return _NAMED[name]


def _kept(first: int, last: int) -> tuple[str, str]:
    zh = [f"前 {first} 位"] * bool(first) + [f"后 {last} 位"] * bool(last)
    en = [f"first {first}"] * bool(first) + [f"last {last}"] * bool(last)
    if not zh:
        return "全部隐去", "masked whole"
    return f"仅{'、'.join(zh)}", f"only the {' and '.join(en)}"
