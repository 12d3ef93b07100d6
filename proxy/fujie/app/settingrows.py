"""The settings as rows: for the documentation, and for naming the key that somebody meant."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
_SUFFIXES = {tuple: "[]", Mapping: ".<name>"}
_MAPPED = (["stores"], ["messaging", "providers"])
"""The sections whose keys are names of the user's own."""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting. `key` is its path: `server.listen`, `identity.issuers[].iss`, `stores.<name>.url`."""

    key: str
    kind: str
    default: str
    meaning: str

    @property
    def parent(self) -> str:
        """The path of the section that holds it."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.key.rpartition(".")[2]


def rows(model: type[BaseModel], above: str = "") -> Iterator[Row]:
    """Yield a row for every setting of `model`, sections included (their `kind` is empty), in order."""
    for name, field in model.model_fields.items():
        key = f"{above}{name}"
        section, suffix = _section(field.annotation)
        default = field.get_default(call_default_factory=False)
        shown = "required" if field.is_required() else ""
        if isinstance(default, str | int | float) and default != "":
            shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
        yield Row(key, "" if section else _kind(field.annotation), shown, field.description or "")
        if section:
            yield from rows(section, f"{key}{suffix}.")


def table(model: type[BaseModel]) -> str:
    """Return every setting that holds a value as a Markdown table."""
    lines = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{row.key}` | {row.kind} | {row.default} | {row.meaning} |" for row in rows(model) if row.kind
    ]
    return "\n".join(lines) + "\n"


def generic(path: Sequence[str]) -> str:
    """Return a key path as rows write it: names of stores and providers, and positions in lists, do not matter."""
    parts: list[str] = []
    for part in path:
        if part.isdigit() and parts:
            parts[-1] += "[]"
        else:
            parts.append("<name>" if parts in _MAPPED else part)
    return ".".join(parts)


def _section(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the section that a setting holds, with what stands between its name and its keys."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    for inner in get_args(annotation):
        section, _ = _section(inner)
        if section:
            return section, _SUFFIXES.get(get_origin(annotation), "")
    return None, ""


def _kind(annotation: Any) -> str:
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return _kind(next(each for each in inner if each is not type(None)))
    if origin is Annotated:
        return _kind(inner[0])
    return (
        f"map to {_kind(inner[1])}"
        if len(inner) == 2 and inner[1] is not ...
        else f"list of {_kind(inner[0])}"
    )
