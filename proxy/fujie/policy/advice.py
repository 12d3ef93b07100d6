"""What the engine says of an expression that does not compile, in words that say what to write instead.

The engine speaks of its own parser and of types that policies do not have (a state is an integer to it). Each rule here knows one
of its messages; what none knows stays as the engine said it. Nothing is decided here: every text given was refused already.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise

from fujie.model.facts import FactType, Kind
from fujie.model.vocabulary import State

FUNCTIONS = (
    "all", "contains", "endsWith", "exists", "exists_one", "filter", "int", "map", "matches", "size", "startsWith", "string",
)  # fmt: skip
"""What a text in an expression is most likely to mean; the engine has a few more."""

_FOREIGN = {
    "and": "write `&&` for and",
    "or": "write `||` for or",
    "not": "write `!` for not, as in `!customer.minor`",
    "is": "compare with `==` or `!=`",
    "like": "use `.contains('x')`, `.startsWith('x')` or `.matches('x')`",
    "if": "write `condition ? value : other`, or make it a match condition",
    "then": "write `condition ? value : other`",
    "else": "write `condition ? value : other`",
    "==": "compare with `==`, `!=`, `<`, `<=`, `>` or `>=`",
    "=": "compare with `==`; nothing can be set here",
    "=>": "write `>=`",
    "<>": "write `!=`",
    "&": "write `&&` for and",
    "|": "write `||` for or",
    ";": "an expression has no `;` at its end",
    "..": "CEL has no ranges: compare with `>=` and `<`",
    "True": "write `true`",
    "False": "write `false`",
    "None": "there is no null: an unknown fact refuses by itself",
    "null": "there is no null: an unknown fact refuses by itself",
    "now": "there is no clock in a rule: `time.hour` and `time.weekday` are facts, and grants have valid_from and valid_until",
    "len": "write `size(list)`",
    "length": "write `size(list)`",
    "has": "a list is asked for a text by `in`: `'x' in list`",
    "any": "write `list.exists(x, ...)`",
    "size": "write `size(list)`",
    "all": "write `list.all(x, ...)`",
    "exists": "write `list.exists(x, ...)`",
    "exists_one": "write `list.exists_one(x, ...)`",
    "filter": "write `list.filter(x, ...)`",
    "map": "write `list.map(x, ...)`",
    "TRUE": "write `true`",
    "FALSE": "write `false`",
    "AND": "write `&&` for and",
    "OR": "write `||` for or",
    "NOT": "write `!` for not, as in `!customer.minor`",
    "lowerAscii": "texts are compared as they are; `.matches('(?i)^east$')` takes both cases",
    "lower": "texts are compared as they are; `.matches('(?i)^east$')` takes both cases",
    "upper": "texts are compared as they are; `.matches('(?i)^east$')` takes both cases",
}  # fmt: skip
"""Words and signs of other languages, with what CEL has instead."""

_TYPES = {"int": "a number", "string": "a text", "bool": "a truth value", "double": "a decimal number", "null_type": "null", "list(string)": "a list of texts"}  # fmt: skip
_COMPARING = frozenset({"==", "!=", "<", "<=", ">", ">="})
_EQUALITY = frozenset({"==", "!="})
_HINTS = {
    (True, frozenset({"int", "string"})): ": numbers stand without quotes, texts in them",
    (True, frozenset({"bool", "string"})): ": true and false stand without quotes",
    (True, frozenset({"int", "double"})): ": write it without a decimal point",
    (False, frozenset({"bool", "int", "string"})): ": both sides of `:` are of one type",
}
"""What helps, by whether the operator compares, and the types that it was given."""

_LONGEST = 200
"""Code points of a name, or of what stands before a place, that are looked at; and how many names are compared with one."""

_NEAREST = 3
"""Names that share the most letters with one, and are compared with it as texts: that takes 50 times as long."""

_LONG = re.compile(rf"\w{{{_LONGEST + 1},}}")

_QUOTES = frozenset("\"'`")
_UNDECLARED = re.compile(r"undeclared reference to '(\w+)'")
_LOOPS = frozenset({"all", "any", "exists", "exists_one", "filter", "map"})
_OPERATOR = re.compile(r"_([=!<>&|+*/%-]+)_|@(in)|([!-])_|_(\?)_:_|_(\[)_\]")
_PATH = r"[a-z_]\w*\.[a-z_]\w*"
_LEFT = re.compile(rf"({_PATH})\s*$")
_RIGHT = re.compile(rf"(?:[=!<>]=?|in)\s*({_PATH})")


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in an expression: its text, the 1-based place's offset, and the facts that there are."""

    text: str
    offset: int
    facts: Mapping[str, FactType]

    @property
    def before(self) -> str:
        """What stands in front of it, as far as anybody looks: a search to its end takes quadratic time."""
        return self.text[max(0, self.offset - _LONGEST) : self.offset]

    @property
    def behind(self) -> str:
        """What stands there and behind."""
        return self.text[self.offset :]


