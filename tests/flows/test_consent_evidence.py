"""What leaves as evidence about one customer: whole, provable by strangers, evidenced itself."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from time import monotonic
from typing import Any

from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import TileLog
from fujie.audit.checkpoint import Signer, VerifierKey, origin_of, parse_vkey
from fujie.audit.consent_bundle import Standing, verify
from fujie.audit.entry import EntryKind
from fujie.flows.consent import ConsentQuery, record_consent, withdraw_consent
from fujie.flows.consent_evidence import export_consent_evidence
from fujie.flows.reply import ConsentReply, EvidenceReply, Refusal
from fujie.model.consent import EntryRef
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.request import RequestContext
from support.answers import answer, shown
from support.house import House, caller

DESK, ONE, PHONE = caller("consent-desk"), StoreKey("crm", "C00001"), Phone("+8613800131234")


def key_of(house: House) -> VerifierKey:
    return parse_vkey((house.root / "log" / "test" / "w0" / "vkey").read_text())


async def exported(
    house: House, ref: CustomerRef = ONE, purpose: str = "", who: str = "consent-desk"
) -> Any:
    query = ConsentQuery(ref, RequestContext(), purpose)
    return await export_consent_evidence(house.gate, caller(who), query)


async def evidence(house: House, ref: CustomerRef = ONE, purpose: str = "") -> bytes:
    reply = await exported(house, ref, purpose)
    assert isinstance(reply, EvidenceReply), reply
    return reply.evidence


async def given(house: House, ref: CustomerRef = ONE, **changes: Any) -> None:
    reply = await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, ref, **changes))
    assert isinstance(reply, ConsentReply), reply


async def withdrawn(house: House, ref: CustomerRef) -> None:
    draft = answer(house.gate, ref).draft
    assert isinstance(await withdraw_consent(house.gate, DESK, ref, RequestContext(), draft), ConsentReply)


def content(file: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file)["evidence"]
    return found


async def test_everything_about_the_customer_is_there_and_proven(house: House) -> None:
    await given(house)
    await given(house, purpose="after_sales", event_time=house.hands.time - timedelta(days=30))
    await withdrawn(house, PHONE)
    await given(house, StoreKey("crm", "C00002"))
    file = await evidence(house)
    statements = verify(file, [key_of(house)])
    assert {each.standing for each in statements} == {Standing.PROVEN}, statements
    found = content(file)
    assert [(e["purpose"], e["type"]) for e in found["events"]] == [
        ("after_sales", "given"),
        ("marketing", "given"),
        ("marketing", "withdrawn"),
    ]
    texts = {(n["id"], n["language"]): n["text"] for n in found["notices"]}
    assert texts["marketing-notice", "zh"] == shown(house.gate).text.zh
    assert len(texts) == 4
    assert (found["customer"], found["controller"]) == (
        {"store": "crm", "customer_id": "C00001"},
        "Test Ltd.",
    )


async def test_a_purpose_narrows_it(house: House) -> None:
    await given(house)
    await given(house, purpose="after_sales")
    found = content(await evidence(house, PHONE, "marketing"))
    assert [event["purpose"] for event in found["events"]] == ["marketing"]
    assert found["customer"] == {"phone": "+8613800131234"}


async def test_the_entry_of_the_export_holds_the_digest_of_what_left_and_no_personal_data(
    house: House,
) -> None:
    await given(house)
    house.log.leaves.clear()
    file = await evidence(house, PHONE)
    (entry,) = house.entries
    signed = file[len(b'{"evidence":') : file.rindex(b',"signature":')]
    assert (entry.kind, entry.action) == (EntryKind.DECISION, "consent.read")
    assert entry.facts["consent.evidence"] == sha256(signed).hexdigest()
    assert b"13800131234" in file
    assert all(b"13800131234" not in leaf and b"C00001" not in leaf for leaf in house.log.leaves)


async def test_a_customer_without_events_has_evidence_that_says_so(house: House) -> None:
    await house.ledger.enrol([ONE], house.hands.now())
    file = await evidence(house)
    assert content(file)["events"] == []
    assert {each.standing for each in verify(file, [key_of(house)])} == {Standing.PROVEN}


async def test_who_may_not_read_consents_exports_none(house: House) -> None:
    await given(house)
    for who in ("marketer", "support-agent", "administrator", "nobody-in-particular"):
        here = await exported(house, who=who)
        nowhere = await exported(house, StoreKey("crm", "C99999"), who=who)
        assert isinstance(here, Refusal)
        assert (here.reasons, nowhere.reasons) == (nowhere.reasons, here.reasons)
        assert here.reasons[0].code == "NO_GRANT"


async def test_what_is_not_there_is_refused(house: House) -> None:
    table = [
        (StoreKey("crm", "C99999"), "", "CUSTOMER_NOT_FOUND"),
        (StoreKey("nosuch", "C00001"), "", "UNKNOWN_STORE"),
        (ONE, "nosuch", "UNKNOWN_PURPOSE"),
    ]
    for ref, purpose, code in table:
        reply = await exported(house, ref, purpose)
        assert isinstance(reply, Refusal)
        assert reply.reasons[0].code == code


async def test_of_those_who_share_a_number_only_what_closes_is_told(house: House) -> None:
    """The wife's consent is hers; her withdrawal under the number closes for the husband, so it counts."""
    two = StoreKey("crm", "C00002")
    await given(house, ONE)
    await given(house, two)
    await house.ledger.enrol([two, PHONE], house.hands.now())
    identity = await house.ledger.find([two])
    assert identity is not None
    await withdrawn(house, two)
    found = content(await evidence(house, ONE))
    assert [(e["type"], e["sid"] == identity.sid) for e in found["events"]] == [
        ("given", False),
        ("withdrawn", True),
    ]


