"""Consents in a file: which column says what, in the words of Chinese and English spreadsheets.

A cell that is empty says nothing; one that can not be read makes its row ARGUMENT_INVALID. Columns that nothing of ours
is named like are not sent.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fujie.app.cli.sheets import BadFile, packed, table

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from google.protobuf.timestamp_pb2 import Timestamp

    from fujie.v1 import consent_service_pb2 as consent_v1

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "customer_id": ("客户编号", "客户ID"),
    "phone": ("手机号", "手机号码"),
    "type": ("类型", "客户意愿"),
    "purpose": ("目的", "处理目的"),
    "channel": ("渠道",),
    "event_time": ("时间", "同意时间"),
    "valid_until": ("有效期至",),
    "notice_id": ("告知编号",),
    "notice_version": ("告知版本",),
    "notice_language": ("告知语言",),
    "notice_digest": ("告知摘要",),
    "preselected": ("默认勾选",),
    "bundled": ("捆绑同意",),
    "explicit": ("明示同意",),
    "separate": ("单独同意",),
    "collection_method": ("收集方式",),
    "withdrawal_method": ("撤回方式",),
    "source": ("来源",),
    "evidence_ref": ("凭证编号", "证据编号"),
    "jurisdiction": ("法域",),
}
"""What a column may say, and the Chinese headings that are known by themselves; the English one is the name."""

NEEDED: Final = ("type", "purpose", "event_time")
"""What every row must say, beside whom it is about."""

_TYPES = {
    "requested": "REQUESTED", "given": "GIVEN", "refused": "REFUSED", "withdrawn": "WITHDRAWN",
    "已询问": "REQUESTED", "同意": "GIVEN", "拒绝": "REFUSED", "撤回": "WITHDRAWN",
}  # fmt: skip
_CHANNELS = {"短信": "sms", "电话": "voice", "邮件": "email", "微信": "wechat", "全部": "any"}
_YES = frozenset({"yes", "true", "1", "y", "是"})
_NO = frozenset({"no", "false", "0", "n", "否"})
_TIMES = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d")
"""How spreadsheets write what is not ISO 8601."""

_TEXTS = (
    "purpose", "collection_method", "withdrawal_method", "source", "evidence_ref", "jurisdiction",
)  # fmt: skip


class _BadRow(Exception):
    """A row that says nothing; its code is the text."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is to be read: `headings` by what they say, `constants` for all rows, the `store` of customer ids, and
    the zone of times that name none (None: such a time is none)."""

    headings: Mapping[str, str]
    constants: Mapping[str, str]
    store: str
    zone: tzinfo | None


@dataclass(slots=True)
class ConsentRows:
    """The rows of one file on their way, like `recipients.Rows`. `unread` are the headings that are not sent."""

    file: Path
    layout: Layout
    lines: "array[int]" = field(default_factory=lambda: array("I"))
    refused: dict[str, list[int]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def messages(self) -> "Iterator[list[consent_v1.ConsentRow]]":
        """Yield rows in messages of a size that the server takes. Raises BadFile."""
        return packed(self._rows(), self.lines, self.refused)

    def _rows(self) -> "Iterator[tuple[int, consent_v1.ConsentRow | str]]":
        rows = table(self.file)
        try:
            _, heading = next(rows)
        except StopIteration:
            raise BadFile("FILE_EMPTY", f"{self.file} has no heading") from None
        places = self._places(heading)
        for line, cells in rows:
            if not any(cells):
                continue
            said = dict(self.layout.constants)
            said.update((name, cells[at]) for name, at in places.items() if at < len(cells))
            try:
                yield line, _row(said, self.layout)
            except _BadRow as bad:
                yield line, str(bad)

    def _places(self, heading: Sequence[str]) -> Mapping[str, int]:
        places = {}
        for name, known in HEADINGS.items():
            given = self.layout.headings.get(name)
            found = [
                at for at, each in enumerate(heading) if each in ((given,) if given else (name, *known))
            ]
            if given and not found:
                raise BadFile("COLUMN_MISSING", f"{self.file} has no column {given}")
            if len(found) > 1 or (found and name in self.layout.constants):
                raise BadFile("COLUMN_TWICE", f"{self.file} says {name} twice")
            if found:
                places[name] = found[0]
        said = {*places, *self.layout.constants}
        if missing := [name for name in NEEDED if name not in said]:
            raise BadFile("COLUMN_MISSING", f"{self.file} has no column {missing[0]}")
        if not ("phone" in places or ("customer_id" in places and self.layout.store)):
            raise BadFile(
                "COLUMN_MISSING", f"{self.file} has no column phone, nor customer_id with --store"
            )
        read = set(places.values())
        self.unread = tuple(each for at, each in enumerate(heading) if each and at not in read)
        return places


def _row(said: Mapping[str, str], layout: Layout) -> "consent_v1.ConsentRow":
    from fujie.v1 import consent_service_pb2 as consent_v1
    from fujie.v1 import types_pb2 as types_v1

    number = said.get("customer_id", "") if layout.store else ""
    kind = said.get("type", "")  # a row may end before it
    key = types_v1.StoreKey(store=layout.store, customer_id=number) if number else None
    record = consent_v1.ConsentRecord(
        type=f"CONSENT_EVENT_TYPE_{_of(_TYPES, kind.lower())}",
        channel=_CHANNELS.get(said.get("channel", ""), said.get("channel", "")),
        explicit=_is(said, "explicit") or False,
        separate=_is(said, "separate") or False,
        notice=consent_v1.NoticeRef(
            id=said.get("notice_id", ""),
            version=said.get("notice_version", ""),
            language=said.get("notice_language", ""),
            digest=said.get("notice_digest", ""),
        ),
    )
    for name in _TEXTS:
        setattr(record, name, said.get(name, ""))
    for name, field_ in (("event_time", record.event_time), ("valid_until", record.valid_until)):
        if said.get(name):
            _set(field_, _time(said[name], layout.zone))
    capture = consent_v1.Capture()
    for name in ("preselected", "bundled"):  # what the file leaves open stays open
        if (is_so := _is(said, name)) is not None:
            setattr(capture, name, is_so)
    ref = types_v1.CustomerRef(store_key=key) if key else types_v1.CustomerRef(phone=said.get("phone", ""))
    return consent_v1.ConsentRow(customer=ref, consent=record, capture=capture)


def _set(stamp: "Timestamp", when: datetime) -> None:
    try:
        stamp.FromDatetime(when)
    except (OverflowError, ValueError):  # in UTC it lies outside the years 1 to 9999
        raise _BadRow("ARGUMENT_INVALID") from None


def _of(table: Mapping[str, str], text: str) -> str:
    try:
        return table[text]
    except KeyError:
        raise _BadRow("ARGUMENT_INVALID") from None


def _is(said: Mapping[str, str], name: str) -> bool | None:
    text = said.get(name, "").lower()
    if text and text not in _YES | _NO:
        raise _BadRow("ARGUMENT_INVALID")
    return text in _YES if text else None


def _time(text: str, zone: tzinfo | None) -> datetime:
    """Return a time with its zone."""
    found = None
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
    for form in _TIMES if found is None else ():
        with suppress(ValueError):
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes from the layout
    if found is None or (found.tzinfo is None and zone is None):
        raise _BadRow("ARGUMENT_INVALID")
    return found if found.tzinfo else found.replace(tzinfo=zone)
