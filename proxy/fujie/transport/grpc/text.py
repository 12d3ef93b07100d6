"""Texts and times of the wire: what every string and timestamp of a request must satisfy before it is believed.

A caller's text ends up in entries, in the ledger and on screens: control characters are refused at the
edge, so that nothing further in has to escape them.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from fujie.model.errors import RequestError

# The caps are in code points. All texts of one request together must fit one entry of the log
# (65,535 bytes, C2SP tlog-tiles), and the longest that are honest are far shorter.
NAME: Final = 128
"""A name of the bundle, configuration or vocabulary: the ids that DPV and Kubernetes allow fit (63 and 253 are theirs)."""
IDENTITY: Final = 256
"""A principal's id or a customer's id: OpenID Connect caps `sub` at 255, SQL keys are rarely longer."""
FREE: Final = 512
"""A reference in the caller's own words: an order, a ticket, a recording."""
PHONE: Final = 64
"""A phone number in any written form; E.164 has 15 digits."""
TOKEN: Final = 4_096
"""A token of ours: a prompt has some 500 characters, and more for a number that many share."""
ITEMS: Final = 64
"""Entries of one repeated field: roles, recipients, classes."""
FIELDS: Final = 128
"""Fields of one read mask: each comes back as a treatment and is named in the entry."""

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No consent record is older; a zero timestamp (1970) is a client that forgot to set it."""

_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# C0, DEL, C1 (ANSI escapes), the line and paragraph separators that split JSON log lines in some
# readers, and lone surrogates, which no encoder can write.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r"[A-Za-z0-9._:-]+")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def clean(value: str, field: str, most: int) -> str:
    """Return `value` when it is free of control characters and at most `most` code points long; it may be empty.

    Raises:
        RequestError: TEXT_INVALID or ARGUMENT_INVALID; its text holds nothing of the value.

    """
    if not value:
        return value
    if len(value) > most:
        raise RequestError(f"longer than {most} characters", field=field)
    if _FORBIDDEN.search(value):
        raise RequestError("NUL, control character or lone surrogate", code="TEXT_INVALID", field=field)
    return value


def are_short(values: Iterable[str]) -> bool:
    """Tell at once what `clean` would tell of each: that none has a control character, or is longer than any may be."""
    together = "".join(values)
    return len(together) <= NAME and not _FORBIDDEN.search(together)


def named(value: str, field: str, most: int = NAME) -> str:
    """Like `clean`, and refuse an empty text, or one with blanks around it: it would name somebody else."""
    bare = clean(value, field, most).strip()
    if not bare or bare != value:
        raise RequestError("must not be empty, nor begin or end with a blank", field=field)
    return value


def all_named(values: Sequence[str], field: str, most: int) -> Sequence[str]:
    """Return the values, each as `named` does: hundreds of plain ones are told at once."""
    if (
        values
        and _PLAIN.fullmatch("".join(values))
        and min(map(len, values))
        and max(map(len, values)) <= most
    ):
        return values
    return [named(value, field, most) for value in values]


def each(values: Iterable[str], field: str) -> tuple[str, ...]:
    """Return the entries of a repeated field in their order: none empty, none twice, at most 64."""
    entries = tuple(named(value, field) for value in values)
    if len(entries) > ITEMS:
        raise RequestError(f"more than {ITEMS} entries", field=field)
    if len(set(entries)) != len(entries):
        raise RequestError("an entry stands twice", field=field)
    return entries


def mask(paths: Iterable[str], field: str) -> tuple[str, ...]:
    """Return the names of a field mask, sorted, without duplicates.

    Raises:
        RequestError: FIELDS_UNBOUNDED when it is empty or holds `*` (PIPL article 6: the minimum);
            ARGUMENT_INVALID for a path that is not one plain name, or more than 128 paths.

    """
    asked = tuple(paths)
    return _mask(asked if len(asked) <= FIELDS else tuple(set(asked)), field)


@lru_cache(maxsize=1024)  # who asks for many customers asks for the same of each
def _mask(paths: tuple[str, ...], field: str) -> tuple[str, ...]:
    names = set(paths)
    if not names or "*" in names:
        raise RequestError("name every field", code="FIELDS_UNBOUNDED", field=field)
    if len(names) > FIELDS:
        raise RequestError(f"more than {FIELDS} fields", field=field)
    for name in names:
        if len(name) > NAME or not _FIELD_NAME.fullmatch(name):
            raise RequestError("a path is one field name without dots", field=field)
    return tuple(sorted(names))


def moment(stamp: Timestamp, field: str) -> datetime:
    """Return a timestamp as an aware UTC datetime, cut to microseconds.

    Raises:
        RequestError: ARGUMENT_INVALID before the year 2000, after 9999, or with nanoseconds out of range.

    """
    if not 0 <= stamp.nanos <= 999_999_999:
        raise RequestError("nanos out of range", field=field)
    if not _seconds(EARLIEST) <= stamp.seconds <= _seconds(_LATEST):
        raise RequestError("a time between the years 2000 and 9999 is needed", field=field)
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)


def _seconds(when: datetime) -> int:
    return int((when - _EPOCH).total_seconds())
