"""What every ledger must do (`ports.Ledger`), run against each adapter.

An adapter joins by a line in `ADAPTERS`: a context with an empty ledger, as a function that opens that
ledger again, as another process or the next start would.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, KeptCheckpoint, SQLLedger, open_ledger
from fujie.adapters.ledger.sqlite import SQLiteDatabase
from fujie.decision.consent import consent_of
from fujie.model.consent import ConsentEvent, ConsentEventType, EntryRef, Notice
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.notice import PrivacyNotice
from fujie.model.reason import LocalizedText
from fujie.model.vocabulary import State
from fujie.ports import Ledger
from support.ledgers import sqlite_url
from support.postgresql import ledger_url

Open = Callable[[], Awaitable[SQLLedger]]

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
INDEX = IndexKey("index-1", b"\x01" * 32)
KEY, PHONE = StoreKey("crm", "C-1001"), Phone("+8613800138000")
OTHER, STRANGER = StoreKey("crm", "C-1002"), StoreKey("crm", "C-1009")
IDENTIFIERS = SystemIdentifiers(SystemClock())


def opener(url: str) -> Open:
    return lambda: open_ledger(url, INDEX, IDENTIFIERS, lambda sid: b"wrapped:" + sid.encode())


@contextmanager
def sqlite() -> Iterator[Open]:
    with sqlite_url() as url:
        yield opener(url)


@contextmanager
def postgresql() -> Iterator[Open]:
    with ledger_url() as url:
        yield opener(url)


ADAPTERS: Mapping[str, Callable[[], AbstractContextManager[Open]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
}


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


@pytest.fixture
async def reopen(empty: Open) -> AsyncIterator[Open]:
    opened: list[SQLLedger] = []

    async def reopen() -> SQLLedger:
        opened.append(await empty())
        return opened[-1]

    yield reopen
    for ledger in opened:
        await ledger.close()


@pytest.fixture
async def ledger(reopen: Open) -> SQLLedger:
    return await reopen()


def event(
    sid: str, kind: ConsentEventType = ConsentEventType.GIVEN, minutes: int = 0, purpose: str = "marketing"
) -> ConsentEvent:
    moment = NOW + timedelta(minutes=minutes)
    return ConsentEvent(IDENTIFIERS.new_id(), sid, purpose, kind, moment, NOW, "agent-1")


async def sid_of(ledger: Ledger, *refs: CustomerRef) -> str:
    return (await ledger.enrol(refs or (KEY,), NOW)).sid


# Subjects and aliases.


async def test_a_stranger_is_not_found_and_finding_makes_nobody(ledger: SQLLedger) -> None:
    assert await ledger.find([KEY, PHONE]) is None
    assert await ledger.find([KEY, PHONE]) is None
    assert await ledger.find([]) is None


async def test_enrolling_nobody_is_an_error(ledger: SQLLedger) -> None:
    with pytest.raises(LedgerError):
        await ledger.enrol([], NOW)


async def test_all_refs_of_a_stranger_lead_to_one_random_sid(ledger: SQLLedger, reopen: Open) -> None:
    identity = await ledger.enrol([KEY, PHONE], NOW)
    assert identity.others == ()
    assert identity.sid.startswith("sid_")
    assert len(identity.sid) == 36
    orders: list[list[CustomerRef]] = [[KEY], [PHONE], [PHONE, KEY], [KEY, KEY]]
    for refs in orders:
        assert await (await reopen()).find(refs) == identity


async def test_a_number_that_two_share_leads_from_each_to_the_other(
    ledger: SQLLedger, reopen: Open
) -> None:
    first = await sid_of(ledger, KEY, PHONE)
    assert await ledger.find([PHONE]) == Identity(first)
    second = await sid_of(ledger, OTHER, PHONE)
    assert first != second
    lists: list[list[CustomerRef]] = [[PHONE], [PHONE, OTHER], [PHONE, KEY], [STRANGER, PHONE]]
    for reader in (ledger, await reopen()):
        assert await reader.find([KEY, PHONE]) == Identity(first, (second,))
        assert await reader.find([OTHER, PHONE]) == Identity(second, (first,))
        assert await reader.enrol([OTHER, PHONE], NOW) == Identity(second, (first,))
        for refs in lists:
            assert await reader.find(refs) == Identity(first, (second,), is_shared=True)
        assert await reader.enrol([PHONE], NOW) == Identity(first, (second,), is_shared=True)


async def test_the_earliest_of_a_number_is_the_one_that_had_it_first(ledger: SQLLedger) -> None:
    """Else a repeated request by phone would name another sid once an older customer got the number."""
    older, first = await sid_of(ledger, OTHER), await sid_of(ledger, KEY, PHONE)
    assert await ledger.enrol([OTHER, PHONE], NOW) == Identity(older, (first,))
    assert await ledger.find([PHONE]) == Identity(first, (older,), is_shared=True)


async def test_others_come_by_age_and_once(ledger: SQLLedger) -> None:
    keys, phones = [StoreKey("crm", str(n)) for n in range(4)], [PHONE, Phone("+8613900139000")]
    sids = [await sid_of(ledger, key, *phones) for key in keys]
    for n, key in enumerate(keys):
        others = tuple(sid for sid in sids if sid != sids[n])
        lists: list[list[CustomerRef]] = [[key, *phones], [key, *reversed(phones)], [key, phones[1], *keys]]
        for refs in lists:
            assert await ledger.find(refs) == Identity(sids[n], others)


async def test_the_chain_of_shared_numbers_is_followed_one_step(ledger: SQLLedger) -> None:
    bridge, far = Phone("+8613900139000"), StoreKey("crm", "C-1003")
    near, middle = await sid_of(ledger, KEY, PHONE), await sid_of(ledger, OTHER, PHONE, bridge)
    last = await sid_of(ledger, far, bridge)
    assert await ledger.find([KEY, PHONE]) == Identity(near, (middle,))
    assert await ledger.find([far, bridge]) == Identity(last, (middle,))
    assert await ledger.find([KEY]) == Identity(near)


async def test_a_store_key_of_another_stays_there(ledger: SQLLedger) -> None:
    first, second = await sid_of(ledger, KEY), await sid_of(ledger, OTHER)
    assert await ledger.enrol([KEY, OTHER], NOW) == Identity(first, (second,))
    assert await ledger.enrol([PHONE, KEY, OTHER], NOW) == Identity(
        await sid_of(ledger, PHONE), (first, second)
    )
    assert await ledger.find([KEY]) == Identity(first)
    assert await ledger.find([OTHER]) == Identity(second)


async def test_a_known_first_ref_takes_the_unknown_others(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger, KEY)
    assert await ledger.enrol([KEY, PHONE, StoreKey("shop", "9")], NOW) == Identity(sid)
    assert await ledger.find([StoreKey("shop", "9")]) == Identity(sid)


async def test_the_first_known_ref_names_the_sid_when_an_earlier_one_is_unknown(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger, PHONE)
    assert await ledger.find([KEY, PHONE]) == Identity(sid)
    assert await ledger.find([KEY]) is None


ODD_IDS = (
    "1", "01", "1 ", " 1", "%", "_", "C%", "C_1", "c-1001", "C-1001", "C-1001\u200b", "'", "' OR '1'='1", '"', '"; DROP TABLE alias; --',
    "\\", "?", ":v0", "{}", "é", "e\u0301", "王", "a\0b", "a\0", "\ud800", "x" * 5000, "+8613800138000", "",
)  # fmt: skip


async def test_no_two_spellings_of_an_id_are_one_customer(ledger: SQLLedger, reopen: Open) -> None:
    refs: list[CustomerRef] = [StoreKey("crm", odd) for odd in ODD_IDS]
    refs += [
        StoreKey("cr", "m\0x"),
        StoreKey("crm\u0000"[:3] + "2", "1"),
        StoreKey("", "crm"),
        Phone("+8613800138000"),
    ]
    sids = [await sid_of(ledger, ref) for ref in refs]
    assert len(set(sids)) == len(refs)
    again = await reopen()
    assert [await again.find([ref]) for ref in refs] == [Identity(sid) for sid in sids]


async def test_a_store_name_cannot_smuggle_a_part_of_the_id(ledger: SQLLedger) -> None:
    with pytest.raises(LedgerError):
        await ledger.find([StoreKey("a\0b", "c")])


async def test_fifty_enrolments_at_once_agree_on_one_sid(ledger: SQLLedger, reopen: Open) -> None:
    ledgers = (ledger, await reopen())
    found = await asyncio.gather(*(ledgers[i % 2].enrol([KEY, PHONE], NOW) for i in range(50)))
    assert set(found) == {Identity(found[0].sid)}


async def test_enrolments_at_once_lose_nobody_of_a_number(ledger: SQLLedger, reopen: Open) -> None:
    ledgers, keys = (ledger, await reopen()), [StoreKey("crm", str(n)) for n in range(6)]
    await asyncio.gather(*(ledgers[i % 2].enrol([keys[i % 6], PHONE], NOW) for i in range(36)))
    sids = {await sid_of(ledger, key) for key in keys}
    shared = await ledger.find([PHONE])
    assert shared is not None
    assert shared.is_shared
    assert sorted(shared.sids) == sorted(sids)
    assert len(sids) == 6


async def test_a_subject_has_the_key_that_was_made_for_its_sid(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    assert await ledger.subject_key(sid) == b"wrapped:" + sid.encode()
    assert await ledger.subject_key("sid_unknown") is None
    assert await ledger.subject_key("%") is None


class EnrolMachine(RuleBasedStateMachine):
    """Any sequence of enrolments, look-ups and restarts against the rules of `ports.Ledger.enrol`."""

    refs = st.lists(
        st.sampled_from(
            [
                *(StoreKey(s, c) for s in ("crm", "shop") for c in "12"),
                *(Phone(f"+861380013800{n}") for n in range(3)),
            ]
        ),
        min_size=1,
        max_size=4,
    )

    @initialize(adapter=st.sampled_from(sorted(ADAPTERS)))
    def start(self, adapter: str) -> None:
        self.context = ADAPTERS[adapter]()
        self.runner = asyncio.Runner()
        self.open = self.context.__enter__()
        self.ledger = self.runner.run(self.opened())
        self.links: list[tuple[CustomerRef, str]] = []  # in the order in which they were made

    async def opened(self) -> SQLLedger:
        return await self.open()

    def sids(self, *refs: CustomerRef) -> list[str]:
        return list(dict.fromkeys(sid for ref, sid in self.links if ref in refs))

    def expected(self, refs: list[CustomerRef]) -> Identity | None:
        for ref in refs:
            if own := self.sids(ref):
                others = tuple(sid for sid in self.sids(*refs) if sid != own[0])
                return Identity(own[0], others, is_shared=len(own) > 1)
        return None

    @rule(refs=refs)
    def enrol(self, refs: list[CustomerRef]) -> None:
        identity = self.runner.run(self.ledger.enrol(refs, NOW))
        if not self.sids(refs[0]):
            assert identity.sid not in {sid for _, sid in self.links}
            self.links.append((refs[0], identity.sid))
        sid = self.sids(refs[0])[0]
        for ref in refs:
            if not (sids := self.sids(ref)) or (isinstance(ref, Phone) and sid not in sids):
                self.links.append((ref, sid))
        assert identity == self.expected(refs)

    @rule(refs=refs)
    def find(self, refs: list[CustomerRef]) -> None:
        assert self.runner.run(self.ledger.find(refs)) == self.expected(refs)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.ledger.close())
        self.ledger = self.runner.run(self.opened())

    @invariant()
    def a_store_key_leads_to_one_sid_and_is_never_shared(self) -> None:
        for ref in {ref for ref, _ in self.links if isinstance(ref, StoreKey)}:
            assert self.runner.run(self.ledger.find([ref])) == Identity(self.sids(ref)[0])

    @invariant()
    def every_sid_has_its_key(self) -> None:
        for sid in {sid for _, sid in self.links}:
            assert self.runner.run(self.ledger.subject_key(sid)) == b"wrapped:" + sid.encode()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.runner.run(self.ledger.close())
            self.runner.close()
            self.context.__exit__(None, None, None)


TestEnrolment = EnrolMachine.TestCase
TestEnrolment.settings = settings(max_examples=10, stateful_step_count=12)


# Consent events.


async def test_a_withdrawal_is_seen_by_the_very_next_read_of_everybody(
    ledger: SQLLedger, reopen: Open
) -> None:
    sid, other = await sid_of(ledger), await reopen()
    given = await ledger.record_consent(event(sid), "", "")
    assert list(await other.consent_events([sid], "marketing")) == [given]
    for minute in range(1, 20):
        withdrawn = await ledger.record_consent(event(sid, ConsentEventType.WITHDRAWN, minute), "", "")
        assert (await ledger.consent_events([sid], "marketing"))[-1] == withdrawn
        assert (await other.consent_events([sid], "marketing"))[-1] == withdrawn


async def test_events_come_by_event_time_and_then_by_arrival(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    arrived = [
        await ledger.record_consent(event(sid, minutes=m), "", "") for m in (5, 0, 5, -3, 0, 600_000)
    ]
    expected = [arrived[i] for i in (3, 1, 4, 0, 2, 5)]
    assert list(await ledger.consent_events([sid], "marketing")) == expected


async def test_events_of_other_sids_and_purposes_stay_out(ledger: SQLLedger) -> None:
    one, two = await sid_of(ledger, KEY), await sid_of(ledger, PHONE)
    ours = await ledger.record_consent(event(one), "", "")
    service = await ledger.record_consent(event(one, minutes=1, purpose="after_sales"), "", "")
    theirs = await ledger.record_consent(event(two, minutes=2), "", "")
    assert list(await ledger.consent_events([one], "marketing")) == [ours]
    assert list(await ledger.consent_events([one], "")) == [ours, service]
    assert list(await ledger.consent_events([two, one], "marketing")) == [ours, theirs]
    assert list(await ledger.consent_events([one] * 33 + [two], "")) == [ours, service, theirs]
    for nobody in ([], ["%"], ["sid_unknown"], ["' OR 1=1 --"]):
        assert list(await ledger.consent_events(nobody, "")) == []
    for nothing in ("%", "market%", "marketing' OR '1'='1", "MARKETING"):
        assert list(await ledger.consent_events([one], nothing)) == []


async def test_an_event_of_an_unknown_sid_is_refused(ledger: SQLLedger) -> None:
    with pytest.raises(LedgerError):
        await ledger.record_consent(event("sid_unknown"), "r-1", "d")
    assert list(await ledger.consent_events(["sid_unknown"], "")) == []


async def test_rows_are_recorded_all_or_none_each_request_once_in_their_order(
    ledger: SQLLedger, reopen: Open
) -> None:
    sid, other = await sid_of(ledger), await reopen()
    rows = [(event(sid, minutes=n), f"row:{n}", f"d-{n}") for n in range(5)]
    first = await ledger.record_consents(rows[:3])
    assert list(first) == [row[0] for row in rows[:3]]
    again = [(replace(each, record_id=IDENTIFIERS.new_id()), key, digest) for each, key, digest in rows]
    both = await asyncio.gather(ledger.record_consents(again), other.record_consents(again[::-1]))
    assert list(both[0][:3]) == list(first)
    assert list(both[1]) == list(both[0])[::-1], "of two at once one wrote, and both are told the same"
    assert [each.event_time for each in await other.consent_events([sid], "")] == [
        row[0].event_time for row in rows
    ]
    asked = [f"row:{n}" for n in range(9)]
    assert await other.recorded("agent-1", asked) == {f"row:{n}" for n in range(5)}
    assert await other.recorded("agent-2", asked) == frozenset()
    assert await other.recorded("agent-1", []) == frozenset()
    bad = [(event(sid, minutes=70), "row:70", "d"), (event("sid_unknown"), "row:71", "d")]
    with pytest.raises(LedgerError):
        await ledger.record_consents(bad)
    with pytest.raises(RequestError, match="REQUEST_ID_REUSED"):
        await ledger.record_consents([bad[0], (event(sid), "row:1", "another")])
    assert await other.recorded("agent-1", ["row:70", "row:71"]) == frozenset()
    assert len(await other.consent_events([sid], "")) == 5


async def test_many_are_enrolled_as_each_of_them_is_alone(ledger: SQLLedger) -> None:
    known = await sid_of(ledger, KEY, PHONE)
    found = await ledger.enrol_many([(KEY, PHONE), (OTHER,), (STRANGER, PHONE), (OTHER,)], NOW)
    assert [each.sid for each in found] == [
        known,
        await sid_of(ledger, OTHER),
        await sid_of(ledger, STRANGER),
        found[1].sid,
    ]
    assert found[2] == await ledger.enrol((STRANGER, PHONE), NOW)


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_names = st.lists(_texts, max_size=3).map(tuple)
_moments = st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - zone is added


@settings(max_examples=15)
@given(
    event=st.builds(
        ConsentEvent,
        record_id=st.just(""), sid=st.just(""), purpose=_texts.filter(bool), type=st.sampled_from(ConsentEventType), event_time=_moments,
        received_at=_moments, actor=_texts, channel=_texts, explicit=st.booleans(), separate=st.booleans(),
        valid_until=st.none() | _moments, notice=st.builds(Notice, _texts, _texts, _texts, _texts), controller=_texts,
        jurisdiction=_texts, data_classes=_names, recipients=_names, storage_locations=_names,
        retention_days=st.integers(0, 36_500), collection_method=_texts, withdrawal_method=_texts, source=_texts,
        evidence_ref=_texts, schema=_texts,
    )
)  # fmt: skip
def test_every_field_of_an_event_comes_back_as_it_was(empty: Open, event: ConsentEvent) -> None:
    async def check() -> None:
        ledger, customer = await empty(), StoreKey("crm", IDENTIFIERS.new_id())
        sid = await sid_of(ledger, customer)
        values = {name: getattr(event, name) for name in ConsentEvent.__slots__}
        recorded = ConsentEvent(**{**values, "record_id": IDENTIFIERS.new_id(), "sid": sid})
        assert await ledger.record_consent(recorded, "", "") == recorded
        assert list(await ledger.consent_events([sid], event.purpose)) == [recorded]
        await ledger.close()

    asyncio.run(check())


async def test_text_that_no_database_can_hold_is_refused_whole(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    with pytest.raises(LedgerError):
        await ledger.record_consent(event(sid, purpose="\ud800"), "", "")
    assert list(await ledger.consent_events([sid], "")) == []


@pytest.mark.parametrize("name", ["purpose", "channel", "actor", "source", "controller"])
async def test_text_with_nul_comes_back_whole_or_not_at_all(ledger: SQLLedger, name: str) -> None:
    sid = await sid_of(ledger)
    values = {slot: getattr(event(sid), slot) for slot in ConsentEvent.__slots__}
    odd = ConsentEvent(**{**values, name: "marketing\0x"})
    with suppress(LedgerError):
        await ledger.record_consent(odd, "", "")
    assert list(await ledger.consent_events([sid], "")) in ([], [odd])


@pytest.mark.parametrize("days", [2**31, -(2**31) - 1, 2**63, 2**200])
async def test_a_number_out_of_range_comes_back_whole_or_not_at_all(ledger: SQLLedger, days: int) -> None:
    sid = await sid_of(ledger)
    odd = replace(event(sid), retention_days=days)
    with suppress(LedgerError):
        await ledger.record_consent(odd, "", "")
    assert list(await ledger.consent_events([sid], "")) in ([], [odd])


# A number that two customers share.

_Act = tuple[str, tuple[CustomerRef, ...]]


async def act_out(ledger: Ledger, acts: Sequence[_Act]) -> None:
    """Enrol, give or withdraw in the order of `acts`; a withdrawal is always the later act of the customer."""
    for act, refs in acts:
        identity = await ledger.enrol(refs, NOW)
        if act == "give":
            await ledger.record_consent(event(identity.sid), "", "")
        elif act == "withdraw":
            await ledger.record_consent(event(identity.sid, ConsentEventType.WITHDRAWN, 1), "", "")


async def state_of(ledger: Ledger, *refs: CustomerRef) -> State:
    """Return what a look-up of the customer would see of its consent."""
    identity = await ledger.enrol(refs, NOW)
    events = await ledger.consent_events(identity.sids, "marketing")
    return consent_of(events, identity.sid, "any", NOW + timedelta(days=1), None).state


def neighbours(n: int, store: str) -> tuple[StoreKey, StoreKey, Phone]:
    """Return two customers, of one store or with one id in two, and a number; fresh for each `n`."""
    two = StoreKey("crm", f"other-{n}") if store == "crm" else StoreKey(store, f"{n}")
    return StoreKey("crm", f"{n}"), two, Phone(f"+86138{n:08d}")


@pytest.mark.parametrize("store", ["crm", "shop"])
@pytest.mark.parametrize("by", ["one", "two", "phone"])
async def test_a_withdrawal_closes_for_both_who_share_a_number(
    ledger: SQLLedger, by: str, store: str
) -> None:
    """Whatever came first: meeting the one, meeting the other, their consents, the withdrawal. A third of the orders for each
    of the three in PostgreSQL, where an act takes five times as long."""
    orders = list(permutations(range(5)))
    if not isinstance(ledger.database, SQLiteDatabase):
        orders = orders[("one", "two", "phone").index(by) :: 3]
    for n, order in enumerate(orders):
        one, two, phone = neighbours(n, store)
        parties: dict[str, CustomerRef] = {"one": one, "two": two, "phone": phone}
        acts: list[_Act] = [
            ("enrol", (one, phone)), ("enrol", (two, phone)), ("give", (one,)), ("give", (two,)), ("withdraw", (parties[by],)),
        ]  # fmt: skip
        await act_out(ledger, [acts[i] for i in order])
        states = [await state_of(ledger, key, phone) for key in (one, two, one)]
        assert states == [State.WITHDRAWN] * 3, order


@pytest.mark.parametrize("store", ["crm", "shop"])
async def test_consent_of_one_never_counts_for_the_other(ledger: SQLLedger, store: str) -> None:
    for n, order in enumerate(permutations(range(3))):
        one, two, phone = neighbours(n, store)
        acts: list[_Act] = [("enrol", (one, phone)), ("enrol", (two, phone)), ("give", (one,))]
        await act_out(ledger, [acts[i] for i in order])
        assert await state_of(ledger, one, phone) is State.GIVEN, order
        assert await state_of(ledger, two, phone) is State.NONE, order


async def test_consent_by_a_number_counts_for_one_at_most(ledger: SQLLedger) -> None:
    for n, order in enumerate(permutations(range(3))):
        one, two, phone = neighbours(n, "crm")
        acts: list[_Act] = [("enrol", (one, phone)), ("enrol", (two, phone)), ("give", (phone,))]
        await act_out(ledger, [acts[i] for i in order])
        states = [await state_of(ledger, key, phone) for key in (one, two)]
        assert states.count(State.GIVEN) <= 1, order
        assert set(states) <= {State.GIVEN, State.NONE}, order


# Idempotency.


async def test_a_repeated_request_records_once_and_gets_the_first_answer(
    ledger: SQLLedger, reopen: Open
) -> None:
    sid = await sid_of(ledger)
    first = await ledger.record_consent(event(sid), "request-1", "digest-a")
    assert await ledger.record_consent(event(sid), "request-1", "digest-a") == first
    assert await (await reopen()).record_consent(event(sid), "request-1", "digest-a") == first
    assert list(await ledger.consent_events([sid], "")) == [first]


async def test_a_request_id_of_another_request_is_refused(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    first = await ledger.record_consent(event(sid), "request-1", "digest-a")
    await ledger.record_consent(
        replace(event(sid), actor="agent-2", purpose="other"), "request-1", "digest-c"
    )
    with pytest.raises(RequestError) as refused:
        await ledger.record_consent(event(sid, ConsentEventType.WITHDRAWN), "request-1", "digest-b")
    assert refused.value.code == "REQUEST_ID_REUSED"
    assert list(await ledger.consent_events([sid], "marketing")) == [first]


async def test_the_request_ids_of_two_principals_never_meet(ledger: SQLLedger, reopen: Open) -> None:
    """Else one could learn of, block or pass for another's request by guessing its id."""
    sid, digests = await sid_of(ledger), ("same", "same", "other")
    drafts = [replace(event(sid, minutes=n), actor=actor) for n, actor in enumerate(("a", "b", "A"))]
    recorded = [
        await ledger.record_consent(draft, "request-1", digest)
        for draft, digest in zip(drafts, digests, strict=True)
    ]
    assert recorded == drafts
    for draft, digest in zip(drafts, digests, strict=True):
        again = replace(draft, record_id=IDENTIFIERS.new_id())
        assert await (await reopen()).record_consent(again, "request-1", digest) == draft
    assert list(await ledger.consent_events([sid], "")) == drafts


