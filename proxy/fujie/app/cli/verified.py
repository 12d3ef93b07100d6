"""Logs that a command reads only once they are known to be what was signed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fujie.app.cli.output import Exit, Format, fail

if TYPE_CHECKING:
    from fujie.audit.verify import LogReport


def verified_logs(
    directory: Path, vkeys: Sequence[str], output: Format
) -> tuple[Sequence["LogReport"], dict[str, Path]]:
    """Return the report and the place of every log; end the command when one is not what was signed."""
    from fujie.adapters.logfiles import logs_in, verify_directory
    from fujie.audit.errors import CheckpointInvalid

    try:
        if not directory.is_dir():
            fail(Exit.NOT_FOUND, f"no directory {directory}", code="NOT_FOUND", output=output)
        reports = verify_directory(directory, vkeys=vkeys)
        altered = {str(finding) for each in reports if not each.is_intact for finding in each.findings}
        if altered:
            said = "the log is not what was signed; nothing was read from it"
            details = {"findings": sorted(altered)}
            fail(Exit.FINDINGS, said, code="LOG_ALTERED", details=details, output=output)
        places = logs_in(directory)
    except CheckpointInvalid as error:
        fail(Exit.INVALID, str(error), code=error.code, output=output)
    except OSError as error:
        fail(Exit.ERROR, f"{error.filename}: {error.strerror}", code="UNREADABLE", output=output)
    if not reports:
        fail(Exit.NOT_FOUND, f"no log at or below {directory}", code="NOT_FOUND", output=output)
    return reports, places
