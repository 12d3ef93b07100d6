"""Attacks on look-ups of several customers: nothing more than as many single calls would give, and no oracle."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.stores.store import open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.audit.errors import LogUnavailable
from fujie.decision.decider import Decider
from fujie.flows.batch import AT_ONCE, MOST_FOUND, MOST_MATCHING, batch_lookup, search
from fujie.flows.lookup import lookup
from fujie.flows.reply import BatchReply, LookupReply, Refusal, SearchReply
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.record import Fetched
from fujie.model.request import BatchAsk, LookupAsk, RequestContext, SearchAsk
from support.house import House, RecordingLog, ask, bundle_of, caller, opened_house
from support.stores import Spy

FIELDS = ("name", "phone")


def several(*customers: str | CustomerRef, strict: bool = False) -> BatchAsk:
    refs = tuple(StoreKey("crm", each) if isinstance(each, str) else each for each in customers)
    return BatchAsk(refs, "crm", ask(*FIELDS).context, FIELDS, strict)


def numbered(count: int) -> list[str]:
    return [f"C{number:05d}" for number in range(1, count + 1)]


async def answers(house: House, who: str, asked: BatchAsk) -> list[LookupReply | Refusal]:
    reply = await batch_lookup(house.gate, caller(who), asked, 2.0)
    assert isinstance(reply, BatchReply), reply
    return list(reply.answers)


async def test_a_batch_shows_exactly_what_single_calls_show(house: House) -> None:
    names = numbered(12)
    singles = [
        await lookup(house.gate, caller("support-agent"), ask(*FIELDS, customer=name), 2.0)
        for name in names
    ]
    batched = await answers(house, "support-agent", several(*names))
    for single, answer in zip(singles, batched, strict=True):
        assert type(single) is type(answer)
        if isinstance(single, LookupReply) and isinstance(answer, LookupReply):
            assert (single.customer, single.treatments) == (answer.customer, answer.treatments)
        elif isinstance(single, Refusal) and isinstance(answer, Refusal):
            assert single.reasons == answer.reasons
    assert {type(answer) for answer in batched} == {LookupReply, Refusal}


async def test_every_customer_of_a_batch_has_an_entry_of_its_own(house: House) -> None:
    batched = await answers(house, "support-agent", several(*numbered(12)))
    by_id = {entry.decision_id: entry for entry in house.entries}
    assert len(by_id) == len(batched) == 12
    for answer in batched:
        entry = by_id[answer.summary.decision_id]
        assert entry.effect == ("ALLOW" if isinstance(answer, LookupReply) else "DENY")
        assert len(entry.sids) == 1


async def test_who_may_ask_for_none_is_refused_once_and_no_store_is_touched(house: House) -> None:
    spy = Spy(house.gate.stores["crm"])
    gate = replace(house.gate, stores={"crm": spy})
    reply = await batch_lookup(gate, caller("nobody-in-particular"), several(*numbered(50)), 2.0)
    assert isinstance(reply, Refusal)
    assert [hit.code for hit in reply.reasons] == ["NO_GRANT"]
    assert (len(house.entries), spy.fields_asked) == (1, [])


async def test_a_stranger_among_customers_spoils_nothing(house: House) -> None:
    batched = await answers(house, "support-agent", several("C00001", "C99999", Phone("+8613800131234")))
    assert isinstance(batched[0], LookupReply)
    assert isinstance(batched[1], Refusal)
    assert batched[1].reasons[0].code in {"CUSTOMER_NOT_FOUND", "NO_GRANT"}
    assert isinstance(batched[2], LookupReply)


async def test_strict_refuses_the_customer_not_the_batch(house: House) -> None:
    asked = replace(several("C00001", strict=True), fields=("birthday", "name"))
    assert [type(answer) for answer in await answers(house, "support-agent", asked)] == [Refusal]


async def test_nothing_of_a_batch_leaves_when_one_entry_can_not_be_written(house: House) -> None:
    class Failing(RecordingLog):
        begun = 0

        async def append(self, leaf: bytes) -> int:
            self.begun += 1  # not those that are durable: ten may wait for one sync
            if self.begun > 3:
                raise LogUnavailable("disk")
            return await super().append(leaf)

    gate = replace(house.gate, log=Failing(house.log))
    with pytest.raises(LogUnavailable):
        await batch_lookup(gate, caller("support-agent"), several(*numbered(10)), 2.0)


class Reloaded:
    """Policies that are reloaded as soon as a call has begun."""

    def __init__(self, *deciders: Decider) -> None:
        self._left = list(deciders)

    @property
    def current(self) -> Decider:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


@pytest.mark.parametrize("is_search", [False, True])
async def test_a_call_keeps_the_bundle_it_began_with_through_a_reload(
    house: House, is_search: bool
) -> None:
    async with searchable(house) as gate:
        before, after = gate.gate.policies.current, Decider(bundle_of())
        moving = replace(gate, gate=replace(gate.gate, policies=Reloaded(before, after)))
        if is_search:
            await found(moving, "1234")
        else:
            await answers(moving, "support-agent", several("A1", "A2"))
        assert len(gate.entries) >= 2
        assert {entry.bundle for entry in gate.entries} == {before.bundle.digest}


async def test_a_batch_never_asks_a_store_for_more_than_a_few_at_once(house: House) -> None:
    inner, running, most = house.gate.stores["crm"], 0, 0

    class Counting(Spy):
        async def fetch(
            self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str], timeout_s: float
        ) -> Sequence[Fetched]:
            nonlocal running, most
            running, most = running + 1, max(most, running + 1)
            await asyncio.sleep(0)
            try:
                return await inner.fetch(ref, fields, attributes, timeout_s)
            finally:
                running -= 1

    gate = replace(house.gate, stores={"crm": Counting(inner)})
    reply = await batch_lookup(gate, caller("support-agent"), several(*numbered(100)), 2.0)
    assert isinstance(reply, BatchReply)
    assert 1 < most <= AT_ONCE


async def test_no_refusal_of_a_batch_prepares_a_prompt_that_nobody_gets(house: House) -> None:
    marketing = ask(*FIELDS, purpose="marketing", basis="consent", evidence="").context
    asked = replace(several("C00001", "C00002"), context=marketing)
    alone = await lookup(
        house.gate, caller("marketer"), LookupAsk(asked.customers[0], "crm", marketing, FIELDS), 2.0
    )
    assert isinstance(alone, Refusal)
    assert alone.prompt
    for refusal in await answers(house, "marketer", asked):
        assert isinstance(refusal, Refusal)
        assert refusal.reasons == alone.reasons
        assert refusal.prompt is None


SEARCH_GRANT = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: counter-search}
spec:
  match: {actions: [lookup], keys: [phone_last_four]}
  roles: [support]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department
  fields: {name: "keep(1,0)", phone: "keep(3,4)"}
"""
ANY_KEY_GRANT = SEARCH_GRANT.replace(b"keys: [phone_last_four]", b"").replace(b"[lookup], }", b"[lookup]}")


