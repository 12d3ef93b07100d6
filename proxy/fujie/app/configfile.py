"""The configuration as text: one YAML file, overlaid by `FUJIE__SECTION__KEY`, with the place of every value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fujie.app.problems import CannotStart, Problem

PREFIX = "FUJIE__"
"""Two underscores: variables that Kubernetes makes for a Service named fujie have one."""

KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Layers:
    """The merged values, and where each key path came from (`file:line:column`, or the variable's name)."""

    values: dict[str, Any]
    places: Mapping[KeyPath, str]
    problems: tuple[Problem, ...]

    def place(self, key: KeyPath) -> str:
        """Return where `key` stands, or the nearest key above it."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, "")


def read_layers(path: Path, environ: Mapping[str, str]) -> Layers:
    """Read the file and lay the variables over it. Keys that stand twice are problems, not values.

    Raises:
        CannotStart: the file cannot be read, or is not one YAML mapping.

    """
    places: dict[KeyPath, str] = {(): str(path)}
    problems: list[Problem] = []
    values = _file(path, places, problems)
    for name in sorted(environ):
        if name.startswith(PREFIX):
            key = tuple(name.removeprefix(PREFIX).lower().split("__"))
            if all(key):
                _set(values, key, _value(environ[name]))
                places[key] = name
            else:
                problems.append(Problem("SETTING_INVALID", "the variable names no setting", place=name))
    return Layers(values, places, tuple(problems))


def _file(path: Path, places: dict[KeyPath, str], problems: list[Problem]) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = "Name the configuration with --config."
        raise CannotStart(
            [Problem("CONFIG_UNREADABLE", error.strerror or "", place=str(path), remedy=remedy)]
        ) from None
    try:
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        if node is not None:
            _walk(node, (), str(path), places, problems)
        values = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        raise CannotStart([_syntax(path, error)]) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise CannotStart([Problem("CONFIG_INVALID", "the file is not YAML", place=str(path))]) from None
    if not isinstance(values, dict):
        raise CannotStart([Problem("CONFIG_INVALID", "a mapping of sections is meant", place=str(path))])
    return values


def _syntax(path: Path, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    return Problem("CONFIG_INVALID", error.problem or "the file is not YAML", place=place)


def _walk(
    node: yaml.Node, key: KeyPath, file: str, places: dict[KeyPath, str], problems: list[Problem]
) -> None:
    """Note the place of every key below `node`, and every key that stands twice."""
    if isinstance(node, yaml.SequenceNode):
        inner = [(str(i), child, child.start_mark) for i, child in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        inner = [(str(name.value), child, name.start_mark) for name, child in node.value]
    else:
        return
    for name, child, mark in inner:
        path, place = (*key, name), f"{file}:{mark.line + 1}:{mark.column + 1}"
        if path in places:
            problems.append(Problem("DUPLICATE_KEY", "stands here a second time", ".".join(path), place))
            continue
        places[path] = place
        _walk(child, path, file, places, problems)


def _value(text: str) -> Any:
    """Return a variable's value: JSON when it is a list or an object (not `[::1]:7443`), else the text."""
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _set(values: dict[str, Any], key: KeyPath, value: Any) -> None:
    for name in key[:-1]:
        inner = values.get(name)
        if not isinstance(inner, dict):
            inner = values[name] = {}
        values = inner
    values[key[-1]] = value
