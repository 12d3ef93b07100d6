"""The text of a filter, a subset of AIP-160 (google.aip.dev/160), read into a `Predicate`.

    filter      = [ all ]
    all         = any { "AND" any }            OR binds tighter than AND: a AND b OR c is a AND (b OR c)
    any         = term { "OR" term }
    term        = [ "NOT" | "-" ] ( comparison | "(" all ")" )
    comparison  = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value | field ":" "*"
    value       = "quoted" | bare | integer | decimal | true | false

What AIP-160 has beyond that (words without a field, wildcards, functions, `a.b`) is refused, never guessed at.
A message tells the position, counted in code points from 1, and nothing of the text: it may hold personal data.
"""

import re
from collections.abc import Container, Iterator
from typing import Final, NamedTuple, NoReturn
from unicodedata import normalize

from fujie.model.errors import RequestError
from fujie.model.predicate import (
    ANYTHING,
    Column,
    Comparison,
    Constant,
    Operator,
    Predicate,
    all_of,
    any_of,
    opposite,
)

LONGEST: Final = 4_000
"""Code points of a filter."""

MOST_COMPARISONS: Final = 100
"""Comparisons of a filter; a question that a person asks has five."""

DEEPEST: Final = 20
"""Brackets inside brackets."""

_MOST_DIGITS: Final = 15  # of a decimal: so many that a double gives every one of them back
_LARGEST: Final = 2**63

