"""Every reason that fujie itself can give, in one table: code, outcome, priority, text, law, remedy.

A code is also the metric label and the `ErrorInfo.reason`; it is never renamed or reused. Reasons
of a bundle start with `X_` or take a code from here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fujie.model.failures import FAILURES
from fujie.model.reason import ReasonDefinition
from fujie.model.refusals import REFUSALS

BUILT_IN_REASONS: Mapping[str, ReasonDefinition] = MappingProxyType(
    {row.code: row for row in (*REFUSALS, *FAILURES)}
)
"""Code to definition."""

BUNDLE_PREFIX = "X_"
"""Reasons that a bundle declares start with this."""
