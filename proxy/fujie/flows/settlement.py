"""Who closes something waits until nothing that was on its way before is still without an outcome (promise 5).

What closes is written first; from then on no claim of that customer, or of that requester, succeeds. What was claimed
before is at its provider, or will not go there any more a second later. Once none of it is CLAIMED, the confirmation
is true: nothing is submitted after it.
"""

import asyncio
from collections.abc import Sequence

from fujie.flows.gate import Gate
from fujie.model.customer import CustomerRef, Phone
from fujie.model.errors import RequestError

LATE_S = 1.0
"""How old a claim may be when it is submitted: a process that slept meanwhile does not know what it slept through."""

MOST_S = 32.0
"""The longest that anybody waits, whatever his provider's timeout: `LATE_S` and the longest that settings allow."""

_FIRST_S, _LATER_S = 0.005, 0.05


async def until_settled(
    gate: Gate, sids: Sequence[str] = (), ref: CustomerRef | None = None, *, requester: str = ""
) -> None:
    """Return once none of the messages is CLAIMED any more that are now: those to these sids, to the number that `ref`
    may be, or of `requester`.

    Raises:
        RequestError: OPT_OUT_PENDING, when one is after the longest timeout of a provider. What was written holds.

    """
    if gate.sending is None:
        return
    outbox = gate.sending.outbox
    phones = (ref,) if isinstance(ref, Phone) else ()
    waiting = await outbox.claimed_of(sids, phones, requester)
    longest = max((provider.timeout_s for provider in gate.sending.providers.values()), default=MOST_S)
    began = gate.clock.monotonic()
    is_over = await have_outcome(gate, waiting, min(LATE_S + longest, MOST_S))
    gate.metrics.stage("settlement", gate.clock.monotonic() - began)
    if not is_over:
        raise RequestError(code="OPT_OUT_PENDING")


async def have_outcome(gate: Gate, intent_ids: frozenset[str], within_s: float) -> bool:
    """Return True as soon as none of these is CLAIMED any more, False when one still is after so many seconds."""
    assert gate.sending is not None
    until, pause = gate.clock.monotonic() + within_s, _FIRST_S
    while intent_ids and await gate.sending.outbox.still_claimed(intent_ids):
        if gate.clock.monotonic() >= until:
            return False
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LATER_S)
    return True
