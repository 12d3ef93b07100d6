"""Methods with a stream, as one row each, and how such a call runs.

1. The caller is authenticated and gets one of a bounded number of streams; then the first message must come.
2. A message is read when the flow asks for the next one, and an answer is written before the flow goes on: whoever sends
   faster than the ledger writes, or reads slower than the flow answers, waits.
3. While nothing comes, the flow is woken every half second, to look whether the asker still stands (promise 7).
4. Whoever sends nothing, or reads nothing, for half a minute is let go; so is a flow that hangs over one message. Where
   rows of customers leave, the asker is looked at also while a message waits for its reader.
5. A refusal is told like that of any call, with whatever was answered before it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message

from fujie.flows.reply import Refusal
from fujie.model.errors import RequestError
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, status
from fujie.transport.grpc.credentials import authenticate
from fujie.transport.grpc.deadlines import Limit
from fujie.transport.grpc.edge import Context
from fujie.transport.grpc.services import GRACE_S, Call, Front, Reply

TICK_S: Final = 0.5
"""How often a flow looks around while no message comes."""

STALL_S: Final = 30.0
"""How long a client may send nothing, or leave an answer unread: a batch takes it milliseconds to put together."""

M = TypeVar("M", bound=Message)
A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R", bound=Reply)


@dataclass(frozen=True, slots=True)
class Stream(Generic[M, A, B, R]):
    """One method with a stream of requests, of answers, or of both.

    `parse` reads what the first message opens, `batch` what every message brings, the first one too. Fields of `head`
    stand in the first message alone. `batch` is None for a method that takes one message.
    `announce` makes the initial metadata of the first answer. `context` tells who is looked at while an answer waits for
    its reader; where it is None, nobody is.
    """

    service: str
    name: str
    action: Action
    request: type[M]
    parse: Callable[[M], A]
    batch: Callable[[M], B] | None
    head: frozenset[str]
    flow: Callable[[Call, A, AsyncIterator[B | None]], AsyncIterator[R | Refusal]]
    render: Callable[[R], Message]
    announce: Callable[[R], tuple[tuple[str, str], ...]] | None = None
    context: Callable[[A], RequestContext] | None = None

    @property
    def path(self) -> str:
        """The path of HTTP/2, which also names the method in incidents."""
        return f"/{self.service}/{self.name}"


async def once(reply: Awaitable[R | Refusal]) -> AsyncIterator[R | Refusal]:
    """Yield the one answer of a flow that only its requests stream to."""
    yield await reply


async def answer(
    method: Stream[M, A, B, R], front: Front, _requests: object, context: Context
) -> status.Failure | None:
    """Run one call to its end; None when it went well.

    Raises:
        FujieError: the caller could not be authenticated, or something that a flow needs failed.
        TimeoutError: client or flow let the other wait for too long.

    """
    caller = await authenticate(context, front.authenticator, front.trust_domain, front.gate.clock.now())
    with front.streams.counted(caller.subject) as has_room:
        incoming = Incoming(method, front, context)
        try:
            if not has_room:
                raise RequestError("too many streams", code="LIMIT_EXCEEDED")
            asked = method.parse(await incoming.first())
        except RequestError as error:
            return status.refused(await front.flows.refuse_input(front.gate, caller, method.action, error))
        try:
            call = Call(front, caller, front.timeout_s)
            async with aclosing(cast("Any", method.flow(call, asked, incoming))) as replies:
                return await _written(method, (call, asked), replies, context)
        except asyncio.CancelledError as error:
            incoming.ended(error)
            raise
        finally:
            incoming.close()


async def _written(
    method: Stream[M, A, B, R],
    asking: tuple[Call, A],
    replies: AsyncIterator[R | Refusal],
    context: Context,
) -> status.Failure | None:
    announce = method.announce
    async for reply in replies:
        if isinstance(reply, Refusal):
            return status.refused(reply)
        if announce is not None:
            await context.send_initial_metadata(announce(reply))
            announce = None
        context.set_trailing_metadata(((status.DECISION_ID_KEY, reply.summary.decision_id),))
        with asking[0].front.deadlines.within(STALL_S):
            refusal = await _sent(method, asking, context, method.render(reply).SerializeToString())
        if refusal is not None:
            return status.refused(refusal)
    return None


async def _sent(
    method: Stream[M, A, B, R], asking: tuple[Call, A], context: Context, message: bytes
) -> Refusal | None:
    """Write a message; return the refusal where its reader takes it so late that he may have it no more."""
    call, asked = asking
    if method.context is None:
        await context.write(message)
        return None
    writing = asyncio.ensure_future(context.write(message))
    try:
        while not (await asyncio.wait({writing}, timeout=TICK_S))[0]:
            found = await call.front.flows.left(
                call.front.gate, call.caller, method.context(asked), method.action
            )
            if found is not None:
                return found
        await writing
    finally:
        writing.cancel()
    return None


class Incoming(Generic[M, B]):
    """The messages of one call as its flow takes them: batches, with None for every half second without one."""

    def __init__(self, method: Stream[M, Any, B, Any], front: Front, context: Context) -> None:
        self._method = method
        self._front = front
        self._context = context
        self._first: B | None = None
        self._reading: asyncio.Future[Any] | None = None
        self._waited_s = 0.0
        self._limit: Limit | None = None

    async def first(self) -> M:
        """Return the first message. Raises RequestError for none, or one that is none; TimeoutError when it is late."""
        with self._front.deadlines.within(STALL_S):
            raw = await self._context.read()
        if raw is grpc.aio.EOF:
            raise RequestError("no message came")
        first = parse.message(self._method.request, raw)
        self._first = self._method.batch(first) if self._method.batch else None
        return first

    def __aiter__(self) -> "Incoming[M, B]":
        """Return it."""
        return self

    async def __anext__(self) -> B | None:
        """Return the next batch, or None after half a second without one. Raises RequestError, TimeoutError."""
        self.ended(None)
        if self._method.batch is None:
            raise StopAsyncIteration
        found = await self._next()
        # A flow that hangs over this one is cancelled; `ended` makes a TimeoutError of that.
        self._limit = self._front.deadlines.within(self._front.timeout_s + GRACE_S)
        self._limit.__enter__()
        return found

    async def _next(self) -> B | None:
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._context.read())
        await asyncio.wait({self._reading}, timeout=TICK_S)
        if not self._reading.done():
            self._waited_s += TICK_S
            if self._waited_s >= STALL_S:
                raise TimeoutError
            return None
        raw, self._reading, self._waited_s = self._reading.result(), None, 0.0
        if raw is grpc.aio.EOF:
            raise StopAsyncIteration
        message = parse.message(self._method.request, raw)
        if again := sorted(
            field.name for field, _ in message.ListFields() if field.name in self._method.head
        ):
            raise RequestError("stands in the first message alone", field=again[0])
        assert self._method.batch is not None
        return self._method.batch(message)

    def ended(self, error: BaseException | None) -> None:
        """End the time of the batch that the flow had. Raises TimeoutError when `error` is that it was up."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.__exit__(type(error) if error else None, error, None)

    def close(self) -> None:
        """Read no more."""
        self.ended(None)
        if self._reading is not None:
            self._reading.cancel()
