"""What providers say once is written down before anything is done about it, and done again by whoever finds it left.

An answer that takes messages out of a provider's queue, and the word that a customer opted out there, come to one process
alone. So they are kept in the ledger first (`keep`; with the outcome of a message in one transaction: `Release`), then taken
in as a callback is, which is harmless when repeated, then forgotten. A process that dies before that leaves them to
`take_left`. While the ledger can not be written, what was heard waits in memory (`Sending.unkept`; a line that is polled asks
for no more). What no order of steps saves is what was read and not kept yet when the process is killed.

Kept under the `seal` key, not under one of a customer: it is of many, and nobody knows of whom before it was taken in.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from fujie.audit.errors import AuditError, SealBroken
from fujie.audit.sealing import Place, open_facts, seal_facts
from fujie.flows.gate import Gate
from fujie.flows.receipts import receive
from fujie.flows.recipients import sending_of
from fujie.model.customer import Phone
from fujie.model.errors import FujieError
from fujie.model.message import MessageState
from fujie.ports.messaging import Heard
from fujie.ports.providers import Called, Receipt, Reply

LEFT_S = 5.0
"""How old what was kept is when others take it in: who kept it is done by then, but for one that waits for a confirmation, and
to do it twice harms nothing."""

_AT_A_TIME = 100
_FACT = "heard"


def sealed(gate: Gate, provider: str, called: Called) -> Heard:
    """Return what a provider said as the ledger may keep it."""
    heard_id = gate.ids.new_id()
    said = {
        "receipts": [asdict(each) for each in called.receipts],
        "replies": [asdict(each) for each in called.replies],
    }
    text = json.dumps(said, default=datetime.isoformat)
    box = seal_facts({_FACT: text}, gate.seal_key, _place(heard_id, provider), gate.ids.nonce())
    return Heard(heard_id, provider, box.encode(), gate.clock.now())


def opened(gate: Gate, heard: Heard) -> Called:
    """Return what was kept. Raises SealBroken, also for what another version kept in a form that this one has not."""
    place = _place(heard.heard_id, heard.provider)
    try:
        said = json.loads(str(open_facts(heard.sealed.decode(), gate.seal_key, place)[_FACT]))
        receipts = [
            Receipt(**{**_read(each), "state": MessageState(each["state"])}) for each in said["receipts"]
        ]
        replies = [
            Reply(**{**_read(each), "at": datetime.fromisoformat(each["at"])}) for each in said["replies"]
        ]
    except (KeyError, TypeError, ValueError):
        raise SealBroken from None
    return Called(receipts, replies)


async def keep(gate: Gate, provider: str, called: Called) -> Heard | None:
    """Keep what a provider said, durably; None where it said nothing. Raises LedgerError: it is not kept."""
    if not called.receipts and not called.replies:
        return None
    heard = sealed(gate, provider, called)
    await sending_of(gate).outbox.keep_heard(heard)
    return heard


async def keep_unkept(gate: Gate) -> None:
    """Keep what could not be kept when it was heard. Raises LedgerError: the rest is not kept."""
    unkept = sending_of(gate).unkept
    while unkept:
        heard = unkept[0]
        await sending_of(gate).outbox.keep_heard(heard)
        if heard in unkept:  # nobody else was faster
            unkept.remove(heard)


async def take(gate: Gate, heard: Heard) -> None:
    """Take in what was kept, and forget it. Raises like `receive`: it is not forgotten then."""
    await receive(gate, heard.provider, opened(gate, heard))
    await sending_of(gate).outbox.forget_heard(heard.heard_id)


async def take_left(gate: Gate) -> int:
    """Take in what others kept and did not finish; return how many. However many can not be taken keep no other.

    Raises:
        LedgerError: the ledger can not be read or written.
        FujieError, AuditError: the first that a `take` raised, behind all of them.

    """
    await keep_unkept(gate)
    before = gate.clock.now() - timedelta(seconds=LEFT_S)
    taken, trouble, last = 0, list[FujieError | AuditError](), None
    while left := await sending_of(gate).outbox.heard(before, _AT_A_TIME, last):
        last = left[-1]
        for each in left:
            try:
                await take(gate, each)
                taken += 1
            except (FujieError, AuditError) as error:
                trouble.append(error)
    if trouble:
        raise trouble[0]
    return taken


def _read(said: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: Phone(**said[name]) if said[name] else None for name in ("phone", "also")}
    return {**said, **numbers}


def _place(heard_id: str, provider: str) -> Place:
    return Place(_FACT, heard_id, provider)
