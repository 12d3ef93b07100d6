"""The rest of DirectoryService: suspension, hand-over, and how far an offboarding is."""

from datetime import datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from fujie.flows.offboarding import Transfer
from fujie.flows.reply import ChecklistReply, NotificationReply, PrincipalReply, TransferReply
from fujie.model.offboarding import Item
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render, text
from fujie.transport.grpc.services import UNTIL_SETTLED_S, Method
from fujie.v1 import directory_service_pb2 as directory_v1


def transfer(request: directory_v1.TransferCustomersRequest) -> tuple[RequestContext, Transfer]:
    """Return from whom to whom."""
    # `from` is a word of Python: the field is reached by its name.
    whose = text.named(getattr(request, "from"), "from", text.IDENTITY)
    return parse.context(request.context), Transfer(whose, text.named(request.to, "to", text.IDENTITY))


def order(request: directory_v1.AcknowledgeOrderRequest) -> tuple[RequestContext, str]:
    """Return which order is meant."""
    return parse.context(request.context), text.named(request.order, "order")


def told(item: Item) -> directory_v1.OffboardingItem:
    """Return one part of an offboarding."""
    return directory_v1.OffboardingItem(
        kind=f"OFFBOARDING_KIND_{item.kind}",
        state=f"OFFBOARDING_STATE_{item.state}",
        subject=item.subject,
        open=item.open,
        order=item.order,
        due_at=_stamp(item.due_at),
        done_at=_stamp(item.done_at),
        done_by=item.done_by,
    )


def _stamp(when: datetime | None) -> Timestamp | None:
    return render.stamp(when) if when else None


def _suspended(reply: PrincipalReply) -> directory_v1.SuspendPrincipalResponse:
    return directory_v1.SuspendPrincipalResponse(
        principal=render.directory_record(reply.principal), decision=render.summary(reply.summary)
    )


def _reinstated(reply: PrincipalReply) -> directory_v1.ReinstatePrincipalResponse:
    return directory_v1.ReinstatePrincipalResponse(
        principal=render.directory_record(reply.principal), decision=render.summary(reply.summary)
    )


def _transferred(reply: TransferReply) -> directory_v1.TransferCustomersResponse:
    return directory_v1.TransferCustomersResponse(
        order=reply.order.id,
        due_at=_stamp(reply.order.due_at),
        campaigns=[f"campaigns/{each}" for each in reply.drafts],
        approvals=reply.approvals,
        decision=render.summary(reply.summary),
    )


def _checklist(reply: ChecklistReply) -> directory_v1.GetOffboardingResponse:
    return directory_v1.GetOffboardingResponse(
        principal=render.directory_record(reply.checklist.principal),
        items=map(told, reply.checklist.items),
        done=reply.checklist.is_done,
        decision=render.summary(reply.summary),
    )


def _acknowledged(reply: NotificationReply) -> directory_v1.AcknowledgeOrderResponse:
    return directory_v1.AcknowledgeOrderResponse(
        order=reply.notification.id,
        acknowledged_at=_stamp(reply.notification.acknowledged_at),
        acknowledged_by=reply.notification.acknowledged_by,
        decision=render.summary(reply.summary),
    )


_SERVICE = "fujie.v1.DirectoryService"
_SUSPEND = Method(
    _SERVICE,
    "SuspendPrincipal",
    Action.PRINCIPAL_OFFBOARD,
    directory_v1.SuspendPrincipalRequest,
    parse.principal_id,
    lambda call, asked: call.front.flows.suspend_principal(call.front.gate, call.caller, *asked),
    _suspended,
    UNTIL_SETTLED_S,
)
_REINSTATE = Method(
    _SERVICE,
    "ReinstatePrincipal",
    Action.PRINCIPAL_WRITE,
    directory_v1.ReinstatePrincipalRequest,
    parse.principal_id,
    lambda call, asked: call.front.flows.reinstate_principal(call.front.gate, call.caller, *asked),
    _reinstated,
)
_TRANSFER = Method(
    _SERVICE,
    "TransferCustomers",
    Action.PRINCIPAL_OFFBOARD,
    directory_v1.TransferCustomersRequest,
    transfer,
    lambda call, asked: call.front.flows.transfer_customers(call.front.gate, call.caller, *asked),
    _transferred,
)
_GET_OFFBOARDING = Method(
    _SERVICE,
    "GetOffboarding",
    Action.PRINCIPAL_READ,
    directory_v1.GetOffboardingRequest,
    parse.principal_id,
    lambda call, asked: call.front.flows.get_offboarding(call.front.gate, call.caller, *asked),
    _checklist,
)
_ACKNOWLEDGE = Method(
    _SERVICE,
    "AcknowledgeOrder",
    Action.PRINCIPAL_OFFBOARD,
    directory_v1.AcknowledgeOrderRequest,
    order,
    lambda call, asked: call.front.flows.acknowledge_order(call.front.gate, call.caller, *asked),
    _acknowledged,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (
    _SUSPEND,
    _REINSTATE,
    _TRANSFER,
    _GET_OFFBOARDING,
    _ACKNOWLEDGE,
)
"""The rows of this module."""
