"""What whoever watches sees of sending: what providers said, and how long an opt-out waited for them."""

from collections import Counter

from fujie.flows.settlement import until_settled
from fujie.ports.providers import Acceptance, Outgoing, Submission
from support.house import House
from support.sending import CountingProvider, agree, campaign_to, keys, phone_of, sending, work_off


async def test_every_word_of_a_provider_is_counted_once_under_its_name_and_names_nobody(
    house: House,
) -> None:
    provider = CountingProvider("line")
    says = dict.fromkeys(map(str, Acceptance), 2)

    def say(message: Outgoing) -> Submission:
        code = next(each for each in says if says[each])
        says[code] -= 1
        return Submission(Acceptance(code), f"id-{message.intent_id}", "X")

    provider.says = say
    at = sending(house, provider)
    await agree(at, keys(8))
    await campaign_to(at.gate, keys(8))
    await work_off(at.gate)
    assert Counter(house.counted.submissions) == {("line", str(each)): 2 for each in Acceptance}
    phones = [await phone_of(house, key) for key in keys(8)]
    assert not any(phone in str(house.counted) for phone in phones)


async def test_an_opt_out_that_waits_for_nothing_reports_its_wait_too(house: House) -> None:
    at = sending(house, CountingProvider())
    await until_settled(at.gate, sids=("nobody",))
    assert house.counted.stages.count("settlement") == 1
