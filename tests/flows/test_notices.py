"""No consent without the words that the customer was shown, and only as far as they go."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fujie.decision.decider import Decider
from fujie.flows.consent import NOW, Answer, record_consent
from fujie.flows.reply import ConsentReply, Refusal
from fujie.model.consent import NEGATIVE, Capture, ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import StoreKey
from fujie.model.notice import PrivacyNotice
from fujie.model.request import RequestContext
from support.answers import FREE, answer, named, shown
from support.house import House, InForce, caller

DESK, ONE = caller("consent-desk"), StoreKey("crm", "C00001")


async def told(house: House, given: Answer) -> str:
    reply = await record_consent(house.gate, DESK, RequestContext(), given)
    if isinstance(reply, ConsentReply):
        return "ok"
    assert house.entries[-1].reasons == tuple(hit.code for hit in reply.reasons)
    return reply.reasons[0].code


def with_notice(house: House, notice: PrivacyNotice) -> House:
    bundle = house.gate.policies.current.bundle
    bundle = replace(bundle, notices={**bundle.notices, notice.id: notice})
    return replace(house, gate=replace(house.gate, policies=InForce(Decider(bundle))))


async def test_a_consent_needs_a_notice_that_bears_it(house: House) -> None:
    marketing, repair = shown(house.gate), shown(house.gate, "after_sales")
    good = named(marketing)
    table: Mapping[str, list[dict[str, Any]]] = {
        "NOTICE_UNKNOWN": [
            {"notice": Notice()},
            {"notice": replace(good, id="")},
            {"notice": replace(good, id="nosuch")},
            {"notice": replace(good, version="0")},
            {"notice": replace(good, version="")},
        ],
        "NOTICE_MISMATCH": [
            {"notice": named(repair)},
            {"notice": replace(good, digest="")},
            {"notice": replace(good, digest=marketing.digest("en"))},
            {"notice": replace(good, digest="0" * 64)},
            {"notice": replace(good, language="")},
            {"notice": replace(good, language="fr")},
            {"notice": good, "separate": True},
            {"notice": good, "recipients": ("somebody else",)},
            {"notice": good, "data_classes": ("bank_card",)},
            {"notice": good, "storage_locations": ("elsewhere",)},
        ],
        "ok": [
            {"notice": good},
            {"notice": named(marketing, "en")},
            {"notice": replace(good, language="ZH")},
            {"notice": good, "explicit": False},
            {"notice": good, "channel": "sms"},
            {"notice": good, "data_classes": ("mobile",)},
        ],
    }
    for code, rows in table.items():
        for changes in rows:
            event = replace(answer(house.gate, ONE).draft, **changes)
            assert (await told(house, Answer(event, ONE, FREE)), changes) == (code, changes)


@pytest.mark.parametrize(
    "capture", [None, *(Capture(*both) for both in ((True, False), (False, True), (True, True)))]
)
async def test_a_consent_that_was_ticked_beforehand_or_bundled_is_none(
    house: House, capture: Capture | None
) -> None:
    assert await told(house, replace(answer(house.gate, ONE), capture=capture)) == "CONSENT_NOT_FREE"


async def test_what_closes_needs_no_notice_and_no_capture(house: House) -> None:
    for kind in (ConsentEventType.REFUSED, ConsentEventType.REQUESTED):
        event = ConsentEvent("", "", "marketing", kind, NOW, NOW, "")
        assert await told(house, Answer(event, ONE)) == "ok"
        unknown = Answer(replace(event, notice=Notice("nosuch", "1", "zh", "0" * 64)), ONE)
        assert await told(house, unknown) == "NOTICE_UNKNOWN"
    assert ConsentEventType.REFUSED in NEGATIVE


async def test_what_the_notice_says_is_recorded_where_the_caller_says_nothing(house: House) -> None:
    reply = await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, ONE))
    assert isinstance(reply, ConsentReply)
    assert (set(reply.event.data_classes), reply.event.storage_locations) == (
        set(shown(house.gate).data_classes),
        ("CN",),
    )
    narrower = await record_consent(
        house.gate, DESK, RequestContext(), answer(house.gate, ONE, data_classes=("mobile",))
    )
    assert isinstance(narrower, ConsentReply)
    assert narrower.event.data_classes == ("mobile",)


async def test_a_text_changed_without_a_new_version_is_refused_and_with_one_is_taken(house: House) -> None:
    assert await told(house, answer(house.gate, ONE)) == "ok"
    before = house.gate.policies.current.bundle.notices["marketing-notice"]
    text = replace(before.text, zh=before.text.zh + "补充说明。")
    changed = with_notice(house, replace(before, text=text))
    assert await told(changed, answer(changed.gate, ONE)) == "NOTICE_CHANGED"
    raised = with_notice(house, replace(before, text=text, version="2"))
    assert await told(raised, answer(raised.gate, ONE)) == "ok"
    # What was signed on paper under the first version comes in late: its text is kept, so it counts.
    assert await told(raised, answer(house.gate, ONE)) == "ok"
    assert await told(changed, answer(changed.gate, ONE)) == "NOTICE_CHANGED"


@pytest.mark.parametrize(
    "change",
    [
        {"purposes": frozenset({"marketing", "after_sales"})},
        {"recipients": ("a partner",)},
        {"separate": True},
        {"channels": frozenset({"sms", "any"})},
    ],
)
async def test_other_terms_are_another_notice_as_well(house: House, change: dict[str, Any]) -> None:
    assert await told(house, answer(house.gate, ONE)) == "ok"
    wider = with_notice(
        house, replace(house.gate.policies.current.bundle.notices["marketing-notice"], **change)
    )
    assert await told(wider, answer(wider.gate, ONE)) == "NOTICE_CHANGED"


async def test_another_controller_is_another_notice(house: House) -> None:
    assert await told(house, answer(house.gate, ONE)) == "ok"
    sold = replace(house, gate=replace(house.gate, controller="Other Ltd."))
    assert await told(sold, answer(sold.gate, ONE)) == "NOTICE_CHANGED"
    nameless = replace(house, gate=replace(house.gate, controller=""))
    assert await told(nameless, answer(nameless.gate, StoreKey("crm", "C00002"))) == "NOTICE_MISMATCH"


async def test_a_version_that_was_never_used_is_unknown(house: House) -> None:
    never = replace(named(shown(house.gate)), version="7")
    event = replace(answer(house.gate, ONE).draft, notice=never)
    reply = await record_consent(house.gate, DESK, RequestContext(), Answer(event, ONE, FREE))
    assert isinstance(reply, Refusal)
    assert (reply.reasons[0].code, reply.field) == ("NOTICE_UNKNOWN", "consent.notice")
