"""Admissions without an end: acts that a crash stopped between what was allowed and what came of it.

An act that changes something leaves an admission before and an outcome after, or a refusal; all bear one decision id. What
lies between two entries of one process lies in one log, so each log is read by itself, in order.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fujie.audit.entry import Entry, EntryKind, parse_entry
from fujie.audit.errors import EntryInvalid
from fujie.model.vocabulary import Action

_id_in = re.compile(rb'"decision_id":"([^"]*)"').search
"""Canonical bytes have one spelling, and a quote inside a text has a backslash before it."""

_ADMISSION = b'"kind":"%s"' % EntryKind.ADMISSION.encode()
_ENDS = tuple(b'"kind":"%s"' % kind.encode() for kind in (EntryKind.OUTCOME, EntryKind.DECISION))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An admission of which the log tells no end; `index` is its place there. `entry` None: this build can not read it."""

    index: int
    entry: Entry | None


def unfinished(leaves: Iterable[bytes], first: int = 0) -> tuple[Unfinished, ...]:
    """Return the admissions in `leaves`, which are a log from the index `first` on, that nothing ends, in order.

    A search by last digits is admitted too and changes nothing: its customers have entries of their own. Of a log that is
    being written, acts that run at this moment are among them.
    """
    begun: dict[bytes, tuple[int, bytes]] = {}
    for index, leaf in enumerate(leaves, first):
        found = _id_in(leaf)
        if found is None:
            continue
        if _ADMISSION in leaf:
            begun.setdefault(found[1], (index, leaf))
        elif begun and any(kind in leaf for kind in _ENDS):
            begun.pop(found[1], None)
    admitted = (Unfinished(index, _read(leaf)) for index, leaf in begun.values())
    return tuple(each for each in admitted if each.entry is None or each.entry.action != Action.LOOKUP)


def _read(leaf: bytes) -> Entry | None:
    try:
        return parse_entry(leaf)
    except EntryInvalid:
        return None
