"""`fujie request`: what customers ask of us about their data."""

from typing import Annotated

import typer

from fujie.app.cli.arguments import (
    ByPhone,
    Customer,
    EvidenceRef,
    PageSize,
    PageToken,
    RequestId,
    Store,
    customer_ref,
)
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import show_page, shown
from fujie.app.cli.output import Exit, fail, show_fields

Number = Annotated[str, typer.Argument(help="Number of the request, as the customer has it.")]


@calls_server
def list_(
    server: Server,
    customer: Annotated[
        str, typer.Argument(help="Customer id, or phone number with --phone; all customers when left out.")
    ] = "",
    store: Store = "",
    with_resolved: Annotated[
        bool, typer.Option("--with-resolved", help="Also those that are resolved.")
    ] = False,
    page_size: PageSize = 100,
    page_token: PageToken = "",
    *,
    phone: ByPhone = False,
) -> None:
    """List complaints and erasure requests, the oldest first: of one customer, under every alias, or of all."""
    from fujie.v1 import subject_request_service_pb2 as request_v1

    request = request_v1.ListRequestsRequest(
        customer=customer_ref(customer, store, phone=phone) if customer else None,
        with_resolved=with_resolved,
        page_size=page_size,
        page_token=page_token,
    )
    with server.stubs() as stubs:
        reply = stubs.requests.ListRequests(request)
    columns = ("id", "kind", "state", "sid", "received_at", "due_at", "outcome", "resolved_by")
    show_page(server.output, reply, "requests", columns)


@calls_server
def show(server: Server, number: Number) -> None:
    """Show a request with what the customer wrote."""
    from fujie.v1 import subject_request_service_pb2 as request_v1

    with server.stubs() as stubs:
        reply = stubs.requests.GetRequest(request_v1.GetRequestRequest(id=number))
    show_fields(server.output, shown(reply.request, server.output))


@calls_server
def resolve(
    server: Server,
    number: Number,
    outcome: Annotated[
        str, typer.Option("--outcome", help="done, refused, or withdrawn (by the customer).")
    ],
    evidence_ref: EvidenceRef = "",
    request_id: RequestId = "",
) -> None:
    """Record how a request ended. It does nothing else: to resolve an erasure request erases nothing."""
    from fujie.v1 import subject_request_service_pb2 as request_v1
    from fujie.v1 import types_pb2 as types_v1

    if outcome not in ("done", "refused", "withdrawn"):
        fail(
            Exit.USAGE,
            "--outcome is done, refused or withdrawn",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    request = request_v1.ResolveRequestRequest(
        id=number,
        context=types_v1.RequestContext(request_id=request_id),
        outcome=f"SUBJECT_REQUEST_OUTCOME_{outcome.upper()}",
        evidence_ref=evidence_ref,
    )
    with server.stubs() as stubs:
        reply = stubs.requests.ResolveRequest(request)
    show_fields(server.output, shown(reply.request, server.output))


@calls_server
def disclosures(
    server: Server,
    customer: Customer,
    store: Store = "",
    page_size: PageSize = 100,
    page_token: PageToken = "",
    *,
    phone: ByPhone = False,
) -> None:
    """List the days on which a customer's data were used, for which purposes. Never by whom."""
    from fujie.v1 import subject_request_service_pb2 as request_v1

    request = request_v1.ListDisclosuresRequest(
        customer=customer_ref(customer, store, phone=phone), page_size=page_size, page_token=page_token
    )
    with server.stubs() as stubs:
        reply = stubs.requests.ListDisclosures(request)
    show_page(server.output, reply, "disclosures", ("day", "action", "purpose", "count"))
