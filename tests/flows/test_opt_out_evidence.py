"""Opt-outs in the evidence that leaves: bound to their entries, whoever alters the ledger, and however a call is repeated."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from fujie.audit.checkpoint import parse_vkey
from fujie.audit.consent_bundle import Standing, Statement, verify
from fujie.audit.consent_records import CONFIRMATION_DIGEST, SUPPRESSION_DIGEST, SUPPRESSION_ID
from fujie.audit.entry import Entry, EntryKind
from fujie.flows.consent import NOW, ConsentQuery
from fujie.flows.consent_evidence import export_consent_evidence
from fujie.flows.reply import EvidenceReply, Refusal, SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression, remove_suppression
from fujie.model.customer import Correction, CustomerRef, Phone, StoreKey
from fujie.model.principal import Credential
from fujie.model.request import RequestContext
from fujie.model.suppression import Confirmation, Suppression, SuppressionScope
from support.house import House, caller, opened_house
from support.identities import EVERYTHING, opt_out
from support.scratch import memory

DESK, KEY, PHONE = caller("consent-desk"), StoreKey("crm", "C00001"), Phone("+8613800131234")
CRM = "spiffe://example.com/ns/crm/sa/web"


async def added(
    house: House, ref: CustomerRef = KEY, scope: SuppressionScope = EVERYTHING, request_id: str = ""
) -> Suppression:
    said = OptOut(ref, scope, NOW, "call", "call-1")
    reply = await add_suppression(house.gate, DESK, RequestContext(request_id=request_id), said)
    assert isinstance(reply, SuppressionReply), reply
    return reply.suppression


async def lifted(
    house: House, given: Suppression, evidence_ref: str = "letter-1", request_id: str = ""
) -> Suppression:
    by = Confirmation("signed_letter", evidence_ref, given.event_time + timedelta(microseconds=1))
    context = RequestContext(request_id=request_id)
    reply = await remove_suppression(house.gate, DESK, context, given.suppression_id, by)
    assert isinstance(reply, SuppressionReply), reply
    return reply.suppression


async def exported(
    house: House, ref: CustomerRef = KEY, purpose: str = ""
) -> tuple[dict[str, Any], tuple[Statement, ...]]:
    """Return what the evidence holds, and what a stranger who has the vkey alone makes of it."""
    query = ConsentQuery(ref, RequestContext(), purpose)
    reply = await export_consent_evidence(house.gate, DESK, query)
    assert isinstance(reply, EvidenceReply), reply
    key = parse_vkey((house.root / "log" / "test" / "w0" / "vkey").read_text())
    return json.loads(reply.evidence)["evidence"], verify(reply.evidence, [key])


def texts(statements: tuple[Statement, ...], standing: Standing) -> list[str]:
    return [each.text for each in statements if each.standing is standing]


def admissions(house: House, fact: str) -> list[Entry]:
    return [entry for entry in house.entries if entry.kind is EntryKind.ADMISSION and fact in entry.facts]


def tampered(house: House, *statements: str) -> None:
    """Write to the ledger's file behind the gate, as somebody with the password of the database could."""
    with closing(sqlite3.connect(house.root / "ledger.db")) as ledger, ledger:
        for statement in statements:
            ledger.execute(statement)


async def test_opt_outs_and_lifts_under_every_alias_are_there_and_proven(house: House) -> None:
    by_key, by_phone = (
        await added(house),
        await added(house, PHONE, SuppressionScope("marketing", "sms", "A")),
    )
    await lifted(house, by_key)
    await added(house, StoreKey("crm", "C00002"))
    found, statements = await exported(house)
    assert {each.standing for each in statements} == {Standing.PROVEN}, statements
    assert [each["suppression_id"] for each in found["suppressions"]] == [
        by_key.suppression_id,
        by_phone.suppression_id,
    ]
    assert [(each["suppression_id"], each["actor"]) for each in found["lifts"]] == [
        (by_key.suppression_id, "consent-desk")
    ]
    assert [each["of"] for each in found["entries"]] == ["suppressions", "suppressions", "lifts"]
    assert (await house.ledger.suppressions([by_phone.sid]))[0].entry == by_phone.entry


