"""`fujie policy test`: every case of every matrix, what it has seen of the policies, and what a second engine says."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fujie.app.cli.output import Exit, Format, Output, fail, show_json, show_problems

if TYPE_CHECKING:  # the policies and their engine, which --help need not wait for
    from fujie.app.policytests import Outcome, Wanted

TERMINAL = "-"


def policy_test(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Policies with their tests: files, or directories of *.yaml and *.yml."),
    ],
    run: Annotated[
        str,
        typer.Option(
            "--run", help="Only cases whose document/test/principal/customer/request matches this."
        ),
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0 for as many as pay.")] = 0,
    min_coverage: Annotated[
        float,
        typer.Option("--min-coverage", min=0, max=100, help="Percent of the policies that must be seen."),
    ] = 0,
    report: Annotated[
        str, typer.Option("--coverage-report", help="File for the policies with marks; - for the terminal.")
    ] = "",
    junit: Annotated[
        Path | None, typer.Option("--junit", help="File for the results as JUnit XML.")
    ] = None,
    output: Output = Format.TABLE,
    *,
    cross_check: Annotated[
        bool,
        typer.Option("--cross-check", help="Evaluate everything in cel-python too (extra crosscheck)."),
    ] = False,
) -> None:
    """Run the PolicyTest documents of PATHS against the policies of PATHS.

    Exit code 5 when a file is not valid; 6 when a case fails, less was seen than --min-coverage, or the engines differ.
    """
    from fujie.app.cli.junit import junit_of
    from fujie.app.cli.policy_coverage import print_report, report_of
    from fujie.app.cli.policy_results import plain, print_results

    if report == TERMINAL and output is Format.JSON:
        fail(Exit.USAGE, "--coverage-report - and --output json both want the terminal", output=output)
    began = time.perf_counter()
    wanted, outcome = _outcome(paths, run, jobs, output, cross_check=cross_check)
    seconds = time.perf_counter() - began
    if junit:
        _write(junit, junit_of(outcome.results), output)
    if report not in ("", TERMINAL):
        _write(Path(report), report_of(wanted.files, outcome.coverage), output)
    if output is Format.JSON:
        show_json(plain(outcome, min_coverage))
    else:
        print_results(outcome, min_coverage, seconds, crossed=cross_check)
    if report == TERMINAL:
        print_report(wanted.files, outcome.coverage)
    is_passed = outcome.is_agreed and outcome.coverage.percent >= min_coverage
    raise typer.Exit(Exit.OK if is_passed else Exit.FINDINGS)


def _outcome(
    paths: list[Path], run: str, jobs: int, output: Format, *, cross_check: bool
) -> "tuple[Wanted, Outcome]":
    from fujie.app.policies import read_files
    from fujie.app.policytests import Wanted, run_tests
    from fujie.app.problems import CannotStart

    try:
        wanted = Wanted(read_files(paths), re.compile(run).pattern, cross_check)
        outcome = run_tests(wanted, jobs)
    except CannotStart as refusal:
        show_problems(output, refusal.problems)
        raise typer.Exit(Exit.INVALID) from None
    except re.error as error:
        fail(
            Exit.USAGE, f"--run is not a regular expression: {error}", code="PATTERN_INVALID", output=output
        )
    except ModuleNotFoundError as error:
        message = f"--cross-check needs the extra crosscheck: there is no {error.name}"
        fail(Exit.ERROR, message, code="EXTRA_MISSING", output=output)
    if not outcome.results:
        said = f"no case matches {run}" if run else "no PolicyTest document there"
        fail(Exit.NOT_FOUND, said, code="NO_TESTS", output=output)
    return wanted, outcome


def _write(path: Path, content: str, output: Format) -> None:
    try:
        path.write_text(content, "utf-8")
    except OSError as error:
        fail(Exit.ERROR, f"{path}: {error.strerror}", code="UNWRITABLE", output=output)
