"""Recipients from a store query: a filter tells nothing that an export would not, nobody is added twice or by who has left."""

import asyncio
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fujie.app.demo.customers import create_store
from fujie.decision.decider import Decider
from fujie.flows import campaign_scan
from fujie.flows.additions import Rows
from fujie.flows.campaign_query import add_from_store
from fujie.flows.campaign_scan import QueryAsk
from fujie.flows.campaigns import CampaignAsk, DraftReply, cancel_campaign, create_campaign
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.gate import Gate, Sending
from fujie.flows.reply import PrincipalReply, RecipientsReply, Refusal
from fujie.model.campaign import Campaign
from fujie.model.errors import StoreError
from fujie.model.predicate import ANYTHING
from fujie.model.principal import Credential, Principal
from fujie.model.record import Fetched
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from fujie.ports.stores import Scan
from support.exports import LARGE, store_at
from support.house import ADMIN, House, InForce, bundle_of, caller
from support.sending import DRAFT, NO_SENDING, SIGNATURE, CountingProvider, keys, states

ME = caller("marketer")
WHY = RequestContext(purpose="after_sales", basis="contract", basis_evidence="order-7")
NOTHING = RequestContext()

SENDS = f"""
apiVersion: fujie.dev/v1
kind: Sender
metadata: {{name: test-company}}
spec: {{signature: {SIGNATURE}}}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: marketer-sends}}
spec:
  match: {{actions: [send]}}
  roles: [marketer]
  purposes: [after_sales]
""".encode()

SENDS_TO_EAST = SENDS + b"  condition: customer.owner_department == 'east'\n"

LISTS = """
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: lists-of-east}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  condition: customer.owner_department == 'east'
  fields: {customer_no: reveal, phone: "keep(3,4)", gender: reveal}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: numbers-of-south}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  condition: customer.owner_department == 'south'
  fields: {customer_no: reveal, phone: reveal, gender: omit}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: adults-in-lists}
spec:
  match: {actions: [export]}
  validations:
    - {name: adult, expression: "!customer.minor", reason: X_LISTED_MINOR}
---
apiVersion: fujie.dev/v1
kind: Reasons
metadata: {name: lists}
spec: {reasons: [{code: X_LISTED_MINOR, priority: 200, message: {zh: "未成年人", en: "A minor."}}]}
""".encode()
"""East shows gender and hides numbers; south shows numbers and hides gender."""

LIMITED = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: short-lists}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  fields: {customer_no: reveal, gender: reveal}
  limits: {distinct_customers_per_day: 5}
