"""Open a ledger: the tables of one database behind `ports.Ledger` and `ports.Directory`."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime

from fujie.adapters.ledger.checkpoints import Checkpoints
from fujie.adapters.ledger.consents import Consents
from fujie.adapters.ledger.keycheck import ConfiguredKey, check_keys
from fujie.adapters.ledger.migrate import upgrade
from fujie.adapters.ledger.principals import Principals
from fujie.adapters.ledger.sqlite import SQLiteDatabase, error_name, file_of
from fujie.adapters.ledger.subjects import IndexKey, Subjects
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef
from fujie.model.errors import StartError
from fujie.ports import Identifiers, Identity


class SQLLedger:
    """fujie's own state, as `ports.Ledger`; `directory` and `checkpoints` share its file.

    It belongs to the event loop that uses it. Reads run on that loop, writes in one thread.
    """

    def __init__(
        self,
        database: SQLiteDatabase,
        index: IndexKey,
        identifiers: Identifiers,
        new_wrapped_key: Callable[[str], bytes],
    ) -> None:
        self.database = database
        self.directory = Principals(database)
        self.checkpoints = Checkpoints(database)
        self._subjects = Subjects(database, index, identifiers, new_wrapped_key)
        self._consents = Consents(database)

    async def find(self, refs: Sequence[CustomerRef]) -> Identity | None:
        """See `ports.Ledger.find`."""
        return await self._subjects.find(refs)

    async def enrol(self, refs: Sequence[CustomerRef], now: datetime) -> Identity:
        """See `ports.Ledger.enrol`."""
        return await self._subjects.enrol(refs, now)

    async def consent_events(self, sids: Sequence[str], purpose: str) -> Sequence[ConsentEvent]:
        """See `ports.Ledger.consent_events`."""
        return await self._consents.consent_events(sids, purpose)

    async def record_consent(
        self, event: ConsentEvent, request_id: str, request_digest: str
    ) -> ConsentEvent:
        """See `ports.Ledger.record_consent`."""
        return await self._consents.record_consent(event, request_id, request_digest)

    async def subject_key(self, sid: str) -> bytes | None:
        """See `ports.Ledger.subject_key`."""
        return await self._subjects.subject_key(sid)

    async def check_keys(self, keys: Sequence[ConfiguredKey]) -> None:
        """Refuse to go on with other keys than the ledger was written under; see `keycheck.check_keys`."""
        await check_keys(self.database, keys)

    def close(self) -> None:
        """Finish the write that is running and close the file."""
        self.database.close()


def open_ledger(
    url: str, index: IndexKey, identifiers: Identifiers, new_wrapped_key: Callable[[str], bytes]
) -> SQLLedger:
    """Migrate the ledger at `url` (`sqlite:///path`) and open it.

    `new_wrapped_key` takes a new sid and returns its fresh data key, wrapped under the `seal` key.
    Call `check_keys` before anything else.

    Raises:
        StartError: LEDGER_UNSUPPORTED, LEDGER_UNAVAILABLE or LEDGER_NEWER.

    """
    upgrade(url)
    try:
        database = SQLiteDatabase(file_of(url))
    except (sqlite3.Error, OSError) as error:
        raise StartError(
            "LEDGER_UNAVAILABLE", f"the ledger cannot be opened: {error_name(error)}"
        ) from None
    return SQLLedger(database, index, identifiers, new_wrapped_key)
