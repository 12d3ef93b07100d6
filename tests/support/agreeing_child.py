"""A process that agrees to a list, or takes it, and is killed at a moment of its calls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import fujie.flows.export as flow
from fujie.decision.tokens import Tokeniser
from fujie.flows.approvals import approve
from fujie.flows.export_reply import ExportPart
from fujie.flows.gate import Gate
from fujie.flows.reply import ApprovalReply
from fujie.model.approval import id_of
from fujie.model.request import ExportAsk, RequestContext
from support.exports import POLICY, export, lists, wanting
from support.fragile import fragile
from support.house import House, Shared, caller, opened_house
from support.racing import KillingAt

EYE = caller("compliance-1")


CHUNK = 60


def asking(approval: str = "") -> ExportAsk:
    asked = wanting(max_rows=200)
    return replace(asked, context=replace(asked.context, approval=approval))


def of_lists(house: House, shared: Shared) -> House:
    """Return the house with a policy for lists, and the keys that all hosts have."""
    house = lists(house, POLICY)
    return replace(house, gate=replace(house.gate, tokeniser=Tokeniser(shared.secret, "k1", "test")))


async def _agree(gate: Gate, name: str, _: Path) -> None:
    reply = await approve(gate, EYE, RequestContext(), id_of(name))
    assert isinstance(reply, ApprovalReply), reply


async def _take(gate: Gate, name: str, directory: Path) -> None:
    vars(flow)["CHUNK"] = CHUNK
    with (directory / "list").open("wb", buffering=0) as out:
        async for answer in export(gate, asking(name)):
            if isinstance(answer, ExportPart):
                out.write(answer.data)


def _run(
    act: Callable[[Gate, str, Path], Awaitable[None]],
    directory: Path,
    crm: Path,
    shared: Shared,
    when: tuple[datetime, str],
    name: str,
) -> None:
    directory.mkdir()

    async def run() -> None:
        async with opened_house(directory, crm, shared) as house:
            house.hands.time, at = when
            fuse = KillingAt(at)
            await act(fragile(of_lists(house, shared).gate, fuse), name, directory)
            (directory / "moments").write_text("\n".join(fuse.passed))

    asyncio.run(run())


agree = partial(_run, _agree)
"""Agree to the approval `name`; write the moments that it came to."""

take = partial(_run, _take)
"""Take the list that `name` was given for, chunk by chunk as it comes; write the moments."""
