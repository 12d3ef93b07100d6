"""What the entries of like decisions share: all but whom they are about, and when. It is made once for all who ask the same."""

import hashlib
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import NamedTuple

from fujie.audit.canon import canonical
from fujie.audit.entry import Entry, EntryKind
from fujie.audit.form import Form
from fujie.decision.anew import reason_codes, steps
from fujie.decision.replay import UNNAMED
from fujie.flows.gate import Case
from fujie.flows.perdecision import PerDecision
from fujie.model.decision import Decision
from fujie.model.facts import ROWS, Known, Unknown
from fujie.model.request import Request
from fujie.model.vocabulary import CUSTOMER_ACTIONS, Action, Basis, State
from fujie.policy.bundle import Bundle
from fujie.policy.cel import ENGINE

UNKNOWN = UNNAMED
"""Stands in an entry for a purpose, basis, store or field that nobody defined."""

_BASES = frozenset(Basis)

_MOST = 1_024
"""Kinds of entries that are kept; some 3 kB each. Who asks what nobody asked before has his made anew."""


class Shared(NamedTuple):
    """What like entries share: their form, and the canonical request before its sids and behind them."""

    form: Form
    before: bytes
    behind: bytes

    def digest(self, sids: tuple[str, ...]) -> str:
        """Return what identifies the request about these customers, as `request_digest` does."""
        return _digest(self.before, sids, self.behind)


_KEPT: dict[tuple[object, ...], tuple[Shared, "Told", Request]] = {}
"""By all that the entry is made of beside its own facts. What is named by its `id` is held, so that no other gets that."""


def shared_by(case: Case, kind: EntryKind, decision: Decision, more: Mapping[str, Known]) -> Shared:
    """Return what this entry shares with others. With `more` facts, of the act itself, it shares nothing for long."""
    told, request, caller = told_of(case, decision), case.request, case.caller
    if more:
        return _made(case, kind, decision, more)
    key = (
        id(told), id(request), id(kind), caller.subject, caller.issuer, caller.workload, case.asserted.principal_id,
        not case.context.on_behalf_of, request.store in case.gate.stores, case.gate.log.origin,
    )  # fmt: skip
    known = _KEPT.get(key)
    if known is None:
        if len(_KEPT) >= _MOST:
            _KEPT.clear()
        known = _KEPT[key] = _made(case, kind, decision, more), told, request
    return known[0]


def _made(case: Case, kind: EntryKind, decision: Decision, more: Mapping[str, Known]) -> Shared:
    told, request = told_of(case, decision), _recorded(case)
    facts = {**told.facts, **_asked(request)} if decision.read else dict(told.facts)
    if request is not case.request:
        for name in ("purpose", "basis", "store", "fields"):
            if f"request.{name}" in facts:
                facts[f"request.{name}"] = getattr(request, name)
    entry = Entry(
        uid="",
        time="",
        origin=case.gate.log.origin,
        kind=kind,
        principal=case.caller.subject,
        on_behalf_of=case.asserted.principal_id or (UNKNOWN if case.context.on_behalf_of else ""),
        action=str(case.request.action),  # `value` of an enum is a call of the interpreter
        purpose=request.purpose,
        basis=request.basis,
        store=request.store,
        fields=told.steps,
        effect=str(decision.effect),
        reasons=told.reasons,
        facts={**facts, **more, **_channel(case)},
        bundle=decision.bundle,
        engine=ENGINE,
    )
    return Shared(Form(entry), *_around_sids(case, request))


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
    before, behind = _around_sids(case, request)
    return _digest(before, sids, behind)


def _digest(before: bytes, sids: tuple[str, ...], behind: bytes) -> str:
    return hashlib.sha256(b"%b,%b,%b" % (before, _named(sids), behind)).hexdigest()


def _named(sids: tuple[str, ...]) -> bytes:
    """Return the canonical bytes of the sids with their key; one that is letters and digits is itself."""
    if len(sids) == 1 and sids[0].isascii() and sids[0].isidentifier():
        return b'"sids":["%b"]' % sids[0].encode()
    return canonical({"sids": sids})[1:-1]


def _around_sids(case: Case, request: Request) -> tuple[bytes, bytes]:
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
    }
    if request.action is Action.SEND:
        said |= {"channel": request.channel, "brand": request.brand}
    if request.action is Action.EXPORT:
        said |= {"rows": request.rows, "terms": request.terms}
    before = canonical({name: value for name, value in said.items() if name < "sids"})
    return before[:-1], canonical({name: value for name, value in said.items() if name > "sids"})[1:]


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


class Told(NamedTuple):
    """What an entry says of a decision: the known facts that it depended on, the open ones and the personal ones, the step
    of each field, and the codes of its reasons."""

    facts: Mapping[str, Known]
    personal: Mapping[str, Known]
    steps: Mapping[str, str]
    reasons: tuple[str, ...]


def _told(decision: Decision, bundle: Bundle) -> Told:
    facts: dict[str, Known] = {}
    personal: dict[str, Known] = {}
    for path, value in decision.read.items():
        if not isinstance(value, Unknown):
            plain = value.value if isinstance(value, State) else value
            (personal if bundle.facts[path].personal else facts)[path] = plain
    return Told(facts, personal, steps(decision), reason_codes(decision))


_TOLD = PerDecision(_told)
_PERSONAL = PerDecision(lambda decision, bundle: canonical(dict(_TOLD.of(decision, bundle).personal)))


def told_of(case: Case, decision: Decision) -> Told:
    """Return what an entry says of a decision."""
    return _TOLD.of(decision, case.decider.bundle)


def personal_of(case: Case, decision: Decision) -> bytes:
    """Return the personal facts of a decision as they are sealed. Raises EntryInvalid for facts that no entry can hold."""
    return _PERSONAL.of(decision, case.decider.bundle)
