"""`fujie consent expiring`: whose consent ends soon, and a campaign that asks them again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fujie.app.cli.arguments import Channel, Purpose
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import plain
from fujie.app.cli.output import Exit, Format, fail, show, show_fields

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import consent_service_pb2 as consent_v1

_PAGE = 500
_COLUMNS = ("store", "customer_id", "valid_until")


@calls_server
def expiring(
    server: Server,
    purpose: Purpose,
    store: Annotated[
        str, typer.Option("--store", help="Store whose customers are listed; without one they are counted.")
    ] = "",
    channel: Channel = "any",
    within: Annotated[int, typer.Option("--within", min=1, max=366, help="Days from now.")] = 30,
    to_campaign: Annotated[
        str,
        typer.Option(
            "--to-campaign", help="Draft (campaigns/<id>) that they are added to: one that asks again."
        ),
    ] = "",
) -> None:
    """List customers whose consent ends soon, by customer id; never by number."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    if to_campaign and not store:
        fail(Exit.USAGE, "--to-campaign needs --store", code="ARGUMENT_INVALID", output=server.output)
    request = consent_v1.ListExpiringConsentsRequest(
        purpose=purpose, channel=channel, within_days=within, store=store, page_size=_PAGE
    )
    with server.stubs() as stubs:
        pages = _pages(stubs, request)
        if to_campaign:
            added = stubs.messages.AddRecipients(_recipients(to_campaign, pages))
            refused = sum(len(each.rows) for each in added.refused)
            told = {"added": added.added, "repeated": added.repeated, "refused": refused}
            show_fields(server.output, told)
        elif store:
            _show(server, [each for page in pages for each in page.consents])
        else:
            show_fields(server.output, {"count": sum(page.count for page in pages)})


def _pages(
    stubs: Any, request: "consent_v1.ListExpiringConsentsRequest"
) -> "Iterator[consent_v1.ListExpiringConsentsResponse]":
    while True:
        reply = stubs.consent.ListExpiringConsents(request)
        yield reply
        if not reply.next_page_token:
            return
        request.page_token = reply.next_page_token


def _recipients(name: str, pages: "Iterator[consent_v1.ListExpiringConsentsResponse]") -> Iterator[Any]:
    """Yield the customers of pages in messages for a draft; the first names it, in case there is nobody."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1
    from fujie.v1 import types_pb2 as types_v1

    yield messaging_v1.AddRecipientsRequest(name=name)
    for page in pages:
        who = [types_v1.CustomerRef(store_key=each.store_key) for each in page.consents]
        recipients = [messaging_v1.Recipient(customer=each) for each in who]
        if recipients:
            yield messaging_v1.AddRecipientsRequest(recipients=recipients)


def _show(server: Server, found: "list[consent_v1.ExpiringConsent]") -> None:
    rows = [
        (each.store_key.store, each.store_key.customer_id, plain(each)["valid_until"]) for each in found
    ]
    if server.output is Format.JSON:
        show(server.output, {"consents": [dict(zip(_COLUMNS, row, strict=True)) for row in rows]}, (), ())
    else:
        show(server.output, {}, _COLUMNS, rows)
