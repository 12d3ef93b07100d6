"""Nobody learns what he is not shown: by no filter, no count, no order, whatever he asks one after the other."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.flows.lookup import lookup
from fujie.flows.reply import LookupReply
from fujie.model.export import Format
from support.exports import FIELDS, LARGE, ME, Came, exported, last, lists, store_at, wanting
from support.house import House, ask

SOME = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: names-of-the-east}
spec:
  match: {actions: [export, lookup], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  condition: customer.owner_department == principal.department
  fields: {customer_no: reveal, name: reveal, phone: "keep(3,4)", gender: reveal}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: less-of-the-north}
spec:
  match: {actions: [export, lookup], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  condition: customer.owner_department == 'north'
  fields: {customer_no: reveal, name: "keep(1,0)", phone: "keep(3,4)", gender: omit}
"""

FIELD = st.sampled_from(FIELDS)
VALUE = st.sampled_from(
    ["F", "M", "C00010", "C00003", "陈晨嘉", "李", "138", "138****1234", "13800131234", ""]
)
COMPARISON = st.builds(
    lambda field, operator, value: f'{field} {operator} "{value}"',
    FIELD, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUE,
) | st.builds("{}:*".format, FIELD)  # fmt: skip
FILTER = st.recursive(
    COMPARISON,
    lambda part: (
        st.builds("({} AND {})".format, part, part)
        | st.builds("({} OR {})".format, part, part)
        | st.builds("NOT {}".format, part)
    ),
    max_leaves=4,
)


def mirrored(crm: Path, path: Path) -> None:
    """Write the store again, with other values wherever the asker is not shown them: hidden fields, and whole customers
    of a department that he sees nothing of."""
    path.write_bytes(crm.read_bytes())
    chance = random.Random(1)
    with closing(sqlite3.connect(path)) as store, store:
        for key, mobile, name, department in store.execute(
            "SELECT id, mobile, full_name, department FROM customer"
        ).fetchall():
            hidden = f"{mobile[:3]}{chance.randrange(10_000):04}{mobile[7:]}"
            row = [f"{chance.random()}@example.com", hidden, "330106199001011234", key]
            store.execute(
                "UPDATE OR IGNORE customer SET email = ?, mobile = ?, id_number = ? WHERE id = ?", row
            )
            if department == "south":
                store.execute("UPDATE customer SET full_name = 'X', gender = 'F' WHERE id = ?", [key])
            if department == "north" and int(key[1:]) % 50:  # others have two characters that are shown
                store.execute(
                    "UPDATE customer SET full_name = ?, gender = 'M' WHERE id = ?", [name[0] + "某", key]
                )


def seen_of(came: Came) -> tuple[object, ...]:
    tail = came.tail
    data = b"".join(part.data for part in came.parts)
    return came.code, data, tail and (tail.rows, tail.withheld)


async def test_no_filter_tells_two_stores_apart_that_show_the_same(
    house: House, crm: Path, tmp_path: Path
) -> None:
    """What differs is hidden from the asker, so every export and look-up of both must answer the same."""
    house = lists(house, SOME, LARGE)
    mirrored(crm, tmp_path / "other.db")
    async with store_at(house, tmp_path / "other.db") as other:
        names = [row["customer_no"] for row in (await exported(house.gate, wanting())).rows]

        filters: list[str] = []

        @settings(max_examples=25, deadline=None, database=None)
        @given(FILTER)
        def drawn(text: str) -> None:
            filters.append(text)

        drawn()
        for text in dict.fromkeys(filters):
            asked = wanting(text, format=Format.JSON_LINES)
            first, second = [await exported(gate, asked) for gate in (house.gate, other)]
            assert seen_of(first) == seen_of(second), text
        for key in names[:20]:
            shown = []
            for gate in (house.gate, other):
                reply = await lookup(gate, ME, ask(*FIELDS, customer=key), 2.0)
                shown.append(dict(reply.customer) if isinstance(reply, LookupReply) else None)
            assert shown[0] == shown[1]


async def test_what_a_filter_reads_must_be_revealed_in_the_very_row(house: House, crm: Path) -> None:
    """North's names are masked: a filter over names finds nobody there, not even by what the mask shows."""
    house = lists(house, SOME, LARGE)
    with closing(sqlite3.connect(crm)) as store:
        department = dict(store.execute("SELECT id, department FROM customer").fetchall())
    for text in ('name != "nobody"', "name:*", 'NOT name = "nobody"', 'name != "x" OR gender = "F"'):
        rows = (await exported(house.gate, wanting(text))).rows
        assert rows
        assert {department[row["customer_no"]] for row in rows} == {"east"}
    everybody = (await exported(house.gate, wanting())).rows
    assert {department[row["customer_no"]] for row in everybody} == {"east", "north"}
    # Who passes only by what he is not shown is counted nowhere the asker sees.
    came = await exported(house.gate, wanting('name = "陈晨嘉"'))
    assert came.tail is not None
    assert came.tail.withheld == {}
    assert last(house)["export.filtered"] >= 0


async def test_a_filter_gives_what_filtering_the_whole_list_gives(house: House) -> None:
    """The store sieves by part of it: with and without that the result is one."""
    house = lists(house, SOME, LARGE)
    whole = (await exported(house.gate, wanting(fields=("customer_no", "phone")))).rows
    for text, keep in (
        ('customer_no > "C00100"', lambda row: row["customer_no"] > "C00100"),
        (
            'customer_no <= "C00050" OR customer_no = "C00190"',
            lambda row: row["customer_no"] <= "C00050" or row["customer_no"] == "C00190",
        ),
        ("NOT customer_no:*", lambda row: False),
    ):
        found = (await exported(house.gate, replace(wanting(text), fields=("customer_no", "phone")))).rows
        assert found == [row for row in whole if keep(row)]
