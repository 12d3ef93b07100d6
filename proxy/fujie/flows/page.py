"""The customers' own page: what a link in a message opens, without a login and without a number.

The link's token is all that its bearer needs (a capability: 128 random bits, of which the ledger has the digest), for
`VALID` after the message went out, about one customer and one purpose. On the page the customer

1. sees the consents and refusals that hold for everybody it stands for (the entry of each look names whom, PIPL 44, 45),
2. refuses this purpose, or everything, by one click, which holds at once (PIPL 15, 47; AdLaw-43),
3. takes a refusal back, or agrees again, only behind a page of its own that shows the words (PIPL 14): `restore`.

What others who share the number said, and what was merged into this customer, can only be taken back by a person.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fujie.audit.entry import EntryKind
from fujie.decision.consent import consent_of
from fujie.decision.suppression import covers
from fujie.flows.acts import PAGE, open_act
from fujie.flows.consent import NOW
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Gate
from fujie.flows.identify import identify, identity_of, rows_of
from fujie.flows.recipients import opened
from fujie.flows.suppression import OptOut, append_opt_out
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.errors import RequestError
from fujie.model.message import CHANNEL
from fujie.model.reason import LocalizedText
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import Action, Basis, State
from fujie.policy.bundle import Purpose
from fujie.ports.messaging import ProviderLink

VALID = timedelta(days=90)
"""How long a link opens its page: longer than a customer keeps a message in mind, shorter than a number rests before
somebody else gets it (MIIT: 90 days)."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
_FORM = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, repr=False)
class Visit:
    """A link that opens: what it was sent for, and to whom."""

    link: ProviderLink
    customer: CustomerRef


@dataclass(frozen=True, slots=True)
class PurposeState:
    """How one purpose stands for the customer. `refused_since`: when it was refused, whatever was agreed to."""

    id: str
    label: LocalizedText
    consent: State
    since: datetime | None
    refused_since: datetime | None


@dataclass(frozen=True, slots=True)
class OwnPage:
    """What the page shows. `of` is the purpose of the link; `refused_all_since`: everything was refused.

    `needs_consent`: messages of the purpose rest on a consent. `receipt` is the record that was asked about, where it is
    this customer's. `form` makes a click that comes twice one act.
    """

    signature: str
    controller: str
    of: PurposeState
    purposes: tuple[PurposeState, ...]
    refused_all_since: datetime | None
    needs_consent: bool
    valid_until: datetime
    form: str
    receipt: str = ""


async def visit(gate: Gate, token: str) -> Visit:
    """Return what a token opens. Raises RequestError LINK_INVALID when it is forged, too old, or its customer erased."""
    if gate.sending is None or not _TOKEN.fullmatch(token):
        raise _invalid()
    link = await gate.sending.outbox.link(hashlib.sha256(token.encode()).digest())
    if link is None or gate.clock.now() >= link.claimed_at + VALID:
        raise _invalid()
    recipient = opened(gate, link.sid, link.sealed, link.wrapped_key)
    if recipient is None:
        raise _invalid()
    return Visit(link, recipient.customer)


async def show(gate: Gate, visited: Visit, receipt: str = "") -> OwnPage:
    """Return the page, once the entry that somebody saw it is durable.

    Raises:
        StoreError, LedgerError, AuditError: it can not be told whose page it is, what holds, or that it was seen.

    """
    link, ledger = visited.link, gate.ledger
    case, decision = open_act(gate, PAGE, Action.CONSENT_READ)
    identity = await known(gate, visited, case.now)
    suppressions = await ledger.suppressions(identity.sids)
    events = await ledger.consent_events(identity.sids, "")
    await record(case, EntryKind.DECISION, decision, Subject(identity.sids))
    case.watch.stop()
    purposes = case.decider.bundle.purposes
    look = _Look(identity, suppressions, events, link.signature, case.now)
    of = _state(look, link.purpose, purposes.get(link.purpose))
    told = {event.purpose for event in events}
    return OwnPage(
        link.signature,
        gate.controller,
        of,
        tuple(
            _state(look, each.id, each)
            for each in purposes.values()
            if each.id != link.purpose and (Basis.CONSENT in each.bases or each.id in told)
        ),
        _since(closing(suppressions, "", link.signature)),
        needs_consent(purposes.get(link.purpose)),
        link.claimed_at + VALID,
        case.decision_id,
        receipt if await _is_of(gate, receipt, identity, suppressions, events) else "",
    )


