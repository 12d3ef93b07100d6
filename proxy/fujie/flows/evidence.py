"""Entries: what a case leaves in the log before anything leaves the gate (promise 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from fujie.audit.entry import EntryKind
from fujie.audit.errors import EntryTooLarge
from fujie.audit.form import Own
from fujie.audit.sealing import Place, SealKey, seal, unwrap_key
from fujie.decision.replay import LEFT_OUT, PEOPLE
from fujie.flows.gate import Case
from fujie.flows.likeness import personal_of, shared_by, told_of
from fujie.flows.reply import Summary
from fujie.model.consent import EntryRef
from fujie.model.customer import Identity
from fujie.model.decision import Decision
from fujie.model.facts import Known
from fujie.model.making import made_often


@made_often
@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an entry is about: sids (the asked one first), the wrapped data key of that one for personal
    facts, and facts about the act itself, such as a target principal."""

    sids: tuple[str, ...] = ()
    wrapped_key: bytes | None = field(default=None, repr=False)
    facts: Mapping[str, Known] = field(default_factory=dict)

    @classmethod
    def of(cls, identity: Identity | None) -> "Subject":
        """Return the customer that the ledger knows; nobody when it knows none."""
        return cls(identity.sids, identity.wrapped_key) if identity else NOBODY


NOBODY = Subject()

Decided = tuple[Subject, Decision]
"""One person, and what was decided on them."""

APPROVAL_ID = "approval.id"
"""The fact of an entry that names an approval."""

EXPLAINED = "explained"
"""The fact of an entry that tells that the refusal went out with its explanation."""


async def record(case: Case, kind: EntryKind, decision: Decision, subject: Subject = NOBODY) -> Summary:
    """Append the entry of a decision and return once it is durable; counts the decision. Raises like `placed`."""
    return (await _appended(case, kind, ((subject, decision),)))[0]


async def placed(
    case: Case, kind: EntryKind, decision: Decision, subject: Subject = NOBODY
) -> tuple[Summary, EntryRef]:
    """Do what `record` does, and return where the entry lies as well.

    Raises:
        AuditError: the entry could not be made durable; nothing may be released.

    """
    return await _appended(case, kind, ((subject, decision),))


async def record_many(case: Case, kind: EntryKind, people: Sequence[Decided]) -> Summary:
    """Do what `record` does, for people on whom the same was decided by the same open facts, and with the same facts of
    the act: one entry, or as many as it takes. Counts a decision for each. There is at least one. Raises like `placed`.
    """
    try:
        return (await _appended(case, kind, people))[0]
    except EntryTooLarge:  # before anything was written
        if len(people) == 1:
            raise
    half = len(people) // 2
    summary = await record_many(case, kind, people[:half])
    await record_many(case, kind, people[half:])
    return summary


async def record_sids(
    case: Case, kind: EntryKind, decision: Decision, facts: Mapping[str, Known], sids: Sequence[str]
) -> None:
    """Do what `record` does for people on whom the same was decided, by their sids alone, with the same facts of the act:
    one entry, or as many as it takes. Raises like `placed`."""
    try:
        await record(case, kind, decision, Subject(tuple(sids), None, {**facts, PEOPLE: len(sids)}))
    except EntryTooLarge:  # before anything was written
        if len(sids) == 1:
            raise
        half = len(sids) // 2
        await record_sids(case, kind, decision, facts, sids[:half])
        await record_sids(case, kind, decision, facts, sids[half:])


def alike(case: Case, decision: Decision) -> tuple[object, ...]:
    """Return what two decisions must share to be told in one entry."""
    told = told_of(case, decision)
    facts, steps = tuple(sorted(told.facts.items())), tuple(told.steps.items())
    return (decision.effect, decision.bundle, told.reasons, facts, steps)


async def _appended(case: Case, kind: EntryKind, people: Sequence[Decided]) -> tuple[Summary, EntryRef]:
    """Append one entry of all these people; what is open about them is that of the first."""
    gate = case.gate
    uid = gate.ids.new_id()
    subject, decision = people[0]
    more: dict[str, Known] = {PEOPLE: len(people)} if len(people) > 1 else {}
    sids = tuple(dict.fromkeys([sid for person, _ in people for sid in person.sids]))
    sealed: dict[str, str] = {}
    for person, decided in people:
        if told_of(case, decided).personal:
            of_person = _sealed(case, decided, uid, person)
            if not of_person:
                more[LEFT_OUT] = True
            sealed |= of_person
    shared = shared_by(case, kind, decision, {**more, **subject.facts})
    own = Own(case.decision_id, shared.digest(sids), sealed, sids, _written(case.now), uid)
    index = await gate.log.append(shared.form.leaf(own))
    for _ in people if kind is not EntryKind.OUTCOME else ():
        gate.metrics.decided(str(case.request.action), str(decision.effect), decision.primary)
    case.watch.lap("evidence")
    summary = Summary(case.decision_id, decision.effect, decision.bundle, decision.warnings)
    return summary, EntryRef(gate.log.origin, index)


def _written(now: datetime) -> str:
    """Return a moment as entries have it. Exact: until 2255 a float tells a quarter of a microsecond."""
    return f"{_second(int(now.timestamp()))}.{now.microsecond:06}Z"


@lru_cache(maxsize=64)
def _second(since_1970: int) -> str:
    """Return a second as entries have it; many entries share one."""
    return datetime.fromtimestamp(since_1970, UTC).isoformat().removesuffix("+00:00")


def _sealed(case: Case, decided: Decision, uid: str, subject: Subject) -> dict[str, str]:
    """Encrypt personal facts under the customer's own key. Without a living key they are left out: erased is erased."""
    if subject.wrapped_key is None:
        return {}
    sid = subject.sids[0]
    key = data_key(subject.wrapped_key, case.gate.seal_key, sid)
    place = Place(case.gate.log.origin, uid, sid)
    return {sid: seal(personal_of(case, decided), key, place, case.gate.ids.nonce())}


@lru_cache(maxsize=4096)
def data_key(wrapped: bytes, under: SealKey, sid: str) -> SealKey:
    """Return the data key of `sid`, unwrapped (20 µs). The ledger is asked for the wrapped one every time, so an erased key
    finds no use here, only a place in memory until others push it out."""
    return SealKey(sid, unwrap_key(wrapped, under, sid))
