"""Which notice a consent rests on: no consent counts without the words that the customer was shown (PIPL 14, 17)."""

from dataclasses import replace

from fujie.flows.gate import Case
from fujie.model.consent import Capture, ConsentEvent, ConsentEventType
from fujie.model.errors import RequestError
from fujie.model.notice import PrivacyNotice


def in_force(case: Case, purpose: str, channel: str) -> PrivacyNotice | None:
    """Return the notice to show for a purpose, the controller's name in it; None when there is none to show.

    A notice that names no handler is none (PIPL 17).
    """
    notice = case.decider.bundle.notice_for(purpose, channel)
    controller = case.gate.controller
    return notice.shown(controller) if notice and controller else None


async def informed(case: Case, draft: ConsentEvent, capture: Capture | None) -> ConsentEvent:
    """Do what `borne` does, and let the ledger keep the notice before the first event that names it.

    Raises like `borne`; NOTICE_CHANGED, and LedgerError: the notice could not be kept.
    """
    said, notice = await borne(case, draft, capture)
    if notice is not None:
        await case.gate.ledger.keep_notice(notice, case.now)
    return said


async def borne(
    case: Case, draft: ConsentEvent, capture: Capture | None
) -> tuple[ConsentEvent, PrivacyNotice | None]:
    """Return the draft with what its notice says, once the notice bears it, and the notice, if it names one.

    1. A consent rests on a notice; other events may name one.
    2. The notice is in force, or an earlier version that was used and that the ledger kept.
    3. It is about this purpose and channel; the text that was shown is its text, byte for byte.
    4. It asks for what the consent claims to be, and for no less data and no fewer recipients.
    5. The customer chose, and chose this alone.

    Raises:
        RequestError: NOTICE_UNKNOWN, NOTICE_MISMATCH, CONSENT_NOT_FREE.

    """
    opens = draft.type is ConsentEventType.GIVEN
    if not opens and not draft.notice.id:  # 1
        return draft, None
    notice = await _found(case, draft)  # 2
    digest = notice.digest(draft.notice.language)
    if not notice.covers(draft.purpose, draft.channel) or not digest or digest != draft.notice.digest:  # 3
        raise RequestError(code="NOTICE_MISMATCH", field="consent.notice")
    if opens and not bears(notice, draft):  # 4
        raise RequestError(code="NOTICE_MISMATCH", field="consent")
    if opens and not (capture and capture.is_free):  # 5
        raise RequestError(code="CONSENT_NOT_FREE", field="capture")
    return (told(draft, notice) if opens else draft), notice


def told(draft: ConsentEvent, notice: PrivacyNotice) -> ConsentEvent:
    """Return the draft with the scope of its notice where it names none of its own."""
    return replace(
        draft,
        data_classes=draft.data_classes or notice.data_classes,
        recipients=draft.recipients or notice.recipients,
        storage_locations=draft.storage_locations or notice.storage,
    )


async def _found(case: Case, draft: ConsentEvent) -> PrivacyNotice:
    named, controller = draft.notice, case.gate.controller
    current = case.decider.bundle.notices.get(named.id)
    if current and current.version == named.version and controller:
        return current.shown(controller)
    kept = await case.gate.ledger.notice(named.id, named.version) if named.id else None
    if kept is None:
        raise RequestError(code="NOTICE_UNKNOWN", field="consent.notice")
    return kept


def bears(notice: PrivacyNotice, draft: ConsentEvent) -> bool:
    """Tell whether the notice asks for all that the draft claims."""
    return (
        draft.explicit <= notice.explicit
        and draft.separate <= notice.separate
        and set(draft.data_classes) <= set(notice.data_classes)
        and set(draft.recipients) <= set(notice.recipients)
        and set(draft.storage_locations) <= set(notice.storage)
    )
