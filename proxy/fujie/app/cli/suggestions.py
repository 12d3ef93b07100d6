"""What would open a refused look-up, as a tree for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from fujie.app.cli.output import console
from fujie.model.suggestion import Part

if TYPE_CHECKING:  # protobuf costs time, which --help need not wait for
    from fujie.v1 import policy_service_pb2 as policy_v1


def print_suggestions(reply: "policy_v1.ExplainResponse") -> None:
    """Print what would be allowed, and what can not be told; nothing for a look-up that is allowed."""
    for tree in _trees(reply):
        console().print(tree)


def _trees(reply: "policy_v1.ExplainResponse") -> Iterator[Tree | Text]:
    if reply.suggestions:
        tree = Tree(Text("it would be allowed", style="bold green"))
        for suggestion in reply.suggestions:
            tree.add(Text(_said(suggestion)))
        yield tree
    elif reply.reasons and not reply.suggestions_cut:
        yield Text(
            "no change of one or two things that the asker has in hand is known to open it", style="bold"
        )
    if reply.untold:
        tree = Tree(Text("it can not be told whether it would", style="bold yellow"))
        for suggestion in reply.untold:
            tree.add(Text.assemble(_said(suggestion), ("  lacks " + ", ".join(suggestion.lacks), "dim")))
        yield tree
    if reply.suggestions_cut:
        yield Text("there are more changes than are tried; these may not be all", style="yellow")


def opening(reply: "policy_v1.ExplainResponse") -> list[str]:
    """Return what would open it, one line for each way."""
    return [_said(suggestion) for suggestion in reply.suggestions]


def _said(suggestion: "policy_v1.Suggestion") -> str:
    return ", and ".join(map(_words, suggestion.changes))


def _words(change: "policy_v1.Change") -> str:
    match change.part:
        case Part.PURPOSE:
            return f"if the purpose were truly {change.value}"
        case Part.BASIS:
            evidence = f", with its evidence ({change.evidence})" if change.evidence else ""
            return f"if the basis were truly {change.value}{evidence}"
        case Part.BASIS_EVIDENCE:
            return "with evidence for the basis" + (f" ({change.value})" if change.value else "")
        case Part.FIELDS:
            return f"without {change.value.replace(',', ', ')}"
        case Part.TICKET:
            return "with a ticket"
        case Part.STRICT:
            return "without --strict"
        case Part.CONSENT:
            return f"if the customer gave {'a separate' if change.value == 'separate' else 'an explicit'} consent"
        case _:
            return f"once approved ({change.value})"
