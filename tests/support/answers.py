"""Consents as they should come in: under the notice in force, shown in Chinese, chosen freely."""

from dataclasses import replace
from functools import cache
from typing import Any

from fujie.flows.consent import NOW, Answer
from fujie.flows.gate import Gate
from fujie.model.consent import Capture, ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import CustomerRef
from fujie.model.notice import PrivacyNotice
from fujie.v1 import consent_service_pb2 as consent_v1
from support.house import bundle_of

FREE = Capture(preselected=False, bundled=False)


def shown(gate: Gate, purpose: str = "marketing", channel: str = "any") -> PrivacyNotice:
    """Return the notice in force."""
    notice = gate.policies.current.bundle.notice_for(purpose, channel)
    assert notice is not None
    return notice.shown(gate.controller)


def named(notice: PrivacyNotice, language: str = "zh-CN") -> Notice:
    return Notice(notice.id, notice.version, language, notice.digest(language))


def answer(gate: Gate, customer: CustomerRef, draft: ConsentEvent | None = None, **changes: Any) -> Answer:
    """Return an explicit consent to marketing, or `draft`; what opens gets its notice and a free capture."""
    event = draft or ConsentEvent(
        "", "", "marketing", ConsentEventType.GIVEN, NOW, NOW, "", explicit=True, source="agent"
    )
    event = replace(event, **changes)
    if event.type is not ConsentEventType.GIVEN or event.notice.id:
        return Answer(event, customer, FREE)
    if event.purpose in gate.policies.current.bundle.purposes:
        event = replace(event, notice=named(shown(gate, event.purpose, event.channel)))
    return Answer(event, customer, FREE)


@cache
def shipped_notice(purpose: str, controller: str) -> consent_v1.NoticeRef:
    """Return the shipped notice for a purpose as a server of `controller` shows it, in Chinese."""
    notice = bundle_of().notice_for(purpose, "any")
    assert notice is not None
    return wire_notice(notice.shown(controller))


def wire_notice(notice: PrivacyNotice, language: str = "zh-CN") -> consent_v1.NoticeRef:
    return consent_v1.NoticeRef(
        id=notice.id, version=notice.version, language=language, digest=notice.digest(language)
    )


WIRE_FREE = consent_v1.Capture(preselected=False, bundled=False)
