"""`kill -9` for real, while somebody agrees and while a list is taken that was agreed to: one vote, one list, all of it on record."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.test_approvals import hire
from fujie.flows.agreement import as_they_stand
from fujie.flows.approvals import approve
from fujie.flows.reply import ApprovalReply
from fujie.model.approval import Approval, ApprovalState, id_of
from fujie.model.request import RequestContext
from support import agreeing_child, racing
from support.agreeing_child import EYE, asking, of_lists
from support.exports import exported
from support.house import House, Shared, opened_house


@dataclass(frozen=True)
class Scene:
    """A house that survives, and where its child processes live."""

    house: House
    crm: Path
    child: Shared

    async def asked_for(self) -> str:
        came = await exported(self.house.gate, asking())
        assert came.refusal is not None
        return came.refusal.approval

    async def agreed(self) -> str:
        name = await self.asked_for()
        reply = await approve(self.house.gate, EYE, RequestContext(), id_of(name))
        assert isinstance(reply, ApprovalReply)
        return name

    async def killed(self, act: Callable[..., None], name: str, at: str = "") -> Path:
        """Let a process act until it is killed at a moment, if that comes; return where it lived."""
        root = self.house.root / os.urandom(8).hex()
        arguments = (root, self.crm, self.child, (self.house.hands.now(), at), name)
        process = racing.processes().Process(target=act, args=arguments)
        process.start()
        await asyncio.to_thread(process.join, 300)
        if at in ("", *VOTE, *LIST):  # others come by as often as time allows
            assert process.exitcode == (-signal.SIGKILL if at else 0)
        return root

    async def kept(self, name: str) -> Approval:
        approval = await self.house.gate.ledger.approval(id_of(name))
        assert approval is not None
        return (await as_they_stand(self.house.gate, [approval]))[0]

    async def state(self, name: str) -> ApprovalState:
        return (await self.kept(name)).state(self.house.gate.clock.now())


@pytest.fixture
async def scene(tmp_path: Path, crm: Path) -> AsyncIterator[Scene]:
    shared = Shared(f"sqlite:///{tmp_path / 'ledger.db'}", os.urandom(32))
    async with opened_house(tmp_path, crm, shared) as house:
        await hire(house, EYE.subject, "compliance_officer")
        yield Scene(of_lists(house, shared), crm, Shared(shared.url, shared.secret, 1))


def said(root: Path) -> bytes:
    """Return what the log of a dead process holds."""
    return b"".join(file.read_bytes() for file in (root / "log").rglob("*") if file.is_file())


def moments_of(root: Path) -> list[str]:
    return (root / "moments").read_text().splitlines()


async def _kill_votes(scene: Scene, moments: Sequence[str]) -> None:
    for at in moments:
        name = await scene.asked_for()
        root = await scene.killed(agreeing_child.agree, name, at)
        votes = [vote for ballot in (await scene.kept(name)).ballots for vote in ballot.votes]
        if at in VOTE:
            assert len(votes) == (at != VOTE[0])
        if votes:
            assert id_of(name).encode() in said(root), "evidence first"
        reply = await approve(scene.house.gate, EYE, RequestContext(), id_of(name))
        assert isinstance(reply, ApprovalReply), "a repetition is what it would have been"
        assert len([vote for ballot in reply.approval.ballots for vote in ballot.votes]) == 1
        assert await scene.state(name) is ApprovalState.APPROVED
        assert (await exported(scene.house.gate, asking(name))).rows, "and the next request is another"


async def _kill_lists(scene: Scene, whole: bytes, moments: Sequence[str]) -> None:
    for at in moments:
        name = await scene.agreed()
        root = await scene.killed(agreeing_child.take, name, at)
        left = (root / "list").read_bytes() if (root / "list").exists() else b""
        assert whole.startswith(left), at
        if at in LIST:
            assert (await scene.state(name) is ApprovalState.USED) == (at != LIST[0])
            assert (left != b"") == (at == LIST[-1])
        is_used = await scene.state(name) is ApprovalState.USED
        came = await exported(scene.house.gate, asking(name))
        assert (came.code, b"".join(part.data for part in came.parts)) == (
            ("X_EXPORT_NEEDS_APPROVAL", b"") if is_used else ("", whole)
        ), "used up whatever left, or not and then once"
        assert is_used or not left
        if left:
            log = said(root)
            assert id_of(name).encode() in log
            assert log.count(b'"kind":"release"') >= len(left.splitlines()) / agreeing_child.CHUNK
            assert left.endswith(b"\n"), "whole lines"


VOTE = ("before ledger.vote 1", "after ledger.vote 1")
LIST = (
    "before ledger.end_approval 1",
    "after ledger.end_approval 1",
    "after exports.add_chunk 1",
    "after exports.add_chunk 2",
)


async def test_a_kill_around_a_vote_leaves_it_whole_and_on_record_or_none(scene: Scene) -> None:
    await _kill_votes(scene, VOTE)


async def test_a_kill_behind_each_step_of_a_list_uses_its_approval_up_once_or_not(scene: Scene) -> None:
    root = await scene.killed(agreeing_child.take, await scene.agreed())
    await _kill_lists(scene, (root / "list").read_bytes(), LIST)


@pytest.mark.soak
async def test_a_kill_at_every_moment_of_votes_and_lists_leaves_nothing_half(scene: Scene) -> None:
    name = await scene.asked_for()
    moments = moments_of(await scene.killed(agreeing_child.agree, name))
    assert (await exported(scene.house.gate, asking(name))).rows, "and the next request is another"
    await _kill_votes(scene, moments)
    root = await scene.killed(agreeing_child.take, await scene.agreed())
    await _kill_lists(scene, (root / "list").read_bytes(), moments_of(root))
