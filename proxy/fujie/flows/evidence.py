"""Entries: what a case leaves in the log before anything leaves the gate (promise 2)."""

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from fujie.audit.canon import canonical
from fujie.audit.entry import Entry, EntryKind, leaf_bytes
from fujie.audit.errors import EntryTooLarge
from fujie.audit.sealing import Place, SealKey, seal_facts, unwrap_key
from fujie.decision.anew import reason_codes, steps
from fujie.decision.replay import LEFT_OUT, PEOPLE, UNNAMED
from fujie.flows.gate import Case
from fujie.flows.perdecision import PerDecision
from fujie.flows.reply import Summary
from fujie.model.consent import EntryRef
from fujie.model.customer import Identity
from fujie.model.decision import Decision
from fujie.model.facts import ROWS, Known, Unknown
from fujie.model.request import Request
from fujie.model.vocabulary import CUSTOMER_ACTIONS, Action, Basis, State
from fujie.policy.bundle import Bundle
from fujie.policy.cel import ENGINE


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

UNKNOWN = UNNAMED
"""Stands in an entry for a purpose, basis, store or field that nobody defined."""

_BASES = frozenset(Basis)


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
    told = _TOLD.of(decision, case.decider.bundle)
    return (decision.effect, decision.bundle, told.reasons, tuple(sorted(told.facts.items())))


async def _appended(case: Case, kind: EntryKind, people: Sequence[Decided]) -> tuple[Summary, EntryRef]:
    """Append one entry of all these people; what is open about them is that of the first."""
    gate = case.gate
    uid = gate.ids.new_id()
    request = _recorded(case)
    subject, decision = people[0]
    bundle = case.decider.bundle
    told = _TOLD.of(decision, bundle)
    facts = {**told.facts, **_asked(request)} if decision.read else dict(told.facts)
    sids = tuple(dict.fromkeys(sid for person, _ in people for sid in person.sids))
    sealed: dict[str, str] = {}
    for person, decided in people:
        personal = _TOLD.of(decided, bundle).personal
        of_person = _sealed(case, personal, uid, person)
        if personal and not of_person:
            facts[LEFT_OUT] = True
        sealed |= of_person
    if len(people) > 1:
        facts[PEOPLE] = len(people)
    if request is not case.request:
        for name in ("purpose", "basis", "store", "fields"):
            if f"request.{name}" in facts:
                facts[f"request.{name}"] = getattr(request, name)
    entry = Entry(
        uid=uid,
        time=case.now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        origin=gate.log.origin,
        kind=kind,
        decision_id=case.decision_id,
        principal=case.caller.subject,
        on_behalf_of=case.asserted.principal_id or (UNKNOWN if case.context.on_behalf_of else ""),
        action=str(case.request.action),  # `value` of an enum is a call of the interpreter
        purpose=request.purpose,
        basis=request.basis,
        store=request.store,
        sids=sids,
        fields=told.steps,
        effect=str(decision.effect),
        reasons=told.reasons,
        facts=facts | dict(subject.facts) | _channel(case),
        sealed=sealed,
        bundle=decision.bundle,
        request_digest=request_digest(case, request, sids),
        engine=ENGINE,
    )
    index = await gate.log.append(leaf_bytes(entry))
    for _ in people if kind is not EntryKind.OUTCOME else ():
        gate.metrics.decided(entry.action, entry.effect, decision.primary)
    case.watch.lap("evidence")
    summary = Summary(case.decision_id, decision.effect, decision.bundle, decision.warnings)
    return summary, EntryRef(entry.origin, index)


def _asked(request: Request) -> dict[str, Known]:
    """Return what else a replay must know of the request, whether a rule read it or not."""
    if request.action is Action.CONSENT_RECORD:
        return {"request.has_prompt": request.has_prompt}
    if request.action not in CUSTOMER_ACTIONS:
        return {}
    told: dict[str, Known] = {}
    if request.action is Action.SEND:
        told = {"request.channel": request.channel, "request.brand": request.brand}
    return told | {
        "request.key": request.key_kind,
        "request.fields": request.fields,
        "request.strict": request.strict,
        "request.has_basis_evidence": request.has_basis_evidence,
        "request.has_ticket": request.has_ticket,
        ROWS: request.rows,
    }


