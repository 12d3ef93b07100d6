"""Arguments and options that several commands share, and what they mean on the wire."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import types_pb2 as types_v1

Store = Annotated[str, typer.Option("--store", help="Store that the customer is in.")]
Customer = Annotated[str, typer.Argument(help="Customer id in the store, or a phone number with --phone.")]
ByPhone = Annotated[bool, typer.Option("--phone", help="CUSTOMER is a phone number.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Purpose id of the catalogue.")]
Channel = Annotated[str, typer.Option("--channel", help="sms, voice, email, wechat or any.")]
EvidenceRef = Annotated[str, typer.Option("--evidence-ref", help="Where the evidence lies.")]
RequestId = Annotated[str, typer.Option("--request-id", help="Makes a repeat harmless.")]
PageSize = Annotated[int, typer.Option("--page-size", help="Rows on a page, 1 to 500.")]
PageToken = Annotated[
    str, typer.Option("--page-token", help="Where to go on: what the page before ended with.")
]


def customer_ref(customer: str, store: str, *, phone: bool) -> "types_v1.CustomerRef":
    """Return who is meant."""
    from fujie.v1 import types_pb2 as types_v1

    if phone:
        return types_v1.CustomerRef(phone=customer)
    return types_v1.CustomerRef(store_key=types_v1.StoreKey(store=store, customer_id=customer))
