"""The entry: one leaf of the evidence log, and its exact bytes.

The form is fixed from the first day, since a log can not be repaired later. The set of keys never varies:
what does not apply is "" or empty. Customers appear as random sids only; facts that the catalogue marks
personal are in `sealed`, encrypted per customer, so that erasing a key leaves every proof valid.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import TypeAlias

from fujie.audit.canon import canonical, parse
from fujie.audit.errors import EntryInvalid, EntryTooLarge

MAX_ENTRY_BYTES = 65_535
"""A C2SP entry bundle prefixes each entry with its length in 16 bits. Over it: refuse, never drop or cut."""

VERSION = 1

FactValue: TypeAlias = str | int | bool | tuple[str, ...]

_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch


class EntryKind(StrEnum):
    """What the entry records. A side effect writes admission, release per chunk, and outcome (promise 2)."""

    DECISION = "decision"
    ADMISSION = "admission"
    RELEASE = "release"
    OUTCOME = "outcome"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of the log (DESIGN section 6). Text fields that do not apply are "", maps are empty.

    `uid` identifies the entry, `decision_id` ties the entries of one request together. `time` is RFC 3339 UTC
    with six digits of a second (`2026-11-21T08:00:00.000000Z`); the order of the log is its index, not `time`.
    `origin` is the log it is written to. `fields` maps each field to the step it left at, `facts` each fact
    path to the value decided on, `sealed` each sid to base64 of `sealing.seal_facts`. `bundle` is the digest
    of the policy bundle, `request_digest` that of the request, `engine` the engine and its version.
    """

    uid: str
    time: str
    origin: str
    kind: EntryKind
    decision_id: str = ""
    principal: str = ""
    on_behalf_of: str = ""
    action: str = ""
    purpose: str = ""
    basis: str = ""
    store: str = ""
    sids: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    effect: str = ""
    reasons: tuple[str, ...] = ()
    facts: Mapping[str, FactValue] = field(default_factory=dict)
    sealed: Mapping[str, str] = field(default_factory=dict)
    bundle: str = ""
    request_digest: str = ""
    engine: str = ""
    v: int = VERSION


_NAMES = tuple(f.name for f in fields(Entry))
_values = attrgetter(*_NAMES)
_TEXTS = frozenset(_NAMES) - {"v", "kind", "sids", "reasons", "fields", "facts", "sealed"}


def leaf_bytes(entry: Entry) -> bytes:
    """Return the exact bytes that are stored, hashed and verified: canonical JSON.

    Raises EntryTooLarge over 65,535 bytes, EntryInvalid when a value is outside the domain of `canonical`,
    or when version, uid, origin or time are not of their form.
    """
    check_own(entry.uid, entry.time)
    return fit(canonical(plain(entry)))


def plain(entry: Entry) -> dict[str, object]:
    """Return the entry as `canonical` takes it. Raises EntryInvalid for another version, and without an origin."""
    if entry.v != VERSION or not entry.origin:
        raise EntryInvalid("version or origin of the entry is not of its form")
    values = dict(zip(_NAMES, _values(entry), strict=True))
    values["v"] = VERSION
    values["kind"] = str(entry.kind)
    values["fields"] = dict(entry.fields)
    values["facts"] = dict(entry.facts)
    values["sealed"] = dict(entry.sealed)
    return values


def check_own(uid: str, time: str) -> None:
    """Raise EntryInvalid unless both are of their form."""
    if not uid or not _is_time(time):
        raise EntryInvalid("uid or time of the entry is not of its form")


def fit(leaf: bytes) -> bytes:
    """Return the bytes of an entry. Raises EntryTooLarge over 65,535."""
    if len(leaf) > MAX_ENTRY_BYTES:
        raise EntryTooLarge(f"the entry needs {len(leaf)} bytes, the limit is {MAX_ENTRY_BYTES}")
    return leaf


def parse_entry(leaf: bytes) -> Entry:
    """Return the entry of these bytes. Raises EntryInvalid unless `leaf_bytes` would give back the same bytes."""
    plain = parse(leaf)
    if not isinstance(plain, dict) or plain.keys() != set(_NAMES):
        raise EntryInvalid("not an entry: other keys than the fixed set")
    shaped = (
        all(isinstance(plain[name], str) for name in _TEXTS)
        and all(_is_texts(plain[name]) for name in ("sids", "reasons"))
        and all(_is_text_map(plain[name]) for name in ("fields", "sealed"))
        and isinstance(plain["facts"], dict)
        and all(isinstance(v, str | int) or _is_texts(v) for v in plain["facts"].values())
        and plain["kind"] in list(EntryKind)
        and plain["v"] == VERSION
    )
    if not shaped:
        raise EntryInvalid("not an entry: a value of another type, or another version")
    plain["kind"] = EntryKind(plain["kind"])
    plain["sids"] = tuple(plain["sids"])
    plain["reasons"] = tuple(plain["reasons"])
    plain["facts"] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["facts"].items()}
    entry = Entry(**plain)
    if leaf_bytes(entry) != leaf:
        raise EntryInvalid("not canonical: other bytes than the entry's own encoding")
    return entry


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
