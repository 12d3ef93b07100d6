"""`fujie principal`: suspension, hand-over, and how far an offboarding is; `fujie notifications`: what other systems must do."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import plain, shown
from fujie.app.cli.output import Exit, fail, show, show_fields

if TYPE_CHECKING:  # protobuf costs start-up, which --help need not wait for
    from google.protobuf.timestamp_pb2 import Timestamp

PrincipalId = Annotated[str, typer.Argument(help="Principal: the subject of its tokens.")]
Order = Annotated[str, typer.Argument(help="The order, as `principal offboarding` shows it.")]

_COLUMNS = ("kind", "subject", "state", "open", "due_at", "done_at", "done_by", "order")
_MARKS = {"DONE": "green", "OVERDUE": "bold red", "OUTSTANDING": "yellow"}


@calls_server
def suspend(server: Server, principal_id: PrincipalId) -> None:
    """Let a principal do nothing until it is reinstated; its roles stay, its campaigns are paused."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    with server.stubs() as stubs:
        reply = stubs.directory.SuspendPrincipal(directory_v1.SuspendPrincipalRequest(id=principal_id))
    show_fields(server.output, shown(reply.principal, server.output))


@calls_server
def reinstate(server: Server, principal_id: PrincipalId) -> None:
    """End a suspension, or call off an offboarding that is not due yet. Nobody reinstates himself."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    with server.stubs() as stubs:
        reply = stubs.directory.ReinstatePrincipal(directory_v1.ReinstatePrincipalRequest(id=principal_id))
    show_fields(server.output, shown(reply.principal, server.output))


@calls_server
def transfer(
    server: Server,
    principal_id: PrincipalId,
    to: Annotated[str, typer.Option("--to", help="Who gets customers and drafts; never who calls.")],
) -> None:
    """Hand over drafts of campaigns, and order the CRM to hand over customers."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    parties: Any = {"from": principal_id, "to": to}  # `from` is a word of Python
    request = directory_v1.TransferCustomersRequest(**parties)
    with server.stubs() as stubs:
        reply = stubs.directory.TransferCustomers(request)
    told = shown(reply, server.output)
    told.pop("decision", None)
    show_fields(server.output, told)


@calls_server
def offboarding(server: Server, principal_id: PrincipalId) -> None:
    """Show everything that belongs to an offboarding, done and outstanding. Exit code 6 when anything is overdue."""
    from rich.text import Text

    from fujie.v1 import directory_service_pb2 as directory_v1

    with server.stubs() as stubs:
        reply = stubs.directory.GetOffboarding(directory_v1.GetOffboardingRequest(id=principal_id))
    items = [plain(each) for each in reply.items]
    cells: list[list[str | Text]] = []
    for item in items:
        row = [_cell(item.get(name, "")) for name in _COLUMNS]
        cells.append([Text(cell, style=_MARKS.get(cell, "")) for cell in row])
    told = {"principal": plain(reply.principal), "items": items, "done": reply.done}
    show(server.output, told, _COLUMNS, cells)
    if any(item["state"] == "OFFBOARDING_STATE_OVERDUE" for item in items):
        raise typer.Exit(Exit.FINDINGS)


@calls_server
def acknowledge(server: Server, order: Order) -> None:
    """Say that an order is carried out: a device is wiped, customers are handed over."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    with server.stubs() as stubs:
        reply = stubs.directory.AcknowledgeOrder(directory_v1.AcknowledgeOrderRequest(order=order))
    told = shown(reply, server.output)
    told.pop("decision", None)
    show_fields(server.output, told)


def moment(server: Server, text: str, option: str) -> "Timestamp | None":
    """Return a time with its zone; None for none. Ends the command for anything else."""
    from google.protobuf.timestamp_pb2 import Timestamp

    if not text:
        return None
    stamp = Timestamp()
    try:
        found = datetime.fromisoformat(text)
        stamp.FromDatetime(found)
    except (ValueError, OverflowError):  # the latter for what lies outside the years 1 to 9999 in UTC
        found = None
    if found is None or found.tzinfo is None:
        problem = f"{option} is a time with its zone, such as 2027-01-31T18:00:00+08:00"
        fail(Exit.USAGE, problem, code="ARGUMENT_INVALID", output=server.output)
    return stamp


def _cell(value: Any) -> str:
    return str(value).removeprefix("OFFBOARDING_KIND_").removeprefix("OFFBOARDING_STATE_")
