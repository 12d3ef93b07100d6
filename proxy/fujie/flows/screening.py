"""Many who are only asked about: decided as `judge_many` does, and told no more of than what came of each.

A campaign of hundreds of thousands has some dozens of kinds of customers. Who they are is read of each, and reduced to a kind
before any object is made of it; only the first of a kind is judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fujie.decision.consent import bearing
from fujie.decision.recipient import counting
from fujie.flows.judging import Judge, Judgement, Matter, is_same_slot, judge_many, sid_of
from fujie.flows.recipients import Wanted, person_of, sending_of
from fujie.flows.refuse import standing
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.decision import Decision
from fujie.model.message import Recipient
from fujie.model.phone import whereabouts
from fujie.model.record import Fetched, SealedRecord
from fujie.ports.recollection import Recalled, Survey
from fujie.ports.stores import Values

Screened = tuple[str, Decision]
"""What came of one recipient who was only asked about: the sid (empty: nobody is known), and the decision."""

_NO_FIELDS = SealedRecord({})

_MOST_KINDS = 10_000
"""Kinds that are remembered from one batch to the next. By design there are few."""


@dataclass(slots=True)
class Met:
    """The kinds that were met so far, by those who would be sent the same with the same `params`."""

    params: Mapping[str, str]
    decided: dict[object, Decision] = field(default_factory=dict)
    _matter: Matter | None = None

    def under(self, matter: Matter) -> dict[object, Decision]:
        """Return what was decided of each kind under a matter that is the same; a kind tells all else that a decision reads."""
        last = self._matter
        is_same = (
            last is not None
            and last.plan is matter.plan
            and (last.asker, last.wording, last.route, last.case.request)
            == (matter.asker, matter.wording, matter.route, matter.case.request)
            and is_same_slot(last.case.now, matter.case.now)
        )
        if not is_same or len(self.decided) > _MOST_KINDS:
            self.decided = {}
        self._matter = matter
        return self.decided


async def screen_many(
    matter: Matter, refs: Sequence[CustomerRef], met: Met, timeout_s: float
) -> Sequence[Screened] | Decision | None:
    """Decide as `judge_many` does on recipients who would all be sent the same, and tell no more of each than what came
    of it: for the hundred thousands of whom somebody only wants to know. Returns and raises like `judge_many`."""
    case, store = matter.case, matter.case.gate.stores.get(matter.case.request.store)
    ids = [ref.customer_id for ref in refs if isinstance(ref, StoreKey) and ref.store == case.request.store]
    if store is None or len(ids) < len(refs) or matter.wording.asked is not None:
        wanted = [Wanted(str(place), "", Recipient(ref, met.params)) for place, ref in enumerate(refs)]
        judgement = await judge_many(matter, wanted, timeout_s)
        if not isinstance(judgement, Judgement):
            return judgement
        return [(sid_of(each), each.told) for each in judgement.judged]
    attributes = matter.plan.customer_attributes & store.attributes
    rows = {row[0]: row for row in await store.fetch_values(ids, attributes, timeout_s)}
    case.watch.lap("store")
    people = [(customer_id, phone) for customer_id, phone, _ in rows.values()]
    outbox, request = sending_of(case.gate).outbox, case.request
    told = await outbox.survey(request.store, people, request.purpose, case.now, enrol=True, sent=True)
    case.watch.lap("ledger")
    principal = await standing(case)
    if principal != matter.principal:
        return principal if isinstance(principal, Decision) else None
    screened = _Kinds(matter, met, sorted(attributes)).screened(ids, rows, told)
    case.watch.lap("decide")
    return screened


class _Kinds:
    """The kinds of recipients of one matter, who would all be sent the same."""

    def __init__(self, matter: Matter, met: Met, attributes: Sequence[str]) -> None:
        self._store = matter.case.request.store
        self._params = met.params
        self._decided = met.under(matter)
        self._attributes = attributes
        self._judge = Judge(matter)
        request, now = matter.case.request, matter.case.now
        purpose = matter.plan.bundle.purposes.get(request.purpose)
        self._now, self._ttl = now, purpose.consent_ttl if purpose else None

    def screened(self, ids: Sequence[str], rows: Mapping[str, Values], told: Survey) -> list[Screened]:
        """Return what `Judge.judged` comes to for each.

        It reads country and zones of the number, the attributes, what bears on the state of consent, the opt-outs, and how
        messages count: who is alike in these is not judged again.
        """
        of_all = _types(list(rows.values()))
        bears, scopes = bearing(self._now, self._ttl), told.scopes.get
        counts = counting(self._now)
        sent = {place: counts(each) for place, each in told.sent.items()}.get
        decided = self._decided
        screened: dict[str, Screened] = {}
        of_each = zip(rows.values(), told.sids, told.events, strict=True)
        for place, (row, sid, events) in enumerate(of_each):
            customer_id, phone, values = row
            if events is None:
                screened[customer_id] = self._alone(customer_id, row, told.recalled(place))
                continue
            types = tuple(map(type, values)) if of_all is None else of_all
            alike = (whereabouts(phone), values, types, bears(events), scopes(place), sent(place))
            try:
                decision = decided.get(alike)
            except TypeError:  # a column that holds lists
                screened[customer_id] = self._alone(customer_id, row, told.recalled(place))
                continue
            if decision is None:
                decision = decided[alike] = self._alone(customer_id, row, told.recalled(place))[1]
            screened[customer_id] = (sid, decision)
        return [screened.get(each) or self._alone(each, None, None) for each in ids]

    def _alone(self, customer_id: str, row: Values | None, told: Recalled | None) -> Screened:
        key = StoreKey(self._store, customer_id)
        wanted = Wanted("", "", Recipient(key, self._params))
        fetched = None
        if row is not None:
            attributes = dict(zip(self._attributes, row[2], strict=True))
            fetched = Fetched(key, _NO_FIELDS, attributes, row[1])
        judged = self._judge.judged(person_of(wanted, fetched), told)
        return sid_of(judged), judged.told


def _types(rows: Sequence[Values]) -> tuple[frozenset[type], ...] | None:
    """Return the type of each column, beside NULL; None where one has several. Python takes values of some for equal (1, 1.0,
    True), also of this batch and the next."""
    columns = zip(*[values for _, _, values in rows], strict=True)
    types = tuple([frozenset(map(type, column)) - {type(None)} for column in columns])
    return None if any(len(each) > 1 for each in types) else types
