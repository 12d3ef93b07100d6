"""What an expression can come to within a scope: true, false, an error; found by trying, never guessed.

Facts that have few values (states, truth values, hours, what the scope fixes) take each of them. A text or number
that is only compared with literals takes these and their neighbours, which tells all there is to tell. An
expression that reads anything else, or has too many cases, is split at `||`, `&&` and `!`, and what is left
unsplit may be anything. So more may be possible than really is, never less: what is said to be constant, is.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import product
from math import prod
from typing import Final

from fujie.model.facts import COST, ROWS, SEGMENTS, Facts, FactValue, Kind
from fujie.model.vocabulary import KeyKind
from fujie.policy.bundle import Bundle, Match
from fujie.policy.cel import Checked
from fujie.policy.expression import operands
from fujie.policy.lint_tree import Comparison, Literal, comparisons

MOST_CASES: Final = 4_096
"""Cases of one expression that are tried: 40 ms."""

MOST_TRIED: Final = 500_000
"""Cases that are tried in all: some seconds. Behind it nothing is called constant, and `is_exhausted` tells so."""

_INT64 = 2**63
_LEAST: Final = {ROWS: 1, SEGMENTS: 1, COST: 0}


class Truth(Enum):
    """One outcome of an evaluation."""

    TRUE = "true"
    FALSE = "false"
    ERROR = "error"


T, F, E = Truth
ANY = frozenset({T, F, E})
Outcomes = frozenset[Truth]
_NOT = {T: F, F: T, E: E}


class Possible:
    """Answers what expressions of one bundle can come to; remembers what was asked."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._known: dict[tuple[str, Match], Outcomes] = {}
        self._left = MOST_TRIED

    @property
    def is_exhausted(self) -> bool:
        """Tell whether some expressions were left out because there were too many cases."""
        return self._left <= 0

    def of(self, text: str, scope: Match) -> Outcomes:
        """Return what the expression, variables expanded, can come to for requests of `scope`."""
        key = (text, scope)
        if key not in self._known:
            self._known[key] = self._tried(text, scope) or self._split(text, scope)
        return self._known[key]

    def _split(self, text: str, scope: Match) -> Outcomes:
        operator, parts = operands(text)
        each = [self.of(part, scope) for part in parts]
        if operator == "!":
            return frozenset(_NOT[outcome] for outcome in each[0])
        if not operator:
            return ANY
        return _combined(each, T if operator == "||" else F)

    def _tried(self, text: str, scope: Match) -> Outcomes | None:
        """Return what it comes to over all cases; None when they can not be counted up or are too many."""
        checked = self._bundle.engine.check(text)
        if not isinstance(checked, Checked):
            return None
        used = comparisons(self._bundle.engine.tree(text))
        paths = sorted(checked.reads)
        domains = [self._domain(path, used.get(path, Comparison(whole=False)), scope) for path in paths]
        cases = prod(len(domain) for domain in domains if domain)
        if None in domains or cases > min(MOST_CASES, self._left):
            self._left = 0 if None not in domains and cases <= MOST_CASES else self._left
            return None
        return self._run(text, paths, [domain for domain in domains if domain is not None])

    def _run(self, text: str, paths: list[str], domains: list[Sequence[FactValue]]) -> Outcomes | None:
        engine = self._bundle.engine
        try:
            program = engine.program([text])
        except ValueError:  # nested too deeply with what was put around it
            return None
        found: set[Truth] = set()
        for values in product(*domains):
            self._left -= 1
            (result,) = program.run(engine.messages(Facts(dict(zip(paths, values, strict=True))), paths))
            found.add(T if result is True else F if result is False else E)
            if {T, F} <= found:
                return ANY
        return frozenset(found)

    def _domain(self, path: str, used: Comparison, scope: Match) -> Sequence[FactValue] | None:
        """Return values of the fact that stand for all that it can have in the scope; None when there are none."""
        fixed = self._fixed(path, scope)
        if fixed:
            return fixed
        fact = self._bundle.facts[path]
        if fact.kind is Kind.STATE:
            return fact.states
        if fact.kind is Kind.BOOL:
            return (False, True)
        if not used.whole:
            return None
        if fact.kind is Kind.INT:
            least = _LEAST.get(path, -_INT64)
            near = {least, *(n for literal in used.literals for n in _neighbours(literal))}
            return [n for n in sorted(near) if least <= n < _INT64]
        if fact.kind is Kind.STRING and not used.ordered:
            texts = sorted(literal for literal in used.literals if isinstance(literal, str))
            return [*texts, max(texts, key=len, default="") + "x"]
        return None

    def _fixed(self, path: str, scope: Match) -> Sequence[FactValue]:
        """Return the values of a fact that scope and catalogue leave; what no grant can open does not count."""
        purposes = scope.purposes or self._bundle.purposes.keys()
        values: Iterable[FactValue] = ()
        match path:
            case "request.action":
                values = (action.value for action in scope.actions)
            case "request.purpose":
                values = purposes
            case "request.basis":
                values = {basis for name in purposes for basis in self._bundle.purposes[name].bases}
            case "request.key":
                values = scope.keys or (kind.value for kind in KeyKind)
            case "request.store":
                values = scope.stores
            case "time.hour" | "recipient.hour":
                values = range(24)
            case "time.weekday" | "recipient.weekday":
                values = range(1, 8)
        return sorted(values, key=str)


def _combined(each: Sequence[Outcomes], decisive: Truth) -> Outcomes:
    """Return the outcomes of a chain of `||` (true decides) or `&&` (false decides): CEL lets it decide over errors."""
    other = _NOT[decisive]
    found = {decisive} if any(decisive in part for part in each) else set()
    if all(part - {decisive} for part in each):
        found |= {other} if all(other in part for part in each) else set()
        found |= {E} if any(E in part for part in each) else set()
    return frozenset(found)


def _neighbours(literal: Literal) -> tuple[int, ...]:
    return (literal - 1, literal, literal + 1) if isinstance(literal, int) else ()
