"""Take a refusal back on the customers' own page: always behind words that were shown, never by one click.

Two steps, so that nobody agrees to one thing and gets another (PIPL 14, 16): a refusal of everything is ended alone, and
then things are as before; a refusal of one purpose is ended with a new consent under the notice in force, where the purpose
rests on consent. The record names the message whose link it was (`messages/<id>`), and the words (`informed`).
"""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from fujie.flows.acts import PAGE, open_act
from fujie.flows.consent import NOW, RequestKey, append_event
from fujie.flows.gate import Case, Gate
from fujie.flows.notices import in_force, informed
from fujie.flows.page import Visit, closing, known, needs_consent, own_sids, request_of
from fujie.flows.reply import ConsentReply
from fujie.flows.suppression import append_lift
from fujie.model.consent import NO_NOTICE, Capture, ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import Identity
from fujie.model.errors import RequestError
from fujie.model.message import CHANNEL
from fujie.model.notice import PrivacyNotice
from fujie.model.suppression import Confirmation, Suppression
from fujie.model.vocabulary import ANY_CHANNEL, Action

SHOWN_ALONE = Capture(preselected=False, bundled=False)
"""How the page asks: one question, one button, nothing ticked."""


class Obstacle(StrEnum):
    """Why the page can not take a refusal back. OTHERS: somebody else with this number, or an older record, refused.
    EVERYTHING: the refusal of everything comes first. NO_NOTICE: there are no words to agree to."""

    NONE = ""
    OTHERS = "others"
    EVERYTHING = "everything"
    NO_NOTICE = "no_notice"


@dataclass(frozen=True, slots=True, repr=False)
class Offer:
    """What may be taken back: `ends` are opt-outs; `notice` is what must be agreed to (None: nothing)."""

    identity: Identity
    ends: tuple[Suppression, ...]
    notice: PrivacyNotice | None
    obstacle: Obstacle
    form: str

    @property
    def seen(self) -> str:
        """Name what would end, so that nothing else ends by a page that was shown before it."""
        ids = " ".join(sorted(each.suppression_id for each in self.ends))
        return hashlib.sha256(ids.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Agreed:
    """What came back from the second page: its `form` and what it had `seen` (`Offer`), and the notice that it showed."""

    form: str
    seen: str
    notice: Notice = NO_NOTICE
    everything: bool = False


async def offer(gate: Gate, visited: Visit, *, everything: bool) -> Offer:
    """Return what a second page must show. Raises like `flows.page.show`."""
    link = visited.link
    case, _ = open_act(gate, PAGE, Action.CONSENT_READ)
    identity = await known(gate, visited, case.now)
    standing = await gate.ledger.suppressions(identity.sids)
    all_closed = closing(standing, "", link.signature)
    ends = all_closed if everything else closing(standing, link.purpose, link.signature)
    own = await own_sids(gate, visited, identity, case.now) if ends else frozenset()
    notice, obstacle = None, Obstacle.NONE
    if any(each.sid not in own for each in ends):
        obstacle = Obstacle.OTHERS
    elif not everything and all_closed:
        obstacle = Obstacle.EVERYTHING
    elif not everything and needs_consent(case.decider.bundle.purposes.get(link.purpose)):
        notice = in_force(case, link.purpose, CHANNEL)
        if identity.is_shared:
            obstacle = Obstacle.OTHERS
        elif notice is None:
            obstacle = Obstacle.NO_NOTICE
    return Offer(identity, tuple(ends), notice, obstacle, case.decision_id)


async def restore(gate: Gate, visited: Visit, agreed: Agreed) -> str:
    """Do what the second page offered; return the receipt number.

    The consent is written before any refusal ends: what comes between leaves the gate closed.

    Raises:
        RequestError: ARGUMENT_INVALID; RESTORE_REFUSED when an obstacle is there, or something was refused since the
            page was shown; NOTICE_MISMATCH or NOTICE_UNKNOWN when its words have changed: it must be shown again.
        StoreError, LedgerError, AuditError: like `flows.page.show`.

    """
    request_id = request_of(visited.link, agreed.form, "restore")
    offered = await offer(gate, visited, everything=agreed.everything)
    if offered.obstacle is not Obstacle.NONE or offered.seen != agreed.seen:
        raise RequestError(code="RESTORE_REFUSED", field="of")
    receipt = ""
    if offered.notice is not None:
        receipt = await _agree(gate, visited, offered, agreed.notice, request_id)
    for each in offered.ends:
        case, decision = open_act(gate, PAGE, Action.SUPPRESSION_REMOVE)
        act = Confirmation("verified_form", f"messages/{visited.link.intent_id}", case.now)
        lifted = await append_lift(case, decision, each, act)
        receipt = receipt or lifted.suppression.suppression_id
    return receipt


async def _agree(gate: Gate, visited: Visit, offered: Offer, shown: Notice, request_id: str) -> str:
    assert offered.notice is not None
    notice, link = offered.notice, visited.link
    case, decision = open_act(gate, PAGE, Action.CONSENT_RECORD, request_id)
    draft = ConsentEvent(
        "",
        "",
        link.purpose,
        ConsentEventType.GIVEN,
        NOW,
        case.now,
        "",
        channel=ANY_CHANNEL if ANY_CHANNEL in notice.channels else CHANNEL,
        explicit=notice.explicit,
        separate=notice.separate,
        notice=shown,
        collection_method="own_page",
        source="page",
        evidence_ref=f"messages/{link.intent_id}",
    )
    said = await informed(case, draft, SHOWN_ALONE)
    key = RequestKey(request_id, _digest(said, offered.identity))
    done = await append_event(case, decision, offered.identity, _dated(case, said), key)
    if not isinstance(done, ConsentReply):  # the number became shared meanwhile
        raise RequestError(code="RESTORE_REFUSED", field="of")
    return done.event.record_id


def _dated(case: Case, draft: ConsentEvent) -> ConsentEvent:
    purpose = case.decider.bundle.purposes[draft.purpose]
    return replace(draft, event_time=case.now, retention_days=purpose.retention_days)


def _digest(draft: ConsentEvent, identity: Identity) -> str:
    return f"{identity.sid} {draft.purpose} {draft.notice.digest}"
