"""MergeCustomers and SplitCustomer on the wire. Without evidence nobody is corrected."""

from typing import Any, Final

from fujie.flows.aliases import Merge
from fujie.flows.reply import CorrectionReply
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import RequestError
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import types_pb2 as types_v1


def merged(request: customer_v1.MergeCustomersRequest) -> tuple[RequestContext, Merge]:
    """Return which two references are one person."""
    return parse.context(request.context), Merge(
        _customer(request.into, "into"),
        _customer(getattr(request, "from"), "from"),
        text.named(request.evidence_ref, "evidence_ref", text.FREE),
    )


def split(request: customer_v1.SplitCustomerRequest) -> tuple[RequestContext, StoreKey, str]:
    """Return which store key is another person than it was taken for."""
    given = request.store_key
    key = StoreKey(
        text.named(given.store, "store_key.store"),
        text.named(given.customer_id, "store_key.customer_id", text.IDENTITY),
    )
    evidence_ref = text.named(request.evidence_ref, "evidence_ref", text.FREE)
    return parse.context(request.context), key, evidence_ref


def _customer(ref: types_v1.CustomerRef, field: str) -> CustomerRef:
    try:
        return parse.customer(ref)
    except RequestError as error:
        at = field + error.field.removeprefix("customer")
        raise RequestError(error.detail, code=error.code, field=at) from None


def _merge(reply: CorrectionReply) -> customer_v1.MergeCustomersResponse:
    return customer_v1.MergeCustomersResponse(decision=render.summary(reply.summary))


def _split(reply: CorrectionReply) -> customer_v1.SplitCustomerResponse:
    return customer_v1.SplitCustomerResponse(decision=render.summary(reply.summary))


_SERVICE = "fujie.v1.CustomerDataService"
_MERGE = Method(
    _SERVICE,
    "MergeCustomers",
    Action.CORRECT,
    customer_v1.MergeCustomersRequest,
    merged,
    lambda call, asked: call.front.flows.merge_customers(call.front.gate, call.caller, *asked),
    _merge,
)
_SPLIT = Method(
    _SERVICE,
    "SplitCustomer",
    Action.CORRECT,
    customer_v1.SplitCustomerRequest,
    split,
    lambda call, asked: call.front.flows.split_customer(call.front.gate, call.caller, *asked),
    _split,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_MERGE, _SPLIT)
"""The rows of this module."""
