"""`fujie suppression`: opt-outs of customers."""

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

OnlyPurpose = Annotated[str, typer.Option("--purpose", help="Purpose id; every purpose when left out.")]
OnlyChannel = Annotated[
    str, typer.Option("--channel", help="sms, voice, email or wechat; every channel when left out.")
]


@calls_server
def add(
    server: Server,
    customer: Customer,
    store: Store = "",
    purpose: OnlyPurpose = "",
    channel: OnlyChannel = "",
    brand: Annotated[str, typer.Option("--brand", help="Brand or signature; all when left out.")] = "",
    source: Annotated[
        str,
        typer.Option(
            "--source", help="opt_out_message, link, call, complaint, regulator, import or agent."
        ),
    ] = "agent",
    evidence_ref: EvidenceRef = "",
    request_id: RequestId = "",
    *,
    phone: ByPhone = False,
) -> None:
    """Record that a customer wants no more of something. It holds for the very next call, whatever the consent."""
    from fujie.v1 import consent_service_pb2 as consent_v1
    from fujie.v1 import types_pb2 as types_v1

    request = consent_v1.AddSuppressionRequest(
        customer=customer_ref(customer, store, phone=phone),
        context=types_v1.RequestContext(request_id=request_id),
        scope=consent_v1.SuppressionScope(purpose=purpose, channel=channel, brand=brand),
        source=source,
        evidence_ref=evidence_ref,
    )
    with server.stubs() as stubs:
        reply = stubs.consent.AddSuppression(request)
    show_fields(server.output, shown(reply.suppression, server.output))


@calls_server
def remove(
    server: Server,
    suppression_id: Annotated[
        str, typer.Argument(help="Id of the opt-out, as `suppression list` shows it.")
    ],
    method: Annotated[
        str,
        typer.Option("--method", help="opt_in_message, verified_form, signed_letter or recorded_call."),
    ],
    evidence_ref: EvidenceRef,
    when: Annotated[
        str, typer.Option("--when", help="When the customer acted, as 2026-03-01T09:30:00+08:00.")
    ],
    request_id: RequestId = "",
) -> None:
    """Lift an opt-out. Only an act of the customer does: later than the opt-out, with evidence."""
    from google.protobuf.timestamp_pb2 import Timestamp

    from fujie.v1 import consent_service_pb2 as consent_v1
    from fujie.v1 import types_pb2 as types_v1

    event_time = Timestamp()
    try:
        event_time.FromJsonString(when)
    except ValueError:
        fail(
            Exit.USAGE,
            "--when is a time with its zone, as 2026-03-01T09:30:00+08:00",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    request = consent_v1.RemoveSuppressionRequest(
        suppression_id=suppression_id,
        context=types_v1.RequestContext(request_id=request_id),
        confirmation=consent_v1.Confirmation(
            method=method, evidence_ref=evidence_ref, event_time=event_time
        ),
    )
    with server.stubs() as stubs:
        reply = stubs.consent.RemoveSuppression(request)
    show_fields(server.output, shown(reply.suppression, server.output))


@calls_server
def list_(
    server: Server,
    customer: Annotated[
        str, typer.Argument(help="Customer id, or phone number with --phone; all customers when left out.")
    ] = "",
    store: Store = "",
    purpose: OnlyPurpose = "",
    channel: OnlyChannel = "",
    with_lifted: Annotated[
        bool, typer.Option("--with-lifted", help="Also those that were lifted.")
    ] = False,
    page_size: PageSize = 100,
    page_token: PageToken = "",
    *,
    phone: ByPhone = False,
) -> None:
    """List opt-outs in the order in which they were learned: of one customer, under every alias, or of all."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.ListSuppressionsRequest(
        customer=customer_ref(customer, store, phone=phone) if customer else None,
        purpose=purpose,
        channel=channel,
        with_lifted=with_lifted,
        page_size=page_size,
        page_token=page_token,
    )
    with server.stubs() as stubs:
        reply = stubs.consent.ListSuppressions(request)
    columns = ("suppression_id", "sid", "scope", "event_time", "source", "actor", "lifted_at")
    show_page(server.output, reply, "suppressions", columns)
