"""Consents from a file on the wire."""

from typing import Any, Final

from fujie.flows.consent_import import ImportAsk, Row
from fujie.flows.reply import ImportReply
from fujie.model.errors import RequestError
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render
from fujie.transport.grpc.streams import Stream, once
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import types_pb2 as types_v1

MOST_ROWS: Final = 500
"""Rows of one message; a message of 64 KiB holds some 200 with all that is worth saying."""


def opened(request: consent_v1.ImportConsentsRequest) -> ImportAsk:
    """Return what the first message opens."""
    return ImportAsk(parse.context(request.context), request.validate_only)


def rows(request: consent_v1.ImportConsentsRequest) -> tuple[Row, ...]:
    """Return the rows of one message; one that can not be read is its reason code."""
    if len(request.rows) > MOST_ROWS:
        raise RequestError(f"more than {MOST_ROWS} rows", field="rows")
    return tuple(map(_row, request.rows))


def _row(given: consent_v1.ConsentRow) -> Row:
    try:
        return parse.imported(given)
    except RequestError as error:
        return error.code


def _told(reply: ImportReply) -> consent_v1.ImportConsentsResponse:
    return consent_v1.ImportConsentsResponse(
        recorded=reply.recorded,
        repeated=reply.repeated,
        refused=(
            types_v1.RefusedRows(reason=code, count=count, rows=reply.places.get(code, ()))
            for code, count in sorted(reply.refused.items())
        ),
        decision=render.summary(reply.summary),
    )


_IMPORT = Stream(
    "fujie.v1.ConsentService",
    "ImportConsents",
    Action.CONSENT_RECORD,
    consent_v1.ImportConsentsRequest,
    opened,
    rows,
    frozenset({"context", "validate_only"}),
    lambda call, asked, batches: once(
        call.front.flows.import_consents(call.front.gate, call.caller, asked, batches)
    ),
    _told,
)

STREAMS: Final[tuple[Stream[Any, Any, Any, Any], ...]] = (_IMPORT,)
"""The rows of this module."""
