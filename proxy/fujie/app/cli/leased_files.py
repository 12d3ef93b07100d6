"""`fujie open`: a leased file, read once more, as long as its lease lasts."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NoReturn

import typer

from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.export_files import Kept, Piped, Sink
from fujie.app.cli.lookups import ByApproval, Evidence, Ticket
from fujie.app.cli.output import Exit, console, fail, show_fields, visible
from fujie.app.cli.sheets import BadFile

if TYPE_CHECKING:  # grpc costs 100 ms, and cryptography 30, which --help need not wait for
    from fujie.audit.container import Header, Part
    from fujie.v1 import export_service_pb2 as export_v1
    from fujie.v1 import types_pb2 as types_v1


@dataclass(slots=True)
class _Found:
    """What a file holds. Ranges of rows count from 1; `gone` are those whose key was destroyed, `damaged` those that were
    altered. `is_whole`: its end is there."""

    header: "Header"
    rows: int = 0
    is_whole: bool = False
    gone: list[tuple[int, int]] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)


@calls_server
def open_(
    server: Server,
    file: Annotated[Path, typer.Argument(help="File that `fujie export --to-file` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; - is standard output.")] = Path("-"),
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    approval: ByApproval = "",
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Open a leased file: takes one of its openings, after a fresh decision on whether you may.

    Nothing is written of a file that was altered. Rows of customers who were erased are gone, as is what a broken export
    did not bring; the others are written, and exit code 6 says that some lack.
    """
    from fujie.audit.errors import ContainerInvalid
    from fujie.v1 import types_pb2 as types_v1

    context = types_v1.RequestContext(basis_evidence=basis_evidence, ticket=ticket, approval=approval)
    try:
        with file.open("rb") as opened:
            name = _surveyed(opened).header.export  # what can not be opened anyway costs no opening
            sink: Sink = Piped() if str(out) == "-" else Kept(out, force=force)
            try:
                export, keys = _keys(server, name, context)
                found = _surveyed(opened, keys)
                if found.damaged:
                    _altered(server, file, found)
                with _progress(file.stat().st_size) as more:
                    _write(opened, keys, sink, more)
                sink.commit()
            except BaseException:
                if (partial := sink.abandon()) is not None:
                    typer.echo(visible(f"what was read is in {partial}"), err=True)
                raise
    except OSError as error:
        if error.filename is None:  # standard output, of which the program's end tells
            raise
        fail(Exit.NOT_FOUND, f"{file}: {error.strerror}", code="UNREADABLE", output=server.output)
    except ContainerInvalid as error:
        words = f"{file}: {error}. Get it once more from whoever gave it. | 文件已损坏或不是限期文件，请重新获取。"
        fail(Exit.INVALID, words, code=error.code, output=server.output)
    except BadFile as error:
        exit_code = Exit.USAGE if error.code == "FILE_EXISTS" else Exit.ERROR
        fail(exit_code, str(error), code=error.code, output=server.output)
    _say(server, out, found, export)


def _keys(
    server: Server, name: str, context: "types_v1.RequestContext"
) -> "tuple[export_v1.Export, dict[int, bytes]]":
    """Return the export and the key of each part (empty: destroyed)."""
    from fujie.v1 import export_service_pb2 as export_v1

    export, keys = export_v1.Export(), dict[int, bytes]()
    with server.stubs() as stubs:
        for reply in stubs.exports.OpenExport(export_v1.OpenExportRequest(name=name, context=context)):
            if reply.HasField("export"):
                export = reply.export
            keys.update((each.number, each.key) for each in reply.keys)
    return export, keys