async def test_requests_without_an_id_are_never_the_same(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    for _ in range(3):
        await ledger.record_consent(event(sid), "", "digest-a")
    assert len(await ledger.consent_events([sid], "")) == 3


async def test_twenty_repeats_at_once_record_once(ledger: SQLLedger, reopen: Open) -> None:
    sid, ledgers = await sid_of(ledger), (ledger, await reopen())
    answers = await asyncio.gather(
        *(ledgers[i % 2].record_consent(event(sid), "r", "d") for i in range(20))
    )
    assert list(await ledger.consent_events([sid], "")) == [answers[0]]
    assert all(answer == answers[0] for answer in answers)


async def test_a_record_id_is_used_once_and_the_error_tells_nothing(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    first = await ledger.record_consent(event(sid), "", "")
    with pytest.raises(LedgerError) as failed:
        await ledger.record_consent(first, "", "")
    assert first.record_id not in str(failed.value)
    assert sid not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


# Checkpoints.


NOTICE = PrivacyNotice(
    "n", "1", frozenset({"marketing"}), LocalizedText("您同意吗？", "Do you agree?"), LocalizedText("撤回", "withdraw"),
    frozenset({"sms", "any"}), explicit=True, data_classes=("mobile", "address"), recipients=("r",), storage=("CN",),
)  # fmt: skip


async def test_a_notice_is_kept_whole_and_for_everybody(ledger: SQLLedger, reopen: Open) -> None:
    assert await ledger.notice("n", "1") is None
    await ledger.keep_notice(NOTICE, NOW)
    await ledger.keep_notice(
        replace(NOTICE, data_classes=("address", "mobile")), NOW
    )  # a list has no order
    again = await reopen()
    kept = await again.notice("n", "1")
    assert kept == replace(NOTICE, data_classes=("address", "mobile"))
    assert (await again.notice("n", "2"), await again.notice("m", "1")) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"text": LocalizedText("您同意吗?", "Do you agree?")},
        {"text": LocalizedText("您同意吗？", "Do you agree? ")},
        {"withdrawal": LocalizedText("", "")},
        {"purposes": frozenset({"marketing", "care"})},
        {"channels": frozenset({"any"})},
        {"explicit": False},
        {"separate": True},
        {"data_classes": ()},
        {"recipients": ("r", "s")},
        {"storage": ("DE",)},
    ],
)
async def test_a_version_of_a_notice_has_one_content_for_ever(
    ledger: SQLLedger, change: dict[str, object]
) -> None:
    await ledger.keep_notice(NOTICE, NOW)
    with pytest.raises(RequestError) as caught:
        await ledger.keep_notice(replace(NOTICE, **change), NOW)  # type: ignore[arg-type]  # a table of fields
    assert caught.value.code == "NOTICE_CHANGED"
    await ledger.keep_notice(replace(NOTICE, version="2", **change), NOW)  # type: ignore[arg-type]  # as above
    kept = await ledger.notice("n", "1")
    assert kept is not None
    assert kept.text == NOTICE.text


