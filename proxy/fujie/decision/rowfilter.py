"""What must be true of a customer's attributes for any grant of a plan to match, as a store can ask for it.

The conditions of grants are CEL; what of them compares an attribute with a constant, or with what is known of the
asker, becomes a comparison, and the rest ANYTHING. So a store returns too many rows and never too few; what decides is
`decide`. A condition that reads an attribute without a value is never true, hence PRESENT for each one that is read.

It stands on how `facts._typed` reads a column: a condition that reads a raw value of another type is never true, so
a comparison must be right for raw values of the attribute's own type alone. Those are, for a bool, true, false, 1
and 0 (only EQ is made); for an int, integers (every operator); for a string, texts (every operator, by code point: a
store whose collation differs may ask for EQ, where it is no narrower, and must leave out the others); of a list,
only PRESENT is asked.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from fujie.decision.plan import Plan
from fujie.model.facts import Facts, Unknown
from fujie.model.predicate import (
    ANYTHING,
    NOTHING,
    Column,
    Comparison,
    Operator,
    Predicate,
    all_of,
    any_of,
    comparisons,
)
from fujie.model.vocabulary import State
from fujie.policy.bundle import Rule

MOST_COMPARISONS: Final = 100
"""Comparisons of a row filter. A longer one is ANYTHING: statements have bounds, and so many alternatives rarely narrow."""

# Facts that do not change while a call lasts; the hour does, and use, and what is known of the customer.
_STEADY: Final = frozenset({"principal", "request"})
_COMPARE = {
    "_==_": Operator.EQ,
    "_!=_": Operator.NE,
    "_<_": Operator.LT,
    "_<=_": Operator.LE,
    "_>_": Operator.GT,
    "_>=_": Operator.GE,
}
_MIRRORED = {
    Operator.EQ: Operator.EQ,
    Operator.NE: Operator.NE,
    Operator.LT: Operator.GT,
    Operator.LE: Operator.GE,
    Operator.GT: Operator.LT,
    Operator.GE: Operator.LE,
}


def row_filter(plan: Plan, facts: Facts) -> Predicate:
    """Return what the attributes of every row pass that any grant of `plan` matches, over attribute columns.

    `facts` are those of the asker and the request, as rows are decided with; a fact that they do not hold narrows
    nothing. Grants out of validity count too: the next one may begin while rows are being read. Costs about 0.1 ms a
    condition.
    """
    rules: dict[str, Rule] = {}
    for grant in plan.grants:
        if grant.condition is None:
            return ANYTHING
        rules[grant.condition.expanded] = grant.condition
    found = any_of(_needed(plan, rule, facts) for rule in rules.values())
    is_short = sum(1 for _ in comparisons(found)) <= MOST_COMPARISONS
    return found if is_short else ANYTHING


def _needed(plan: Plan, rule: Rule, facts: Facts) -> Predicate:
    names = sorted(path.partition(".")[2] for path in rule.reads if path.startswith("customer."))
    present = (Comparison(Column(name, is_attribute=True), Operator.PRESENT) for name in names)
    reading = _Reading(facts)
    return all_of((*present, reading.when(plan.bundle.engine.tree(rule.expanded), wanted=True)))


_Plain: TypeAlias = bool | int | str
_Operand: TypeAlias = Column | _Plain | tuple[str, ...] | None
"""A column is what only the row knows, None what is not understood here."""


class _Reading:
    """Reads the typed syntax tree of one condition, which the walk has checked (`policy.walk`)."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def when(self, node: Any, *, wanted: bool) -> Predicate:
        """Return what is true of every row for which `node` comes to `wanted`."""
        call = node.call_expr
        if call.function == "!_":
            return self.when(call.args[0], wanted=not wanted)
        if call.function in ("_&&_", "_||_"):
            joined = all_of if (call.function == "_&&_") is wanted else any_of
            return joined(self.when(part, wanted=wanted) for part in call.args)
        if call.function in _COMPARE:
            left, right = map(self._operand, call.args)
            return _compared(left, _COMPARE[call.function], right, wanted=wanted)
        if call.function == "@in":
            return self._contained(*call.args, wanted=wanted)
        if call.function:
            return ANYTHING
        return _compared(self._operand(node), Operator.EQ, True, wanted=wanted)

    def _contained(self, item: Any, row: Any, *, wanted: bool) -> Predicate:
        known = self._operand(row)
        of_list = map(self._operand, row.list_expr.elements)
        values: Iterable[_Operand] = known if isinstance(known, tuple) else of_list
        if not isinstance(known, tuple) and row.WhichOneof("expr_kind") != "list_expr":
            return ANYTHING
        left = self._operand(item)
        joined = any_of if wanted else all_of
        return joined(_compared(left, Operator.EQ, value, wanted=wanted) for value in values)

    def _operand(self, node: Any) -> _Operand:
        kind = node.WhichOneof("expr_kind")
        if kind == "const_expr":
            sort = node.const_expr.WhichOneof("constant_kind")
            value: _Plain | None = getattr(node.const_expr, sort) if sort else None
            return value
        if kind == "ident_expr":  # a state: the walk lets no other name through outside loops
            return str(node.ident_expr.name.rpartition(".")[2])
        if kind != "select_expr":
            return None
        root, name = node.select_expr.operand.ident_expr.name, node.select_expr.field
        if root == "customer":
            return Column(name, is_attribute=True)
        if root not in _STEADY:
            return None
        fact = self._facts.get(f"{root}.{name}")
        return None if isinstance(fact, Unknown) else fact.value if isinstance(fact, State) else fact


def _compared(left: _Operand, operator: Operator, right: _Operand, *, wanted: bool) -> Predicate:
    if isinstance(right, Column):
        left, operator, right = right, _MIRRORED[operator], left
    if not wanted:
        operator = operator.opposite
    if not isinstance(right, bool | int | str):
        return ANYTHING
    if isinstance(left, Column):
        return _asked(left, operator, right)
    if type(left) is not type(right):
        return ANYTHING
    return ANYTHING if operator.holds(left, right) else NOTHING


def _asked(column: Column, operator: Operator, constant: _Plain) -> Predicate:
    if isinstance(constant, str) and "\0" in constant:  # which databases refuse
        return ANYTHING
    if not isinstance(constant, bool):
        return Comparison(column, operator, constant)
    if operator is Operator.EQ or operator is Operator.NE:
        return Comparison(column, Operator.EQ, constant is (operator is Operator.EQ))
    return ANYTHING
