"""Words of closed vocabularies and moments, as documents beside the policies write them."""

from collections.abc import Sequence
from datetime import datetime

from fujie.model.facts import BUILT_IN_FACTS
from fujie.model.vocabulary import State
from fujie.policy.advice import close_to
from fujie.policy.places import Located, Report

_YEARS = range(1970, 3000)  # a consent's end is an addition away, and years end at 9999


def closed(
    report: Report, items: Sequence[Located | None], known: frozenset[str], code: str, what: str
) -> frozenset[str]:
    """Return the items that are known; every other is a problem with `code` at its place. None is no item."""
    given = [item for item in items if item]
    for item in given:
        if item.text not in known:
            names = ", ".join(sorted(known)) or "none"
            near = close_to(item.text, sorted(known)) or ";"
            report.problem(item.place, code, f"`{item.text}` is not a known {what}{near} known: {names}")
    return frozenset(item.text for item in given) & known


def state(report: Report, item: Located | None, path: str) -> State | None:
    """Return the state that a built-in fact can have; None when there is no item, or after reporting what it is."""
    known = closed(report, (item,), frozenset(BUILT_IN_FACTS[path].states), "UNKNOWN_STATE", "state of it")
    return State(*known) if known else None


def instant(report: Report, item: Located | None) -> datetime | None:
    """Return a moment with its offset (RFC 3339); None after reporting what is wrong, or when there is none."""
    if item is None:
        return None
    try:
        moment = datetime.fromisoformat(item.text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year not in _YEARS:
        message = 'an instant with its offset is meant, in quotes: "2026-11-20T10:00:00+08:00"'
        report.problem(item.place, "INSTANT_INVALID", message)
        return None
    return moment
