"""Filters of exports, through the whole gate: what a store makes of them changes nothing, and hidden values stay hidden."""

import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fujie.model.predicate import ANYTHING
from fujie.model.record import Fetched
from fujie.ports.stores import Scan
from support.exports import LARGE, POLICY, exported, lists, wanting
from support.house import House

SOME_SHOWN = (
    POLICY
    + b"""
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: phones-of-south}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  condition: customer.owner_department == 'south'
  fields: {phone: reveal, name: reveal, customer_no: reveal, gender: "omit"}
"""
)
"""East shows gender and hides numbers; south shows numbers and hides gender."""

FILTERS = (
    "", 'customer_no > "C00100"', 'name = "nobody"', "NOT name:*", "gender = F OR gender = M", "gender = F AND name:*",
    "phone:*", "phone > 13800000000", 'phone < "2"', "NOT phone = 1", 'gender != "F" OR phone:*', "-(gender:* AND phone:*)",
    'name > "李" AND name < "王"', '(customer_no < "C00050" OR customer_no >= "C00150") AND NOT gender = M',
)  # fmt: skip


@pytest.fixture
def crm(crm: Path, tmp_path: Path) -> Path:
    """A copy: customers are changed here, and others have the same."""
    return Path(shutil.copy(crm, tmp_path / "customers.db"))


class Blunt:
    """A store that can tell nothing of a predicate, as the port allows."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def scan(self, wanted: Scan, timeout_s: float) -> AsyncIterator[AsyncIterator[Sequence[Fetched]]]:
        async with self._inner.scan(replace(wanted, where=ANYTHING), timeout_s) as batches:
            yield batches


async def test_what_the_store_sieves_out_would_not_have_left(house: House, crm: Path) -> None:
    house = lists(house, SOME_SHOWN, LARGE)
    with closing(sqlite3.connect(crm)) as store:
        store.execute("UPDATE customer SET full_name = NULL, gender = '' WHERE rowid % 7 = 0")
        store.execute("UPDATE customer SET mobile = NULL WHERE rowid % 5 = 0")
        store.execute("UPDATE customer SET department = NULL, minor = 'no' WHERE rowid % 11 = 0")
        store.commit()
    blunt = replace(house.gate, stores={"crm": cast("Any", Blunt(house.gate.stores["crm"]))})
    found = set()
    for text in FILTERS:
        sharp, all_read = await exported(house.gate, wanting(text)), await exported(blunt, wanting(text))
        assert sharp.tail is not None
        assert sharp.rows == all_read.rows
        found.add(len(sharp.rows))
    assert len(found) > 8, "the filters are told apart"


@pytest.mark.parametrize(
    "text",
    ['phone = "{}"', "phone = {}", "NOT phone = {}", 'phone < "{}" OR gender = F', "phone:* AND name:*"],
)
async def test_a_number_that_is_masked_answers_no_filter(house: House, crm: Path, text: str) -> None:
    house = lists(house, SOME_SHOWN, LARGE)
    with closing(sqlite3.connect(crm)) as store:
        (number,) = store.execute(
            "SELECT mobile FROM customer WHERE department = 'east' LIMIT 1"
        ).fetchone()
    asked = wanting(text.replace("{}", number))
    before = await exported(house.gate, asked)
    with closing(sqlite3.connect(crm)) as store:
        store.execute(
            "UPDATE customer SET mobile = '139' || printf('%08d', rowid) WHERE department = 'east'"
        )
        store.commit()
    after = await exported(house.gate, asked)
    assert before.rows == after.rows
    assert [len(part.data) for part in before.parts] == [len(part.data) for part in after.parts]
    assert not [row for row in before.rows if "*" in str(row["phone"])]


async def test_a_field_that_nobody_is_shown_is_refused_before_anything_is_read(house: House) -> None:
    house = lists(house)
    for text in ('phone = "13800000000"', "NOT phone:*", "gender = F AND -phone = 1"):
        came = await exported(house.gate, wanting(text))
        assert (came.head, came.code) == (None, "FILTER_NOT_REVEALED")
