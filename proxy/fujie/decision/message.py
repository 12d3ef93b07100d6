"""The text of a message, made of a draft and what stands in its variables for one recipient."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from unicodedata import category

from fujie.model.errors import RequestError
from fujie.model.message import Draft, Template

LONGEST_TEXT: Final = 1_000
"""Code points of a text without its signature: twice what providers take as a template (500), so that variables have
room. It also bounds what the review of one message may cost."""

LINK: Final = "link"
"""The variable that stands for the customer's own page."""

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")


@dataclass(frozen=True, slots=True, repr=False)
class Rendered:
    """A message as one recipient is to read it, without the signature.

    `params` are all values, that of `{link}` among them. `content` is the same for two recipients who read the same, but for
    their links. `bare` is the text with a blank for each link, and `filled` where in it values stand.
    """

    text: str
    params: Mapping[str, str]
    content: str
    bare: str
    filled: tuple[tuple[int, int], ...] = ()


def render(draft: Draft, template: Template | None, params: Mapping[str, str], link: str) -> Rendered:
    """Return the text of `template`, or of the draft without one, with `params` and `link` in its variables.

    What stands in a variable is never read as a text with variables.

    Raises:
        RequestError: UNKNOWN_TEMPLATE; ARGUMENT_INVALID when the template is of another category than the draft;
            TEMPLATE_PARAMS when a value is missing, empty, not asked for or too long, there is no link where one is
            asked for, or the whole is longer than `LONGEST_TEXT`; TEXT_INVALID for a text that is blank or holds what
            can not be sent. None of them names a value.

    """
    text = _text_of(draft, template)
    named = dict.fromkeys(_VARIABLE.findall(text))
    given = {**params, LINK: link} if LINK in named else dict(params)
    # In the order of the text: Tencent Cloud knows variables by their place alone, and a caller's map has no order.
    values = {name: given.get(name, "") for name in named}
    if LINK in params or named.keys() != given.keys() or not all(values.values()):
        raise RequestError(
            "a variable is missing, empty or unknown", code="TEMPLATE_PARAMS", field="params"
        )
    most = template.variables if template else {}
    if any(len(value) > most.get(name, LONGEST_TEXT) for name, value in values.items()):
        raise RequestError("the value of a variable is too long", code="TEMPLATE_PARAMS", field="params")
    whole = _VARIABLE.sub(lambda found: values[found[1]], text)
    if len(whole) > LONGEST_TEXT:
        raise RequestError("the text is too long", code="TEMPLATE_PARAMS", field="text")
    if not whole.strip() or any(_is_control(character) for character in whole):
        raise RequestError(code="TEXT_INVALID", field="text")
    bare, filled = _bare(text, values)
    content = hashlib.sha256(
        "\0".join((draft.signature, bare)).encode("utf-8", "surrogatepass")
    ).hexdigest()
    return Rendered(whole, MappingProxyType(values), content, bare, filled)


def variables(draft: Draft, template: Template | None) -> Mapping[str, int]:
    """Return the variables that a recipient must bring, with the most characters of each (0: nobody says). Raises like
    `render` for a text that has none of the forms."""
    most = template.variables if template else {}
    names = dict.fromkeys(_VARIABLE.findall(_text_of(draft, template)))
    return {name: most.get(name, 0) for name in names if name != LINK}


def _text_of(draft: Draft, template: Template | None) -> str:
    if template is None:
        if draft.template:
            raise RequestError(code="UNKNOWN_TEMPLATE", field="template")
        text = draft.text
    else:
        if template.category is not draft.category:
            raise RequestError("the template is of another category", field="category")
        text = template.text
    rest = _VARIABLE.sub("", text)
    if "{" in rest or "}" in rest:
        raise RequestError("a brace belongs to a variable: {name}", code="TEMPLATE_PARAMS", field="text")
    return text


def _bare(text: str, values: Mapping[str, str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    parts: list[str] = []
    filled: list[tuple[int, int]] = []
    length = 0
    for place, part in enumerate(_VARIABLE.split(text)):
        is_variable = place % 2 == 1
        said = " " if is_variable and part == LINK else values[part] if is_variable else part
        parts.append(said)
        if is_variable and part != LINK:
            filled.append((length, length + len(said)))
        length += len(said)
    return "".join(parts), tuple(filled)


def _is_control(character: str) -> bool:
    return category(character) in {"Cc", "Cs"} and character != "\n"
