"""The word of a receiver of webhooks that an order is carried out: `POST /notifications/<id>/acknowledge`.

The body is `{"token": "..."}`, with the token that came with the order. Repeats are welcome; whatever is wrong is a path that
does not exist.
"""

import json

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fujie.flows.notifications import answer_notification
from fujie.model.errors import RequestError
from fujie.transport.http.public import Pace, PublicEdge, address_of, body_of

MOST_BODY = 1_024
"""Bytes of a body: a token has 43."""

_PER_S, _BURST = 5.0, 200.0
"""Orders that one address may answer: the devices of a department that was closed, at once."""


def answer_route(edge: PublicEdge) -> Route:
    """Return the route."""
    pace = Pace(_PER_S, _BURST, edge.gate.clock.monotonic)

    async def answer(request: Request) -> Response:
        if not pace.allows(address_of(request)):
            return PlainTextResponse("", 429)
        token = _token(await body_of(request, MOST_BODY))
        await answer_notification(edge.gate, request.path_params["id"], token)
        return Response(status_code=204)

    def failed(_: Request, status: int) -> Response:
        return PlainTextResponse("", status)

    endpoint = edge.around("acknowledgement", answer, failed)
    return Route("/notifications/{id}/acknowledge", endpoint, methods=["POST"])


def _token(body: bytes) -> str:
    """Return the token of a body. Raises RequestError."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    token = said.get("token") if isinstance(said, dict) else None
    if not isinstance(token, str):
        raise RequestError("a JSON object with a token is meant", field="body")
    return token