async def test_an_entry_in_the_log_of_another_worker_is_proven_and_one_far_away_is_named(
    house: House,
) -> None:
    await given(house)
    other = TileLog(
        open_log(house.root / "log", Signer(origin_of("test", 1), signer_seed(house))),
        clock=monotonic,
        keep=lambda note: None,
    )
    beside: Any = replace(house.gate, log=other)
    reply = await record_consent(
        beside, DESK, RequestContext(), answer(house.gate, ONE, purpose="after_sales")
    )
    assert isinstance(reply, ConsentReply)
    file = await evidence(house)
    assert {each["origin"] for each in content(file)["entries"]} == {"test/w0", "test/w1"}
    assert {each.standing for each in verify(file, [key_of(house)])} == {Standing.PROVEN}
    other.close()
    (house.root / "log" / "test" / "w1").rename(house.root / "elsewhere")
    file = await evidence(house)
    unproven = [each.text for each in verify(file, [key_of(house)]) if each.standing is not Standing.PROVEN]
    assert len(unproven) == 1
    assert "of test/w1 could not be proven here" in unproven[0]


def signer_seed(house: House) -> bytes:
    """The secret of the house's log: all workers of an instance have the same."""
    inner: Any = house.log
    seed: bytes = inner._inner._signer._key.private_bytes_raw()
    return seed


async def test_altered_log_files_prove_nothing_and_stop_nothing(house: House) -> None:
    await given(house)
    inner: Any = house.log
    assert await house.log.prove(EntryRef("test/w0", inner._inner.size - 1))  # all is signed and published
    for path in (house.root / "log").rglob("*"):
        if path.is_file() and "entries" in path.parts:
            altered = path.read_bytes().replace(b"marketing", b"marketinG")
            path.write_bytes(altered)
    file = await evidence(house)
    (why,) = (each["why"] for each in content(file)["unproven"])
    assert re.fullmatch(r"entry \d+ of test/w0 could not be proven here", why)