async def test_of_two_contents_at_once_one_is_kept(ledger: SQLLedger, reopen: Open) -> None:
    ledgers = [ledger, await reopen()]
    texts = [LocalizedText(f"文{i % 2}", "x") for i in range(12)]
    told = await asyncio.gather(
        *(ledgers[i % 2].keep_notice(replace(NOTICE, text=text), NOW) for i, text in enumerate(texts)),
        return_exceptions=True,
    )
    assert sum(each is None for each in told) == 6
    assert {each.code for each in told if isinstance(each, RequestError)} == {"NOTICE_CHANGED"}


async def test_an_event_remembers_the_entry_that_admitted_it(ledger: SQLLedger, reopen: Open) -> None:
    sid = await sid_of(ledger, KEY)
    for number, entry in enumerate((EntryRef("prod-a/w0", 0), EntryRef("x/w3", 2**40), None)):
        event = ConsentEvent(
            f"r{number}",
            sid,
            "p",
            ConsentEventType.REFUSED,
            NOW + timedelta(seconds=number),
            NOW,
            "a",
            entry=entry,
        )
        assert (await ledger.record_consent(event, "", "")).entry == entry
    again = await reopen()
    events = await again.consent_events([sid], "")
    assert [event.entry for event in events] == [EntryRef("prod-a/w0", 0), EntryRef("x/w3", 2**40), None]


