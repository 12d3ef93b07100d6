"""An export: who took which part of a store out, in which chunks, and how long its file can be opened."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fujie.model.errors import RequestError

MOST_ROWS = 10_000_000
"""The most customers that one export may ask for."""

CHUNK = 1_000
"""Customers of a chunk at most: what a release entry holds, and few enough to be checked again within a second."""

BATCH = 500
"""Rows that are read, and decided on, together at most: few enough that nobody else waits for long."""

LEASED_CHUNK = 100
"""The same of a leased file, whose key opens and dies by the chunk."""

EXPIRED, USED_UP = "EXPORT_EXPIRED", "EXPORT_USED_UP"
"""Why the keys of a leased file are destroyed by themselves."""

_COLLECTION = "exports/"
_is_id = re.compile(r"[0-9a-f]{32}").fullmatch


def id_of(name: str) -> str:
    """Return the id in `exports/<id>`; empty when it is none."""
    export_id = name.removeprefix(_COLLECTION)
    return export_id if name.startswith(_COLLECTION) and _is_id(export_id) else ""


class Format(StrEnum):
    """How rows are written. XLSX is made of JSON lines by the command line."""

    CSV = "csv"
    JSON_LINES = "json_lines"


class ExportState(StrEnum):
    """How far an export came. A worker that died leaves RUNNING behind; its chunks tell what left."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long a leased file can be opened, and how often (`opens_left` after those so far)."""

    expires_at: datetime
    opens_left: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Export:
    """One export. `id` is its decision id; `requester` who asked, `caller` who called. `steps` are the most open step of each
    field. `rows` left so far. `reason` tells why it STOPPED. `approval` is the id of the approval that it used up. `lease` is None where no file was asked for; `closed_at`,
    `closed_by`, `closed_why` tell that its keys were destroyed (`why`: a reason code, such as EXPORT_REVOKED). `grants` are digests of those by which its
    rows may have left (`decision/entitlement.py`)."""

    id: str
    requester: str
    caller: str
    store: str
    purpose: str
    basis: str
    steps: Mapping[str, str]
    request_digest: str
    bundle: str
    started_at: datetime
    format: Format
    approval: str = ""
    state: ExportState = ExportState.RUNNING
    ended_at: datetime | None = None
    reason: str = ""
    rows: int = 0
    lease: Lease | None = None
    closed_at: datetime | None = None
    closed_by: str = ""
    closed_why: str = ""
    grants: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{_COLLECTION}{self.id}"

    def lease_at(self, now: datetime) -> Lease:
        """Return the lease as long as it can be opened. Raises RequestError with the reason why it can not."""
        if self.lease is None:
            raise RequestError(code="EXPORT_NOT_FOUND", field="name")
        if self.closed_at is not None and self.closed_why not in {EXPIRED, USED_UP}:
            raise RequestError(code="EXPORT_CLOSED", field="name")
        if self.lease.opens_left < 1:
            raise RequestError(code=USED_UP, field="name")
        if self.lease.expires_at <= now or self.closed_at is not None:
            raise RequestError(code=EXPIRED, field="name")
        return self.lease


@dataclass(frozen=True, slots=True, repr=False)
class ExportChunk:
    """A released part of an export: its number from 0, the sid of each row in order, and of a leased file the chunk's
    wrapped key (None: none, or destroyed)."""

    export_id: str
    number: int
    sids: tuple[str, ...]
    wrapped_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class ExportEnd:
    """How an export ended."""

    state: ExportState
    at: datetime
    rows: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The destruction of keys: when, by whom (a principal, or `fujie`), and the reason code."""

    at: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """Which exports are listed; what is empty does not narrow."""

    requester: str = ""
    store: str = ""
    state: ExportState | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """One time that a leased file was opened: by whom, when."""

    principal: str
    at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Trace:
    """An export that held a customer: in which chunks, and who opened its file (empty: it has none, or nobody)."""

    export: Export
    chunks: tuple[int, ...]
    openings: tuple[Opening, ...] = ()
