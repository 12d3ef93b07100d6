"""The gate: every port that a flow needs, and one case on its way through."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Protocol

from fujie.audit.sealing import SealKey
from fujie.decision.decider import Decider
from fujie.decision.tokens import Tokeniser
from fujie.flows.shadow import Shadow
from fujie.model.making import made_often
from fujie.model.principal import Credential, Principal
from fujie.model.request import Request, RequestContext
from fujie.model.suppression import ReplyScope
from fujie.model.vocabulary import ADMINISTRATOR, State
from fujie.ports import Clock, CustomerStore, Directory, EvidenceLog, Identifiers, Ledger, Metrics
from fujie.ports.exports import Exports
from fujie.ports.messaging import Heard, Outbox
from fujie.ports.notifications import Notifications
from fujie.ports.processors import ProcessorRegister
from fujie.ports.providers import Provider
from fujie.ports.requests import Rights
from fujie.ports.signin import Sessions


class Policies(Protocol):
    """The policies in force. A flow takes `current` once, so that a reload is atomic per request."""

    @property
    def current(self) -> Decider:
        """The decider of the bundle in force."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """`Policies` that no reload changes: one call decides by one bundle, however often it decides."""

    current: Decider


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What confirms a customer's "stop": ids of templates by language (`zh`, `en`; one at least), the signature, and the
    providers that confirm by themselves (`flows.confirmation`)."""

    templates: Mapping[str, str]
    signature: str
    silent: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Sending:
    """What one worker needs to send. `providers` are in order of preference; `page_url` is the address of the
    customers' own page, which the token of a link follows (empty: there is none); `replies` is what a reply closes,
    and `confirmation` what is answered to it (None: nothing).
    `kinds` tells of what kind each provider is (`aliyun`, `smpp`), whose rules for texts a review knows; `prices` what a
    segment costs there, in thousandths of a currency, where the settings say it.
    `wake` tells the worker's dispatch that there is something to send. `under_way` are messages sent alone that go on
    when nobody waits for them any more. `unkept` is what providers said once and the ledger could not keep yet (`flows/hearing.py`)."""

    outbox: Outbox
    processors: ProcessorRegister
    providers: Mapping[str, Provider] = field(default_factory=lambda: MappingProxyType({}))
    page_url: str = ""
    replies: ReplyScope = field(default_factory=ReplyScope)
    kinds: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    prices: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    confirmation: Confirmation | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: set[asyncio.Task[object]] = field(default_factory=set)
    unkept: list[Heard] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Orders:
    """Within which time other systems must acknowledge: that devices are wiped, that customers are handed over."""

    wipe_within: timedelta = timedelta(hours=24)
    transfer_within: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """What one worker needs to answer. `zone` turns time into hours; `admins` are `bootstrap.admins`;
    `may_assert` are the SPIFFE ids of the workloads that may ask for somebody else;
    `controller` names the personal information handler in consent records; `seal_key` unwraps the
    customers' data keys; `rights` serves what they ask of us;
    `exports` keeps what left in bulk; `sessions` tells which of the console are over; `shadow` is another bundle, asked and never obeyed; `sending` is None where nothing can be sent; `notifications` are what other
    systems are told, `orders` by when they must do what they are told."""

    directory: Directory
    ledger: Ledger
    stores: Mapping[str, CustomerStore]
    log: EvidenceLog
    policies: Policies
    clock: Clock
    ids: Identifiers
    metrics: Metrics
    tokeniser: Tokeniser
    seal_key: SealKey
    zone: tzinfo
    rights: Rights
    exports: Exports
    sessions: Sessions
    admins: frozenset[str] = frozenset()
    controller: str = ""
    may_assert: frozenset[str] = frozenset()
    shadow: Shadow | None = None
    sending: Sending | None = None
    notifications: Notifications | None = None
    orders: Orders = Orders()


class Stopwatch:
    """Reports the time between laps as stages."""

    __slots__ = ("_last", "_monotonic", "_stage", "_started")

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._monotonic = clock.monotonic
        self._stage = metrics.stage
        self._started = self._last = clock.monotonic()

    def lap(self, stage: str) -> None:
        """Report the time since the last lap as `stage`."""
        now = self._monotonic()
        self._stage(stage, now - self._last)
        self._last = now

    def stop(self) -> None:
        """Report the time since the start as `total`."""
        self._stage("total", self._monotonic() - self._started)


@dataclass(slots=True)
class Asserted:
    """For whom a trusted workload asks. Empty until the directory knows the id that the caller
    asserted: before, it may be anything, and is written nowhere."""

    principal_id: str = ""


@made_often
@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """One request on its way: who asks for what, under which bundle, since when."""

    gate: Gate
    decider: Decider
    caller: Credential
    context: RequestContext
    request: Request
    decision_id: str
    now: datetime
    watch: Stopwatch
    asserted: Asserted = field(default_factory=Asserted)

    @property
    def asker(self) -> str:
        """Id of the principal that is judged: the person behind a trusted workload, else the caller.

        What is said of a person (who recorded a consent, whose request_id it is, for whom an
        explanation is made) is said of this id; who called is `caller.subject`.
        """
        return self.asserted.principal_id or self.caller.subject


def open_case(gate: Gate, caller: Credential, context: RequestContext, request: Request) -> Case:
    """Start a case: fix the bundle, the moment and the id that everything about it carries."""
    if context.on_behalf_of and not request.delegated:
        request = replace(request, delegated=True)
    return Case(
        gate,
        gate.policies.current,
        caller,
        context,
        request,
        gate.ids.new_id(),
        gate.clock.now(),
        Stopwatch(gate.clock, gate.metrics),
    )


async def principal_of(gate: Gate, subject: str) -> Principal | None:
    """Return who `subject` is: the directory says so, not the token (promise 7).

    A subject of `bootstrap.admins` that the directory does not know is an administrator as long as
    the directory has none (promise 11).
    """
    principal = await gate.directory.get(subject)
    if principal is None and subject in gate.admins and not await gate.directory.has_administrator():
        return Principal(subject, State.EMPLOYEE, frozenset({ADMINISTRATOR}))
    return principal