@asynccontextmanager
async def searchable(
    house: House,
    policy: bytes = SEARCH_GRANT,
    last_four: str | None = "last_four",
    people: Sequence[tuple[str, str, str]] = (),
) -> AsyncIterator[House]:
    """A store of these people (id, number, department), or one in which 1234 ends the numbers of two own customers and one of others, 5678 that of one of others,
    and 9999 those of many."""
    path = house.root / "searchable.db"
    path.unlink(missing_ok=True)
    known = [("A1", "13800131234", "east"), ("A2", "13900131234", "east"), ("B1", "13700131234", "west")]
    known += [("B2", "13700135678", "west")]
    known += [(f"M{n}", f"13{n:02}0009999"[:11], "east") for n in range(30, 30 + MOST_FOUND + 1)]
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE customer (id TEXT, mobile TEXT, name TEXT, minor INT, department TEXT, last_four TEXT)"
    )
    connection.executemany(
        "INSERT INTO customer VALUES (?, ?, '\u738b\u4e00', 0, ?, ?)",
        [(*each, each[1][-4:]) for each in people or known],
    )
    connection.commit()
    connection.close()
    table = StoreTable(
        "crm", f"sqlite:///{path}", "customer", "id", "mobile", PhoneFormat.NATIONAL,
        {"name": "name", "phone": "mobile"}, {"minor": "minor", "owner_department": "department"},
        last_four=last_four,
    )  # fmt: skip
    store = await open_store(table, house.hands)
    with_grant = house.with_policy({"search.yaml": policy})
    yield replace(with_grant, gate=replace(with_grant.gate, stores={"crm": store}))
    await store.close()


