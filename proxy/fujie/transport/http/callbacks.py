"""Callbacks of providers: `POST /callbacks/<provider>/<secret>`.

Few providers sign what they push (of the built-in ones Twilio alone), so three things stand together: a secret in the path,
compared in constant time; the networks that the settings allow; and what the provider's own adapter can verify. Whoever
fails one of the first two learns nothing: the answer is that of a path that does not exist.

A report is acknowledged when all of it is in the ledger; else the provider hears 503 and repeats it.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fujie.flows.gate import Gate
from fujie.flows.receipts import receive
from fujie.ports.providers import Callback
from fujie.transport.http.lines import Line, Network
from fujie.transport.http.public import PublicEdge, body_of

MOST_BODY = 1 << 20
"""Bytes of one callback: the largest that is documented has 100 reports (Tencent) of some 300 bytes."""


def callback_route(edge: PublicEdge, lines: Mapping[str, Line], public_url: str) -> Route:
    """Return the route of all callbacks. `public_url` is what providers call, without a final slash; what they sign
    begins with it. Empty: the address of the request itself."""

    async def answer(request: Request) -> Response:
        provider, secret = request.path_params["provider"], request.path_params["secret"]
        line = lines.get(provider)
        is_theirs = _is_same(secret, line.secret if line else "") and line is not None
        gate = edge.gate
        if not is_theirs or line is None or not _is_within(request, line.networks):
            gate.metrics.received(provider if line else "other", "refused")
            return PlainTextResponse("", 404)
        return await _hear(gate, provider, _called(request, public_url, await body_of(request, MOST_BODY)))

    def failed(request: Request, status: int) -> Response:
        if status == 403:
            edge.gate.metrics.received(request.path_params["provider"], "refused")
        return PlainTextResponse("", status)

    endpoint = edge.around("callback", answer, failed)
    return Route("/callbacks/{provider}/{secret}", endpoint, methods=["POST"])


async def _hear(gate: Gate, name: str, call: Callback) -> Response:
    provider = gate.sending.providers.get(name) if gate.sending else None
    if provider is None:  # the settings name a line only for a provider
        return PlainTextResponse("", 404)
    called = provider.callback(call)
    await receive(gate, name, called)
    return Response(called.body, media_type=called.content_type)


def _is_same(given: str, secret: str) -> bool:
    """Compare digests: of one length whatever was given, so that not even that can be measured."""
    digests = (hashlib.sha256(each.encode("utf-8", "surrogatepass")).digest() for each in (given, secret))
    return hmac.compare_digest(*digests) and bool(secret)


def _is_within(request: Request, networks: tuple[Network, ...]) -> bool:
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _called(request: Request, public_url: str, body: bytes) -> Callback:
    path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    base = public_url or f"{request.url.scheme}://{request.url.netloc}"
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Callback(f"{base}{path}{'?' if query else ''}{query}", headers, body)
