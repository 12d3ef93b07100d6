"""Nobody learns what he is not shown: by no filter, no count, no order, whatever he asks one after the other."""

import random
import sqlite3
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.test_approvals import hire
from fujie.decision.tokens import Tokeniser
from fujie.flows.approvals import get_approval, reject
from fujie.flows.batch import batch_lookup
from fujie.flows.lookup import lookup
from fujie.flows.reply import ApprovalReply, BatchReply, LookupReply, Refusal
from fujie.model.approval import id_of
from fujie.model.customer import StoreKey
from fujie.model.export import Format
from fujie.model.request import BatchAsk, ExportAsk, RequestContext
from support.exports import FIELDS, LARGE, ME, Came, exported, last, lists, store_at, wanting
from support.house import House, ask, caller, opened_house

EYE = caller("compliance-1")

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
    ["F", "M", "C00010", "C00003", "陈晨嘉", "李", "李某", "138", "138****1234", "13800131234", ""]
) | st.sampled_from(["1305", "1385", "1595", "1885"])  # halfway through what is hidden of numbers
COMPARISON = st.builds(
    lambda field, operator, value: f'{field} {operator} "{value}"',
    FIELD | st.just("phone"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUE,
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

HALVING = [f'phone < "{each}"' for each in ("1305", "1385", "1595", "1885")] + [
    'NOT name < "李某" OR phone > "1595"'
]
"""What would tell half of the hidden digits, whatever chance draws beside it."""


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

        filters = list(HALVING)

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


LIMITED = SOME.replace(b"  fields: {customer_no", b"  limits: {rows_per_hour: 160}\n  fields: {customer_no")
PARAMS = b"""
apiVersion: fujie.dev/v1
kind: Params
metadata: {name: larger-lists}
spec:
  guards:
    exports-need-four-eyes: {one_approval_from: 100, two_approvals_from: 60000, never_from: 70000}
"""
EXPORT = st.builds(
    lambda text, fields, rows, form, strict: wanting(
        text, rows, fields=tuple(sorted(fields)), format=form, strict=strict
    ),
    FILTER | st.just("") | FILTER, st.just(FIELDS) | st.sets(FIELD, min_size=1), st.sampled_from([1, 2, 30, 60, 99, 150]),
    st.sampled_from(Format), st.booleans(),
)  # fmt: skip
KEYS = st.integers(0, 201).map("C{:05}".format)
ACT = EXPORT | st.just("go on") | st.tuples(KEYS, st.sets(FIELD, min_size=1)) | st.lists(KEYS, min_size=1)
"""An export, which asks for an approval and its preview where it is long; the last one gone on with; a look-up; a batch."""


class World:
    """What somebody is told who asks one thing after the other, and an approver who helps him."""

    def __init__(self, house: House) -> None:
        self._gate = house.gate
        self._last: tuple[ExportAsk, str] | None = None

    async def told(self, act: Any) -> object:
        match act:
            case ExportAsk():
                return await self._exported(act)
            case "go on":
                return self._last and await self._exported(replace(self._last[0], resume=self._last[1]))
            case tuple():
                key, fields = act
                return _shown(await lookup(self._gate, ME, ask(*fields, customer=key), 2.0))
            case _:
                keys = tuple(StoreKey("crm", key) for key in act)
                asked = BatchAsk(keys, "crm", wanting().context, FIELDS)
                reply = await batch_lookup(self._gate, ME, asked, 2.0)
                return (
                    [_shown(each) for each in reply.answers]
                    if isinstance(reply, BatchReply)
                    else _shown(reply)
                )

    async def _exported(self, asked: ExportAsk) -> object:
        came = await exported(self._gate, asked)
        if came.parts:
            self._last = asked, came.parts[0].token
        head, tail = came.head, came.tail
        told = (
            came.code, head and (head.data, head.treatments),
            [(part.number, part.rows, part.data, len(part.token)) for part in came.parts],
            tail and (tail.rows, tail.withheld),
        )  # fmt: skip
        if came.refusal is None or not came.refusal.approval:
            return told
        approval_id = id_of(came.refusal.approval)
        reply = await get_approval(self._gate, EYE, RequestContext(), approval_id, with_preview=True)
        assert isinstance(reply, ApprovalReply)
        assert reply.preview is not None
        await reject(self._gate, EYE, RequestContext(), approval_id)
        return told, reply.preview


def _shown(reply: object) -> object:
    if isinstance(reply, LookupReply):
        return dict(reply.customer), reply.treatments
    assert isinstance(reply, Refusal)
    return [hit.code for hit in reply.reasons]


async def test_no_sequence_of_acts_tells_two_stores_apart_that_show_the_same(
    crm: Path, tmp_path: Path
) -> None:
    """Lists narrowed, cut, gone on with and refused, their previews, look-ups and batches between them, limits that fill up:
    each act may rest on all before it, and the ledgers of the two worlds have seen nothing but these."""
    sequences: list[list[Any]] = [[wanting(text, 99) for text in HALVING]]

    @settings(max_examples=15, deadline=None, database=None)
    @given(st.lists(ACT, min_size=3, max_size=9))
    def drawn(acts: list[Any]) -> None:
        sequences.append(acts)

    drawn()
    mirrored(crm, tmp_path / "mirrored.db")
    async with AsyncExitStack() as opened:
        houses = []
        for name, store in (("one", crm), ("other", tmp_path / "mirrored.db")):
            (tmp_path / name).mkdir()
            house = await opened.enter_async_context(opened_house(tmp_path / name, store))
            await hire(house, EYE.subject, "compliance_officer")
            keyed = replace(house.gate, tokeniser=Tokeniser(b"k" * 32, "k1", "test"))
            houses.append(lists(replace(house, gate=keyed), LIMITED, PARAMS))
        answers = set()
        for acts in sequences:
            worlds = [World(house) for house in houses]
            for act in acts:
                first, second = [await world.told(act) for world in worlds]
                assert first == second, acts
                answers.add(repr(first))
            for house in houses:
                house.hands.time += timedelta(days=32)
        assert len(answers) > len(sequences), "they ask something"


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
