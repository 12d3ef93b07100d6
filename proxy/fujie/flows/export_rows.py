"""The rows of an export, decided a batch at a time: one plan and one memo for all, one reading of the ledger for each batch.

1. What is one for all rows: the plan, the asker with the facts that are known of him now. `matter_of`.
2. Identities, consents and opt-outs of all customers of a batch, by few statements.
3. For each row its facts and the decision; customers of whom the facts say the same are decided once. To look enrols
   nobody; who is about to leave is enrolled and judged again.
4. What an allowed row shows; whether it passes the filter, which sees that and nothing else.

The work is cut into slices, between which others have their turn.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import NamedTuple

from fujie.decision.anew import Seen
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Particulars, Raw, derive, particulars, told_of
from fujie.decision.filtering import are_revealed, fields_of, passes
from fujie.decision.mask import Cells, Masking, Omitted
from fujie.decision.plan import Plan
from fujie.flows.evidence import alike
from fujie.flows.gate import Case
from fujie.flows.recipients import sending_of
from fujie.flows.reserve import Meter
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.facts import APPROVED, BREAK_GLASS, EXHAUSTED, USAGE, Facts, FactValue
from fujie.model.predicate import Predicate
from fujie.model.principal import Principal
from fujie.model.record import Fetched, FieldTreatment
from fujie.model.vocabulary import Effect
from fujie.ports.recollection import Recalled, Survey

SLICE = 250
"""Rows between which others have their turn: some 2 ms."""

MOST_KINDS = 4_096
"""Kinds of customers that are told by their columns alone."""

OUTSIDE = "NO_GRANT"
"""The reason of rows that are never counted towards the asker."""

_OF_USE = frozenset({EXHAUSTED, *USAGE})


class Judged(NamedTuple):
    """A decided row: what the store has of the customer, the sid (empty: the ledger has none), the facts, the decision."""

    row: Fetched
    sid: str
    facts: Facts
    decision: Decision

    def __repr__(self) -> str:
        return "Judged(...)"

    @property
    def is_allowed(self) -> bool:
        """Tell whether it may leave."""
        return self.decision.effect is Effect.ALLOW


# What the constructor of a named tuple does, without a call of the interpreter for each.
_AS_JUDGED: Callable[[tuple[Fetched, str, Facts, Decision]], Judged] = partial(tuple.__new__, Judged)


@dataclass(frozen=True, slots=True)
class Look:
    """How the rows of one decision look: their mask, whether it reveals all that the filter reads, and what their entries
    have in common."""

    masking: Masking
    is_filterable: bool
    group: tuple[object, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Matter:
    """What is one for all rows now: the case, its plan, the principal, the facts that are known without any customer, and
    the limits. `decided`, `silent` (of whom nothing was said, by columns) and `looks` remember what several rows share."""

    case: Case
    plan: Plan
    principal: Principal
    asker: Facts
    meter: Meter
    decided: dict[Particulars, tuple[Facts, Decision]] = field(default_factory=dict)
    silent: dict[tuple[object, ...], tuple[Facts, Decision]] = field(default_factory=dict)
    looks: dict[int, tuple[Decision, Look]] = field(default_factory=dict)

    def decides_like(self, other: "Matter") -> bool:
        """Tell whether both decide alike but for what time does to a customer."""
        return self.decided is other.decided


async def matter_of(
    case: Case, principal: Principal, approved: Sequence[str] = (), broken: Sequence[str] = ()
) -> Matter | Decision:
    """Return what is one for all rows, or the refusal that no customer can change. `approved` are the keys of
    requirements that count as granted, `broken` of those without which it goes ahead."""
    plan = case.decider.plan(case.request, principal.roles)
    asker = derive(plan.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    closed = precheck(plan, case.request, asker) or _unmapped(case)
    meter = Meter(case, plan, principal.id, StoreKey(case.request.store, ""))  # nobody is asked for by name
    if closed is None and meter.is_needed:
        asker = await meter.attempt(asker)
        closed = precheck(plan, case.request, asker) if meter.is_short else None
    case.watch.lap("precheck")
    agreed = {APPROVED: tuple(sorted(approved)), BREAK_GLASS: tuple(sorted(broken))}
    return closed or Matter(case, plan, principal, _with(asker, agreed), meter)


async def with_room(matter: Matter) -> Matter | Decision:
    """Return the matter of an export that begins, or the refusal: a limit on distinct customers that is used up opens
    nothing any more, not even to whom it has counted. Else a filter would tell for free whether anybody passes, by whether
    the export ends at its limit or at its end."""
    if not matter.plan.limits:
        return matter
    asker = await matter.meter.spent(matter.asker)
    closed = precheck(matter.plan, matter.case.request, asker) if matter.meter.is_short else None
    return closed or replace(matter, asker=asker)


def renewed(before: Matter, case: Case, principal: Principal) -> Matter | Decision:
    """Return the matter as it is at the moment of `case`; where nothing has changed, with the memo of `before`.

    What is used up is not read again: what leaves is taken from the limits, exactly.
    """
    plan = case.decider.plan(case.request, principal.roles)
    kept = {
        path: before.asker.get(path)
        for path in (*_OF_USE, APPROVED, BREAK_GLASS)
        if path in before.asker.values
    }
    derived = derive(plan.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    asker = _with(derived, kept)
    if plan is before.plan and principal == before.principal and asker.values == before.asker.values:
        return replace(before, case=case)
    closed = precheck(plan, case.request, asker)
    meter = Meter(case, plan, principal.id, StoreKey(case.request.store, ""))
    meter.asks_as(asker)
    return closed or Matter(case, plan, principal, asker, meter)


Judge = Callable[[Matter, Sequence[Fetched]], Awaitable[list[Judged]]]
"""`judge_rows` or `judge_leaving`."""


async def judge_rows(matter: Matter, rows: Sequence[Fetched]) -> list[Judged]:
    """Decide on at most 1,000 rows of the store, in their order; nothing is taken from any limit, and nobody is enrolled:
    to look through a store leaves no trace of its customers. Who is not known to the ledger yet has the sid "".

    Raises:
        LedgerError: what the decision needs could not be read.

    """
    return await _decided(matter, rows, enrol=False)


async def judge_leaving(matter: Matter, rows: Sequence[Fetched]) -> list[Judged]:
    """Do what `judge_rows` does for rows that are about to leave: their customers are enrolled first.

    Raises:
        LedgerError: what the decision needs could not be read, or nobody be enrolled.

    """
    return await _decided(matter, rows, enrol=True)


async def _decided(matter: Matter, rows: Sequence[Fetched], *, enrol: bool) -> list[Judged]:
    case, judged = matter.case, list[Judged]()
    if not rows:
        return judged
    store, people = rows[0].key.store, [(row.key.customer_id, row.phone) for row in rows]
    outbox, now = sending_of(case.gate).outbox, case.gate.clock.now()
    told = await outbox.survey(store, people, case.request.purpose, now, enrol=enrol, sent=False)
    case.watch.lap("ledger")
    kinds = dict[int, tuple[Facts, Decision]]()
    for at in range(0, len(rows), SLICE):
        judged += _judged(matter, rows[at : at + SLICE], told, at, kinds)
        await asyncio.sleep(0)
    case.watch.lap("decide")
    return judged


async def shown_rows(matter: Matter, judged: Sequence[Judged], wanted: Predicate) -> list[Cells | None]:
    """Return what each row shows of the fields that the request names, in their order; None for one that was refused, or
    does not pass the filter `wanted`. Of who is not enrolled it is nothing, where no filter reads it: he is judged again.

    A filter never sees what the asker does not: it is evaluated on what is shown, and a row whose own decision does not
    reveal all that it reads does not pass. So no sid moves it. Dates of who is not enrolled are shifted as nobody's: what
    is shown of him is good for the filter alone.
    """
    reads = fields_of(wanted)
    shown: list[Cells | None] = []
    for at in range(0, len(judged), SLICE):
        shown += _shown(matter, judged[at : at + SLICE], wanted, reads)
        await asyncio.sleep(0)
    matter.case.watch.lap("mask")
    return shown


def _shown(
    matter: Matter, judged: Sequence[Judged], wanted: Predicate, reads: frozenset[str]
) -> list[Cells | None]:
    """Mask the rows that are treated alike together, whatever their decisions rest on."""
    names, tokeniser = matter.case.request.fields, matter.case.gate.tokeniser
    places = tuple((names.index(name), name) for name in reads if name in names)
    alike: dict[int, list[int]] = {}
    shown: list[Cells | None] = [None] * len(judged)
    for place, each in enumerate(judged):
        if each.sid or reads:
            alike.setdefault(id(each.decision), []).append(place)
        elif each.is_allowed:
            shown[place] = ()
    treated: dict[Masking, list[int]] = {}
    for of_one in alike.values():
        first = judged[of_one[0]]
        if first.is_allowed and (look := look_of(matter, first.decision, reads)).is_filterable:
            treated.setdefault(look.masking, []).extend(of_one)
    for masking, of_one in treated.items():
        of_these = [judged[n] for n in of_one]
        records, sids = [each[0][1] for each in of_these], [each[1] for each in of_these]
        for n, cells in zip(of_one, masking.rows(names, records, sids, tokeniser), strict=True):
            if reads:
                seen = ((name, cells[at]) for at, name in places)
                if not passes(wanted, {name: cell for name, cell in seen if not isinstance(cell, Omitted)}):
                    continue
            shown[n] = cells
    return shown


def look_of(matter: Matter, decision: Decision, reads: frozenset[str]) -> Look:
    """Return how the rows of a decision look; the memo of decisions gives one object to many."""
    known = matter.looks.get(id(decision))
    if known is not None:
        return known[1]
    fields = matter.plan.bundle.fields
    treatments = {
        name: FieldTreatment(outcome.step, fields[name].data_class)
        for name, outcome in decision.fields.items()
        if not outcome.withheld
    }
    masking = _masking_of(tuple(treatments.items()))
    look = Look(masking, are_revealed(reads, decision.fields), alike(matter.case, decision))
    matter.looks[id(decision)] = decision, look  # the decision too: its id is its own as long as it lives
    return look


@lru_cache(maxsize=256)
def _masking_of(treatments: tuple[tuple[str, FieldTreatment], ...]) -> Masking:
    """Return the mask of these treatments: one for all decisions that treat alike."""
    return Masking(dict(treatments))


def _judged(
    matter: Matter,
    rows: Sequence[Fetched],
    told: Survey,
    start: int,
    kinds: dict[int, tuple[Facts, Decision]],
) -> list[Judged]:
    """Decide on rows, the first of which has the place `start`. Of whom nothing was said, as of most, the columns alone tell
    what he is like; `kinds` has what was found for those of this batch, by the mapping that a store gives to all rows with
    the same."""
    sids, said, scopes = told.sids, told.events, told.scopes
    judged = list[Judged]()
    for place, row in enumerate(rows, start):
        is_silent = said[place] == () and place not in scopes
        found = kinds.get(id(row.attributes)) if is_silent else None
        if found is None:
            found = _found_of(matter, row, told, place)
            if is_silent:
                kinds[id(row.attributes)] = found
        judged.append(_AS_JUDGED((row, sids[place], *found)))
    return judged


def _found_of(matter: Matter, row: Fetched, told: Survey, place: int) -> tuple[Facts, Decision]:
    if told.events[place] or place in told.scopes:
        return _found(matter, row, told.recalled(place))
    if told.events[place] is None:  # others count as well
        recalled = told.recalled(place)
        if recalled.events or recalled.suppressions:
            return _found(matter, row, recalled)
    return _silent(matter, row, told, place)


def _silent(matter: Matter, row: Fetched, told: Survey, place: int) -> tuple[Facts, Decision]:
    """Return what is found of somebody of whom nothing was said: by values and types of the columns, as 1 and True are
    equal and not the same."""
    columns = row.attributes
    try:
        kind = (*columns.items(), *map(type, columns.values()))
        found = matter.silent.get(kind)
    except TypeError:  # a list, say
        return _found(matter, row, told.recalled(place))
    if found is None:
        if len(matter.silent) >= MOST_KINDS:
            matter.silent.clear()
        found = matter.silent[kind] = _found(matter, row, told.recalled(place))
    return found


def _found(matter: Matter, row: Fetched, told: Recalled) -> tuple[Facts, Decision]:
    identity, plan = told.identity, matter.plan
    request, now = matter.case.request, matter.case.now
    raw = Raw(
        matter.principal,
        told.events,
        "" if identity.is_shared else identity.sid,
        row.attributes,
        told.suppressions if plan.needs_suppressions else None,
    )
    known = particulars(plan.bundle, request, matter.asker.values, raw, now)
    found = matter.decided.get(known)
    if found is None:
        if len(matter.decided) >= MOST_KINDS:
            matter.decided.clear()
            matter.looks.clear()
        facts = told_of(plan.bundle, matter.asker, known)
        found = matter.decided[known] = facts, matter.case.decider.decide(plan, request, facts)
        if (shadow := matter.case.gate.shadow) is not None:  # about a kind of rows, not about each
            shadow.ask(Seen(plan, request, facts), found[1], now, matter.case.decision_id)
    return found


def _with(facts: Facts, more: Mapping[str, FactValue]) -> Facts:
    return Facts({**facts.values, **more})


def _unmapped(case: Case) -> Decision | None:
    """Refuse a store that is not configured, or a field that it does not map."""
    store = case.gate.stores.get(case.request.store)
    if store is None:
        return refuse(case.decider.bundle.digest, "UNKNOWN_STORE")
    if not store.fields.issuperset(case.request.fields):
        return refuse(case.decider.bundle.digest, "UNKNOWN_FIELD")
    return None
