"""The command `audit unfinished`: acts of which the log tells a beginning and no end."""

from pathlib import Path
from typing import Annotated

import typer

from fujie.app.cli.output import Exit, Format, Output, fail, show
from fujie.app.cli.verified import verified_logs


def audit_unfinished(
    directory: Annotated[Path, typer.Argument(help="audit.dir, or one log in it, or a copy.")],
    vkey: Annotated[list[str] | None, typer.Option("--vkey", help="Public key to pin; repeatable.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the acts that were admitted and of which the log tells no end: a crash came between. Exit code 6 when there are any.

    Each may have been done or not: ask for it again under its request id, which does it once. Below a running server acts
    that run at this moment are among them. Only signed entries are read; those of a crash are signed at the next start.
    """
    from fujie.adapters.logfiles import left_unfinished
    from fujie.audit.errors import AuditError, EntryInvalid

    reports, places = verified_logs(directory, vkey or (), output)
    try:
        found = [
            (report.origin, each)
            for report in reports
            for each in left_unfinished(places[report.origin], report.signed_size, newest=None)
        ]
    except EntryInvalid as error:
        fail(
            Exit.FINDINGS,
            f"of another build, which this one can not read: {error}",
            code=error.code,
            output=output,
        )
    except AuditError as error:
        fail(Exit.FINDINGS, f"the log changed while it was read: {error}", code=error.code, output=output)
    plain = [
        {
            "log": origin, "index": each.index, "time": each.entry.time, "decision_id": each.entry.decision_id,
            "action": each.entry.action, "principal": each.entry.principal, "purpose": each.entry.purpose,
        }
        for origin, each in found
    ]  # fmt: skip
    rows = [tuple(map(str, row.values())) for row in plain]
    headings = ("log", "index", "time", "decision", "action", "principal", "purpose")
    show(output, {"unfinished": plain}, headings, rows)
    raise typer.Exit(Exit.FINDINGS if found else Exit.OK)
