"""Addresses: how much of one is province, city and district.

Provinces are a closed list. Cities and districts are told by their suffix, directly behind, Han characters only
and no longer than such names are; there is no gazetteer. What does not parse is not kept, so an address that
does not begin with its province keeps nothing. A word of up to four characters written between city and
district without a break is taken for part of the district's name.
"""

import re
from collections.abc import Sequence
from typing import Final

from fujie.decision.names import HAN

_PROVINCE = (
    "(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|"
    "青海|台湾)"
)
_AUTONOMOUS = "(?:内蒙古自治区|广西壮族自治区|西藏自治区|宁夏回族自治区|新疆维吾尔自治区)"
_AUTONOMOUS_IN_SHORT = "(?:内蒙古|广西|西藏|宁夏|新疆)"
_MUNICIPALITY = "(?:北京|天津|上海|重庆)"
_SPECIAL_REGION = "(?:香港|澳门)特别行政区"

# Characters of streets and houses end a name; 自治州 and 自治县 carry the names of several peoples.
_IN_CITY = f"(?![省市区县路街巷弄号栋幢楼室])[{HAN}]"
_IN_DISTRICT = f"(?![省县街巷弄号栋幢楼室])[{HAN}]"
_CITY = rf"(?:(?:{_IN_CITY}){{2,9}}?自治州|(?:{_IN_CITY}){{2,4}}?(?:市(?!场)|地区|盟))"
_DISTRICT = (
    # 小区, 社区 and their like are housing estates (上街区 and 下花园区 are lost to that); 红旗 is a street's name; 沙市区 and 津市市 hold 市 twice.
    rf"(?:(?:{_IN_DISTRICT}){{2,12}}?自治[县旗]|(?:{_IN_DISTRICT}){{1,4}}?"
    r"(?:(?<![小社校厂景院片街宅活属园库军学])区|县|(?<!红)旗|市(?![场区市])))"
)
# A short name counts only where a city follows: 吉林市 is a city, 江苏路 is a street.
_IN_PROVINCE = (
    rf"(?:中国)?({_PROVINCE}省|{_AUTONOMOUS}|(?:{_PROVINCE}|{_AUTONOMOUS_IN_SHORT})(?={_CITY}))",
    rf"({_CITY})?",
    rf"({_DISTRICT})?",
)
# It is its own city, often written twice (北京市北京市朝阳区); so is a special administrative region.
_IN_MUNICIPALITY = (
    rf"(?:中国)?({_MUNICIPALITY}(?:市|(?={_DISTRICT}))|{_SPECIAL_REGION})",
    rf"(?:{_MUNICIPALITY}市|市辖区)?",
    rf"({_DISTRICT})?",
)

LEVELS: Final = ("province", "city", "district")
"""From wide to narrow; each level keeps what the levels before it keep."""

# What a level does not keep is not searched for: it stands at the end, and changes nothing of what stands before it.
_DOWN_TO: Final = {
    level: tuple(re.compile("".join(parts[: n + 1])).match for parts in (_IN_PROVINCE, _IN_MUNICIPALITY))
    for n, level in enumerate(LEVELS)
}


_EACH_DOWN_TO: Final = {
    level: re.compile(
        f"^(?:{''.join(_IN_PROVINCE[: n + 1])}|{''.join(_IN_MUNICIPALITY[: n + 1])}|).*\n", re.MULTILINE
    ).findall
    for n, level in enumerate(LEVELS)
}


def regions_of(addresses: Sequence[str], level: str) -> list[str]:
    """Return what `region_of` does for each of many addresses without line breaks, by one search."""
    return list(map("".join, _EACH_DOWN_TO[level]("\n".join((*addresses, "")))))


def region_of(address: str, level: str) -> str:
    """Return what a cleaned address without spaces says down to `level`, "" when nothing can be told.

    `level` is one of `LEVELS`. A level that the address does not name, or that does not parse, adds nothing.
    """
    in_province, in_municipality = _DOWN_TO[level]
    found = in_province(address) or in_municipality(address)
    return "".join(found.groups(default="")) if found else ""
