"""`fujie serve`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fujie.app.cli.output import Exit, Format, show_problems
from fujie.app.problems import CannotStart

Config = Annotated[Path, typer.Option("--config", help="The configuration file.", show_default=True)]
CONFIG = Path("fujie.yaml")


def serve(config: Config = CONFIG) -> None:
    """Run the gate until SIGTERM. SIGHUP reloads the policies; SIGUSR2 restarts one worker after the other.

    Logs are JSON lines on stderr; the event `ready` names the addresses. Exit code 5 when anything is wrong at
    start: all problems are listed.
    """
    # gRPC core would write lines of its own between ours, before any handler sees them.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from fujie.app import lifecycle, logs
    from fujie.app.settings import load_settings
    from fujie.app.supervisor import say_problems

    logs.install()
    try:
        code = lifecycle.run(load_settings(config, os.environ))
    except CannotStart as refusal:
        if sys.stderr.isatty():
            show_problems(Format.TABLE, refusal.problems)
        else:
            say_problems(refusal.problems)
        raise typer.Exit(Exit.INVALID) from None
    raise typer.Exit(code)