async def test_the_admissions_name_opt_out_and_lift_by_digest_and_hold_nothing_else_of_them(
    house: House,
) -> None:
    given = await added(house, PHONE, SuppressionScope("marketing", "sms", "secret-brand"))
    await lifted(house, given, "secret-letter")
    (add, remove) = admissions(house, SUPPRESSION_DIGEST)
    assert (add.action, remove.action) == ("suppression.add", "suppression.remove")
    assert add.facts[SUPPRESSION_ID] == remove.facts[SUPPRESSION_ID] == given.suppression_id
    assert add.facts[SUPPRESSION_DIGEST] == remove.facts[SUPPRESSION_DIGEST]
    assert CONFIRMATION_DIGEST not in add.facts
    assert CONFIRMATION_DIGEST in remove.facts
    for secret in (b"secret", b"call-1", b"13800131234"):
        assert not any(secret in leaf for leaf in house.log.leaves)


async def test_a_person_behind_a_workload_is_who_recorded_it(house: House) -> None:
    trusting = replace(house, gate=replace(house.gate, may_assert=frozenset({CRM})))
    said = OptOut(KEY, EVERYTHING, NOW, "call", "call-1")
    context = RequestContext(on_behalf_of="consent-desk")
    reply = await add_suppression(trusting.gate, Credential(CRM, "", CRM), context, said)
    assert isinstance(reply, SuppressionReply), reply
    found, statements = await exported(house)
    assert found["suppressions"][0]["actor"] == "consent-desk"
    assert {each.standing for each in statements} == {Standing.PROVEN}


async def test_a_purpose_narrows_it_to_what_closes_or_closed_that_purpose(house: House) -> None:
    wide, marketing = await added(house), await added(house, scope=SuppressionScope("marketing"))
    service = await added(house, scope=SuppressionScope("after_sales"))
    for given in (marketing, service):
        await lifted(house, given)
    found, statements = await exported(house, purpose="marketing")
    assert [each["suppression_id"] for each in found["suppressions"]] == [
        wide.suppression_id,
        marketing.suppression_id,
    ]
    assert [each["suppression_id"] for each in found["lifts"]] == [marketing.suppression_id]
    assert {each.standing for each in statements} == {Standing.PROVEN}


async def test_more_opt_outs_than_a_page_holds_are_all_there(house: House) -> None:
    sid = (await house.ledger.enrol([KEY], house.hands.now())).sid
    for _ in range(101):
        await house.ledger.add_suppression(opt_out(sid, house.hands.now()), "", "")
    found, statements = await exported(house)
    assert len({each["suppression_id"] for each in found["suppressions"]}) == 101
    assert len(texts(statements, Standing.UNPROVEN)) == 101


# Repeats.


async def test_a_repeated_opt_out_is_bound_once_and_stays_bound_to_its_first_entry(house: House) -> None:
    first = await added(house, PHONE, request_id="r-1")
    for _ in range(3):
        assert await added(house, PHONE, request_id="r-1") == first
    assert [entry.facts[SUPPRESSION_ID] for entry in admissions(house, SUPPRESSION_DIGEST)] == [
        first.suppression_id
    ]
    found, statements = await exported(house, PHONE)
    assert first.entry is not None
    assert [each["index"] for each in found["entries"]] == [first.entry.index]
    assert {each.standing for each in statements} == {Standing.PROVEN}


async def test_a_repeated_or_later_lift_is_bound_to_nothing(house: House) -> None:
    given = await added(house)
    first = await lifted(house, given, request_id="r-1")
    assert await lifted(house, given, request_id="r-1") == first
    assert await lifted(house, given, "another-letter") == first
    assert len(admissions(house, CONFIRMATION_DIGEST)) == 1
    found, statements = await exported(house)
    assert [each["evidence_ref"] for each in found["lifts"]] == ["letter-1"]
    assert {each.standing for each in statements} == {Standing.PROVEN}


async def test_repeats_at_one_moment_leave_one_opt_out_one_lift_and_each_its_own_entry(
    house: House,
) -> None:
    answers = await asyncio.gather(*(added(house, request_id="r-1") for _ in range(6)))
    assert len(set(answers)) == 1
    lifts = await asyncio.gather(*(lifted(house, answers[0], f"letter-{n}") for n in range(6)))
    assert len(set(lifts)) == 1
    assert lifts[0].lifted is not None
    found, statements = await exported(house)
    assert (len(found["suppressions"]), len(found["lifts"]), len(found["entries"])) == (1, 1, 2)
    assert found["lifts"][0]["evidence_ref"] == lifts[0].lifted.evidence_ref
    assert {each.standing for each in statements} == {Standing.PROVEN}


async def test_a_request_that_was_used_for_something_else_binds_nothing(house: House) -> None:
    first = await added(house, request_id="r-1")
    said = OptOut(KEY, SuppressionScope("marketing"), NOW, "call", "call-1")
    reply = await add_suppression(house.gate, DESK, RequestContext(request_id="r-1"), said)
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "REQUEST_ID_REUSED"
    assert len(admissions(house, SUPPRESSION_DIGEST)) == 1
    assert await house.ledger.suppression(first.suppression_id) == first


