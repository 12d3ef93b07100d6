"""What would turn a refusal into an allow, among the things that whoever asks can change.

1. Each change alone: a ticket, not strict, evidence, fewer fields, the customer's consent, another basis (with its
   evidence), another purpose, an approval.
2. Each pair of changes, of those that do nothing alone.

Whether one does is evaluated (`decision/supposing.py`). Another purpose has consents and opt-outs of its own, which nobody
read. Consent is suggested only where the explanation shows its state, and that is no refusal or withdrawal:
nobody is told to ask a customer again who said no.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from fujie.decision.anew import Seen
from fujie.decision.decide import granted
from fujie.decision.supposing import Planning, SpentError, Supposing, Supposition
from fujie.model.approval import Requirement
from fujie.model.decision import Decision
from fujie.model.facts import APPROVED
from fujie.model.suggestion import NO_SUGGESTIONS, Change, Part, Suggestion, Suggestions
from fujie.model.vocabulary import Effect, State
from fujie.policy.bundle import Bundle

MOST_EVALUATIONS = 400
"""For one refusal, plans counted too, so two for most changes: some 40 ms with the base bundle, like a trace of it."""

_OF_PURPOSE = frozenset({"consent.state", "consent.explicit", "consent.separate", "suppression.in_force"})
_MAY_ASK = frozenset({State.NONE, State.REQUESTED, State.EXPIRED, State.INVALIDATED, State.GIVEN})
_EXPLICIT, _SEPARATE = Change(Part.CONSENT, "explicit"), Change(Part.CONSENT, "separate")


def suggest(planning: Planning, seen: Seen, decision: Decision) -> Suggestions:
    """Return what would open the `decision` that was made on `seen`; nothing for an ALLOW. Never raises.

    Of a principal who is not ACTIVE nothing lies with who asks. Fields are found by starting from those that are
    allowed alone, so a rule that refuses some field without another may hide a way.
    """
    if decision.effect is Effect.ALLOW or decision.primary.startswith("PRINCIPAL_"):
        return NO_SUGGESTIONS
    try:
        search = _Search(Supposing(planning, seen, MOST_EVALUATIONS), seen)
        is_cut = not search.run(decision)
    except Exception:  # noqa: BLE001 - like `decide`: what breaks here must not take the explanation with it
        return Suggestions(is_cut=True)
    needed = [found for found in search.open if _weaker(found) not in search.open]
    return Suggestions(_ordered(needed), _ordered(search.untold), is_cut)


class _Search:
    """Goes through the changes of one refused request; keeps what opens, and what can not be told."""

    def __init__(self, supposing: Supposing, seen: Seen) -> None:
        self.open: list[Suggestion] = []
        self.untold: list[Suggestion] = []
        self._supposing = supposing
        self._seen = seen
        self._bundle = seen.plan.bundle

    def run(self, decision: Decision) -> bool:
        """Try everything; return False when that took more evaluations than there are."""
        try:
            self._run(decision)
        except SpentError:
            return False
        return True

    def _run(self, decision: Decision) -> None:
        start = Supposition(self._seen.request)
        can_approve = not decision.needs
        if decision.needs:
            self._approve(start, decision.needs)
        failing: list[Change] = []
        for change in self._singles():
            supposed = changed(self._bundle, start, change)
            if not self._try(supposed, can_approve=can_approve):
                failing.append(change)
        can_drop = not self._fewer(start, can_approve=can_approve)
        for pair in combinations(failing, 2):
            if pair[0].part is not pair[1].part:
                self._try(changed(self._bundle, start, *pair), can_approve=False)
        for change in failing if can_drop else ():
            if supposed := changed(self._bundle, start, change):
                self._fewer(supposed, can_approve=False)

    def _singles(self) -> Iterator[Change]:
        request, purposes = self._seen.request, self._bundle.purposes
        if not request.has_ticket:
            yield Change(Part.TICKET)
        if request.strict:
            yield Change(Part.STRICT, "false")
        if not request.has_basis_evidence:
            yield Change(Part.BASIS_EVIDENCE)
        if self._may_ask():
            yield from (_EXPLICIT, _SEPARATE)
        bases = {basis for purpose in purposes.values() for basis in purpose.bases}
        yield from (Change(Part.BASIS, basis) for basis in sorted(bases - {request.basis}))
        yield from (Change(Part.PURPOSE, name) for name in sorted(purposes.keys() - {request.purpose}))

    def _may_ask(self) -> bool:
        """Tell whether the explanation shows a customer who may be asked for consent."""
        seen, told = self._seen, {*self._seen.plan.reads} - self._supposing.untold
        opted_out = "suppression.in_force" in told and seen.facts.get("suppression.in_force") is not False
        return (
            seen.rows == 1
            and "consent.state" in told
            and seen.facts.get("consent.state") in _MAY_ASK
            and not opted_out
        )

    def _try(self, supposed: Supposition | None, *, can_approve: bool) -> bool:
        """Keep what the supposition comes to; tell whether it opens by itself."""
        if supposed is None:
            return False
        verdict = self._supposing.judge(supposed)
        if verdict.effect is Effect.ALLOW:
            self.open.append(Suggestion(supposed.changes))
        elif verdict.effect is Effect.APPROVAL_REQUIRED and can_approve:
            self._approve(supposed, verdict.needs)
        elif verdict.effect is None and not self._is_untold(supposed.changes):
            self.untold.append(Suggestion(supposed.changes, tuple(sorted(verdict.lacks))))
        return verdict.effect is Effect.ALLOW

    def _approve(self, supposed: Supposition, needs: Sequence[Requirement]) -> None:
        """Keep the supposition with an approval of all it needs."""
        keys = {need.key for need in needs}.union(granted(self._seen.facts))
        who = "; ".join(
            f"{need.guard}/{need.validation}: {need.count} of {', '.join(need.roles)}" for need in needs
        )
        self._try(
            replace(
                supposed,
                changes=(*supposed.changes, Change(Part.APPROVAL, who)),
                facts={**supposed.facts, APPROVED: tuple(sorted(keys))},
            ),
            can_approve=False,
        )

    def _fewer(self, supposed: Supposition, *, can_approve: bool) -> bool:
        """Look for a part of the fields, as large as possible, that opens; tell whether one does by itself."""
        if self._try(self._largest(supposed, Effect.ALLOW), can_approve=False):
            return True
        if can_approve:
            self._try(self._largest(supposed, Effect.APPROVAL_REQUIRED), can_approve=True)
        return False

    def _largest(self, supposed: Supposition, wanted: Effect) -> Supposition | None:
        def comes_to_it(kept: Sequence[str]) -> bool:
            return self._supposing.judge(_only(supposed, kept)).effect is wanted

        asked = supposed.request.fields
        alone = [name for name in asked if len(asked) > 1 and comes_to_it((name,))]
        if not alone:
            return None
        if len(alone) == len(asked) or not comes_to_it(alone):
            kept: list[str] = []
            for name in alone:
                kept += [name] if comes_to_it((*kept, name)) else []
            alone = kept
        return _only(supposed, alone)

    def _is_untold(self, changes: Sequence[Change]) -> bool:
        """Tell whether it is reported already that a part of the changes can not be told."""
        return any(set(found.changes) <= set(changes) for found in self.untold)


def changed(bundle: Bundle, supposed: Supposition, *changes: Change) -> Supposition | None:
    """Return the supposition with these changes made; None where they make no sense together."""
    for change in sorted(
        changes, key=lambda each: (each.part is not Part.PURPOSE, each.part is not Part.BASIS)
    ):
        made = _changed(bundle, supposed, change)
        if made is None:
            return None
        supposed = made
    return supposed


def _changed(bundle: Bundle, supposed: Supposition, change: Change) -> Supposition | None:
    request, facts, lost = supposed.request, supposed.facts, supposed.lost
    purpose = bundle.purposes.get(request.purpose)
    match change.part:
        case Part.PURPOSE:
            request, lost = replace(request, purpose=change.value), lost | _OF_PURPOSE
        case Part.BASIS:
            if purpose is None or change.value not in purpose.bases:
                return None
            change = replace(
                change, evidence=purpose.bases[change.value] if not request.has_basis_evidence else ""
            )
            has_evidence = request.has_basis_evidence or bool(change.evidence)
            request = replace(request, basis=change.value, has_basis_evidence=has_evidence)
        case Part.BASIS_EVIDENCE:
            change = replace(change, value=purpose.bases.get(request.basis, "") if purpose else "")
            request = replace(request, has_basis_evidence=True)
        case Part.TICKET:
            request = replace(request, has_ticket=True)
        case Part.STRICT:
            request = replace(request, strict=False)
        case Part.CONSENT:
            if lost:  # of another purpose: what he said to that is not known
                return None
            facts = {
                **facts,
                "consent.state": State.GIVEN,
                "consent.explicit": True,
                "consent.separate": change == _SEPARATE,
            }
        case Part.FIELDS | Part.APPROVAL:
            return None  # looked for, not made
    return Supposition(request, (*supposed.changes, change), facts, lost)


def _weaker(found: Suggestion) -> Suggestion | None:
    """Return the suggestion with a consent that need not be separate, where it has one that is."""
    if _SEPARATE not in found.changes:
        return None
    return Suggestion(tuple(_EXPLICIT if change == _SEPARATE else change for change in found.changes))


def _only(supposed: Supposition, kept: Sequence[str]) -> Supposition:
    request = supposed.request
    left_out = ",".join(name for name in request.fields if name not in kept)
    fewer = replace(request, fields=tuple(kept))
    return replace(supposed, request=fewer, changes=(*supposed.changes, Change(Part.FIELDS, left_out)))


def _ordered(found: Sequence[Suggestion]) -> tuple[Suggestion, ...]:
    """Return the suggestions with fewer changes first."""
    return tuple(sorted(found, key=lambda suggestion: len(suggestion.changes)))
