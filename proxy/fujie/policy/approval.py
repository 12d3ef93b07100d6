"""Reads what a validation with `outcome: approval` asks for: who must agree, how many, and for how long it holds."""

import re
from datetime import timedelta

from fujie.model.approval import ESCALATE_AFTER, PENDING_FOR, BreakGlass, Requirement
from fujie.policy.source import Fields, Report

DEFER = "defer"
"""The outcome of a validation that refuses for now."""
OUTCOMES = ("deny", "approval", DEFER)
DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
MOST_APPROVERS = 10
LONGEST = timedelta(days=30)
"""An agreement that is older was given under other circumstances."""
LONGEST_REVIEW = timedelta(days=7)
"""What nobody looked at within a week, nobody remembers."""


def read_requirement(entry: Fields, guard: str, validation: str, report: Report) -> Requirement | None:
    """Read `outcome` and `approval` of one validation; None when what is false there is refused."""
    outcome = entry.text("outcome", required=False)
    wanted = outcome is not None and outcome.text == "approval"
    terms = entry.fields("approval", required=wanted)
    if outcome and outcome.text not in OUTCOMES:
        report.problem(outcome.place, "UNKNOWN_OUTCOME", "outcome is deny, approval or defer")
    if terms is None:
        return None
    roles = tuple(sorted(item.text for item in terms.texts("roles", required=True)))
    count = terms.integer("count", 1, 1, MOST_APPROVERS)
    valid_for = _duration(terms, report, "valid_for", LONGEST) or timedelta()
    escalate_after = _duration(terms, report, "escalate_after", PENDING_FOR) or ESCALATE_AFTER
    break_glass = _break_glass(terms, report)
    terms.finish()
    if not wanted:
        report.problem(
            entry.key_place("approval"), "NOT_APPLICABLE", "`approval` belongs to `outcome: approval`"
        )
        return None
    return Requirement(guard, validation, roles, count, valid_for, escalate_after, break_glass)


def _break_glass(terms: Fields, report: Report) -> BreakGlass | None:
    given = terms.fields("break_glass", required=False)
    if given is None:
        return None
    roles = tuple(sorted(item.text for item in given.texts("roles", required=True)))
    review_within = _duration(given, report, "review_within", LONGEST_REVIEW) or timedelta()
    given.finish()
    return BreakGlass(roles, review_within)


_REQUIRED = frozenset({"valid_for", "review_within"})


def _duration(terms: Fields, report: Report, name: str, longest: timedelta) -> timedelta | None:
    item = terms.text(name, required=name in _REQUIRED)
    if item is None:
        return None
    match = DURATION.fullmatch(item.text)
    duration = int(match[1]) * _UNITS[match[2]] if match else timedelta()
    if not timedelta() < duration <= longest:
        report.problem(
            item.place,
            "DURATION_INVALID",
            f"write minutes, hours or days, `24h` say; at most {longest.days}d",
        )
    return duration
