"""`fujie policy replay`: recorded decisions, proven by the bundles that made them and decided anew by a candidate."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fujie.app.cli.output import Exit, Format, Output, console, fail, show_problems
from fujie.app.cli.verified import verified_logs
from fujie.app.problems import CannotStart, problem_of
from fujie.model.errors import LedgerError, StartError

if TYPE_CHECKING:
    from fujie.app.policies import Files
    from fujie.app.replay import Question

_ZONE = "Asia/Shanghai"


def policy_replay(
    log: Annotated[Path, typer.Option("--log", help="audit.dir, or one log in it, or a copy.")],
    bundle: Annotated[
        list[Path], typer.Option("--bundle", help="The candidate: files or directories; repeatable.")
    ],
    recorded: Annotated[
        list[str] | None,
        typer.Option(
            "--recorded",
            help="Policies that were in force, where the server's copies beside the log are gone: paths of one bundle, joined by"
            f" `{os.pathsep}`; repeatable.",
        ),
    ] = None,
    vkey: Annotated[list[str] | None, typer.Option("--vkey", help="Public key to pin; repeatable.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Configuration whose ledger and seal key open what is sealed."),
    ] = None,
    zone: Annotated[
        str,
        typer.Option("--zone", help=f"The server's policy.zone; that of --config, else {_ZONE}."),
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0: one for each CPU.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Decide the recorded decisions of a log anew under a candidate, and tell which flip.

    First the log is verified, and the bundles that were in force, which stand beside it, must reproduce every decision byte for
    byte. Nothing is written; an unsigned tail is left out. Exit code 6 when the log was altered or a decision is not reproduced; flips are no
    failure.
    """
    from fujie.app.cli.replay_results import Outcome, show_outcome
    from fujie.app.keptpolicies import kept_beside
    from fujie.app.replay import bundles_of, named_in, parts_of, replay
    from fujie.audit.errors import LogForked

    began = time.perf_counter()
    with _refusing(output):
        question = _question(recorded or (), bundle, config, zone)
        digests = [each.digest for each in bundles_of(question)]
    reports, places = verified_logs(log, vkey or (), output)
    parts = parts_of({places[report.origin]: report.signed_size for report in reports})
    processes = jobs or len(os.sched_getaffinity(0))
    try:
        beside = dict(kept_beside(log, named_in(parts).difference(digests[:-1])))
        question = replace(question, recorded=(*question.recorded, *beside.values()))
        with _progress(sum(report.signed_size for report in reports)) as done, _refusing(output):
            tally = replay(question, parts, processes, done)
    except LogForked as error:
        fail(Exit.FINDINGS, f"the log changed while it was read: {error}", code=error.code, output=output)
    except LedgerError as error:
        fail(Exit.ERROR, str(error), code=error.code, output=output)
    in_force = (*digests[:-1], *beside)
    outcome = Outcome(reports, in_force, digests[-1], tally, time.perf_counter() - began)
    show_outcome(output, outcome)
    raise typer.Exit(Exit.OK if outcome.is_sound else Exit.FINDINGS)


@contextmanager
def _refusing(output: Format) -> Iterator[None]:
    """End with every problem and exit code 5 when the block finds any."""
    try:
        yield
    except CannotStart as refusal:
        show_problems(output, refusal.problems)
    except StartError as error:
        show_problems(output, [problem_of(error)])
    else:
        return
    raise typer.Exit(Exit.INVALID)


def _question(
    recorded: Sequence[str], candidate: Sequence[Path], config: Path | None, zone: str
) -> "Question":
    from zoneinfo import ZoneInfo

    from fujie.app.replay import Question
    from fujie.app.settings import load_settings

    settings = load_settings(config, os.environ) if config else None
    named = zone or (settings.policy.zone if settings else _ZONE)
    try:
        ZoneInfo(named)
    except (ValueError, OSError, LookupError):
        raise StartError("SETTING_INVALID", "--zone is no zone of the IANA database") from None
    if not all(each for paths in recorded for each in paths.split(os.pathsep)):
        raise StartError("SETTING_INVALID", "--recorded has an empty path")
    of_recorded = tuple(_files([Path(each) for each in paths.split(os.pathsep)]) for paths in recorded)
    return Question(of_recorded, _files(candidate), named, settings)


def _files(paths: Sequence[Path]) -> "Files":
    """Return the policy files at or below `paths`, or those of one bundle file; nobody asks here who signed it."""
    from fujie.app.policies import SUFFIXES, read_files
    from fujie.policy.archive import ArchiveInvalid, read

    if len(paths) == 1 and paths[0].suffix not in SUFFIXES:
        try:
            if paths[0].is_file():
                return read(paths[0].read_bytes()).files
        except ArchiveInvalid as error:
            raise StartError("POLICY_UNREADABLE", f"{paths[0]}: {error}") from None
        except OSError as error:
            raise StartError("POLICY_UNREADABLE", f"{paths[0]}: {error.strerror}") from None
    return read_files(paths)


@contextmanager
def _progress(entries: int) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on a terminal; yield what is told of entries that are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    talk = console(stderr=True)
    columns = (TextColumn("entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as shown:
        task = shown.add_task("entries", total=entries)
        yield lambda more: shown.advance(task, more)
