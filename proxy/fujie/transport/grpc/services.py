"""Every method of every service, as one row each: action, how to parse, which flow, how to render.

A call runs authenticate, parse, flow, render; the tables are built once, so that a call only looks up.
The transport decides nothing: a request that does not parse goes to `refuse_input`, which writes its
entry and says what the caller may know.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message

from fujie.flows.gate import Gate
from fujie.flows.reply import LookupReply, Refusal, Summary
from fujie.model.errors import RequestError
from fujie.model.making import made_often
from fujie.model.principal import Credential
from fujie.model.request import LookupAsk
from fujie.model.vocabulary import Action
from fujie.ports import Authenticator
from fujie.transport.grpc import parse, render, status
from fujie.transport.grpc.credentials import authenticate
from fujie.transport.grpc.deadlines import Deadlines
from fujie.transport.grpc.edge import Context
from fujie.transport.grpc.flows import Flows
from fujie.transport.grpc.gathering import Gathering
from fujie.transport.grpc.openstreams import Streams
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import policy_service_pb2 as policy_v1

GRACE_S: Final = 1.0
"""What a flow gets beyond its timeout, to write the entry of a refusal and answer."""


@dataclass(frozen=True, slots=True)
class Front:
    """What every call needs. `timeout_s` caps what a caller may ask for, and holds when none is asked for.

    `trust_domain` is that of the workloads whose certificates are asked for; empty when none are.
    """

    gate: Gate
    authenticator: Authenticator
    timeout_s: float
    flows: Flows = field(default_factory=Flows)
    trust_domain: str = ""
    deadlines: Deadlines = field(default_factory=Deadlines)
    streams: Streams = field(default_factory=Streams)
    gathering: Gathering = field(default_factory=Gathering)


@made_often
@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call."""

    front: Front
    caller: Credential
    timeout_s: float


class Reply(Protocol):
    """What every flow answers when it does not refuse."""

    @property
    def summary(self) -> Summary:
        """The decision behind it."""
        ...


M = TypeVar("M", bound=Message)
A = TypeVar("A")
R = TypeVar("R", bound=Reply)


UNTIL_SETTLED_S = 40.0
"""What a call may take that closes: it is answered once nothing is on its way any more (`flows/settlement.py`)."""


@dataclass(frozen=True, slots=True)
class Method(Generic[M, A, R]):
    """One method: `/service/name`, its one action, its request type, and its three steps. `patience_s` is what it may
    take where that is more than other calls may."""

    service: str
    name: str
    action: Action
    request: type[M]
    parse: Callable[[M], A]
    flow: Callable[[Call, A], Awaitable[R | Refusal]]
    render: Callable[[R], Message]
    patience_s: float = 0.0

    @property
    def path(self) -> str:
        """The path of HTTP/2, which also names the method in incidents."""
        return f"/{self.service}/{self.name}"


async def answer(
    method: Method[M, A, R], front: Front, raw: bytes, context: Context
) -> bytes | status.Failure:
    """Run one call to its end: the encoded reply, or how a refusal is told.

    Raises:
        FujieError: the caller could not be authenticated, or something that a flow needs failed.
        TimeoutError: the flow did not end within its timeout and grace.

    """
    now = front.gate.clock.now()
    caller = await authenticate(context, front.authenticator, front.trust_domain, now)
    remaining_s = cast(
        "float | None", context.time_remaining()
    )  # the stubs forget that there may be no deadline
    most_s = max(front.timeout_s, method.patience_s)
    timeout_s = most_s if remaining_s is None else max(0.0, min(remaining_s, most_s))
    with front.deadlines.within(timeout_s + GRACE_S):
        try:
            asked = method.parse(parse.message(method.request, raw))
        except RequestError as error:
            return status.refused(await front.flows.refuse_input(front.gate, caller, method.action, error))
        reply = await method.flow(Call(front, caller, timeout_s), asked)
    if isinstance(reply, Refusal):
        return status.refused(reply)
    encoded = method.render(reply).SerializeToString()
    context.set_trailing_metadata(((status.DECISION_ID_KEY, reply.summary.decision_id),))
    return encoded


