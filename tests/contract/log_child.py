"""A process that writes to a log until it ends or dies, and tells its parent what was acknowledged.

    log_child.py AUDIT_DIR FD COUNT WAITERS

One line per event goes to the inherited socket FD by send(2), which no fault of these tests touches:
`A <index> <entry>` acknowledged, `K <base64 of a kept checkpoint>`, `F <code>` refused, `E` ended with every entry signed.
"""

import asyncio
import base64
import socket
import sys
import time
from pathlib import Path

from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import Pace, TileLog
from fujie.audit.checkpoint import Signer
from fujie.audit.errors import LogUnavailable

ORIGIN = "prod-a/w0"
SIGNER = Signer(ORIGIN, bytes(range(32)))


async def write(audit_dir: Path, say: socket.socket, count: int, waiters: int) -> None:
    def keep(note: str) -> None:
        say.send(b"K " + base64.b64encode(note.encode()) + b"\n")

    log = TileLog(open_log(audit_dir, SIGNER), clock=time.monotonic, keep=keep, pace=Pace(entries=10))
    start = log.size

    async def one(waiter: int) -> None:
        for i in range(count):
            entry = b'{"start":%d,"waiter":%d,"i":%d}' % (start, waiter, i)
            try:
                index = await log.append(entry)
            except LogUnavailable as error:
                say.send(f"F {error.code}\n".encode())
            else:
                say.send(b"A %d %s\n" % (index, entry))

    await asyncio.gather(*(one(waiter) for waiter in range(waiters)))
    await asyncio.to_thread(log.close)
    if log.signed.size == log.size:
        say.send(b"E\n")


if __name__ == "__main__":
    directory, descriptor, entries, tasks = sys.argv[1:]
    asyncio.run(write(Path(directory), socket.socket(fileno=int(descriptor)), int(entries), int(tasks)))
