"""`fujie consent import`: consents of a file, each once."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO
from zoneinfo import ZoneInfo

import typer

from fujie.app.cli.arguments import Store
from fujie.app.cli.campaign_progress import adding
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.consentrows import HEADINGS, ConsentRows, Layout
from fujie.app.cli.output import Exit, Format, fail, show, show_fields, show_json, visible
from fujie.app.cli.sheets import BadFile, at_lines, count

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import consent_service_pb2 as consent_v1

MOST_OF_CALL = 100
"""Messages of one call, some 20,000 rows and half a minute: a server lets go of connections after five."""

_MOST_LINES = 20
"""Line numbers that are shown to people for one reason; --report has them all."""


@calls_server
def import_(
    server: Server,
    file: Annotated[Path, typer.Argument(help="CSV or XLSX with a heading (docs/consent-import.md).")],
    store: Store = "",
    column: Annotated[
        list[str] | None, typer.Option("--column", help="NAME=HEADING for a column with another heading.")
    ] = None,
    constant: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for what every row says and no column does."),
    ] = None,
    zone: Annotated[
        str, typer.Option("--zone", help="Time zone of times that name none, such as Asia/Shanghai.")
    ] = "",
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Where refused rows go, line and code as CSV; never overwritten."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say which rows would be refused; nothing is recorded.")
    ] = False,
) -> None:
    """Record the consents, refusals and withdrawals of a file. The same file again adds nothing.

    Rows that are refused stop no others; they are told by line number and reason, never by what they hold; exit code 6
    then. What broke off is finished by the same command.
    """
    layout = _layout(server, store, (column or [], constant or []), zone)
    rows = ConsentRows(file, layout)
    trouble: list[BadFile] = []
    try:
        total = count(file)
    except BadFile as error:
        fail(Exit.USAGE, str(error), code=error.code, output=server.output)
    with ExitStack() as opened:
        out = opened.enter_context(_report(server, report)) if report else None
        progress = opened.enter_context(adding(total, "consents"))
        stubs = opened.enter_context(server.stubs())
        told = _Told()
        batches = _batches(rows, progress, trouble)
        part = list(islice(batches, 1))
        while (
            part or not told.calls
        ):  # a file without rows: let the server say whether one might be recorded
            before = len(rows.lines) - sum(map(len, part))
            reply = stubs.consent.ImportConsents(
                _requests(chain(part, islice(batches, MOST_OF_CALL)), check=check)
            )
            told.add(before, reply)
            part = list(islice(batches, 1))
        refused = _refused(rows, told)
        if out:
            _write(out, refused)
    _show(server, rows, told, refused, check=check)
    if trouble:
        words = f"{trouble[0]}; what stood before it was taken"
        fail(Exit.USAGE, words, code=trouble[0].code, output=server.output)
    if refused:
        raise typer.Exit(Exit.FINDINGS)


def _layout(server: Server, store: str, named: tuple[list[str], list[str]], zone: str) -> Layout:
    columns, constants = (_pairs(server, each) for each in named)
    return Layout(columns, constants, store, _zone(server, zone) if zone else None)


def _pairs(server: Server, given: list[str]) -> Mapping[str, str]:
    pairs = {}
    for each in given:
        name, is_there, value = each.partition("=")
        if name not in HEADINGS or not is_there or not value or name in pairs:
            _misused(server, f"NAME=... is needed, once for each, of {', '.join(HEADINGS)}")
        pairs[name] = value
    return pairs


def _zone(server: Server, name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        _misused(server, "--zone is no time zone of the IANA database")


def _report(server: Server, path: Path) -> TextIO:
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(Exit.ERROR, f"{path}: {error.strerror}", code="UNWRITABLE", output=server.output)
    return os.fdopen(made, "w", encoding="utf-8", newline="")


def _batches(
    rows: ConsentRows, progress: Callable[[int], None], trouble: list[BadFile]
) -> "Iterator[list[consent_v1.ConsentRow]]":
    """Yield the rows. gRPC would swallow what goes wrong here: it ends the file, and is told afterwards."""
    try:
        for batch in rows.messages():
            yield batch
            progress(len(batch))
    except BadFile as error:
        trouble.append(error)


def _requests(
    batches: "Iterable[list[consent_v1.ConsentRow]]", *, check: bool
) -> "Iterator[consent_v1.ImportConsentsRequest]":
    """Yield the messages of one call, at least one."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    head: dict[str, Any] = {"validate_only": check}
    for batch in batches:
        yield consent_v1.ImportConsentsRequest(**head, rows=batch)
        head = {}
    if head:
        yield consent_v1.ImportConsentsRequest(**head)


@dataclass(slots=True)
class _Told:
    """What the calls so far answered: the places of refused rows are in the whole file."""

    calls: int = 0
    recorded: int = 0
    repeated: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)

    def add(self, before: int, reply: "consent_v1.ImportConsentsResponse") -> None:
        """Add the answer to a call, `before` which so many rows were sent."""
        self.calls += 1
        self.recorded += reply.recorded
        self.repeated += reply.repeated
        for each in reply.refused:
            self.counts[each.reason] = self.counts.get(each.reason, 0) + each.count
            self.places.setdefault(each.reason, []).extend(before + place for place in each.rows)


def _refused(rows: ConsentRows, told: _Told) -> dict[str, dict[str, Any]]:
    """Return the rows that were not taken, by reason: how many, and at which lines, as far as these are told."""
    lines = {code: list(found) for code, found in rows.refused.items()}
    counts = {code: len(found) for code, found in lines.items()}
    for code, count_ in told.counts.items():
        lines.setdefault(code, []).extend(at_lines(rows.lines, told.places[code]))
        counts[code] = counts.get(code, 0) + count_
    return {code: {"count": counts[code], "lines": sorted(lines[code])} for code in sorted(counts)}


def _write(out: TextIO, refused: Mapping[str, Mapping[str, Any]]) -> None:
    """Write line and code of each refused row, in the order of the file, and how many lines are not told."""
    table = csv.writer(out)
    table.writerow(("line", "code"))
    table.writerows(sorted((line, code) for code, found in refused.items() for line in found["lines"]))
    for code, found in refused.items():
        if more := found["count"] - len(found["lines"]):
            table.writerow((f"{more} more", code))


def _show(
    server: Server, rows: ConsentRows, told: _Told, refused: Mapping[str, Mapping[str, Any]], *, check: bool
) -> None:
    taken = {"good" if check else "recorded": told.recorded, "repeated": told.repeated}
    if rows.unread:
        typer.echo(visible(f"not read: {', '.join(rows.unread)}"), err=True)
    if server.output is Format.JSON:
        few = {code: {**found, "lines": found["lines"][:100]} for code, found in refused.items()}
        show_json({**taken, "refused": few})
        return
    show_fields(server.output, {name: str(number) for name, number in taken.items()})
    listed = []
    for code, found in refused.items():
        lines = ", ".join(map(str, found["lines"][:_MOST_LINES]))
        listed.append(
            (code, str(found["count"]), lines + (", ..." if found["count"] > _MOST_LINES else ""))
        )
    if listed:
        show(server.output, None, ("refused", "rows", "lines"), listed)


def _misused(server: Server, words: str) -> NoReturn:
    fail(Exit.USAGE, words, code="ARGUMENT_INVALID", output=server.output)
