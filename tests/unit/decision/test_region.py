"""Addresses: province, city and district are kept, streets and houses are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.classes import cleaned, normal_form
from fujie.decision.region import LEVELS, region_of, regions_of
from fujie.model.data_class import DataClass


@pytest.mark.parametrize(
    ("address", "province", "city", "district"),
    [
        ("河北省石家庄市长安区中山东路1号2栋303室", "河北省", "石家庄市", "长安区"),
        ("中国河北省石家庄市长安区中山东路1号", "河北省", "石家庄市", "长安区"),
        ("河北石家庄市长安区中山东路1号", "河北", "石家庄市", "长安区"),
        ("北京市朝阳区建国路1号", "北京市", "", "朝阳区"),
        ("北京市北京市朝阳区建国路1号", "北京市", "", "朝阳区"),
        ("北京市市辖区朝阳区建国路1号", "北京市", "", "朝阳区"),
        ("北京朝阳区建国路1号", "北京", "", "朝阳区"),
        ("上海市浦东新区世纪大道1号", "上海市", "", "浦东新区"),
        ("重庆市酉阳土家族苗族自治县桃花源街道", "重庆市", "", "酉阳土家族苗族自治县"),
        ("香港特别行政区湾仔区港湾道1号", "香港特别行政区", "", "湾仔区"),
        ("内蒙古自治区锡林郭勒盟正蓝旗上都镇", "内蒙古自治区", "锡林郭勒盟", "正蓝旗"),
        ("内蒙古自治区呼伦贝尔市鄂伦春自治旗", "内蒙古自治区", "呼伦贝尔市", "鄂伦春自治旗"),
        ("新疆维吾尔自治区喀什地区疏附县", "新疆维吾尔自治区", "喀什地区", "疏附县"),
        ("云南省西双版纳傣族自治州景洪市", "云南省", "西双版纳傣族自治州", "景洪市"),
        ("青海省海西蒙古族藏族自治州德令哈市", "青海省", "海西蒙古族藏族自治州", "德令哈市"),
        ("吉林省吉林市船营区北京路1号", "吉林省", "吉林市", "船营区"),
        ("湖南省常德市津市市人民路", "湖南省", "常德市", "津市市"),
        ("湖北省荆州市沙市区江津路", "湖北省", "荆州市", "沙市区"),
        ("江苏省苏州市昆山市玉山镇", "江苏省", "苏州市", "昆山市"),
        ("海南省陵水黎族自治县椰林镇", "海南省", "", "陵水黎族自治县"),
        # what stands where a district would stand, but is not one
        ("河北省石家庄市阳光小区3号楼", "河北省", "石家庄市", ""),
        ("河北省石家庄市幸福社区3号楼", "河北省", "石家庄市", ""),
        ("河北省石家庄市中山路12号院区", "河北省", "石家庄市", ""),
        ("河北省石家庄市红旗大街1号", "河北省", "石家庄市", ""),
        ("河北省石家庄市南三条市场", "河北省", "石家庄市", ""),
        ("河北省南三条市场3号", "河北省", "", ""),
        ("河北省王小二的家在石家庄市", "河北省", "", ""),
        # no province first: nothing is kept
        ("石家庄市长安区中山东路1号", "", "", ""),
        ("吉林市船营区北京路1号", "", "", ""),
        ("北京路100号", "", "", ""),
        ("江苏路12号", "", "", ""),
        ("张三，河北省石家庄市", "", "", ""),
        ("13800001234", "", "", ""),
        ("Room 5, 1 Chang'an Street, Beijing", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_an_address_is_kept_down_to_the_level(
    address: str, province: str, city: str, district: str
) -> None:
    normal = normal_form(DataClass.ADDRESS)(cleaned(address))
    assert normal is not None
    assert [province, province + city, province + city + district] == [
        region_of(normal, level) for level in LEVELS
    ]


ADDRESS_PIECES = st.lists(
    st.sampled_from(list("省市区县旗州盟路街号小红旗张三王一0")) | st.sampled_from(["河北省", "北京", "北京市", "石家庄市", "自治州", "自治县"]),
    max_size=14,
).map("".join)  # fmt: skip


@given(ADDRESS_PIECES)
def test_a_region_is_a_bounded_part_of_the_address_and_levels_nest(address: str) -> None:
    province, city, district = (region_of(address, level) for level in LEVELS)
    assert district.startswith(city)
    assert city.startswith(province)
    assert len(province) <= len("新疆维吾尔自治区")
    assert len(district) <= len(province) + 12 + 14
    assert all(part in address for part in (province, city))
    assert not any(digit in district for digit in "0")


@given(st.lists(ADDRESS_PIECES | st.text(st.characters(exclude_characters="\n")), max_size=6))
@pytest.mark.parametrize("level", LEVELS)
def test_regions_of_many_addresses_are_those_of_each(level: str, addresses: list[str]) -> None:
    assert regions_of(addresses, level) == [region_of(address, level) for address in addresses]
