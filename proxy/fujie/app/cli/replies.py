"""`fujie replies`: what customers answered, and a person must look at."""

from datetime import datetime
from typing import Annotated

import typer

from fujie.app.cli.arguments import PageSize, PageToken
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import show_page, shown
from fujie.app.cli.output import Exit, fail, show_fields

Name = Annotated[str, typer.Argument(help="replies/<id>.")]
_OUTCOMES = ("none", "opt-out-added", "complaint-opened")


@calls_server
def list_(
    server: Server,
    since: Annotated[
        datetime | None, typer.Option("--since", help="Those that came then (UTC) or later.")
    ] = None,
    with_reviewed: Annotated[
        bool, typer.Option("--with-reviewed", help="Also those that somebody looked at.")
    ] = False,
    page_size: PageSize = 100,
    page_token: PageToken = "",
) -> None:
    """List replies that wait for a person, the oldest first, without what was written."""
    from google.protobuf.timestamp_pb2 import Timestamp

    from fujie.v1 import subject_request_service_pb2 as request_v1

    moment = None
    if since is not None:
        moment = Timestamp()
        moment.FromDatetime(since)
    request = request_v1.ListRepliesRequest(
        with_reviewed=with_reviewed, since=moment, page_size=page_size, page_token=page_token
    )
    with server.stubs() as stubs:
        reply = stubs.requests.ListReplies(request)
    columns = ("name", "provider", "sid", "received_at", "outcome", "reviewed_by")
    show_page(server.output, reply, "replies", columns)


@calls_server
def show(
    server: Server,
    name: Name,
    *,
    whole: Annotated[
        bool, typer.Option("--whole", help="As it was written; for who may lift opt-outs.")
    ] = False,
) -> None:
    """Show a reply, the personal data in it covered."""
    from fujie.v1 import subject_request_service_pb2 as request_v1

    with server.stubs() as stubs:
        reply = stubs.requests.GetReply(request_v1.GetReplyRequest(name=name, whole=whole))
    show_fields(server.output, shown(reply.reply, server.output))


@calls_server
def mark(
    server: Server,
    name: Name,
    outcome: Annotated[str, typer.Option("--outcome", help=f"What came of it: {', '.join(_OUTCOMES)}.")],
) -> None:
    """Record what came of a reply. It does nothing else: it adds no opt-out and opens no complaint."""
    from fujie.v1 import subject_request_service_pb2 as request_v1

    if outcome not in _OUTCOMES:
        fail(
            Exit.USAGE,
            f"--outcome is one of {', '.join(_OUTCOMES)}",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    wanted = f"REPLY_OUTCOME_{outcome.upper().replace('-', '_')}"
    with server.stubs() as stubs:
        reply = stubs.requests.MarkReply(request_v1.MarkReplyRequest(name=name, outcome=wanted))
    show_fields(server.output, shown(reply.reply, server.output))
