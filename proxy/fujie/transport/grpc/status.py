"""Refusals and errors to one gRPC status each, with details after AIP-193.

Every status that leaves carries exactly one ErrorInfo (reason, domain `fujie.dev`, metadata), the text
as LocalizedMessage in English and Chinese, and BadRequest where one field is at fault. A refusal also
carries DecisionDetail. An error carries an opaque incident id instead of a decision, and never its text.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from fujie.flows.reply import Refusal
from fujie.model.decision import ReasonHit
from fujie.model.reason import LocalizedText, Outcome
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.vocabulary import Effect
from fujie.transport.grpc import render
from fujie.transport.grpc.trailers import DETAILS_KEY, DOMAIN
from fujie.v1 import types_pb2 as types_v1

DECISION_ID_KEY: Final = "fujie-decision-id"
"""Trailing metadata of every answer that a decision stands behind, refusal or not."""

_DO_NOT_REPEAT: Final = ("grpc-retry-pushback-ms", "-1")
"""To clients with a retry policy (gRFC A6): this is the gate's answer, with its entry, and no loss on the way."""

CODES: Mapping[Outcome, grpc.StatusCode] = {
    Outcome.REFUSED: grpc.StatusCode.PERMISSION_DENIED,
    Outcome.APPROVAL: grpc.StatusCode.FAILED_PRECONDITION,
    Outcome.LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Outcome.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Outcome.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    # Not ABORTED, on which clients retry: the same request meets the same conflict again.
    Outcome.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Outcome.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Outcome.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Outcome.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    Outcome.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Outcome.INTERNAL: grpc.StatusCode.INTERNAL,
}

# Details travel base64-coded in the trailers, and clients drop a call whose trailers pass 8 KiB
# (the soft limit of gRPC core): 4,300 bytes become 5,734, which leaves 2 KiB for message and ids.
MOST_DETAIL_BYTES: Final = 4_300
MOST_TEXT: Final = 160
"""Code points of one text in a status: the message is percent-coded, up to 12 bytes each."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call ends that does not succeed: code, English message, trailing metadata."""

    code: grpc.StatusCode
    message: str
    trailing: tuple[tuple[str, str | bytes], ...]


def refused(refusal: Refusal) -> Failure:
    """Return how a refusal is told. Reasons that do not fit the trailers are left out, the last ones first."""
    primary = refusal.reasons[0]
    decision_id, bundle = refusal.summary.decision_id, refusal.summary.bundle
    code = CODES[_outcome(primary, refusal.summary.effect)]
    metadata = {"decision_id": decision_id, "bundle": bundle}
    if refusal.approval:
        metadata["approval"] = refusal.approval
    status = _status(code, primary.code, primary.message, metadata)
    _name_field(status, refusal.field)
    # 160: what Any and the summary themselves take; the approval's name stands in both.
    room = MOST_DETAIL_BYTES - status.ByteSize() - 160 - len(refusal.approval)
    first = render.reason(primary)
    prompt = render.prompt(refusal.prompt) if refusal.prompt else None
    if (
        prompt and _weight(prompt) + _weight(first) > room
    ):  # whole or not at all: half a notice informs nobody
        prompt = None
    room -= _weight(prompt) if prompt else 0
    reasons = list(_fitting(map(render.reason, refusal.reasons), room))
    room -= sum(_weight(reason) for reason in reasons)
    warnings = list(_fitting(map(render.reason, refusal.summary.warnings), room))
    told = types_v1.DecisionSummary(
        decision_id=decision_id,
        effect=render.summary(refusal.summary).effect,
        bundle=bundle,
        warnings=warnings,
    )
    detail = types_v1.DecisionDetail(
        decision=told, reasons=reasons, prompt=prompt, approval=refusal.approval
    )
    status.details.add().Pack(detail)
    if refusal.explanation:  # 80: its type's name and lengths
        room = MOST_DETAIL_BYTES - status.ByteSize() - 80
        status.details.add().Pack(render.excerpt(refusal.explanation, max(room, 0)))
    return _failure(code, status, ((DECISION_ID_KEY, decision_id),))


def failed(code: str, incident_id: str, field: str = "") -> Failure:
    """Return how an error is told: its code, and an id under which the operator finds it.

    A code that the table does not hold is told as INTERNAL.
    """
    row = BUILT_IN_REASONS.get(code, BUILT_IN_REASONS["INTERNAL"])
    status_code = CODES[row.outcome]
    status = _status(status_code, row.code, row.message, {"incident_id": incident_id})
    _name_field(status, field)
    return _failure(status_code, status, ())


def _outcome(primary: ReasonHit, effect: Effect) -> Outcome:
    """A reason of a bundle has no row of its own: it refuses, or asks for an approval when the effect says so."""
    if effect is Effect.APPROVAL_REQUIRED:
        return Outcome.APPROVAL
    row = BUILT_IN_REASONS.get(primary.code)
    return row.outcome if row else Outcome.REFUSED


def _status(
    code: grpc.StatusCode, reason: str, message: LocalizedText, metadata: Mapping[str, str]
) -> status_pb2.Status:
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=(message.en or reason)[:MOST_TEXT])
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    for locale, words in (("en", message.en), ("zh-CN", message.zh)):
        if words:
            status.details.add().Pack(
                error_details_pb2.LocalizedMessage(locale=locale, message=words[:MOST_TEXT])
            )
    return status


def _name_field(status: status_pb2.Status, field: str) -> None:
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=status.message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))


def _fitting(reasons: Iterable[types_v1.Reason], room: int) -> Iterator[types_v1.Reason]:
    for reason in reasons:
        room -= _weight(reason)
        if room < 0:
            return
        yield reason


def _weight(part: Message) -> int:
    return part.ByteSize() + 4  # 4: its tag and length in the message around it


def _failure(
    code: grpc.StatusCode, status: status_pb2.Status, more: tuple[tuple[str, str | bytes], ...]
) -> Failure:
    trailing = ((DETAILS_KEY, status.SerializeToString()), *more)
    is_repeated = code is grpc.StatusCode.UNAVAILABLE  # the one code of ours on which clients retry
    return Failure(code, status.message, (*trailing, _DO_NOT_REPEAT) if is_repeated else trailing)
