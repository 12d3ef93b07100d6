"""Attacks on leased files: by who has less right to the rows than who exported them, and after their requester has left."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from flows.test_leased_files import COLLEAGUE, NOTHING, code, keys, leased, made, small_chunks
from fujie.decision.decider import Decider
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.export import export_customers
from fujie.flows.leasing import keyed_chunk
from fujie.flows.reply import PrincipalReply
from fujie.model.export import Opening
from fujie.model.principal import Credential, Principal
from fujie.model.vocabulary import State
from fujie.ports import EvidenceLog
from support.exports import LARGE, ME, MUCH_AT_ONCE, POLICY, Came, exported, lists, wanting
from support.house import ADMIN, House, RecordingLog

__all__ = ["small_chunks"]

EVERYWHERE = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: lists-of-everywhere}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [wide]
  purposes: [after_sales]
  fields: {customer_no: reveal, name: reveal, phone: "keep(3,4)", gender: reveal, birthday: "date_part(year)"}
"""


async def written(house: House, who: Credential, department: str, *roles: str) -> None:
    record = Principal(who.subject, roles=frozenset(roles), department=department, training=State.VALID)
    assert isinstance(await upsert_principal(house.gate, ADMIN, NOTHING, record), PrincipalReply)


async def test_who_serves_other_customers_opens_no_file_of_these(small_chunks: House) -> None:
    """The same role and grant, whose condition names the customers of the own department: of the file's he gets NO_GRANT."""
    export, _ = await made(small_chunks)
    assert len(await keys(small_chunks.gate, export, COLLEAGUE)) > 3
    await written(small_chunks, COLLEAGUE, "west", "marketer")
    assert await code(small_chunks.gate, export, COLLEAGUE) == "EXPORT_NOT_FOUND"


async def test_who_moved_opens_no_file_of_where_he_was(small_chunks: House) -> None:
    export, _ = await made(small_chunks)
    await written(small_chunks, ME, "west", "marketer", "support")
    assert await code(small_chunks.gate, export) == "NO_GRANT"
    await written(small_chunks, ME, "east", "marketer", "support")
    assert len(await keys(small_chunks.gate, export)) > 3


async def test_who_sees_his_own_customers_opens_no_file_of_who_sees_all(small_chunks: House) -> None:
    """Two grants, one of them without a condition: rows of it are of anybody. The other way round it opens."""
    house = lists(small_chunks, POLICY, LARGE, EVERYWHERE)
    of_few, _ = await made(house)
    await written(house, ME, "east", "marketer", "wide")
    of_all, _ = await made(house)
    assert await code(house.gate, of_all, COLLEAGUE) == "EXPORT_NOT_FOUND"
    await written(house, COLLEAGUE, "west", "wide")
    assert len(await keys(house.gate, of_all, COLLEAGUE)) > 3
    assert len(await keys(house.gate, of_few, COLLEAGUE)) > 3


async def test_a_narrower_condition_closes_what_the_wider_one_let_out(small_chunks: House) -> None:
    export, _ = await made(small_chunks)
    narrow = POLICY.replace(
        b"== principal.department\n", b"== principal.department && customer.owner_department != 'east'\n"
    )
    assert narrow != POLICY
    assert await code(lists(small_chunks, narrow, LARGE).gate, export) == "NO_GRANT"


@pytest.mark.parametrize("is_due_by_itself", [False, True])
async def test_the_file_is_dead_from_the_moment_its_requester_left_although_its_keys_are_still_there(
    small_chunks: House, monkeypatch: pytest.MonkeyPatch, is_due_by_itself: bool
) -> None:
    """An export that begins while its asker leaves is not among those that are closed; a set time comes before any worker looks."""
    house = small_chunks
    export, _ = await made(house)

    async def none(requester: str, closing: object) -> int:
        return 0

    at = house.hands.now() + timedelta(minutes=1) if is_due_by_itself else None
    with monkeypatch.context() as patched:
        patched.setattr(house.gate.exports, "close_exports_of", none)
        await offboard_principal(house.gate, ADMIN, NOTHING, ME.subject, at)
    if is_due_by_itself:
        assert len(await keys(house.gate, export, COLLEAGUE)) > 3
        house.hands.time += timedelta(minutes=1)
    assert await code(house.gate, export, COLLEAGUE) == "EXPORT_CLOSED"
    assert await code(house.gate, export) == "PRINCIPAL_OFFBOARDED"


