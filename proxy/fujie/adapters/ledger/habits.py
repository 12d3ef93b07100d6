"""What is kept to notice a principal who asks unlike himself, or for one customer after the other.

Neighbours: of what is asked, the keyed digests of the references one above and one below are kept for an
hour; an ask whose digest is among them is a hit, in whatever order and between whatever decoys. No id, no
number and no plain digest of one is stored.

Written behind the answers, in groups: an observation slows nobody, may be a moment late, and is lost with
the process or while the ledger can not be written. It is no limit: whoever needs one sets one.
"""

import asyncio
import hmac
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.subjects import IndexKey
from fujie.adapters.ledger.usage import Tally, counter_key, read_counts, store, tally_of
from fujie.adapters.ledger.usage_tables import usage_count, usage_trace
from fujie.model.customer import CustomerRef, Phone
from fujie.model.errors import LedgerError
from fujie.model.limit import in_window
from fujie.model.usage import Habits, Look

BEHIND_S = 0.25
"""How long observations gather before they are written."""

MOST_WAITING = 10_000
"""Observations that wait at most; more are dropped, for the ledger has been gone for long then."""

_TOGETHER = 200
_KEPT = timedelta(hours=1)
_BUCKET_S = 60
_LABEL = b"usage-neighbour"
_DIGITS = re.compile(r"(\d{1,18})(?=\D*\Z)")  # the last run of digits: what counts up in a reference

_KINDS = ("volume", "sequence", "hours", "shown", "people")
_COUNTS = Query(
    sa.select(usage_count.c.key, usage_count.c.counts).where(
        usage_count.c.key.in_([sa.bindparam(kind, type_=sa.Text) for kind in _KINDS])
    ),
    lambda row: (row[0], read_counts(row[1])),
)
_OVER = sa.delete(usage_trace).where(usage_trace.c.seen_at < sa.bindparam("before"))
_TRACES = sa.select(usage_trace.c.principal, usage_trace.c.digest, usage_trace.c.is_asked).where(
    usage_trace.c.principal.in_(sa.bindparam("principals", expanding=True)),
    usage_trace.c.digest.in_(sa.bindparam("digests", expanding=True)),
    usage_trace.c.seen_at >= sa.bindparam("since"),
)
_TRACE = sa.text(
    "INSERT INTO usage_trace (principal, digest, is_asked, seen_at)"
    " VALUES (:principal, :digest, :is_asked, :seen_at)"
    " ON CONFLICT (principal, digest, is_asked) DO UPDATE SET seen_at = excluded.seen_at"
).bindparams(sa.bindparam("is_asked", type_=sa.Boolean))

_Trace = tuple[str, bytes, bool]


