"""Look-ups of several customers: the rows of the methods, how they parse, how they are told."""

from collections.abc import Sequence
from typing import Any, Final

from fujie.flows.reply import BatchReply, LookupReply, Refusal, SearchReply
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import RequestError
from fujie.model.request import BatchAsk, SearchAsk
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import types_pb2 as types_v1

MOST_CUSTOMERS: Final = 100
"""Customers of one batch: more are an export, which has a method of its own."""

_DIGITS = frozenset("0123456789")


def batch(request: customer_v1.BatchLookupCustomersRequest) -> BatchAsk:
    """Return the batch: 1 to 100 customers, all of one store."""
    if not 1 <= len(request.customers) <= MOST_CUSTOMERS:
        raise RequestError(f"name 1 to {MOST_CUSTOMERS} customers", field="customers")
    refs = tuple(_customer(ref, index) for index, ref in enumerate(request.customers))
    return BatchAsk(
        refs,
        _store(refs, text.clean(request.store, "store", text.NAME)),
        parse.context(request.context),
        text.mask(request.read_mask.paths, "read_mask"),
        request.strict,
    )


def search(request: customer_v1.SearchCustomersRequest) -> SearchAsk:
    """Return the search: exactly four ASCII digits, one store."""
    digits = request.phone_last_four
    if len(digits) != 4 or not _DIGITS.issuperset(digits):
        raise RequestError("four digits are meant", code="PHONE_INVALID", field="phone_last_four")
    return SearchAsk(
        digits,
        text.named(request.store, "store"),
        parse.context(request.context),
        text.mask(request.read_mask.paths, "read_mask"),
        request.strict,
    )


def batched(reply: BatchReply) -> customer_v1.BatchLookupCustomersResponse:
    """Return what came of each customer."""
    return customer_v1.BatchLookupCustomersResponse(
        results=[_result(index, answer) for index, answer in enumerate(reply.answers)]
    )


def searched(reply: SearchReply) -> customer_v1.SearchCustomersResponse:
    """Return the customers that were found and may be seen."""
    return customer_v1.SearchCustomersResponse(
        customers=map(render.lookup, reply.found), decision=render.summary(reply.summary)
    )


def _customer(ref: types_v1.CustomerRef, index: int) -> CustomerRef:
    try:
        return parse.customer(ref)
    except RequestError as error:
        place = error.field.replace("customer", f"customers[{index}]", 1)
        raise RequestError(error.detail, code=error.code, field=place) from None


def _store(refs: Sequence[CustomerRef], asked: str) -> str:
    """Return the one store that is read: the one asked for, or that of the store keys."""
    named = {ref.store for ref in refs if isinstance(ref, StoreKey)} | ({asked} if asked else set())
    if len(named) != 1:
        raise RequestError("a batch reads one store: name it, and no other in a store key", field="store")
    return named.pop()


def _result(index: int, answer: LookupReply | Refusal) -> customer_v1.CustomerResult:
    if isinstance(answer, Refusal):
        return customer_v1.CustomerResult(
            index=index,
            decision=render.summary(answer.summary),
            reasons=map(render.reason, answer.reasons),
            approval=answer.approval,
        )
    told = render.lookup(answer)
    return customer_v1.CustomerResult(
        index=index, customer=told.customer, treatments=told.treatments, decision=told.decision
    )


_SERVICE = "fujie.v1.CustomerDataService"

_BATCH = Method(
    _SERVICE,
    "BatchLookupCustomers",
    Action.LOOKUP,
    customer_v1.BatchLookupCustomersRequest,
    batch,
    lambda call, ask: call.front.flows.batch_lookup(call.front.gate, call.caller, ask, call.timeout_s),
    batched,
)
_SEARCH = Method(
    _SERVICE,
    "SearchCustomers",
    Action.LOOKUP,
    customer_v1.SearchCustomersRequest,
    search,
    lambda call, ask: call.front.flows.search(call.front.gate, call.caller, ask, call.timeout_s),
    searched,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_BATCH, _SEARCH)
