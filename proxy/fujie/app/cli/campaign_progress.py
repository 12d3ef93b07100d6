"""How far a campaign is: a bar on a terminal, lines in a pipe, objects for programs."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from fujie.app.cli.output import Format, console

_EVERY = 10_000
"""Rows between two lines in a pipe."""

_OPEN = frozenset({"MESSAGE_STATE_PLANNED", "MESSAGE_STATE_CLAIMED"})


@contextmanager
def adding(total: int | None, what: str = "recipients") -> Iterator[Callable[[int], None]]:
    """Show how many rows of `what` were sent, of about `total` (None: nobody knows); yield what is told of more of them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    talk = console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as shown:
        task = shown.add_task(what, total=total)
        sent = 0

        def more(rows: int) -> None:
            nonlocal sent
            shown.advance(task, rows)
            if not talk.is_terminal and (sent + rows) // _EVERY > sent // _EVERY:
                of = f" of about {total}" if total else ""
                typer.echo(f"{sent + rows}{of} {what} sent", err=True)
            sent += rows

        yield more


@contextmanager
def watching(output: Format) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show a campaign whenever it has changed; yield what is told of it as it is then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    talk = console(stderr=True)
    is_bar = talk.is_terminal and output is Format.TABLE
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),  # the one that gives way on a narrow terminal
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=talk, transient=True, disable=not is_bar) as bar:
        task = bar.add_task("", total=None, counts="")

        def shown(campaign: Mapping[str, Any]) -> None:
            state = campaign["state"].removeprefix("CAMPAIGN_STATE_")
            total, done = campaign.get("recipients", 0), settled(campaign)
            if output is Format.JSON:
                typer.echo(json.dumps(campaign, ensure_ascii=False))
            elif is_bar:
                counts = _counts(campaign, _OPEN)  # the bar itself tells of these
                bar.update(task, description=state, total=total, completed=done, counts=counts)
            else:
                typer.echo(f"{state} {done} of {total}: {_counts(campaign) or 'nothing yet'}")

        yield shown


def settled(campaign: Mapping[str, Any]) -> int:
    """Return how many recipients of a campaign are decided on and no longer on their way to the provider."""
    return sum(each["count"] for each in campaign.get("states", ()) if each["state"] not in _OPEN)


def _counts(campaign: Mapping[str, Any], without: frozenset[str] = frozenset()) -> str:
    return ", ".join(
        f"{each['count']} {each['state'].removeprefix('MESSAGE_STATE_')}"
        for each in campaign.get("states", ())
        if each["state"] not in without
    )
