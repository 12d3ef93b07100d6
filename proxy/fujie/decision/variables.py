"""What providers let stand in the variables of a template: data, each row with where it was read.

What a provider's documents were not read for is not in the table, and nothing is refused for it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fujie.decision.links import links
from fujie.model.message import Category, Template

_NOT_OTP = frozenset({Category.MARKETING, Category.TRANSACTIONAL})
_MARKETING = frozenset({Category.MARKETING})


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind of provider. `longest` and `most` None: no limit known. `none_in`: no variables there."""

    longest: int | None = None
    most: int | None = None
    none_in: frozenset[Category] = frozenset()
    may_be_links: bool = True
    may_be_all: bool = True


RULES: Mapping[str, Rules] = MappingProxyType(
    {
        # Error codes of the SDK, API 2021-01-11: TemplateParameterLengthLimit (accounts opened since 2024-01-25),
        # UnsupportedTemplateVariable, ProhibitedUseUrlInTemplateParameter. Read 2026-11.
        "tencent": Rules(longest=6, none_in=_NOT_OTP, may_be_links=False, may_be_all=False),
        # Template specifications: links are constant; not all variables, no two side by side. For variables in marketing
        # texts nothing was found. Read 2026-11.
        "aliyun": Rules(may_be_links=False, may_be_all=False),
        # MSGSMS template rules: at most 20 of 1 to 20 characters, none in marketing, no links. Read 2026-11.
        "huawei": Rules(longest=20, most=20, none_in=_MARKETING, may_be_links=False, may_be_all=False),
        # Template rules: none in marketing. Read 2026-11.
        "volcengine": Rules(none_in=_MARKETING),
        # These carry a text as it is.
        "twilio": Rules(),
        "smpp": Rules(),
        "http": Rules(),
        "outbox": Rules(),
    }
)
"""Kind of provider to its rules."""

_VARIABLE = re.compile(r"\{[^{}]*\}")


def fit(kind: str, template: Template | None, params: Mapping[str, str]) -> bool | None:
    """Tell whether the values may stand in the template; None when nobody knows the rules of this kind of provider.

    A free text has no variables by the time it reaches a provider.
    """
    if template is None or not _VARIABLE.search(template.text):
        return True
    rules = RULES.get(kind)
    return None if rules is None else _fits(rules, template, params)


def _fits(rules: Rules, template: Template, params: Mapping[str, str]) -> bool:
    if template.category in rules.none_in:
        return False
    if rules.most is not None and len(params) > rules.most:
        return False
    if rules.longest is not None and any(len(value) > rules.longest for value in params.values()):
        return False
    if not rules.may_be_links and any(links(value) for value in params.values()):
        return False
    return rules.may_be_all or not _is_all_variables(template.text)


def _is_all_variables(text: str) -> bool:
    """Tell whether two variables stand side by side, or nothing but variables does."""
    return "\0\0" in (shape := _VARIABLE.sub("\0", text)) or not shape.replace("\0", "").strip()
