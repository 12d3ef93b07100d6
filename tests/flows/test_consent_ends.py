"""Consents that end soon: exactly those that stand and end, without numbers, and nobody becomes known by being looked at."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
import sqlalchemy as sa

from fujie.adapters.ledger.tables import subject
from fujie.flows.consent import NOW, record_consent
from fujie.flows.consent_ends import EndingReply, EndsQuery, list_expiring_consents
from fujie.flows.gate import Gate
from fujie.flows.reply import ConsentReply, Refusal
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.page import Slice
from fujie.model.principal import Credential
from fujie.model.request import RequestContext
from support.answers import answer
from support.house import House, caller
from support.sending import keys, refs_of

DESK = caller("consent-desk")
WHY = RequestContext()
YEAR = timedelta(days=365)
"""`consent_ttl` of marketing in base."""


async def gives(at: House, ref: CustomerRef, ago: timedelta, ends_in: timedelta | None = None) -> None:
    """Let a customer have agreed, so long ago, with an end of its own or with none."""
    now = at.hands.now()
    identity = await at.ledger.enrol(await refs_of(at, ref), now)
    event = ConsentEvent(
        at.gate.ids.new_id(), identity.sid, "marketing", ConsentEventType.GIVEN, now - ago, now, "desk",
        explicit=True, valid_until=now + ends_in if ends_in else None,
    )  # fmt: skip
    await at.ledger.record_consent(event, "", "")


async def says(at: House, ref: CustomerRef, kind: ConsentEventType) -> None:
    done = await record_consent(at.gate, DESK, WHY, answer(at.gate, ref, type=kind, event_time=NOW))
    assert isinstance(done, ConsentReply)


async def ending(
    gate: Gate, store: str = "crm", days: int = 30, size: int = 500
) -> tuple[Mapping[str, int], int]:
    """Return the customers of all pages with the days that are left, and how many were counted."""
    found: dict[str, int] = {}
    token, count = "", 0
    while True:
        asked = EndsQuery("marketing", days, store=store, part=Slice(token, size))
        reply = await list_expiring_consents(gate, DESK, WHY, asked)
        assert isinstance(reply, EndingReply)
        left = {each.key.customer_id: (each.at - gate.clock.now()).days for each in reply.rows}
        assert not left.keys() & found.keys()
        found.update(left)
        token, count = reply.next, count + reply.count
        if not token:
            return found, count


@pytest.mark.parametrize("size", [1, 3, 500])
async def test_who_agreed_and_will_not_have_soon_is_listed_and_counted_whatever_the_pages(
    house: House, size: int
) -> None:
    ttl, own, both, far, over, gone, again = keys(7)
    await gives(house, ttl, YEAR - timedelta(days=10))
    await gives(house, own, timedelta(days=1), timedelta(days=20))
    await gives(house, both, YEAR - timedelta(days=5), timedelta(days=25))
    await gives(house, far, timedelta(days=100))
    await gives(house, over, YEAR + timedelta(days=1))
    await gives(house, gone, YEAR - timedelta(days=10))
    await says(house, gone, ConsentEventType.WITHDRAWN)
    await gives(house, again, YEAR - timedelta(days=10))
    await gives(house, again, timedelta(days=1))
    found, _ = await ending(house.gate, size=size)
    assert found == {ttl.customer_id: 9, own.customer_id: 19, both.customer_id: 4}
    nobody, count = await ending(house.gate, "", size=size)
    assert (nobody, count) == ({}, 3)
    assert (await ending(house.gate, days=8, size=size))[0] == {both.customer_id: 4}
    assert (await ending(house.gate, "", days=8, size=size))[1] == 1


async def test_to_be_looked_at_makes_nobody_known_and_names_only_whom_it_shows(house: House) -> None:
    (key,) = keys(1)
    await gives(house, key, YEAR - timedelta(days=10))
    engine = sa.create_engine(f"sqlite:///{house.root / 'ledger.db'}")

    def known() -> int:
        with engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(subject)).scalar_one())

    before = known()
    house.log.leaves.clear()
    await ending(house.gate)
    assert known() == before
    engine.dispose()
    named = {sid for entry in house.entries for sid in entry.sids if sid}
    identity = await house.ledger.find((key,))
    assert identity is not None
    assert identity.sid in named
    assert len(named) == 1


async def test_a_number_that_two_customers_share_ends_for_nobody(house: House) -> None:
    key, other = keys(2)
    shared = (await refs_of(house, key))[-1]
    await gives(house, key, YEAR - timedelta(days=10))
    await house.ledger.enrol((other, shared), house.hands.now())
    found, _ = await ending(house.gate)
    assert other.customer_id not in found


async def test_a_page_token_is_for_its_query_and_tells_no_customer(house: House) -> None:
    await gives(house, StoreKey("crm", "C00001"), YEAR - timedelta(days=10))
    asked = EndsQuery("marketing", 30, store="crm", part=Slice("", 1))
    reply = await list_expiring_consents(house.gate, DESK, WHY, asked)
    assert isinstance(reply, EndingReply)
    assert reply.next
    assert "C00001" not in reply.next
    for bad in (
        EndsQuery("marketing", 31, store="crm", part=Slice(reply.next, 1)),
        EndsQuery("after_sales", 30, store="crm", part=Slice(reply.next, 1)),
        EndsQuery("marketing", 30, part=Slice(reply.next, 1)),
        EndsQuery("marketing", 30, store="crm", part=Slice("forged", 1)),
    ):
        assert await refusal(house.gate, DESK, bad) == "PAGE_TOKEN_INVALID"


async def test_who_may_not_read_consents_hears_no_grant_and_a_bad_question_is_refused(house: House) -> None:
    for asked in (
        EndsQuery("marketing", 30, store="crm"),
        EndsQuery("none", 30),
        EndsQuery("marketing", 30),
    ):
        assert await refusal(house.gate, caller("marketer"), asked) == "NO_GRANT"
    assert await refusal(house.gate, DESK, EndsQuery("none", 30)) == "UNKNOWN_PURPOSE"
    assert await refusal(house.gate, DESK, EndsQuery("marketing", 30, store="none")) == "UNKNOWN_STORE"


async def refusal(gate: Gate, who: Credential, asked: EndsQuery) -> str:
    reply = await list_expiring_consents(gate, who, WHY, asked)
    assert isinstance(reply, Refusal)
    return reply.reasons[0].code
