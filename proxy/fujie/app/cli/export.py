"""`fujie export`: many customers into a file."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fujie.app.cli.arguments import Purpose
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.export_files import Kept, Piped, Sheet, Sink
from fujie.app.cli.lookups import Basis, BreakGlass, ByApproval, Evidence, FieldNames, Strict, Ticket
from fujie.app.cli.messages import plain
from fujie.app.cli.output import Exit, Format, console, fail, show_fields, visible
from fujie.app.cli.sheets import BadFile

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.app.client import Stubs
    from fujie.v1 import customer_data_service_pb2 as customer_v1

_TRIES = 6
"""How often an export whose connection broke goes on, with a pause that doubles: some 30 seconds."""

_EVERY = 10_000
"""Rows between two lines in a pipe."""

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class FileFormat(StrEnum):
    """How the rows are written."""

    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"


@calls_server
def export(
    server: Server,
    store: Annotated[str, typer.Option("--store", help="Store that the customers are in.")],
    fields: FieldNames,
    purpose: Purpose,
    max_rows: Annotated[int, typer.Option("--max-rows", help="The most customers that may leave.")],
    where: Annotated[
        str, typer.Option("--filter", help='Who, such as city = "Hangzhou"; over revealed fields.')
    ] = "",
    form: Annotated[FileFormat, typer.Option("--format", help="How rows are written.")] = FileFormat.CSV,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write; - is stdout.")] = Path("-"),
    to_file: Annotated[
        Path | None, typer.Option("--to-file", help="Leased file to write, which `fujie open` reads.")
    ] = None,
    lease: Annotated[str, typer.Option("--lease", help="How long it can be opened: 30m, 2h, 7d.")] = "1h",
    opens: Annotated[int, typer.Option("--opens", help="How often it can be opened.")] = 10,
    basis: Basis = "consent",
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    approval: ByApproval = "",
    *,
    break_glass: BreakGlass = False,
    strict: Strict = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Decide, and ask for approval.")
    ] = False,
) -> None:
    """Export fields of many customers, each decided on its own and masked as the policy says.

    A connection that breaks is taken up again. Exit code 4 when refused, also behind rows that have left already:
    those are kept beside the file as `.partial`.
    """
    from fujie.v1 import customer_data_service_pb2 as customer_v1
    from fujie.v1 import types_pb2 as types_v1

    names = [name.strip() for name in fields.split(",") if name.strip()]
    context = types_v1.RequestContext(
        purpose=purpose, basis=basis, basis_evidence=basis_evidence, ticket=ticket, approval=approval,
        break_glass=break_glass,
    )  # fmt: skip
    request = customer_v1.ExportCustomersRequest(
        store=store,
        filter=where,
        context=context,
        max_rows=max_rows,
        format="EXPORT_FORMAT_CSV" if form is FileFormat.CSV else "EXPORT_FORMAT_JSON_LINES",
        strict=strict,
        validate_only=validate_only,
    )
    request.read_mask.paths.extend(names)
    if to_file is not None:
        request.lease.seconds, request.lease.opens = _seconds(server, lease), opens
    _check(server, form, out, to_file)
    if validate_only:
        _validate(server, request)
        return
    path = to_file or out
    sink = _sink(server, path, form, names, force=force)
    _show(server, path, _run(server, request, sink))


def _validate(server: Server, request: "customer_v1.ExportCustomersRequest") -> None:
    """Show what is decided of an export as a whole."""
    with server.stubs() as stubs:
        (told,) = stubs.customers.ExportCustomers(request)
    show_fields(server.output, plain(told.header))


def _run(server: Server, request: "customer_v1.ExportCustomersRequest", sink: Sink) -> dict[str, Any]:
    """Receive an export into its file; return what is to be said of it."""
    try:
        with server.stubs() as stubs:
            told = _received(stubs, request, sink)
        sink.commit()
    except BaseException as error:
        if (partial := sink.abandon()) is not None:
            typer.echo(visible(f"what came is in {partial}"), err=True)
        if isinstance(error, BadFile):
            fail(Exit.ERROR, str(error), code=error.code, output=server.output)
        raise
    return told


def _received(stubs: "Stubs", request: "customer_v1.ExportCustomersRequest", sink: Sink) -> dict[str, Any]:
    """Receive all of it, and go on behind the last chunk where the server was away. Raises grpc.RpcError."""
    import grpc

    told: dict[str, Any] = {}
    with _progress(request.max_rows) as more:
        for again in range(_TRIES):
            try:
                for reply in stubs.customers.ExportCustomers(request):
                    _take(reply, request, sink, told, more)
                return told
            except grpc.RpcError as error:
                code: Any = error.code()
                if (
                    code is not grpc.StatusCode.UNAVAILABLE
                    or again == _TRIES - 1
                    or not request.resume_token
                ):
                    raise
            told["pieces"] = b""
            time.sleep(0.5 * 2**again)
    return told


def _take(
    reply: "customer_v1.ExportCustomersResponse",
    request: "customer_v1.ExportCustomersRequest",
    sink: Sink,
    told: dict[str, Any],
    more: Any,
) -> None:
    """Take one message. Of a long chunk nothing is written before it is whole: what goes on begins behind it."""
    match reply.WhichOneof("part"):
        case "header":
            sink.write(reply.header.data)
            told.setdefault("exports", []).append(reply.header.export)
            told["treatments"] = {
                name: each.withheld_reason or each.step
                for name, each in sorted(reply.header.treatments.items())
            }
        case "chunk":
            told["pieces"] = told.get("pieces", b"") + reply.chunk.data
            if reply.chunk.rows:
                sink.write(told.pop("pieces"))
                request.resume_token = reply.chunk.resume_token
                more(reply.chunk.rows)
        case "trailer":
            sink.write(reply.trailer.data)
            told["rows"] = reply.trailer.rows
            told["withheld"] = {each.reason: each.rows for each in reply.trailer.withheld}


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Show how many rows came, of at most `total`; yield what is told of more of them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    talk = console(stderr=True)
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as shown:
        task = shown.add_task("rows", total=total)
        came = 0

        def more(rows: int) -> None:
            nonlocal came
            shown.advance(task, rows)
            if not talk.is_terminal and (came + rows) // _EVERY > came // _EVERY:
                typer.echo(f"{came + rows} rows", err=True)
            came += rows

        yield more


def _check(server: Server, form: FileFormat, out: Path, to_file: Path | None) -> None:
    is_piped = str(out) == "-"
    if to_file is not None and (not is_piped or form is FileFormat.XLSX):
        fail(Exit.USAGE, "--to-file takes csv or jsonl, and no --out", code="USAGE", output=server.output)
    if form is FileFormat.XLSX and is_piped:
        fail(Exit.USAGE, "XLSX needs --out", code="USAGE", output=server.output)


def _sink(server: Server, path: Path, form: FileFormat, names: list[str], *, force: bool) -> Sink:
    if str(path) == "-":
        return Piped()
    try:
        kept = Kept(path, force=force)
        return Sheet(kept, names) if form is FileFormat.XLSX else kept
    except BadFile as error:
        fail(Exit.USAGE, str(error), code=error.code, output=server.output)


def _seconds(server: Server, written: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", written)
    if found is None:
        fail(Exit.USAGE, "--lease is a number with s, m, h or d: 2h", code="USAGE", output=server.output)
    return int(found[1]) * _UNITS[found[2]]


def _show(server: Server, path: Path, told: dict[str, Any]) -> None:
    """Say what came: on standard error where the rows themselves are on standard output."""
    if str(path) != "-":
        show_fields(server.output, {"file": str(path), **told})
    elif server.output is Format.TABLE:
        console(stderr=True).print(f"{told['rows']} rows of {', '.join(told['exports'])}")
