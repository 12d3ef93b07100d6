"""Expressions as text: variables expanded, clauses split. Knows CEL's tokens, not its meaning."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

_TOKEN = re.compile(
    r"""
      (?P<string>
          [bB]?[rR](?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")  # raw: a backslash escapes nothing
        | [bB]?(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
        | `[^`\n]*`)  # a quoted name
    | (?P<comment>//[^\n]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<logic>&&|\|\|)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NONE: Mapping[str, str] = MappingProxyType({})
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


def expand(text: str, variables: Mapping[str, str], params: Mapping[str, str] = _NONE) -> str:
    """Replace every `variables.name` by its expression in brackets, every `params.name` by its literal; strings
    and comments stay.

    `variables` are expanded expressions themselves. A name that is not there is left as it is: the
    engine reports it.
    """
    put = {f"variables.{name}": f"({expanded}\n)" for name, expanded in variables.items()}
    put |= {f"params.{name}": written for name, written in params.items()}
    out: list[str] = []
    tokens = list(_TOKEN.finditer(text))
    index = 0
    while index < len(tokens):
        name = _reference_at(tokens, index)
        if name in put:
            out.append(put[name])
            index = _skip_blank(tokens, _skip_blank(tokens, index + 1) + 1) + 1
        else:
            out.append(tokens[index][0])
            index += 1
    return "".join(out)


def used(text: str, root: str = "variables") -> frozenset[str]:
    """Return the names that stand behind `variables.`, or behind `params.`, outside strings and comments."""
    if root not in text:
        return frozenset()
    tokens = list(_TOKEN.finditer(text))
    found = (_reference_at(tokens, index).partition(".") for index in range(len(tokens)))
    return frozenset(name for of, _, name in found if of == root)


def texts_in(text: str) -> Iterator[str]:
    """Yield the texts of an expression as they are written, quotes and prefixes included."""
    return (token[0] for token in _TOKEN.finditer(text) if token.lastgroup == "string")


def clauses(text: str, depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield `text` and, below it, the operands of its `||`, `&&`, `!` and brackets, with their depth.

    Every piece is an expression of its own, so each can be compiled and evaluated alone. A
    conditional (`? :`) stays whole.
    """
    bare = _unwrapped(text.strip())
    yield bare, depth
    operands = _split(bare)
    if len(operands) == 1 and bare.startswith("!"):
        negated = bare.lstrip("! \t\r\n")  # at once: thousands of `!` are one level to the engine
        operands = [negated] if _is_unary(negated) else []
    elif len(operands) == 1:
        operands = []
    for operand in operands:
        yield from clauses(operand, depth + 1)


def operands(text: str) -> tuple[str, list[str]]:
    """Return the operator of an expression that binds least (`||`, `&&` or `!`) and its operands; "" and none
    when it has no such operator."""
    bare = _unwrapped(text.strip())
    parts = _split(bare)
    if len(parts) > 1:
        return bare[len(parts[0]) :][:2], parts
    negated = bare.lstrip("! \t\r\n")  # at once, as above
    if not bare.startswith("!") or not _is_unary(negated):
        return "", []
    twice = bare[: len(bare) - len(negated)].count("!") % 2 == 0
    return ("&&" if twice else "!"), [negated]


def _reference_at(tokens: list[re.Match[str]], index: int) -> str:
    if tokens[index]["name"] not in ("variables", "params") or _previous(tokens, index) == ".":
        return ""
    dot = _skip_blank(tokens, index + 1)
    after = _skip_blank(tokens, dot + 1)
    if after < len(tokens) and tokens[dot][0] == "." and tokens[after]["name"]:
        return f"{tokens[index][0]}.{tokens[after][0]}"
    return ""


def _skip_blank(tokens: list[re.Match[str]], index: int) -> int:
    while index < len(tokens) and (tokens[index][0].isspace() or tokens[index]["comment"]):
        index += 1
    return index


def _previous(tokens: list[re.Match[str]], index: int) -> str:
    index -= 1
    while index >= 0 and (tokens[index][0].isspace() or tokens[index]["comment"]):
        index -= 1
    return tokens[index][0] if index >= 0 else ""


def _split(text: str) -> list[str]:
    """Split at the top-level operator that binds least; one part when there is none."""
    cuts: dict[str, list[int]] = {"||": [], "&&": []}
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in _OPEN:
            depth += 1
        elif token[0] in _CLOSE:
            depth -= 1
        elif depth == 0 and token[0] == "?":
            return [text]
        elif depth == 0 and token["logic"]:
            cuts[token[0]].append(token.start())
    at = cuts["||"] or cuts["&&"]
    starts = [0, *(cut + 2 for cut in at)]
    return [text[start:end] for start, end in zip(starts, [*at, len(text)], strict=True)]


def _unwrapped(text: str) -> str:
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in _OPEN) - (token[0] in _CLOSE)
        if depth == 0:
            return token.start()
    return -1


def _is_unary(operand: str) -> bool:
    """Tell whether `!` covers the whole operand: brackets, or names, calls and selections only."""
    depth = 0
    for token in _TOKEN.finditer(operand):
        is_word = token["name"] and token["name"] != "in"
        if depth == 0 and not (is_word or token[0] in "([.!" or token["string"]):
            return False
        depth += (token[0] in _OPEN) - (token[0] in _CLOSE)
    return True