"""


PRYING = (
    'phone = "{}"', "phone = {}", "NOT phone = {}", 'phone < "{}" OR gender = F', "phone:* AND gender:*", "phone:*",
    "NOT gender = X AND NOT gender = F",
)  # fmt: skip
REFUSED = (
    ("name = x", "FILTER_NOT_REVEALED"), ("NOT id_card:*", "FILTER_NOT_REVEALED"),
    ("gender = F AND email = x", "FILTER_NOT_REVEALED"), ("minor = 1", "FILTER_INVALID"),
    ("owner_department = east", "FILTER_INVALID"), ("customer.minor = 1", "FILTER_INVALID"),
    ("gender = 'F'; DROP TABLE customer --", "FILTER_INVALID"), ("mobile = 1", "FILTER_INVALID"),
    ("gender = F)", "FILTER_INVALID"),
)  # fmt: skip


class Attacked:
    """A store that can tell nothing of a predicate, and to which something happens before its second batch."""

    def __init__(self, inner: Any, meanwhile: Callable[[], Awaitable[object]], size: int = 20) -> None:
        self._inner = inner
        self._meanwhile = meanwhile
        self._size = size
        self.batches = 0
        self.scans: list[Scan] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def scan(self, wanted: Scan, timeout_s: float) -> AsyncIterator[AsyncIterator[Sequence[Fetched]]]:
        self.scans.append(wanted)
        async with self._inner.scan(replace(wanted, where=ANYTHING, size=self._size), timeout_s) as batches:
            yield self._attacked(batches)

    async def _attacked(
        self, batches: AsyncIterator[Sequence[Fetched]]
    ) -> AsyncIterator[Sequence[Fetched]]:
        async for batch in batches:
            if self.batches == 1:
                await self._meanwhile()
            self.batches += 1
            yield batch


def able(house: House, *policies: bytes) -> House:
    """Return a house that sends and lists by these policies."""
    files = {f"own-{n}.yaml": each for n, each in enumerate(policies)}
    decider = Decider(bundle_of({**NO_SENDING, "large.yaml": LARGE, **files}))
    provider = CountingProvider()
    ports = Sending(house.ledger.outbox, house.ledger.processors, {provider.name: provider})
    return replace(house, gate=replace(house.gate, policies=InForce(decider), sending=ports))


def attacked(house: House, meanwhile: Callable[[], Awaitable[object]]) -> tuple[Gate, Attacked]:
    store = Attacked(house.gate.stores["crm"], meanwhile)
    return replace(house.gate, stores={"crm": cast("Any", store)}), store


async def drafted(gate: Gate, **changes: Any) -> Campaign:
    reply = await create_campaign(gate, ME, CampaignAsk(WHY, replace(DRAFT, **changes)))
    assert isinstance(reply, DraftReply), reply
    return reply.campaign


async def nothing_more() -> AsyncIterator[Rows]:
    yield ()


async def query(
    gate: Gate, campaign: Campaign, text: str = "", most: int = 10_000, who: Credential = ME, **more: Any
) -> RecipientsReply | Refusal:
    asked = QueryAsk(NOTHING, campaign.id, "crm", text, most)
    return await add_from_store(gate, who, replace(asked, **more), nothing_more(), 5.0)


async def queried(
    gate: Gate, campaign: Campaign, text: str = "", most: int = 10_000, **more: Any
) -> RecipientsReply:
    reply = await query(gate, campaign, text, most, **more)
    assert isinstance(reply, RecipientsReply), reply
    return reply


def code(reply: Any) -> str:
    assert isinstance(reply, Refusal), reply
    return reply.reasons[0].code


async def total(gate: Gate, campaign: Campaign) -> int:
    return sum((await states(gate, campaign)).values())


async def who_is_in(house: House, campaign: Campaign) -> set[str]:
    """Return which customers are in a campaign, found by adding each alone."""
    assert house.gate.sending is not None
    sids = {(await house.ledger.enrol((key,), house.hands.now())).sid: key.customer_id for key in keys(200)}
    with closing(sqlite3.connect(house.root / "ledger.db")) as ledger:
        rows = ledger.execute("SELECT sid FROM message WHERE campaign_id = ?", (campaign.id,)).fetchall()
    return {sids[sid] for (sid,) in rows}


def rows_of(crm: Path, where: str) -> set[str]:
    with closing(sqlite3.connect(crm)) as store:
        return {row[0] for row in store.execute(f"SELECT id FROM customer WHERE {where}")}


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    path = tmp_path / "own-crm.db"
    create_store(path, 200)
    return path


async def test_without_a_filter_come_all_whom_a_grant_to_send_may_open(house: House, crm: Path) -> None:
    house = able(house, SENDS_TO_EAST)
    campaign = await drafted(house.gate)
    reply = await queried(house.gate, campaign)
    assert (reply.repeated, dict(reply.refused), reply.resume) == (0, {}, "")
    assert await who_is_in(house, campaign) == rows_of(crm, "department = 'east'")
    blunt, store = attacked(house, _nothing)
    again = await drafted(blunt)
    assert (await queried(blunt, again)).added == reply.added
    assert store.scans[0].fields == frozenset()
    assert store.scans[0].attributes == {"owner_department"}


async def _nothing() -> None:
    return


async def test_a_grant_that_reads_what_only_dispatch_knows_keeps_nobody_out(house: House) -> None:
    late = SENDS + b"  condition: consent.state == GIVEN && time.hour == 3 && request.rows <= 5\n"
    house = able(house, late)
    assert (await queried(house.gate, await drafted(house.gate))).added == 200


async def test_a_filter_picks_by_what_the_asker_is_shown_and_nobody_else(house: House, crm: Path) -> None:
    house = able(house, SENDS, LISTS)
    campaign = await drafted(house.gate)
    reply = await queried(house.gate, campaign, "gender = F")
    women = rows_of(crm, "department = 'east' AND gender = 'F' AND NOT minor")
    assert await who_is_in(house, campaign) == women
    assert (reply.added, dict(reply.refused)) == (len(women), {})
    assert women


async def test_two_stores_that_differ_in_hidden_values_give_the_same_answers(
    house: House, crm: Path
) -> None:
    house = able(house, SENDS, LISTS)
    with closing(sqlite3.connect(crm)) as store:
        (number,) = store.execute("SELECT mobile FROM customer WHERE department = 'east'").fetchone()
    filters = [text.replace("{}", number) for text in PRYING]
    before = [await _answered(house, text) for text in filters]
    with closing(sqlite3.connect(crm)) as store:
        store.execute(
            "UPDATE customer SET mobile = '139' || printf('%08d', rowid) WHERE department = 'east'"
        )
        store.execute("UPDATE customer SET gender = 'X' WHERE department = 'south'")
        store.execute("UPDATE customer SET full_name = 'X', birthday = '1900-01-01'")
        store.commit()
    assert [await _answered(house, text) for text in filters] == before
    assert len({len(members) for _, members in before}) > 2, "the filters are told apart"


async def _answered(house: House, text: str) -> tuple[tuple[object, ...], set[str]]:
    campaign = await drafted(house.gate)
    reply = await queried(house.gate, campaign, text)
    return (reply.added, reply.repeated, reply.refused, reply.resume), await who_is_in(house, campaign)


async def test_what_is_hidden_or_an_attribute_or_no_filter_is_refused_before_a_row_is_read(
    house: House,
) -> None:
    house = able(house, SENDS, LISTS)
    gate, store = attacked(house, _nothing)
    campaign = await drafted(gate)
    for text, why in REFUSED:
        assert code(await query(gate, campaign, text)) == why, text
    assert store.scans == []


async def test_a_value_is_a_value_to_the_store(house: House, crm: Path) -> None:
    house = able(house, SENDS, LISTS)
    campaign = await drafted(house.gate)
    for value in ("F' OR '1'='1", 'F" OR 1=1 --', "F'; DROP TABLE customer; --", "%", "_"):
        quoted = '"' + value.replace('"', '\\"') + '"'
        assert (await queried(house.gate, campaign, f"gender = {quoted}")).added == 0
    assert len(rows_of(crm, "1")) == 200


async def test_a_filter_needs_a_grant_to_list_and_counts_against_its_limits(house: House) -> None:
    plain = able(house, SENDS)
    assert code(await query(plain.gate, await drafted(plain.gate), "gender = F")) == "NO_GRANT"
    house = able(house, SENDS, LIMITED)
    campaign = await drafted(house.gate)
    assert code(await query(house.gate, campaign, "gender:*")) == "LIMIT_EXCEEDED"
    assert await total(house.gate, campaign) == 5
    outcome = house.entries[-2]
    assert (outcome.kind, outcome.facts["recipients.added"]) == ("outcome", 5)
    for text in ("gender = F", 'gender = "nobody is"'):
        assert code(await query(house.gate, campaign, text)) == "LIMIT_EXCEEDED"


async def test_many_by_a_filter_need_whoever_agrees_to_such_a_list(house: House) -> None:
    house = able(house, SENDS, LISTS)
    files = {**NO_SENDING, "sends.yaml": SENDS, "lists.yaml": LISTS}
    gate = replace(house.gate, policies=InForce(Decider(bundle_of(files))))  # base: from 25 on
    campaign = await drafted(gate)
    refused = await query(gate, campaign, "gender = F", 100)
    assert isinstance(refused, Refusal)
    assert refused.approval
    assert await total(gate, campaign) == 0
    assert (await queried(gate, campaign, "gender = F", 20)).added == 20
    assert (await queried(gate, campaign, most=100)).added > 20, "without a filter nothing is asked"


async def test_a_repeat_adds_nobody_twice_and_a_bound_names_the_same_people(house: House) -> None:
    house = able(house, SENDS)
    campaign = await drafted(house.gate)
    for added, repeated, most in ((50, 0, 50), (0, 50, 50), (150, 50, 10_000), (0, 200, 10_000)):
        reply = await queried(house.gate, campaign, most=most)
        assert (reply.added, reply.repeated, reply.resume) == (added, repeated, "")
    assert await total(house.gate, campaign) == 200


async def test_several_calls_name_the_same_people_as_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = able(house, SENDS, LISTS)
    whole, pieces = await drafted(house.gate), await drafted(house.gate)
    monkeypatch.setattr(campaign_scan, "BATCH", 7)
    expected = await queried(house.gate, whole, "customer_no:*", 40)
    monkeypatch.setattr(campaign_scan, "CALL_S", -1.0)
    added, token, calls = 0, "", 0
    while token or not calls:
        reply = await queried(house.gate, pieces, "customer_no:*", 40, resume=token)
        added, token, calls = added + reply.added, reply.resume, calls + 1
    assert added == expected.added == 40
    assert calls > 4
    assert await who_is_in(house, pieces) == await who_is_in(house, whole)


async def test_a_token_is_for_its_query_and_its_asker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = able(house, SENDS, LISTS)
    await _hire(house, "marketer-2")
    monkeypatch.setattr(campaign_scan, "BATCH", 7)
    monkeypatch.setattr(campaign_scan, "CALL_S", -1.0)
    campaign, other = await drafted(house.gate), await drafted(house.gate)
    token = (await queried(house.gate, campaign)).resume
    filtered = (await queried(house.gate, campaign, "gender:*")).resume
    assert token
    for resume, text, most, to in (
        (token, "", 9_999, campaign), (token, "gender:*", 10_000, campaign), (token, "", 10_000, other),
        (filtered, "gender = F", 10_000, campaign), (filtered, "", 10_000, campaign),
        (token[:-4] + "AAAA", "", 10_000, campaign), ("x", "", 10_000, campaign),
    ):  # fmt: skip
        assert code(await query(house.gate, to, text, most, resume=resume)) == "RESUME_TOKEN_INVALID"
    assert (
        code(await query(house.gate, campaign, resume=token, who=caller("marketer-2")))
        == "CAMPAIGN_OF_ANOTHER"
    )
    assert "C0000" not in token


async def _hire(house: House, name: str, *roles: str, state: State = State.ACTIVE) -> None:
    record = Principal(
        name,
        roles=frozenset(roles or {"marketer"}),
        department="east",
        training=State.VALID,
        employment=state,
    )
    reply = await upsert_principal(house.gate, ADMIN, NOTHING, record)
    assert isinstance(reply, PrincipalReply), reply


@pytest.mark.parametrize(("how", "text"), [("suspended", ""), ("offboarded", "gender:*")])
async def test_who_leaves_while_rows_are_read_adds_nobody_more(house: House, text: str, how: str) -> None:
    house = able(house, SENDS, LISTS)

    async def leaves() -> None:
        if how == "suspended":
            await _hire(house, "marketer", state=State.SUSPENDED)
        else:
            await offboard_principal(house.gate, ADMIN, NOTHING, "marketer", None)
        await asyncio.Event().wait()  # a store that never answers again

    gate, store = attacked(house, leaves)
    campaign = await drafted(gate)
    reply = await asyncio.wait_for(query(gate, campaign, text), 30)
    assert code(reply) == f"PRINCIPAL_{how.upper()}"
    assert store.batches == 1
    ends = [
        entry.facts for entry in house.entries if entry.kind == "outcome" and "query.end" in entry.facts
    ]
    assert [each["query.end"] for each in ends] == [f"PRINCIPAL_{how.upper()}"]
    assert ends[0]["recipients.added"] == await total(gate, campaign) <= 20


async def test_who_loses_his_role_while_rows_are_read_goes_on_as_what_he_is(house: House) -> None:
    house = able(house, SENDS, LISTS)
    gate, _ = attacked(house, lambda: _hire(house, "marketer", "nothing"))
    campaign = await drafted(gate)
    reply = await queried(gate, campaign)
    assert (reply.added, bool(reply.resume)) == (20, True)
    assert code(await query(gate, campaign, resume=reply.resume)) == "NO_GRANT"


async def test_new_policies_hold_from_the_next_batch_on(house: House) -> None:
    house = able(house, SENDS, LISTS)
    policies = _Changing(house.gate.policies.current)
    house = replace(house, gate=replace(house.gate, policies=policies))
    campaign = await drafted(house.gate)

    async def reload() -> None:
        policies.current = able(house, SENDS_TO_EAST, LISTS).gate.policies.current

    gate, _ = attacked(house, reload)
    reply = await queried(gate, campaign)
    assert (reply.added, bool(reply.resume)) == (20, True)
    assert (await queried(gate, campaign, resume=reply.resume)).added < 180


class _Changing:
    def __init__(self, current: Decider) -> None:
        self.current = current


async def test_a_store_that_dies_leaves_what_was_added_and_the_repeat_adds_the_rest(house: House) -> None:
    house = able(house, SENDS)

    async def dies() -> None:
        raise StoreError("gone", code="STORE_UNAVAILABLE")

    gate, _ = attacked(house, dies)
    campaign = await drafted(gate)
    assert code(await query(gate, campaign)) == "STORE_UNAVAILABLE"
    outcome = next(entry for entry in reversed(house.entries) if entry.kind == "outcome")
    assert (outcome.facts["query.end"], outcome.facts["recipients.added"]) == ("STORE_UNAVAILABLE", 20)
    reply = await queried(house.gate, campaign)
    assert (reply.added, reply.repeated) == (180, 20)


async def test_a_campaign_that_is_cancelled_meanwhile_takes_nobody_more(house: House) -> None:
    house = able(house, SENDS)
    campaign = await drafted(house.gate)
    gate, _ = attacked(house, lambda: cancel_campaign(house.gate, ME, NOTHING, campaign.id))
    assert code(await query(gate, campaign)) == "CAMPAIGN_STATE"
    assert await total(gate, campaign) == 20


async def test_a_call_that_is_cancelled_leaves_its_outcome_and_no_cursor(house: House) -> None:
    house = able(house, SENDS, LISTS)
    reached, never = asyncio.Event(), asyncio.Event()

    async def hangs() -> None:
        reached.set()
        await never.wait()

    gate, _ = attacked(house, hangs)
    for _ in range(5):  # one more than a store has cursors
        reached.clear()
        gate, _ = attacked(house, hangs)
        call = asyncio.ensure_future(query(gate, await drafted(gate), "gender:*"))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    ends = [entry.facts["query.end"] for entry in house.entries if "query.end" in entry.facts]
    assert ends == ["CANCELLED"] * 5
    assert (await queried(house.gate, await drafted(house.gate))).added == 200


async def test_entries_hold_counts_and_fields_and_nobody(house: House, crm: Path) -> None:
    house = able(house, SENDS, LISTS)
    campaign = await drafted(house.gate)
    start = len(house.entries)
    await queried(house.gate, campaign, 'gender = F AND customer_no != "C00007"')
    entries = house.entries[start:]
    assert [(each.kind, each.action) for each in entries] == [
        ("decision", "export"), ("admission", "send"), ("outcome", "send"),
    ]  # fmt: skip
    assert entries[0].fields == {"customer_no": "reveal", "gender": "reveal"}
    assert {each.store for each in entries} == {"crm"}
    minors = rows_of(crm, "department IN ('east', 'south') AND minor")
    withheld = entries[2].facts["query.withheld"]
    assert isinstance(withheld, tuple)
    assert sum(int(each.rpartition(" ")[2]) for each in withheld) == len(minors) > 0
    assert not any(each.sids for each in entries)
    assert "C00007" not in b"".join(house.log.leaves[start:]).decode()


async def test_a_text_with_variables_and_a_store_that_nobody_configured_are_refused(house: House) -> None:
    house = able(house, SENDS)
    with_name = await drafted(house.gate, text="{name}您好。拒收请回复R")
    assert code(await query(house.gate, with_name)) == "TEMPLATE_PARAMS"
    assert code(await query(house.gate, await drafted(house.gate), store="other")) == "UNKNOWN_STORE"


@pytest.mark.soak
async def test_twenty_thousand_rows_are_read_in_constant_memory(house: House, tmp_path: Path) -> None:
    create_store(tmp_path / "large.db", 20_000)
    house = able(house, SENDS_TO_EAST)
    async with store_at(house, tmp_path / "large.db") as sharp:
        store = Attacked(sharp.stores["crm"], _nothing, 500)  # all rows come, not only those of east
        gate = replace(sharp, stores={"crm": cast("Any", store)})
        campaign, peaks = await drafted(gate), []
        tracemalloc.start()
        try:
            for most in (200, 20_000):
                tracemalloc.reset_peak()
                added, token = 0, ""
                while not added or token:
                    reply = await queried(gate, campaign, most=most, resume=token)
                    added, token = added + reply.added + reply.repeated, reply.resume
                peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert store.batches >= 40
    assert added == len(rows_of(tmp_path / "large.db", "department = 'east'")) > 2_000
    assert (
        peaks[1] < peaks[0] + 8_000_000
    )  # a cache of 4,096 keys fills; the rows would take several times that