async def found(house: House, digits: str, who: str = "support-agent") -> SearchReply | Refusal:
    context = replace(ask().context, ticket="")
    return await search(house.gate, caller(who), SearchAsk(digits, "crm", context, FIELDS), 2.0)


def codes(reply: SearchReply | Refusal) -> list[str]:
    assert isinstance(reply, Refusal), reply
    return [hit.code for hit in reply.reasons]


async def test_a_search_shows_own_customers_and_leaves_out_those_of_others(house: House) -> None:
    async with searchable(house) as gate:
        reply = await found(gate, "1234")
        assert isinstance(reply, SearchReply)
        assert [dict(each.customer) for each in reply.found] == [
            {"name": "\u738b**", "phone": "138****1234"}, {"name": "\u738b**", "phone": "139****1234"}
        ]  # fmt: skip
    search_entry, *looked_at = gate.entries
    assert (search_entry.kind, search_entry.effect, search_entry.sids) == ("admission", "ALLOW", ())
    assert sorted(entry.effect for entry in looked_at) == ["ALLOW", "ALLOW", "DENY"]


async def test_who_may_not_be_seen_is_told_like_who_does_not_exist(house: House) -> None:
    async with searchable(house) as gate:
        hidden, nobody = await found(gate, "5678"), await found(gate, "0000")
    assert isinstance(hidden, SearchReply)
    assert isinstance(nobody, SearchReply)
    assert hidden.found == nobody.found == ()
    assert replace(hidden.summary, decision_id="") == replace(nobody.summary, decision_id="")


async def test_more_than_a_screen_is_refused_whole(house: House) -> None:
    async with searchable(house) as gate:
        assert codes(await found(gate, "9999")) == ["SEARCH_TOO_WIDE"]


@pytest.mark.parametrize("who", ["support-agent", "marketer", "nobody-in-particular"])
async def test_only_a_grant_that_names_the_key_kind_opens_a_search(house: House, who: str) -> None:
    async with searchable(house, ANY_KEY_GRANT) as gate:
        assert codes(await found(gate, "1234", who)) == ["NO_GRANT"]


async def test_a_store_without_the_column_can_not_be_searched(house: House) -> None:
    async with searchable(house, last_four=None) as gate:
        assert codes(await found(gate, "1234")) == ["SEARCH_NOT_SUPPORTED"]


def limited(limits: str) -> bytes:
    return SEARCH_GRANT + f"  limits: {limits}\n".encode()


async def test_a_search_that_finds_nobody_counts_as_a_look_up(house: House) -> None:
    async with searchable(house, limited("{lookups_per_minute: 2}")) as gate:
        spy = Spy(gate.gate.stores["crm"])
        blind = replace(gate, gate=replace(gate.gate, stores={"crm": spy}))
        for _ in range(2):
            assert isinstance(await found(blind, "0000"), SearchReply)
        told = [await found(blind, digits) for digits in ("0000", "1234", "9999")]
        assert [codes(each) for each in told] == [["LIMIT_EXCEEDED"]] * 3
        assert len(spy.fields_asked) == 2  # the limit stands in front of the store


async def test_a_search_that_finds_more_than_a_call_may_show_is_refused_whole(house: House) -> None:
    async with searchable(house, limited("{rows_per_request: 1}")) as gate:
        assert codes(await found(gate, "1234")) == ["LIMIT_EXCEEDED"]
        assert {entry.effect for entry in gate.entries[1:]} == {"DENY"}
    async with searchable(house, limited("{rows_per_request: 2}")) as gate:
        reply = await found(gate, "1234")
        assert isinstance(reply, SearchReply)
        assert len(reply.found) == 2  # who may not be seen is no row of it