async def test_rows_that_come_while_it_is_opened_were_not_decided_on(
    small_chunks: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that is on its way is small as long as it has begun only: a few rows need nobody's leave, many do."""
    house = small_chunks
    export, _ = await made(house)
    few = replace(export, id="f" * 32, rows=0)
    await house.gate.exports.begin_export(few)
    taken = house.gate.exports.open_lease

    async def late(export_id: str, opening: Opening) -> Mapping[int, bytes | None]:
        _, chunk = keyed_chunk(house.gate, few, 0, ["1" * 32] * 90)
        await house.gate.exports.add_chunk(chunk)
        return await taken(export_id, opening)

    monkeypatch.setattr(house.gate.exports, "open_lease", late)
    assert await code(house.gate, few, COLLEAGUE) == "ARGUMENT_INVALID"


async def test_a_small_file_opens_too(small_chunks: House) -> None:
    """A rule on what stands out in the use of principals reads facts that an opening must know, too."""
    export, _ = await made(small_chunks, leased(max_rows=5))
    assert len(await keys(small_chunks.gate, export)) == 2
    assert len(await keys(small_chunks.gate, export, COLLEAGUE)) == 2


@pytest.mark.parametrize(("department", "roles", "end"), [
    ("east", ("marketer", "wide"), "EXPORT_CLOSED"), ("west", ("marketer",), "EXPORT_CLOSED"), ("east", ("marketer", "auditor"), ""),
])  # fmt: skip
async def test_no_rows_by_other_grants_join_a_file_that_is_on_its_way(
    small_chunks: House, department: str, roles: tuple[str, ...], end: str
) -> None:
    """Else who holds the grants of the first rows would open them."""
    house = lists(small_chunks, POLICY, LARGE, EVERYWHERE)
    came = Came()
    async for answer in export_customers(house.gate, ME, leased(), 5.0):
        came.take(answer)
        if len(came.parts) == 1:
            await written(house, ME, department, *roles)
    assert came.code == end
    assert (len(came.parts) == 1) == bool(end)


@dataclass
class Changing:
    """Policies that are changed by the test."""

    current: Decider


async def test_no_rows_that_show_more_join_a_file_that_is_on_its_way(small_chunks: House) -> None:
    """The same grant, opened wider meanwhile: the header would promise less than the rows hold."""
    inside = Changing(small_chunks.gate.policies.current)
    wider = POLICY.replace(b'phone: "keep(3,4)"', b"phone: reveal")
    after = lists(small_chunks, wider, LARGE).gate.policies.current
    came = Came()
    async for answer in export_customers(replace(small_chunks.gate, policies=inside), ME, leased(), 5.0):
        came.take(answer)
        if len(came.parts) == 1:
            inside.current = after
    assert (came.code, len(came.parts)) == ("EXPORT_CLOSED", 1)


async def test_whose_use_stands_out_opens_no_file_of_others_and_still_his_own(small_chunks: House) -> None:
    house = lists(small_chunks, POLICY + MUCH_AT_ONCE, LARGE)
    house.hands.time += timedelta(days=-1)
    for who in (ME, COLLEAGUE):
        assert len((await exported(house.gate, wanting(max_rows=3), who)).rows) == 3
    await house.ledger._observer.catch_up()
    house.hands.time += timedelta(days=1)
    export, _ = await made(house)
    assert len(await keys(house.gate, export, COLLEAGUE)) > 0
    assert len((await exported(house.gate, wanting(), COLLEAGUE)).rows) > 20
    await house.ledger._observer.catch_up()
    assert await code(house.gate, export, COLLEAGUE) == "X_LISTED_MINOR"
    assert len(await keys(house.gate, export)) > 0


class Interrupting(RecordingLog):
    """A log that lets something happen behind its first entry."""

    def __init__(self, inner: EvidenceLog, act: Callable[[], Awaitable[object]]) -> None:
        super().__init__(inner)
        self._act = act

    async def append(self, leaf: bytes) -> int:
        index = await super().append(leaf)
        if len(self.leaves) == 1:
            await self._act()
        return index


async def test_who_leaves_while_his_opening_is_written_gets_no_key(small_chunks: House) -> None:
    house = small_chunks
    export, _ = await made(house)

    async def act() -> None:
        await house.ledger.directory.employ(
            COLLEAGUE.subject, State.SUSPENDED, house.hands.now(), ADMIN.subject
        )

    log = Interrupting(house.log, act)
    assert await code(replace(house.gate, log=log), export, COLLEAGUE) == "PRINCIPAL_SUSPENDED"
    assert len(log.leaves) == 2
