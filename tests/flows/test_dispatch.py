"""Attacks on the dispatch of campaigns: who gets what, when, and what stops it while it runs."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fujie.audit.entry import MAX_ENTRY_BYTES, EntryKind
from fujie.audit.errors import LogUnavailable
from fujie.flows.consent import NOW, withdraw_consent
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.dispatch import dispatch
from fujie.flows.evidence import Subject, record_many
from fujie.flows.gate import open_case
from fujie.flows.reply import ConsentReply, PrincipalReply, SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.campaign import Campaign, CampaignState
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.decision import Decision
from fujie.model.principal import Principal
from fujie.model.processor import Processor
from fujie.model.request import Request, RequestContext
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import Action, Effect, State
from fujie.ports.providers import Acceptance, Submission
from support.house import ADMIN, House, caller
from support.sending import (
    BY_DAY,
    DRAFT,
    POLICY,
    SIGNATURE,
    CountingProvider,
    agree,
    campaign_to,
    keys,
    leases,
    phone_of,
    reasons,
    refs_of,
    sending,
    states,
    work_off,
)

DESK = caller("consent-desk")
CONTEXT = RequestContext()


async def opt_out(house: House, key: StoreKey) -> None:
    said = OptOut(key, SuppressionScope(), NOW, "call", "call-1")
    assert isinstance(await add_suppression(house.gate, DESK, CONTEXT, said), SuppressionReply)


async def withdraw(house: House, key: StoreKey) -> None:
    draft = ConsentEvent("", "", "marketing", ConsentEventType.WITHDRAWN, NOW, NOW, "", source="call")
    assert isinstance(await withdraw_consent(house.gate, DESK, key, CONTEXT, draft), ConsentReply)


async def adults(house: House, count: int) -> list[StoreKey]:
    """Return customers who agreed and whom the shipped policy lets have marketing."""
    found = await house.gate.stores["crm"].fetch_many(keys(200), frozenset({"minor"}), 2.0)
    of_age = sorted(row.key.customer_id for row in found if not row.attributes["minor"])[:count]
    chosen = [StoreKey("crm", each) for each in of_age]
    await agree(house, chosen)
    return chosen


async def test_everyone_is_decided_on_and_allowed_and_refused_are_the_input(house: House) -> None:
    provider = CountingProvider(most=7)
    at = sending(house, provider)
    agreed = await adults(house, 20)
    out, gone = agreed[0], agreed[1]
    await opt_out(at, out)
    await withdraw(at, gone)
    strangers: list[CustomerRef] = [
        StoreKey("crm", "C99999"),
        StoreKey("none", "C00001"),
        Phone("+8613912340000"),
    ]
    customers: list[CustomerRef] = [*agreed, *strangers]
    campaign = await campaign_to(at.gate, customers)
    at.log.leaves.clear()
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"SUBMITTED": 18, "REFUSED": 5}
    # Who is not there is told apart from who did not agree only where consent would not have refused him: as in a look-up.
    told = {"CUSTOMER_OPTED_OUT": 1, "CONSENT_WITHDRAWN": 1, "CONSENT_MISSING": 3}
    assert await reasons(at.gate, campaign) == told
    assert provider.times == dict.fromkeys([await phone_of(at, each) for each in agreed[2:]], 1)
    known = await at.gate.sending.outbox.campaign(campaign.id) if at.gate.sending else None
    assert known is not None
    assert known.state is CampaignState.DONE


async def test_the_release_names_everyone_and_is_durable_before_the_first_submission(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    agreed = await adults(house, 12)
    campaign = await campaign_to(at.gate, agreed)
    at.log.leaves.clear()
    before: list[set[str]] = []

    async def look() -> None:
        before.append(
            {sid for entry in at.entries if entry.kind is EntryKind.RELEASE for sid in entry.sids}
        )

    provider.meanwhile = look
    await work_off(at.gate)
    sids = [(await house.ledger.enrol(await refs_of(at, each), at.hands.now())).sid for each in agreed]
    assert before == [set(sids)]
    (release,) = (entry for entry in at.entries if entry.kind is EntryKind.RELEASE)
    (outcome,) = (entry for entry in at.entries if entry.kind is EntryKind.OUTCOME)
    assert release.facts["message.campaign"] == outcome.facts["message.campaign"] == campaign.id
    assert (outcome.facts["message.accepted"], outcome.sids) == (12, ())
    assert {len(await at.personal_facts(entry)) for entry in at.entries if entry.sealed} == {1}


@pytest.mark.parametrize("suspended", [False, True])
async def test_whoever_is_refused_stands_in_an_entry_of_the_campaign_with_the_reason(
    house: House, suspended: bool
) -> None:
    at = sending(house, CountingProvider())
    agreed = await adults(house, 4)
    await opt_out(at, agreed[0])
    await withdraw(at, agreed[1])
    campaign = await campaign_to(at.gate, agreed)
    expected = {0: "CUSTOMER_OPTED_OUT", 1: "CONSENT_WITHDRAWN"}
    if suspended:
        await at.ledger.directory.employ("marketer", State.SUSPENDED, at.hands.now(), ADMIN.subject)
        expected = dict.fromkeys(range(4), "PRINCIPAL_SUSPENDED")
    at.log.leaves.clear()
    await work_off(at.gate)
    sids = [(await house.ledger.enrol(await refs_of(at, each), at.hands.now())).sid for each in agreed]
    decided = [entry for entry in at.entries if entry.kind is EntryKind.DECISION]
    told = {sid: entry.reasons[0] for entry in decided for sid in entry.sids}
    assert told == {sids[place]: code for place, code in expected.items()}
    assert {entry.facts["message.campaign"] for entry in decided} == {campaign.id}


CRM = "spiffe://example.com/ns/crm/sa/web"


@pytest.mark.parametrize("caller", [CRM, "marketer"], ids=["for-him", "his-token"])
async def test_a_campaign_through_a_workload_is_decided_on_by_the_rights_of_the_person(
    house: House, caller: str
) -> None:
    trusting = replace(house, gate=replace(house.gate, may_assert=frozenset({CRM})))
    at = sending(trusting, CountingProvider())
    service = Principal(CRM, State.SERVICE, frozenset(), "east", State.ACTIVE, State.VALID)
    assert isinstance(await upsert_principal(at.gate, ADMIN, RequestContext(), service), PrincipalReply)
    agreed = await adults(house, 4)
    campaign = await campaign_to(at.gate, agreed, caller=caller, workload=CRM)
    async for lease in leases(at.gate, most=2):
        await dispatch(at.gate, lease)
        await at.ledger.directory.employ("marketer", State.SUSPENDED, at.hands.now(), ADMIN.subject)
    assert await states(at.gate, campaign) == {"SUBMITTED": 2, "REFUSED": 2}
    assert await reasons(at.gate, campaign) == {"PRINCIPAL_SUSPENDED": 2}


async def test_no_number_and_no_text_is_in_the_log_or_in_the_ledger(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    agreed = await adults(house, 3)
    stranger = Phone("+8613912340000")
    await campaign_to(at.gate, [*agreed, stranger], replace(DRAFT, text="安静的树林。拒收请回复R"))
    await work_off(at.gate)
    numbers = [*(each.phone.e164 for each in provider.got), stranger.e164]
    kept = b"".join(at.log.leaves) + b"".join(
        path.read_bytes() for path in at.root.iterdir() if path.name.startswith("ledger.db")
    )
    assert len(numbers) == 4
    assert not any(number[-11:].encode() in kept for number in numbers)
    assert "安静的树林".encode() not in b"".join(at.log.leaves)


async def test_an_unwritable_log_submits_nothing(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 5))

    class Full:
        origin, healthy = house.log.origin, True

        async def append(self, leaf: bytes) -> int:
            raise LogUnavailable("full")

    broken = replace(at.gate, log=Full())  # type: ignore[arg-type]  # nothing else of it is called
    async for lease in leases(broken):
        with pytest.raises(LogUnavailable):
            await dispatch(broken, lease)
    assert provider.got == []
    assert await states(at.gate, campaign) == {"PLANNED": 5}


Stop = Callable[[House, Campaign, StoreKey], Awaitable[object]]


async def _move(house: House, campaign: Campaign, to: CampaignState) -> None:
    assert house.gate.sending is not None
    await house.gate.sending.outbox.move_campaign(campaign.id, to, house.hands.now())


async def offboard(house: House) -> None:
    reply = await offboard_principal(house.gate, ADMIN, CONTEXT, "marketer")
    assert isinstance(reply, PrincipalReply)


async def _without_role(house: House) -> None:
    plain = Principal("marketer", roles=frozenset({"nothing"}), training=State.VALID)
    await house.gate.directory.upsert(plain, house.hands.now())


async def _stopped(house: House, stop: Stop) -> tuple[House, CountingProvider, Campaign, list[StoreKey]]:
    """Let `stop` happen right after the first two of six were submitted, then work the campaign off."""
    provider = CountingProvider(most=2)
    at = sending(house, provider)
    agreed = await adults(house, 6)
    campaign = await campaign_to(at.gate, agreed)
    seen: list[int] = []

    async def once() -> None:
        if not seen:
            seen.append(1)
            last = (await left(at, agreed, provider))[-1]
            await stop(at, campaign, last)

    # One chunk of two at a time, so that the first is settled before anybody waits for it.
    async for lease in leases(at.gate, most=2):
        await dispatch(at.gate, lease)
        await once()
    return at, provider, campaign, agreed


async def left(house: House, agreed: list[StoreKey], provider: CountingProvider) -> list[StoreKey]:
    """Return who got nothing, in order."""
    return [each for each in agreed if await phone_of(house, each) not in provider.times]


async def test_an_opt_out_stops_a_running_campaign_for_who_opted_out(house: House) -> None:
    at, provider, campaign, agreed = await _stopped(house, lambda at, campaign, last: opt_out(at, last))
    assert len(await left(at, agreed, provider)) == 1
    assert await reasons(at.gate, campaign) == {"CUSTOMER_OPTED_OUT": 1}


async def test_withdrawn_consent_stops_a_running_campaign(house: House) -> None:
    at, provider, campaign, agreed = await _stopped(house, lambda at, campaign, last: withdraw(at, last))
    assert len(await left(at, agreed, provider)) == 1
    assert await reasons(at.gate, campaign) == {"CONSENT_WITHDRAWN": 1}


async def test_an_offboarded_requester_stops_a_running_campaign(house: House) -> None:
    at, provider, campaign, _ = await _stopped(house, lambda at, campaign, last: offboard(at))
    assert len(provider.got) == 2
    found = await states(at.gate, campaign)  # his campaigns end with him
    assert found["CANCELLED"] == 4


async def test_a_lost_role_stops_a_running_campaign(house: House) -> None:
    at, provider, campaign, _ = await _stopped(house, lambda at, campaign, last: _without_role(at))
    assert len(provider.got) == 2
    assert await reasons(at.gate, campaign) == {"NO_GRANT": 4}


async def test_a_paused_campaign_sends_nothing_and_goes_on_where_it_stopped(house: House) -> None:
    at, provider, campaign, _ = await _stopped(
        house, lambda at, campaign, last: _move(at, campaign, CampaignState.PAUSED)
    )
    assert len(provider.got) == 2
    assert await states(at.gate, campaign) == {"SUBMITTED": 2, "PLANNED": 4}
    await _move(at, campaign, CampaignState.RUNNING)
    await work_off(at.gate)
    assert set(provider.times.values()) == {1}
    assert await states(at.gate, campaign) == {"SUBMITTED": 6}


async def test_a_cancelled_campaign_sends_nothing_more(house: House) -> None:
    at, provider, campaign, _ = await _stopped(
        house, lambda at, campaign, last: _move(at, campaign, CampaignState.CANCELLED)
    )
    assert len(provider.got) == 2
    assert await states(at.gate, campaign) == {"SUBMITTED": 2, "CANCELLED": 4}


@pytest.mark.parametrize("what", ["opt-out", "withdrawal", "offboarding", "pause", "cancel"])
async def test_what_is_acknowledged_between_decision_and_claim_is_not_sent(house: House, what: str) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    agreed = await adults(house, 3)
    campaign = await campaign_to(at.gate, agreed)
    target = agreed[0]
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "opt-out": lambda: opt_out(at, target),
        "withdrawal": lambda: withdraw(at, target),
        "offboarding": lambda: offboard(at),
        "pause": lambda: _move(at, campaign, CampaignState.PAUSED),
        "cancel": lambda: _move(at, campaign, CampaignState.CANCELLED),
    }

    class Meanwhile(CountingProvider):
        done = False

        async def ready(self, count: int) -> bool:  # after the decision, before the claim
            if not self.done:
                self.done = True
                await acts[what]()
            return True

    late = Meanwhile()
    at = sending(house, late)
    await work_off(at.gate)
    stopped = 2 if what in ("opt-out", "withdrawal") else 0
    assert len(late.got) == stopped
    assert await phone_of(at, target) not in late.times
    assert provider.got == []


async def test_an_ambiguous_outcome_is_never_sent_again_nor_elsewhere(house: House) -> None:
    first, second = CountingProvider("first"), CountingProvider("second")
    first.says = lambda message: Submission(Acceptance.UNKNOWN, code="TIMEOUT")
    at = sending(house, first, second)
    campaign = await campaign_to(at.gate, await adults(house, 4))
    for _ in range(3):
        await work_off(at.gate)
        at.hands.time += timedelta(minutes=5)
        await house.ledger.outbox.sweep(at.hands.now(), 5.0)
    assert (len(first.got), len(second.got)) == (4, 0)
    assert await states(at.gate, campaign) == {"UNKNOWN": 4}


async def test_a_definite_refusal_of_this_time_goes_to_the_next_provider(house: House) -> None:
    first, second = CountingProvider("first"), CountingProvider("second")
    first.says = lambda message: Submission(Acceptance.RETRY, code="CONNECT")
    at = sending(house, first, second)
    campaign = await campaign_to(at.gate, await adults(house, 4))
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"PLANNED": 4}
    at.hands.time += timedelta(seconds=5)
    await work_off(at.gate)
    assert (len(first.got), len(second.got)) == (4, 4)
    assert await states(at.gate, campaign) == {"SUBMITTED": 4}


async def test_a_provider_that_never_takes_it_is_asked_a_bounded_number_of_times(house: House) -> None:
    provider = CountingProvider()
    provider.says = lambda message: Submission(Acceptance.RETRY, code="THROTTLED")
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 1))
    for _ in range(20):
        await work_off(at.gate)
        at.hands.time += timedelta(minutes=2)
    assert len(provider.got) == 8
    assert await reasons(at.gate, campaign) == {"THROTTLED": 1}
    assert await states(at.gate, campaign) == {"FAILED": 1}


async def test_a_refusal_by_the_provider_is_final(house: House) -> None:
    provider, other = CountingProvider("first"), CountingProvider("second")
    provider.says = lambda message: Submission(Acceptance.REFUSED, code="BAD_NUMBER")
    at = sending(house, provider, other)
    campaign = await campaign_to(at.gate, await adults(house, 2))
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"FAILED": 2}
    assert other.got == []
    (outcome,) = (entry for entry in at.entries if entry.kind is EntryKind.OUTCOME)
    assert len(outcome.sids) == outcome.facts["message.refused"] == 2


async def test_a_claim_that_is_older_than_a_second_is_not_submitted(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 3))
    outbox = house.ledger.outbox

    class Slept:
        def __getattr__(self, name: str) -> object:
            return getattr(outbox, name)

        async def claim(self, *args: object) -> object:
            claimed = await outbox.claim(*args)  # type: ignore[arg-type]  # passed on as they came
            house.hands.ahead += 1.5
            return claimed

    assert at.gate.sending is not None
    slow = replace(at.gate, sending=replace(at.gate.sending, outbox=Slept()))  # type: ignore[arg-type]  # as above
    async for lease in leases(slow):
        await dispatch(slow, lease)
        break
    assert provider.got == []
    assert await states(at.gate, campaign) == {"PLANNED": 3}
    await work_off(at.gate)
    assert set(provider.times.values()) == {1}


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("07:59:59", "08:00:00"),
        ("08:00:00", ""),
        ("21:59:59", ""),
        ("22:00:00", "08:00:00"),
        ("00:00:00", "08:00:00"),
    ],
)
async def test_outside_its_hours_a_message_waits_for_the_next_opening(
    house: House, moment: str, expected: str
) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + BY_DAY)
    agreed = await adults(house, 2)
    local = datetime.fromisoformat(f"2026-11-21T{moment}+08:00").astimezone(UTC)
    at.hands.time = local
    campaign = await campaign_to(at.gate, agreed)
    await work_off(at.gate)
    if not expected:
        assert len(provider.got) == 2
        return
    assert provider.got == []
    assert await states(at.gate, campaign) == {"PLANNED": 2}
    opening = datetime.fromisoformat(f"2026-11-21T{expected}+08:00").astimezone(UTC)
    opening += timedelta(days=1) if opening <= local else timedelta(0)
    at.hands.time = opening - timedelta(milliseconds=900)
    await work_off(at.gate)
    assert provider.got == []
    at.hands.time = opening
    await work_off(at.gate)
    assert len(provider.got) == 2


async def test_an_hour_that_ends_between_decision_and_submission_is_decided_anew(house: House) -> None:
    at_ten = datetime.fromisoformat("2026-11-20T22:00:00+08:00").astimezone(UTC)

    class Slow(CountingProvider):
        async def ready(self, count: int) -> bool:
            house.hands.time = max(house.hands.time, at_ten)
            return True

    provider = Slow()
    at = sending(house, provider, policy=POLICY + BY_DAY)
    agreed = await adults(house, 2)
    at.hands.time = at_ten - timedelta(milliseconds=100)
    campaign = await campaign_to(at.gate, agreed)
    await work_off(at.gate)
    assert provider.got == []
    assert await states(at.gate, campaign) == {"PLANNED": 2}


async def test_a_provider_without_a_valid_agreement_is_not_used(house: House) -> None:
    first, second = CountingProvider("first"), CountingProvider("second")
    first.processor, second.processor = "lapsed-ltd", "valid-ltd"
    at = sending(house, first, second)
    agreed = await adults(house, 2)
    campaign = await campaign_to(at.gate, agreed)
    lapsed = Processor("lapsed-ltd", "Lapsed", "safe 1", date(2020, 1, 1), date(2026, 11, 20))
    await house.ledger.processors.upsert_processor(lapsed, at.hands.now())
    await work_off(at.gate)
    assert await reasons(at.gate, campaign) == {"PROCESSOR_NOT_VALID": 2}
    valid = replace(lapsed, id="valid-ltd", valid_until=date(2026, 11, 21))
    await house.ledger.processors.upsert_processor(valid, at.hands.now())
    campaign = await campaign_to(at.gate, agreed)
    await work_off(at.gate)
    assert (len(first.got), len(second.got)) == (0, 2)


CHEAP = """
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: cheap}
spec:
  match: {actions: [send]}
  validations: [{name: cheap, expression: message.cost <= 50, reason: X_TOO_DEAR}]
