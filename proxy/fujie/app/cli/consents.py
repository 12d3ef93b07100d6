"""`fujie consent withdraw`, `show` and `events`."""

from typing import Annotated

import typer

from fujie.app.cli.arguments import (
    ByPhone,
    Channel,
    Customer,
    EvidenceRef,
    PageSize,
    PageToken,
    Purpose,
    Store,
    customer_ref,
)
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import show_page, shown
from fujie.app.cli.output import Format, show_fields


@calls_server
def withdraw(
    server: Server,
    customer: Customer,
    purpose: Purpose,
    store: Store = "",
    channel: Channel = "any",
    evidence_ref: EvidenceRef = "",
    *,
    phone: ByPhone = False,
) -> None:
    """Record that a customer withdrew consent. It holds for the very next call."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.WithdrawConsentRequest(
        customer=customer_ref(customer, store, phone=phone),
        purpose=purpose,
        channel=channel,
        evidence_ref=evidence_ref,
    )
    with server.stubs() as stubs:
        reply = stubs.consent.WithdrawConsent(request)
    show_fields(server.output, shown(reply.consent, server.output))


@calls_server
def show(
    server: Server,
    customer: Customer,
    purpose: Purpose,
    store: Store = "",
    channel: Channel = "any",
    *,
    phone: ByPhone = False,
) -> None:
    """Show the state of a customer's consent, and the event that governs it."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.GetConsentRequest(
        customer=customer_ref(customer, store, phone=phone), purpose=purpose, channel=channel
    )
    with server.stubs() as stubs:
        reply = stubs.consent.GetConsent(request)
    state = consent_v1.ConsentState.Name(reply.state).removeprefix("CONSENT_STATE_")
    governing = shown(reply.governing, server.output) if reply.HasField("governing") else {}
    show_fields(
        server.output,
        {"state": state, **({"governing": governing} if server.output is Format.JSON else governing)},
    )


@calls_server
def events(
    server: Server,
    customer: Customer,
    store: Store = "",
    purpose: Annotated[str, typer.Option("--purpose", help="Only this purpose.")] = "",
    page_size: PageSize = 100,
    page_token: PageToken = "",
    *,
    phone: ByPhone = False,
) -> None:
    """List what a customer said, in the order in which it was learned; refusals of every alias among it."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.ListConsentEventsRequest(
        customer=customer_ref(customer, store, phone=phone),
        purpose=purpose,
        page_size=page_size,
        page_token=page_token,
    )
    with server.stubs() as stubs:
        reply = stubs.consent.ListConsentEvents(request)
    columns = ("event_time", "type", "purpose", "channel", "source", "actor", "record_id")
    show_page(server.output, reply, "events", columns)