def _surveyed(file: BinaryIO, keys: Mapping[int, bytes] | None = None) -> _Found:
    """Return what the file holds; with `keys` also which parts of it do not open. Raises ContainerInvalid, OSError."""
    header, parts = _parts(file)
    found = _Found(header)
    digest = header.digest
    for part in parts:
        first, found.rows = found.rows + 1, found.rows + part.place.rows
        found.is_whole = part.place.is_end
        if keys is None:
            continue
        key = keys.get(part.place.number)
        if key == b"":
            found.gone.append((first, found.rows))
        elif _plain(part, digest, key) is None:
            found.damaged.append((first, found.rows))
    return found


def _write(file: BinaryIO, keys: Mapping[int, bytes], sink: Sink, more: Callable[[int], None]) -> None:
    """Write every part that opens. Raises ContainerInvalid where the file is not any more what was looked at."""
    from fujie.audit.errors import ContainerInvalid

    header, parts = _parts(file)
    digest = header.digest
    for part in parts:
        key = keys.get(part.place.number)
        plain = _plain(part, digest, key)
        if plain is None and key != b"":
            raise ContainerInvalid("the file was changed while it was read")
        if plain is None and part.place.number == 0 and header.format == "csv":
            plain = _heading(header)  # it went with the first rows
        sink.write(plain or b"")
        more(len(part.sealed))


def _heading(header: "Header") -> bytes:
    from fujie.flows.export_file import opening
    from fujie.model.export import Format

    return opening(Format.CSV, sorted(header.fields))


def _parts(file: BinaryIO) -> "tuple[Header, Iterator[Part]]":
    from fujie.audit.container import parts, read_header

    file.seek(0)
    header = read_header(file.read)
    return header, parts(file.read)


def _plain(part: "Part", digest: bytes, key: bytes | None) -> bytes | None:
    """Return what is in a part; None when it does not open."""
    from fujie.audit.container import open_part
    from fujie.audit.errors import SealBroken

    try:
        return open_part(part, digest, key or b"")
    except SealBroken:
        return None


def _altered(server: Server, file: Path, found: _Found) -> NoReturn:
    details = {"rows": _ranges(found.damaged)}
    words = (
        f"{file}: rows were altered, or are of another export; nothing was written. "
        "Get it once more from whoever gave it. | 文件被改动，未写出任何内容，请重新获取。"
    )
    fail(Exit.INVALID, words, code="LEASED_FILE_INVALID", details=details, output=server.output)


def _say(server: Server, out: Path, found: _Found, export: "export_v1.Export") -> None:
    """Say what was opened: on stderr beside rows that went to standard output. What lacks is said in both languages."""
    gone = sum(last - first + 1 for first, last in found.gone)
    told = {
        "export": found.header.export,
        "rows": found.rows - gone,
        "expires": found.header.expires,
        "opens_left": export.opens_left,
        **({"rows_gone": _ranges(found.gone)} if found.gone else {}),
        **({} if found.is_whole else {"ends_after_row": found.rows}),
    }
    talk = console(stderr=True)
    if found.gone:
        rows = ", ".join(_ranges(found.gone))
        talk.print(f"rows {rows} are gone for ever: a customer among them was erased")
        talk.print(f"第 {rows} 行已永远无法打开：其中有客户的数据已被删除")
    if not found.is_whole:
        talk.print(f"the file ends after row {found.rows}: the export was stopped, or the file was cut")
        talk.print(f"文件在第 {found.rows} 行之后中断：导出被中止，或文件不完整")
    if str(out) == "-":
        talk.print(f"{told['rows']} rows of {told['export']}, {told['opens_left']} openings left")
    else:
        show_fields(server.output, {"file": str(out), **told})
    if found.gone or not found.is_whole:
        raise typer.Exit(int(Exit.FINDINGS))


def _ranges(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Return ranges of rows as people say them; neighbours are one."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return [f"{first}-{last}" if last > first else str(first) for first, last in joined]


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much of the file was written; yield what is told of more bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    talk = console(stderr=True)
    columns = (TextColumn("opening"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as shown:
        task = shown.add_task("opening", total=size)
        yield lambda more: shown.advance(task, more)
