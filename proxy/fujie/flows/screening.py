"""Many who are only asked about: decided as `judge_many` does, and told no more of than what came of each.

A campaign of hundreds of thousands has some dozens of kinds of customers. Who they are is read of each, and reduced to a kind
before any object is made of it; only the first of a kind is judged.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fujie.decision.facts import consent_facts
from fujie.decision.suppression import suppressed
from fujie.flows.identify import refs_of
from fujie.flows.judging import Judge, Judgement, Matter, judge_many, sid_of
from fujie.flows.recipients import Wanted, person_of, recalled_many
from fujie.flows.refuse import standing
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.decision import Decision
from fujie.model.message import Recipient
from fujie.model.phone import country_of, zones_of
from fujie.model.record import Fetched
from fujie.ports.messaging import Recalled


class Screened(NamedTuple):
    """What came of one recipient who was only asked about: the sid (empty: nobody is known), and the decision."""

    sid: str
    decision: Decision

    def __repr__(self) -> str:
        return "Screened(...)"


async def screen_many(
    matter: Matter, refs: Sequence[CustomerRef], params: Mapping[str, str], timeout_s: float
) -> Sequence[Screened] | Decision | None:
    """Decide as `judge_many` does on recipients who would all be sent the same, and tell no more of each than what came
    of it: for the hundred thousands of whom somebody only wants to know. Returns and raises like `judge_many`."""
    case, store = matter.case, matter.case.gate.stores.get(matter.case.request.store)
    keys = [ref for ref in refs if isinstance(ref, StoreKey)]
    is_plain = len(keys) == len(refs) and matter.wording.asked is None
    if store is None or not is_plain or any(key.store != case.request.store for key in keys):
        wanted = [Wanted(str(place), "", Recipient(ref, params)) for place, ref in enumerate(refs)]
        judgement = await judge_many(matter, wanted, timeout_s)
        if not isinstance(judgement, Judgement):
            return judgement
        return [Screened(sid_of(each), each.decision) for each in judgement.judged]
    attributes = matter.plan.customer_attributes & store.attributes
    rows = {row.key.customer_id: row for row in await store.fetch_many(keys, attributes, timeout_s)}
    case.watch.lap("store")
    _, told = await recalled_many(case, {name: refs_of(row) for name, row in rows.items()})
    case.watch.lap("ledger")
    principal = await standing(case)
    if principal != matter.principal:
        return principal if isinstance(principal, Decision) else None
    kinds = _Kinds(matter, params)
    names = [key.customer_id for key in keys]
    screened = [
        kinds.screened(key, rows.get(name), told.get(name)) for key, name in zip(keys, names, strict=True)
    ]
    case.watch.lap("decide")
    return screened


class _Kinds:
    """The kinds of recipients of one matter, who would all be sent the same."""

    def __init__(self, matter: Matter, params: Mapping[str, str]) -> None:
        self._matter = matter
        self._params = params
        self._judge = Judge(matter)
        self._decided: dict[object, Decision] = {}

    def screened(self, key: StoreKey, row: Fetched | None, told: Recalled | None) -> Screened:
        """Return what `Judge.judged` comes to.

        Of whom nothing was sent lately it reads country and zones of the number, the attributes, the state of consent and
        whether an opt-out is in force: who is alike in these is not judged again. Values that Python takes for equal
        (1, 1.0, True) are not alike.
        """
        if row is None or told is None or told.sent:
            return self._alone(key, row, told)
        case, phone = self._matter.case, row.phone
        bundle, request, identity = self._matter.plan.bundle, case.request, told.identity
        sid = "" if identity.is_shared else identity.sid
        values = row.attributes.values()
        alike = (
            (country_of(phone), zones_of(phone)) if phone else None,
            *values,
            *map(type, values),
            *consent_facts(bundle, request, told.events, sid, case.now),
            bool(told.suppressions)
            and suppressed(told.suppressions, request.purpose, request.channel, request.brand),
        )
        try:
            decision = self._decided.get(alike)
        except TypeError:  # a column that holds lists
            return self._alone(key, row, told)
        if decision is None:
            decision = self._decided[alike] = self._alone(key, row, told).decision
        return Screened(identity.sid, decision)

    def _alone(self, key: StoreKey, row: Fetched | None, told: Recalled | None) -> Screened:
        wanted = Wanted("", "", Recipient(key, self._params))
        judged = self._judge.judged(person_of(wanted, row), told)
        return Screened(sid_of(judged), judged.decision)
