"""Reads what a validation with `outcome: approval` asks for: who must agree, how many, and for how long it holds."""

import re
from datetime import timedelta

from fujie.model.approval import ESCALATE_AFTER, PENDING_FOR, BreakGlass, Requirement
from fujie.model.facts import ROWS, Facts
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Guard, Rule, Validation
from fujie.policy.cel import Engine
from fujie.policy.places import Report
from fujie.policy.source import Fields

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


def breaks_for_many_alone(engine: Engine, guard: Guard, validation: Validation) -> bool:
    """Tell whether a validation that lets somebody break the glass is false for many customers at once alone, none of whom
    can be exported: a campaign, or a batch. For these nobody may go ahead (docs/approvals.md), so that it would never do what it says."""
    approval, rules = validation.approval, [rule for _, rule in guard.conditions]
    if approval is None or approval.break_glass is None or Action.EXPORT in guard.match.actions:
        return False
    return _of_one(engine, validation.rule) is True or any(_of_one(engine, rule) is False for rule in rules)


def _of_one(engine: Engine, rule: Rule) -> bool | None:
    """Return what a rule comes to for one customer and no campaign; None where that depends on more, or on nothing."""
    if not rule.reads or not rule.reads <= _ONE.values.keys():
        return None
    (result,) = engine.program([rule.expanded]).run(engine.messages(_ONE, rule.reads))
    return result if isinstance(result, bool) else None


_ONE = Facts({ROWS: 1, "message.in_campaign": False})
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