async def test_who_may_not_be_seen_makes_no_search_too_wide(house: House) -> None:
    """Ten own customers, and of others none, one, or as many as are decided on: the same answer."""
    many = [(f"Z{n}", f"152{n:04}7777", "west") for n in range(MOST_MATCHING)]
    own = [(f"A{n}", f"151{n:04}7777", "east") for n in range(MOST_FOUND)]
    told = []
    for others in (0, 1, MOST_MATCHING - MOST_FOUND):
        async with searchable(house, people=[*own, *many[:others]]) as gate:
            reply = await found(gate, "7777")
            assert isinstance(reply, SearchReply), codes(reply)
            told.append([dict(each.customer) for each in reply.found])
            assert sum(entry.effect == "DENY" for entry in gate.entries) == others
            gate.log.leaves.clear()
    assert len(told[0]) == MOST_FOUND
    assert told[0] == told[1] == told[2]
    async with searchable(house, people=[*own, *many[: MOST_MATCHING - MOST_FOUND + 1]]) as gate:
        assert codes(await found(gate, "7777")) == ["SEARCH_TOO_WIDE"]


async def test_a_search_takes_nothing_from_a_limit_for_whom_it_does_not_show(house: House) -> None:
    """Two own customers and one of others: three attempts, the search's own and one for each that is shown."""
    async with searchable(house, limited("{lookups_per_minute: 4}")) as gate:
        for digits in ("1234", "5678"):
            assert isinstance(await found(gate, digits), SearchReply)
        assert codes(await found(gate, "0000")) == ["LIMIT_EXCEEDED"]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory, crm: Path) -> Iterator[tuple[asyncio.Runner, House]]:
    """One gate for all examples, and the loop that it lives in."""
    with asyncio.Runner() as runner:
        opened = opened_house(tmp_path_factory.mktemp("street"), crm)
        house = runner.run(opened.__aenter__())
        yield runner, house
        runner.run(opened.__aexit__(None, None, None))


CUSTOMERS: list[CustomerRef] = [
    *(StoreKey("crm", name) for name in ("C00001", "C00002", "C00007", "C00020", "C00050", "C99999")),
    Phone("+8613800131234"),
    Phone("+8613900000000"),
]


@settings(max_examples=30, deadline=None)
@given(
    who=st.sampled_from(("support-agent", "marketer", "privacy-officer", "nobody-in-particular")),
    customers=st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=8, unique=True),
    fields=st.sets(st.sampled_from(("name", "phone", "id_card", "birthday", "email")), min_size=1),
    purpose=st.sampled_from(("after_sales", "marketing", "identity_verification", "gossip")),
    basis=st.sampled_from(("contract", "consent", "legal_duty", "folklore")),
    said=st.tuples(st.sampled_from(("", "order-7")), st.sampled_from(("", "T-1")), st.booleans()),
)
def test_a_batch_is_its_single_look_ups(
    street: tuple[asyncio.Runner, House],
    who: str,
    customers: list[CustomerRef],
    fields: set[str],
    purpose: str,
    basis: str,
    said: tuple[str, str, bool],
) -> None:
    runner, house = street
    evidence, ticket, strict = said
    context = RequestContext(purpose=purpose, basis=basis, basis_evidence=evidence, ticket=ticket)
    names = tuple(sorted(fields))

    def told(answer: LookupReply | Refusal) -> object:
        if isinstance(answer, LookupReply):
            return answer.customer, answer.treatments, answer.summary.warnings
        return answer.reasons

    async def both() -> tuple[list[object], list[object]]:
        asked = BatchAsk(tuple(customers), "crm", context, names, strict)
        reply = await batch_lookup(house.gate, caller(who), asked, 2.0)
        whole = reply.answers if isinstance(reply, BatchReply) else [reply] * len(customers)
        singles = [
            await lookup(
                house.gate,
                caller(who),
                LookupAsk(each, "crm", context, names, strict),
                2.0,
                may_prompt=False,
            )
            for each in customers
        ]
        return list(map(told, whole)), list(map(told, singles))

    batched, alone = runner.run(both())
    assert batched == alone
