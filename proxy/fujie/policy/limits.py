"""Reads what a rule counts: `limits` of grants and guards, by principal, and `frequency` of guards, by recipient."""

from collections.abc import Mapping
from types import MappingProxyType

from fujie.model.limit import MAX_LIMIT, Cap, Limit
from fujie.model.vocabulary import CUSTOMER_ACTIONS, FIELD_ACTIONS, Action
from fujie.policy.bundle import Match
from fujie.policy.places import Report
from fujie.policy.source import Fields

_COUNTED = FIELD_ACTIONS | {Action.SEND}
"""Actions whose flows count; a limit on another would not be enforced."""


def read_limits(spec: Fields, match: Match, report: Report) -> Mapping[Limit, int]:
    """Read `limits`: how much one principal may do under the rule."""
    owner = spec.fields("limits", required=False)
    if owner is None:
        return MappingProxyType({})
    found = {limit: owner.integer(limit.value, 0, 1, MAX_LIMIT) for limit in Limit}
    limits = {limit: at_most for limit, at_most in found.items() if limit.value in owner}
    owner.finish()
    if not limits:
        report.problem(owner.place, "MISSING_KEY", f"name at least one of {', '.join(Limit)}")
    if match.actions - CUSTOMER_ACTIONS:
        message = "limits belong to actions on customers"
        report.problem(spec.key_place("limits"), "NOT_APPLICABLE", message)
    elif uncounted := sorted(match.actions - _COUNTED):
        message = f"limits on {', '.join(uncounted)} are not enforced by this version"
        report.problem(spec.key_place("limits"), "NOT_YET_ENFORCED", message)
    elif Limit.LOOKUPS_PER_MINUTE in limits and match.actions and Action.LOOKUP not in match.actions:
        message = f"{Limit.LOOKUPS_PER_MINUTE} belongs to the action lookup"
        report.problem(owner.key_place(Limit.LOOKUPS_PER_MINUTE), "NOT_APPLICABLE", message)
    return MappingProxyType(limits)


def read_frequency(spec: Fields, match: Match, report: Report) -> Mapping[Cap, int]:
    """Read `frequency`: how often one person may get messages. Only for the action send."""
    owner = spec.fields("frequency", required=False)
    if owner is None:
        return MappingProxyType({})
    found = {cap: owner.integer(cap.value, 0, 1, MAX_LIMIT) for cap in Cap}
    caps = {cap: at_most for cap, at_most in found.items() if cap.value in owner}
    owner.finish()
    if not caps:
        report.problem(owner.place, "MISSING_KEY", f"name at least one of {', '.join(Cap)}")
    if match.actions - {Action.SEND}:
        message = "frequency counts messages: it belongs to the action send alone"
        report.problem(spec.key_place("frequency"), "NOT_APPLICABLE", message)
    return MappingProxyType(caps)