async def stop(gate: Gate, visited: Visit, form: str, *, everything: bool) -> Suppression:
    """Refuse the purpose of the link, or everything; the answer waits until nothing is on its way (`settlement`).

    A form that comes twice is one refusal; one that comes again after the refusal was taken back is a new one.

    Raises:
        RequestError: ARGUMENT_INVALID; OPT_OUT_PENDING: it holds, and one message that left before may still arrive.
        LedgerError, AuditError: nothing was written, or not known to be.

    """
    link = visited.link
    scope = SuppressionScope("" if everything else link.purpose)
    identity = await identify(gate, visited.customer, gate.clock.now(), closes=True)
    said = OptOut(visited.customer, scope, NOW, "page", _evidence_of(link))
    case, decision = open_act(gate, PAGE, Action.SUPPRESSION_ADD, request_of(link, form, "stop"))
    added = (await append_opt_out(case, decision, identity, said)).suppression
    if added.lifted is not None:
        case, decision = open_act(gate, PAGE, Action.SUPPRESSION_ADD)
        added = (await append_opt_out(case, decision, identity, said)).suppression
    return added


async def refused_here(gate: Gate, visited: Visit, receipt: str) -> str:
    """Return `receipt` where it is of a refusal by this very link, still in force; else empty. Asks no store."""
    found = await gate.ledger.suppression(receipt) if _FORM.fullmatch(receipt) else None
    is_of_link = found is not None and found.evidence_ref == _evidence_of(visited.link)
    return receipt if is_of_link and found is not None and found.lifted is None else ""


def _evidence_of(link: ProviderLink) -> str:
    return f"messages/{link.intent_id}"


def request_of(link: ProviderLink, form: str, act: str) -> str:
    """Return the request id of a form that was sent. Raises RequestError ARGUMENT_INVALID for one that we did not make."""
    if not _FORM.fullmatch(form):
        raise RequestError("no form of ours", field="form")
    return f"{link.intent_id}:{form}:{act}"


async def known(gate: Gate, visited: Visit, now: datetime) -> Identity:
    """Return who the customer is by now; raises RequestError LINK_INVALID when nobody is left.

    Whom nothing links any more with the one that the message was for (a split) finds no page: it would be somebody else's.
    """
    identity = await identity_of(gate, visited.customer, now)
    if identity is None or visited.link.sid not in identity.sids:
        raise _invalid()
    return identity


async def own_sids(gate: Gate, visited: Visit, identity: Identity, now: datetime) -> frozenset[str]:
    """Return the sids whose refusals the bearer may take back: the customer's, and that of the number, which has the
    link because it has the number."""
    if isinstance(visited.customer, Phone):
        numbers = [visited.customer]
    else:
        numbers = [Phone(row.phone) for row in await rows_of(gate, visited.customer) if row.phone]
    return frozenset({identity.sid, *[(await gate.ledger.number(each, now)).sid for each in numbers]})


def closing(suppressions: Sequence[Suppression], purpose: str, signature: str) -> list[Suppression]:
    """Return the opt-outs of exactly this purpose (empty: of all) that close a message of this signature."""
    return [
        each
        for each in suppressions
        if each.scope.purpose == purpose and covers(each.scope, purpose, CHANNEL, signature)
    ]


def needs_consent(purpose: Purpose | None) -> bool:
    """Tell whether messages of a purpose may rest on a consent."""
    return purpose is not None and Basis.CONSENT in purpose.bases


@dataclass(frozen=True, slots=True, repr=False)
class _Look:
    identity: Identity
    suppressions: Sequence[Suppression]
    events: Sequence[ConsentEvent]
    signature: str
    now: datetime


def _state(look: _Look, purpose_id: str, purpose: Purpose | None) -> PurposeState:
    """Return how a purpose stands for messages. A number that several customers share proves nobody's consent."""
    sid = "" if look.identity.is_shared else look.identity.sid
    ttl = purpose.consent_ttl if purpose else None
    events = [event for event in look.events if event.purpose == purpose_id]
    consent = consent_of(events, sid, CHANNEL, look.now, ttl)
    label = purpose.label if purpose else LocalizedText(purpose_id, purpose_id)
    since = consent.governing.event_time if consent.governing else None
    refused = _since(closing(look.suppressions, purpose_id, look.signature))
    return PurposeState(purpose_id, label, consent.state, since, refused)


def _since(found: Sequence[Suppression]) -> datetime | None:
    return min((each.event_time for each in found), default=None)


async def _is_of(
    gate: Gate,
    receipt: str,
    identity: Identity,
    suppressions: Sequence[Suppression],
    events: Sequence[ConsentEvent],
) -> bool:
    """Tell whether a receipt number is of something that was recorded for this customer."""
    if receipt in {each.suppression_id for each in suppressions} | {each.record_id for each in events}:
        return True
    lifted = await gate.ledger.suppression(receipt) if _FORM.fullmatch(receipt) else None
    return lifted is not None and lifted.sid in identity.sids


def _invalid() -> RequestError:
    return RequestError(code="LINK_INVALID", field="token")
