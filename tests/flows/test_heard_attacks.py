"""What providers push, bent: a refusal is heard whatever else is in the call, and whatever is odd about it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from fujie.adapters.providers.aliyun import AccessKey, Aliyun
from fujie.adapters.providers.exchange import Exchange
from fujie.adapters.providers.fields import other_reading, phone_of
from fujie.adapters.providers.tencent import Tencent, TencentAccount
from fujie.audit.errors import AuditError
from fujie.flows.receipts import receive
from fujie.model.customer import Phone
from fujie.model.suppression import ReplyScope
from fujie.ports.providers import Callback, Called, Provider, Reply
from support.house import House
from support.sending import CountingProvider, sending

PLACE = ("wire", "")
FIRST, SECOND = "13800000001", "13800000002"


def aliyun(house: House) -> Provider:
    return Aliyun(PLACE, AccessKey("LTAI", "secret"), Exchange(1.0), house.gate.clock)


def tencent(house: House) -> Provider:
    return Tencent(PLACE, TencentAccount("AKID", "secret", "1400006666"), Exchange(1.0), house.gate.clock)


async def push(at: House, provider: Provider, items: Sequence[object]) -> None:
    await receive(at.gate, "wire", provider.callback(Callback("", {}, json.dumps(items).encode())))


async def is_closed(at: House, number: str) -> bool:
    identity = await at.ledger.find((Phone(f"+86{number}"),))
    return identity is not None and bool(await at.ledger.suppressions(identity.sids))


@pytest.mark.parametrize("when", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
async def test_a_time_that_no_zone_can_have_keeps_no_refusal_from_being_heard(
    house: House, when: str
) -> None:
    provider = aliyun(house)
    at = sending(house, provider)
    await push(
        at,
        provider,
        [
            {"phone_number": FIRST, "content": "TD", "send_time": when, "sequence_id": 1},
            {"phone_number": SECOND, "content": "TD", "send_time": "2026-11-20 09:00:00", "sequence_id": 2},
        ],
    )
    assert await is_closed(at, FIRST)
    assert await is_closed(at, SECOND)


async def test_a_refusal_of_the_year_1_counts_from_a_time_that_every_page_can_show(house: House) -> None:
    provider = tencent(house)
    at = sending(house, provider)
    reply = {"nationcode": "86", "mobile": FIRST, "text": "TD", "time": -62135500000}
    await push(at, provider, [reply])
    identity = await at.ledger.find((Phone(f"+86{FIRST}"),))
    assert identity is not None
    (refused,) = await at.ledger.suppressions(identity.sids)
    assert datetime(2000, 1, 1, tzinfo=UTC) <= refused.event_time <= at.hands.now()


async def test_a_signature_with_a_nul_in_it_closes_for_that_signature(house: House) -> None:
    provider = aliyun(house)
    at = sending(house, provider, replies=ReplyScope(("marketing",), by_signature=True))
    reply = {"phone_number": FIRST, "content": "T\0D", "sign_name": "测试\0公司", "sequence_id": 1}
    await push(at, provider, [reply])
    identity = await at.ledger.find((Phone(f"+86{FIRST}"),))
    assert identity is not None
    (refused,) = await at.ledger.suppressions(identity.sids)
    assert refused.scope.brand == "测试公司"


async def test_two_customers_whose_replies_have_one_id_are_both_heard(house: House) -> None:
    provider = aliyun(house)
    at = sending(house, provider)
    items = [{"phone_number": each, "content": "TD", "sequence_id": 7} for each in (FIRST, SECOND)]
    await push(at, provider, items)
    assert await is_closed(at, FIRST)
    assert await is_closed(at, SECOND)
    await push(at, provider, items)
    assert [what for _, what in at.counted.arrivals] == ["stop", "stop", "again", "again"]


async def test_what_can_not_be_taken_takes_no_refusal_behind_it_along(house: House) -> None:
    at = sending(house, CountingProvider("wire"))
    now = at.hands.now() - timedelta(minutes=1)
    broken = Reply("\0", "r-1", Phone(f"+86{FIRST}"), "TD", now)  # the log takes no such actor
    said = Reply("wire", "r-2", Phone(f"+86{SECOND}"), "TD", now)
    with pytest.raises(AuditError) as raised:
        await receive(at.gate, "wire", Called(replies=[broken, said]))
    assert FIRST not in str(raised.value)
    assert await is_closed(at, SECOND)


@pytest.mark.parametrize(
    "written",
    [
        *("13800000001 ", "138 0000 0001", "138-0000-0001", "013800000001", "0086 13800000001", "１３８０００００００１"),
        *("\t13800000001\n", "+86(138)00000001", "86 138 0000 0001"),
    ],
)  # fmt: skip
def test_a_number_is_known_however_it_is_written(written: str) -> None:
    assert phone_of(written) == Phone(f"+86{FIRST}")


def test_digits_that_mean_two_numbers_mean_both_however_they_are_written() -> None:
    for written in ("13235551234", "132 3555 1234", "13235551234 "):
        assert (phone_of(written), other_reading(written)) == (
            Phone("+8613235551234"),
            Phone("+13235551234"),
        )
