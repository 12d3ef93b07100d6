"""The public HTTP port: callbacks of providers and the customers' own page, and nothing else.

Strangers reach it, so nothing is believed before it is bounded: connections (`app/web.py`), bytes of a body, calls per
address. Nothing of a request is logged, not even its path: paths hold the token of a link or a callback's secret.
"""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import format_datetime
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fujie.flows.gate import Gate
from fujie.model.errors import RequestError
from fujie.model.reason import Outcome
from fujie.model.reasons import BUILT_IN_REASONS

BODY_S = 10.0
"""How long a body may take to come: forms and reports are small, and who sends one byte a second is no customer."""

MOST_KEYS = 20_000
"""Keys that a `Pace` remembers, about 4 MB; who has more addresses than that can be slowed down by an ingress alone."""

_STATUS = {
    Outcome.INVALID: 400,
    Outcome.UNAUTHENTICATED: 403,
    Outcome.REFUSED: 403,
    Outcome.NOT_FOUND: 404,
    Outcome.CONFLICT: 409,
    Outcome.LIMITED: 429,
}
"""Everything else is 503: we could not, and a provider that hears it tries again."""

_ALWAYS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Incident:
    """A request that ended in an exception that nobody expected. `where` is a name of ours, never a path."""

    id: str
    where: str
    code: str
    error: str


Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, repr=False)
class PublicEdge:
    """What ends requests. `failed` makes the answer for a status; `report` gets what nobody expected."""

    gate: Gate
    report: Callable[[Incident], None]

    def around(self, where: str, answer: Answer, failed: Callable[[Request, int], Response]) -> Answer:
        """Return `answer` as an endpoint that ends in a status whatever happens inside."""

        async def run(request: Request) -> Response:
            try:
                return await answer(request)
            except ClientDisconnect:
                return failed(request, 400)
            except TimeoutError:
                return failed(request, 408)
            except Exception as error:  # noqa: BLE001 - the outermost: whatever it is, it ends here, and says nothing
                status, code = status_of(error)
                if status == 503:
                    self.tell(where, error, code)
                return failed(request, status)

        return run

    def tell(self, where: str, error: Exception, code: str = "") -> None:
        """Report what nobody expected; `code` is its own where it has one."""
        with suppress(Exception):  # a logger that fails must not become an answer
            said = code or status_of(error)[1]
            self.report(Incident(self.gate.ids.new_id(), where, said, type(error).__name__))


def status_of(error: Exception) -> tuple[int, str]:
    """Return the HTTP status and the reason code of an error."""
    if isinstance(error, TooLarge):
        return 413, error.code
    code = getattr(error, "code", "")
    row = BUILT_IN_REASONS.get(code) if isinstance(code, str) else None
    if row is None:
        return 503, "INTERNAL"
    return (_STATUS.get(row.outcome, 503) if isinstance(error, RequestError) else 503), row.code


class TooLarge(RequestError):
    """A body has more bytes than it may."""

    def __init__(self) -> None:
        super().__init__("the body is too large", field="body")


async def body_of(request: Request, most: int) -> bytes:
    """Return the body, of at most `most` bytes. Raises TooLarge, or TimeoutError after `BODY_S`."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > most:
        raise TooLarge
    read = bytearray()
    async with asyncio.timeout(BODY_S):
        async for chunk in request.stream():
            read += chunk
            if len(read) > most:
                raise TooLarge
    return bytes(read)


async def form_in(request: Request, most: int) -> Mapping[str, str]:
    """Return the fields of a form of at most `most` bytes, each given once. Raises like `body_of`, and RequestError
    ARGUMENT_INVALID."""
    body = await body_of(request, most)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=12, errors="strict")
    except ValueError:
        raise RequestError("no form", field="body") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise RequestError("a field is given twice", field="body")
    return form


@dataclass(slots=True)
class Pace:
    """How often each key may come: `burst` at once, and `per_s` in the long run. Remembers the last `MOST_KEYS` keys."""

    per_s: float
    burst: float
    monotonic: Callable[[], float]
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def allows(self, key: str) -> bool:
        """Tell whether `key` may come now, and count it."""
        now = self.monotonic()
        left, since = self._left.pop(key, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_s)
        is_allowed = left >= 1
        self._left[key] = (left - 1 if is_allowed else left, now)
        if len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)
        return is_allowed


def address_of(request: Request) -> str:
    """Return the address of the client, as the trusted proxies tell it; one of IPv6 stands for its network (/64)."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "?"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


class SameHeaders:
    """Puts the headers on every answer that none may lack."""

    def __init__(self, app: ASGIApp, gate: Gate, more: Mapping[str, str]) -> None:
        self._app = app
        self._gate = gate
        self._headers = {**_ALWAYS, **more}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers["date"] = format_datetime(self._gate.clock.now(), usegmt=True)
            await send(message)

        await self._app(scope, receive, sending)


def public_app(gate: Gate, routes: Sequence[BaseRoute], more: Mapping[str, str]) -> ASGIApp:
    """Return the application of these routes; `more` are headers that every answer has."""

    def ended(_: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        return PlainTextResponse("", status)

    app = Starlette(routes=routes, exception_handlers={404: ended, 405: ended, 500: ended})
    app.router.redirect_slashes = False  # a redirect would repeat the path
    return SameHeaders(app, gate, more)
