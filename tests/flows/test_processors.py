"""The register of processors is written and read by those who may."""

from dataclasses import replace
from datetime import date
from typing import Any

from fujie.flows.processors import get_processor, list_processors, upsert_processor
from fujie.flows.reply import ProcessorReply, ProcessorsReply, Refusal
from fujie.model.page import Slice
from fujie.model.processor import Processor
from fujie.model.request import RequestContext
from support.house import House, caller
from support.sending import POLICY, sending

WHY = RequestContext()
OFFICER, NOBODY = caller("privacy-officer"), caller("nobody-in-particular")
CARRIER = Processor(
    "carrier", "Carrier Ltd.", "contract-7", date(2026, 1, 1), date(2027, 1, 1), "filing-1", "CN", "",
    "clause-3", "clause-4", {"marketing": date(2026, 12, 1)},
)  # fmt: skip
GRANT = b"""
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: officers-register}
spec:
  match: {actions: [processor.write]}
  roles: [privacy_officer]
"""


def code(reply: Any) -> str:
    assert isinstance(reply, Refusal), reply
    return reply.reasons[0].code


async def test_a_processor_is_written_whole_and_read_as_it_was_written(house: House) -> None:
    house = sending(house, policy=POLICY + GRANT)
    for written in (CARRIER, replace(CARRIER, filing="", assessments={})):
        reply = await upsert_processor(house.gate, OFFICER, WHY, written)
        assert isinstance(reply, ProcessorReply)
        read = await get_processor(house.gate, OFFICER, WHY, "carrier")
        assert isinstance(read, ProcessorReply)
        assert replace(read.processor, assessments=dict(read.processor.assessments)) == written


async def test_writing_leaves_an_admission_and_an_outcome_without_the_clauses(house: House) -> None:
    house = sending(house, policy=POLICY + GRANT)
    seen = len(house.entries)
    await upsert_processor(house.gate, OFFICER, WHY, CARRIER)
    kinds = [entry.kind.value for entry in house.entries[seen:]]
    assert kinds == ["admission", "outcome"]
    assert house.entries[-1].facts["processor.assessments"] == ("marketing 2026-12-01",)
    assert b"clause-3" not in b"".join(house.log.leaves[seen:])


async def test_pages_come_by_id_and_name_everybody_once(house: House) -> None:
    house = sending(house, policy=POLICY + GRANT)
    names = [f"p{number}" for number in range(5)]
    for name in reversed(names):
        await upsert_processor(house.gate, OFFICER, WHY, replace(CARRIER, id=name))
    found: list[str] = []
    part = Slice(size=2)
    while True:
        reply = await list_processors(house.gate, OFFICER, WHY, part)
        assert isinstance(reply, ProcessorsReply)
        found += [each.id for each in reply.page.rows]
        if not reply.page.next:
            break
        part = Slice(reply.page.next, 2)
    assert found == names


async def test_who_may_not_learns_that_alone(house: House) -> None:
    house = sending(house, policy=POLICY + GRANT)
    await upsert_processor(house.gate, OFFICER, WHY, CARRIER)
    odd = replace(CARRIER, assessments={"none": date(2026, 12, 1)})
    told = [
        code(await upsert_processor(house.gate, NOBODY, WHY, odd)),
        code(await get_processor(house.gate, NOBODY, WHY, "carrier")),
        code(await get_processor(house.gate, NOBODY, WHY, "none")),
        code(await list_processors(house.gate, NOBODY, WHY, Slice())),
    ]
    assert told == ["NO_GRANT"] * 4


async def test_what_is_not_there_is_not_found_and_what_no_policy_knows_is_refused(house: House) -> None:
    house = sending(house, policy=POLICY + GRANT)
    assert code(await get_processor(house.gate, OFFICER, WHY, "none")) == "PROCESSOR_NOT_FOUND"
    odd = replace(CARRIER, assessments={"none": date(2026, 12, 1)})
    assert code(await upsert_processor(house.gate, OFFICER, WHY, odd)) == "UNKNOWN_PURPOSE"
