"""What the YAML reader says of a file, in words that say what to write instead."""

_SYNTAX = (
    ("mapping values are not allowed", "a `: ` stands where no mapping may: put the text in quotes, or mind the indentation"),
    ("did not find expected key", "this line does not fit those above: mind the indentation, and put a text with `: `, `#` or quotes in quotes"),
    ("did not find expected '-'", "this line does not fit the list above: mind the indentation"),
    ("did not find expected ',' or", "a `,` or the closing bracket is missing, or a text with `,`, `[`, `{` or `: ` is not in quotes"),
    ("did not find expected whitespace or line break", "a text that begins with `!` stands in quotes"),
    ("did not find expected alphabetic or numeric", "a text that begins with `&` or `*` stands in quotes"),
    ("did not find expected node content", "a value is missing here, or a bracket above is not closed"),
    ("could not find expected ':'", "a `:` is missing behind the key"),
    ("found unexpected end of stream", "a quote or bracket is not closed"),
    ("found unexpected document indicator", "a quote is not closed"),
    ("found unknown escape character", "inside double quotes a backslash is written twice; inside single quotes once"),
    ("block sequence entries are not allowed", "a list begins here where none may: on the line of its key, or too far in"),
)  # fmt: skip
"""How the reader's message begins, and what helps. What is not here stays as the reader said it."""


def of_syntax(said: str, sign: str) -> str:
    """Return what to do about an error of the reader, which said `said` in front of `sign` (empty at the end)."""
    if said.startswith("found character that cannot start any token"):
        return (
            "a tab can not indent: use spaces"
            if sign == "\t"
            else f"a text that begins with `{sign}` stands in quotes"
        )
    return next((f"{said}; {advice}" for start, advice in _SYNTAX if said.startswith(start)), said)


def of_refused(*, is_tag: bool) -> str:
    """Return why an anchor, alias or tag is refused, and what to write."""
    if is_tag:
        return "tags are refused; a text that begins with `!` stands in quotes"
    return "anchors and aliases are refused: write the value out; a text that begins with `&` or `*` stands in quotes"
