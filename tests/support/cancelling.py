"""A call that its caller gives up twice: the second time while its outcome is on its way to the disk."""

import asyncio
from collections.abc import Coroutine

from fujie.ports import EvidenceLog
from support.house import RecordingLog


class SlowEnd(RecordingLog):
    """Holds each outcome back until `goes_on`."""

    def __init__(self, inner: EvidenceLog) -> None:
        super().__init__(inner)
        self.reached, self.goes_on, self.written = (asyncio.Event() for _ in range(3))

    async def append(self, leaf: bytes) -> int:
        is_end = b'"outcome"' in leaf
        if is_end:
            self.reached.set()
            await self.goes_on.wait()
        index = await super().append(leaf)
        if is_end:
            self.written.set()
        return index


async def cancelled_twice(running: Coroutine[None, None, None], began: asyncio.Event, log: SlowEnd) -> None:
    """Cancel it once it `began`, and again when it writes its outcome to `log`; return when that is written."""
    task = asyncio.ensure_future(running)
    await began.wait()
    task.cancel()
    await log.reached.wait()
    task.cancel()
    await asyncio.wait({task})
    log.goes_on.set()
    await asyncio.wait_for(log.written.wait(), 60)
