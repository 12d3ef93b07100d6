"""One pass over a typed syntax tree: what an expression reads, and what it misuses.

The tree is a `cel.expr.CheckedExpr` message (cel-spec, proto/cel/expr/checked.proto) that `cel.py`
parsed; it is read by attribute only, so nothing of protobuf is needed here. What is not understood
is refused, since it may hide a read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fujie.model.facts import UNREADABLE, FactType, Kind

_FORBIDDEN = {"dyn": "undoes type checking", "type": "undoes type checking"}
_NAMED = ("variables.", "params.")
_EQUALITY = frozenset({"_==_", "_!=_"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with an expression, at a 1-based line and column of its text."""

    line: int
    column: int
    code: str
    message: str


class Walk:
    """The walk itself. `reads` are fact paths, `uses` variables and params by their full names, `patterns` literal regular expressions
    with their nodes. `states` is the full name of the enumeration of states."""

    def __init__(self, text: str, tree: Any, types: Mapping[str, FactType], states: str) -> None:
        self.reads: set[str] = set()
        self.uses: set[str] = set()
        self.patterns: list[tuple[Any, str]] = []
        self._found: list[Problem] = []
        self._types = types
        self._states = states + "."
        self._roots = {path.partition(".")[0] for path in types}
        self._text = text
        self._positions = {entry.key: entry.value for entry in tree.source_info.positions}
        self._visit(tree.expr, frozenset())

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong, in the order of the tree, each once."""
        return tuple(dict.fromkeys(self._found))

    def place(self, node: Any) -> tuple[int, int]:
        """Return the 1-based line and column of a node."""
        before = self._text[: self._positions.get(node.id, 0)]
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1

    def _problem(self, node: Any, code: str, message: str) -> None:
        self._found.append(Problem(*self.place(node), code, message))

    def _visit(self, node: Any, locals_: frozenset[str]) -> None:
        kind = node.WhichOneof("expr_kind")
        if kind == "ident_expr":
            self._ident(node, locals_)
        elif kind == "select_expr":
            self._select(node, locals_)
        elif kind == "call_expr":
            self._call(node, locals_)
        elif kind == "comprehension_expr":
            loop = node.comprehension_expr
            inner = locals_ | {loop.iter_var, loop.iter_var2, loop.accu_var}
            for name in {loop.iter_var, loop.iter_var2} & (self._roots | {"variables", "params"}):
                self._problem(
                    node, "NAME_SHADOWED", f"`{name}` names facts; call the loop variable something else"
                )
            self._visit(loop.iter_range, locals_)
            for part in (loop.accu_init, loop.loop_condition, loop.loop_step, loop.result):
                self._visit(part, inner)
        else:
            if node.struct_expr.message_name:
                self._problem(node, "MESSAGE_REFUSED", "a message that is written out is not a fact")
            for child in _children(node):
                self._visit(child, locals_)

    def _ident(self, node: Any, locals_: frozenset[str]) -> None:
        name = node.ident_expr.name
        if name in locals_:
            return
        if name.startswith(_NAMED):
            self.uses.add(name)
        elif name in self._roots:
            self._problem(node, "WHOLE_ROOT", f"`{name}` can not be used as a whole; name one of its facts")
        elif name.startswith(self._states):
            self._problem(
                node, "STATE_MISUSE", "a state constant can only be compared with a state by ==, != or in"
            )
        else:  # `.customer.minor`, a type name, whatever comes: what is not understood may hide a read
            self._problem(node, "NAME_REFUSED", f"`{name}` is not a fact, a state, a variable or a param")

    def _select(self, node: Any, locals_: frozenset[str]) -> None:
        path = self._path(node, locals_)
        if path is None:
            self._visit(node.select_expr.operand, locals_)
            return
        self.reads.add(path)
        if path in UNREADABLE:
            self._problem(node, "FACT_REFUSED", f"`{path}` is for the decision itself, not for rules")
        elif node.select_expr.test_only:
            self._problem(
                node, "HAS_REFUSED", "has() reads absent and false alike; an unknown fact refuses by itself"
            )
        elif self._types[path].kind is Kind.STATE:
            self._problem(
                node, "STATE_MISUSE", f"`{path}` can only be compared with its constants by ==, != or in"
            )

    def _call(self, node: Any, locals_: frozenset[str]) -> None:
        call = node.call_expr
        if call.function in _FORBIDDEN:
            self._problem(node, "FUNCTION_REFUSED", f"{call.function}() {_FORBIDDEN[call.function]}")
        if (
            call.function == "matches"
            and call.args[-1].const_expr.WhichOneof("constant_kind") == "string_value"
        ):
            self.patterns.append((call.args[-1], call.args[-1].const_expr.string_value))
        if (call.function in _EQUALITY or call.function == "@in") and self._states_compared(call, locals_):
            return
        if call.HasField("target"):
            self._visit(call.target, locals_)
        for argument in call.args:
            self._visit(argument, locals_)

    def _states_compared(self, call: Any, locals_: frozenset[str]) -> bool:
        """Handle `path == CONSTANT`, `CONSTANT == path`, `path in [CONSTANTS]`; tell whether it was one."""
        left, right = call.args
        if self._path(left, locals_) is None and call.function in _EQUALITY:
            left, right = right, left
        path = self._path(left, locals_)
        if path is None or self._types[path].kind is not Kind.STATE:
            return False
        constants = list(right.list_expr.elements) if call.function == "@in" else [right]
        names = [node.ident_expr.name for node in constants]
        if not names or not all(name.startswith(self._states) for name in names):
            return False
        self.reads.add(path)
        domain = self._types[path].states
        for node, name in zip(constants, names, strict=True):
            if (short := name.rpartition(".")[2]) not in domain:
                self._problem(
                    node, "STATE_MISUSE", f"`{path}` is never {short}: it is one of {', '.join(domain)}"
                )
        return True

    def _path(self, node: Any, locals_: frozenset[str]) -> str | None:
        if node.WhichOneof("expr_kind") != "select_expr":
            return None
        root = node.select_expr.operand.ident_expr.name
        return f"{root}.{node.select_expr.field}" if root in self._roots and root not in locals_ else None


def _children(node: Any) -> Iterator[Any]:
    yield from node.list_expr.elements
    for entry in node.struct_expr.entries:
        if entry.HasField("map_key"):
            yield entry.map_key
        yield entry.value
