"""Export customers: many rows at once, each decided on its own, in a stream.

1. What no customer can change is decided on first (`export_start`). The admission entry is durable, and the export
   stands in the ledger, before any row is read.
2. Batch by batch: rows, ledger, decision, mask, filter (`export_rows`), until a chunk is full (`export_filling`), while
   the reader takes the chunk before.
3. Before a chunk leaves: the asker once more, room in the limits, the chunk in the ledger, its release entry.
4. The outcome entry, however it ended: how many rows left, how many were withheld and why.

While rows are waited for, the asker is looked at every half second. Who is not what he was is decided on anew, and so are
the rows that nobody has taken yet; rows that waited for their reader are asked about again in the ledger.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace

from fujie.audit.container import Place
from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.decision.anew import steps
from fujie.decision.decide import refuse
from fujie.decision.entitlement import entitlement
from fujie.decision.filtering import fields_of, sieve_of
from fujie.decision.replay import STARTS
from fujie.decision.rowfilter import row_filter
from fujie.flows.ahead import ahead
from fujie.flows.evidence import APPROVAL_ID, Subject, record, record_sids
from fujie.flows.export_file import closing, lines_of, opening
from fujie.flows.export_filling import FILTERED, Filling, Ready, Row
from fujie.flows.export_reply import Answer, ExportHead, ExportPart, ExportTail, pieces
from fujie.flows.export_resume import check_open, token_of
from fujie.flows.export_rows import OUTSIDE, Matter, look_of, renewed
from fujie.flows.export_start import Start, begun, decided, export_of, request_of, told
from fujie.flows.gate import Gate, open_case
from fujie.flows.leasing import check_fits, keyed_chunk, most_openable, open_file, seal_end, seal_rows
from fujie.flows.refuse import gone, guarded, standing
from fujie.flows.reply import Refusal, Summary
from fujie.model.decision import Decision
from fujie.model.errors import FujieError, LedgerError
from fujie.model.export import (
    BATCH,
    CHUNK,
    LEASED_CHUNK,
    ExportChunk,
    ExportEnd,
    ExportState,
)
from fujie.model.facts import Known
from fujie.model.predicate import all_of
from fujie.model.principal import Credential
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.record import Fetched
from fujie.model.request import ExportAsk
from fujie.model.vocabulary import Effect
from fujie.ports.stores import Scan

TICK_S = 0.5
"""How often the asker is looked at while rows are waited for."""

SCAN_S = 60.0
"""How long one reading of a store goes on before the next begins behind it: a reader may take hours, and neither his turn nor
the database's snapshot of rows, which others have changed since, may last as long."""

PATIENCE_S = 2 * SCAN_S
"""How long an export waits for its turn at a store: behind everybody who reads now, and as many who came before it."""

FEWEST_TOLD = 10
"""Rows below which a count of withheld ones is not told, and to a multiple of which others are rounded down: a small group
is a person, and so is the difference of two large ones."""

COMPLETE, CANCELLED = "COMPLETE", "CANCELLED"
"""How an export ended that came to its end, and one whose reader left by himself; any other ended by a reason code."""


