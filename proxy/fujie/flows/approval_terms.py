"""What an approval was asked for with, kept for those who decide on it: sealed, since a filter may name a person.

What they see was written by us, for this approval: it is opened with a key of its own, and names the approval.
"""

import hmac
from dataclasses import dataclass
from functools import lru_cache

from fujie.audit.errors import AuditError
from fujie.audit.sealing import SealKey, open_ticket, seal_ticket
from fujie.decision.tokens import Tokeniser
from fujie.flows.gate import Case, Gate
from fujie.model.approval import Approval, ExportTerms
from fujie.model.request import Request
from fujie.model.vocabulary import Action

_PURPOSE = b"fujie.dev/approval-terms/v1"


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """An export as it was asked for: the request that the policy saw, and its terms."""

    request: Request
    terms: ExportTerms


def sealed(case: Case, approval_id: str, terms: ExportTerms) -> str:
    """Return the terms and what the policy saw beside what the approval itself tells, sealed."""
    request = case.request
    content = {
        "approval": approval_id,
        "filter": terms.filter,
        "format": terms.format,
        "max_rows": terms.max_rows,
        "lease": (terms.lease_seconds, terms.lease_opens),
        "key": request.key_kind,
        "strict": request.strict,
        "evidence": request.has_basis_evidence,
        "ticket": request.has_ticket,
        "delegated": request.delegated,
    }
    return seal_ticket(content, _key(case.gate.tokeniser), case.gate.ids.nonce())


def opened(gate: Gate, approval: Approval) -> Asked | None:
    """Return what was asked for; None when nothing is kept, and for what is not of this approval."""
    if not approval.terms:
        return None
    try:
        content = open_ticket(approval.terms, _key(gate.tokeniser))
    except (AuditError, UnicodeError):
        return None
    lease = content["lease"]
    if content["approval"] != approval.id or not isinstance(lease, list):
        return None
    request = Request(
        Action(approval.action),
        approval.purpose,
        approval.basis,
        approval.store,
        str(content["key"]),
        approval.fields,
        strict=bool(content["strict"]),
        has_basis_evidence=bool(content["evidence"]),
        has_ticket=bool(content["ticket"]),
        delegated=bool(content["delegated"]),
        rows=approval.rows,
    )
    seconds, opens = (int(str(each)) for each in lease)
    most = int(str(content["max_rows"]))
    return Asked(request, ExportTerms(str(content["filter"]), str(content["format"]), most, seconds, opens))


@lru_cache(maxsize=4)
def _key(tokeniser: Tokeniser) -> SealKey:
    """Return a key of its own, from the `token` key."""
    return SealKey(tokeniser.key_id, hmac.digest(tokeniser.key, _PURPOSE, "sha256"))
