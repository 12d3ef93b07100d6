"""`fujie exports` and `fujie trace`: what left, who was in it, and how to end it."""

from typing import Annotated, Any

import typer

from fujie.app.cli.arguments import PageSize, PageToken, customer_ref
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import plain, shown
from fujie.app.cli.output import Exit, Format, fail, show, show_fields

Name = Annotated[
    str, typer.Argument(help="The export, exports/<id>, as its last line and `exports list` say.")
]
_COLUMNS = ("name", "state", "requester", "store", "purpose", "rows", "start_time", "reason", "lease_expire_time", "opens_left", "closed_why")  # fmt: skip
_TRACED = ("name", "requester", "store", "purpose", "start_time", "chunks", "opened_by")
_STATES = ("running", "complete", "stopped")


@calls_server
def list_(
    server: Server,
    requester: Annotated[str, typer.Option("--requester", help="Only what this principal exported.")] = "",
    store: Annotated[str, typer.Option("--store", help="Only out of this store.")] = "",
    state: Annotated[str, typer.Option("--state", help="running, complete or stopped.")] = "",
    page_size: PageSize = 100,
    page_token: PageToken = "",
) -> None:
    """List exports, the last one first. Your own by --requester with your own id; all others need approval.read."""
    from fujie.v1 import export_service_pb2 as export_v1

    if state and state not in _STATES:
        words = f"--state is one of {', '.join(_STATES)}"
        fail(Exit.USAGE, words, code="ARGUMENT_INVALID", output=server.output)
    request = export_v1.ListExportsRequest(
        requester=requester,
        store=store,
        state=f"EXPORT_STATE_{state.upper()}" if state else None,
        page_size=page_size,
        page_token=page_token,
    )
    with server.stubs() as stubs:
        reply = stubs.exports.ListExports(request)
    told = [plain(each) for each in reply.exports]
    rows = [tuple(_people(each).get(column, "") for column in _COLUMNS) for each in told]
    _page(server, ("exports", told), _COLUMNS, rows, reply.next_page_token)


@calls_server
def show_(server: Server, name: Name) -> None:
    """Show what became of an export: your own, or any with approval.read. Never a customer."""
    from fujie.v1 import export_service_pb2 as export_v1

    with server.stubs() as stubs:
        reply = stubs.exports.GetExport(export_v1.GetExportRequest(name=name))
    _print(server, reply.export)


@calls_server
def revoke(server: Server, name: Name) -> None:
    """Stop an export and destroy the keys of its file, for ever: your own, or any with approval.decide."""
    from fujie.v1 import export_service_pb2 as export_v1

    with server.stubs() as stubs:
        reply = stubs.exports.RevokeExport(export_v1.RevokeExportRequest(name=name))
    _print(server, reply.export)


@calls_server
def trace(
    server: Server,
    store: Annotated[str, typer.Option("--store", help="Store of --customer-id.")] = "",
    customer_id: Annotated[
        str, typer.Option("--customer-id", help="Id of the customer in the store.")
    ] = "",
    phone: Annotated[str, typer.Option("--phone", help="Phone number of the customer.")] = "",
    page_size: PageSize = 100,
    page_token: PageToken = "",
) -> None:
    """Say which exports held a customer, under every alias, and who opened them. Needs audit.read."""
    from fujie.v1 import export_service_pb2 as export_v1

    if bool(phone) == bool(store and customer_id):
        words = "give --store with --customer-id, or --phone"
        fail(Exit.USAGE, words, code="ARGUMENT_INVALID", output=server.output)
    request = export_v1.TraceCustomerRequest(
        customer=customer_ref(phone or customer_id, store, phone=bool(phone)),
        page_size=page_size,
        page_token=page_token,
    )
    with server.stubs() as stubs:
        reply = stubs.exports.TraceCustomer(request)
    told = [plain(each) for each in reply.exports]
    rows = [tuple(_traced(each).get(column, "") for column in _TRACED) for each in told]
    _page(server, ("exports", told), _TRACED, rows, reply.next_page_token)


def _page(
    server: Server,
    told: tuple[str, list[dict[str, Any]]],
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    token: str,
) -> None:
    more = {"next_page_token": token} if token else {}
    show(server.output, {told[0]: told[1], **more}, columns, rows)
    if more and server.output is Format.TABLE:
        typer.echo(f"more: --page-token {token}", err=True)


def _print(server: Server, export: Any) -> None:
    if server.output is Format.JSON:
        show_fields(server.output, shown(export, server.output))
        return
    show_fields(server.output, _people(plain(export)))


def _people(told: dict[str, Any]) -> dict[str, str]:
    """Return an export for people: names without the prefixes of enumerations, the steps as one text."""
    cells = {name: str(value) for name, value in told.items() if name != "treatments"}
    steps = {name: each.get("step", "") for name, each in sorted(told.get("treatments", {}).items())}
    prefixes = {"state": "EXPORT_STATE_", "format": "EXPORT_FORMAT_"}
    cells |= {name: cells[name].removeprefix(prefix) for name, prefix in prefixes.items() if name in cells}
    return cells | (
        {"fields": ", ".join(f"{name}: {step}" for name, step in steps.items())} if steps else {}
    )


def _traced(told: dict[str, Any]) -> dict[str, str]:
    openings = told.get("openings", [])
    return _people(told["export"]) | {
        "chunks": ", ".join(map(str, told.get("chunks", []))),
        "opened_by": ", ".join(f"{each['principal']} {each['time']}" for each in openings),
    }
