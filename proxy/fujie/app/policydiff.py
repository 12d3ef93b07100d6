"""What two sets of policies differ in, document by document. Formatting, comments, files and order make no difference."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from fujie.app.bundling import TESTS
from fujie.app.policies import Files
from fujie.app.problems import CannotStart, problem_at
from fujie.policy.places import Report
from fujie.policy.source import documents

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_WIDTH = 10_000
"""A line of a condition is never folded: a fold that moves would look like a change."""

Key = tuple[str, str]
"""Kind and name of a document."""


@dataclass(frozen=True, slots=True)
class Change:
    """One document that differs. `diff` is unified, of the YAML with sorted keys."""

    what: str
    kind: str
    name: str
    diff: str


def changes(before: Files, after: Files) -> Iterator[Change]:
    """Yield every document that differs, by kind and name. Raises CannotStart when one can not be read."""
    old, new = _texts(before), _texts(after)
    for kind, name in sorted(old.keys() | new.keys()):
        was, is_now = old.get((kind, name), ""), new.get((kind, name), "")
        if was != is_now:
            what = ADDED if not was else REMOVED if not is_now else CHANGED
            title = f"{kind}/{name}"
            lines = difflib.unified_diff(was.splitlines(), is_now.splitlines(), title, title, lineterm="")
            yield Change(what, kind, name, "\n".join(lines))


def _texts(files: Files) -> Mapping[Key, str]:
    report = Report()
    found: dict[Key, str] = {}
    for file, content in sorted(files.items()):
        # Read as the loader does: only what passes there is safe to compose.
        keys = [_key(kind, name) for kind, name in _envelopes(file, content, report)]
        if report.problems:
            raise CannotStart([problem_at(problem) for problem in report.problems])
        nodes = yaml.compose_all(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        mappings = (node for node in nodes if isinstance(node, yaml.MappingNode))
        for key, node in zip(keys, mappings, strict=True):
            if key[0] != TESTS:
                found[key] = found.get(key, "") + _plain(node)
    return found


def _envelopes(file: str, content: bytes, report: Report) -> Iterator[tuple[str | None, str | None]]:
    for document in documents(file, content, report):
        kind, metadata = document.text("kind"), document.fields("metadata")
        name = metadata.text("name") if metadata else None
        yield (kind.text if kind else None, name.text if name else None)


def _key(kind: str | None, name: str | None) -> Key:
    return kind or "", name or ""


def _plain(node: yaml.Node) -> str:
    """Return a document in the one spelling that comparisons use."""
    _normalise(node)
    text: str = yaml.serialize(node, allow_unicode=True, width=_WIDTH)
    return text


def _normalise(node: yaml.Node) -> None:
    if isinstance(node, yaml.ScalarNode):
        node.style = "|" if "\n" in node.value else None
    elif isinstance(node, yaml.SequenceNode):
        node.flow_style = False
        for each in node.value:
            _normalise(each)
    elif isinstance(node, yaml.MappingNode):
        node.flow_style = False
        node.value.sort(key=lambda pair: str(pair[0].value))
        for key, value in node.value:
            _normalise(key)
            _normalise(value)
