"""The checked bundle beside its documents as written: what every check of the lint looks at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fujie.policy.bundle import Bundle, Grant, Guard, Match, Rule
from fujie.policy.lint_outcomes import Possible
from fujie.policy.lint_sheet import Sheet
from fujie.policy.places import Place


@dataclass(frozen=True, slots=True)
class Written:
    """A rule with the document that it stands in and the requests that it is about."""

    sheet: Sheet
    scope: Match
    rule: Rule

    @property
    def place(self) -> Place:
        """Where its expression stands."""
        file, line, column = self.rule.where.rsplit(":", 2)
        return Place(file, int(line), int(column))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at. `by_name` finds the document of a grant or guard."""

    bundle: Bundle
    sheets: tuple[Sheet, ...]
    by_name: Mapping[tuple[str, str], Sheet]
    possible: Possible

    def grants(self) -> Iterator[tuple[Sheet, Grant]]:
        """Yield every grant with its document."""
        for grant in self.bundle.grants:
            yield self.by_name["Grant", grant.name], grant

    def guards(self) -> Iterator[tuple[Sheet, Guard]]:
        """Yield every guard with its document."""
        for guard in self.bundle.guards:
            yield self.by_name["Guard", guard.name], guard

    def rules(self) -> Iterator[Written]:
        """Yield every expression of every grant and guard."""
        for sheet, grant in self.grants():
            if grant.condition:
                yield Written(sheet, grant.match, grant.condition)
        for sheet, guard in self.guards():
            for rule in (*(rule for _, rule in guard.conditions), *(v.rule for v in guard.validations)):
                yield Written(sheet, guard.match, rule)

    def of_kind(self, kind: str) -> Iterator[Sheet]:
        """Yield the documents of one kind."""
        return (sheet for sheet in self.sheets if sheet.kind == kind)

    def tree(self, rule: Rule) -> Any:
        """Return the syntax tree of a rule, its variables in place."""
        return _tree(self.bundle, rule.expanded)


@lru_cache(maxsize=64)
def _tree(bundle: Bundle, text: str) -> Any:
    return bundle.engine.tree(text)
