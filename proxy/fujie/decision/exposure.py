"""What of a customer a request can show at most, before any customer is known: for those who decide on it."""

from collections.abc import Mapping

from fujie.decision.risk import Exposed
from fujie.model.request import Request
from fujie.model.step import Step
from fujie.policy.bundle import Bundle

_REVEAL = Step("reveal")
_OMIT = Step("omit")


def most_open(bundle: Bundle, request: Request, roles: frozenset[str]) -> Mapping[str, Step]:
    """Return the step of each field that is asked for, as open as it can become for any customer.

    Whatever the kind of key, and whatever a grant's condition comes to; closed by floors, and by guards that hold for
    every customer. A field that the bundle does not know can not leave.
    """
    scope = (request.action, request.purpose, request.store)
    grants = [
        grant
        for grant in bundle.grants
        if grant.roles & roles and any(grant.match.covers(*scope, key) for key in _keys(grant.match.keys))
    ]
    guards = [
        guard
        for guard in bundle.guards
        if not guard.conditions and not guard.match.keys and guard.match.covers(*scope, "")
    ]
    steps: dict[str, Step] = {}
    for name in request.fields:
        field = bundle.fields.get(name)
        opened = [grant.fields[name] for grant in grants if name in grant.fields]
        if field is None or not opened:
            steps[name] = _OMIT
            continue
        closing = [guard.fields[name] for guard in guards if name in guard.fields]
        steps[name] = field.ladder.most_closed((field.ladder.most_open(opened), *closing, field.floor))
    return steps


def exposed(bundle: Bundle, steps: Mapping[str, Step]) -> tuple[Exposed, ...]:
    """Return how sensitive each of these fields is and whether it leaves as it is, for `risk.grade`."""
    return tuple(
        Exposed(bundle.fields[name].level, step == _REVEAL)
        for name, step in steps.items()
        if step != _OMIT and name in bundle.fields
    )


def _keys(keys: frozenset[str]) -> frozenset[str]:
    return keys or frozenset({""})