async def test_a_request_that_lifted_one_opt_out_leaves_nothing_that_could_pass_for_the_lift_of_another(
    house: House,
) -> None:
    first, second = await added(house), await added(house)
    await lifted(house, first, request_id="r-1")
    by = Confirmation("signed_letter", "letter-1", house.hands.now())
    reply = await remove_suppression(
        house.gate, DESK, RequestContext(request_id="r-1"), second.suppression_id, by
    )
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "REQUEST_ID_REUSED"
    assert [entry.facts[SUPPRESSION_ID] for entry in admissions(house, CONFIRMATION_DIGEST)] == [
        first.suppression_id
    ]


# Somebody writes to the ledger behind the gate. The server signs what it finds there; the entries contradict it.


_ALTERED = [
    "UPDATE suppression SET purpose = 'after_sales'",
    "UPDATE suppression SET channel = 'voice'",
    "UPDATE suppression SET brand = 'another'",
    "UPDATE suppression SET event_time = event_time + 1",
    "UPDATE suppression SET received_at = received_at - 86400000000",
    "UPDATE suppression SET actor = 'somebody-else'",
    "UPDATE suppression SET source = 'split'",
    "UPDATE suppression SET evidence_ref = 'call-2'",
    "UPDATE suppression SET entry_index = entry_index + 1",
    "UPDATE suppression SET entry_index = (SELECT entry_index FROM suppression_lift)",
    "UPDATE suppression_lift SET method = 'recorded_call'",
    "UPDATE suppression_lift SET evidence_ref = 'letter-2'",
    "UPDATE suppression_lift SET event_time = event_time + 1",
    "UPDATE suppression_lift SET event_time = event_time - 86400000000",
    "UPDATE suppression_lift SET received_at = received_at + 1",
    "UPDATE suppression_lift SET actor = 'somebody-else'",
    "UPDATE suppression_lift SET entry_index = (SELECT entry_index FROM suppression)",
]
_KEPT = [
    f"CREATE TABLE kept_{table} AS SELECT * FROM {table}" for table in ("suppression", "suppression_lift")
]
_BACK = [
    f"INSERT OR REPLACE INTO {table} SELECT * FROM kept_{table}"
    for table in ("suppression", "suppression_lift")
]


async def test_what_was_altered_or_redated_in_the_ledger_contradicts_its_entry(house: House) -> None:
    await lifted(house, await added(house, scope=SuppressionScope("marketing", "sms", "A")))
    tampered(house, *_KEPT)
    for change in _ALTERED:
        tampered(house, change)
        _, statements = await exported(house)
        assert any("admitted something else" in text for text in texts(statements, Standing.BROKEN)), change
        tampered(house, *_BACK)
        _, statements = await exported(house)
        assert {each.standing for each in statements} == {Standing.PROVEN}, change


_FORGED = """INSERT INTO suppression_lift (suppression_id, method, evidence_ref, event_time, received_at, actor,
    change_seq, entry_origin, entry_index)
    SELECT suppression_id, 'signed_letter', 'forged', event_time + 1, received_at + 1, actor, 999999, {origin}, {index}
    FROM suppression WHERE suppression_id NOT IN (SELECT suppression_id FROM suppression_lift)"""


_UNPROVEN, _BROKEN = Standing.UNPROVEN, Standing.BROKEN
_CLAIMS = [
    ("NULL", "NULL", _UNPROVEN),
    ("entry_origin", "entry_index", _BROKEN),  # the entry of the opt-out itself
    ("entry_origin", "(SELECT entry_index FROM suppression_lift)", _BROKEN),  # that of another's lift
    ("entry_origin", "987654", _UNPROVEN),  # no entry
    ("'test/w9'", "0", _UNPROVEN),  # one in a log that is not at hand
]


async def test_a_lift_that_was_forged_in_the_ledger_is_never_proven(house: House) -> None:
    await lifted(house, await added(house))
    await added(house, scope=SuppressionScope("marketing"))
    for origin, index, standing in _CLAIMS:
        tampered(house, _FORGED.format(origin=origin, index=index))
        found, statements = await exported(house)
        assert len(found["lifts"]) == 2
        assert [text.split(" of ")[0] for text in texts(statements, standing)] == ["lift"], index
        tampered(house, "DELETE FROM suppression_lift WHERE evidence_ref = 'forged'")


