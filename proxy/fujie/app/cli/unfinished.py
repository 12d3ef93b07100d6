"""The command `audit unfinished`: acts of which the log tells a beginning and no end."""

from pathlib import Path
from typing import Annotated

import typer

from fujie.app.cli.output import Exit, Format, Output, fail, show
from fujie.app.cli.verified import verified_logs

_TOLD = ("time", "decision_id", "action", "principal", "purpose")
_UNREAD = {"time": "of another build"}
"""What people read of an entry of which nothing can be told; every other entry has a time."""


def audit_unfinished(
    directory: Annotated[Path, typer.Argument(help="audit.dir, or one log in it, or a copy.")],
    vkey: Annotated[list[str] | None, typer.Option("--vkey", help="Public key to pin; repeatable.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the acts that were admitted and of which the log tells no end: a crash came between. Exit code 6 when there are any.

    Each may have been done or not: ask for it again under its request id, which does it once. Below a running server acts
    that run at this moment are among them. Only signed entries are read; those of a crash are signed at the next start. Of an
    entry that another build wrote and this one can not read the place alone is told.
    """
    from fujie.adapters.logfiles import left_unfinished
    from fujie.audit.errors import AuditError

    reports, places = verified_logs(directory, vkey or (), output)
    try:
        found = [
            (report.origin, each)
            for report in reports
            for each in left_unfinished(places[report.origin], report.signed_size, newest=None)
        ]
    except AuditError as error:
        fail(Exit.FINDINGS, f"the log changed while it was read: {error}", code=error.code, output=output)
    plain = [
        {"log": origin, "index": each.index, **{name: getattr(each.entry, name, "") for name in _TOLD}}
        for origin, each in found
    ]
    rows = [
        (origin, str(each.index), *(getattr(each.entry, name, _UNREAD.get(name, "")) for name in _TOLD))
        for origin, each in found
    ]
    headings = ("log", "index", "time", "decision", "action", "principal", "purpose")
    show(output, {"unfinished": plain}, headings, rows)
    raise typer.Exit(Exit.FINDINGS if found else Exit.OK)
