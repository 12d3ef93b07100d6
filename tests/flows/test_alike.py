"""Recipients that are decided together are each what they are alone: what one batch shares is no more than what is the same."""

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fujie.app.demo.customers import create_store
from fujie.decision.decide import decide
from fujie.decision.facts import Raw, derive
from fujie.decision.message import render
from fujie.decision.plan import Plan
from fujie.decision.recipient import Reached
from fujie.decision.suppression import suppressed
from fujie.flows.gate import open_case
from fujie.flows.judging import Judged, Matter, judge_many, opened_matter, sid_of
from fujie.flows.recipients import Wanted
from fujie.flows.refuse import standing
from fujie.flows.screening import Met, screen_many
from fujie.flows.wording import worded
from fujie.model.consent import NEGATIVE, ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import EXHAUSTED, Facts, FactValue
from fujie.model.message import CHANNEL, Recipient
from fujie.model.phone import country_of, zones_of
from fujie.model.request import Request, RequestContext
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import Action
from support.house import House, caller, opened_house
from support.identities import IDENTIFIERS, because, opt_out
from support.sending import (
    BY_DAY,
    DRAFT,
    POLICY,
    SIGNATURE,
    CountingProvider,
    agree,
    campaign_to,
    keys,
    sending,
    work_off,
)

REQUEST = Request(
    Action.SEND, "marketing", "consent", "crm", "customer_id", channel=CHANNEL, brand=SIGNATURE
)
CAPS = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: seldom}
spec:
  match: {actions: [send]}
  frequency: {per_hour: 2, same_content_per_day: 1}
