"""YAML text to nodes with places. The only door to the YAML reader.

Nothing is guessed: a plain `on` or `yes` where a text is meant, a duplicate or unknown key, an
anchor, a tag or a merge key is a problem at its place, never a value. Problems are collected in a
list, so that an author sees all of them at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import yaml

from fujie.model.diagnostic import Diagnostic

API_VERSION = "fujie.dev/v1"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT, _BOOL, _INT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"
_MEANT = {_TEXT: "text", _BOOL: "true or false", _INT: "a whole number"}
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: 1-based line and column, and how positions inside a scalar map to the file.

    `block_indent` is the indentation of a block scalar (`|` or `>`), whose text starts on the next
    line; -1 for plain and quoted scalars.
    """

    file: str
    line: int
    column: int
    block_indent: int = -1

    def inside(self, line: int, column: int) -> tuple[int, int]:
        """Map a 1-based position inside the scalar's text to the file's line and column."""
        if self.block_indent >= 0:
            return self.line + line, self.block_indent + column
        return (self.line, self.column + column - 1) if line == 1 else (self.line + line - 1, column)


@dataclass(frozen=True, slots=True)
class Located:
    """A text with its place."""

    text: str
    place: Place


class Report:
    """Collects problems, with the source line for the caret."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self.problems: list[Diagnostic] = []

    def add_source(self, file: str, text: str) -> None:
        """Make the lines of `file` available."""
        self._lines[file] = text.split("\n")

    def line(self, file: str, line: int) -> str:
        """Return the text of a 1-based line; empty when there is none."""
        lines = self._lines.get(file, [])
        return lines[line - 1].rstrip("\r") if 1 <= line <= len(lines) else ""

    def problem(self, place: Place, code: str, message: str, *, at: tuple[int, int] | None = None) -> None:
        """Record a problem at `place`, or at the 1-based position `at` inside its text."""
        line, column = place.inside(*at) if at else (place.line, place.column)
        self.problems.append(
            Diagnostic(place.file, line, column, code, message, self.line(place.file, line))
        )


class Fields:
    """A mapping whose keys are taken one by one; `finish` reports those that nobody knows."""

    def __init__(self, node: yaml.MappingNode, file: str, report: Report) -> None:
        self._node = node
        self._file = file
        self._report = report
        self.place = _place(node, file, report)
        self._nodes: dict[str, tuple[yaml.Node, Place]] = {}
        self._taken: set[str] = set()
        for key, value in node.value:
            place = _place(key, file, report)
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
                report.problem(place, "KEY_NOT_TEXT", f"a key must be text; quote it: {_shown(key)}")
            elif key.value in self._nodes:
                report.problem(place, "DUPLICATE_KEY", f"`{key.value}` stands here a second time")
            else:
                self._nodes[key.value] = (value, place)

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def key_place(self, key: str) -> Place:
        """Return where `key` stands, or the mapping itself when it is absent."""
        return self._nodes[key][1] if key in self._nodes else self.place

    def text(self, key: str, *, required: bool = True) -> Located | None:
        """Take a text."""
        node = self._take(key, required=required)
        return self._scalar(node, _TEXT) if node is not None else None

    def flag(self, key: str) -> bool:
        """Take true or false; false when absent."""
        node = self._take(key, required=False)
        taken = self._scalar(node, _BOOL) if node is not None else None
        if taken and taken.text not in _BOOLS:
            self._report.problem(taken.place, "WRONG_TYPE", "write true or false")
        return _BOOLS.get(taken.text, False) if taken else False

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Take a whole number between `low` and `high`; `default` when absent."""
        node = self._take(key, required=False)
        taken = self._scalar(node, _INT) if node is not None else None
        if taken is None:
            return default
        if not taken.text.isdecimal() or not low <= int(taken.text) <= high:
            self._report.problem(
                taken.place, "OUT_OF_RANGE", f"a whole number from {low} to {high} is meant"
            )
            return default
        return int(taken.text)

    def texts(self, key: str, *, required: bool = False) -> tuple[Located, ...]:
        """Take a list of texts, without duplicates."""
        items: dict[str, Located] = {}
        for node in self._sequence(key, required=required):
            item = self._scalar(node, _TEXT)
            if item and item.text in items:
                self._report.problem(
                    item.place, "DUPLICATE_ITEM", f"`{item.text}` stands here a second time"
                )
            elif item:
                items[item.text] = item
        return tuple(items.values())

    def fields(self, key: str, *, required: bool = True) -> "Fields | None":
        """Take a mapping."""
        node = self._take(key, required=required)
        return self._mapping(node) if node is not None else None

    def list_of_fields(self, key: str, *, required: bool = False) -> Iterator["Fields"]:
        """Take a list of mappings."""
        for node in self._sequence(key, required=required):
            if (fields := self._mapping(node)) is not None:
                yield fields

    def each_text(self) -> Mapping[str, Located]:
        """Take every remaining key with a text."""
        taken = {key: self.text(key) for key in list(self._nodes)}
        return MappingProxyType({key: value for key, value in taken.items() if value})

    def each_fields(self) -> Iterator[tuple[str, "Fields"]]:
        """Take every remaining key with a mapping."""
        for key in list(self._nodes):
            if (fields := self.fields(key)) is not None:
                yield key, fields

    def skip(self, key: str) -> bool:
        """Take a key without reading it; tell whether it was there."""
        self._taken.add(key)
        return key in self._nodes

    def plain(self) -> object:
        """Return the whole mapping as plain values, for the canonical content; tags make `1` and `"1"` differ."""
        return _plain(self._node)

    def finish(self) -> None:
        """Report every key that nothing has taken."""
        for key in self._nodes.keys() - self._taken:
            known = ", ".join(sorted(self._taken))
            self._report.problem(
                self._nodes[key][1], "UNKNOWN_KEY", f"`{key}` is not known here; known: {known}"
            )

    def _take(self, key: str, *, required: bool) -> yaml.Node | None:
        self._taken.add(key)
        if key in self._nodes:
            return self._nodes[key][0]
        if required:
            self._report.problem(self.place, "MISSING_KEY", f"`{key}` is missing")
        return None

    def _sequence(self, key: str, *, required: bool) -> list[yaml.Node]:
        node = self._take(key, required=required)
        if node is None:
            return []
        if isinstance(node, yaml.SequenceNode):
            if required and not node.value:
                self._report.problem(
                    _place(node, self._file, self._report), "EMPTY_LIST", f"`{key}` names nothing"
                )
            return list(node.value)
        self._report.problem(_place(node, self._file, self._report), "WRONG_TYPE", "a list is meant")
        return []

    def _mapping(self, node: yaml.Node) -> "Fields | None":
        if isinstance(node, yaml.MappingNode):
            return Fields(node, self._file, self._report)
        self._report.problem(_place(node, self._file, self._report), "WRONG_TYPE", "a mapping is meant")
        return None

    def _scalar(self, node: yaml.Node, tag: str) -> Located | None:
        place = _place(node, self._file, self._report)
        if not isinstance(node, yaml.ScalarNode) or node.tag != tag:
            hint = (
                "; YAML reads this as something else: quote it"
                if tag == _TEXT and isinstance(node, yaml.ScalarNode)
                else ""
            )
            self._report.problem(place, "WRONG_TYPE", f"{_MEANT[tag]} is meant, not {_shown(node)}{hint}")
            return None
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in node.value):
            self._report.problem(place, "TEXT_INVALID", "NUL and lone surrogates are refused")
            return None
        return Located(node.value, place)