class Observer:
    """The habits of every principal. Belongs to one event loop, like its database."""

    def __init__(self, database: Database, index: IndexKey) -> None:
        self._database = database
        self._index = index
        self._waiting: list[Look] = []
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def habits(self, look: Look) -> Habits:
        """See `ports.Ledger.habits`."""
        keys = _keys(look)
        found = dict(await self._database.rows(_COUNTS, keys))
        told = {kind: found.get(key) or {} for kind, key in keys.items()}
        hits = in_window(told["sequence"], _bucket(look))
        return Habits(told["volume"], sum(hits.values()), told["hours"], told["shown"], told["people"])

    def watch(self, look: Look) -> None:
        """See `ports.Ledger.watch`."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(look)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write_behind())

    async def catch_up(self) -> None:
        """Write what waits; when it returns, what was on its way is written too."""
        async with self._turn:
            while self._waiting:
                group, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
                try:
                    await self._database.transact(partial(self._write, group))
                except LedgerError:
                    return  # lost: nobody waits for it, and nothing was promised

    async def close(self) -> None:
        """Write what waits, and stop."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        await self.catch_up()

    async def _write_behind(self) -> None:
        while self._waiting:
            await asyncio.sleep(BEHIND_S)
            await self.catch_up()

    def _write(self, looks: Sequence[Look], connection: Connection) -> None:
        keys = {key for look in looks for key in _keys(look).values()}
        tally = tally_of(connection, keys, {each for look in looks for each in _seen(look)})
        latest = max(look.now for look in looks)
        connection.execute(_OVER, {"before": to_micros(latest - _KEPT)})
        digests = [self._digests(look.ref) for look in looks]
        asked = {
            "principals": sorted({look.principal for look in looks}),
            "digests": sorted({digest for each in digests for digest in each}),
            "since": to_micros(latest - _KEPT),
        }
        known = {(row[0], bytes(row[1]), bool(row[2])) for row in connection.execute(_TRACES, asked)}
        new: dict[_Trace, int] = {}
        for look, of_look in zip(looks, digests, strict=True):
            _show(look, tally)
            if not look.rows:
                _follow(look, of_look, tally, known, new)
        if new:
            rows = [
                {"principal": who, "digest": digest, "is_asked": is_asked, "seen_at": at}
                for (who, digest, is_asked), at in sorted(new.items())
            ]
            connection.execute(_TRACE, rows)
        store(connection, tally)

    def _digests(self, ref: CustomerRef) -> list[bytes]:
        """Return the keyed digests of a reference and of its neighbours; of one without digits, only its own."""
        kind, scope, value = (
            ("phone", "", ref.e164) if isinstance(ref, Phone) else ("id", ref.store, ref.customer_id)
        )
        texts = [f"{kind}\0{scope}\0{text}".encode() for text in (value, *_neighbours(value))]
        return [hmac.digest(self._index.secret, _LABEL + b"\0" + text, "sha256") for text in texts]


def _seen(look: Look) -> Iterator[tuple[str, int, str]]:
    """Yield whom `_show` may count, by the key of the counter and the day."""
    keys, today = _keys(look), look.day.toordinal()
    yield keys["people"], today, look.principal
    if look.sid:
        yield keys["volume"], today, look.sid


def _show(look: Look, tally: Tally) -> None:
    """Count the customers that were shown, for the principal and for the department, and the hour."""
    keys, today = _keys(look), look.day.toordinal()
    is_new = bool(look.sid) and tally.see(keys["volume"], look.day, look.sid, today)
    if look.rows:  # each of an export counts, also one that was shown before
        tally.count(keys["volume"], today, look.rows)
    if shown := look.rows + is_new:
        tally.count(keys["shown"], today, shown)
        tally.see(keys["people"], look.day, look.principal, today)
        tally.note(keys["hours"], look.hour, 24, look.day)


def _follow(
    look: Look, digests: Sequence[bytes], tally: Tally, known: set[_Trace], new: dict[_Trace, int]
) -> None:
    """Count a hit when what is asked for the first time within the hour is a neighbour of what was asked before."""
    own, *neighbours = digests
    who = look.principal
    if (who, own, True) in known:
        return
    if (who, own, False) in known:
        tally.count(counter_key("sequence", "usage", who), _bucket(look), 1)
    for trace in ((who, own, True), *((who, digest, False) for digest in neighbours)):
        known.add(trace)
        new[trace] = to_micros(look.now)


def _neighbours(value: str) -> Iterator[str]:
    found = _DIGITS.search(value)
    if found is None:
        return
    number, width = int(found[1]), len(found[1])
    for other in (number - 1, number + 1):
        if other >= 0:
            yield f"{value[: found.start()]}{other:0{width}d}{value[found.end() :]}"


def _bucket(look: Look) -> int:
    return int(look.now.timestamp()) // _BUCKET_S


def _keys(look: Look) -> dict[str, str]:
    """Return the keys of the counters of a principal, and of the department, by kind."""
    who = {"shown": look.department, "people": look.department}
    return {kind: counter_key(kind, "usage", who.get(kind, look.principal)) for kind in _KINDS}
