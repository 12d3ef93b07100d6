"""The commands that work on files alone: config, keys, audit verify."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fujie.app.cli.output import Exit, Format, Output, fail, show, show_fields, show_json, show_problems
from fujie.app.cli.server import CONFIG, Config
from fujie.app.problems import CannotStart, problem_of
from fujie.model.errors import StartError

KEYS = ("ledger_index", "store_index", "token", "seal", "log")


@contextmanager
def listing(output: Format) -> Iterator[None]:
    """End with every problem and exit code 5 when the block finds any."""
    try:
        yield
    except CannotStart as refusal:
        problems: Sequence[Any] = refusal.problems
    except StartError as error:
        problems = (problem_of(error),)
    else:
        return
    show_problems(output, problems)
    raise typer.Exit(Exit.INVALID)


def config_check(config: Config = CONFIG, output: Output = Format.TABLE) -> None:
    """Check the configuration with its FUJIE__ variables; list every problem. Opens no key and no database."""
    from fujie.app.settings import load_settings

    with listing(output):
        settings = load_settings(config, os.environ)
        unsafe = [name for name, is_on in settings.unsafe.items() if is_on]
        fields: dict[str, Any] = {"config": str(config), "valid": True, "unsafe": unsafe}
        show_fields(output, fields)


def config_show(config: Config = CONFIG, output: Output = Format.TABLE) -> None:
    """Print the configuration in force, defaults and FUJIE__ variables included, without passwords."""
    from fujie.app.settings import load_settings

    with listing(output):
        shown = load_settings(config, os.environ).shown()
        if output is Format.JSON:
            show_json(shown)
        else:
            import yaml

            typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


def keys_init(
    directory: Annotated[Path, typer.Argument(help="Where the keys go; made when missing.")],
    output: Output = Format.TABLE,
) -> None:
    """Make the five keys of a new ledger. Never overwrites one: keep a copy elsewhere, a lost key closes the gate."""
    from fujie.adapters.keyfiles import create_keys

    with listing(output):
        paths = create_keys(directory, KEYS)
        keys = {name: {"id": "k1", "file": str(path)} for name, path in zip(KEYS, paths, strict=True)}
        if output is Format.JSON:
            show_json({"keys": keys})
        else:
            typer.echo("keys:")
            for name, key in keys.items():
                typer.echo(f"  {name}: {{id: {key['id']}, file: {key['file']}}}")


_LONGEST_NOTE = 65_536
"""Characters of a checkpoint that are read; one with a dozen signatures has 2,000."""


def _note(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_LONGEST_NOTE)


def audit_verify(
    directory: Annotated[Path, typer.Argument(help="audit.dir, or one log in it, or a copy.")],
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="Checkpoint kept earlier; repeatable.")
    ] = None,
    vkey: Annotated[list[str] | None, typer.Option("--vkey", help="Public key to pin; repeatable.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Verify every log below DIRECTORY from its files alone. Exit code 6 when anything was altered.

    Without --vkey the key beside the log is believed, which proves less: who can rewrite a log can rewrite it too.
    An unsigned tail is reported and is no finding by itself: the newest second of a running server has none.
    """
    from fujie.adapters.logfiles import verify_directory
    from fujie.audit.errors import CheckpointInvalid

    if not directory.is_dir():
        fail(Exit.NOT_FOUND, f"no directory {directory}", code="NOT_FOUND", output=output)
    try:
        notes = [_note(path) for path in against or ()]
        reports = verify_directory(directory, vkeys=vkey or (), against=notes)
    except CheckpointInvalid as error:
        fail(Exit.INVALID, str(error), code=error.code, output=output)
    except UnicodeDecodeError:
        fail(Exit.INVALID, "a file of --against is no text", code="CHECKPOINT_INVALID", output=output)
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        fail(Exit.ERROR, message, code="UNREADABLE", output=output)
    if not reports:
        fail(Exit.NOT_FOUND, f"no log at or below {directory}", code="NOT_FOUND", output=output)
    plain = [
        {
            "origin": report.origin,
            "entries": report.size,
            "signed": report.signed_size,
            "intact": report.is_intact,
            "root": report.root.hex(),
            "findings": [
                {
                    "kind": each.kind,
                    "index": each.index,
                    "last": each.last,
                    "path": each.path,
                    "text": str(each),
                }
                for each in report.findings
            ],
        }
        for report in reports
    ]
    rows = [
        (report.origin, str(report.size), str(report.signed_size), "yes" if report.is_intact else "NO",
         "\n".join(map(str, report.findings)))
        for report in reports
    ]  # fmt: skip
    is_intact = all(report.is_intact for report in reports)
    headings = ("log", "entries", "signed", "intact", "findings")
    show(output, {"intact": is_intact, "logs": plain}, headings, rows)
    raise typer.Exit(Exit.OK if is_intact else Exit.FINDINGS)