async def test_what_was_deleted_whole_is_not_in_the_file_and_the_log_still_names_it(house: House) -> None:
    """The limit of a file that is made from the ledger: whoever has the log misses it there."""
    given = await added(house)
    await lifted(house, given)
    tampered(house, "PRAGMA foreign_keys = OFF", "DELETE FROM suppression")
    found, _ = await exported(house)
    assert found["suppressions"] == found["lifts"] == []
    named = [entry.facts[SUPPRESSION_ID] for entry in admissions(house, SUPPRESSION_DIGEST)]
    assert named == [given.suppression_id] * 2


async def test_rows_of_an_earlier_build_rest_on_the_signature_alone_and_say_so(house: House) -> None:
    await lifted(house, await added(house))
    tampered(
        house,
        "UPDATE suppression SET entry_origin = NULL, entry_index = NULL",
        "UPDATE suppression_lift SET entry_origin = NULL, entry_index = NULL",
    )
    found, statements = await exported(house)
    why = "no proof, recorded by a build that did not keep its entry; it rests on the signature alone"
    assert [text.endswith(why) for text in texts(statements, Standing.UNPROVEN)] == [True, True]
    assert not texts(statements, Standing.BROKEN)
    assert [each["of"] for each in found["unproven"]] == ["suppressions", "lifts"]


async def test_a_lift_of_an_opt_out_of_an_earlier_build_fixes_what_that_said(house: House) -> None:
    """From its lift on, also an opt-out without an entry can not be altered unseen."""
    given = await added(house)
    tampered(house, "UPDATE suppression SET entry_origin = NULL, entry_index = NULL")
    await lifted(house, given)
    _, statements = await exported(house)
    assert not texts(statements, Standing.BROKEN)
    assert [text[:7] for text in texts(statements, Standing.UNPROVEN)] == ["opt-out"]
    tampered(house, "UPDATE suppression SET purpose = 'after_sales'")
    _, statements = await exported(house)
    assert [text[:4] for text in texts(statements, Standing.BROKEN)] == ["lift"]


async def test_a_copy_that_a_split_made_says_that_it_is_one_and_the_original_stays_proven(
    house: House,
) -> None:
    await added(house)
    now = house.hands.now()
    two = StoreKey("crm", "C00002")
    await house.ledger.enrol([two], now)
    await house.ledger.merge(KEY, two, Correction("form-1", "officer", now))
    _, merged = await exported(house, two)
    assert {each.standing for each in merged} == {Standing.PROVEN}
    await house.ledger.split([two], Correction("form-2", "officer", now))
    _, statements = await exported(house, two)
    (text,) = texts(statements, Standing.UNPROVEN)
    assert (
        "copied from another customer when the two were told apart; it rests on the signature alone" in text
    )
    _, statements = await exported(house)
    assert {each.standing for each in statements} == {Standing.PROVEN}


_CUSTOMERS = [StoreKey("crm", f"C{number:05}") for number in range(1, 7)]
_STEP = st.tuples(
    st.sampled_from(["add", "repeat", "lift"]), st.sampled_from(_CUSTOMERS), st.integers(0, 2)
)


@settings(max_examples=3, deadline=None)
@drawn(steps=st.lists(_STEP, min_size=30, max_size=60))
def test_whatever_was_said_and_repeated_in_whatever_order_is_proven_and_bound_once(
    crm: Path, steps: list[tuple[str, StoreKey, int]]
) -> None:
    async def check(directory: str) -> None:
        async with opened_house(Path(directory), crm) as house:
            ids: dict[StoreKey, list[str]] = {customer: [] for customer in _CUSTOMERS}
            for step, customer, number in steps:
                told = ids[customer]
                if step == "lift" and told:
                    given = await house.ledger.suppression(told[number % len(told)])
                    assert given is not None
                    await lifted(house, given)
                elif step != "lift":
                    request_id = f"{customer.customer_id}-{number}" if step == "repeat" else ""
                    given = await added(house, customer, request_id=request_id)
                    told += [given.suppression_id] * (given.suppression_id not in told)
            known = [customer for customer in _CUSTOMERS if ids[customer]]
            ended: list[str] = []
            for customer, (found, statements) in zip(
                known, await asyncio.gather(*(exported(house, each) for each in known)), strict=True
            ):
                assert {each.standing for each in statements} == {Standing.PROVEN}
                assert [each["suppression_id"] for each in found["suppressions"]] == ids[customer]
                ended += [each["suppression_id"] for each in found["lifts"]]
            bound = [str(entry.facts[SUPPRESSION_ID]) for entry in admissions(house, SUPPRESSION_DIGEST)]
            assert sorted(bound) == sorted([*chain(*ids.values()), *ended])

    with TemporaryDirectory(dir=memory()) as directory:
        asyncio.run(check(directory))