"""
SCOPES = (
    SuppressionScope(), SuppressionScope("marketing"), SuppressionScope("", CHANNEL), SuppressionScope("", "email"),
    SuppressionScope("", "", SIGNATURE), SuppressionScope("", "", "somebody else"), SuppressionScope("after_sales"),
)  # fmt: skip
KEYS = keys(60)
ASKED: Sequence[CustomerRef] = [*KEYS, *keys(2, 99_998)]


async def live(house: House, chance: random.Random) -> None:
    """Let customers say, share and become one what they may, at random."""
    store, now = house.gate.stores["crm"], house.hands.now()
    rows = await store.fetch_many(KEYS, frozenset(), 2.0)
    numbers = {row.key: Phone(row.phone) for row in rows}
    for key in chance.sample(KEYS, 8):  # the number is somebody else's too, who may say things
        await house.ledger.enrol((key, numbers[key]), now)
        await house.ledger.enrol((StoreKey("old-shop", key.customer_id), numbers[key]), now)
    sids: list[str] = []
    for key in KEYS:
        identity = await house.ledger.enrol((key, numbers[key]), now)
        sids += [sid for sid in identity.sids if chance.random() < 0.8]
    for key in chance.sample(KEYS, 4):
        sids.append((await house.ledger.number(numbers[key], now)).sid)
    for sid in sids:
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            await house.ledger.record_consent(_event(chance, sid, house), "", "")
        if chance.random() < 0.25:
            scope = chance.choice(SCOPES)
            await house.ledger.add_suppression(opt_out(sid, now, scope), "", "")
    for _ in range(4):
        one, other = chance.sample(KEYS, 2)
        try:
            await house.ledger.merge(one, other, because(now))
        except RequestError:  # they share a number, or are one already
            continue


def _event(chance: random.Random, sid: str, house: House) -> ConsentEvent:
    now = house.hands.now()
    kind = chance.choice((*ConsentEventType, *[ConsentEventType.GIVEN] * 8))
    at = now - timedelta(days=chance.choice((0, 1, 30, 364, 366, 400)), seconds=chance.randint(1, 5))
    return ConsentEvent(
        IDENTIFIERS.new_id(), sid, chance.choice(("marketing",) * 4 + ("after_sales",)), kind, at, now, "desk",
        channel=chance.choice(("any", "any", CHANNEL, "email")),
        explicit=kind not in NEGATIVE and chance.random() < 0.8,
        valid_until=chance.choice((None, None, now - timedelta(hours=1), now + timedelta(days=1))),
    )  # fmt: skip


async def opened(house: House) -> Matter:
    case = open_case(
        house.gate, caller("marketer"), RequestContext(purpose="marketing", basis="consent"), REQUEST
    )
    principal = await standing(case)
    assert not isinstance(principal, Decision)
    matter = await opened_matter(case, principal, await worded(case, DRAFT, in_campaign=True))
    assert not isinstance(matter, Decision)
    return matter


async def together(house: House, refs: Sequence[CustomerRef]) -> tuple[Plan, Sequence[Judged]]:
    """Judge them in one batch."""
    matter = await opened(house)
    wanted = [Wanted(str(n), "", Recipient(ref)) for n, ref in enumerate(refs)]
    judgement = await judge_many(matter, wanted, 5.0)
    assert judgement is not None
    assert not isinstance(judgement, Decision)
    return matter.plan, judgement.judged


async def alone(house: House, plan: Plan, ref: CustomerRef) -> tuple[str, ...]:
    """Return the reasons for one customer, each part read by the method for one and decided without memory."""
    gate, now = house.gate, house.hands.time
    assert gate.sending is not None
    principal = await gate.directory.get("marketer")
    assert principal is not None
    rows = await gate.stores["crm"].fetch(ref, frozenset(), plan.customer_attributes, 5.0)
    if not rows:  # of whom nothing is known
        raw = Raw(principal, (), "", None, (), reviewed(house, ""), is_local=True)
        return reasons(house, plan, raw)
    (row,) = rows
    refs = (ref, Phone(row.phone))
    identity, events = await gate.ledger.recall(refs, "marketing", now)
    closed = await gate.ledger.suppressions(identity.sids)
    sent = (await gate.sending.outbox.recall_many([refs], "marketing", now)).customers[0].sent
    zones = tuple(map(ZoneInfo, zones_of(row.phone)))
    reached = Reached(country_of(row.phone), zones, sent, render(DRAFT, None, {}, "").content)
    sid, message = "" if identity.is_shared else identity.sid, reviewed(house, row.phone)
    raw = Raw(principal, events, sid, row.attributes, closed, message, is_local=True, reached=reached)
    told = reasons(house, plan, raw)
    return told or (("CUSTOMER_OPTED_OUT",) if suppressed(closed, "marketing", CHANNEL, SIGNATURE) else ())


def reasons(house: House, plan: Plan, raw: Raw) -> tuple[str, ...]:
    facts = derive(plan.bundle, REQUEST, raw, house.hands.time, house.gate.zone)
    decision = decide(plan, REQUEST, Facts({**facts.values, EXHAUSTED: ()}))
    return tuple(hit.code for hit in decision.reasons)


def reviewed(house: House, phone: str) -> dict[str, FactValue]:
    """Return the facts of the message."""
    decider, country = house.gate.policies.current, country_of(phone) if phone else ""
    rendered, sender = render(DRAFT, None, {}, ""), decider.bundle.senders[SIGNATURE]
    review = decider.reviewer.review(rendered, DRAFT, None, sender, "counting", country)
    return {**review.facts, "message.in_campaign": True}


@pytest.mark.parametrize("seed", range(4))
async def test_who_is_decided_in_a_batch_is_decided_as_alone(house: House, seed: int) -> None:
    chance = random.Random(seed)
    at = sending(house, CountingProvider(), policy=POLICY + CAPS)
    await live(at, chance)
    await campaign_to(at.gate, chance.sample(KEYS, 25))
    await work_off(at.gate)
    refs = list(chance.sample(ASKED, len(ASKED)))
    plan, judged = await together(at, refs)
    told = [tuple(hit.code for hit in each.decision.reasons) for each in judged]
    assert told == [await alone(at, plan, ref) for ref in refs]
    screened = await screen_many(await opened(at), refs, Met({}), 5.0)
    assert screened is not None
    assert not isinstance(screened, Decision)
    assert [decision for _, decision in screened] == [each.told for each in judged]
    assert [sid for sid, _ in screened] == [sid_of(each) for each in judged]
    assert len({id(each.decision) for each in judged}) < len(refs) / 2, "what is the same is decided once"
    single = [(await together(at, [ref]))[1][0] for ref in refs]
    assert [(each.decision.effect, each.facts) for each in single] == [
        (each.decision.effect, each.facts) for each in judged
    ]
    kinds = {code for codes in told for code in codes} | {"ALLOW" for codes in told if not codes}
    assert {"ALLOW", "CONSENT_MISSING", "CONSENT_WITHDRAWN", "CUSTOMER_OPTED_OUT"} <= kinds
    assert {"FACT_MISSING", "FREQUENCY_EXCEEDED", "X_MINOR_MARKETING"} <= kinds


async def test_who_got_one_message_more_is_told_apart(house: House) -> None:
    """Both got the last one; with the one before it the hour of the first is full."""
    at = sending(house, CountingProvider(), policy=POLICY + CAPS)
    rows = await at.gate.stores["crm"].fetch_many(KEYS, frozenset({"minor"}), 2.0)
    people = [row.key for row in rows if not row.attributes["minor"]][:3]
    await agree(at, people)
    for text, some in (("秋装上架", people[:1]), ("冬装上架", people[:2])):
        await campaign_to(at.gate, some, replace(DRAFT, text=f"{text}，欢迎选购。拒收请回复R"))
        await work_off(at.gate)
    for order in (people, people[::-1]):
        screened = await screen_many(await opened(at), order, Met({}), 5.0)
        _, judged = await together(at, order)
        assert screened == [(sid_of(each), each.told) for each in judged]
        refused = [ref for ref, each in zip(order, judged, strict=True) if not each.is_allowed]
        assert refused == people[:1]


ODD = """
ALTER TABLE customer RENAME TO plain;
CREATE VIEW customer AS SELECT id, full_name, id_number, card_number, email, address, birthday, plate, gender, department,
    CASE id WHEN 'C00001' THEN '+80012345678' WHEN 'C00002' THEN NULL
        WHEN 'C00006' THEN (SELECT mobile FROM plain WHERE id = 'C00004') ELSE mobile END AS mobile,
    CASE WHEN id IN ('C00003', 'C00005') THEN 0.0 WHEN id < 'C00009' THEN 0 ELSE minor END AS minor