---
apiVersion: fujie.dev/v1
kind: Reasons
metadata: {name: dear}
spec:
  reasons:
    - {code: X_TOO_DEAR, priority: 890, message: {zh: "太贵。", en: "Too dear."}}
""".encode()


@pytest.mark.parametrize(
    ("prices", "length", "expected"),
    [
        ({"counting": 50}, 1, {"SUBMITTED": 2}),
        ({"counting": 50}, 71, {"REFUSED": 2}),
        ({"another": 50}, 1, {"REFUSED": 2}),
        ({"counting": 0}, 500, {"SUBMITTED": 2}),
    ],
    ids=["one segment", "two segments", "no price", "for nothing"],
)
async def test_a_rule_on_the_cost_counts_segments_and_refuses_what_has_no_price(
    house: House, prices: dict[str, int], length: int, expected: dict[str, int]
) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + CHEAP, prices=prices)
    campaign = await campaign_to(at.gate, await adults(house, 2), replace(DRAFT, text="好" * length))
    await work_off(at.gate)
    assert await states(at.gate, campaign) == expected
    told = await reasons(at.gate, campaign)
    assert told == (
        {} if "REFUSED" not in expected else {"FACT_MISSING" if "another" in prices else "X_TOO_DEAR": 2}
    )


CARRIER = Processor("carrier-ltd", "Carrier", "safe 1", date(2020, 1, 1), date(2030, 1, 1))


@pytest.mark.parametrize("when", ["while stores are read", "between decision and claim"])
async def test_an_agreement_that_ends_while_a_chunk_is_on_its_way_stops_it(house: House, when: str) -> None:
    provider = CountingProvider()
    provider.processor = CARRIER.id
    at = sending(house, provider)
    register, outbox = house.ledger.processors, house.ledger.outbox
    await register.upsert_processor(CARRIER, at.hands.now())
    campaign = await campaign_to(at.gate, await adults(house, 3))

    class Ending:
        def __getattr__(self, name: str) -> object:
            return getattr(outbox, name)

        async def _end(self) -> None:
            await register.upsert_processor(replace(CARRIER, valid_until=date(2021, 1, 1)), at.hands.now())

        async def recall_many(self, *args: object, **more: object) -> object:
            if when.startswith("while"):
                await self._end()
            return await outbox.recall_many(*args, **more)  # type: ignore[arg-type]  # passed on as they came

        async def claim(self, *args: object) -> object:
            if when.startswith("between"):
                await self._end()
            return await outbox.claim(*args)  # type: ignore[arg-type]  # passed on as they came

    assert at.gate.sending is not None
    ending: Any = Ending()
    gate = replace(at.gate, sending=replace(at.gate.sending, outbox=ending))
    lease = await outbox.lease("h", at.hands.now(), 30.0, 500)
    assert lease is not None
    await dispatch(gate, lease)
    assert provider.got == []
    assert await states(at.gate, campaign) == {"PLANNED": 3}
    await work_off(at.gate)
    assert provider.got == []
    assert await reasons(at.gate, campaign) == {"PROCESSOR_NOT_VALID": 3}


async def test_a_chunk_that_took_longer_than_its_lease_is_told_as_put_back(house: House) -> None:
    """Else the next chunk is as large, and takes as long, for ever."""
    at = sending(house, provider := CountingProvider())
    campaign = await campaign_to(at.gate, await adults(house, 3))
    lease = await at.ledger.outbox.lease("h", at.hands.now(), 0.0, 500)
    assert lease is not None
    done = await dispatch(at.gate, lease)
    assert (done.done, done.put_back, provider.got) == (0, 3, [])
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"SUBMITTED": 3}
    assert set(provider.times.values()) == {1}


async def test_what_a_provider_has_no_room_for_goes_back_and_comes_again(house: House) -> None:
    provider = CountingProvider(most=2)
    rooms = iter([True, True, False, False])
    provider.room = lambda count: next(rooms, True)
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 9))
    async for lease in leases(at.gate):
        done = await dispatch(at.gate, lease)
        assert (done.done, done.put_back) == (4, 5)
        break
    assert await states(at.gate, campaign) == {"SUBMITTED": 4, "PLANNED": 5}
    await work_off(at.gate)
    assert set(provider.times.values()) == {1}
    assert await states(at.gate, campaign) == {"SUBMITTED": 9}


async def test_one_person_under_two_references_gets_one_message_of_a_campaign(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    (key,) = await adults(house, 1)
    campaign = await campaign_to(at.gate, [key, Phone(await phone_of(at, key))])
    await work_off(at.gate)
    assert len(provider.got) == 1
    assert sum((await states(at.gate, campaign)).values()) in (1, 2)


async def test_an_opt_out_by_any_reference_holds_for_every_reference(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    first, second = await adults(house, 2)
    said = OptOut(Phone(await phone_of(at, first)), SuppressionScope(), NOW, "reply", "mo-1")
    assert isinstance(await add_suppression(at.gate, DESK, CONTEXT, said), SuppressionReply)
    await opt_out(at, second)
    await campaign_to(at.gate, [first, Phone(await phone_of(at, second))])
    await work_off(at.gate)
    assert provider.got == []


async def test_an_opt_out_from_another_signature_closes_nothing_and_from_this_one_does(
    house: House,
) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    first, second = await adults(house, 2)
    for key, brand in ((first, SIGNATURE), (second, "another")):
        said = OptOut(key, SuppressionScope(brand=brand), NOW, "call", "call-1")
        assert isinstance(await add_suppression(at.gate, DESK, CONTEXT, said), SuppressionReply)
    await campaign_to(at.gate, [first, second])
    await work_off(at.gate)
    assert list(provider.times) == [await phone_of(at, second)]


async def test_a_signature_that_nobody_defined_is_not_in_the_log(house: House) -> None:
    at = sending(house, CountingProvider())
    await campaign_to(at.gate, await adults(house, 1), replace(DRAFT, signature="13800138000"))
    await work_off(at.gate)
    assert not any(b"13800138000" in leaf for leaf in at.log.leaves)
    assert {entry.facts.get("request.brand") for entry in at.entries if entry.reasons} <= {"?", None}


async def test_a_campaign_whose_provider_is_gone_refuses_everyone(house: House) -> None:
    at = sending(house, CountingProvider())
    campaign = await campaign_to(at.gate, await adults(house, 3), replace(DRAFT, provider="gone"))
    await work_off(at.gate)
    assert await reasons(at.gate, campaign) == {"UNKNOWN_PROVIDER": 3}


async def test_more_than_one_entry_holds_is_several_and_nobody_is_missing(house: House) -> None:
    case = open_case(house.gate, caller("marketer"), CONTEXT, Request(Action.SEND))
    plain = Decision(Effect.ALLOW, case.decider.bundle.digest)
    people = [(Subject(tuple(f"sid_{n:04d}_{each:028d}" for each in range(4))), plain) for n in range(500)]
    await record_many(case, EntryKind.RELEASE, people)
    told = [sid for entry in house.entries for sid in entry.sids]
    assert told == [sid for subject, _ in people for sid in subject.sids]
    assert len(house.entries) == 2
    assert all(len(leaf) <= MAX_ENTRY_BYTES for leaf in house.log.leaves)
