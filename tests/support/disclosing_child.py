"""A process that indexes a log, one entry after the other, and says after each step that it came so far. It is killed.

Before it goes on it takes a byte from its input, if that is still open: so it never comes far beyond what it was given."""

import asyncio
import os
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from fujie.app import disclosing
from fujie.app.disclosing import Disclosing, OwnLog
from fujie.audit.checkpoint import parse_unverified
from support.outboxes import opened


async def main(path: Path, url: str) -> None:
    disclosing.MOST_ENTRIES = 1
    ledger = await opened(url)
    note = parse_unverified((path / "checkpoint").read_text())
    index = Disclosing(
        OwnLog(path, note.origin, lambda: note.size), ledger.disclosures, ZoneInfo("Asia/Shanghai")
    )
    while await index.step():
        sys.stdout.write(".")
        sys.stdout.flush()
        os.read(0, 1)
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