def _channel(case: Case) -> dict[str, Known]:
    """Return the workload through which somebody called with a token of his own."""
    caller = case.caller
    return {"caller.workload": caller.workload} if caller.workload and not caller.is_workload else {}


def request_digest(case: Case, request: Request, sids: tuple[str, ...]) -> str:
    """Return what identifies the request: SHA-256 over its canonical form, with sids in place of the
    customer, since a digest of a phone number would be its enumerable pseudonym."""
    said: dict[str, object] = {
        "action": str(request.action),
        "purpose": request.purpose,
        "basis": request.basis,
        "store": request.store,
        "key": request.key_kind,
        "fields": request.fields,
        "strict": request.strict,
        "basis_evidence": request.has_basis_evidence,
        "ticket": request.has_ticket,
        "prompt": request.has_prompt,
        "principal": case.caller.subject,
        "on_behalf_of": case.asserted.principal_id,
        "sids": sids,
    }
    if request.action is Action.SEND:
        said |= {"channel": request.channel, "brand": request.brand}
    if request.action is Action.EXPORT:
        said |= {"rows": request.rows, "terms": request.terms}
    return hashlib.sha256(canonical(said)).hexdigest()


def _recorded(case: Case) -> Request:
    """Return the request as the log may keep it for ever: a name that nobody defined may be anything, a
    phone number in the wrong place for example. A replay comes to the same refusal: UNKNOWN is none either."""
    request, bundle, stores = case.request, case.decider.bundle, case.gate.stores
    purpose, basis = _ours(request.purpose, bundle.purposes), _ours(request.basis, _BASES)
    store, fields = (
        _ours(request.store, stores),
        tuple(_ours(name, bundle.fields) for name in request.fields),
    )
    brand = _ours(request.brand, bundle.senders)
    named = (purpose, basis, store, fields, brand)
    if named == (request.purpose, request.basis, request.store, request.fields, request.brand):
        return request
    fields = tuple(sorted(set(fields)))
    return replace(request, purpose=purpose, basis=basis, store=store, fields=fields, brand=brand)


def _ours(name: str, known: Container[str]) -> str:
    return name if not name or name in known else UNKNOWN


class _Told(NamedTuple):
    """What an entry says of a decision: the known facts that it depended on, the open ones and the personal ones, the step
    of each field, and the codes of its reasons."""

    facts: Mapping[str, Known]
    personal: Mapping[str, Known]
    steps: Mapping[str, str]
    reasons: tuple[str, ...]


def _told(decision: Decision, bundle: Bundle) -> _Told:
    facts: dict[str, Known] = {}
    personal: dict[str, Known] = {}
    for path, value in decision.read.items():
        if not isinstance(value, Unknown):
            plain = value.value if isinstance(value, State) else value
            (personal if bundle.facts[path].personal else facts)[path] = plain
    return _Told(facts, personal, steps(decision), reason_codes(decision))


_TOLD = PerDecision(_told)


def _sealed(case: Case, personal: Mapping[str, Known], uid: str, subject: Subject) -> dict[str, str]:
    """Encrypt personal facts under the customer's own key. Without a living key they are left out: erased is erased."""
    if not personal or subject.wrapped_key is None:
        return {}
    sid = subject.sids[0]
    key = data_key(subject.wrapped_key, case.gate.seal_key, sid)
    return {sid: seal_facts(personal, key, Place(case.gate.log.origin, uid, sid), case.gate.ids.nonce())}


@lru_cache(maxsize=4096)
def data_key(wrapped: bytes, under: SealKey, sid: str) -> SealKey:
    """Return the data key of `sid`, unwrapped (20 µs). The ledger is asked for the wrapped one every time, so an erased key
    finds no use here, only a place in memory until others push it out."""
    return SealKey(sid, unwrap_key(wrapped, under, sid))
