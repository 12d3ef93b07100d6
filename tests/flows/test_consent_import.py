"""Consents from a file: what RecordConsent refuses is refused, nothing comes twice, and every row is proven."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fujie.audit.checkpoint import VerifierKey
from fujie.audit.consent_bundle import Standing, verify
from fujie.decision.decider import Decider
from fujie.flows.consent import NOW, Answer, ConsentQuery, get_consent, record_consent
from fujie.flows.consent_evidence import export_consent_evidence
from fujie.flows.consent_import import CHUNK, MOST_PLACES, ImportAsk, Row, Rows, import_consents
from fujie.flows.directory import offboard_principal
from fujie.flows.gate import Gate
from fujie.flows.identify import identify, identify_many, rows_of_many
from fujie.flows.reply import (
    ConsentReply,
    ConsentStateReply,
    EvidenceReply,
    ImportReply,
    PrincipalReply,
    Refusal,
)
from fujie.model.consent import Capture, ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import FujieError, LedgerError, StoreError
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from support.answers import answer
from support.house import ADMIN, House, InForce, caller
from support.sending import keys, phone_of

DESK, MARKETER = caller("consent-desk"), caller("marketer")
ASK, CHECK = ImportAsk(RequestContext()), ImportAsk(RequestContext(), validate_only=True)
GIVEN, REFUSED = ConsentEventType.GIVEN, ConsentEventType.REFUSED
WITHDRAWN = ConsentEventType.WITHDRAWN


async def stream(rows: Sequence[Row], size: int = 500) -> AsyncIterator[Rows]:
    for at in range(0, len(rows), size):
        yield rows[at : at + size]


async def imported(
    house: House, rows: Sequence[Row], asked: ImportAsk = ASK, size: int = 500
) -> ImportReply:
    reply = await import_consents(house.gate, DESK, asked, stream(rows, size))
    assert isinstance(reply, ImportReply), reply
    return reply


def row(house: House, customer: CustomerRef, when: datetime | None = None, **changes: Any) -> Answer:
    """Return a consent of yesterday, as a file would hold it."""
    when = when or house.hands.time.replace(hour=1, minute=0, second=0, microsecond=0) - timedelta(days=1)
    said = {"event_time": when, "evidence_ref": "form-7", "source": "import", **changes}
    return answer(house.gate, customer, **said)


def closing(house: House, customer: CustomerRef, kind: ConsentEventType = REFUSED) -> Answer:
    when = house.hands.time - timedelta(hours=1)
    return Answer(ConsentEvent("", "", "marketing", kind, when, when, "", source="import"), customer)


async def events(house: House, customer: CustomerRef) -> Sequence[ConsentEvent]:
    identity = await house.ledger.find((customer,))
    return await house.ledger.consent_events(identity.sids, "marketing") if identity else ()


def counted(reply: ImportReply) -> tuple[int, int, dict[str, int]]:
    return reply.recorded, reply.repeated, dict(reply.refused)


async def test_the_same_file_twice_and_half_of_it_before_add_nothing(house: House) -> None:
    rows = [row(house, key) for key in keys(150)]
    assert counted(await imported(house, rows[:70])) == (70, 0, {})
    assert counted(await imported(house, rows)) == (80, 70, {})
    seen = [entry for entry in house.entries if entry.kind == "admission" and entry.sids]
    assert counted(await imported(house, rows, size=7)) == (0, 150, {})
    assert [len(await events(house, key)) for key in keys(150)] == [1] * 150
    assert [e for e in house.entries if e.kind == "admission" and e.sids] == seen, "a repeat admits nothing"


async def test_a_row_that_stands_in_a_file_twice_is_one(house: House) -> None:
    (key,) = keys(1)
    rows = [row(house, key), row(house, key), row(house, key, evidence_ref="form-8")]
    assert counted(await imported(house, rows)) == (2, 1, {})
    assert len(await events(house, key)) == 2


async def test_two_imports_at_once_of_one_file_record_every_row_once(house: House) -> None:
    rows = [row(house, key) for key in keys(120)]
    one, two = await asyncio.gather(imported(house, rows, size=50), imported(house, rows, size=30))
    assert one.recorded + two.recorded == 120
    assert one.repeated + two.repeated == 120
    assert [len(await events(house, key)) for key in keys(120)] == [1] * 120


async def test_what_is_refused_alone_is_refused_in_a_file_with_the_same_words(house: House) -> None:
    one = keys(1)[0]
    good = row(house, one)
    later = house.hands.time + timedelta(days=1)
    bad: list[Answer] = [
        replace(good, capture=None),
        replace(good, capture=Capture(preselected=True, bundled=False)),
        replace(good, capture=Capture(preselected=False, bundled=True)),
        row(house, one, later),
        row(house, one, purpose="nosuch"),
        row(house, one, separate=True),
        row(house, one, notice=replace(good.draft.notice, digest="0" * 64)),
        row(house, one, notice=replace(good.draft.notice, version="7")),
        row(house, StoreKey("crm", "C99999")),
        row(house, StoreKey("nosuch", "C00001")),
    ]
    codes = []
    for each in bad:
        reply = await record_consent(house.gate, DESK, RequestContext(), each)
        assert isinstance(reply, Refusal)
        codes.append(reply.reasons[0].code)
    found = await imported(house, [good, *bad, "PHONE_INVALID", closing(house, one)])
    assert found.recorded == 2
    told = {place: code for code, places in found.places.items() for place in places}
    assert told == {**dict(enumerate(codes, 1)), 11: "PHONE_INVALID"}
    assert len(set(codes)) >= 6
    (opened, closed) = await events(house, one)
    assert (opened.type, closed.type) == (GIVEN, REFUSED)


async def test_a_check_says_the_same_and_writes_nothing(house: House) -> None:
    one, two = keys(2)
    rows: list[Row] = [
        row(house, one), replace(row(house, two), capture=None), row(house, StoreKey("crm", "C99999")), "TEXT_INVALID",
        closing(house, two, WITHDRAWN),
    ]  # fmt: skip
    checked = await imported(house, rows, CHECK)
    assert await house.ledger.find((one,)) is None
    assert await house.ledger.find((two,)) is None
    assert await house.ledger.notice("marketing-notice", "1") is None
    assert {entry.kind for entry in house.entries} == {"decision", "outcome"}
    assert counted(checked) == counted(await imported(house, rows))


async def test_a_notice_that_changed_keeps_its_own_rows_out_and_no_others(house: House) -> None:
    one, two = keys(2)
    await imported(house, [row(house, one)])
    bundle = house.gate.policies.current.bundle
    notice = bundle.notices["marketing-notice"]
    notice = replace(notice, text=replace(notice.text, zh=notice.text.zh + "补充说明。"))
    policies = InForce(Decider(replace(bundle, notices={**bundle.notices, notice.id: notice})))
    changed = replace(house, gate=replace(house.gate, policies=policies))
    found = await imported(changed, [row(changed, one), row(changed, two), closing(changed, two)])
    assert counted(found) == (1, 0, {"NOTICE_CHANGED": 2})


async def test_every_row_is_proven_by_an_entry_of_its_own(house: House) -> None:
    rows = [row(house, key) for key in keys(30)]
    await imported(house, rows)
    for key in keys(30)[::10]:
        query = ConsentQuery(key, RequestContext(), "marketing")
        reply = await export_consent_evidence(house.gate, DESK, query)
        assert isinstance(reply, EvidenceReply)
        statements = verify(reply.evidence, [pinned(house)])
        assert {each.standing for each in statements} == {Standing.PROVEN}, statements
        others = [await house.ledger.find((other,)) for other in keys(30) if other != key]
        assert not any(other and other.sid.encode() in reply.evidence for other in others)


def pinned(house: House) -> VerifierKey:
    log: Any = house.log
    key: VerifierKey = log._inner._signer.verifier
    return key


class Away:
    """A store that can not be asked; it counts how often it was."""

    fields = attributes = frozenset[str]()
    can_search = False

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, *_: object) -> Any:
        self.asked += 1
        raise StoreError(code="STORE_TIMEOUT")

    fetch_many = fetch_values = search = fetch

    def scan(self, *_: object) -> Any:
        raise StoreError(code="STORE_TIMEOUT")


def without_store(house: House) -> tuple[House, Away]:
    away = Away()
    return replace(house, gate=replace(house.gate, stores={"crm": away})), away


async def test_what_closes_is_taken_while_the_store_is_away_and_asks_it_once(house: House) -> None:
    known, unknown, *more = keys(40)
    await imported(house, [row(house, known)])
    number = Phone(await phone_of(house, known))
    alone, away = without_store(house)
    rows = [closing(house, known), closing(house, unknown), closing(house, number, WITHDRAWN)]
    rows += [row(house, each) for each in more]
    found = await imported(alone, rows)
    assert counted(found) == (3, 0, {"STORE_TIMEOUT": 38})
    assert away.asked <= 2, "nobody waits for it as often as there are rows"
    assert (await events(house, known))[0].type is GIVEN
    assert {event.type for event in await events(house, known)} == {GIVEN, REFUSED, WITHDRAWN}
    assert [event.type for event in await events(house, unknown)] == [REFUSED]


@pytest.mark.parametrize("is_away", [False, True])
async def test_many_are_identified_like_each_of_them_alone(house: House, is_away: bool) -> None:
    one, two, three, gone = (*keys(3), StoreKey("crm", "C99999"))
    refs: list[CustomerRef] = [
        one, two, gone, StoreKey("nosuch", "X"), Phone(await phone_of(house, three)), Phone("+8613000000000"),
    ]  # fmt: skip
    await house.ledger.enrol((gone,), house.hands.now())
    gate = without_store(house)[0].gate if is_away else house.gate
    asked = [(ref, closes) for ref in refs for closes in (False, True)]
    many = await identify_many(gate, asked, await rows_of_many(gate, refs), house.hands.now())
    for (ref, closes), found in zip(asked, many, strict=True):
        try:
            alone: Any = (await identify(gate, ref, house.hands.now(), closes=closes)).sid
        except FujieError as error:
            alone = error.code
        assert (found if isinstance(found, str) else found.sid) == alone, (ref, closes)


async def test_a_number_that_two_share_gives_nobody_consent_and_closes_for_both(house: House) -> None:
    one, two = keys(2)
    number = Phone(await phone_of(house, one))
    now = house.hands.now()
    await house.ledger.enrol((one, number), now)
    await house.ledger.enrol((two, number), now)
    found = await imported(house, [row(house, number), closing(house, number)])
    # The store knows one customer of this number: it is that one's.
    assert found.recorded == 2
    shared = Phone("+8613000000001")
    await house.ledger.enrol((one, shared), now)
    await house.ledger.enrol((two, shared), now)
    found = await imported(house, [row(house, shared), closing(house, shared)])
    assert counted(found) == (1, 0, {"CUSTOMER_AMBIGUOUS": 1})
    for each in (one, two):
        assert REFUSED in {event.type for event in await events(house, each)}


async def test_a_withdrawal_in_a_file_needs_the_grant_of_a_withdrawal(house: House) -> None:
    one, two = keys(2)
    policy = """
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: marketer-records}
spec:
  match: {actions: [consent.record]}
  roles: [marketer]
