"""`fujie customer`: who is who, corrected with evidence."""

from typing import TYPE_CHECKING, Annotated

import typer

from fujie.app.cli.arguments import RequestId, customer_ref
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import shown
from fujie.app.cli.output import show_fields

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import types_pb2 as types_v1

Basis = Annotated[str, typer.Option("--basis", help="legal_duty or consent.")]
Evidence = Annotated[
    str, typer.Option("--basis-evidence", help="Evidence for the basis: the request for correction.")
]
Why = Annotated[str, typer.Option("--evidence-ref", help="Where the proof lies: a form or recording id.")]
_PURPOSE = "record_correction"


@calls_server
def merge(
    server: Server,
    into: Annotated[
        str, typer.Argument(help="Keeps its identity: store/customer-id, or a phone number (+86...).")
    ],
    source: Annotated[str, typer.Argument(metavar="FROM", help="Leads there afterwards; written alike.")],
    evidence_ref: Why,
    basis: Basis = "legal_duty",
    basis_evidence: Evidence = "",
    request_id: RequestId = "",
) -> None:
    """Say that two references are one person. What either refused counts; what FROM agreed to does not."""
    from fujie.v1 import customer_data_service_pb2 as customer_v1
    from fujie.v1 import types_pb2 as types_v1

    request = customer_v1.MergeCustomersRequest(
        into=_ref(into),
        context=types_v1.RequestContext(
            purpose=_PURPOSE, basis=basis, basis_evidence=basis_evidence, request_id=request_id
        ),
        evidence_ref=evidence_ref,
        **{"from": _ref(source)},
    )
    with server.stubs() as stubs:
        reply = stubs.customers.MergeCustomers(request)
    show_fields(server.output, shown(reply.decision, server.output))


@calls_server
def split(
    server: Server,
    customer: Annotated[str, typer.Argument(help="Customer id in the store.")],
    store: Annotated[str, typer.Option("--store", help="Store that the customer is in.")],
    evidence_ref: Why,
    basis: Basis = "legal_duty",
    basis_evidence: Evidence = "",
    request_id: RequestId = "",
) -> None:
    """Say that a customer is another person than it was taken for: it starts anew, with every refusal so far."""
    from fujie.v1 import customer_data_service_pb2 as customer_v1
    from fujie.v1 import types_pb2 as types_v1

    request = customer_v1.SplitCustomerRequest(
        store_key=types_v1.StoreKey(store=store, customer_id=customer),
        context=types_v1.RequestContext(
            purpose=_PURPOSE, basis=basis, basis_evidence=basis_evidence, request_id=request_id
        ),
        evidence_ref=evidence_ref,
    )
    with server.stubs() as stubs:
        reply = stubs.customers.SplitCustomer(request)
    show_fields(server.output, shown(reply.decision, server.output))


def _ref(written: str) -> "types_v1.CustomerRef":
    store, slash, customer_id = written.partition("/")
    return customer_ref(customer_id if slash else written, store, phone=not slash)
