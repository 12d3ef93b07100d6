"""Where links lead: what a phone or a person would follow counts, and doubt goes against the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.links import SHORTENERS, judged, links
from fujie.model.vocabulary import State

OURS = frozenset({"example.com", "shop.example.cn"})


def state(text: str) -> State:
    return judged(links(text), OURS)


@pytest.mark.parametrize(
    "text",
    ["", "您好，验证码 123456，请勿告知他人。", "3.5折起，12.30前，v2.0，No.1", "谢谢。中国移动", "1.APP登录 2.VIP专享", "下载APP。VIP会员尊享",
     "好的...ok", "24/7.Call", "Mr. Wang, 5 p.m. e.g. x", "和/或", "2026.11.21", "1:30", "a.b", "价格￥3.50/件", "感谢您。.", "…", "@张三",
     "habit点ly", "bit 的 ly", "IS点GDP", "it is dot matrix",
     "Node.js培训", "附件清单.pdf", "ready.html", "上午9点开始", "3点common room", "10点 见", "the dot command", "a dot b", "Hi. Me too"],
)  # fmt: skip
def test_what_is_no_link_is_none(text: str) -> None:
    assert state(text) is State.NONE


@pytest.mark.parametrize(
    "text",
    ["详见https://example.com/a?b=c#d", "请登录example.com查看", "example.com。谢谢", "EXAMPLE.com:8443/x", "（m.shop.example.cn）", "ｅｘａｍｐｌｅ．ｃｏｍ",
     "www.example.com", "kefu@example.com", "https://user@example.com/", "官网example.com或shop.example.cn", "【店】http://example.com./",
     "//example.com", "👉example.com"],
)  # fmt: skip
def test_links_to_our_domains_are_listed(text: str) -> None:
    assert state(text) is State.LISTED


@pytest.mark.parametrize(
    "text",
    ["evil.com", "example.com evil.com", "evilexample.com", "example.com.evil.com", "http://example.com@evil.com/", "http://example.com:x@evil.com",
     "http://evil.com\\@example.com", "http://example.com\\@evil.com", "http://evil.com/@example.com", "http://evil.com#@example.com", "http://evil.com?@example.com",
     "evil。com", "www。evil。vip", "evil[.]com", "evil(dot)com", "evil【.】com", "http://evil。vip",
     "evil dot com", "EVIL DOT COM", "evil点com", "evil 點 cn", "163点com", "evil . com", "www.evil点com", "http://node.js", "evil.html.com",
     "evil.js/x.com", "evil (dot) com", "evil [.] com/x", "evil.c\u00adom", "evil.co\u200bm/x",
     "1.2.3.4", "１．２．３．４/a", "http://3232235777/", "http://0x7f.1/", "http://[::1]/", "http://", "http:///evil",
     "xn--xample-9uf.com", "еxample.com", "exámple.com", "exa\u0301mple.com", "exam\u200bple.com", "examp\u00adle.com", "http://examp\u202ele.com", "example.com\u2060.evil.com",
     "example.com假.com", "例子.中国", "假.example.evil.com", "和/或.evil.com", "weixin://dl/business", "javascript://x", "ftp://evil.com", "example.com,evil.com",
     "example.com/a;evil.com", "example.com%2eevil.com", "http://exa%6dple.com", "straße.de", "例子。com.evil.net", "http://假example.com", "example。com。evil。com",
     "HTTPS://EVIL.COM", "evil.com@", "a..evil.com", "evil.com..example.com", "[http://evil.com]"],
)  # fmt: skip
def test_links_elsewhere_are_not(text: str) -> None:
    assert state(text) is State.UNLISTED


@pytest.mark.parametrize(
    "text",
    [
        "t.cn/A6abc",
        "戳t.cn/x查看",
        "http://bit.ly/x evil.com",
        "https://BIT.LY/x",
        "dwz．cn/x example.com",
        "a.t.cn",
        "t。cn/x",
        "bit。ly/x",
        "戳bit点ly/x",
        "bit dot ly",
        "登录is 点 gd看",
    ],
)
def test_a_shortener_is_worse_than_anything_else(text: str) -> None:
    assert state(text) is State.SHORTENED
    assert judged(links(text), frozenset({"t.cn", "bit.ly", "dwz.cn", "example.com"})) is State.SHORTENED


def test_domains_of_shorteners_are_lower_case_names() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain) for domain in SHORTENERS)


@given(st.text(st.characters(), max_size=200))
def test_no_text_breaks_the_search(text: str) -> None:
    assert isinstance(links(text), tuple)


LABELS = st.from_regex(r"[a-z][a-z0-9]{1,8}", fullmatch=True)
FILLER = st.text(st.sampled_from("您好点击查看，。！（）【】 \n"), max_size=10)


@given(
    st.lists(LABELS, min_size=1, max_size=4),
    st.sampled_from(["", "http://", "HTTPS://", "//", "http://example.com@"]),
    FILLER,
    FILLER,
)
def test_a_foreign_host_is_seen_wherever_it_stands(
    labels: list[str], scheme: str, before: str, after: str
) -> None:
    host = ".".join([*labels, "evil", "net"])
    assert host in links(f"{before}{scheme}{host}{after}")
    assert state(f"example.com {before}{scheme}{host}{after} example.com") is State.UNLISTED


@pytest.mark.parametrize("piece", ["a", "a.", "://", "a@", "[.", "。", "a/", "例.", "1.", "http://a"])
def test_long_runs_of_anything_are_read_to_their_end(piece: str) -> None:
    assert "evil.com" in "".join(links(piece * 2_000 + " evil.com"))
