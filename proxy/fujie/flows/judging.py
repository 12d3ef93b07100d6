"""Many recipients of one message, decided alike: one plan, one reading of stores and ledger, one decision for each.

1. Who asks and what for is judged without any recipient: `opened_matter`.
2. Stores, then the ledger, whose marker says up to where it was read.
3. The principal and the provider's processor once more: what changed before the marker was seen by none of the two reads.
4. For each recipient: what it would read like, its review, facts, the decision.
5. What the limits take, one by one, as for a look-up.

An opt-out is obeyed whatever the policy says (promise 5), and who is not there, or has no number, gets nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from fujie.decision.anew import Seen
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import (
    Raw,
    derive,
    particulars,
    told_of,
    with_customer,
    with_message,
)
from fujie.decision.message import Rendered
from fujie.decision.plan import Plan
from fujie.decision.recipient import Reached
from fujie.flows.asking import unaskable
from fujie.flows.evidence import NOBODY, Subject
from fujie.flows.gate import Case
from fujie.flows.recipients import (
    Person,
    Wanted,
    found,
    recalled,
    sending_of,
)
from fujie.flows.refuse import standing
from fujie.flows.reserve import Meter, backwards
from fujie.flows.wording import Route, Wording
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import AGREEMENT, APPROVED, Facts, FactValue
from fujie.model.limit import Reservation
from fujie.model.message import Recipient, SentMessage
from fujie.model.phone import country_of, zones_of
from fujie.model.principal import Principal
from fujie.model.vocabulary import Effect, State
from fujie.ports.recollection import Recalled

SLOT = timedelta(minutes=15)
"""Every zone's hours begin at a multiple of this: within one slot no hour that a decision read ends."""

MOST_HOURS = 168
"""How far an opening is looked for: a week has every hour of every weekday in it."""

_AGREED = (State.VALID, State.NOT_NEEDED)


@dataclass(frozen=True, slots=True, repr=False)
class Matter:
    """What is one for all recipients: the request, its plan, the asker with the facts that are his, the wording, and the
    route that it is judged for."""

    case: Case
    plan: Plan
    principal: Principal
    wording: Wording
    route: Route
    asker: Facts
    meter: Meter


class Judged(NamedTuple):
    """A decided recipient. `rendered` is what it would read like (None: nothing can be rendered for it)."""

    person: Person
    recalled: Recalled | None
    raw: Raw
    facts: Facts
    decision: Decision
    rendered: Rendered | None = None
    trouble: str = ""

    def __repr__(self) -> str:
        return "Judged(...)"

    @property
    def id(self) -> str:
        """Id of its intent."""
        return self.person.wanted.id

    @property
    def is_allowed(self) -> bool:
        """Tell whether it may be sent."""
        return self.decision.effect is Effect.ALLOW

    @property
    def told(self) -> Decision:
        """The decision as its asker is told of it. Of whom there is no number nobody knows the hour, or what was sent to him: beside
        another reason that says nothing but that he is not there. The entry has all of it."""
        said = tuple(hit for hit in self.decision.reasons if hit.code != "FACT_MISSING")
        is_there = self.person.phone is not None
        return self.decision if is_there or not said else replace(self.decision, reasons=said)

    def subject(self) -> Subject:
        """Return whom an entry about it is about."""
        if self.recalled is not None:
            return Subject.of(self.recalled.identity)
        sid = self.person.wanted.sid
        return Subject((sid,)) if sid else NOBODY

    def segments(self) -> int:
        """Return how many parts the message has, as its review counted them; 0 where it did not."""
        told = self.facts.get("message.segments")
        return told if isinstance(told, int) else 0


@dataclass(frozen=True, slots=True, repr=False)
class Judgement:
    """What was decided, in the order of the recipients, and the change sequence up to which the ledger was read.
    `at` is the moment for which it was decided; `took` is what the allowed ones took from limits, by intent id."""

    marker: int
    at: datetime
    judged: tuple[Judged, ...]
    took: Mapping[str, Reservation] = field(default_factory=dict)


def prechecked(case: Case, principal: Principal, wording: Wording) -> Decision | None:
    """Return the refusal that no recipient and no limit can change, else None."""
    plan = case.decider.plan(case.request, principal.roles)
    return precheck(plan, case.request, _routed(case, principal, wording, 0)[1])


async def opened_matter(
    case: Case, principal: Principal, wording: Wording, attempt: int = 0, approved: Sequence[str] = ()
) -> Matter | Decision:
    """Return what is one for all recipients, or the refusal that no recipient can change.

    `attempt` tells how many providers certainly did not take it; those that may carry data come in turn.
    """
    plan = case.decider.plan(case.request, principal.roles)
    route, asker = _routed(case, principal, wording, attempt)
    asker = Facts({**asker.values, APPROVED: tuple(sorted(approved))})
    closed = precheck(plan, case.request, asker)
    case.watch.lap("precheck")
    meter = Meter(case, plan, principal.id, StoreKey(case.request.store, ""))  # nobody is asked for by name
    if closed is None and meter.is_needed:
        asker = await meter.attempt(asker)
        closed = precheck(plan, case.request, asker) if meter.is_short else None
    return closed or Matter(case, plan, principal, wording, route, asker, meter)


