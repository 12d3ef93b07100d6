"""A message that asks for consent, before it goes out: its words, and whether this person may be asked now.

Whom a message may ask is no matter of policy alone: an opt-out, a refusal, a withdrawal, and a request that was not
answered yet close it whatever a grant says (NDSR 22(5), CPL 29, MIIT Order 31 art. 18). `decision.double_opt_in` has the rules.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from fujie.decision import double_opt_in
from fujie.flows.gate import Case
from fujie.flows.notices import in_force
from fujie.model.consent import Notice
from fujie.model.errors import RequestError
from fujie.model.message import CHANNEL, Ask, Template
from fujie.model.notice import language_of
from fujie.ports.recollection import Recalled

NOTICE = "{notice}"
"""In whose place the words of the notice stand in a template."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a message asks for: consent for a purpose, in the words of a notice."""

    purpose: str
    notice: Notice
    explicit: bool
    separate: bool


def asking(case: Case, purpose: str, language: str, text: str) -> Asking:
    """Return what a message of this text asks for.

    Raises:
        RequestError: NOTICE_MISMATCH when the notice in force for the purpose does not stand in it, word for word.

    """
    notice = in_force(case, purpose, CHANNEL)
    words = notice.texts.get(language_of(language), "") if notice else ""
    if notice is None or not words or words not in text:
        raise RequestError(code="NOTICE_MISMATCH", field="text")
    named = Notice(notice.id, notice.version, language, notice.digest(language))
    return Asking(purpose, named, notice.explicit, notice.separate)


async def spelled(case: Case, template: Template, ask: Ask) -> tuple[Template, Asking]:
    """Return a template with the words of its notice in place, and what it asks for. The ledger has kept them by then, so
    that what was shown can be proven whatever the policy says afterwards.

    Raises:
        RequestError: NOTICE_MISMATCH when its notice is not the one in force; NOTICE_CHANGED when it has other words than
            its version had before.
        LedgerError: it could not be kept.

    """
    notice = in_force(case, ask.purpose, CHANNEL)
    if notice is None or notice.id != ask.notice:
        raise RequestError(code="NOTICE_MISMATCH", field="template.id")
    whole = replace(template, text=template.text.replace(NOTICE, notice.texts[ask.language]))
    asked = asking(case, ask.purpose, ask.language, whole.text)
    await case.gate.ledger.keep_notice(notice, case.now)
    return whole, asked


def unaskable(asked: Asking, told: Recalled | None, now: datetime) -> str:
    """Return the reason code for which a person can not be asked now; empty when they can.

    `told` is what the ledger knows of them for the purpose that is asked for. A number that several share agrees for
    nobody; who has a question of ours that is not recorded yet has one.
    """
    if told is None or told.identity.is_shared or any(each.is_asking for each in told.sent):
        return "CONSENT_NOT_ASKABLE"
    about = (asked.purpose, CHANNEL)
    if double_opt_in.is_closed(told.suppressions, *about):
        return "CUSTOMER_OPTED_OUT"
    may = double_opt_in.may_ask(told.events, told.suppressions, told.identity.sid, about, now)
    return "" if may else "CONSENT_NOT_ASKABLE"


def written(asked: Asking, sid: str) -> str:
    """Return what the ledger keeps with a claim until the request is recorded for `sid`."""
    return json.dumps({"sid": sid, **asdict(asked)}, sort_keys=True)


def read(text: str) -> tuple[str, Asking]:
    """Return the sid and what was asked, as `written` wrote it."""
    said = json.loads(text)
    notice = Notice(**said.pop("notice"))
    return said.pop("sid"), Asking(notice=notice, **said)
