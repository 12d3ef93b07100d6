"""What a customer asks of us on the own page: a complaint, or that the data be erased (PIPL-47, 50).

Neither needs an identity check to be taken: it is the answer that does, and that is a person's. What is written stands
sealed under the customer's own data key, and goes with it.
"""

import base64
import re
from dataclasses import dataclass

from fujie.audit.entry import EntryKind
from fujie.audit.sealing import Place, open_facts, seal_facts
from fujie.flows.acts import PAGE, open_act
from fujie.flows.evidence import Subject, data_key, record
from fujie.flows.gate import Gate
from fujie.flows.identify import identify
from fujie.flows.page import Visit, known, request_of
from fujie.model.customer import Identity
from fujie.model.errors import RequestError
from fujie.model.page import Slice
from fujie.model.subject_request import (
    ANSWER_WITHIN,
    MOST_TEXT,
    Disclosure,
    RequestFilter,
    RequestKind,
    SubjectRequest,
)
from fujie.model.vocabulary import Action

REQUEST_ID, KIND = "subject_request.id", "subject_request.kind"
"""Facts of an entry that name a request."""

SHOWN = 50
"""Disclosures on the page: the last ones; more are told on request."""

_TEXT = "request.text"
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Account:
    """What the page tells of us. `standing`: requests that are open. `disclosures`: on which days the data were used;
    None for a number that several customers share: their days are nobody else's business."""

    standing: tuple[SubjectRequest, ...]
    disclosures: tuple[Disclosure, ...] | None


async def account(gate: Gate, visited: Visit) -> Account:
    """Return what is open, and what was disclosed. Writes no entry of its own: `flows.page.show` did.

    Raises:
        RequestError, StoreError, LedgerError: like `flows.page.show`.

    """
    now = gate.clock.now()
    identity = await known(gate, visited, now)
    of = (await _whose(gate, visited, identity)).sid
    standing = await gate.rights.requests.subject_requests(RequestFilter((of,)), Slice())
    if identity.is_shared:
        return Account(standing.rows, None)
    page = await gate.rights.disclosures.disclosures(identity.sids, Slice(size=SHOWN))
    return Account(standing.rows, page.rows)


async def open_request(
    gate: Gate, visited: Visit, form: str, kind: RequestKind, text: str = ""
) -> SubjectRequest:
    """Open a request, and return it; where one of this kind is open already, return that one and change nothing.

    Raises:
        RequestError: LINK_INVALID; ARGUMENT_INVALID for a form that is not ours, a complaint that says nothing, or more
            than `MOST_TEXT` characters; TEXT_INVALID.
        StoreError, LedgerError, AuditError: like `flows.page.show`.

    """
    said = _clean(text)
    if (kind is RequestKind.COMPLAINT) != bool(said):
        raise RequestError("say what it is about", field="text")
    act = request_of(visited.link, form, kind.value)
    case, decision = open_act(gate, PAGE, Action.SUBJECT_REQUEST_HANDLE, act)
    identity = await _whose(gate, visited, await known(gate, visited, case.now))
    request_id = gate.ids.new_id()
    sealed = _sealed(gate, identity, request_id, said)
    wanted = SubjectRequest(request_id, identity.sid, kind, sealed, case.now, case.now + ANSWER_WITHIN)
    subject = Subject(identity.sids, facts={REQUEST_ID: request_id, KIND: kind.value})
    await record(case, EntryKind.ADMISSION, decision, subject)
    opened = await gate.rights.requests.open_request(wanted)
    told = Subject(identity.sids, facts={REQUEST_ID: opened.id, KIND: kind.value})
    await record(case, EntryKind.OUTCOME, decision, told)
    case.watch.stop()
    return opened


def text_of(gate: Gate, request: SubjectRequest, wrapped_key: bytes | None) -> str:
    """Return what the customer wrote; nothing without a living key. Raises SealBroken."""
    if not request.text or wrapped_key is None:
        return ""
    key = data_key(wrapped_key, gate.seal_key, request.sid)
    said = open_facts(base64.b64encode(request.text).decode(), key, _place(request.id, request.sid))
    return str(said[_TEXT])


async def _whose(gate: Gate, visited: Visit, identity: Identity) -> Identity:
    """Return whom a request is of: the number itself where several have it, since any of them may have written."""
    if not identity.is_shared:
        return identity
    return await identify(gate, visited.customer, gate.clock.now(), closes=True)


def _clean(text: str) -> str:
    """Return what was written in a form, as one line: whoever reads it may read it on a terminal."""
    said = " ".join(text.split())
    if len(said) > MOST_TEXT:
        raise RequestError(f"longer than {MOST_TEXT} characters", field="text")
    if _FORBIDDEN.search(said):
        raise RequestError("a control character", code="TEXT_INVALID", field="text")
    return said


def _sealed(gate: Gate, identity: Identity, request_id: str, said: str) -> bytes:
    if not said or identity.wrapped_key is None:  # erased: nothing more is kept
        return b""
    key = data_key(identity.wrapped_key, gate.seal_key, identity.sid)
    place = _place(request_id, identity.sid)
    return base64.b64decode(seal_facts({_TEXT: said}, key, place, gate.ids.nonce()))


def _place(request_id: str, sid: str) -> Place:
    return Place("requests", request_id, sid)