async def judge_many(
    matter: Matter,
    wanted: Sequence[Wanted],
    timeout_s: float,
    known: Callable[[Facts, str], Awaitable[Facts]] | None = None,
) -> Judgement | Decision | None:
    """Decide on at most 1,000 recipients of one store and key kind, without taking anything from a limit.

    `known` adds what others agreed to, for a recipient's sid. Returns the refusal of an asker who may not ask any more;
    None when he, or the provider's processor, is not what it was when the matter was opened, which is then to be opened anew.

    Raises:
        StoreError, LedgerError: what the decision needs could not be read.

    """
    case = matter.case
    people = await found(case, wanted, matter.plan.customer_attributes, timeout_s)
    case.watch.lap("store")
    marker, told = await recalled(case, people)
    asked = matter.wording.asked
    about = (await recalled(case, people, asked.purpose))[1] if asked else {}
    case.watch.lap("ledger")
    principal = await standing(case)
    if principal != matter.principal:
        return principal if isinstance(principal, Decision) else None
    if not await _is_registered_as_before(matter):
        return None
    judge = Judge(matter)
    judged = [
        judge.judged(person, told.get(person.wanted.id), about.get(person.wanted.id)) for person in people
    ]
    if known is not None:
        judged = [decided(matter, each, await known(each.facts, sid_of(each))) for each in judged]
    case.watch.lap("decide")
    return Judgement(marker, case.now, tuple(judged))


async def taken(matter: Matter, judgement: Judgement, *, of_allowed: bool = True) -> Judgement:
    """Take what the decisions take from the limits; whom there is no room for is refused by that. Not `of_allowed`: nothing is taken,
    for nobody is sent to now, and who is refused is told of a limit that is used up all the same, and not why else."""
    if not matter.meter.is_needed:
        return judgement
    judged = list(judgement.judged)
    meters = [
        copy(matter.meter) for _ in judged
    ]  # what is used up for one customer need not be for another
    left = [n for n, each in enumerate(judged) if of_allowed or not each.is_allowed]
    took = dict[str, Reservation]()
    while left:
        asked = [meters[n].taking(judged[n].decision, sid_of(judged[n])) for n in left]
        lacking = await matter.case.gate.ledger.reserve_many(asked)
        again = list[int]()
        for n, reservation, without in zip(left, asked, lacking, strict=True):
            if (facts := meters[n].anew(reservation, without, judged[n].facts)) is not None:
                judged[n] = decided(matter, judged[n], facts)
                again.append(n)
            elif reservation.charges:
                took[judged[n].id] = reservation
        left = again
    return replace(judgement, judged=tuple(judged), took=took)


async def give_back(matter: Matter, judgement: Judgement, intent_ids: Iterable[str]) -> None:
    """Give back the rows that messages took which did not go out, to the very minute that they were taken from: who is sent to
    later takes again. A customer who was counted stays counted. Raises LedgerError: they stay taken."""
    took = [judgement.took[each] for each in intent_ids if each in judgement.took]
    if back := [each for each in map(backwards, took) if each.charges]:
        await matter.case.gate.ledger.reserve_many(back)


def decided(matter: Matter, judged: Judged, facts: Facts) -> Judged:
    """Decide on a recipient by `facts`."""
    return judged._replace(facts=facts, decision=_decision(matter, facts, judged.trouble))


def _decision(matter: Matter, facts: Facts, trouble: str) -> Decision:
    decision = matter.case.decider.decide(matter.plan, matter.case.request, facts)
    # A rule that could not read what is not there says nothing, and to wait would not help; else its reason comes first.
    is_silent = (
        decision.effect is not Effect.DENY
        or decision.deferrable
        or all(hit.code == "FACT_MISSING" for hit in decision.reasons)
    )
    return refuse(decision.bundle, trouble) if trouble and is_silent else decision


def next_opening(matter: Matter, judged: Judged, now: datetime) -> datetime | None:
    """Return the full hour, where the recipient is, at which a refusal that waiting may open is none any more.

    It is decided again then, on what is so by then. None: not within a week.
    """
    reached = judged.raw.reached
    case, bundle = matter.case, matter.plan.bundle
    zone: tzinfo = reached.zones[0] if reached and reached.zones else case.gate.zone
    local = now.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    for hours in range(1, MOST_HOURS + 1):
        moment = now - into + timedelta(hours=hours)
        asker = derive(bundle, case.request, _asker(matter.principal, matter.route), moment, case.gate.zone)
        facts = with_customer(bundle, case.request, asker, judged.raw, moment)
        values = {**matter.asker.values, **facts.values}
        if decided(matter, judged, Facts(values)).decision.effect is not Effect.DENY:
            return moment
    return None


