"""Limits on the way of a look-up: the attempt is counted before the customer is looked at, the row before it leaves.

1. The attempt is taken from `lookups_per_minute` before a store is asked, whatever comes of it: nobody
   probes for free. Together with it comes which other limits are used up, so that who has used them up is
   refused alike for every customer.
2. A limit on distinct customers that is used up still lets those through that were counted today, so it
   is looked at when the customer is known; before any other refusal is told.
3. After ALLOW and before the entry, what the decision charges is reserved, all or nothing. Losing a
   race means new facts and a new decision. What was reserved stays taken when a later step fails; the rows of a whole file,
   which may be an hour's, are given back while none of them has left.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fujie.decision.plan import Plan
from fujie.decision.usage import states
from fujie.flows.gate import Case
from fujie.model.customer import CustomerRef
from fujie.model.decision import Decision
from fujie.model.facts import EXHAUSTED, USAGE, Facts
from fujie.model.limit import PER_CUSTOMER, Charge, Limit, Reservation, Rows
from fujie.model.usage import Look
from fujie.model.vocabulary import Action, Effect


class Meter:
    """What one look-up by one principal takes from the limits of its plan. One that only explains takes nothing."""

    def __init__(self, case: Case, plan: Plan, principal_id: str, ref: CustomerRef) -> None:
        self._case = case
        self._plan = plan
        self._principal_id = principal_id
        self._ref = ref
        self._watches = not USAGE.isdisjoint(plan.reads)
        self._takes = case.request.action is not Action.EXPLAIN
        self._full = frozenset[Charge]()
        self._file: Reservation | None = None
        self._department = ""

    @property
    def is_needed(self) -> bool:
        """Tell whether anything that is decided here depends on use."""
        return self._watches or EXHAUSTED in self._plan.reads

    @property
    def is_short(self) -> bool:
        """Tell whether any limit is known to be used up: else the first check stands, which took none to be."""
        return bool(self._full)

    async def attempt(self, facts: Facts) -> Facts:
        """Count the attempt; return the facts with the limits that are used up whoever the customer is."""
        limits = [charge for charge in self._plan.limits if charge.limit not in PER_CUSTOMER]
        if limits:
            self._full = await self._counted(limits)
        if limits or self._watches:
            facts = await self.habits(facts)
            self._case.watch.lap("limits")
        return self._known(facts)

    async def habits(self, facts: Facts) -> Facts:
        """Return the facts with what stands out in the use of the principal, where a rule reads it. Counts nothing."""
        if not self._watches:
            return facts
        self.asks_as(facts)
        look = self._look("")
        habits = await self._case.gate.ledger.habits(look)
        return Facts({**facts.values, **states(habits, look.day, look.hour)})

    def asks_as(self, facts: Facts) -> None:
        """Remember for which department the use counts."""
        department = facts.get("principal.department")
        self._department = department if isinstance(department, str) else ""

    async def spent(self, facts: Facts) -> Facts:
        """Return the facts with the limits on distinct customers that are used up, whomever they have counted."""
        limits = [charge for charge in self._plan.limits if charge.limit in PER_CUSTOMER]
        if limits:
            self._full |= await self._case.gate.ledger.reserve(self._reservation((), limits))
        return self._known(facts)

    async def take(self, decision: Decision, facts: Facts, sid: str) -> Facts | None:
        """Reserve what an ALLOW charges; return None when the decision stands, else the facts to decide anew on.

        A refusal stands only when no limit is used up for this customer (`sid`; empty: nobody the ledger
        knows): else the refusal by the limit, which tells less, takes its place.
        """
        reservation = self.taking(decision, sid)
        if not reservation.charges and not reservation.also_told:
            return None
        lacking = await self._case.gate.ledger.reserve(reservation)
        self._case.watch.lap("limits")
        return self.anew(reservation, lacking, facts)

    def taking(self, decision: Decision, sid: str) -> Reservation:
        """Return what `take` reserves."""
        if decision.effect is Effect.ALLOW and self._takes:
            return self._reservation(decision.charges, (), sid)
        told = [charge for charge in self._plan.limits if charge.limit in PER_CUSTOMER]
        return self._reservation((), told, sid)

    def anew(self, reservation: Reservation, lacking: frozenset[Charge], facts: Facts) -> Facts | None:
        """Return what `take` does, of what was reserved and what of it had no room."""
        if not lacking or (lacking <= self._full and not reservation.charges):
            return None
        self._full |= lacking
        return self._known(facts)

    async def take_file(self, decision: Decision, facts: Facts, rows: int) -> Facts | None:
        """Reserve the rows of a leased file that is to be opened, where the decision takes rows; return None when there was room
        for all, else the facts to decide anew on. Its customers were counted when they left."""
        charges = [charge for charge in decision.charges if charge.limit is Limit.ROWS_PER_HOUR]
        if decision.effect is not Effect.ALLOW or not charges:
            return None
        taking = replace(self._reservation(charges, ()), amount=rows)
        lacking = await self._case.gate.ledger.reserve(taking)
        if not lacking:
            self._file = taking
            return None
        self._full |= lacking
        return self._known(facts)

    async def give_back(self) -> None:
        """Give back what `take_file` took, to the very minute that it was taken from: no key of the file has left."""
        if (taken := self._file) is not None:
            self._file = None
            await self._case.gate.ledger.reserve(backwards(taken))

    async def take_rows(self, charged: Sequence[tuple[tuple[Charge, ...], str]]) -> int:
        """Reserve what rows charge, each with its sid, in order; return how many of them there was room for."""
        if (rows := self.of_rows(charged)) is None:
            return len(charged)
        taken = await self._case.gate.ledger.reserve_rows(rows)
        self._case.watch.lap("limits")
        return taken

    def of_rows(self, charged: Sequence[tuple[tuple[Charge, ...], str]]) -> Rows | None:
        """Return what `take_rows` reserves; None where nothing is charged."""
        if not any(charges for charges, _ in charged):
            return None
        now = self._case.gate.clock.now()
        day = now.astimezone(self._case.gate.zone).date()
        return Rows(principal=self._principal_id, now=now, day=day, charged=tuple(charged))

    def watched(self, decision: Decision, sid: str) -> None:
        """Remember the attempt where a rule reads the usage of principals; written behind the answer."""
        if self._watches and self._takes:
            self._case.gate.ledger.watch(self._look(sid if decision.effect is Effect.ALLOW else ""))

    def watched_rows(self, rows: int) -> None:
        """Remember that a part of an export with so many customers left, where a rule reads the usage of principals."""
        if self._watches and rows:
            self._case.gate.ledger.watch(replace(self._look(""), rows=rows))

    async def _counted(self, limits: Sequence[Charge]) -> frozenset[Charge]:
        """Take the attempt from every counter of attempts that has room; return all charges that have none."""
        ledger = self._case.gate.ledger
        if not self._takes:
            return await ledger.reserve(self._reservation((), limits))
        attempts = {charge for charge in limits if charge.limit is Limit.LOOKUPS_PER_MINUTE}
        others = [charge for charge in limits if charge not in attempts]
        full = frozenset[Charge]()
        while True:  # each round leaves out what had no room: at most one round a charge
            lacking = await ledger.reserve(self._reservation(attempts, others))
            full |= lacking
            if lacking.isdisjoint(attempts):
                return full
            attempts -= lacking

    def _look(self, sid: str) -> Look:
        now = self._case.gate.clock.now()
        local = now.astimezone(self._case.gate.zone)
        return Look(
            principal=self._principal_id,
            now=now,
            day=local.date(),
            hour=local.hour,
            ref=self._ref,
            sid=sid,
            department=self._department,
        )

    def _reservation(self, charges: Iterable[Charge], told: Iterable[Charge], sid: str = "") -> Reservation:
        # The clock, not the time of the case: a window is one of moments at which something is taken.
        now = self._case.gate.clock.now()
        day = now.astimezone(self._case.gate.zone).date()
        return Reservation(
            principal=self._principal_id,
            now=now,
            day=day,
            charges=tuple(charges),
            also_told=tuple(told),
            sid=sid,
        )

    def _known(self, facts: Facts) -> Facts:
        full = tuple(sorted({charge.rule for charge in self._full})) if self._full else ()
        return Facts({**facts.values, EXHAUSTED: full})


def backwards(taken: Reservation) -> Reservation:
    """Return what gives the rows of a reservation back. A customer is not uncounted: another act may have counted him too."""
    charges = tuple(charge for charge in taken.charges if charge.limit is Limit.ROWS_PER_HOUR)
    return replace(taken, charges=charges, also_told=(), amount=-taken.amount)
