"""One call of a query for recipients on its way: batch after batch of a store, each added before the next is taken.

While rows are waited for, the asker is looked at every half second: who has left is stopped. Where he or the policies
are not what they were, the call ends with what was added, and the next one is decided anew.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.decision.admission import ANY_PROVIDER, by_attributes
from fujie.decision.decide import matching_grants, refuse
from fujie.decision.facts import Particulars, Raw, derive, particulars, told_of
from fujie.decision.filtering import fields_of, sieve_of
from fujie.decision.rowfilter import row_filter
from fujie.flows.campaigns import CAMPAIGN_ID, Opened
from fujie.flows.evidence import Subject, record
from fujie.flows.export_resume import Place
from fujie.flows.export_rows import OUTSIDE, Judge, judge_leaving, judge_rows, shown_rows
from fujie.flows.export_start import Start
from fujie.flows.recipients import planned, sending_of
from fujie.flows.refuse import gone, standing
from fujie.flows.reply import Summary
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import FujieError
from fujie.model.facts import Facts, Known
from fujie.model.limit import Charge
from fujie.model.message import Recipient
from fujie.model.predicate import all_of
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.record import Fetched
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Effect
from fujie.ports.stores import Scan

BATCH = 500
"""Customers of a batch: each becomes rows of the ledger in one transaction, which others wait for."""

CALL_S = 8.0
"""How long one call adds recipients; the next one goes on. Short enough to tell how far it is, and to lose little."""

TICK_S = 0.5
"""How often the asker is looked at while rows are waited for."""

_MOST_KNOWN = 10_000
"""Sets of attributes whose answer is remembered. By design there are few."""

_FILTERED = ""
"""Counts rows that the filter left out."""


@dataclass(frozen=True, slots=True, repr=False)
class QueryAsk:
    """Customers of `store` who pass `filter` are to be recipients, `max_rows` of them at most. `resume` is the token of the
    answer before."""

    context: RequestContext
    campaign_id: str
    store: str
    filter: str
    max_rows: int
    resume: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Begun:
    """A query that may run: the campaign with the case as one about the store, what of the filter was decided (None:
    there is none), and where it goes on."""

    opened: Opened
    asked: QueryAsk
    filtered: Start | None
    place: Place


class Stopped(Exception):
    """It ends by a decision."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.decision = decision


@dataclass(frozen=True, slots=True, repr=False)
class _Chosen:
    """A customer who becomes a recipient, and what the filter's decision charges for that (`sid` "": not enrolled yet)."""

    row: Fetched
    charges: tuple[Charge, ...] = ()
    sid: str = ""


