"""Reads when a grant is valid: `valid_from` and `valid_until`, instants with their offset (RFC 3339)."""

import re
from datetime import datetime

from fujie.policy.places import Located, Report
from fujie.policy.source import Fields

INSTANT = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-5][0-9])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_validity(spec: Fields, report: Report) -> tuple[datetime | None, datetime | None]:
    """Return the first instant of a grant's validity and the first behind it; None for no bound.

    A date alone is refused: nobody can tell whether its day is in or out, nor in which zone it lies.
    """
    start, end = _instant(spec, "valid_from", report), _instant(spec, "valid_until", report)
    if start and end and start >= end:
        report.problem(
            spec.key_place("valid_until"), "NEVER_VALID", "`valid_until` is not after `valid_from`"
        )
    return start, end


def _instant(spec: Fields, key: str, report: Report) -> datetime | None:
    item = spec.text(key, required=False)
    if item is None:
        return None
    if INSTANT.fullmatch(item.text):
        try:
            return datetime.fromisoformat(item.text)
        except ValueError:  # the 31st of April
            pass
    report.problem(item.place, "INSTANT_INVALID", _advice(item))
    return None


def _advice(item: Located) -> str:
    if _DATE.fullmatch(item.text):
        return (
            f'a date says neither hour nor zone: write "{item.text}T00:00:00+08:00", for its first moment'
        )
    return 'write an instant with its offset, "2026-12-31T18:00:00+08:00" for example'
