"""A refusal and a split at once: what was said of a subject while a reference left it closes for both."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.database import Query
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import subject_link

WINDOW: Final = timedelta(minutes=1)
"""A refusal whose case began this long before a split, or after it by a clock that is behind, may have meant the
reference that left. Calls end within seconds; the clocks of hosts differ by less."""

_LEFT = Query(
    sa.select(subject_link.c.sid).where(
        subject_link.c.kind == "split",
        subject_link.c.other == sa.bindparam("sid"),
        subject_link.c.created_at >= sa.bindparam("since", type_=sa.BigInteger),
    ),
    first_of,
)


def left_lately(connection: Connection, sid: str, received_at: datetime) -> list[str]:
    """Return the subjects that were split off from `sid` about when a case began, and off from those."""
    since, found = to_micros(received_at - WINDOW), [sid]
    for known in found:  # it grows as it goes
        found += [
            new for new in _LEFT.within(connection, {"sid": known, "since": since}) if new not in found
        ]
    return found[1:]


def copied_id(row_id: str, sid: str) -> str:
    """Return the id of the copy of a row for another subject: the same at every try, and nobody else's."""
    return hashlib.sha256(f"{row_id}\0{sid}".encode()).hexdigest()[:32]