class Run:
    """One call. `added` are new, `repeated` were there; `place` is where the next call goes on unless it `is_over`."""

    def __init__(self, begun: Begun, timeout_s: float) -> None:
        self.place = begun.place
        self.added = self.repeated = 0
        self.is_over = False
        self._begun = begun
        self._case = begun.opened.case
        self._timeout_s = timeout_s
        self._openings = _Openings(begun.opened)
        self._left_out: Counter[str] = Counter()
        self._is_changed = False

    async def to_its_end(self) -> Summary:
        """Add until it is over, or the time of the call is; leave the outcome whatever that is. Raises Stopped."""
        decision, how = Decision(Effect.ALLOW, self._case.decider.bundle.digest), "INTERNAL"
        summary = await record(self._case, EntryKind.ADMISSION, decision, self.about())
        try:
            await self._add_all()
            how = "COMPLETE" if self.is_over else "PAUSED"
        except Stopped as stop:
            how = stop.decision.primary
            raise
        except (FujieError, AuditError) as error:
            how = error.code if error.code in BUILT_IN_REASONS else how
            raise
        except asyncio.CancelledError:
            how = "CANCELLED"
            raise
        finally:
            await asyncio.shield(record(self._case, EntryKind.OUTCOME, decision, self.about(how)))
        return summary

    def about(self, how: str = "") -> Subject:
        """Return what its entries say: counts, and how it ended; nobody's id."""
        asked, left_out = self._begun.asked, self._left_out
        facts: dict[str, Known] = {
            CAMPAIGN_ID: self._begun.opened.campaign.id,
            "query.first": self.place.first,
            "query.max_rows": asked.max_rows,
        }
        if how:
            told = [each for each in left_out.most_common() if each[0] not in (OUTSIDE, _FILTERED)]
            facts |= {
                "query.end": how,
                "query.outside": left_out[OUTSIDE],
                "query.filtered": left_out[_FILTERED],
                "query.withheld": tuple(f"{code} {rows}" for code, rows in told),
                "recipients.added": self.added,
                "recipients.repeated": self.repeated,
            }
        return Subject(facts=facts)

    async def _add_all(self) -> None:
        clock = self._case.gate.clock
        until = clock.monotonic() + CALL_S
        async with aclosing(self._batches()) as batches:
            while not self.is_over:
                batch = await self._next(batches)
                if self._is_changed:
                    return
                if batch is None:
                    self.is_over = True
                else:
                    await self._add(batch)
                if clock.monotonic() >= until:
                    return

    async def _batches(self) -> AsyncGenerator[Sequence[Fetched], None]:
        store = self._case.gate.stores[self._begun.asked.store]
        async with store.scan(self._scan(), self._timeout_s) as batches:
            async for batch in batches:
                yield batch

    def _scan(self) -> Scan:
        """Return what is read: columns that a rule or the filter reads, of rows that may pass."""
        start = self._begun.filtered
        fields, attributes, passing = frozenset[str](), self._openings.attributes, [self._openings.rows]
        if start is not None:
            plan = start.matter.plan
            fields = fields_of(start.wanted)
            attributes |= plan.customer_attributes
            passing += [row_filter(plan, start.matter.asker), sieve_of(plan, start.wanted)]
        mapped = self._case.gate.stores[self._begun.asked.store].attributes
        return Scan(fields, attributes & mapped, all_of(passing), self.place.after, BATCH, self._case.asker)

    async def _next(self, batches: AsyncGenerator[Sequence[Fetched], None]) -> Sequence[Fetched] | None:
        """Return the next batch, once the asker was looked at; None behind the last one."""

        async def one() -> Sequence[Fetched] | None:
            return await anext(batches, None)

        coming = asyncio.ensure_future(one())
        try:
            while not (await asyncio.wait({coming}, timeout=TICK_S))[0]:
                await self._look()
            await self._look()
            return coming.result()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _look(self) -> None:
        """Look at the asker, and at the policies in force. Raises Stopped for who has left."""
        gate = self._case.gate
        case = replace(self._case, now=gate.clock.now(), decider=gate.policies.current)
        if (left := await gone(case)) is not None:
            raise Stopped(left)
        is_same = case.decider is self._case.decider
        self._is_changed |= not is_same or await standing(case) != self._begun.opened.principal

    async def _add(self, batch: Sequence[Fetched]) -> None:
        """Add the customers of a batch who may be recipients, as far as the query and the limits leave room.

        Raises:
            Stopped: a limit is used up; those for whom there was room were added.

        """
        chosen = await self._chosen(batch)
        room = self._begun.asked.max_rows - self.place.rows
        while self._begun.filtered is not None and not all(each.sid for each in chosen[:room]):
            first = await self._chosen([each.row for each in chosen[:room]], judge_leaving)
            chosen = [*first, *chosen[room:]]
        self.is_over = len(chosen) >= room
        chosen = chosen[:room]
        start, taken = self._begun.filtered, len(chosen)
        if start is not None:
            taken = await start.matter.meter.take_rows([(each.charges, each.sid) for each in chosen])
            start.matter.meter.watched_rows(taken)
        await self._plan([each.row.key for each in chosen[:taken]])
        self.place = replace(self.place, after=batch[-1].key.customer_id, rows=self.place.rows + taken)
        if taken < len(chosen):
            raise Stopped(refuse(self._case.decider.bundle.digest, "LIMIT_EXCEEDED"))

    async def _chosen(self, batch: Sequence[Fetched], judge: Judge = judge_rows) -> list[_Chosen]:
        start, openings = self._begun.filtered, self._openings
        if start is None:
            chosen = [_Chosen(row) for row in batch if openings.may_open(row)]
            self._left_out[OUTSIDE] += len(batch) - len(chosen)
            return chosen
        judged = await judge(start.matter, batch)
        chosen = []
        for each, shown in zip(judged, await shown_rows(start.matter, judged, start.wanted), strict=True):
            if shown is None:
                self._left_out[_FILTERED if each.is_allowed else each.decision.primary] += 1
            elif openings.may_open(each.row):
                chosen.append(_Chosen(each.row, each.decision.charges, each.sid))
            else:
                self._left_out[OUTSIDE] += 1
        return chosen

    async def _plan(self, keys: Sequence[StoreKey]) -> None:
        if not keys:
            return
        gate, campaign = self._case.gate, self._begun.opened.campaign
        now = gate.clock.now()
        intents = await planned(gate, campaign, [Recipient(key) for key in keys], now)
        added = await sending_of(gate).outbox.plan(campaign.id, intents, now)
        self.added += added
        self.repeated += len(keys) - added


class _Openings:
    """Whom a grant to send may open, by `attributes`. `rows` is what the store may know of it."""

    def __init__(self, opened: Opened) -> None:
        case, principal = opened.case, opened.principal
        self._now, self._principal = case.now, principal
        self._request = replace(case.request, rows=1)  # how many it reaches is decided when it starts
        self._plan = by_attributes(case.decider.plan(self._request, principal.roles))
        asker = derive(self._plan.bundle, self._request, Raw(principal), case.now, case.gate.zone)
        self._asker = Facts({**asker.values, **ANY_PROVIDER})
        self._known: dict[Particulars, bool] = {}
        self.rows = row_filter(self._plan, self._asker)
        self.attributes = self._plan.customer_attributes

    def may_open(self, row: Fetched) -> bool:
        """Tell whether any grant may match."""
        bundle, request = self._plan.bundle, self._request
        raw = Raw(self._principal, attributes=row.attributes)
        known = particulars(bundle, request, self._asker.values, raw, self._now)
        found = self._known.get(known)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            facts = told_of(bundle, self._asker, known)
            found = self._known[known] = bool(matching_grants(self._plan, facts))
        return found
