"""`fujie send`: one message to one customer."""

from typing import Annotated

import typer

from fujie.app.cli.arguments import ByPhone, Customer, Purpose, RequestId, Store, customer_ref
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.drafts import (
    Category,
    ProviderName,
    Signature,
    TemplateId,
    Text,
    category_of,
    context_of,
    one_content,
)
from fujie.app.cli.lookups import Basis, ByApproval, Evidence, Ticket
from fujie.app.cli.messages import shown
from fujie.app.cli.output import Exit, fail, show_fields


@calls_server
def send(
    server: Server,
    customer: Customer,
    purpose: Purpose,
    signature: Signature,
    store: Store = "",
    category: Category = "marketing",
    text: Text = "",
    template: TemplateId = "",
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value of a variable of the template.")
    ] = None,
    provider: ProviderName = "",
    basis: Basis = "consent",
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    request_id: RequestId = "",
    *,
    phone: ByPhone = False,
    approval: ByApproval = "",
) -> None:
    """Send one message to one customer, at most once: a repeat with the same --request-id sends nothing.

    Exit code 4 when refused, 1 when no provider took it.
    """
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    one_content(server, text, template)
    given = [each.partition("=") for each in param or ()]
    if not all(name and sign for name, sign, _ in given):
        fail(Exit.USAGE, "--param is name=value", code="ARGUMENT_INVALID", output=server.output)
    request = messaging_v1.SendMessageRequest(
        customer=customer_ref(customer, store, phone=phone),
        context=context_of(
            purpose, basis, basis_evidence, ticket, request_id=request_id, approval=approval
        ),
        category=category_of(server, category),
        signature=signature,
        provider=provider,
    )
    if template:
        request.template.id = template
        for name, _, value in given:
            request.template.params[name] = value
    else:
        request.text = text
    with server.stubs() as stubs:
        reply = stubs.messages.SendMessage(request)
    show_fields(server.output, shown(reply.message, server.output))
    if reply.message.state == messaging_v1.MESSAGE_STATE_FAILED:
        raise typer.Exit(Exit.ERROR)