def documents(file: str, content: bytes, report: Report) -> Iterator[Fields]:
    """Yield the mappings of a YAML file, one per document; every problem goes to `report`."""
    place = Place(file, 1, 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        report.problem(place, "NOT_UTF8", f"byte {error.start} is not UTF-8")
        return
    report.add_source(file, text)
    try:
        for token in yaml.scan(text, Loader=_LOADER):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
                at = Place(file, token.start_mark.line + 1, token.start_mark.column + 1)
                report.problem(
                    at, "YAML_REFUSED", "anchors, aliases and tags are refused: write the value out"
                )
                return
        for node in yaml.compose_all(text, Loader=_LOADER):
            if isinstance(node, yaml.MappingNode):
                yield Fields(node, file, report)
            elif not (isinstance(node, yaml.ScalarNode) and node.value == ""):
                report.problem(_place(node, file, report), "WRONG_TYPE", "a policy document is a mapping")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = Place(file, mark.line + 1, mark.column + 1) if mark else place
        report.problem(at, "YAML_SYNTAX", getattr(error, "problem", None) or "not YAML")


def _place(node: yaml.Node, file: str, report: Report) -> Place:
    mark = node.start_mark
    style = node.style if isinstance(node, yaml.ScalarNode) else None
    if style in ("|", ">"):
        first = report.line(file, mark.line + 2)
        return Place(file, mark.line + 1, mark.column + 1, len(first) - len(first.lstrip(" ")))
    quoted = 1 if style in ("'", '"') else 0
    return Place(file, mark.line + 1, mark.column + 1 + quoted)


def _plain(node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return node.value if node.tag == _TEXT else [node.tag, node.value]


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"`{node.value[:40]}`"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
