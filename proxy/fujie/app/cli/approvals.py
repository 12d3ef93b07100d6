"""`fujie approval`: what others have to agree to, by those who decide."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fujie.app.cli.arguments import PageSize, PageToken
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import plain
from fujie.app.cli.output import Format, show, show_fields

Name = Annotated[
    str, typer.Argument(help="The approval, approvals/<id>, as the refusal or `approval list` shows it.")
]
_COLUMNS = ("name", "state", "requester", "action", "purpose", "store", "fields", "rows", "requirements", "expires_at")  # fmt: skip


@calls_server
def list_(
    server: Server,
    with_closed: Annotated[
        bool,
        typer.Option("--with-closed", help="Also those that were used, rejected, revoked or expired."),
    ] = False,
    to_review: Annotated[
        bool,
        typer.Option("--to-review", help="Only what went ahead in an emergency and has to be reviewed."),
    ] = False,
    page_size: PageSize = 100,
    page_token: PageToken = "",
) -> None:
    """List the approvals that you asked for or may decide on, the oldest first."""
    from fujie.v1 import approval_service_pb2 as approval_v1

    request = approval_v1.ListApprovalsRequest(
        with_closed=with_closed, page_size=page_size, page_token=page_token, to_review=to_review
    )
    with server.stubs() as stubs:
        reply = stubs.approvals.ListApprovals(request)
    told = [plain(approval) for approval in reply.approvals]
    more = {"next_page_token": reply.next_page_token} if reply.next_page_token else {}
    rows = [tuple(_people(approval).get(column, "") for column in _COLUMNS) for approval in told]
    show(server.output, {"approvals": told, **more}, _COLUMNS, rows)
    if more and server.output is Format.TABLE:
        typer.echo(f"more: --page-token {reply.next_page_token}", err=True)


@calls_server
def show_(server: Server, name: Name) -> None:
    """Show an approval: what is asked for, what it needs, who agreed, and for those who decide what it would release.
    Never a customer."""
    from fujie.v1 import approval_service_pb2 as approval_v1

    with server.stubs() as stubs:
        reply = stubs.approvals.GetApproval(approval_v1.GetApprovalRequest(name=name, with_preview=True))
    told = plain(reply.approval)
    preview = plain(reply.preview) if reply.HasField("preview") else None
    if server.output is Format.JSON:
        show_fields(server.output, told | ({"preview": preview} if preview is not None else {}))
        return
    show_fields(server.output, _people(told) | (_previewed(preview) if preview is not None else {}))


Comment = Annotated[
    str, typer.Option("--comment", help="Shown to the requester; never personal data of customers.")
]


@calls_server
def approve(server: Server, name: Name, comment: Comment = "") -> None:
    """Agree, on every part that a role of yours may decide. Never to your own request. What went ahead in an emergency is
    reviewed by that, with a --comment."""
    from fujie.v1 import approval_service_pb2 as approval_v1

    with server.stubs() as stubs:
        reply = stubs.approvals.Approve(approval_v1.ApproveRequest(name=name, comment=comment))
    _print(server, reply)


@calls_server
def reject(server: Server, name: Name, comment: Comment = "") -> None:
    """Say no, for good: one is enough. Of what went ahead in an emergency: that it should not have, with a --comment."""
    from fujie.v1 import approval_service_pb2 as approval_v1

    with server.stubs() as stubs:
        reply = stubs.approvals.Reject(approval_v1.RejectRequest(name=name, comment=comment))
    _print(server, reply)


@calls_server
def revoke(server: Server, name: Name) -> None:
    """Take an approval back before it is used: yours, or one that you may decide on."""
    from fujie.v1 import approval_service_pb2 as approval_v1

    with server.stubs() as stubs:
        reply = stubs.approvals.RevokeApproval(approval_v1.RevokeApprovalRequest(name=name))
    _print(server, reply)


def _print(server: Server, reply: Any) -> None:
    told = plain(reply.approval)
    show_fields(server.output, told if server.output is Format.JSON else _people(told))


def _people(told: Mapping[str, Any]) -> dict[str, str]:
    """Return an approval for people: the state without its prefix, each requirement as one text."""
    shown = {name: ", ".join(value) if name == "fields" else str(value) for name, value in told.items()}
    shown["state"] = shown["state"].removeprefix("APPROVAL_STATE_")
    shown["requirements"] = "; ".join(map(_requirement, told["requirements"]))
    return shown


def _previewed(told: Mapping[str, Any]) -> dict[str, str]:
    """Return a preview for people. A number that is 0 was fewer than ten."""
    history, found, terms = told.get("history", {}), told.get("found"), told.get("terms")
    signs = ", ".join(told.get("signs", ()))
    shown = {
        "risk": told["risk"].removeprefix("RISK_GRADE_") + (f" ({signs})" if signs else ""),
        "steps": ", ".join(f"{name}: {step}" for name, step in sorted(told.get("steps", {}).items())),
        "requester_30_days": ", ".join(f"{name} {count}" for name, count in history.items()),
    }
    if terms:
        shown["terms"] = ", ".join(f"{name} {value}" for name, value in terms.items())
    if found is not None:
        shown["would_find"] = _about(found.get("rows", 0)) + (
            " so far, not all were looked at" if found.get("partial") else ""
        )
        several = [each for each in found["consents"] if int(each.get("rows", 0))]
        of_each = [f"{each['state']} {_about(each['rows'])}" for each in several]
        shown["consents"] = ", ".join([*of_each, f"each {'other ' if several else ''}state fewer than 10"])
    elif terms:
        shown["would_find"] = (
            "not told: it waits for nobody, the store is away, or too many different lists were asked for"
        )
    return shown


def _about(rows: str | int) -> str:
    return f"about {int(rows)}" if int(rows) else "fewer than 10"


def _requirement(told: Mapping[str, Any]) -> str:
    votes = [
        vote["principal"] if vote.get("counts") else f"{vote['principal']} (counts no more)"
        for vote in told.get("votes", ())
    ]
    who = f"{told['count']} of {' or '.join(told['roles'])}"
    return f"{told['guard']}/{told['validation']}: {who}, so far {', '.join(votes) or 'nobody'}"