def advise(said: str, spot: Spot) -> str:
    """Return what to do about an error of the engine, which said `said` at a place."""
    said = _LONG.sub(lambda found: f"{found[0][:_LONGEST]}...", said)
    for pattern, rule in _RULES:
        if (found := pattern.search(said)) and (advice := rule(found, spot)):
            return advice
    return said.removesuffix(" [INVALID_ARGUMENT]")


def is_variable_of_a_misspelt_loop(said: str, others: str, facts: Iterable[str]) -> bool:
    """Tell whether an error of the engine is only that the `x` of `exists(list, x, ...)` is not known: among `others` it says
    that there is no such function, which is what has to be mended."""
    name = _UNDECLARED.search(said)
    return (
        name is not None
        and name[1] not in _LOOPS
        and any(other in _LOOPS for other in _UNDECLARED.findall(others))
        and not any(path.endswith(f".{name[1]}") for path in facts)
    )


def close_to(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for the known word that is most like it; empty where none is."""
    if len(word) > _LONGEST:
        return ""
    wanted = _parts(word)
    alike = sorted(islice(known, _LONGEST), key=lambda name: _overlap(wanted, _parts(name)))[-_NEAREST:]
    near = difflib.get_close_matches(word, [name for name in alike if name != word], n=1, cutoff=0.7)
    return f"; did you mean `{near[0]}`?" if near else ""


@lru_cache(4096)
def _parts(name: str) -> frozenset[str]:
    """Return the letters of a name, and its pairs of letters."""
    return frozenset(name).union(map("".join, pairwise(name)))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one) + len(other))


def _token(found: re.Match[str], spot: Spot) -> str:
    """Nothing of CEL begins so."""
    sign = found[1][:1]
    if sign in _QUOTES:
        return (
            "a quote is opened here and not closed, or holds a `\\` that is not written twice"
            if "\\" in found[1]
            else ("a quote is opened here and not closed")
        )
    if not sign.isascii():
        return f"`{sign}` is no sign of CEL: write quotes, brackets and commas as `'`, `(`, `,`"
    if sign == "=" and spot.before.endswith("=="):
        return _FOREIGN["=="]
    sign = "=>" if spot.behind.startswith("=>") else sign
    return _FOREIGN.get(sign, f"`{sign}` can not stand here")


def _unexpected(found: re.Match[str], spot: Spot) -> str:
    """A word or sign at which the expression can not go on."""
    word = found[1]
    last = re.search(r"(\w+)\s+$", spot.before)
    if last and last[1] in ("not", "if"):
        return _FOREIGN[last[1]]
    if word == ">" and spot.before.rstrip().endswith("<"):
        return _FOREIGN["<>"]
    if word == "<EOF>":
        missing = re.search(r"(?:expecting|missing) ('[^']+')(?! ?,)", found.string)
        return f"the expression ends too early{f': {missing[1]} is missing' if missing else ''}"
    return _FOREIGN.get(word, f"`{word}` can not stand here: an operator, or the end, is meant before it")


def _unknown_name(found: re.Match[str], spot: Spot) -> str:
    name = found[1]
    root, _, rest = name.partition(".")
    if root in ("variables", "params"):
        return f"the {'guard' if root == 'variables' else 'guard or its Params'} has no {root[:-1]} `{rest}` here"
    if name in _FOREIGN:
        return _FOREIGN[name]
    if spot.behind.startswith(("(", f"{name}(")):
        return f"there is no function `{name}`{close_to(name, FUNCTIONS)}"
    if name.isupper():
        return f"no state is called `{name}`{close_to(name, (state.value for state in State))}"
    if rest:
        return f"there is no fact `{name}`{close_to(name, spot.facts)}"
    if paths := sorted(path for path in spot.facts if path.endswith(f".{name}")):
        return f"`{name}` is not known; did you mean {' or '.join(f'`{path}`' for path in paths)}?"
    return f"`{name}` is not known; a text stands in quotes: '{name}'"


def _unknown_fact(found: re.Match[str], spot: Spot) -> str:
    root, name = found[2].lower(), found[1]
    known = sorted(path.partition(".")[2] for path in spot.facts if path.startswith(f"{root}."))
    near = close_to(name, known)
    own = root in ("customer", "principal")
    declare = f"; declare it in a FieldCatalog, attributes.{root}" if own and not near else ""
    return f"`{root}` has no fact `{name}`{near}{declare}" + ("" if near or own else f"; known: {', '.join(known)}")  # fmt: skip


def _overload(found: re.Match[str], spot: Spot) -> str:
    """An operator or function that does not take what it is given."""
    name, types = found[1], found[2].split(", ")
    operator = _OPERATOR.fullmatch(name)
    sign = next(filter(None, operator.groups())) if operator else name
    if path := _state_at(spot):
        states = ", ".join(spot.facts[path].states)
        return f"`{path}` is a state, compared by ==, != or in with bare words without quotes: {states}"
    if "null_type" in types:
        return _FOREIGN["null"]
    if sign in ("==", "contains") and types[0] == "list(string)" and types[1:] == ["string"]:
        return "a list is asked for a text by `in`: `'x' in list`"
    if sign == "in":
        return "`in` looks for a text in a list: `'x' in list`; in a text, `.contains('x')` does"
    if sign in ("&&", "||", "!"):
        types = [each for each in types if each != "bool"]
    if sign in _COMPARING and set(types) == {"bool", "int"}:
        of = (
            "a truth value is compared with `true` or `false`"
            if sign in _EQUALITY
            else "write `1 < x && x < 5`"
        )
        return f"`{sign}` can not be used on a truth value and a number: {of}"
    given = " and ".join(map(_type, types))
    return f"`{sign}` can not be used on {given}{_HINTS.get((sign in _COMPARING, frozenset(types)), '')}"


def _state_at(spot: Spot) -> str:
    """Return the state that stands on either side of an operator, if one does."""
    sides = (_LEFT.search(spot.before), _RIGHT.match(spot.behind))
    paths = (side[1] for side in sides if side)
    return next((p for p in paths if p in spot.facts and spot.facts[p].kind is Kind.STATE), "")


def _selected(found: re.Match[str], spot: Spot) -> str:
    if found[1] == "*error*":
        return ""
    name = re.match(r"\.?(\w+)", spot.behind)
    if name and name[1] in _FOREIGN:
        return _FOREIGN[name[1]]
    return f"{_type(found[1])} has no parts: a fact is `root.name`, and nothing behind it"


def _type(name: str) -> str:
    """Return a type in words; that of a root is the root, which somebody took for a fact."""
    root = name.removeprefix("type(").removesuffix(")")
    return _TYPES.get(name) or (
        f"`{root.lower()}` as a whole" if root.istitle() and root.isalpha() else name
    )


_Rule = Callable[[re.Match[str], Spot], str]
_RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = (
    (re.compile(r"token recognition error at: '(.+)'", re.DOTALL), _token),
    (re.compile(r"(?:mismatched|extraneous) input '(.+?)' expecting", re.DOTALL), _unexpected),
    (re.compile(r"missing '[^']+' at '([^']*)'"), _unexpected),
    (re.compile(r"no viable alternative at input '(\.\.)"), _unexpected),
    (
        re.compile(r"no viable alternative at input '\.'"),
        lambda _found, _spot: "a name is missing behind the `.`",
    ),
    (re.compile(r"reserved identifier: (\w+)"), _unexpected),
    (re.compile(r"undeclared reference to '([^']+)'"), _unknown_name),
    (re.compile(r"undefined field '([^']+)' not found in struct '(\w+)'"), _unknown_fact),
    (re.compile(r"no matching overload for '([^']+)' applied to '\((.*)\)'"), _overload),
    (re.compile(r"expression of type '(.+?)' cannot be the operand of a select"), _selected),
    (
        re.compile(r"recursion (?:limit|depth)"),
        lambda _found, _spot: "nested too deep: give parts of it names in `variables`",
    ),
    (
        re.compile(r"(\w+)\(\) variable name must be a simple identifier"),
        lambda found, _spot: (
            f"the first in `list.{found[1]}(x, ...)` is one word of yours, for each of the list"
        ),
    ),
    (re.compile(r"invalid int literal"), lambda _found, _spot: "a number of 64 bits is meant"),
)
