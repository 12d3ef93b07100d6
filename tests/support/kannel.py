"""A Kannel of our own: an SMS gateway that we did not write, over HTTP on one side and SMPP on the other."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support import ports

USER, PASSWORD = "shop", "s3cret"
_WAIT_S = 60.0

_CONFIGURATION = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = none
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1

group = smsc
smsc = smpp
host = 127.0.0.1
port = {smsc}
transceiver-mode = true
smsc-username = kannel
smsc-password = kannel
system-type = ""

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
sendsms-interface = 127.0.0.1

group = sendsms-user
username = {user}
password = {password}
concatenation = true
max-messages = 100
"""


@asynccontextmanager
async def kannel(smsc_port: int, directory: Path) -> AsyncIterator[int]:
    """Run one that is a client of the SMSC on this port; gives the port of its `sendsms`. Skips, loudly, where it is not
    installed; in CI that fails."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    programs = [shutil.which(name, path=path) for name in ("bearerbox", "smsbox")]
    if None in programs:
        if os.environ.get("CI"):
            pytest.fail("Kannel must be there in CI")
        pytest.skip("NO KANNEL: bearerbox and smsbox are missing (Debian's package kannel)")
    admin, boxes, http = ports.free(3)
    configuration = directory / "kannel.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            admin=admin, boxes=boxes, http=http, smsc=smsc_port, user=USER, password=PASSWORD
        )
    )
    running = []
    try:
        for program, port in zip(programs, (boxes, http), strict=True):
            quiet = asyncio.subprocess.DEVNULL
            running.append(
                await asyncio.create_subprocess_exec(
                    str(program), str(configuration), cwd=directory, stdout=quiet, stderr=quiet
                )
            )
            await _listening(port)
        yield http
    finally:
        for process in reversed(running):
            process.terminate()
            await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(_WAIT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
