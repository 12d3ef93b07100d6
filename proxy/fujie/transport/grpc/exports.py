"""ExportCustomers on the wire."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

from fujie.flows.export_reply import Answer, ExportHead, ExportPart, ExportTail
from fujie.model.errors import RequestError
from fujie.model.export import MOST_ROWS, Format
from fujie.model.request import ExportAsk, LeaseAsk
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render, text
from fujie.transport.grpc.openstreams import MOST_EXPORTS
from fujie.transport.grpc.services import Call
from fujie.transport.grpc.streams import Stream
from fujie.v1 import customer_data_service_pb2 as customer_v1

FILTER: Final = 4_000
"""Code points of a filter, as `decision.filter_text` reads them."""

EXPORT_ID_KEY: Final = "fujie-export-id"
"""The initial metadata that names the export."""

_SERVICE = "fujie.v1.CustomerDataService"
_FORMATS: Mapping[int, Format] = {
    customer_v1.EXPORT_FORMAT_CSV: Format.CSV,
    customer_v1.EXPORT_FORMAT_JSON_LINES: Format.JSON_LINES,
}
_HOUR, _LONGEST = 3_600, 90 * 86_400
_OPENS, _MOST_OPENS = 10, 1_000

Told = ExportHead | ExportPart | ExportTail


def exported(request: customer_v1.ExportCustomersRequest) -> ExportAsk:
    """Return the export that is asked for."""
    if not 1 <= request.max_rows <= MOST_ROWS:
        raise RequestError(f"1 to {MOST_ROWS} rows", field="max_rows")
    lease = _lease(request.lease) if request.HasField("lease") else None
    resume = text.clean(request.resume_token, "resume_token", text.TOKEN)
    if resume and lease:
        raise RequestError("a leased file can not go on: begin anew", field="resume_token")
    if request.context.break_glass and lease:
        raise RequestError("a leased file waits for others to agree", field="context.break_glass")
    return ExportAsk(
        text.named(request.store, "store"),
        parse.context(request.context, may_be_urgent=True),
        text.mask(request.read_mask.paths, "read_mask"),
        request.max_rows,
        parse.one_of(_FORMATS, request.format, "format"),
        text.clean(request.filter, "filter", FILTER),
        request.strict,
        resume,
        lease,
        request.validate_only,
    )


def told(reply: Told) -> customer_v1.ExportCustomersResponse:
    """Return one message of the stream."""
    match reply:
        case ExportHead():
            response = customer_v1.ExportCustomersResponse()
            header = response.header
            header.export = reply.export.name if reply.export else ""
            header.data = reply.data
            header.decision.CopyFrom(render.summary(reply.summary))
            render.treat(header.treatments, reply.treatments)
            return response
        case ExportPart():
            return customer_v1.ExportCustomersResponse(
                chunk=customer_v1.ExportChunk(
                    number=reply.number, data=reply.data, rows=reply.rows, resume_token=reply.token
                )
            )
        case ExportTail():
            return customer_v1.ExportCustomersResponse(
                trailer=customer_v1.ExportTrailer(
                    rows=reply.rows,
                    withheld=(
                        customer_v1.WithheldRows(reason=code, rows=rows)
                        for code, rows in reply.withheld.items()
                    ),
                    data=reply.data,
                )
            )


def _lease(given: customer_v1.LeaseRequest) -> LeaseAsk:
    seconds, opens = given.seconds or _HOUR, given.opens or _OPENS
    if not 1 <= seconds <= _LONGEST:
        raise RequestError("90 days at most", field="lease.seconds")
    if not 1 <= opens <= _MOST_OPENS:
        raise RequestError(f"{_MOST_OPENS} at most", field="lease.opens")
    return LeaseAsk(seconds, opens)


def _announced(reply: Told) -> tuple[tuple[str, str], ...]:
    export = reply.export if isinstance(reply, ExportHead) else None
    return ((EXPORT_ID_KEY, export.id),) if export else ()


async def _export(call: Call, asked: ExportAsk, _: Any) -> AsyncGenerator[Answer, None]:
    front, caller = call.front, call.caller
    asker = asked.context.on_behalf_of or caller.subject  # a workload asks for many people
    with front.streams.counted((asker, Action.EXPORT), MOST_EXPORTS) as has_room:
        if not has_room:
            error = RequestError("too many exports", code="LIMIT_EXCEEDED")
            yield await front.flows.refuse_input(front.gate, caller, Action.EXPORT, error)
            return
        flow = front.flows.export_customers(front.gate, caller, asked, call.timeout_s)
        async with aclosing(cast("AsyncGenerator[Answer, None]", flow)) as answers:
            async for answer in answers:
                yield answer


_EXPORT: Stream[Any, ExportAsk, None, Told] = Stream(
    _SERVICE,
    "ExportCustomers",
    Action.EXPORT,
    customer_v1.ExportCustomersRequest,
    exported,
    None,
    frozenset(),
    _export,
    told,
    _announced,
    lambda asked: asked.context,
)

STREAMS: Final[tuple[Stream[Any, Any, Any, Any], ...]] = (_EXPORT,)
"""The rows of this module, all of them streams."""
