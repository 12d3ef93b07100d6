"""ExportService on the wire: which export is meant, and how one is told."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

from fujie.flows.reply import ExportReply, ExportsReply, KeysReply, Refusal, TracesReply
from fujie.flows.tracing import TraceQuery
from fujie.model.errors import RequestError
from fujie.model.export import Export, ExportFilter, ExportState, Format, Trace, id_of
from fujie.model.page import Slice
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.services import Call, Method
from fujie.transport.grpc.streams import Stream
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import export_service_pb2 as export_v1
from fujie.v1 import types_pb2 as types_v1

_TOLD = {
    ExportState.RUNNING: export_v1.EXPORT_STATE_RUNNING,
    ExportState.COMPLETE: export_v1.EXPORT_STATE_COMPLETE,
    ExportState.STOPPED: export_v1.EXPORT_STATE_STOPPED,
}
_STATES: Mapping[int, ExportState] = {number: state for state, number in _TOLD.items()}
_FORMATS = {
    Format.CSV: customer_v1.EXPORT_FORMAT_CSV,
    Format.JSON_LINES: customer_v1.EXPORT_FORMAT_JSON_LINES,
}


class _Naming(Protocol):
    """A request about one export."""

    @property
    def name(self) -> str: ...

    @property
    def context(self) -> types_v1.RequestContext: ...


def named(request: _Naming) -> tuple[RequestContext, str]:
    """Return the context, and the id of the export that is meant."""
    export_id = id_of(text.named(request.name, "name"))
    if not export_id:
        raise RequestError("exports/ and 32 lower-case hex digits", field="name")
    return parse.context(request.context), export_id


def query(request: export_v1.ListExportsRequest) -> tuple[RequestContext, ExportFilter, Slice]:
    """Return which exports are asked for, and which part of the list."""
    narrowed = ExportFilter(
        text.clean(request.requester, "requester", text.IDENTITY),
        text.clean(request.store, "store", text.NAME),
        parse.one_of(_STATES, request.state, "state") if request.state else None,
    )
    return parse.context(request.context), narrowed, pages.part(request.page_size, request.page_token)


def traced(request: export_v1.TraceCustomerRequest) -> tuple[RequestContext, TraceQuery]:
    """Return who is looked for."""
    return parse.context(request.context), TraceQuery(
        parse.customer(request.customer), pages.part(request.page_size, request.page_token)
    )


def told(given: Export) -> export_v1.Export:
    """Return one export."""
    lease = given.lease
    return export_v1.Export(
        name=given.name,
        requester=given.requester,
        store=given.store,
        purpose=given.purpose,
        basis=given.basis,
        treatments={name: types_v1.Treatment(step=step) for name, step in given.steps.items()},
        format=_FORMATS[given.format],
        approval=f"approvals/{given.approval}" if given.approval else "",
        state=_TOLD[given.state],
        reason=given.reason,
        rows=given.rows,
        start_time=render.stamp(given.started_at),
        end_time=render.stamp(given.ended_at) if given.ended_at else None,
        lease_expire_time=render.stamp(lease.expires_at) if lease else None,
        opens_left=lease.opens_left if lease else 0,
        close_time=render.stamp(given.closed_at) if given.closed_at else None,
        closed_by=given.closed_by,
        closed_why=given.closed_why,
    )


def _trace(given: Trace) -> export_v1.ExportTrace:
    openings = (
        export_v1.ExportOpening(principal=each.principal, time=render.stamp(each.at))
        for each in given.openings
    )
    return export_v1.ExportTrace(export=told(given.export), chunks=given.chunks, openings=openings)


def _got(reply: ExportReply) -> export_v1.GetExportResponse:
    return export_v1.GetExportResponse(export=told(reply.export), decision=render.summary(reply.summary))


def _listed(reply: ExportsReply) -> export_v1.ListExportsResponse:
    return export_v1.ListExportsResponse(
        exports=map(told, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


def _revoked(reply: ExportReply) -> export_v1.RevokeExportResponse:
    return export_v1.RevokeExportResponse(export=told(reply.export), decision=render.summary(reply.summary))


def _opened(reply: KeysReply) -> export_v1.OpenExportResponse:
    keys = (export_v1.ChunkKey(number=number, key=key or b"") for number, key in reply.keys)
    if reply.export is None:
        return export_v1.OpenExportResponse(keys=keys)
    return export_v1.OpenExportResponse(
        export=told(reply.export), decision=render.summary(reply.summary), keys=keys
    )


def _traced(reply: TracesReply) -> export_v1.TraceCustomerResponse:
    return export_v1.TraceCustomerResponse(
        exports=map(_trace, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


def _open(call: Call, asked: tuple[RequestContext, str], _: Any) -> AsyncIterator[KeysReply | Refusal]:
    return call.front.flows.open_export(call.front.gate, call.caller, *asked)


_SERVICE = "fujie.v1.ExportService"
_GET = Method(
    _SERVICE,
    "GetExport",
    Action.APPROVAL_READ,
    export_v1.GetExportRequest,
    named,
    lambda call, asked: call.front.flows.get_export(call.front.gate, call.caller, *asked),
    _got,
)
_LIST = Method(
    _SERVICE,
    "ListExports",
    Action.APPROVAL_READ,
    export_v1.ListExportsRequest,
    query,
    lambda call, asked: call.front.flows.list_exports(call.front.gate, call.caller, *asked),
    _listed,
)
_REVOKE = Method(
    _SERVICE,
    "RevokeExport",
    Action.APPROVAL_DECIDE,
    export_v1.RevokeExportRequest,
    named,
    lambda call, asked: call.front.flows.revoke_export(call.front.gate, call.caller, *asked),
    _revoked,
)
_TRACE = Method(
    _SERVICE,
    "TraceCustomer",
    Action.AUDIT_READ,
    export_v1.TraceCustomerRequest,
    traced,
    lambda call, asked: call.front.flows.trace_customer(call.front.gate, call.caller, *asked),
    _traced,
)
_OPEN: Stream[Any, tuple[RequestContext, str], None, KeysReply] = Stream(
    _SERVICE,
    "OpenExport",
    Action.EXPORT,
    export_v1.OpenExportRequest,
    named,
    None,
    frozenset(),
    _open,
    _opened,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_GET, _LIST, _REVOKE, _TRACE)
"""The rows of this module that are no streams."""

STREAMS: Final[tuple[Stream[Any, Any, Any, Any], ...]] = (_OPEN,)
"""The one that is."""
