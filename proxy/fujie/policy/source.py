"""YAML text to nodes with places. The only door to the YAML reader.

Nothing is guessed: a plain `on` or `yes` where a text is meant, a duplicate or unknown key, an
anchor, a tag or a merge key is a problem at its place, never a value. Problems are collected in a
list, so that an author sees all of them at once.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import yaml

from fujie.model.facts import Known
from fujie.policy.places import Located, Place, Report
from fujie.policy.yaml_advice import of_refused, of_syntax

API_VERSION = "fujie.dev/v1"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT, _BOOL, _INT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"
_MEANT = {_TEXT: "text", _BOOL: "true or false", _INT: "a whole number"}
_BOOLS = {"true": True, "false": False}
_WHOLE = re.compile(r"0|[1-9][0-9]{0,9}")  # 010 is 8 to YAML 1.1 and 10 to people
_WHOLE_64 = re.compile(r"0|-?[1-9][0-9]{0,18}")

MAX_FILE_BYTES = 4 * 2**20
"""Bytes of one file; 10,000 grants take 2 MB."""

MAX_BYTES = 2 * MAX_FILE_BYTES
"""Bytes of all files together."""

MOST_NODES = 300_000
"""Texts, lists and mappings of all files together: 10,000 grants have 270,000. A node takes up to 600 bytes of memory where
its text takes one, and a worker of which a pod has 512 MiB reads them beside the policies in force."""

MAX_DEPTH = 32
"""Nested lists and mappings of one file; documents need 8. The reader recurses in C: 100,000 end the process."""

_UNSEEN = re.compile(
    r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # control characters
    r"|\r(?!\n)|[\u2028\u2029]"  # line breaks to YAML, not to every editor
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"  # they reorder what a reviewer sees (CVE-2021-42574)
    r"|[\xad\u034f\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\ufe00-\ufe0f\ufff9-\ufffb]"  # nobody sees them:
    r"|[\u115f\u1160\u2800\u3164\uffa0\U000e0000-\U000e0fff]"  # `owner != 'blocked<one of them>'` is always true
)
"""What is refused in policy text: it would be read differently from how it looks."""

_SAID_OF_UNSEEN = "control, direction and invisible characters are refused"


class Fields:
    """A mapping whose keys are taken one by one; `finish` reports those that nobody knows."""

    def __init__(self, node: yaml.MappingNode, file: str, report: Report) -> None:
        self._node = node
        self._file = file
        self._report = report
        self.place = _place(node, file)
        self._nodes: dict[str, tuple[yaml.Node, Place]] = {}
        self._taken: set[str] = set()
        for key, value in node.value:
            place = _place(key, file)
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
                report.problem(place, "KEY_NOT_TEXT", f"a key must be text; quote it: {_shown(key)}")
            elif _UNSEEN.search(key.value):  # by an escape
                report.problem(place, "TEXT_INVALID", _SAID_OF_UNSEEN)
            elif key.value in self._nodes:
                report.problem(place, "DUPLICATE_KEY", f"`{key.value}` stands here a second time")
            else:
                self._nodes[key.value] = (value, place)

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    @property
    def names(self) -> tuple[str, ...]:
        """Every key, in the order of the text."""
        return tuple(self._nodes)

    def key_place(self, key: str) -> Place:
        """Return where `key` stands, or the mapping itself when it is absent."""
        return self._nodes[key][1] if key in self._nodes else self.place

    def text(self, key: str, *, required: bool = True) -> Located | None:
        """Take a text that is not empty."""
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
        if not _WHOLE.fullmatch(taken.text) or not low <= int(taken.text) <= high:
            self._report.problem(
                taken.place, "OUT_OF_RANGE", f"a whole number from {low} to {high} is meant"
            )
            return default
        return int(taken.text)

    def literal(self, key: str) -> Known | None:
        """Take a value as it is written: true or false, a whole number of 64 bits, a text, or a list of texts."""
        node = self._take(key, required=True)
        if isinstance(node, yaml.SequenceNode):
            return tuple(item.text for item in self.texts(key))
        tag = node.tag if isinstance(node, yaml.ScalarNode) and node.tag in (_BOOL, _INT) else _TEXT
        taken = self._scalar(node, tag) if node is not None else None
        if taken is None or tag == _TEXT:
            return taken.text if taken else None
        if tag == _BOOL:
            return self.flag(key)
        if not _WHOLE_64.fullmatch(taken.text) or not -(2**63) <= int(taken.text) < 2**63:
            self._report.problem(taken.place, "OUT_OF_RANGE", "a whole number of 64 bits is meant")
            return None
        return int(taken.text)

    def texts(self, key: str, *, required: bool = False, may_be_empty: bool = False) -> tuple[Located, ...]:
        """Take a list of texts, without duplicates; an empty list is a problem where none would be read as any."""
        items: dict[str, Located] = {}
        for node in self._sequence(key, required=required, may_be_empty=may_be_empty):
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
        """Return the whole mapping as plain values, for the canonical content.

        What is no text is a mapping from its tag, so that `1` differs from `"1"` and from every list: no place of the
        language takes both a mapping and a number or a truth value.
        """
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

    def _sequence(self, key: str, *, required: bool, may_be_empty: bool = False) -> list[yaml.Node]:
        node = self._take(key, required=required)
        if node is None:
            return []
        if isinstance(node, yaml.SequenceNode):
            if not node.value and not may_be_empty:  # it would read as "none", and mean "any"
                self._report.problem(_place(node, self._file), "EMPTY_LIST", f"`{key}` names nothing")
            return list(node.value)
        self._report.problem(_place(node, self._file), "WRONG_TYPE", "a list is meant")
        return []

    def _mapping(self, node: yaml.Node) -> "Fields | None":
        if isinstance(node, yaml.MappingNode):
            return Fields(node, self._file, self._report)
        self._report.problem(_place(node, self._file), "WRONG_TYPE", "a mapping is meant")
        return None

    def _scalar(self, node: yaml.Node, tag: str) -> Located | None:
        place = _place(node, self._file)
        if not isinstance(node, yaml.ScalarNode) or node.tag != tag:
            is_guessed = tag == _TEXT and isinstance(node, yaml.ScalarNode) and node.value
            hint = "; YAML reads this as something else: quote it" if is_guessed else ""
            self._report.problem(place, "WRONG_TYPE", f"{_MEANT[tag]} is meant, not {_shown(node)}{hint}")
            return None
        if _UNSEEN.search(node.value):
            self._report.problem(place, "TEXT_INVALID", _SAID_OF_UNSEEN)
            return None
        if not node.value.strip():
            self._report.problem(place, "EMPTY_TEXT", "an empty text says nothing: leave the key out")
            return None
        written = self._report.written(self._file, node.start_mark.index, node.end_mark.index)
        return Located(node.value, place, written)


def documents(file: str, content: bytes, report: Report) -> Iterator[Fields]:
    """Yield the mappings of a YAML file, one per document; every problem goes to `report`."""
    place = Place(file, 1, 1)
    if len(content) > MAX_FILE_BYTES:
        report.problem(place, "FILE_TOO_LARGE", f"a file has at most {MAX_FILE_BYTES} bytes")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        report.problem(place, "NOT_UTF8", f"byte {error.start} is not UTF-8")
        return
    report.add_source(file, text)
    if unseen := _UNSEEN.search(text):
        above = text[: unseen.start()]
        at = Place(file, above.count("\n") + 1, len(above) - above.rfind("\n"))
        report.problem(at, "TEXT_INVALID", f"the character U+{ord(unseen[0]):04X} is refused")
        return
    try:
        if _refused(file, text, report):
            return
        for node in yaml.compose_all(text, Loader=_LOADER):
            if isinstance(node, yaml.MappingNode):
                yield Fields(node, file, report)
            elif not (isinstance(node, yaml.ScalarNode) and node.value == ""):
                report.problem(_place(node, file), "WRONG_TYPE", "a policy document is a mapping")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = Place(file, mark.line + 1, mark.column + 1) if mark else place
        sign = report.line(file, at.line)[at.column - 1 : at.column]
        report.problem(at, "YAML_SYNTAX", of_syntax(getattr(error, "problem", None) or "not YAML", sign))


def _refused(file: str, text: str, report: Report) -> bool:
    """Report every anchor, alias and tag, nesting that is too deep, and too many nodes; tell whether there was any.

    Events come one by one, without recursion, and none stays: only what passes here is safe to compose.
    """
    found, depth = False, 0
    for event in yaml.parse(text, Loader=_LOADER):
        if not isinstance(event, yaml.NodeEvent):
            depth -= isinstance(event, yaml.CollectionEndEvent)
            continue
        depth += isinstance(event, yaml.CollectionStartEvent)
        if depth > MAX_DEPTH:
            report.problem(_place(event, file), "TOO_DEEP", f"nested deeper than {MAX_DEPTH}")
            return True
        report.nodes += 1
        if report.nodes > MOST_NODES:
            if report.nodes == MOST_NODES + 1:  # once, whatever files follow
                message = f"all policy files together have at most {MOST_NODES} texts, lists and mappings"
                report.problem(_place(event, file), "TOO_MANY_NODES", message)
            return True
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            message = of_refused(is_tag=event.anchor is None)
            report.problem(_place(event, file), "YAML_REFUSED", message)
            found = True
    return found


def _place(node: yaml.Node | yaml.Event, file: str) -> Place:
    assert node.start_mark is not None  # types-PyYAML: of events made by hand
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _plain(node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return node.value if node.tag == _TEXT else {node.tag: node.value}


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"`{node.value[:40]}`" if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
