"""Filters as trees made by rule, and their three readings that share nothing with the reader under test: text of the
language, truth by SQL's three values, a WHERE clause of SQLite."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

COLUMNS = ("n", "t", "d")
"""What filters below read; in SQLite an INTEGER, a TEXT and a REAL column."""

Tree = tuple[Any, ...]
"""("compare", field, mark, constant), ("present", field), ("not", tree), ("and", trees), ("or", trees)."""

MARKS = ("=", "!=", "<", "<=", ">", ">=")

# Few values, so that rows and constants meet; texts whose order differs by collation, and what quoting must keep apart.
TEXTS = (
    "",
    "a",
    "A",
    "b",
    "ab",
    "é",
    "张三",
    "上海",
    "\U0001f600",
    "\uffee",
    'q"q',
    "b\\s",
    "' OR 1=1 --",
    "x y",
    "AND",
)
WHOLE = (-2, -1, 0, 1, 2, 10, 2**53 - 1, 2**53 + 1, -(2**63), 2**63 - 1)
DOUBLES = (-1.5, 0.0, 0.1, 0.25, 1.0, 2.5, 10.0, 1234567890.125)

CONSTANTS = st.sampled_from(TEXTS) | st.sampled_from(WHOLE) | st.sampled_from(DOUBLES)


def trees(constants: st.SearchStrategy[Any] = CONSTANTS) -> st.SearchStrategy[Tree]:
    """Return filters of a few comparisons."""
    marked = st.tuples(st.just("compare"), st.sampled_from(COLUMNS), st.sampled_from(MARKS), constants)
    equal = st.tuples(
        st.just("compare"), st.sampled_from(COLUMNS), st.sampled_from(("=", "!=")), st.booleans()
    )
    leaf = marked | marked | marked | equal | st.tuples(st.just("present"), st.sampled_from(COLUMNS))
    return st.recursive(leaf, _joined, max_leaves=8)


def _joined(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.just("and"), several)
        | st.tuples(st.just("or"), several)
    )


def written(tree: Tree, minus: bool = False) -> str:
    """Return the text of a filter, with no more brackets than its precedence needs."""
    match tree:
        case ("compare", field, mark, bool() as truth):
            return f"{field} {mark} {str(truth).lower()}"
        case ("compare", field, mark, str() as text):
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            return f'{field}{mark}"{quoted}"'
        case ("compare", field, mark, number):
            return f"{field} {mark} {number}"
        case ("present", field):
            return f"{field}:*"
        case ("not", inner):
            text = written(inner, minus)
            sign = "-" if minus else "NOT "
            return f"{sign}{text}" if inner[0] in ("compare", "present") else f"{sign}({text})"
        case ("or", parts):
            return " OR ".join(
                f"({written(p, minus)})" if p[0] in ("and", "or") else written(p, minus) for p in parts
            )
        case ("and", parts):
            return " AND ".join(
                f"({written(p, minus)})" if p[0] == "and" else written(p, minus) for p in parts
            )
    raise AssertionError(tree)


def truth(tree: Tree, row: Mapping[str, object]) -> bool | None:
    """Return whether a row of raw values passes: None where that is not known, as in SQL."""
    match tree:
        case ("present", field):
            return row[field] is not None
        case ("not", inner):
            found = truth(inner, row)
            return None if found is None else not found
        case (("and" | "or") as joint, parts):
            found_all = [truth(part, row) for part in parts]
            decisive = joint == "or"
            return decisive if decisive in found_all else None if None in found_all else not decisive
        case ("compare", field, mark, constant):
            value = row[field]
            if isinstance(constant, str) and _is_shown_as_text(value):
                value = str(value)
            if value is None or _sort(value) != _sort(constant):
                return None
            left, right = _comparable(value), _comparable(constant)
            found_by: dict[str, bool] = {
                "=": left == right, "!=": left != right, "<": left < right,
                "<=": left <= right, ">": left > right, ">=": left >= right,
            }  # fmt: skip
            return found_by[mark]
    raise AssertionError(tree)


def _is_shown_as_text(value: object) -> bool:
    return isinstance(value, Decimal) or (type(value) is int and abs(value) >= 2**53)


def _sort(value: object) -> str:
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _comparable(value: Any) -> Any:
    # UTF-8 has the order of code points; a number is the decimal that is written, exact.
    return (
        value.encode()
        if isinstance(value, str)
        else value
        if isinstance(value, bool)
        else Fraction(str(value))
    )


def where(tree: Tree, bound: list[object]) -> str:
    """Return the clause for SQLite, its constants in `bound`; a value of another sort counts as NULL."""
    match tree:
        case ("present", field):
            return f"{field} IS NOT NULL"
        case ("not", inner):
            return f"NOT ({where(inner, bound)})"
        case (("and" | "or") as joint, parts):
            return f" {joint} ".join(f"({where(part, bound)})" for part in parts)
        case ("compare", _, _, bool()):
            return "NULL"  # SQLite has no truth values in columns
        case ("compare", field, mark, constant):
            bound.append(constant)
            if not isinstance(constant, str):
                return f"CASE WHEN typeof({field}) IN ('integer', 'real') THEN {field} {mark} ? END"
            is_whole = (
                f"typeof({field}) = 'integer' AND {field} NOT BETWEEN 1 - (1 << 53) AND (1 << 53) - 1"
            )
            is_text = f"typeof({field}) = 'text' OR ({is_whole})"  # a whole number that is shown as text
            return f"CASE WHEN {is_text} THEN CAST({field} AS TEXT) {mark} ? END"
    raise AssertionError(tree)


ROWS: st.SearchStrategy[Sequence[Mapping[str, object]]] = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | st.sampled_from(WHOLE),
            "t": st.none() | st.sampled_from(TEXTS),
            "d": st.none() | st.sampled_from(DOUBLES),
        }
    ),
    min_size=1,
    max_size=8,
)
"""Rows of a table with the columns above."""