_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r\n]+)
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<mark><=|>=|!=|[=<>:()*])
    | (?P<word>[^ \t\r\n"'<>=!:()*,]+)
    | (?P<bad>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")
_BARE = re.compile(r"\w[\w-]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

_COMPARE = {operator.value: operator for operator in Operator if operator.value[0] in "=!<>"}
_EQUALITY = frozenset({Operator.EQ, Operator.NE})
_KEYWORDS = frozenset({"AND", "OR", "NOT"})

_MISPLACED = {
    "*": "wildcards are not supported; `*` stands in `field:*` alone",
    "'": "texts are written in double quotes",
    '"': "this double quote is not closed",
    ",": "a comma has no meaning here; write one comparison for each value, joined by OR",
}
_END: Final = "end"


def parse_filter(text: str, known: Container[str]) -> Predicate:
    """Return what `text` asks for; an empty text lets every row pass. `known` are the fields of the catalogue.

    Negations are written into the comparisons: `NOT a = 1` becomes `a != 1`, which NULL does not pass either. Takes
    time in proportion to the length of the text.

    Raises:
        RequestError: FILTER_INVALID, with the position and what is wrong there.

    """
    if len(text) > LONGEST:
        _refuse(LONGEST + 1, f"a filter has at most {LONGEST} characters")
    if found := _UNSENDABLE.search(text):
        _refuse(found.start() + 1, "NUL and lone surrogates are refused")
    return _Reader(text, known).filter()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int  # from 1


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the tokens up to the end, or up to the first thing that is none: looking further could take long."""
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or ""
        if kind != "blank":
            yield _Token(kind, found[0], found.start() + 1)
        if kind == "bad":
            return
    yield _Token(_END, "", len(text) + 1)


def _refuse(at: int, why: str) -> NoReturn:
    raise RequestError(f"filter, position {at}: {why}", code="FILTER_INVALID", field="filter")


class _Reader:
    """Reads one filter, one token ahead."""

    def __init__(self, text: str, known: Container[str]) -> None:
        self._tokens = _tokens(text)
        self._known = known
        self._count = 0
        self._next = next(self._tokens)

    def filter(self) -> Predicate:
        if self._next.kind == _END:
            return ANYTHING
        predicate = self._all(0)
        if self._next.kind != _END:
            self._unexpected("AND, OR or the end is expected")
        return predicate

    def _take(self) -> _Token:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _is(self, text: str) -> bool:
        return self._next.text == text

    def _unexpected(self, expected: str) -> NoReturn:
        _refuse(self._next.at, _MISPLACED.get(self._next.text, expected))

    def _all(self, depth: int) -> Predicate:
        parts = [self._any(depth)]
        while self._is("AND"):
            self._take()
            parts.append(self._any(depth))
        return all_of(parts)

    def _any(self, depth: int) -> Predicate:
        parts = [self._term(depth)]
        while self._is("OR"):
            self._take()
            parts.append(self._term(depth))
        return any_of(parts)

    def _term(self, depth: int) -> Predicate:
        token = self._next
        if self._is("NOT"):
            self._take()
            return opposite(self._simple(depth))
        if token.kind == "word" and token.text.startswith("-"):
            if len(token.text) == 1:
                self._take()
            else:
                self._next = _Token("word", token.text[1:], token.at + 1)
            return opposite(self._simple(depth))
        return self._simple(depth)

    def _simple(self, depth: int) -> Predicate:
        if not self._is("("):
            return self._comparison()
        opened = self._take()
        if depth == DEEPEST:
            _refuse(opened.at, f"brackets stand at most {DEEPEST} deep")
        inner = self._all(depth + 1)
        if not self._is(")"):
            self._unexpected("AND, OR or a closing bracket is expected")
        self._take()
        return inner

    def _comparison(self) -> Predicate:
        column = self._field()
        self._count += 1
        mark = self._next
        if self._is(":"):
            self._take()
            if not self._is("*"):
                _refuse(self._next.at, "`:` asks for presence alone, as `field:*`")
            self._take()
            return Comparison(column, Operator.PRESENT)
        if mark.text not in _COMPARE:
            self._unexpected("one of = != < <= > >= or :* is expected")
        self._take()
        operator = _COMPARE[mark.text]
        at = self._next.at
        constant = self._value()
        if isinstance(constant, bool) and operator not in _EQUALITY:
            _refuse(at, "true and false have no order; compare them by = or !=")
        return Comparison(column, operator, constant)

    def _field(self) -> Column:
        if self._next.kind != "word" or self._next.text in _KEYWORDS:
            self._unexpected("a field, NOT or an opening bracket is expected")
        token = self._take()
        if self._is("("):
            _refuse(token.at, "functions are not supported")
        if "." in token.text:
            _refuse(token.at, "a field is one name; names joined by dots are not supported")
        if token.text not in self._known:
            _refuse(token.at, "the catalogue has no such field")
        if self._count == MOST_COMPARISONS:
            _refuse(token.at, f"a filter has at most {MOST_COMPARISONS} comparisons")
        return Column(token.text)

    def _value(self) -> Constant:
        if self._next.kind not in ("word", "quoted") or self._is_keyword():
            self._unexpected("a value is expected")
        token = self._take()
        if self._is("("):
            _refuse(token.at, "functions are not supported")
        return _unquoted(token) if token.kind == "quoted" else _constant(token)

    def _is_keyword(self) -> bool:
        return self._next.kind == "word" and self._next.text in _KEYWORDS


def _unquoted(token: _Token) -> str:
    body = token.text[1:-1]
    if (
        "*" in body
    ):  # AIP-160 has wildcards there: to take one for a star would be to answer another question
        _refuse(token.at + 1 + body.index("*"), "wildcards are not supported, nor are texts with a star")
    for escape in _ESCAPE.finditer(body):
        if escape[1] not in '"\\':
            _refuse(token.at + 1 + escape.start(), r'a backslash stands before " or \ alone')
    return _ESCAPE.sub(r"\1", body)


def _constant(token: _Token) -> Constant:
    word = token.text
    if word in ("true", "false"):
        return word == "true"
    if word.lower() == "null":
        _refuse(token.at, "null is no value; `field:*` asks whether there is one")
    if _INTEGER.fullmatch(word):
        if len(word) > 20 or not -_LARGEST <= int(word) < _LARGEST:
            _refuse(token.at, "an integer fits 64 bits")
        return int(word)
    if _DECIMAL.fullmatch(word):
        if sum(map(str.isdigit, word)) > _MOST_DIGITS:
            _refuse(token.at, f"a decimal has at most {_MOST_DIGITS} digits")
        return float(word)
    if _LIKE_A_NUMBER.fullmatch(word):
        _refuse(
            token.at, "write a number without exponent, leading zeros or plus, or a text in double quotes"
        )
    if not _BARE.fullmatch(word) or normalize("NFKC", word) != word:
        _refuse(token.at, "write this value in double quotes")
    return word
