"""What every directory must do (`ports.Directory`), run against each adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, SQLLedger, open_ledger
from fujie.model.errors import LedgerError, RequestError
from fujie.model.page import Slice
from fujie.model.principal import Expected, Principal, PrincipalFilter
from fujie.model.vocabulary import ADMINISTRATOR, State
from fujie.ports import Directory
from support.ledgers import sqlite_url
from support.postgresql import ledger_url

Open = Callable[[], Awaitable[Directory]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALICE = Principal(
    id="alice",
    kind=State.EMPLOYEE,
    roles=frozenset({"support", "领班"}),
    department="after-sales",
    training=State.VALID,
    attributes=MappingProxyType(
        {"region": "east", "level": 3, "remote": False, "teams": ("a", "b"), "none": ()}
    ),
)


@pytest.fixture(params=[sqlite_url, ledger_url], ids=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.param() as url:
        yield url


@pytest.fixture
async def reopen(url: str) -> AsyncIterator[Open]:
    opened: list[SQLLedger] = []
    index = IndexKey("index-1", b"\x01" * 32)

    async def reopen() -> Directory:
        opened.append(await open_ledger(url, index, SystemIdentifiers(SystemClock()), str.encode))
        return opened[-1].directory

    yield reopen
    for ledger in opened:
        await ledger.close()


@pytest.fixture
async def directory(reopen: Open) -> Directory:
    return await reopen()


async def test_nobody_is_known_at_first(directory: Directory) -> None:
    assert await directory.get("alice") is None
    assert await directory.offboard("alice", NOW) is None
    assert await directory.get("alice") is None
    assert not await directory.has_administrator()


async def test_a_record_comes_back_whole(directory: Directory, reopen: Open) -> None:
    assert await directory.upsert(ALICE, NOW) == ALICE
    for found in (await directory.get("alice"), await (await reopen()).get("alice")):
        assert found == ALICE
        assert found is not None
        kinds = {name: type(value) for name, value in found.attributes.items()}
        assert kinds == {"region": str, "level": int, "remote": bool, "teams": tuple, "none": tuple}


async def test_upsert_replaces_everything_and_nobody_else(directory: Directory) -> None:
    await directory.upsert(ALICE, NOW)
    await directory.upsert(Principal("bob", roles=frozenset({"sales"})), NOW)
    await directory.upsert(Principal("alice", kind=State.SERVICE), NOW)
    assert await directory.get("alice") == Principal("alice", kind=State.SERVICE)
    assert await directory.get("bob") == Principal("bob", roles=frozenset({"sales"}))


async def test_offboarding_is_seen_by_the_very_next_read_of_everybody(
    directory: Directory, reopen: Open
) -> None:
    other = await reopen()
    for n in range(10):
        await directory.upsert(Principal(f"p{n}", roles=frozenset({"support"}), department="d"), NOW)
        assert (await other.get(f"p{n}")) == Principal(
            f"p{n}", roles=frozenset({"support"}), department="d"
        )
        gone = await directory.offboard(f"p{n}", NOW)
        assert gone == Principal(f"p{n}", employment=State.OFFBOARDED, department="d", offboard_at=NOW)
        assert await directory.get(f"p{n}") == gone
        assert await other.get(f"p{n}") == gone


async def test_offboarding_twice_changes_nothing(directory: Directory) -> None:
    await directory.upsert(ALICE, NOW)
    assert await directory.offboard("alice", NOW) == await directory.offboard("alice", NOW)


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (Principal("a", roles=frozenset({ADMINISTRATOR})), True),
        (Principal("a", kind=State.SERVICE, roles=frozenset({"x", ADMINISTRATOR})), True),
        (Principal("a", roles=frozenset({ADMINISTRATOR}), employment=State.SUSPENDED), False),
        (Principal("a", roles=frozenset({ADMINISTRATOR}), employment=State.OFFBOARDED), False),
        (
            Principal(
                "a",
                roles=frozenset({"Administrator", " administrator", 'x"administrator"', "administrator2"}),
            ),
            False,
        ),
        (Principal(ADMINISTRATOR, department=ADMINISTRATOR), False),
    ],
)
async def test_an_administrator_is_active_and_has_exactly_the_role(
    directory: Directory, *, principal: Principal, expected: bool
) -> None:
    await directory.upsert(principal, NOW)
    assert await directory.has_administrator() is expected


@pytest.mark.parametrize(
    "changed",
    [
        Principal("root"),
        Principal("root", roles=frozenset({ADMINISTRATOR}), employment=State.SUSPENDED),
        Principal("root", roles=frozenset({ADMINISTRATOR}), employment=State.OFFBOARDED),
    ],
)
async def test_the_last_administrator_stays_until_there_is_another(
    directory: Directory, changed: Principal
) -> None:
    """Without one, `bootstrap.admins` would come back to life (promise 11)."""
    root = Principal("root", roles=frozenset({ADMINISTRATOR}))
    await directory.upsert(root, NOW)
    for gone in (directory.upsert(changed, NOW), directory.offboard("root", NOW)):
        with pytest.raises(RequestError) as refused:
            await gone
        assert refused.value.code == "LAST_ADMINISTRATOR"
    assert await directory.get("root") == root
    await directory.upsert(Principal("other", roles=frozenset({ADMINISTRATOR})), NOW)
    await directory.upsert(changed, NOW)
    assert await directory.has_administrator()


async def test_two_administrators_who_offboard_each_other_at_once_do_not_both_go(
    directory: Directory,
) -> None:
    for name in ("a", "b"):
        await directory.upsert(Principal(name, roles=frozenset({ADMINISTRATOR})), NOW)
    outcomes = await asyncio.gather(
        directory.offboard("a", NOW), directory.offboard("b", NOW), return_exceptions=True
    )
    assert sum(isinstance(outcome, RequestError) for outcome in outcomes) == 1
    assert await directory.has_administrator()


@pytest.mark.parametrize(
    "odd", ["%", "_lice", "ALICE", "alice ", "' OR '1'='1", "alice'--", "?", ":id", ""]
)
async def test_only_the_very_id_finds_a_principal(directory: Directory, odd: str) -> None:
    await directory.upsert(ALICE, NOW)
    assert await directory.get(odd) is None
    assert await directory.offboard(odd, NOW) is None
    other = Principal(odd, department="odd")
    await directory.upsert(other, NOW)
    assert await directory.get(odd) == other
    assert await directory.get("alice") == ALICE


@pytest.mark.parametrize("odd", ["alice\0", "\0", "alice\0b"])
async def test_an_id_with_nul_is_nobody_else(directory: Directory, odd: str) -> None:
    """PostgreSQL holds no NUL; the edge lets none through. Nothing may cut it off."""
    await directory.upsert(ALICE, NOW)
    for act in (directory.upsert(Principal(odd), NOW), directory.offboard(odd, NOW)):
        with suppress(LedgerError):
            await act
    assert await directory.get("alice") == ALICE
    with suppress(LedgerError):
        found = await directory.get(odd)
        assert found == Principal(odd, employment=State.OFFBOARDED, offboard_at=NOW)


async def test_an_id_that_cannot_be_stored_is_an_error_of_the_ledger(directory: Directory) -> None:
    with pytest.raises(LedgerError):
        await directory.get("\udfff")
    with pytest.raises(LedgerError):
        await directory.upsert(Principal("\udfff"), NOW)


async def test_whose_a_suspension_is_is_remembered_until_it_ends(
    directory: Directory, reopen: Open
) -> None:
    await directory.upsert(ALICE, NOW)
    other = await reopen()
    for by in ("officer", "idp"):
        suspended = replace(ALICE, employment=State.SUSPENDED, suspended_by=by)
        assert await directory.employ("alice", State.SUSPENDED, NOW, by) == suspended
        assert await other.get("alice") == suspended
        page = await other.page(PrincipalFilter(employment=State.SUSPENDED), Slice("", 10))
        assert page.rows == (suspended,)
    assert await directory.employ("alice", State.ACTIVE, NOW, "officer") == ALICE
    assert await other.get("alice") == ALICE
    assert await directory.upsert(suspended, NOW) == suspended
    assert await other.get("alice") == suspended


@pytest.mark.parametrize("way", ["now", "by the clock", "written"])
async def test_who_was_suspended_and_leaves_is_suspended_by_nobody(directory: Directory, way: str) -> None:
    suspended = replace(ALICE, employment=State.SUSPENDED, suspended_by="officer")
    await directory.upsert(suspended, NOW)
    if way == "written":
        await directory.upsert(replace(suspended, employment=State.OFFBOARDED), NOW)
    elif way == "now":
        assert await directory.offboard("alice", NOW) == await directory.get("alice")
    else:  # nothing but a read of the clock ends it
        before = datetime(2020, 1, 1, tzinfo=UTC)
        await directory.offboard("alice", before, before + timedelta(days=1))
    found = await directory.get("alice")
    assert found is not None
    assert (found.employment, found.suspended_by) == (State.OFFBOARDED, "")


async def test_a_record_that_was_read_under_another_suspension_is_not_written_over(
    directory: Directory,
) -> None:
    """Else a provider would lift what an officer suspended since."""
    read = replace(ALICE, employment=State.SUSPENDED, suspended_by="idp")
    await directory.upsert(read, NOW)
    await directory.employ("alice", State.SUSPENDED, NOW, "officer")
    with pytest.raises(RequestError) as refused:
        await directory.upsert(ALICE, NOW, Expected(read))
    assert refused.value.code == "PRINCIPAL_CHANGED"
    assert await directory.get("alice") == replace(read, suspended_by="officer")