"""
    house = house.with_policy({"more.yaml": policy.encode()})
    rows = [row(house, one), closing(house, two, WITHDRAWN)]
    reply = await import_consents(house.gate, MARKETER, ASK, stream(rows))
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "NO_GRANT"
    assert await events(house, one) == ()
    assert isinstance(await import_consents(house.gate, MARKETER, ASK, stream(rows[:1])), ImportReply)
    assert (await imported(house, rows)).recorded == 2


async def test_who_may_not_record_is_told_so_before_the_first_row(house: House) -> None:
    async def never() -> AsyncIterator[Rows]:
        yield [row(house, keys(1)[0])]
        read.append(True)

    read: list[bool] = []

    reply = await import_consents(house.gate, MARKETER, ASK, never())
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "NO_GRANT"
    assert not read
    assert len(house.entries) == 1


async def test_who_is_offboarded_meanwhile_records_nothing_more(house: House) -> None:
    one, two = keys(2)

    async def rows() -> AsyncIterator[Rows]:
        yield [row(house, one)]
        done = await offboard_principal(house.gate, ADMIN, RequestContext(), DESK.subject)
        assert isinstance(done, PrincipalReply)
        yield [row(house, two)]

    reply = await import_consents(house.gate, DESK, ASK, rows())
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "PRINCIPAL_OFFBOARDED"
    assert house.entries[-1].facts["import.recorded"] == 1
    assert len(await events(house, one)) == 1
    assert await events(house, two) == ()


async def test_who_is_offboarded_while_nothing_comes_is_let_go(house: House) -> None:
    async def rows() -> AsyncIterator[Rows]:
        yield None
        await offboard_principal(house.gate, ADMIN, RequestContext(), DESK.subject)
        yield None
        raise AssertionError("it goes on")

    reply = await import_consents(house.gate, DESK, ASK, rows())
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "PRINCIPAL_OFFBOARDED"


async def test_a_withdrawal_beats_the_older_consent_that_is_imported_after_it(house: House) -> None:
    (key,) = keys(1)
    await imported(house, [closing(house, key, WITHDRAWN)])
    await imported(house, [row(house, key)])
    state = await get_consent(house.gate, DESK, ConsentQuery(key, RequestContext(), "marketing"))
    assert isinstance(state, ConsentStateReply)
    assert state.state is State.WITHDRAWN


class Failing:
    """A ledger that fails to write after so many chunks."""

    def __init__(self, inner: Any, after: int) -> None:
        self._inner, self._left = inner, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def record_consents(self, rows: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise LedgerError("it is away")
        return await self._inner.record_consents(rows)


async def test_an_import_that_breaks_off_is_finished_by_the_same_file(house: House) -> None:
    rows = [row(house, key) for key in keys(200)]
    ledger: Any = Failing(house.ledger, 1)
    broken: Gate = replace(house.gate, ledger=ledger)
    reply = await import_consents(broken, DESK, ASK, stream(rows))
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "LEDGER_UNAVAILABLE"
    assert counted(await imported(house, rows)) == (200 - CHUNK, CHUNK, {})


async def test_what_another_actor_recorded_is_another_record(house: House) -> None:
    (key,) = keys(1)
    reply = await record_consent(house.gate, DESK, RequestContext(), row(house, key))
    assert isinstance(reply, ConsentReply)
    assert (await imported(house, [row(house, key)])).recorded == 1, (
        "it was recorded alone, under no key of a row"
    )
    assert NOW not in {event.event_time for event in await events(house, key)}


async def test_places_of_refused_rows_are_bounded_and_their_number_is_told(house: House) -> None:
    bad = ["TEXT_INVALID"] * (MOST_PLACES + 100)
    found = await imported(house, bad, size=50_000)
    assert found.refused == {"TEXT_INVALID": MOST_PLACES + 100}
    assert len(found.places["TEXT_INVALID"]) == MOST_PLACES


async def test_an_import_of_nothing_records_nothing(house: House) -> None:
    assert counted(await imported(house, [])) == (0, 0, {})


async def _memory_of(house: House, rows: int, days_ago: int) -> int:
    """Import so many rows, each made when it is read; return the most memory that was held meanwhile, in bytes."""
    kept = row(house, StoreKey("crm", "C00001"))
    begin = kept.draft.event_time - timedelta(days=days_ago)

    async def made() -> AsyncIterator[Rows]:
        for at in range(0, rows, 500):
            yield [
                replace(
                    kept,
                    customer=StoreKey("crm", f"C{number % 200 + 1:05}"),
                    draft=replace(kept.draft, event_time=begin + timedelta(seconds=number)),
                )
                for number in range(at, min(at + 500, rows))
            ]
            house.log.leaves.clear()  # the test's own copies
            house.counted.decisions.clear()
            house.counted.stages.clear()

    tracemalloc.start()
    try:
        reply = await import_consents(house.gate, DESK, ASK, made())
        assert isinstance(reply, ImportReply)
        assert counted(reply) == (rows, 0, {})
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_memory_does_not_grow_with_the_rows(house: House) -> None:
    await imported(house, [row(house, key) for key in keys(200)])  # whatever is kept for good is there
    few, many = await _memory_of(house, 500, 100), await _memory_of(house, 1_500, 200)
    assert many < few + 1_500_000, (few, many)


@pytest.mark.soak
async def test_a_hundred_thousand_rows_take_no_more_memory_than_a_thousand(house: House) -> None:
    few, many = await _memory_of(house, 1_000, 100), await _memory_of(house, 100_000, 200)
    assert many < few + 8_000_000, (few, many)
