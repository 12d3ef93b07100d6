"""`fujie campaign add NAME --store S`: recipients from a store instead of a file."""

import time
from typing import TYPE_CHECKING, Any

from fujie.app.cli.campaign_progress import adding
from fujie.app.cli.connection import Server
from fujie.app.cli.drafts import context_of
from fujie.app.cli.output import show_fields

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.app.client import Stubs
    from fujie.v1 import messaging_service_pb2 as messaging_v1

MOST = 1_000_000
"""Customers of a query that names no bound; the server takes no more."""

_TRIES = 6
"""How often a call that broke is made again, with a pause that doubles: some 30 seconds."""


def add_from_store(server: Server, name: str, query: "messaging_v1.StoreQuery", approval: str) -> None:
    """Add the customers of a store to a draft, in as many calls as it takes."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    query.max_rows = query.max_rows or MOST
    context = context_of("", "", "", "", approval=approval)
    request = messaging_v1.AddRecipientsRequest(name=name, context=context, query=query)
    told = {"added": 0, "repeated": 0}
    total = query.max_rows if query.max_rows < MOST else None
    with adding(total) as progress, server.stubs() as stubs:
        is_over = False
        while not is_over:
            reply = _called(stubs, request)
            told["added"] += reply.added
            told["repeated"] += reply.repeated
            progress(reply.added + reply.repeated)
            request.query.resume_token = reply.resume_token
            is_over = not reply.resume_token
    show_fields(server.output, told)


def _called(stubs: "Stubs", request: "messaging_v1.AddRecipientsRequest") -> Any:
    """Make one call, and again where the server was away: who was added by then is told as repeated. Raises
    grpc.RpcError."""
    import grpc

    for again in range(_TRIES):
        try:
            return stubs.messages.AddRecipients(iter((request,)))
        except grpc.RpcError as error:
            code: Any = error.code()
            if code is not grpc.StatusCode.UNAVAILABLE or again == _TRIES - 1:
                raise
        time.sleep(0.5 * 2**again)
    raise AssertionError("the last try returns or raises")