async def test_a_checkpoint_only_grows(ledger: SQLLedger, reopen: Open) -> None:
    kept = ledger.checkpoints
    assert await kept.last("gate/w0") is None
    for size in (1, 7):
        await kept.keep(KeptCheckpoint("gate/w0", f"note {size}", size))
    await kept.keep(KeptCheckpoint("gate/w1", "other", 3))
    await kept.keep(KeptCheckpoint("gate/w0", "note 7", 7))
    for older in (
        KeptCheckpoint("gate/w0", "note 6", 6),
        KeptCheckpoint("gate/w0", "fork", 7),
        KeptCheckpoint("gate/w0", "", 0),
    ):
        with pytest.raises(LedgerError):
            await kept.keep(older)
    again = (await reopen()).checkpoints
    assert await again.last("gate/w0") == KeptCheckpoint("gate/w0", "note 7", 7)
    assert await again.every() == [
        KeptCheckpoint("gate/w0", "note 7", 7),
        KeptCheckpoint("gate/w1", "other", 3),
    ]


# The end.


async def test_a_closed_ledger_answers_with_its_own_error(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    await ledger.close()
    for call in (
        ledger.find([KEY]), ledger.enrol([PHONE], NOW), ledger.consent_events([sid], ""), ledger.subject_key(sid),
        ledger.record_consent(event(sid), "", ""), ledger.directory.get("a"), ledger.directory.offboard("a", NOW),
    ):  # fmt: skip
        with pytest.raises(LedgerError):
            await call
