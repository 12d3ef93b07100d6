"""How commands speak: results on stdout, trouble on stderr, as a table for people or JSON for programs.

Exit codes are part of the interface: scripts and pipelines read them. Colour only on a terminal that
wants it (rich honours NO_COLOR and TERM=dumb).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import IntEnum, StrEnum
from typing import Annotated, Any, NoReturn
from unicodedata import category

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fujie.app.problems import Problem


class Exit(IntEnum):
    """What a command's end means."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    INVALID = 5
    FINDINGS = 6


class Format(StrEnum):
    """For whom the output is."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("--output", help="table for people, json for programs.")]


_STEERS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control, format, surrogates and separators of lines."""

_PIPED_WIDTH = 10_000
"""A line for a program is never folded: rich would take 80 columns for what is not a terminal."""


def console(*, stderr: bool = False) -> Console:
    """Return the console for stdout or stderr; nothing is ever cut."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _PIPED_WIDTH
    return made


def show(
    output: Format, plain: object, headings: Sequence[str], rows: Sequence[Sequence[str | Text]]
) -> None:
    """Print `plain` as JSON, or `rows` under `headings` as a table."""
    if output is Format.JSON:
        show_json(plain)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(_visible_cell, row))
    console().print(table)


def _visible_cell(given: str | Text) -> Text:
    if isinstance(given, str):
        return Text(visible(given))
    return Text(visible(given.plain), given.style)


def show_fields(output: Format, fields: Mapping[str, Any]) -> None:
    """Print one thing: as a JSON object, or as a line per field."""
    if output is Format.JSON:
        show_json(fields)
        return
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        console().print(Text.assemble((f"{name:<{width}}", "bold"), "  ", beside(width + 2, cell(value))))


def beside(width: int, text: str) -> str:
    """Return a text whose later lines begin below its first, `width` columns in: else one of them looks like the next field."""
    return text.replace("\n", "\n" + " " * width)


def visible(text: str) -> str:
    """Return a text for a terminal: what gives it orders, turns the direction of writing, or can not be seen, as its number. A
    customer, or whoever asks for an approval, may have written it. Lines and tabs stay, and signs that Python does not know yet,
    as rare names have them."""
    return "".join(
        f"\\u{{{ord(each):x}}}" if category(each) in _STEERS and each not in "\n\t" else each
        for each in text
    )


def cell(value: Any) -> str:
    """Return a value of JSON as people read it in a line or in the cell of a table; nothing for an empty one: that a list is
    empty may mean that it is not told."""
    match value:
        case str():
            return visible(value)
        case list() | tuple():
            return ", ".join(map(cell, value))
        case Mapping():
            return ", ".join(f"{visible(name)} {cell(each)}" for name, each in value.items())
        case _:
            return _json(value)


def show_json(plain: object) -> None:
    """Print one JSON value on stdout."""
    typer.echo(_json(plain, indent=2))


def show_problems(output: Format, problems: Sequence[Problem]) -> None:
    """Print every problem with its place and caret: on stdout as JSON, on stderr for people."""
    if output is Format.JSON:
        show_json({"problems": [asdict(problem) for problem in problems]})
        return
    talk = console(stderr=True)
    for problem in problems:
        place = ": ".join(part for part in (problem.place, problem.key) if part)
        lead = Text.assemble((visible(place), "bold"), ": ") if place else Text()
        talk.print(Text.assemble(lead, (problem.code, "bold red"), f": {visible(problem.message)}"))
        if problem.excerpt:
            talk.print(Text(visible(problem.excerpt), style="yellow"))
        if problem.remedy:
            talk.print(Text(f"  -> {problem.remedy}", style="green"))
    talk.print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")


def fail(
    exit_code: Exit | int,
    message: str,
    *,
    code: str = "",
    details: Mapping[str, Any] | None = None,
    output: Format,
) -> NoReturn:
    """Say on stderr what went wrong and end with `exit_code`; as JSON `{code, message, details}`."""
    if output is Format.JSON:
        typer.echo(_json({"code": code, "message": message, "details": dict(details or {})}), err=True)
    else:
        lead = (f"{code}: ", "bold red") if code else ("", "")
        console(stderr=True).print(Text.assemble(lead, visible(message)))
        for name, value in (details or {}).items():
            console(stderr=True).print(Text(visible(f"  {name}: {value}")))
    raise typer.Exit(int(exit_code))


def _json(plain: object, indent: int | None = None) -> str:
    return json.dumps(plain, ensure_ascii=False, indent=indent)
