"""`kill -9` for real, at every step of an offboarding: the door is shut or it is open, and somebody else does the rest."""

import asyncio
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.leaving import end_what_is_due
from fujie.flows.offboarding import checklist_of
from fujie.flows.reply import PrincipalReply
from fujie.model.approval import Approval, ApprovalState, Ballot, Requirement
from fujie.model.export import Export, Format, Lease
from fujie.model.offboarding import ItemKind, ItemState
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from support import racing
from support.house import ADMIN, House, Shared, opened_house
from support.sending import CountingProvider, campaign_to, keys, sending

DAY = timedelta(days=1)
DEVICES = ("laptop-7", "phone-3")
RISKY = ("directory.offboard", "exports.close_exports_of", "ledger.end_approval", "notifications.notify")
"""Steps that change something; of each the first moment behind it, and the one before the door is shut."""


@dataclass(frozen=True)
class Scene:
    """A house that survives, and where its child processes live."""

    house: House
    crm: Path
    child: Shared

    async def hired(self) -> str:
        """Return somebody who has everything that somebody can leave behind."""
        house, gate = self.house, self.house.gate
        who = os.urandom(16).hex()
        record = Principal(who, roles=frozenset({"marketer"}), department="east", devices=DEVICES)
        assert isinstance(await upsert_principal(gate, ADMIN, RequestContext(), record), PrincipalReply)
        await campaign_to(gate, keys(3), requester=who)
        now = house.hands.now()
        ballot = Ballot(Requirement("g", "v", ("privacy_officer",), 1, DAY))
        await gate.ledger.ask_approval(
            Approval(
                id=who, requester=who, parties=frozenset({who}), action="send", purpose="marketing", basis="consent",
                store="crm", fields=(), rows=1, request_digest="d", ballots=(ballot,), created_at=now,
            )
        )  # fmt: skip
        await gate.exports.begin_export(
            Export(
                id=who, requester=who, caller=who, store="crm", purpose="marketing", basis="consent", steps={},
                request_digest="d", bundle="b", started_at=now, format=Format.CSV,
                lease=Lease(expires_at=now + 30 * DAY, opens_left=3),
            )
        )  # fmt: skip
        return who

    async def offboarded(self, who: str, at: int | None) -> tuple[int, Path]:
        """Let a process offboard him until it is killed at a moment; return how it ended, and where it lived."""
        root = self.house.root / os.urandom(8).hex()
        run = partial(racing.offboard, root, self.crm, self.child, self.house.hands.now(), who, at=at)
        process = racing.processes().Process(target=run)
        process.start()
        await asyncio.to_thread(process.join, 300)
        assert process.exitcode is not None
        return process.exitcode, root

    async def ends(self, who: str, root: Path) -> bool:
        """Let another worker do the rest; check that nothing is left of him. Return whether the dead one had shut the door."""
        gate = self.house.gate
        found = await gate.directory.get(who)
        assert found is not None
        is_shut = found.employment is State.OFFBOARDED
        self.house.hands.time += timedelta(seconds=61)
        while await end_what_is_due(gate):
            pass
        if is_shut:
            assert found.roles == frozenset()
            said = b"".join(file.read_bytes() for file in (root / "log").rglob("*") if file.is_file())
            assert b"principal.offboard" in said, "evidence first"
        else:
            assert await gate.sending.outbox.unfinished_of(who) if gate.sending else False
            reply = await offboard_principal(gate, ADMIN, RequestContext(), who)
            assert isinstance(reply, PrincipalReply)
        await self._check_nothing_is_left(who)
        return is_shut

    async def _check_nothing_is_left(self, who: str) -> None:
        gate = self.house.gate
        gone = await gate.directory.get(who)
        assert gone is not None
        assert (gone.employment, gone.roles) == (State.OFFBOARDED, frozenset())
        assert not await gate.directory.is_leaving(who)
        items = (await checklist_of(gate, gone, gate.clock.now())).items
        undone = [(item.kind, item.subject) for item in items if item.state is not ItemState.DONE]
        assert undone == [(ItemKind.DEVICE, device) for device in DEVICES], (
            "whose orders others acknowledge"
        )
        assert len(await self.house.ledger.notifications.about(who)) == len(DEVICES), "none twice"
        approval, export = await gate.ledger.approval(who), await gate.exports.export(who)
        assert approval is not None
        assert approval.state(gate.clock.now()) is ApprovalState.REVOKED
        assert export is not None
        assert export.closed_why == "PRINCIPAL_OFFBOARDED"


async def _kills(tmp_path: Path, crm: Path, *, is_every: bool) -> None:
    shared = Shared(f"sqlite:///{tmp_path / 'ledger.db'}", os.urandom(32))
    async with opened_house(tmp_path, crm, shared) as house:
        scene = Scene(sending(house, CountingProvider()), crm, Shared(shared.url, shared.secret, 1))
        exitcode, root = await scene.offboarded(await scene.hired(), None)
        assert exitcode == 0
        moments = (root / "moments").read_text().splitlines()
        shut = moments.index("before directory.offboard")
        firsts = {moments.index(f"after {step}") for step in RISKY}
        for number in range(len(moments)) if is_every else sorted({shut, *firsts}):
            who = await scene.hired()
            exitcode, root = await scene.offboarded(who, number)
            assert exitcode == -signal.SIGKILL
            assert await scene.ends(who, root) is (number > shut), moments[number]


async def test_a_kill_behind_each_step_leaves_the_door_shut_and_others_do_the_rest(
    tmp_path: Path, crm: Path
) -> None:
    await _kills(tmp_path, crm, is_every=False)


@pytest.mark.soak
async def test_a_kill_at_every_moment_leaves_the_door_shut_or_open_and_nothing_half(
    tmp_path: Path, crm: Path
) -> None:
    await _kills(tmp_path, crm, is_every=True)
