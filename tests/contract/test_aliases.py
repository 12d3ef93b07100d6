"""Attacks on who is who: merges, splits and shared numbers in any order lose no refusal and invent no consent."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contract.test_ledger import ADAPTERS, Open
from fujie.adapters.ledger import SQLLedger, aliases
from fujie.model.consent import ConsentEventType
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.vocabulary import State
from support.identities import bare, because, consent_event, is_suppressed, opt_out, state_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO, THREE = (StoreKey("crm", f"C-{n}") for n in range(3))
PHONE, OTHER_PHONE = Phone("+8613800138000"), Phone("+8613900139000")
GIVEN, WITHDRAWN = ConsentEventType.GIVEN, ConsentEventType.WITHDRAWN


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


@pytest.fixture
async def ledger(empty: Open) -> AsyncIterator[SQLLedger]:
    opened = await empty()
    yield opened
    await opened.close()


async def record(ledger: SQLLedger, sid: str, kind: ConsentEventType, minutes: int = 0) -> None:
    when = NOW + timedelta(minutes=minutes)
    await ledger.record_consent(consent_event(sid, kind, when, NOW), "", "")


async def sid_of(ledger: SQLLedger, *refs: StoreKey | Phone) -> str:
    return (await ledger.enrol(refs, NOW)).sid


# Merge.


async def test_after_a_merge_both_references_lead_to_one_and_refusals_of_both_count(
    ledger: SQLLedger,
) -> None:
    one, two = await sid_of(ledger, ONE, PHONE), await sid_of(ledger, TWO, OTHER_PHONE)
    await record(ledger, one, GIVEN)
    await record(ledger, two, WITHDRAWN, 1)
    assert await state_of(ledger, NOW, ONE, PHONE) is State.GIVEN
    merged = await ledger.merge(ONE, TWO, because(NOW))
    assert merged.sids == (one, two)
    assert [(await ledger.find([ref])) for ref in (ONE, TWO, PHONE, OTHER_PHONE)] == [merged] * 4
    assert await state_of(ledger, NOW, TWO, OTHER_PHONE) is State.WITHDRAWN


async def test_consent_of_the_one_that_was_merged_away_opens_nothing(ledger: SQLLedger) -> None:
    two = await sid_of(ledger, TWO)
    await sid_of(ledger, ONE)
    await record(ledger, two, GIVEN)
    await ledger.merge(ONE, TWO, because(NOW))
    assert [await state_of(ledger, NOW, ref) for ref in (ONE, TWO)] == [State.NONE, State.NONE]


async def test_both_keep_their_data_keys(ledger: SQLLedger) -> None:
    sids = [await sid_of(ledger, ref) for ref in (ONE, TWO)]
    keys = [await ledger.subject_key(sid) for sid in sids]
    await ledger.merge(ONE, TWO, because(NOW))
    assert [await ledger.subject_key(sid) for sid in sids] == keys
    assert len(set(keys)) == 2


async def test_what_is_said_of_a_sid_after_it_was_merged_away_counts_all_the_same(
    ledger: SQLLedger,
) -> None:
    """A withdrawal that found its customer a moment before the merge."""
    two = await sid_of(ledger, TWO)
    await sid_of(ledger, ONE)
    await ledger.merge(ONE, TWO, because(NOW))
    await record(ledger, two, WITHDRAWN)
    await ledger.add_suppression(opt_out(two, NOW), "", "")
    assert await state_of(ledger, NOW, ONE) is State.WITHDRAWN
    assert await is_suppressed(ledger, NOW, ONE)


async def test_chains_of_merges_are_followed_and_run_in_no_circle(ledger: SQLLedger) -> None:
    sids = [await sid_of(ledger, ref) for ref in (ONE, TWO, THREE)]
    await record(ledger, sids[2], WITHDRAWN)
    await ledger.merge(TWO, THREE, because(NOW))
    await ledger.merge(ONE, TWO, because(NOW))
    for into, source in ((THREE, ONE), (TWO, ONE), (ONE, ONE)):
        assert (await ledger.merge(into, source, because(NOW))).sids == tuple(sids)
    assert await state_of(ledger, NOW, ONE) is State.WITHDRAWN


async def test_a_shared_number_stays_with_the_others(ledger: SQLLedger) -> None:
    one, two = await sid_of(ledger, ONE, PHONE), await sid_of(ledger, TWO, PHONE)
    three = await sid_of(ledger, THREE)
    await ledger.merge(THREE, TWO, because(NOW))
    found = await ledger.find([PHONE])
    assert found is not None
    assert (set(found.sids), found.is_shared) == ({one, two, three}, True)
    with pytest.raises(RequestError) as refused:
        await ledger.merge(THREE, PHONE, because(NOW))
    assert refused.value.code == "CUSTOMER_AMBIGUOUS"


async def test_who_is_not_known_is_not_corrected(ledger: SQLLedger) -> None:
    await sid_of(ledger, ONE)
    for call in (
        ledger.merge(ONE, TWO, because(NOW)),
        ledger.merge(TWO, ONE, because(NOW)),
        ledger.split([TWO], because(NOW)),
    ):
        with pytest.raises(RequestError) as refused:
            await call
        assert refused.value.code == "CUSTOMER_NOT_FOUND"


async def test_concurrent_merges_end_in_one_person_whatever_their_order(
    ledger: SQLLedger, empty: Open
) -> None:
    keys = [StoreKey("crm", f"M-{n}") for n in range(5)]
    sids = [await sid_of(ledger, key) for key in keys]
    await record(ledger, sids[3], WITHDRAWN)
    other = await empty()
    pairs = [(a, b) for a in keys for b in keys if a != b]
    await asyncio.gather(
        *((ledger, other)[i % 2].merge(*pair, because(NOW)) for i, pair in enumerate(pairs))
    )
    await other.close()
    found = [await ledger.find([key]) for key in keys]
    assert {identity.sid for identity in found if identity} <= set(sids)
    assert {frozenset(identity.sids) for identity in found if identity} == {frozenset(sids)}
    assert {await state_of(ledger, NOW, key) for key in keys} == {State.WITHDRAWN}


# Split.


async def test_a_split_starts_anew_with_every_refusal_and_no_consent(ledger: SQLLedger) -> None:
    one, two = await sid_of(ledger, ONE, PHONE), await sid_of(ledger, TWO)
    await record(ledger, one, GIVEN, 5)
    await record(ledger, two, WITHDRAWN, 1)
    await ledger.add_suppression(opt_out(two, NOW), "", "")
    await ledger.merge(ONE, TWO, because(NOW))
    assert await state_of(ledger, NOW, ONE, PHONE) is State.GIVEN  # later than the withdrawal
    new = await ledger.split([TWO], because(NOW, evidence="letter-9"))
    assert new.sid not in (one, two)
    assert await state_of(ledger, NOW, TWO) is State.WITHDRAWN
    assert await is_suppressed(ledger, NOW, TWO)
    assert await state_of(ledger, NOW, ONE, PHONE) is State.GIVEN
    assert await is_suppressed(ledger, NOW, ONE, PHONE)
    [copy] = await ledger.consent_events([new.sid], "")
    assert (copy.source, copy.evidence_ref, copy.actor) == ("split", "letter-9", "officer")
    assert copy.event_time == NOW + timedelta(minutes=1)


async def test_a_split_of_what_never_was_merged_works_alike(ledger: SQLLedger) -> None:
    one = await sid_of(ledger, ONE, PHONE)
    await record(ledger, one, WITHDRAWN)
    await record(ledger, one, GIVEN, 3)
    new = await ledger.split([ONE, PHONE], because(NOW))
    assert new.sids == (new.sid, one)  # the number stays with both
    assert await state_of(ledger, NOW, ONE, PHONE) is State.WITHDRAWN
    await record(ledger, new.sid, GIVEN, 9)
    assert await state_of(ledger, NOW, ONE, PHONE) is State.GIVEN


async def test_a_refusal_that_races_a_split_closes_for_both(ledger: SQLLedger) -> None:
    """Its case found the old sid, then the split went first."""
    one = await sid_of(ledger, ONE)
    new = await ledger.split([ONE], because(NOW + timedelta(seconds=1)))
    newer = await ledger.split([ONE], because(NOW + timedelta(seconds=2)))
    await record(ledger, one, WITHDRAWN)
    await ledger.add_suppression(opt_out(one, NOW), "", "")
    for sid in (one, new.sid, newer.sid):
        assert [event.type for event in await ledger.consent_events([sid], "")] == [WITHDRAWN]
        assert len(await ledger.suppressions([sid])) == 1
    late = consent_event(one, WITHDRAWN, NOW, NOW + timedelta(hours=1))
    await ledger.record_consent(late, "", "")
    assert len(await ledger.consent_events([newer.sid], "")) == 1


async def test_what_was_split_can_be_merged_and_split_again(ledger: SQLLedger) -> None:
    one, two = await sid_of(ledger, ONE), await sid_of(ledger, TWO)
    await record(ledger, two, WITHDRAWN)
    for _ in range(3):
        await ledger.merge(ONE, TWO, because(NOW))
        assert await state_of(ledger, NOW, ONE) is State.WITHDRAWN
        new = await ledger.split([TWO], because(NOW))
        assert new.sid not in (one, two)
        assert await state_of(ledger, NOW, TWO) is State.WITHDRAWN
    await ledger.merge(TWO, ONE, because(NOW))
    assert await state_of(ledger, NOW, ONE) is State.WITHDRAWN


async def test_a_request_id_corrects_once_and_says_one_thing(ledger: SQLLedger) -> None:
    for ref in (ONE, TWO, THREE):
        await sid_of(ledger, ref)
    first = await ledger.split([ONE], because(NOW, "r-1"))
    assert await ledger.split([ONE], because(NOW, "r-1")) == first
    merged = await ledger.merge(TWO, THREE, because(NOW, "r-2"))
    assert await ledger.merge(TWO, THREE, because(NOW, "r-2")) == merged
    for call in (
        ledger.split([TWO], because(NOW, "r-1")),
        ledger.split([ONE], because(NOW, "r-1", "other evidence")),
        ledger.merge(ONE, TWO, because(NOW, "r-2")),
        ledger.split([TWO], because(NOW, "r-2")),
    ):
        with pytest.raises(RequestError) as refused:
            await call
        assert refused.value.code == "REQUEST_ID_REUSED"
    assert await ledger.find([ONE]) == first


# Numbers.


async def test_what_a_number_says_counts_for_who_had_it_has_it_and_will_have_it(ledger: SQLLedger) -> None:
    await sid_of(ledger, ONE, PHONE)
    await sid_of(ledger, ONE, OTHER_PHONE)  # the row has another number since
    await sid_of(ledger, TWO, PHONE)
    number = await ledger.number(PHONE, NOW)
    await record(ledger, number.sid, WITHDRAWN)
    await ledger.add_suppression(opt_out(number.sid, NOW), "", "")
    for refs in ([ONE, OTHER_PHONE], [ONE], [TWO, PHONE], [TWO], [THREE, PHONE], [THREE], [PHONE]):
        assert await state_of(ledger, NOW, *refs) is State.WITHDRAWN, refs
        assert await is_suppressed(ledger, NOW, *refs), refs
    assert await ledger.number(PHONE, NOW) == await ledger.number(PHONE, NOW)


async def test_a_number_that_spoke_is_nobody_who_could_consent(ledger: SQLLedger) -> None:
    number = await ledger.number(PHONE, NOW)
    found = await ledger.find([PHONE])
    assert found is not None
    assert found.sid == number.sid
    person = await ledger.enrol([PHONE], NOW)
    assert person.sid != number.sid
    assert person.sids == (person.sid, number.sid)
    assert not person.is_shared


async def test_thousands_under_one_number_stay_apart_and_all_hear_what_it_says(ledger: SQLLedger) -> None:
    most, some = aliases.MOST_SHARERS, 4
    keys = [StoreKey("crm", f"P-{n}") for n in range(most + some)]
    first = await ledger.number(PHONE, NOW)
    sids = [await sid_of(ledger, key, PHONE) for key in keys]
    await record(ledger, sids[0], WITHDRAWN)
    assert await state_of(ledger, NOW, keys[most - 1], PHONE) is State.WITHDRAWN
    for late in keys[most:]:
        identity = await ledger.enrol([late, PHONE], NOW)
        assert identity.sids == (identity.sid, first.sid)
        assert await state_of(ledger, NOW, late, PHONE) is State.NONE
    among = await ledger.find([keys[0], PHONE])
    assert among is not None
    assert set(among.sids) == {*sids[:most], first.sid}
    await record(ledger, first.sid, WITHDRAWN, 1)
    await ledger.enrol([keys[-1], OTHER_PHONE], NOW)
    for refs in ([keys[-1], PHONE], [keys[-1]], [keys[-1], OTHER_PHONE], [keys[0], PHONE]):
        assert await state_of(ledger, NOW, *refs) is State.WITHDRAWN


async def test_whom_a_full_number_does_not_link_is_written_once(ledger: SQLLedger) -> None:
    keys = [StoreKey("crm", f"P-{n}") for n in range(aliases.MOST_SHARERS + 1)]
    for key in keys:
        await ledger.enrol([key, PHONE], NOW)
    last = await ledger.enrol([keys[-1], PHONE], NOW)
    before = await ledger.database.write(_changes)
    for _ in range(3):
        assert await ledger.enrol([keys[-1], PHONE], NOW) == last
    assert await ledger.database.write(_changes) == before


def _changes(connection: object) -> int:
    import sqlalchemy as sa

    from fujie.adapters.ledger.tables import change_counter

    assert isinstance(connection, sa.Connection)
    return int(connection.execute(sa.select(change_counter.c.value)).scalar_one())


# All of it at once.


async def opened(open_: Open) -> SQLLedger:
    return await open_()


class Persons(RuleBasedStateMachine):
    """Enrol, merge, split, share, give, refuse in any order, with few places under a number.

    The model says for each reference what must close for it; whether a consent may open is a matter of the sid
    it was given for. Consents are given at time 0 and refusals later, so that a refusal always governs.
    """

    adapter = "sqlite"
    keys = st.sampled_from([StoreKey("crm", c) for c in "abcde"])
    phones = st.sampled_from([Phone(f"+861380013800{n}") for n in range(2)])

    @initialize()
    def start(self) -> None:
        self.most, aliases.MOST_SHARERS = aliases.MOST_SHARERS, 2  # type: ignore[misc]  # restored below
        self.database = ADAPTERS[self.adapter]()
        open_ = self.database.__enter__()
        self.runner = asyncio.Runner()
        self.ledger: SQLLedger = self.runner.run(opened(open_))
        self.person = dict[StoreKey, int]()  # which identity a key has
        self.minute = self.persons = self.splits = 0
        self.phone = dict[StoreKey, Phone]()
        self.holders = defaultdict[Phone, set[int]](set)
        self.closed = defaultdict[int, set[str]](set)  # by identity: what must close
        self.spoken = defaultdict[Phone, set[str]](set)
        self.agreed = set[int]()

    def now(self) -> datetime:
        self.minute += 5
        return NOW + timedelta(minutes=self.minute)

    def refs(self, key: StoreKey) -> tuple[StoreKey | Phone, ...]:
        return (key, self.phone[key]) if key in self.phone else (key,)

    def meet(self, key: StoreKey) -> int:
        self.runner.run(self.ledger.enrol(self.refs(key), self.now()))
        if key not in self.person:
            self.persons += 1
            self.person[key] = self.persons
        person = self.person[key]
        if key in self.phone:
            self.holders[self.phone[key]].add(person)
            self.closed[person] |= self.spoken[self.phone[key]]
        return person

    def sid(self, key: StoreKey) -> str:
        self.meet(key)
        return self.runner.run(self.ledger.enrol(self.refs(key), self.now())).sid

    @rule(key=keys, phone=phones)
    def has_number(self, key: StoreKey, phone: Phone) -> None:
        self.phone[key] = phone
        self.meet(key)

    @rule(key=keys)
    def give(self, key: StoreKey) -> None:
        event = consent_event(self.sid(key), GIVEN, NOW, self.now())
        self.runner.run(self.ledger.record_consent(event, "", ""))
        self.agreed.add(self.person[key])

    def close(self, sid: str, way: str) -> None:
        now = self.now()
        if way == "withdraw":
            self.runner.run(self.ledger.record_consent(consent_event(sid, WITHDRAWN, now, now), "", ""))
        else:
            self.runner.run(self.ledger.add_suppression(opt_out(sid, now), "", ""))

    @rule(key=keys, way=st.sampled_from(["withdraw", "suppress"]))
    def refuse(self, key: StoreKey, way: str) -> None:
        self.close(self.sid(key), way)
        self.closed[self.person[key]].add(way)

    @rule(phone=phones, way=st.sampled_from(["withdraw", "suppress"]))
    def refuse_by_number(self, phone: Phone, way: str) -> None:
        self.close(self.runner.run(self.ledger.number(phone, self.now())).sid, way)
        self.spoken[phone].add(way)
        for person in self.holders[phone]:
            self.closed[person].add(way)

    @rule(into=keys, source=keys)
    def merge(self, into: StoreKey, source: StoreKey) -> None:
        kept, moved = self.meet(into), self.meet(source)
        self.runner.run(self.ledger.merge(into, source, because(self.now())))
        for key, person in self.person.items():
            if person == moved:
                self.person[key] = kept
        self.closed[kept] |= self.closed[moved]
        for holders in self.holders.values():
            if moved in holders:
                holders.add(kept)

    @rule(key=keys)
    def split(self, key: StoreKey) -> None:
        old = self.meet(key)
        self.runner.run(self.ledger.split(self.refs(key), because(self.now())))
        self.persons += 1
        self.person[key] = self.persons
        self.closed[self.persons] |= self.closed[old]
        if key in self.phone:
            self.holders[self.phone[key]].add(self.persons)

    @invariant()
    def no_refusal_is_lost_and_no_consent_appears(self) -> None:
        for key, person in getattr(self, "person", {}).items():
            for refs in (self.refs(key), (key,)):
                state = self.runner.run(state_of(self.ledger, NOW + timedelta(days=1), *refs))
                if "withdraw" in self.closed[person]:
                    assert state is State.WITHDRAWN
                if "suppress" in self.closed[person]:
                    assert self.runner.run(is_suppressed(self.ledger, NOW, *refs))
                assert state is not State.GIVEN or person in self.agreed

    @rule(key=keys, purpose=st.sampled_from(["marketing", "other"]))
    def one_read_tells_what_two_do(self, key: StoreKey, purpose: str) -> None:
        identity, events = self.runner.run(self.ledger.recall(self.refs(key), purpose, self.now()))
        self.meet(key)
        again = self.runner.run(self.ledger.enrol(self.refs(key), self.now()))
        assert (identity, identity.wrapped_key) == (again, again.wrapped_key)
        said = self.runner.run(self.ledger.consent_events(again.sids, purpose))
        assert list(map(bare, events)) == list(map(bare, said))

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            aliases.MOST_SHARERS = self.most  # type: ignore[misc]  # as it was
            self.runner.run(self.ledger.close())
            self.runner.close()
            self.database.__exit__(None, None, None)


class SharedPersons(Persons):
    """The same on PostgreSQL."""

    adapter = "postgresql"


TestPersons = Persons.TestCase
TestPersons.settings = settings(max_examples=13, stateful_step_count=14, deadline=None)
TestPersonsOnPostgreSQL = SharedPersons.TestCase
TestPersonsOnPostgreSQL.settings = settings(max_examples=3, stateful_step_count=10, deadline=None)
