"""Ledgers in files, without their migration: it takes a tenth of a second, and a thousand tests want a ledger each."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fujie.adapters.ledger import IndexKey, ServerAccess, SQLLedger, open_ledger, upgrade
from fujie.adapters.ledger.server import URL_ALONE
from support.identities import IDENTIFIERS
from support.postgresql import apart
from support.scratch import memory


@cache
def _migrated() -> bytes:
    """Return the file of a ledger in which nothing was written."""
    with tempfile.TemporaryDirectory(dir=memory()) as directory:
        path = Path(directory) / "ledger.db"
        apart(lambda: upgrade(f"sqlite:///{path}"))
        return path.read_bytes()


def ledger_file(path: Path) -> str:
    """Make an empty ledger at `path`, unless there is one already, and return its URL."""
    if not path.exists():
        path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@contextmanager
def sqlite_url() -> Iterator[str]:
    """Lend an empty ledger in memory, where there is room."""
    with tempfile.TemporaryDirectory(dir=memory()) as directory:
        yield ledger_file(Path(directory) / "ledger.db")


async def opened(url: str, access: ServerAccess = URL_ALONE) -> SQLLedger:
    """Open the ledger at `url` as a server does; the key of its index is always the same."""
    return await open_ledger(url, IndexKey("i1", b"i" * 32), IDENTIFIERS, str.encode, access)