FROM plain;
"""
"""C00001 has a number of no country, C00002 none, C00006 that of C00004, and whether C00003 and C00005 are minors is written in another type."""


async def test_what_python_takes_for_equal_is_told_apart_from_one_batch_to_the_next(tmp_path: Path) -> None:
    """0 and 0.0 in the column of a store, all of one kind in a batch and all of the other in the next; no number, and one of
    which nobody can tell where it is."""
    create_store(tmp_path / "crm.db", 20)
    with closing(sqlite3.connect(tmp_path / "crm.db")) as store:
        store.executescript(ODD)
    async with opened_house(tmp_path, tmp_path / "crm.db") as house:
        at = sending(house, CountingProvider())
        people = keys(6)
        await agree(at, people)
        for order in ([0, 1], [1, 0], [3, 2], [2, 3], [3, 2, 5, 4]):
            met = Met({})
            for refs in ([people[n]] for n in order):
                screened = await screen_many(await opened(at), refs, met, 5.0)
                _, judged = await together(at, refs)
                assert screened == [(sid_of(each), each.told) for each in judged]
            in_one = await screen_many(await opened(at), [people[n] for n in order], Met({}), 5.0)
            _, judged = await together(at, [people[n] for n in order])
            assert in_one == [(sid_of(each), each.told) for each in judged]


async def test_who_is_met_again_in_a_stream_is_decided_as_if_met_first(house: House) -> None:
    """Between two batches hours end, consents run out, messages leave their windows, and people say things."""
    chance = random.Random(5)
    at = sending(house, CountingProvider(), policy=POLICY + CAPS + BY_DAY)
    await live(at, chance)
    plain = keys(12, 70)
    await agree(at, plain)
    await campaign_to(at.gate, [*chance.sample(KEYS, 25), *plain[:6]])
    await work_off(at.gate)
    met, seen = Met({}), set[tuple[str, ...]]()
    for minutes in (0, 1, 14, 40, 60, 60 * 6, 60 * 12, 60 * 24, 60 * 24 * 30):
        at.hands.time += timedelta(minutes=minutes)
        said = await at.ledger.enrol((chance.choice(KEYS),), at.hands.time)
        await at.ledger.record_consent(_event(chance, said.sid, at), "", "")
        refs = [*chance.sample(KEYS, 30), *chance.sample(plain, 12)]
        again = await screen_many(await opened(at), refs, met, 5.0)
        first = await screen_many(await opened(at), refs, Met({}), 5.0)
        assert again == first
        _, judged = await together(at, refs)
        assert again == [(sid_of(each), each.told) for each in judged]
        seen |= {tuple(hit.code for hit in each.decision.reasons) for each in judged}
    assert len(met.decided) > 0
    assert len(seen) > 5
    assert any("X_NIGHT" in codes for codes in seen)
