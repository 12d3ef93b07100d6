import pytest

from fujie.model.step import KNOWN_STEPS
from fujie.transport.http.stepwords import step_words

SAID = {
    "reveal": ("明文", "as it is"),
    "keep(3,4)": ("仅前 3 位、后 4 位", "only the first 3 and last 4"),
    "keep(1,0)": ("仅前 1 位", "only the first 1"),
    "keep(0,4)": ("仅后 4 位", "only the last 4"),
    "keep(0,0)": ("全部隐去", "masked whole"),
    "mask_range(3,6)": ("隐去第 4 至 7 位", "without characters 4 to 7"),
    "before(@,1)": ("隐去“@”之前的内容，但保留前 1 位", "without what stands before “@”, but its first 1"),
    "after(@)": ("隐去“@”之后的内容", "without what stands after “@”"),
    "region(province)": ("仅到省级", "down to the province"),
    "region(city)": ("仅到市级", "down to the city"),
    "region(district)": ("仅到区县", "down to the district"),
    "date_part(year)": ("仅到年份", "the year alone"),
    "date_part(month)": ("仅到月份", "year and month"),
    "date_shift(30)": ("日期偏移，最多 30 天", "moved by 30 days at most"),
    "network": ("仅网段", "its network alone"),
    "round(100)": ("按 100 向下取整", "rounded down to multiples of 100"),
    "bucket(18,65)": ("仅所在区间", "the range that it lies in"),
    "redact": ("隐去其中的个人信息", "without the personal data in it"),
    "regex(/[0-9]+/)": ("按规则隐去部分内容", "with parts replaced by a rule"),
    "token": ("去标识化代号", "a pseudonym"),
    "constant(有)": ("固定显示“有”", "“有” in its place"),
    "omit": ("不提供", "left out"),
}


@pytest.mark.parametrize("step", SAID)
def test_each_step_is_told_in_both_languages(step: str) -> None:
    assert (step_words(step, "zh"), step_words(step, "en")) == SAID[step]


def test_no_step_is_without_words() -> None:
    known = {each.partition("(")[0] for each in KNOWN_STEPS.replace(" or ", ", ").split(", ")}
    assert {each.partition("(")[0] for each in SAID} == known
