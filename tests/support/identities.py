"""One person in the eyes of the ledger: what a test asks of it again and again."""

from datetime import datetime, timedelta

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import SQLLedger
from fujie.decision.consent import consent_of
from fujie.decision.suppression import suppressed
from fujie.model.consent import BareEvent, Bearing, ConsentEvent, ConsentEventType
from fujie.model.customer import Correction, CustomerRef
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import State

IDENTIFIERS = SystemIdentifiers(SystemClock())

EVERYTHING = SuppressionScope()


def because(now: datetime, request_id: str = "", evidence: str = "form-1") -> Correction:
    """Return a correction by the same officer."""
    return Correction(evidence, "officer", now, request_id)


def consent_event(
    sid: str, kind: ConsentEventType, when: datetime, received: datetime, purpose: str = "marketing"
) -> ConsentEvent:
    """Return an event of `sid`, for marketing unless another purpose is named."""
    return ConsentEvent(IDENTIFIERS.new_id(), sid, purpose, kind, when, received, "desk", explicit=True)


def bare(event: Bearing) -> BareEvent:
    """Return what of an event bears on consent, which is all that a reading of many, or the first one, tells."""
    return BareEvent(*(getattr(event, name) for name in BareEvent._fields))


def opt_out(sid: str, when: datetime, scope: SuppressionScope = EVERYTHING) -> Suppression:
    """Return an opt-out of `sid`, from everything unless a scope is named."""
    return Suppression(IDENTIFIERS.new_id(), sid, scope, when, when, "desk", "agent", "call-1")


async def state_of(ledger: SQLLedger, now: datetime, *refs: CustomerRef) -> State:
    """Return the state of marketing consent that a look-up of the customer would see."""
    identity = await ledger.enrol(refs, now)
    events = await ledger.consent_events(identity.sids, "marketing")
    return consent_of(events, identity.sid, "any", now + timedelta(days=1), None).state


async def is_suppressed(ledger: SQLLedger, now: datetime, *refs: CustomerRef) -> bool:
    """Tell whether an opt-out closes marketing for the customer."""
    identity = await ledger.enrol(refs, now)
    return suppressed(await ledger.suppressions(identity.sids), "marketing")