async def _lookup(call: Call, ask: LookupAsk) -> LookupReply | Refusal:
    gathering = call.front.gathering
    await gathering.enter()
    try:
        return await call.front.flows.lookup(call.front.gate, call.caller, ask, call.timeout_s)
    finally:
        gathering.leave()


_CUSTOMERS = "fujie.v1.CustomerDataService"
_CONSENT = "fujie.v1.ConsentService"
_DIRECTORY = "fujie.v1.DirectoryService"
_POLICY = "fujie.v1.PolicyService"

_LOOKUP_CUSTOMER = Method(
    _CUSTOMERS,
    "LookupCustomer",
    Action.LOOKUP,
    customer_v1.LookupCustomerRequest,
    parse.lookup,
    _lookup,
    render.lookup,
)
_RECORD_CONSENT = Method(
    _CONSENT,
    "RecordConsent",
    Action.CONSENT_RECORD,
    consent_v1.RecordConsentRequest,
    parse.recorded,
    lambda call, asked: call.front.flows.record_consent(call.front.gate, call.caller, *asked),
    render.recorded,
    UNTIL_SETTLED_S,
)
_WITHDRAW_CONSENT = Method(
    _CONSENT,
    "WithdrawConsent",
    Action.CONSENT_WITHDRAW,
    consent_v1.WithdrawConsentRequest,
    parse.withdrawn,
    lambda call, asked: call.front.flows.withdraw_consent(call.front.gate, call.caller, *asked),
    render.withdrawn,
    UNTIL_SETTLED_S,
)
_GET_CONSENT = Method(
    _CONSENT,
    "GetConsent",
    Action.CONSENT_READ,
    consent_v1.GetConsentRequest,
    parse.consent_query,
    lambda call, query: call.front.flows.get_consent(call.front.gate, call.caller, query),
    render.consent_state,
)
_UPSERT_PRINCIPAL = Method(
    _DIRECTORY,
    "UpsertPrincipal",
    Action.PRINCIPAL_WRITE,
    directory_v1.UpsertPrincipalRequest,
    parse.upserted,
    lambda call, asked: call.front.flows.upsert_principal(call.front.gate, call.caller, *asked),
    render.upserted,
    UNTIL_SETTLED_S,
)
_GET_PRINCIPAL = Method(
    _DIRECTORY,
    "GetPrincipal",
    Action.PRINCIPAL_READ,
    directory_v1.GetPrincipalRequest,
    parse.principal_id,
    lambda call, asked: call.front.flows.get_principal(call.front.gate, call.caller, *asked),
    render.principal,
)
_OFFBOARD_PRINCIPAL = Method(
    _DIRECTORY,
    "OffboardPrincipal",
    Action.PRINCIPAL_OFFBOARD,
    directory_v1.OffboardPrincipalRequest,
    parse.offboarded,
    lambda call, asked: call.front.flows.offboard_principal(call.front.gate, call.caller, *asked),
    render.offboarded,
    UNTIL_SETTLED_S,
)
_EXPLAIN = Method(
    _POLICY,
    "Explain",
    Action.EXPLAIN,
    policy_v1.ExplainRequest,
    parse.explained,
    lambda call, asked: call.front.flows.explain(call.front.gate, call.caller, *asked),
    render.explained,
)
_GET_BUNDLE = Method(
    _POLICY,
    "GetBundle",
    Action.POLICY_READ,
    policy_v1.GetBundleRequest,
    parse.bundle,
    lambda call, context: call.front.flows.get_bundle(call.front.gate, call.caller, context),
    render.bundle,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (
    _LOOKUP_CUSTOMER,
    _RECORD_CONSENT,
    _WITHDRAW_CONSENT,
    _GET_CONSENT,
    _UPSERT_PRINCIPAL,
    _GET_PRINCIPAL,
    _OFFBOARD_PRINCIPAL,
    _EXPLAIN,
    _GET_BUNDLE,
)
"""Every method of the package; each row above is checked by its own types, this tuple only collects."""
