"""Attacks on the index of disclosures: what counts, what must not, and what a crash makes of it."""

import asyncio
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fujie.app import disclosing
from fujie.app.disclosing import Disclosing, OwnLog, read_part
from fujie.audit.entry import Entry, EntryKind, leaf_bytes
from fujie.flows.lookup import lookup
from fujie.flows.reply import LookupReply, Refusal
from fujie.model.consent import EntryRef
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError
from fujie.model.page import Slice
from fujie.model.subject_request import Disclosure, Indexed
from support.house import House, ask, caller

AGENT = caller("support-agent")
ZONE = ZoneInfo("Asia/Shanghai")
CHILD = Path(__file__).parents[1] / "support" / "disclosing_child.py"


def entry(
    kind: EntryKind, action: str, *sids: str, at: str = "2026-11-20T02:00", effect: str = "ALLOW"
) -> Entry:
    return Entry(
        uid="u", time=f"{at}:00.000000Z", origin="test/w0", kind=kind, action=action, purpose="marketing",
        sids=sids, effect=effect,
    )  # fmt: skip


async def signed(house: House) -> OwnLog:
    """Return the log of the house once all that it has is signed."""
    path = house.root / "log" / house.log.origin
    last = await house.log.append(leaf_bytes(entry(EntryKind.OUTCOME, "lookup")))
    assert await house.log.prove(EntryRef(house.log.origin, last))  # waits for the checkpoint
    return OwnLog(path, house.log.origin, lambda: last + 1)


async def disclosed(house: House, *sids: str) -> list[tuple[str, str, str, int]]:
    page = await house.ledger.disclosures.disclosures(sids, Slice())
    return [(str(each.day), each.action, each.purpose, each.count) for each in page.rows]


async def test_look_ups_that_let_data_out_are_listed_and_refusals_are_not(house: House) -> None:
    for purpose in ("after_sales", "after_sales", "marketing"):
        reply = await lookup(house.gate, AGENT, ask("name", purpose=purpose), 2.0)
        assert isinstance(reply, LookupReply if purpose == "after_sales" else Refusal)
    log = await signed(house)
    index = Disclosing(log, house.ledger.disclosures, ZONE)
    assert await index.step()
    assert not await index.step()
    identity = await house.ledger.find((StoreKey("crm", "C00001"),))
    assert identity is not None
    assert await disclosed(house, *identity.sids) == [("2026-11-20", "lookup", "after_sales", 2)]
    assert await house.ledger.disclosures.position(log.origin) == log.signed()


async def test_only_what_was_released_counts_on_the_day_that_the_customer_had(house: House) -> None:
    late = "2026-11-20T16:00"  # midnight in Shanghai
    for each in (
        entry(EntryKind.RELEASE, "send", "s1", "s2", "s3"),
        entry(EntryKind.OUTCOME, "send", "s2"),  # not sent to after all
        entry(EntryKind.DECISION, "send", "s1"),
        entry(EntryKind.DECISION, "lookup", "s1", effect="DENY"),
        entry(EntryKind.ADMISSION, "lookup", "s1"),
        entry(EntryKind.DECISION, "consent.read", "s1"),
        entry(EntryKind.DECISION, "lookup", "s1", at=late),
        entry(EntryKind.RELEASE, "export", "s4", "s5"),
        entry(EntryKind.OUTCOME, "export"),
    ):
        await house.log.append(leaf_bytes(each))
    log = await signed(house)
    await Disclosing(log, house.ledger.disclosures, ZONE).step()
    assert await disclosed(house, "s1") == [
        ("2026-11-21", "lookup", "marketing", 1),
        ("2026-11-20", "send", "marketing", 1),
    ]
    assert await disclosed(house, "s2") == []
    assert await disclosed(house, "s4") == [("2026-11-20", "export", "marketing", 1)]
    assert await disclosed(house, "s1", "s3") == await disclosed(
        house, "s1"
    )  # one person: no message twice


async def test_a_part_is_bounded_by_entries_and_by_people(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(600):
        await house.log.append(leaf_bytes(entry(EntryKind.DECISION, "lookup", f"s{number}", "same")))
    log = await signed(house)
    monkeypatch.setattr(disclosing, "MOST_ENTRIES", 300)
    monkeypatch.setattr(disclosing, "MOST_ROWS", 200)
    parts, first = list[Indexed](), 0
    while first < log.signed():
        parts.append(read_part(log, first, log.signed(), ZONE))
        first = parts[-1].end
    assert max(len(part.counts) for part in parts) <= 200 + 1
    total = Counter[str]()
    for part in parts:
        total.update({sid: count for (sid, *_), count in part.counts.items()})
    assert total == {"same": 600} | {f"s{number}": 1 for number in range(600)}


class Breaking:
    """The index of the ledger, which breaks off around one write: before it, or after it."""

    def __init__(self, house: House) -> None:
        self._inner = house.ledger.disclosures
        self.breaks: list[str] = []

    async def position(self, origin: str) -> int:
        return await self._inner.position(origin)

    async def add(self, indexed: Indexed) -> None:
        how = self.breaks.pop() if self.breaks else ""
        if how == "before":
            raise LedgerError
        await self._inner.add(indexed)
        if how == "after":
            raise LedgerError

    async def disclosures(self, sids: object, part: Slice) -> object:
        raise NotImplementedError


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_write_of_unknown_outcome_counts_once(house: House, how: str) -> None:
    await house.log.append(leaf_bytes(entry(EntryKind.DECISION, "lookup", "s1")))
    breaking = Breaking(house)
    breaking.breaks = [how]
    index = Disclosing(await signed(house), breaking, ZONE)  # type: ignore[arg-type]  # lists are not asked for
    with pytest.raises(LedgerError):
        await index.step()
    assert await index.step() is (how == "before")
    assert await disclosed(house, "s1") == [("2026-11-20", "lookup", "marketing", 1)]


async def test_killed_again_and_again_it_loses_nothing_and_doubles_nothing(house: House) -> None:
    """Each process is killed at whatever it does after some steps; the last one comes to the end."""
    expected = Counter[str]()
    for number in range(60):
        sids = [f"s{number % 7}", f"t{number}"]
        expected.update(sids)
        await house.log.append(leaf_bytes(entry(EntryKind.DECISION, "lookup", *sids)))
    log, url = await signed(house), f"sqlite:///{house.root / 'ledger.db'}"
    for steps in (1, 3, 7, 2, 0):
        await asyncio.to_thread(killed_after, steps, log.path, url)
    assert await house.ledger.disclosures.position(log.origin) == log.signed()
    found = {
        sid: row.count
        for sid in expected
        for row in (await house.ledger.disclosures.disclosures((sid,), Slice())).rows
    }
    assert found == expected
    assert (await house.ledger.disclosures.disclosures(("s0",), Slice())).rows == (
        Disclosure(date(2026, 11, 20), "lookup", "marketing", 9),
    )


def killed_after(steps: int, path: Path, url: str) -> None:
    """Run the child, and kill it after so many steps; 0: let it come to its end."""
    command = [sys.executable, str(CHILD), str(path), url]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE if steps else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(CHILD.parents[1])},
        bufsize=0,
    ) as child:
        assert child.stdout is not None
        if steps:
            assert child.stdin is not None
            child.stdin.write(b"." * steps)
            assert b"".join(child.stdout.read(1) for _ in range(steps)) == b"." * steps
            child.kill()
        else:
            assert child.stdout.read()
            assert child.wait() == 0