class _Stopped(Exception):
    """The stream ends by a decision."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.decision = decision


async def export_customers(
    gate: Gate, caller: Credential, asked: ExportAsk, timeout_s: float
) -> AsyncGenerator[Answer, None]:
    """Yield the head, the chunks, the tail; a refusal ends it, at the start or behind what has left. `timeout_s` is store
    time for each batch.

    Raises:
        AuditError: evidence could not be written; what it would have been about did not leave.

    """
    case = open_case(gate, caller, asked.context, request_of(gate, asked))
    start: Start | ExportHead | Refusal = await guarded(case, lambda case: begun(case, asked))
    if not isinstance(start, Start):
        yield start
        return
    async with aclosing(_Run(start, timeout_s).parts()) as parts:
        async for part in parts:
            yield part


class _Run:
    """One export on its way. `rows` and `chunks` have left; `file_rows` counts those before a resume as well."""

    def __init__(self, start: Start, timeout_s: float) -> None:
        self._start = start
        self._timeout_s = timeout_s
        self._matter = start.matter
        self._case = start.matter.case
        self._export = export_of(start)
        self._reads = fields_of(start.wanted)
        self._place = start.place
        self._openable = most_openable(start.decision) if self._export.lease else start.asked.max_rows
        self._rows = 0
        self._chunks = 0
        self._left_out: Counter[str] = Counter()
        self._summary = Summary("", Effect.ALLOW, "")
        self._is_over = self._is_short = self._is_whole = False

    async def parts(self) -> AsyncGenerator[Answer, None]:
        """Run it to its end, and leave its outcome whatever that is."""
        exports, tail = self._case.gate.exports, None
        ended, how = Decision(Effect.ALLOW, self._start.decision.bundle), "INTERNAL"
        try:
            more = {"export.first": self._place.first, APPROVAL_ID: self._place.approval}
            named = {name: id_ for name, id_ in more.items() if id_ not in ("", self._export.id)}
            about = self._about({STARTS: True, **named})
            self._summary = await record(self._case, EntryKind.ADMISSION, self._start.decision, about)
            await exports.begin_export(self._export)
            yield ExportHead(self._summary, self._export, self._start.decision.fields, self._opening())
            async with aclosing(self._released()) as parts:
                async for part in parts:
                    yield part
            tail, how = await self._tail(), COMPLETE
        except _Stopped as stop:
            ended, how = stop.decision, stop.decision.primary
        except (FujieError, AuditError) as error:
            how = error.code if error.code in BUILT_IN_REASONS else "INTERNAL"
            ended = refuse(self._case.decider.bundle.digest, how)
        except (asyncio.CancelledError, GeneratorExit):
            how = CANCELLED
            raise
        finally:
            summary = await asyncio.shield(self._end(how, ended))
            self._case.watch.stop()
        yield tail or Refusal(summary, ended.reasons)

    async def _released(self) -> AsyncGenerator[ExportPart, None]:
        """Yield chunk after chunk. Who is not what he was may need other columns and rows: then the store is read anew from
        there on, and so it is after `SCAN_S`."""
        while not self._is_over:
            before = self._matter
            async with self._reading() as batches:
                if not before.decides_like(self._matter):
                    continue
                async with aclosing(self._of_scan(batches)) as parts:
                    async for part in parts:
                        yield part

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncIterator[Sequence[Fetched]]]:
        """Read the store from here on. Its turn may be long in coming, behind readings of others: meanwhile the asker is looked at."""
        store = self._case.gate.stores[self._start.asked.store]
        async with AsyncExitStack() as held:
            scan = store.scan(self._scan(), self._timeout_s)
            opening = asyncio.ensure_future(held.enter_async_context(scan))
            try:
                while not (await asyncio.wait({opening}, timeout=TICK_S))[0]:
                    await self._renew()
            finally:
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
            yield await held.enter_async_context(aclosing(ahead(opening.result())))

    async def _of_scan(self, batches: AsyncIterator[Sequence[Fetched]]) -> AsyncGenerator[ExportPart, None]:
        matter, size = self._matter, LEASED_CHUNK if self._start.asked.lease else CHUNK
        filling = Filling(lambda: self._matter, self._start.wanted, batches, size)
        clock = self._case.gate.clock
        until = clock.monotonic() + SCAN_S
        coming = asyncio.ensure_future(filling.chunk())
        try:
            while (ready := await self._next(filling, coming, matter)) is not None:
                if filling.is_stale(ready):  # behind a slow reader
                    filling.give_back(ready)
                    coming = asyncio.ensure_future(filling.chunk())
                    if (ready := await self._next(filling, coming, matter)) is None:
                        return
                coming = asyncio.ensure_future(filling.chunk())
                looked = clock.monotonic()
                for piece in await self._leaving(ready):
                    looked = await self._looked(looked)
                    yield piece
                if self._is_over or clock.monotonic() > until:
                    return
                if self._is_short:
                    raise _Stopped(refuse(self._case.decider.bundle.digest, "LIMIT_EXCEEDED"))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _next(
        self, filling: Filling, coming: "asyncio.Future[Ready | None]", matter: Matter
    ) -> Ready | None:
        """Return what comes, enrolled, once the asker was looked at; None where nothing does, or the store is to be read
        anew."""
        while not (await asyncio.wait({coming}, timeout=TICK_S))[0]:
            await self._renew()
        if (ready := coming.result()) is not None:
            ready = await filling.enrolled(ready, self._start.asked.max_rows - self._place.rows)
        await self._renew()
        self._is_over = self._is_whole = ready is None
        return ready if matter.decides_like(self._matter) else None

    def _scan(self) -> Scan:
        """Return what is read: only columns that a rule reads or a grant can open, and rows that may pass."""
        matter, start = self._matter, self._start
        store = self._case.gate.stores[start.asked.store]
        openable = frozenset(name for grant in matter.plan.grants for name in grant.fields)
        return Scan(
            openable.intersection(start.asked.fields),
            matter.plan.customer_attributes & store.attributes,
            all_of((row_filter(matter.plan, matter.asker), sieve_of(matter.plan, start.wanted))),
            self._place.after,
            LEASED_CHUNK if start.asked.lease else min(BATCH, CHUNK),
            self._case.asker,
            PATIENCE_S,
        )

    async def _renew(self) -> None:
        """Look at the asker, and at the policies in force; what no customer can change is decided anew where either is
        not what it was."""
        gate = self._case.gate
        self._case = replace(self._case, now=gate.clock.now(), decider=gate.policies.current)
        principal = await standing(self._case)
        if isinstance(principal, Decision):
            raise _Stopped(principal)
        matter = renewed(self._matter, self._case, principal)
        if isinstance(matter, Decision):
            raise _Stopped(matter)
        if not matter.decides_like(self._matter):
            decision = decided(matter)
            if decision.effect is not Effect.ALLOW:
                raise _Stopped(told(decision))
            is_same = steps(decision) == self._export.steps
            if self._export.lease and not (
                is_same and entitlement(matter.plan, matter.asker) <= self._export.grants
            ):  # who opens the file is held against grants and steps of its first rows
                raise _Stopped(refuse(decision.bundle, "EXPORT_CLOSED"))
        self._matter = matter

    async def _looked(self, at: float) -> float:
        """Look at asker and export where that was longer ago than a tick: a chunk may have many pieces, and a slow reader.
        Return when it was done last."""
        now = self._case.gate.clock.monotonic()
        if now - at <= TICK_S:
            return at
        await self._renew()
        await check_open(self._case, self._export.id)
        return now

    async def _leaving(self, ready: Ready) -> Sequence[ExportPart]:
        """Return what leaves of a chunk that is ready, once its release is on record."""
        room = self._start.asked.max_rows - self._place.rows
        rows = ready.rows[: min(room, self._openable - self._rows)]
        writing = asyncio.ensure_future(self._lines(rows))  # while ledger and log do
        try:
            if self._export.lease:
                check_fits(await writing)
            taken, key = await self._taken(rows) if rows else (0, b"")
            is_cut = taken < len(ready.rows)
            self._is_over = taken == room
            self._is_short = is_cut and not self._is_over
            self._left_out.update(e.reason for e in ready.left_out if not is_cut or e.before < taken)
            # Where it is cut it ends, and nothing goes on but by the token of the last chunk.
            after = ready.after or self._place.after
            self._place = replace(self._place, after=after, rows=self._place.rows + taken)
            if not taken:
                return ()
            leaving = rows[:taken]
            await self._recorded(leaving)
            data = await (writing if taken == len(rows) else self._lines(leaving))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return pieces(self._part(leaving, data, key))

    async def _taken(self, rows: Sequence[Row]) -> tuple[int, bytes]:
        """Take rows from the limits and write those for whom there was room into the ledger; return how many, and the key of
        a leased chunk."""
        gate, number, key = self._case.gate, self._chunks, b""
        chunk = ExportChunk(self._export.id, number, tuple([sid for (_, sid, _, _), _, _ in rows]))
        if self._export.lease:
            key, chunk = keyed_chunk(gate, self._export, number, chunk.sids)
        charged = [(decision.charges, sid) for (_, sid, _, decision), _, _ in rows]
        if self._place.first != self._export.id:  # which the ledger looks at itself
            await check_open(self._case, self._place.first)
        taken = await gate.exports.add_chunk(chunk, self._matter.meter.of_rows(charged))
        self._case.watch.lap("limits")
        return taken, key

    def _part(self, leaving: Sequence[Row], data: bytes, key: bytes) -> ExportPart:
        """Return rows that are on record: from here on they count as having left."""
        number = self._chunks
        if self._export.lease:
            data = seal_rows(self._case.gate, self._export, Place(number, len(leaving)), key, data)
        self._chunks, self._rows = number + 1, self._rows + len(leaving)
        self._matter.meter.watched_rows(len(leaving))
        # Behind the last one who left: the id of somebody who did not would tell how long it is, though sealed.
        going_on = replace(self._place, after=leaving[-1].judged.row.key.customer_id)
        token = "" if self._export.lease else token_of(self._case, self._start.digest, going_on)
        return ExportPart(self._summary, number, data, len(leaving), token)

    async def _lines(self, rows: Sequence[Row]) -> bytes:
        """Return rows as lines; in a leased file the heading stands before the first of them."""
        asked = self._start.asked
        heading = self._heading() if asked.lease and self._chunks == 0 else b""
        return heading + await lines_of(asked.format, asked.fields, [shown for _, shown, _ in rows])

    async def _recorded(self, leaving: Sequence[Row]) -> None:
        """Write the release entry: one for all rows whose decisions rest on the same open facts, if it holds them. Personal
        facts are left out, as 500 sealed ones are more than an entry holds."""
        of_each = defaultdict[int, list[str]](list)
        decisions = dict[int, Decision]()
        for (_, sid, _, decision), _, _ in leaving:
            of_each[id(decision)].append(sid)
            decisions[id(decision)] = decision
        groups: dict[object, tuple[Decision, list[str]]] = {}
        for decision, sids in zip(decisions.values(), of_each.values(), strict=True):
            group = look_of(self._matter, decision, self._reads).group
            groups.setdefault(group, (decision, []))[1].extend(sids)
        facts = self._about({"export.chunk": self._chunks, "export.rows": len(leaving)}).facts
        await asyncio.gather(
            *(
                record_sids(self._case, EntryKind.RELEASE, decision, facts, sids)
                for decision, sids in groups.values()
            )
        )

    async def _tail(self) -> ExportTail:
        """Return what ends the file, and the stream."""
        gate, asked = self._case.gate, self._start.asked
        data = closing(self._export, gate.clock.now(), self._place.rows)
        if asked.lease:
            heading = b"" if self._chunks else self._heading()
            data, chunk = seal_end(gate, self._export, self._chunks, heading + data)
            await gate.exports.add_chunk(chunk)
        withheld: dict[str, int] = {}
        # Only of the whole store: with one row more or less, the counts would tell who was refused between the two.
        if self._is_whole and not self._start.place.rows and not asked.filter:
            counted = [(code, rows) for code, rows in self._withheld() if code != OUTSIDE]
            withheld = {code: rows - rows % FEWEST_TOLD for code, rows in counted}
        return ExportTail(self._summary, self._place.rows, withheld, data)

    async def _end(self, how: str, decision: Decision) -> Summary:
        """Write the outcome; the ledger learns of it even where the log does not take it."""
        if how == CANCELLED:
            how, decision = await self._why(decision)
        gate, now = self._case.gate, self._case.gate.clock.now()
        state = ExportState.COMPLETE if how == COMPLETE else ExportState.STOPPED
        facts: dict[str, Known] = {
            "export.end": how,
            "export.rows": self._rows,
            "export.chunks": self._chunks,
            "export.outside": self._left_out[OUTSIDE],
            "export.filtered": self._left_out[FILTERED],
            "export.withheld": tuple(f"{code} {n}" for code, n in self._withheld() if code != OUTSIDE),
        }
        gate.metrics.exported(how, self._rows, sum(n for code, n in self._withheld() if code != OUTSIDE))
        try:
            return await record(self._case, EntryKind.OUTCOME, told(decision), self._about(facts))
        finally:
            with suppress(LedgerError):  # its chunks tell what left
                reason = "" if how == COMPLETE else how
                await gate.exports.end_export(self._export.id, ExportEnd(state, now, self._rows, reason))

    async def _why(self, decision: Decision) -> tuple[str, Decision]:
        """Return why nobody reads any more: the reader left, or was let go as he may not have more (`refuse.left`)."""
        with suppress(FujieError):  # who can not be asked about is not said to have left
            if (found := await gone(self._case)) is not None:
                return found.primary, found
        return CANCELLED, decision

    def _withheld(self) -> list[tuple[str, int]]:
        return [(code, rows) for code, rows in self._left_out.most_common() if code != FILTERED]

    def _opening(self) -> bytes:
        """Return the first bytes of the file; behind those that left before a resume none."""
        if self._start.asked.lease:
            return open_file(self._export)
        return b"" if self._place.rows else self._heading()

    def _heading(self) -> bytes:
        return opening(self._start.asked.format, self._start.asked.fields)

    def _about(self, facts: Mapping[str, Known]) -> Subject:
        return Subject((), None, {"export.id": self._export.id, **facts})
