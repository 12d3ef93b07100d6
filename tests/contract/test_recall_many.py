"""Many customers at once are each what they are alone: enrolled, merged, split, sharing, or a number that spoke."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fujie.adapters.ledger import SQLLedger, aliases, enrolment
from fujie.adapters.ledger.database import Query
from fujie.adapters.ledger.instant import from_micros
from fujie.adapters.ledger.plain import Shape, telling
from fujie.model.consent import ConsentEventType
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.message import MessageState, Settled
from fujie.ports.recollection import Recalled
from support.identities import bare, because, consent_event, opt_out
from support.outboxes import NOW, URLS, Counted, claim, key, leased, opened, phone, running

KEYS, PHONES = [key(n) for n in range(5)], [phone(n) for n in range(3)]
REFS: Sequence[CustomerRef] = [*KEYS, *PHONES]
CUSTOMER = st.lists(st.sampled_from(REFS), min_size=1, max_size=4)
CUSTOMERS = st.lists(CUSTOMER, min_size=1, max_size=6)
IN_A_STORE = st.lists(
    st.builds(
        lambda key, numbers: [key, *numbers],
        st.sampled_from(KEYS),
        st.lists(st.sampled_from(PHONES), max_size=1),
    ),
    min_size=1,
    max_size=6,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enrol"), CUSTOMERS),
        st.tuples(st.just("merge"), st.lists(st.sampled_from(KEYS), min_size=2, max_size=2)),
        st.tuples(st.just("split"), st.sampled_from(KEYS).map(lambda each: [each])),
        st.tuples(st.just("speak"), st.sampled_from(PHONES).map(lambda each: [each])),
        st.tuples(st.just("consent"), CUSTOMER),
        st.tuples(st.just("suppress"), CUSTOMER),
    ),
    max_size=8,
)


async def told(ledger: SQLLedger, customers: Sequence[Sequence[CustomerRef]]) -> list[Recalled]:
    """Return what the methods for one customer say, once all of them are known."""
    for refs in customers:
        await ledger.enrol(refs, NOW)
    found = []
    for refs in customers:
        identity, events = await ledger.recall(refs, "marketing", NOW)
        suppressions = await ledger.suppressions(identity.sids)
        found.append(Recalled(identity, list(map(bare, events)), suppressions, ()))
    return found


def plain(recalled: Sequence[Recalled]) -> list[Any]:
    return [
        (
            each.identity,
            each.identity.wrapped_key,
            list(each.events),
            sorted(each.suppressions, key=lambda given: given.suppression_id),
            list(each.sent),
        )
        for each in recalled
    ]


class Twins:
    """Two ledgers that are told the same: one customer by customer, the other at once."""

    def __init__(self, alone: SQLLedger, together: SQLLedger) -> None:
        self.alone, self.together = alone, together
        self.minutes = count()

    async def enrol(self, *customers: Sequence[CustomerRef]) -> None:
        expected = await told(self.alone, customers)
        recalled = await self.together.outbox.recall_many(customers, "marketing", NOW)
        assert plain(recalled.customers) == plain(expected)
        # written, not only said: as others read it too
        assert plain(await told(self.together, customers)) == plain(expected)

    async def merge(self, into: Any, source: Any) -> None:
        for each in (self.alone, self.together):
            with suppress(RequestError):  # of a customer that is not there
                await each.merge(into, source, because(NOW))

    async def split(self, ref: Any) -> None:
        for each in (self.alone, self.together):
            with suppress(RequestError):  # of a customer that is not there
                await each.split([ref], because(NOW))

    async def speak(self, ref: Any) -> None:
        identity = await self.alone.number(ref, NOW)
        assert await self.together.number(ref, NOW) == identity
        given = opt_out(identity.sid, NOW)
        for each in (self.alone, self.together):
            await each.add_suppression(given, "", "")

    async def consent(self, *refs: CustomerRef) -> None:
        when = NOW + timedelta(minutes=next(self.minutes) % 3)
        sid = (await self.alone.enrol(refs, NOW)).sid
        assert (await self.together.enrol(refs, NOW)).sid == sid
        events = [
            consent_event(sid, ConsentEventType.GIVEN, when, NOW, purpose)
            for purpose in ("marketing", "analytics")
        ]
        for each in (self.alone, self.together):
            for event in events:
                await each.record_consent(event, "", "")

    async def suppress(self, *refs: CustomerRef) -> None:
        sid = (await self.alone.enrol(refs, NOW)).sid
        await self.together.enrol(refs, NOW)
        given = opt_out(sid, NOW)
        for each in (self.alone, self.together):
            await each.add_suppression(given, "", "")


def in_a_store(customers: Sequence[Sequence[CustomerRef]]) -> list[tuple[str, str]]:
    """Return those given by a store key as a survey takes them: with their last number, if that comes last."""
    named = [(refs[0], refs[-1]) for refs in customers if isinstance(refs[0], StoreKey)]
    return [(of.customer_id, number.e164 if isinstance(number, Phone) else "") for of, number in named]


def refs_of(customer_id: str, number: str) -> Sequence[CustomerRef]:
    key = StoreKey(KEYS[0].store, customer_id)
    return (key, Phone(number)) if number else (key,)


async def surveyed(ledger: SQLLedger, customers: Sequence[Sequence[CustomerRef]]) -> None:
    """Hold what a survey tells of customers with a store key against what is recalled of them."""
    people = in_a_store(customers)
    told = await ledger.outbox.survey(KEYS[0].store, people, "marketing", NOW, enrol=True, sent=True)
    refs = [refs_of(*each) for each in people]
    recalled = (await ledger.outbox.recall_many(refs, "marketing", NOW)).customers
    for place, one in enumerate(recalled):
        seen, scopes = told.recalled(place), [given.scope for given in one.suppressions]
        assert (seen.identity, list(seen.events), seen.sent) == (one.identity, list(one.events), one.sent)
        assert sorted(map(repr, [given.scope for given in seen.suppressions])) == sorted(map(repr, scopes))
        assert told.sids[place] == one.identity.sid
        events = told.events[place]
        if events is None:
            assert place not in told.scopes
            continue
        assert one.identity.sids == (one.identity.sid,)
        assert not one.identity.is_shared
        assert [(said[0], from_micros(said[4])) for said in events] == [
            (event.type, event.event_time) for event in one.events
        ]
        assert len(told.scopes.get(place, ())) == len(scopes)


async def compared(urls: Sequence[str], steps: Sequence[tuple[str, Any]], last: Any) -> None:
    alone, together = [await opened(url, Counted()) for url in urls]
    try:
        twins = Twins(alone, together)
        for name, refs in steps:
            await getattr(twins, name)(*refs)
        await twins.enrol(*last)
        purposes = [await each.outbox.recall_many(last, "", NOW) for each in (alone, together)]
        assert plain(purposes[0].customers) == plain(purposes[1].customers)
        marker = purposes[1].marker
        assert (await together.outbox.recall_many(last, "", NOW)).marker == marker, (
            "nothing is left to write"
        )
        await surveyed(together, last)
    finally:
        await alone.close()
        await together.close()


def run(kind: str, steps: Sequence[tuple[str, Any]], last: Any) -> None:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(aliases, "MOST_SHARERS", 2)  # so that numbers are full soon
        patch.setattr(enrolment, "MOST_TOGETHER", 3)  # and lists are in several statements
        urls = [stack.enter_context(URLS[kind]()) for _ in range(2)]
        asyncio.run(compared(urls, steps, last))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, last=CUSTOMERS)
def test_customers_recalled_together_are_those_recalled_alone_in_sqlite(
    steps: Sequence[tuple[str, Any]], last: Any
) -> None:
    run("sqlite", steps, last)


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, last=CUSTOMERS)
def test_customers_recalled_together_are_those_recalled_alone_in_postgresql(
    steps: Sequence[tuple[str, Any]], last: Any
) -> None:
    run("postgresql", steps, last)


def test_the_odd_ones_are_the_same_too() -> None:
    """What drawing may miss: merged twice, a full number, a number that spoke and then got another owner."""
    steps = [
        ("enrol", [[KEYS[0], PHONES[0]], [KEYS[1], PHONES[0]], [KEYS[2], PHONES[0]], [KEYS[3], PHONES[1]]]),
        ("consent", [KEYS[0]]),
        ("merge", [KEYS[1], KEYS[0]]),
        ("merge", [KEYS[2], KEYS[1]]),
        ("speak", [PHONES[0]]),
        ("suppress", [KEYS[3], PHONES[2]]),
        ("split", [KEYS[1]]),
        ("enrol", [[KEYS[4], PHONES[0]], [PHONES[0]], [PHONES[2], KEYS[4]]]),
        ("consent", [KEYS[4]]),
    ]
    last = [[key, phone] for key in KEYS for phone in PHONES] + [[phone] for phone in PHONES]
    for kind in URLS:
        run(kind, steps, last)


class Told(NamedTuple):
    """What a survey says of one, but for the data key and who said what of the opt-outs."""

    sid: str
    is_shared: bool
    others: frozenset[str]
    events: Sequence[Any]
    scopes: Sequence[str]
    sent: Sequence[Any]


def as_told(one: Recalled) -> Told:
    scopes = sorted(repr(given.scope) for given in one.suppressions)
    identity = one.identity
    return Told(
        identity.sid,
        identity.is_shared,
        frozenset(identity.others),
        list(one.events),
        scopes,
        list(one.sent),
    )


async def looked_at(ledger: SQLLedger, people: Sequence[tuple[str, str]], purpose: str) -> list[Told]:
    """Look at customers of the store together, and enrol nobody."""
    said = await ledger.outbox.survey(KEYS[0].store, people, purpose, NOW, enrol=False, sent=True)
    told = [as_told(said.recalled(place)) for place in range(len(people))]
    assert [each.sid for each in told] == said.sids
    return told


async def looked(url: str, steps: Sequence[tuple[str, Any]], last: Any) -> None:
    """Look at each, and hold it against what is told of him once he is enrolled."""
    ids = Counted()
    ledger = await opened(url, ids)
    outbox, twins = ledger.outbox, Twins(ledger, ledger)
    try:
        for name, refs in steps:
            if name == "enrol":
                await outbox.recall_many(refs, "marketing", NOW)
            elif name in ("consent", "suppress"):
                sid = (await ledger.enrol(refs, NOW)).sid
                if name == "consent":
                    await ledger.record_consent(
                        consent_event(sid, ConsentEventType.GIVEN, NOW, NOW), "", ""
                    )
                else:
                    await ledger.add_suppression(opt_out(sid, NOW), "", "")
            elif name == "speak":
                given = opt_out((await ledger.number(refs[0], NOW)).sid, NOW)
                await ledger.add_suppression(given, "", "")
            else:
                await getattr(twins, name)(*refs)
        people = in_a_store(last)
        marker = (await outbox.recall_many([], "", NOW)).marker
        for purpose in ("marketing", ""):
            together = await looked_at(ledger, people, purpose)
            assert together == [(await looked_at(ledger, [each], purpose))[0] for each in people]
        assert (await outbox.recall_many([], "", NOW)).marker == marker, "nothing was written"
        for each in people:
            [seen] = await looked_at(ledger, [each], "marketing")
            count_before = ids.count
            [then] = (await outbox.recall_many([refs_of(*each)], "marketing", NOW)).customers
            is_new = int(then.identity.sid.removeprefix("sid_"), 16) > count_before
            assert seen.sid == ("" if is_new else then.identity.sid)
            assert seen == as_told(then)._replace(sid=seen.sid)
    finally:
        await ledger.close()


def look(kind: str, steps: Sequence[tuple[str, Any]], last: Any) -> None:
    with pytest.MonkeyPatch.context() as patch, URLS[kind]() as url:
        patch.setattr(aliases, "MOST_SHARERS", 2)
        patch.setattr(enrolment, "MOST_TOGETHER", 3)
        asyncio.run(looked(url, steps, last))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, last=IN_A_STORE)
def test_who_is_looked_at_is_who_he_is_once_he_is_enrolled_and_nothing_is_written(
    steps: Sequence[tuple[str, Any]], last: Any
) -> None:
    look("sqlite", steps, last)


def test_so_are_the_odd_ones() -> None:
    """New customers with numbers that spoke, that are full, that a merged customer has, or one with a consent."""
    steps = [
        ("enrol", [[KEYS[0], PHONES[0]], [KEYS[1], PHONES[0]], [KEYS[2], PHONES[1]]]),
        ("consent", [KEYS[0]]),
        ("suppress", [KEYS[1]]),
        ("consent", [KEYS[2]]),
        ("merge", [KEYS[2], KEYS[1]]),
        ("speak", [PHONES[0]]),
        ("speak", [PHONES[2]]),
    ]
    last = [[KEYS[3], each] for each in PHONES] + [[KEYS[4], PHONES[1]], [KEYS[4]], [KEYS[2], PHONES[2]]]
    for kind in URLS:
        look(kind, steps, last)


@pytest.mark.parametrize("kind", URLS)
async def test_many_at_once_by_several_processes_make_nobody_twice(kind: str) -> None:
    with URLS[kind]() as url:
        both = [await opened(url) for _ in range(2)]
        refs = [key(n) for n in range(300)]
        found = await asyncio.gather(
            *(each.outbox.enrol_many(refs[n:] + refs[:n], NOW) for n in (0, 150) for each in both)
        )
        sids = [{identity.sid for identity in identities} for identities in found]
        assert sids[0] == sids[1] == sids[2] == sids[3]
        assert len(sids[0]) == 300
        assert await both[0].outbox.enrol_many(refs[:1], NOW) == [Identity(found[0][0].sid)]
        assert await both[0].outbox.enrol_many([], NOW) == []
        with pytest.raises(LedgerError):
            await both[0].outbox.recall_many([[key(0)], []], "marketing", NOW)
        for each in both:
            await each.close()


@pytest.mark.parametrize("kind", URLS)
async def test_what_a_person_got_within_a_day_is_told_by_every_sid_and_number(kind: str) -> None:
    with URLS[kind]() as url:
        ledger = await opened(url)
        people = [(key(0), phone(0)), (key(1), phone(0)), (key(2), phone(2))]
        known = await ledger.outbox.recall_many(people, "marketing", NOW)
        sids = [each.identity.sid for each in known.customers]
        await running(ledger, [sids[0]])
        lease = await leased(ledger)
        wire = claim(lease.intents[0].intent_id, phone(7), sids[0])  # a number that they have elsewhere
        at = known.marker
        assert len((await ledger.outbox.claim(lease, [wire], at, "marketer", NOW)).claimed) == 1

        async def got(*refs: CustomerRef, hours: float = 0) -> int:
            now = NOW + timedelta(hours=hours)
            recalled = await ledger.outbox.recall_many([refs, people[2]], "marketing", now)
            assert recalled.customers[1].sent == ()
            for message in recalled.customers[0].sent:
                assert (message.at, message.content) == (NOW, wire.content)
            return len(recalled.customers[0].sent)

        for end, told_of in (
            (None, 1),
            (MessageState.UNKNOWN, 1),
            (MessageState.SUBMITTED, 1),
        ):
            if end:
                await ledger.outbox.settle("w0", [Settled(wire.intent_id, end)], NOW)
            assert await got(*people[0]) == told_of
            assert await got(*people[1]) == told_of, "who shares a number may be the same person"
            assert await got(phone(7)) == told_of, "whoever has the number got it"
            assert await got(*people[0], phone(7)) == told_of, "once, however often it is found"
        assert await got(*people[0], hours=24) == 1
        assert await got(*people[0], hours=24.01) == 0
        await ledger.close()


@pytest.mark.parametrize("end", [MessageState.FAILED, MessageState.PLANNED])
async def test_what_certainly_did_not_go_out_is_not_counted(end: MessageState) -> None:
    with URLS["sqlite"]() as url:
        ledger = await opened(url)
        [known] = (await ledger.outbox.recall_many([[key(0)]], "marketing", NOW)).customers
        await running(ledger, [known.identity.sid])
        lease = await leased(ledger)
        wire = claim(lease.intents[0].intent_id, phone(0), known.identity.sid)
        at = (await ledger.outbox.recall_many([[key(0)]], "marketing", NOW)).marker
        await ledger.outbox.claim(lease, [replace(wire)], at, "marketer", NOW)
        await ledger.outbox.settle("w0", [Settled(wire.intent_id, end)], NOW)
        [known] = (await ledger.outbox.recall_many([[key(0)]], "marketing", NOW)).customers
        assert known.sent == ()
        await ledger.close()


@given(st.binary(min_size=1, max_size=100), st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_digests_of_many_are_those_of_each(secret: bytes, people: list[tuple[str, str]]) -> None:
    digest = aliases.digester(secret)
    of_keys = [digest(StoreKey("crm", customer_id)) for customer_id, _ in people]
    of_numbers = [digest(Phone(number)) if number else of_keys[n] for n, (_, number) in enumerate(people)]
    assert aliases.digests_of(secret, "crm", people) == (of_keys, of_numbers)


async def test_postgresql_reads_by_customer_and_no_table_whole() -> None:
    """Every table of the statement is entered by the index of the customer: a plan is made once for a connection."""
    with URLS["postgresql"]() as url:
        ledger = await opened(url)
        select = telling(Shape(of_purpose=True, sent=True, keys=True, is_long=True)).select
        assert isinstance(select, sa.TextClause)
        digest = bytes(32)
        values = {"of_keys": digest, "numbers": digest, "places": "[0]", "purpose": "marketing", "since": 0}
        explained = Query(type(select)("EXPLAIN " + select.text), tuple)
        plan = "\n".join(row[0] for row in await ledger.database.rows(explained, values))
        await ledger.close()
    indexes = ("ix_suppression_sid", "ix_message_sent_sid", "ix_message_sent_address", "uq_alias_current")
    assert all(index in plan for index in indexes)
    assert "using pk_suppression on" not in plan
    assert "using pk_message on" not in plan
    assert "Seq Scan" not in plan
