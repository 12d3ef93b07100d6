"""Prompts: a refusal for missing consent carries the notice to show, and a token that takes the customer's answer.

A token is for one principal, one customer, one notice, for ten minutes. It is sealed, so that it tells nobody
anything; what it says is believed because only we can have written it. Its id becomes the id of the record: the
ledger, which knows one record per id, takes one answer to it in the same transaction that writes it, so that no
crash leaves a token spent without an answer, or an answer that can be given again.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache

from fujie.audit.errors import AuditError
from fujie.audit.sealing import SealKey, open_ticket, seal_ticket
from fujie.decision.consent import may_be_asked
from fujie.decision.suppression import suppressed
from fujie.decision.tokens import Tokeniser
from fujie.flows.gate import Case
from fujie.flows.notices import bears, in_force, told
from fujie.flows.refuse import permitted
from fujie.flows.reply import Prompt
from fujie.model.consent import Bearing, Capture, ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import CustomerRef, Identity, StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import LedgerError, RequestError
from fujie.model.notice import PrivacyNotice
from fujie.model.request import Request
from fujie.model.vocabulary import ANY_CHANNEL, Action, Basis, Effect

TTL = timedelta(minutes=10)
"""How long an answer is taken: the length of a conversation, short enough that the customer's state stands."""

DEFAULT_LANGUAGE = "zh-CN"
"""In which the notice counts as shown when the answer names no language."""

_PURPOSE = b"fujie.dev/consent-prompt/v1"


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt that was given to the asker: its id, whom it is about (the asked one first), and the notice."""

    id: str
    sids: tuple[str, ...]
    purpose: str
    notice: PrivacyNotice


async def offer(
    case: Case,
    decision: Decision,
    identity: Identity | None,
    events: Sequence[Bearing],
    key: StoreKey,
) -> Prompt | None:
    """Return how to ask the customer `key` for what a look-up lacks; None when there is nothing to ask, or nobody to.

    1. A consent is all that is missing, and consent is the basis.
    2. The customer may be asked: see `may_be_asked`, and has not opted out.
    3. The asker may record the answer.
    4. A notice is in force, and the ledger keeps exactly that text under its version.
    """
    purpose = case.request.purpose
    lacking = {hit.code for hit in decision.reasons} == {"CONSENT_MISSING"}
    if identity is None or not lacking or case.request.basis != Basis.CONSENT:  # 1
        return None
    if not may_be_asked(events, identity.sid, ANY_CHANNEL, case.now):  # 2
        return None
    recording = Request(Action.CONSENT_RECORD, delegated=case.request.delegated, has_prompt=True)
    if (await permitted(replace(case, request=recording))).effect is not Effect.ALLOW:  # 3
        return None
    notice = in_force(case, purpose, ANY_CHANNEL)  # 4
    if notice is None:
        return None
    try:
        if suppressed(await case.gate.ledger.suppressions(identity.sids), purpose):  # 2
            return None
        await case.gate.ledger.keep_notice(notice, case.now)
    except (LedgerError, RequestError):  # the refusal stands by itself
        return None
    content = {
        "id": case.gate.ids.new_id(),
        "sids": identity.sids,
        "key": (key.store, key.customer_id),
        "principal": case.asker,
        "purpose": purpose,
        "notice": notice.id,
        "version": notice.version,
        "until": int((case.now + TTL).timestamp()),
    }
    token = seal_ticket(content, _key(case.gate.tokeniser), case.gate.ids.nonce())
    return Prompt(token, purpose, notice)


async def opened(case: Case, token: str) -> Prompted:
    """Return what the asker was prompted with, and everybody whose no counts by now.

    Raises:
        RequestError: PROMPT_INVALID for a token that is forged, somebody else's, too old, or about a customer
            who was merged or split since.

    """
    try:
        content = open_ticket(token, _key(case.gate.tokeniser))
    except (AuditError, UnicodeError):
        raise _invalid() from None
    if content["principal"] != case.asker or int(str(content["until"])) <= case.now.timestamp():
        raise _invalid()
    ledger, sids, key = case.gate.ledger, content["sids"], content["key"]
    if not isinstance(sids, list) or not isinstance(key, list):
        raise _invalid()
    notice = await ledger.notice(str(content["notice"]), str(content["version"]))
    # Who said no by number meanwhile said it under a sid that was not there when the prompt was made.
    now = await ledger.find((StoreKey(*key),))
    if notice is None or now is None or now.sid != sids[0]:
        raise _invalid()
    everybody = tuple(dict.fromkeys((*sids, *now.sids)))
    return Prompted(str(content["id"]), everybody, str(content["purpose"]), notice)


async def answered(
    case: Case,
    prompted: Prompted,
    said: ConsentEvent,
    capture: Capture | None,
    customer: CustomerRef | None,
) -> ConsentEvent:
    """Return the event that records the answer, with the id of the prompt.

    What the caller says beside the token must agree with it. A customer who withdrew, refused or opted out
    since then, elsewhere, is not overruled.

    Raises:
        RequestError: ARGUMENT_INVALID, CONSENT_NOT_FREE, PROMPT_INVALID.

    """
    if said.type not in (ConsentEventType.GIVEN, ConsentEventType.REFUSED):
        raise RequestError("an answer is yes or no", field="consent.type")
    if said.type is ConsentEventType.GIVEN and not (capture and capture.is_free):
        raise RequestError(code="CONSENT_NOT_FREE", field="capture")
    notice, ledger = prompted.notice, case.gate.ledger
    language = said.notice.language or DEFAULT_LANGUAGE
    shown = Notice(notice.id, notice.version, language, notice.digest(language))
    agrees = (
        bool(shown.digest)
        and said.purpose in ("", prompted.purpose)
        and said.channel == ANY_CHANNEL
        and bears(notice, said)
        and said.notice in (Notice(language=said.notice.language), shown, replace(shown, digest=""))
    )
    identity = await ledger.find((customer,)) if customer else None
    if not agrees or (customer and (identity is None or prompted.sids[0] not in identity.sids)):
        raise _invalid()
    events = await ledger.consent_events(prompted.sids, prompted.purpose)
    since = [event for event in events if event.record_id != prompted.id]
    opted_out = suppressed(await ledger.suppressions(prompted.sids), prompted.purpose)
    if opted_out or not may_be_asked(since, prompted.sids[0], ANY_CHANNEL, case.now):
        raise _invalid()
    given = said.type is ConsentEventType.GIVEN
    answer = replace(
        said,
        record_id=prompted.id,
        purpose=prompted.purpose,
        notice=shown,
        explicit=given and notice.explicit,
        separate=given and notice.separate,
    )
    return told(answer, notice) if given else answer


@lru_cache(maxsize=4)
def _key(tokeniser: Tokeniser) -> SealKey:
    """Return a key of its own for prompts, from the `token` key: a pseudonym says nothing about it."""
    return SealKey(tokeniser.key_id, hmac.digest(tokeniser.key, _PURPOSE, "sha256"))


def _invalid() -> RequestError:
    return RequestError(code="PROMPT_INVALID", field="prompt")
