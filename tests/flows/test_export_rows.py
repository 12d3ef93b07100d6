"""Rows of an export, decided a batch at a time: what several share is never what only looks the same."""

from itertools import permutations
from typing import Any

from fujie.flows.export_rows import Matter, judge_rows, matter_of
from fujie.flows.export_start import request_of
from fujie.flows.gate import open_case
from fujie.model.customer import StoreKey
from fujie.model.record import Fetched, SealedRecord
from support.exports import ME, lists, wanting
from support.house import House

# Equal in twos and threes, of other types, and one that no dictionary takes.
_COLUMNS: tuple[Any, ...] = (False, 0, 0.0, "0", True, 1, 1.0, None, [1])


def _row(number: int, minor: object) -> Fetched:
    columns = {"minor": minor, "owner_department": "east"}
    return Fetched(StoreKey("crm", f"X{number}"), SealedRecord({}), columns)


async def _matter(house: House) -> Matter:
    asked = wanting()
    case = open_case(house.gate, ME, asked.context, request_of(house.gate, asked))
    principal = await house.gate.directory.get(case.asker)
    assert principal is not None
    matter = await matter_of(case, principal)
    assert isinstance(matter, Matter)
    return matter


async def test_columns_that_are_equal_and_not_the_same_are_judged_apart(house: House) -> None:
    house = lists(house)
    rows = [_row(number, minor) for number, minor in enumerate(_COLUMNS)]
    alone = []
    for row in rows:
        (judged,) = await judge_rows(await _matter(house), [row])
        alone.append(judged)
    assert {each.facts.get("customer.minor") for each in alone} >= {True, False}
    for order in (*permutations(range(4)), tuple(range(9)), tuple(reversed(range(9)))):
        together = await judge_rows(await _matter(house), [rows[n] for n in order])
        for n, judged in zip(order, together, strict=True):
            assert judged.facts.get("customer.minor") == alone[n].facts.get("customer.minor")
            assert judged.decision == alone[n].decision