def is_same_slot(first: datetime, second: datetime) -> bool:
    """Tell whether no hour of any zone ends between two moments."""
    return int(first.timestamp() // SLOT.total_seconds()) == int(second.timestamp() // SLOT.total_seconds())


def _routed(case: Case, principal: Principal, wording: Wording, attempt: int) -> tuple[Route, Facts]:
    """Return the next route whose company may process data for us, with the asker's facts; the first of all where none
    may: that refuses, and says why."""
    bundle, zone = case.decider.bundle, case.gate.zone
    known = [
        (route, derive(bundle, case.request, _asker(principal, route), case.now, zone))
        for route in wording.routes
    ]
    agreed = [each for each in known if each[1].get(AGREEMENT) in _AGREED]
    return agreed[attempt % len(agreed)] if agreed else known[0]


async def _is_registered_as_before(matter: Matter) -> bool:
    processor_id = matter.route.provider.processor
    if not processor_id:
        return True
    return await sending_of(matter.case.gate).processors.processor(processor_id) == matter.route.processor


def _asker(principal: Principal, route: Route) -> Raw:
    return Raw(principal, message={}, processor=route.processor, is_local=route.is_local)


class _Said(NamedTuple):
    """What a recipient with these params, in this country, would read: the facts with those of asker and message."""

    rendered: Rendered | None
    trouble: str
    message: Mapping[str, FactValue]
    facts: Facts


class Judge:
    """Judges the recipients of one matter one by one; those of whom the facts say the same are decided once.

    A campaign has few kinds of recipients: what differs by customer is reduced to states first (`Particulars`).
    """

    def __init__(self, matter: Matter) -> None:
        self._matter = matter
        self._said: dict[object, _Said] = {}
        self._reached: dict[object, Reached] = {}
        self._decided: dict[object, tuple[Facts, Decision]] = {}

    def judged(self, person: Person, told: Recalled | None, about: Recalled | None = None) -> Judged:
        """Return the decision on one recipient, of whom the ledger told this; `about` the purpose that is asked for."""
        matter, case = self._matter, self._matter.case
        phone = person.phone.e164 if person.phone else ""
        country = country_of(phone) if phone else ""
        said = self._saying(person.wanted.recipient, country)
        raw = Raw(
            matter.principal,
            told.events if told else (),
            told.identity.sid if told and not told.identity.is_shared else "",
            person.attributes,
            told.suppressions if told else (),
            said.message,
            matter.route.processor,
            matter.route.is_local,
            self._reaching(said, country, phone, told.sent if told else ()) if phone else None,
        )
        bundle, request = matter.plan.bundle, case.request
        known = particulars(bundle, request, said.facts.values, raw, case.now)
        trouble = "CUSTOMER_OPTED_OUT" if known.in_force else person.trouble or said.trouble
        if matter.wording.asked and not trouble:
            trouble = unaskable(matter.wording.asked, about, case.now)
        kind = (id(said), known, trouble)
        found = self._decided.get(kind)
        if found is None:
            facts = told_of(bundle, said.facts, known)
            found = self._decided[kind] = facts, _decision(matter, facts, trouble)
            if case.gate.shadow is not None and not trouble:  # about a kind of recipients
                seen = Seen(matter.plan, request, facts)
                case.gate.shadow.ask(seen, found[1], case.now, case.decision_id)
        return Judged(person, told, raw, *found, said.rendered, trouble)

    def _saying(self, recipient: Recipient | None, country: str) -> _Said:
        """Return what was said of the same params and country before, or look at it."""
        params = recipient and (tuple(recipient.params.items()) if recipient.params else ())
        said = self._said.get((params, country))
        if said is None:
            said = self._said[params, country] = self._look(recipient, country)
        return said

    def _look(self, recipient: Recipient | None, country: str) -> _Said:
        matter, case, trouble = self._matter, self._matter.case, ""
        rendered, provider = None, matter.route.provider.name
        message: Mapping[str, FactValue] = {}
        if recipient is not None:
            try:
                rendered = matter.wording.sample(recipient)
            except RequestError as error:
                trouble = error.code
        if rendered is not None:
            review = case.decider.reviewer.review(
                rendered, matter.wording.draft, matter.wording.template, matter.wording.sender,
                provider, country, sending_of(case.gate).kinds.get(provider, ""),
            )  # fmt: skip
            message = matter.wording.told(case, matter.route, review)
        facts = with_message(case.request, matter.asker, message)
        return _Said(rendered, trouble, message, facts)

    def _reaching(
        self, said: _Said, country: str, phone: str, sent: Sequence[SentMessage]
    ) -> Reached | None:
        if said.rendered is None:
            return None
        zones = zones_of(phone)
        kind = (id(said), zones)
        reached = self._reached.get(kind)
        if reached is None:
            of_names = tuple(map(_zone, zones))
            reached = self._reached[kind] = Reached(country, of_names, (), said.rendered.content)
        return replace(reached, sent=sent) if sent else reached


def sid_of(judged: Judged) -> str:
    """Return the sid of a recipient; empty, when nobody is known."""
    return judged.recalled.identity.sid if judged.recalled else ""


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
