"""What a provider took in one call before its sender died is found again: by what it is asked, and by what it tells."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from fujie.adapters.providers.aliyun import AccessKey, Aliyun
from fujie.adapters.providers.exchange import Exchange
from fujie.adapters.providers.tencent import Tencent, TencentAccount
from fujie.flows.dispatch import dispatch
from fujie.flows.receipts import receive
from fujie.flows.resolution import resolve
from fujie.model.campaign import Lease
from fujie.model.message import Category, Draft
from fujie.ports import Clock
from fujie.ports.providers import Callback, Provider
from support.fragile import Died, Fuse, fragile
from support.house import House
from support.sending import POLICY, SIGNATURE, agree, campaign_to, keys, sending, states
from support.standins import AliyunShape, Seen, Shape, TencentShape, standing_in

NEWS = Draft(Category.MARKETING, SIGNATURE, template="news")
TEMPLATE = """
---
apiVersion: fujie.dev/v1
kind: MessageTemplate
metadata: {name: news}
spec:
  version: "1"
  category: marketing
  text: "新品到店。拒收请回复R"
  codes: {wire: SMS_1}
""".encode()
PLACE = ("wire", "")
PEOPLE = keys(5)


class Remembering:
    """A vendor that knows each number of a call by what was echoed to it, in the shape of its own interface."""

    def __init__(self, shape: Shape, name: str) -> None:
        self._shape, self._name = shape, name
        self.throttled, self.refused, self.opted_out = shape.throttled, shape.refused, shape.opted_out
        self.echoed: dict[str, str] = {}

    def numbers(self, seen: Seen) -> Sequence[str]:
        return self._shape.numbers(seen)

    def answer(self, seen: Seen, codes: Mapping[str, str]) -> tuple[int, object]:
        given = seen.form if self._name == "aliyun" else seen.json
        context = given.get("OutId") or given.get("SessionContext")
        if context:
            self.echoed |= dict.fromkeys(self.numbers(seen), context)
            return self._shape.answer(seen, codes)
        asked = next(
            number for number in self.echoed if number.endswith(given["PhoneNumber"].removeprefix("+86"))
        )
        return 200, REPORTS[self._name](asked, self.echoed[asked])


def _details(number: str, context: str) -> object:
    others = [{"OutId": "c-another", "SendStatus": 2, "ErrCode": "X"}, {"OutId": [], "SendStatus": {}}]
    mine = {"OutId": context, "SendStatus": 3, "PhoneNum": number}
    return {"Code": "OK", "SmsSendDetailDTOs": {"SmsSendDetailDTO": [*others, mine]}}


def _statuses(number: str, context: str) -> object:
    mine = {
        "PhoneNumber": number,
        "SerialNo": f"2019:{number[1:]}",
        "ReportStatus": "SUCCESS",
        "SessionContext": context,
    }
    other = {**mine, "SerialNo": "2019:0", "ReportStatus": "FAIL", "SessionContext": "c-another"}
    odd = {**mine, "SerialNo": [], "SessionContext": {}}
    return {"Response": {"PullSmsSendStatusSet": [other, odd, mine], "RequestId": "R"}}


REPORTS: dict[str, Callable[[str, str], object]] = {"aliyun": _details, "tencent": _statuses}
PUSHED: dict[str, Callable[[str, str], Mapping[str, Any]]] = {
    "aliyun": lambda number, context: {"phone_number": number, "success": True, "err_code": "DELIVERED", "out_id": context},
    "tencent": lambda number, context: {
        "nationcode": "86", "mobile": number, "report_status": "SUCCESS", "errmsg": "DELIVRD", "sid": f"2019:{number}", "ext": context,
    },
}  # fmt: skip
SHAPES: dict[str, Callable[[], Shape]] = {"aliyun": AliyunShape, "tencent": TencentShape}


def provider_at(name: str, endpoint: str, clock: Clock) -> Provider:
    exchange = Exchange(30.0)
    if name == "aliyun":
        return Aliyun(PLACE, AccessKey("LTAI", "secret"), exchange, clock, endpoint)
    return Tencent(
        PLACE, TencentAccount("AKID", "secret", "1400006666"), exchange, clock, (endpoint, False)
    )


@pytest.mark.parametrize("how", ["asked", "told"])
@pytest.mark.parametrize("name", SHAPES)
async def test_a_batch_whose_sender_died_behind_the_wire_gets_its_outcomes_and_is_sent_once(
    house: House, name: str, how: str
) -> None:
    vendor = Remembering(SHAPES[name](), name)
    async with standing_in(vendor) as stand_in:
        provider = provider_at(name, stand_in.endpoint, house.gate.clock)
        at = sending(house, provider, policy=POLICY + TEMPLATE)
        await agree(at, PEOPLE)
        whole = Fuse()
        await campaign_to(at.gate, PEOPLE, NEWS)
        await dispatch(fragile(at.gate, whole), await _leased(at))
        campaign = await campaign_to(at.gate, PEOPLE, NEWS)
        dying = fragile(at.gate, Fuse(whole.passed.index("after provider.submit")))
        lease = await _leased(at)
        with pytest.raises(Died):
            await dispatch(dying, lease)
        assert await states(at.gate, campaign) == {"CLAIMED": 5}
        at.hands.time += timedelta(seconds=60)
        await at.ledger.outbox.sweep(at.hands.now(), 5.0)
        assert await states(at.gate, campaign) == {"UNKNOWN": 5}
        sent = stand_in.numbers
        assert len(sent) == 2 * len(set(sent)) == 10
        assert set(vendor.echoed.values()) == {f"c-{campaign.id}"}
        if how == "asked":
            assert await resolve(at.gate, provider) == 5
        else:
            reports = [
                PUSHED[name](number.removeprefix("+86"), context)
                for number, context in vendor.echoed.items()
            ]
            called = provider.callback(Callback("", {}, json.dumps(reports).encode()))
            await receive(at.gate, "wire", called)
        assert await states(at.gate, campaign) == {"DELIVERED": 5}
        assert stand_in.numbers == sent
        await provider.close()


async def _leased(at: House) -> Lease:
    lease = await at.ledger.outbox.lease("h", at.hands.now(), 30.0, 500)
    assert lease is not None
    return lease
