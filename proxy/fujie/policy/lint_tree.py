"""What the lint reads from a typed syntax tree: literals that facts are compared with, loops, patterns.

The tree is a `cel.expr.Expr` as `Engine.tree` returns it, read by attribute only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fujie.model.facts import LONGEST

Literal = bool | int | str

_EQUALITY = frozenset({"_==_", "_!=_"})
_ORDER = frozenset({"_<_", "_<=_", "_>_", "_>=_"})


@dataclass(slots=True)
class Comparison:
    """How a fact is used: every literal that it is compared with. `whole` when it is used in no other way,
    `ordered` when by its order too."""

    literals: set[Literal] = field(default_factory=set)
    whole: bool = True
    ordered: bool = False


def comparisons(tree: Any) -> Mapping[str, Comparison]:
    """Return how each fact path that the tree reads is used."""
    found: dict[str, Comparison] = {}
    _compare(tree, found)
    return found


def mentions(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield each fact path with a text literal that it, or one of its items, is compared with."""
    for path, comparison in comparisons(tree).items():
        yield from ((path, literal) for literal in comparison.literals if isinstance(literal, str))
    for node in _nodes(tree):
        if _kind(node) == "call_expr" and node.call_expr.function == "@in":
            item, owner = node.call_expr.args
            literal, listed = _literal(item), path_of(owner)
            if listed and isinstance(literal, str):
                yield listed, literal
        elif _kind(node) == "comprehension_expr":
            yield from _mentions_of_items(node.comprehension_expr)


def iterations(tree: Any, sizes: Mapping[str, int]) -> int:
    """Return how many iterations an evaluation takes at most; `sizes` says how many items a list fact has at most."""
    if _kind(tree) != "comprehension_expr":
        return sum(iterations(child, sizes) for child in _children(tree))
    loop = tree.comprehension_expr
    inner = iterations(loop.loop_step, sizes) + iterations(loop.loop_condition, sizes)
    around = iterations(loop.iter_range, sizes) + iterations(loop.result, sizes)
    return around + _size(loop.iter_range, sizes) * (1 + inner)


def patterns(tree: Any) -> Iterator[str | None]:
    """Yield the pattern of every `matches`; None for one that is not a literal."""
    for node in _nodes(tree):
        if _kind(node) == "call_expr" and node.call_expr.function == "matches":
            literal = _literal(node.call_expr.args[-1])
            yield literal if isinstance(literal, str) else None


def path_of(node: Any) -> str | None:
    """Return the fact path that a node reads; None when it is something else."""
    if _kind(node) != "select_expr" or _kind(node.select_expr.operand) != "ident_expr":
        return None
    return f"{node.select_expr.operand.ident_expr.name}.{node.select_expr.field}"


def _compare(node: Any, found: dict[str, Comparison]) -> None:
    if path := path_of(node):
        found.setdefault(path, Comparison()).whole = False
        return
    call = node.call_expr
    if _kind(node) == "call_expr" and call.function in _EQUALITY | _ORDER | {"@in"}:
        left, right = call.args
        if call.function != "@in" and path_of(left) is None:
            left, right = right, left
        literals = [
            _literal(each) for each in (right.list_expr.elements if call.function == "@in" else [right])
        ]
        is_literal = call.function != "@in" or _kind(right) == "list_expr"
        if (path := path_of(left)) and is_literal and None not in literals:
            used = found.setdefault(path, Comparison())
            used.literals.update(literal for literal in literals if literal is not None)
            used.ordered |= call.function in _ORDER
            return
    for child in _children(node):
        _compare(child, found)


def _mentions_of_items(loop: Any) -> Iterator[tuple[str, str]]:
    """Yield the path that a loop runs over with the literals that its items are compared with."""
    path = path_of(loop.iter_range)
    for node in _nodes_about(loop.loop_step, loop.iter_var) if path else ():
        if path is None or _kind(node) != "call_expr" or node.call_expr.function not in _EQUALITY | {"@in"}:
            continue
        sides = list(node.call_expr.args)
        if any(side.ident_expr.name == loop.iter_var for side in sides):
            for side in sides:
                literals = (_literal(each) for each in (side, *side.list_expr.elements))
                yield from ((path, literal) for literal in literals if isinstance(literal, str))


def _size(node: Any, sizes: Mapping[str, int]) -> int:
    """Return how many items a list has at most; the bound of every list for what is not understood."""
    kind = _kind(node)
    if kind == "list_expr":
        return len(node.list_expr.elements)
    if kind == "struct_expr":
        return len(node.struct_expr.entries)
    if kind == "comprehension_expr":
        return _size(node.comprehension_expr.iter_range, sizes)
    if kind == "call_expr" and node.call_expr.function == "_+_":
        return sum(_size(each, sizes) for each in node.call_expr.args)
    if kind == "call_expr" and node.call_expr.function == "_?_:_":
        return max(_size(each, sizes) for each in node.call_expr.args[1:])
    return sizes.get(path_of(node) or "", LONGEST)


def _literal(node: Any) -> Literal | None:
    if _kind(node) != "const_expr":
        return None
    kind = node.const_expr.WhichOneof("constant_kind")
    value: Literal | None = getattr(node.const_expr, kind) if kind else None
    return value


def _kind(node: Any) -> str:
    kind: str | None = node.WhichOneof("expr_kind")
    return kind or ""


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _nodes_about(node: Any, variable: str) -> Iterator[Any]:
    """Yield the nodes in which a loop variable is the one that is meant, not one of the same name further in."""
    yield node
    loop = node.comprehension_expr if _kind(node) == "comprehension_expr" else None
    shadowed = loop is not None and variable in (loop.iter_var, loop.iter_var2)
    for child in [loop.iter_range] if loop is not None and shadowed else _children(node):
        yield from _nodes_about(child, variable)


def _children(node: Any) -> Iterator[Any]:
    kind = _kind(node)
    if kind == "select_expr":
        yield node.select_expr.operand
    elif kind == "call_expr":
        if node.call_expr.HasField("target"):
            yield node.call_expr.target
        yield from node.call_expr.args
    elif kind == "list_expr":
        yield from node.list_expr.elements
    elif kind == "struct_expr":
        for entry in node.struct_expr.entries:
            if entry.HasField("map_key"):
                yield entry.map_key
            yield entry.value
    elif kind == "comprehension_expr":
        loop = node.comprehension_expr
        yield from (loop.iter_range, loop.accu_init, loop.loop_condition, loop.loop_step, loop.result)
