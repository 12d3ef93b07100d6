"""An SMSC that misbehaves as told: `tests/node/smsc.js`, on a codec that we did not write."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

_NODE = Path(__file__).parents[1] / "node"
_WAIT_S = 60.0

Event = dict[str, Any]


class SMSC:
    """A running server. Events are kept in order; each is waited for once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._events: list[Event] = []
        self._more = asyncio.Condition()
        self.port = 0
        self.seen: list[Event] = []

    async def tell(self, **command: object) -> None:
        """Give a command, and wait until it is carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()
        await self.event("done")

    async def event(self, name: str) -> Event:
        """Return the next event of this name, waiting for it."""
        async with asyncio.timeout(_WAIT_S), self._more:
            while True:
                for at, event in enumerate(self._events):
                    if event["event"] == name:
                        return self._events.pop(at)
                await self._more.wait()

    def submitted(self) -> list[Event]:
        """Return every submit_sm that came, in order."""
        return [event for event in self.seen if event["event"] == "submit"]

    async def listen(self) -> None:
        """Read events until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            async with self._more:
                self.seen.append(event)
                self._events.append(event)
                self._more.notify_all()


@asynccontextmanager
async def smsc(*tls: Path) -> AsyncIterator[SMSC]:
    """Run one, over TLS with a certificate and its key. Skips, loudly, where node or its package is missing; in CI
    that fails."""
    node = shutil.which("node")
    if node is None or not (_NODE / "node_modules" / "smpp").is_dir():
        if os.environ.get("CI"):
            pytest.fail("node and npm `smpp` must be there in CI")
        pytest.skip(
            "NO SMPP SERVER: node or tests/node/node_modules/smpp is missing (npm ci --prefix tests/node)"
        )
    process = await asyncio.create_subprocess_exec(
        node,
        "smsc.js",
        *map(str, tls),
        cwd=_NODE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    server = SMSC(process)
    listening = asyncio.create_task(server.listen())
    try:
        server.port = (await server.event("listening"))["port"]
        yield server
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        await listening
