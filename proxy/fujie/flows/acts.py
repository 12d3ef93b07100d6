"""Acts of the customers themselves, who need no grant to say no (PIPL 15, 44): a reply, a click on their own page.

Nothing is decided about such an act, so its entries hold an ALLOW that rests on no rule and no principal, by an actor
that says how the act reached us (`provider:<name>`, `customer:page`); a replay finds nothing to decide anew.
"""

from fujie.flows.gate import Case, Gate, open_case
from fujie.model.decision import Decision
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

PAGE = "customer:page"
"""The actor of what a customer does on the page that a link opens."""

_OURS = ("customer:", "provider:", "fujie:")


RECEIVER = "fujie:webhook"
"""The actor of what a receiver of webhooks acknowledges."""

SCHEDULE = "fujie:schedule"
"""The actor of what becomes due by itself: an offboarding for which somebody set a time."""


def is_reserved(principal_id: str) -> bool:
    """Tell whether an id may be an actor of this module: who had it could do what looks like a customer's act, or ours."""
    return principal_id.casefold().startswith(_OURS)


def provider_actor(name: str) -> str:
    """Return the actor of what a provider tells us of its customers' acts."""
    return f"provider:{name}"


def open_act(gate: Gate, actor: str, action: Action, request_id: str = "") -> tuple[Case, Decision]:
    """Start the case of one act, with the decision that its entries hold."""
    case = open_case(gate, Credential(actor, ""), RequestContext(request_id), Request(action))
    return case, Decision(Effect.ALLOW, case.decider.bundle.digest)
