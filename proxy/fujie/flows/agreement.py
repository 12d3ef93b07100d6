"""Approvals on the way of a look-up: what others agreed to opens one request, once.

1. What the asker names is read from the ledger. It counts when he asked for it himself, for exactly this request about
   this customer, through whom he calls now, when it is open, and when every requirement has enough votes of people who
   hold a role and employment for it now. Whatever is lacking, it is as if he had named none: the answer never tells what.
2. After ALLOW, after the limits and before the entry it is used up, by one of all who try. Who comes too late
   decides anew, without it.
3. Then those who voted, and he himself, are looked up once more: to use it up took a while.
4. A look-up that lacks an approval asks for one, or finds the open one that this very request asked for before.
5. In an emergency some need not wait, where the policy says so (break-glass): they ask for it by name, with a ticket, and
   owe no review that is overdue. What they broke stands in the ledger, to be reviewed, before the entry is written.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fujie.audit.canon import canonical
from fujie.decision.decide import granted, may_break
from fujie.decision.plan import Plan
from fujie.flows.approval_notices import tell
from fujie.flows.approval_terms import sealed
from fujie.flows.gate import Case, Gate
from fujie.flows.likeness import request_digest
from fujie.model.approval import (
    Approval,
    ApprovalState,
    Ballot,
    Ending,
    ExportTerms,
    Requirement,
    Stage,
    id_of,
)
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.decision import Decision
from fujie.model.facts import APPROVED, BREAK_GLASS, Facts
from fujie.model.making import made_often
from fujie.model.vocabulary import Action, Effect, State

_NOBODY = b"fujie.dev/approval-of-nobody/v1"
_REVIEW = b"fujie.dev/break-glass/v1/"


class Agreement:
    """What one look-up about `ref` may rest on because others agreed. One that only explains rests on nothing.
    Without a `ref` it is about no single customer: then `sid` is whatever names what it is about. `emergency` says how
    it would stand on record if the glass is broken for it; without, it can not be."""

    def __init__(
        self, case: Case, plan: Plan, ref: CustomerRef | None, emergency: "Emergency | None" = None
    ) -> None:
        self._case = case
        self._ref = ref
        self._plan = plan
        is_asking = case.request.action is not Action.EXPLAIN
        self._id = id_of(case.context.approval) if is_asking else ""
        self._approval: Approval | None = None
        self._emergency = emergency if is_asking and case.context.break_glass else None
        self._sid = ""
        self.used = ""
        """Id of the approval that was used up, or of what is to be reviewed; empty as long as there is none."""

    async def known(self, facts: Facts, sid: str) -> Facts:
        """Return the facts with what others agreed to, now, for the customer `sid` (empty: nobody), and with what the asker
        goes ahead without."""
        self._sid = sid
        if APPROVED in self._plan.reads:
            facts = _with(facts, await self._granted(sid))
        if BREAK_GLASS in self._plan.reads:
            facts = _broken(facts, await self._breakable(facts))
        return facts

    async def take(self, decision: Decision, facts: Facts) -> Facts | None:
        """Use up what an ALLOW rests on; return None when the decision stands, else the facts to decide anew on.

        An approval of less than is needed by now is none: the next one is of all, since a look-up names one.
        """
        approval, case = self._approval, self._case
        if decision.effect is Effect.APPROVAL_REQUIRED:
            return self._without(facts) if granted(facts) else None
        if decision.effect is not Effect.ALLOW or self.used:
            return None
        if decision.breaks:
            return await self._break(decision, facts)
        if not decision.uses:
            return None
        if approval is None:
            return self._without(facts)
        ending = Ending(ApprovalState.USED, case.asker, case.gate.clock.now(), case.decision_id)
        ended = await case.gate.ledger.end_approval(approval.id, ending)
        case.watch.lap("approval")
        if ended.ending != ending:
            return self._without(facts)
        self.used = approval.id
        return None

    def _without(self, facts: Facts) -> Facts:
        self._approval, self._id = None, ""
        return _with(facts, ())

    async def _breakable(self, facts: Facts) -> list[str]:
        """Return the keys of the requirements that the asker goes ahead without. Who may not is looked at no further."""
        case = self._case
        if self._emergency is None or not case.request.has_ticket:
            return []
        found = [each.key for each in self._plan.approvals if may_break(each, facts)]
        if not found or await case.gate.ledger.owes_review(case.asker, case.gate.clock.now()):
            return []
        return sorted(found)

    async def _break(self, decision: Decision, facts: Facts) -> Facts | None:
        """Put on record what the asker goes ahead without; return like `take`. Who owes a review by now does not, and
        an approval that would meet the rest is kept for another time: what is broken is broken alone.

        Raises:
            LedgerError: nothing may be released; it may stand in the ledger all the same.

        """
        case, emergency = self._case, self._emergency
        if emergency is None or decision.uses:
            return _broken(self._without(facts), ())
        now = case.gate.clock.now()
        # Decided on again, a request is found again: what was done once is reviewed once.
        review_id = hashlib.sha256(_REVIEW + case.decision_id.encode()).hexdigest()[:32]
        wanted = _approval(case, review_id, decision.breaks, _digest(case, self._ref, self._sid), emergency)
        within = [each.break_glass.review_within for each in decision.breaks if each.break_glass]
        wanted = replace(wanted, created_at=now, review_by=now + min(within))
        is_first = await case.gate.ledger.break_glass(wanted)
        case.watch.lap("approval")
        if is_first is None:
            return _broken(facts, ())
        self.used = review_id
        if is_first:
            case.gate.metrics.broke_glass(case.request.action.value)
            await tell(case.gate, wanted, Stage.ASKED)
        return None

    async def _granted(self, sid: str) -> Iterable[str]:
        """Return the keys of its requirements when all of them are met: part of an approval is none."""
        gate, approval = self._case.gate, self._approval
        if approval is None and self._id:
            approval = await gate.ledger.approval(self._id)
        if approval is None or not self._is_for(approval, sid):
            return ()
        (standing,) = await as_they_stand(gate, [approval])
        self._case.watch.lap("approval")
        if standing.state(gate.clock.now()) is not ApprovalState.APPROVED:
            return ()
        self._approval = approval
        return approval.keys

    def _is_for(self, approval: Approval, sid: str) -> bool:
        digest = _digest(self._case, self._ref, sid)
        is_his = approval.requester == self._case.asker and approval.parties == _parties(self._case)
        return is_his and approval.request_digest == digest


@made_often
@dataclass(frozen=True, slots=True, repr=False)
class Emergency:
    """How a request stands on record that went ahead before anybody agreed: of how many customers, and the terms of an
    export."""

    rows: int = 1
    terms: ExportTerms | None = None


async def ask_approval(
    case: Case,
    decision: Decision,
    ref: CustomerRef | None,
    sid: str,
    rows: int = 1,
    terms: ExportTerms | None = None,
) -> Approval:
    """Return the open approval of what a look-up about `ref` lacks; `sid` is the customer's (empty: nobody). Both are as
    in `Agreement`; `rows` is how many customers it is for, `terms` those of an export. Others are told of a new one.

    Raises:
        RequestError: LIMIT_EXCEEDED when the asker has too many open ones.

    """
    approval_id = case.gate.ids.new_id()
    wanted = _approval(case, approval_id, decision.needs, _digest(case, ref, sid), Emergency(rows, terms))
    asked = await case.gate.ledger.ask_approval(wanted)
    if asked.id == approval_id:
        await tell(case.gate, asked, Stage.ASKED)
    case.watch.lap("approval")
    return asked


async def as_they_stand(gate: Gate, approvals: Sequence[Approval]) -> list[Approval]:
    """Return the approvals with only those votes counting whose principals are ACTIVE and hold a role for them now."""
    holders: dict[str, frozenset[str]] = {}
    for voter in sorted(frozenset[str]().union(*(approval.voters for approval in approvals))):
        principal = await gate.directory.get(voter)
        if principal is not None and principal.employment is State.ACTIVE:
            holders[voter] = principal.roles
    return [approval.counted(holders) for approval in approvals]


def _parties(case: Case) -> frozenset[str]:
    """Return who has a hand in the request. At its use they are whom it was asked by: else one of those who agreed could
    be the workload that carries it then."""
    return frozenset({case.asker, case.caller.subject, case.caller.workload} - {""})


def _digest(case: Case, ref: CustomerRef | None, sid: str) -> str:
    """Return what an approval is bound to: the request digest, about one customer.

    Others who share his number come and go between two tries, so only his own sid is in it. Who asks about somebody
    who is not there is told the same, so there an approval is for the reference: keyed, since numbers can be tried.
    """
    return request_digest(case, case.request, (sid or _nobody(case, ref),))


def _nobody(case: Case, ref: CustomerRef | None) -> str:
    match ref:
        case StoreKey():
            said = {"store": ref.store, "id": ref.customer_id}
        case Phone():
            said = {"phone": ref.e164}
        case None:
            said = {}
    return hmac.digest(case.gate.tokeniser.key, _NOBODY + canonical(said), "sha256").hex()


def _approval(
    case: Case, approval_id: str, needs: Sequence[Requirement], digest: str, about: Emergency
) -> Approval:
    request = case.request
    return Approval(
        id=approval_id,
        requester=case.asker,
        parties=_parties(case),
        action=request.action.value,
        purpose=request.purpose,
        basis=request.basis,
        store=request.store,
        fields=request.fields,
        rows=about.rows,
        request_digest=digest,
        ballots=tuple(Ballot(need) for need in needs),
        created_at=case.gate.clock.now(),
        terms=sealed(case, approval_id, about.terms) if about.terms else "",
    )


def _with(facts: Facts, keys: Iterable[str]) -> Facts:
    return Facts({**facts.values, APPROVED: tuple(sorted(keys))})


def _broken(facts: Facts, keys: Iterable[str]) -> Facts:
    return Facts({**facts.values, BREAK_GLASS: tuple(sorted(keys))})
