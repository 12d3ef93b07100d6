"""One of several processes that take from the same counters: `usage_child.py URL NUMBER`.

Says `ready`, waits for a line, asks fifty times at once, and says how often it got what it asked for.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, open_ledger
from fujie.model.limit import Charge, Limit, Reservation

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CHARGES = (
    Charge("grant:a", Limit.ROWS_PER_HOUR, 100),
    Charge("guard:b", Limit.DISTINCT_CUSTOMERS_PER_DAY, 100),
)


async def main(url: str, number: str) -> None:
    """Take, and tell how often it worked."""
    ledger = await open_ledger(
        url, IndexKey("i", b"\x01" * 32), SystemIdentifiers(SystemClock()), str.encode
    )
    print("ready", flush=True)
    sys.stdin.readline()
    asks = [
        Reservation(
            principal="alice",
            now=NOW + timedelta(seconds=n),
            day=NOW.date(),
            charges=CHARGES[:: 1 if n % 2 else -1],
            sid=f"s{number}-{n}",
        )
        for n in range(50)
    ]
    lacking = await asyncio.gather(*map(ledger.reserve, asks))
    await ledger.close()
    print(lacking.count(frozenset()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
