"""Key checks: the ledger remembers what its keys must be, so that a lost or swapped key closes (promise 12).

Under another `ledger_index` key every customer would be a stranger without a withdrawal; under
another `seal` key every data key would be lost. So the server stops before it answers anything.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.tables import key_check
from fujie.model.errors import StartError

_LABEL = b"fujie key check v1\0"


@dataclass(frozen=True, slots=True)
class ConfiguredKey:
    """A key as the configuration gives it: `purpose` is ledger_index, store_index, token, seal or log."""

    purpose: str
    id: str
    secret: bytes = field(repr=False)

    @property
    def check(self) -> bytes:
        """The value that tells this key from another and reveals nothing of it."""
        return hmac.digest(self.secret, _LABEL + self.purpose.encode(), "sha256")


def _recorded(row: Sequence[Any]) -> tuple[str, tuple[str, bytes]]:
    return row[0], (row[1], row[2])


_ALL = Query(sa.select(key_check.c.purpose, key_check.c.key_id, key_check.c.check), _recorded)


async def check_keys(database: Database, keys: Sequence[ConfiguredKey]) -> None:
    """Compare every key with the ledger; a purpose that the ledger has never seen is recorded.

    Nothing is recorded unless everything matches. A new id for a known purpose is a mismatch too:
    there is no rotation yet.

    Raises:
        StartError: KEY_MISMATCH, naming every purpose whose key is missing, swapped or renamed.
        LedgerError: the ledger failed.

    """

    def work(connection: Connection) -> None:
        recorded = dict(_ALL.within(connection, {}))
        problems = _problems(keys, recorded)
        if problems:
            raise StartError(
                "KEY_MISMATCH",
                "the ledger was written under other keys: " + "; ".join(problems),
                "Restore the keys that belong to this ledger, or start with a new ledger.",
            )
        for key in keys:
            if key.purpose not in recorded:
                row = {"purpose": key.purpose, "key_id": key.id, "check": key.check}
                connection.execute(sa.insert(key_check), {**row, "change_seq": next_change(connection)})

    await database.write(work)


def _problems(keys: Sequence[ConfiguredKey], recorded: dict[str, tuple[str, bytes]]) -> list[str]:
    given = {key.purpose: key for key in keys}
    problems = [f"{purpose}: no key is configured" for purpose in sorted(recorded.keys() - given.keys())]
    for purpose, key in given.items():
        key_id, check = recorded.get(purpose, (key.id, key.check))
        if key_id != key.id:
            problems.append(
                f"{purpose}: the ledger knows key id {key_id!r}, the configuration names {key.id!r}"
            )
        elif not hmac.compare_digest(check, key.check):
            problems.append(f"{purpose}: key id {key.id!r} is another key than before")
    return problems
