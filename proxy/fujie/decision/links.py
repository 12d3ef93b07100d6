"""Links in a text, and where they lead: with a scheme or without, as a phone or a person would follow them.

The doubt goes against the text. Every run of letters with dots that ends like a domain counts, since phones make links of
such; so does a host that no browser would open, and one in another script never leads to a listed domain, as those are
ASCII. Of Chinese letters beside a host only those that touch a dot are part of it: nobody puts blanks around 登录example.com.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final
from unicodedata import normalize

from fujie.model.vocabulary import State

SHORTENERS: Final = frozenset(
    {
        *("t.cn", "url.cn", "dwz.cn", "suo.im", "suo.nz", "c7.gg", "rrd.me", "sourl.cn", "mrw.so", "u.nu", "985.so", "w.url.cn"),
        *("bit.ly", "bitly.com", "tinyurl.com", "goo.gl", "t.co", "is.gd", "v.gd", "ow.ly", "buff.ly", "rebrand.ly", "cutt.ly"),
        *("rb.gy", "shorturl.at", "tiny.cc", "t.ly", "s.id", "lnkd.in", "dub.sh", "soo.gd", "bl.ink", "adf.ly"),
    }
)  # fmt: skip
"""Domains under which anybody may have a link that leads anywhere. Not from a standard: well-known services, put together
2026-11 for review, since Huawei and others refuse such links in notifications."""

_SURE: Final = frozenset(
    {
        *("com", "cn", "net", "org", "gov", "edu", "top", "xyz", "cc", "info", "io"),
        *("me", "co", "site", "shop", "club", "link", "icu", "ltd", "hk", "tw", "mo"),
    }
)
"""Endings for which a full stop (。) counts as a dot, and a number as a name: 163.com, not 2.APP."""
_OF_FILES: Final = frozenset(
    {
        *("apk", "csv", "doc", "docx", "exe", "gif", "htm", "html", "jpeg", "jpg", "js", "json", "jsp", "pdf", "php", "png"),
        *("ppt", "pptx", "ts", "txt", "xls", "xlsx", "xml"),
    }
)  # fmt: skip
"""Endings of names (Node.js, 清单.pdf) under which nobody can have a domain: none is in the root zone, read 2026-11."""
_CHINESE_ENDINGS: Final = re.compile(
    r"(?<=\w)\.(?:中国|中國|公司|网络|網絡|网址|在线|中文网|商城|网店|集团|手机|我爱你|政务|公益)"
)

_DOT = (
    r"[ ]?[\[({<【〔][ ]?(?:[.。点點]|dot)[ ]?[\])}>】〕][ ]?"
    rf"|(?<=[0-9a-z])(?:[ ]?[点點][ ]?| (?:dot|[.。]) )(?=(?:{'|'.join(sorted(_SURE))})(?![0-9a-z]))"
)
"""A dot in brackets anywhere; one that is spelled out (evil dot com, evil点com) where what follows leaves no doubt."""
_SPELLED_DOT = re.compile(_DOT)
_SPELLED_SHORT = re.compile(
    "(?<![0-9a-z])(?:"
    + "|".join(
        r"(?:[ ]?[点點][ ]?| (?:dot|[.。]) )".join(map(re.escape, each.split(".")))
        for each in sorted(SHORTENERS)
    )
    + ")(?![0-9a-z])"
)
"""A known shortener with its dot spelled out (bit点ly, bit dot ly), whatever it ends with."""
_SHORT_DOT = re.compile("[ ]?[点點][ ]?| (?:dot|[.。]) ")
# Letters of scripts that are written with blanks, and what can not be seen, which a host must not hold and hides in.
_OF_HOST = (
    r"0-9a-z_\-\u00ad\u00c0-\u1fff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2c00-\u2dff\ua640-\uabff\ufb00-\ufdff"
    r"\ufe00-\ufe0f\ufe20-\ufe2f\ufe70-\ufeff"
)
_BESIDE_A_DOT = r"[^\x00-\x7f\s。、](?=\.)|(?<=\.)[^\x00-\x7f\s。、]"
_START = re.compile(
    rf"://(?P<authority>(?:[{_OF_HOST}.。@:]|{_BESIDE_A_DOT})*)|(?P<run>(?:[{_OF_HOST}.。@]|{_BESIDE_A_DOT})+)"
)
_REST = re.compile(r"(?::[0-9]{0,5})?[/?#\\][!-&*+\-./0-:=?@a-z\\^_~%]*")
_UNSEEN = re.compile("[\u00ad\u200b\u200c\u200d\u2060]")
_ENDING = re.compile(r"xn--[a-z0-9-]{1,59}|[^\W\d_]{2,63}")
_DOTS = re.compile(r"\.{2,}")


def links(text: str) -> tuple[str, ...]:
    """Return the hosts that links of `text` lead to, in lower case and in order; empty for one that can not be read.

    Linear in the text; never raises.
    """
    plain = _SPELLED_DOT.sub(".", normalize("NFKC", normalize("NFKC", text).lower()))
    plain = _SPELLED_SHORT.sub(lambda match: _SHORT_DOT.sub(".", match[0]), plain)
    found = [(match.start(), "") for match in _CHINESE_ENDINGS.finditer(plain)]
    place = 0
    while match := _START.search(plain, place):
        hosts = list(_hosts(match))
        place = match.end()
        if hosts and plain.startswith("\\", place):
            hosts.append("")  # what stands before it is a host to browsers, and a name to others
        found += [(match.start(), host) for host in hosts]
        if hosts and (rest := _REST.match(plain, place)):
            place = rest.end()
    return tuple(host for _, host in sorted(found, key=lambda each: each[0]))


def judged(hosts: tuple[str, ...], domains: frozenset[str]) -> State:
    """Return the worst of what links lead to: a known shortener, elsewhere, only to `domains` or below, nothing at all."""
    if any(_is_under(host, SHORTENERS) for host in hosts):
        return State.SHORTENED
    if not all(_is_under(host, domains) for host in hosts):
        return State.UNLISTED
    return State.LISTED if hosts else State.NONE


def _is_under(host: str, domains: frozenset[str]) -> bool:
    labels = host.split(".")
    return host.isascii() and any(".".join(labels[i:]) in domains for i in range(len(labels)))


def _hosts(match: re.Match[str]) -> Iterator[str]:
    run = match["run"]
    if run is None:
        # What stands before the last @ is a name and a password, however much it looks like a host.
        host = match["authority"].replace("。", ".").rpartition("@")[2].partition(":")[0].strip(".")
        yield host if all(host.split(".")) else ""
        return
    for piece in _sentences(run):
        for part in _DOTS.split(piece):
            host = part.strip("@").rpartition("@")[2].strip(".-")
            if _is_host(host):
                yield host


def _sentences(run: str) -> list[str]:
    """Split where a full stop ends a sentence: everywhere, but in a host whose ending leaves no doubt."""
    if "。" not in run:
        return [run]
    whole = run.replace("。", ".").strip(".")
    is_host = whole.rpartition(".")[2] in _SURE or whole.startswith("www.") or whole in SHORTENERS
    return [whole] if is_host else run.split("。")


def _is_host(host: str) -> bool:
    labels = host.split(".")
    if len(labels) < 2 or not all(labels):
        return False
    if _is_address(host):
        return True
    ending = _UNSEEN.sub("", labels[-1])
    if len(labels) == 2 and labels[0].isdecimal() and ending not in _SURE:
        return False
    return bool(_ENDING.fullmatch(ending)) and ending not in _OF_FILES and not _is_chinese(ending)


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_chinese(label: str) -> bool:
    return any("\u3040" <= c <= "\u9fff" for c in label)
