"""The shapes that JSON Schemas of policy documents are built of, one for each way in which `source.Fields` reads."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fujie.model.step import KNOWN_STEPS
from fujie.model.vocabulary import State
from fujie.policy.catalogue import NAME

Shape = dict[str, Any]
_SAYS_SOMETHING: Shape = {"pattern": r"\S"}


def text(says: str = "") -> Shape:
    """Return the shape of a text that is not empty."""
    return {"type": "string", **_SAYS_SOMETHING, **_says(says)}


def matching(pattern: re.Pattern[str], says: str = "") -> Shape:
    """Return the shape of a text that matches as a whole; only what Python and ECMA-262 read alike."""
    return {"type": "string", "pattern": f"^(?:{pattern.pattern})$", **_says(says)}


def one_of(words: Iterable[str], says: str = "") -> Shape:
    """Return the shape of a word of a closed vocabulary."""
    return {"enum": sorted(words), **_says(says)}


def integer(low: int, high: int, says: str = "") -> Shape:
    """Return the shape of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high, **_says(says)}


def flag(says: str = "") -> Shape:
    """Return the shape of true or false."""
    return {"type": "boolean", **_says(says)}


def texts(item: Shape | None = None, *, may_be_empty: bool = False) -> Shape:
    """Return the shape of a list of texts, none of them twice."""
    return {
        "type": "array",
        "items": item or text(),
        "uniqueItems": True,
        **({} if may_be_empty else {"minItems": 1}),
    }


def literal(*, may_be_empty: bool = False) -> Shape:
    """Return the shape of a value as it is written: true or false, a whole number, a text, or a list of texts."""
    return {
        **texts(may_be_empty=may_be_empty),
        "type": ["boolean", "integer", "string", "array"],
        **_SAYS_SOMETHING,
    }


def listed(entry: Shape) -> Shape:
    """Return the shape of a list of mappings."""
    return {"type": "array", "items": entry, "minItems": 1}


def mapping(
    required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None, **more: Any
) -> Shape:
    """Return the shape of a mapping whose keys are all known."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
        **more,
    }


def keyed(names: re.Pattern[str] | None, value: Shape, says: str = "") -> Shape:
    """Return the shape of a mapping whose keys are names of one kind."""
    shape: Shape = {"type": "object", "additionalProperties": value, **_says(says)}
    return {**shape, "propertyNames": {"pattern": f"^(?:{names.pattern})$"}} if names else shape


def localized(says: str = "") -> Shape:
    """Return the shape of a text in both languages."""
    return mapping({"zh": text(), "en": text()}, **_says(says))


def expression() -> Shape:
    """Return the shape of an expression in CEL."""
    return text("CEL over the facts; must be true or false")


def step() -> Shape:
    """Return the shape of a step; its arguments are checked by the reader alone."""
    found = re.findall(r"(?:^|, | or )([a-z_]+)(\()?", KNOWN_STEPS)
    with_arguments = sorted({name for name, bracket in found if bracket})
    bare = sorted({name for name, bracket in found if not bracket})
    pattern = rf"^\s*(?:{'|'.join(bare)}|(?:{'|'.join(with_arguments)})\([\s\S]*\))\s*$"
    return {"type": "string", "pattern": pattern}


def steps() -> Shape:
    """Return the shape of `fields` of a grant or guard."""
    return keyed(NAME, step(), f"field to step: {KNOWN_STEPS}")


def states(domain: Iterable[State]) -> Shape:
    """Return the shape of a state."""
    return one_of(state.value for state in domain)


def _says(says: str) -> Shape:
    return {"description": says} if says else {}
