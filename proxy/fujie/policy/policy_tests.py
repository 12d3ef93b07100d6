"""PolicyTest documents to cases: every cell of every matrix, or every problem that the documents have.

A test that tests nothing is a problem and no success: a misspelt purpose, a row that no cell of the matrix
meets, a second row for the same cell. Whatever a matrix has and no row lists must come out DENY.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from types import MappingProxyType

from fujie.model.diagnostic import Diagnostic
from fujie.model.facts import UNREADABLE
from fujie.model.policy_test import NOBODY, NOT_LISTED, Case, Expected, Names, PolicyTest
from fujie.model.step import Step, parse_step
from fujie.model.vocabulary import Effect
from fujie.policy.bundle import Bundle
from fujie.policy.fixtures import Fixtures
from fujie.policy.places import Located, Place, Report
from fujie.policy.source import Fields, documents
from fujie.policy.words import closed, instant

KIND = "PolicyTest"

MAX_CASES = 10_000
"""Cells of one matrix: more than people read; three lists of a thousand names would be a billion."""

_Cell = tuple[str, str, str]
_OMIT = Step("omit")
_TERMS = re.compile(r"\S+ by [1-9][0-9]* of .+ for [1-9][0-9]*[hm]")
_AXES = ("principal", "customer", "request")


@dataclass(frozen=True, slots=True)
class _Row:
    """What one row lists, and where."""

    expected: Expected
    place: Place


def read_tests(
    files: Mapping[str, bytes], bundle: Bundle
) -> tuple[PolicyTest, ...] | tuple[Diagnostic, ...]:
    """Read every PolicyTest of `files` (name to content) against the bundle of the same files.

    Returns the tests by file and place, or ALL problems, sorted by place. Other kinds are passed over.
    """
    report = Report()
    found: dict[str, tuple[PolicyTest, Place]] = {}
    for file in sorted(files):
        for document in documents(file, files[file], report):
            kind, metadata = document.text("kind"), document.fields("metadata")
            spec, name = document.fields("spec"), metadata.text("name") if metadata else None
            if not (kind and kind.text == KIND and spec and name):
                continue
            if name.text in found:
                other = found[name.text][1]
                message = f"{KIND} `{name.text}` also stands at {other.file}:{other.line}"
                report.problem(name.place, "DUPLICATE_NAME", message)
            cases = tuple(_Document(report, bundle, name.text, spec).cases())
            found.setdefault(name.text, (PolicyTest(name.text, file, cases), name.place))
    if report.problems:
        return tuple(sorted(set(report.problems)))
    return tuple(test for test, _ in found.values())


class _Document:
    """One document while it is read."""

    def __init__(self, report: Report, bundle: Bundle, name: str, spec: Fields) -> None:
        self._report = report
        self._bundle = bundle
        self._name = name
        self._spec = spec
        # Without a sound `now` the document is refused; reading on shows what else is wrong.
        self._now = instant(report, spec.text("now")) or datetime(2000, 1, 1, tzinfo=UTC)
        self._fixtures = Fixtures(report, bundle, self._now, spec)

    def cases(self) -> Iterator[Case]:
        """Yield the cases of every test."""
        seen: set[str] = set()
        for entry in self._spec.list_of_fields("tests", required=True):
            name = entry.text("name")
            entry.text("description", required=False)
            if name and name.text in seen:
                self._report.problem(
                    name.place, "DUPLICATE_NAME", f"the test `{name.text}` stands here a second time"
                )
            yield from self._matrix(entry, name.text if name else "")
            entry.finish()
            seen.add(name.text if name else "")
        self._spec.finish()

    def _matrix(self, entry: Fields, test: str) -> Iterator[Case]:
        now = instant(self._report, entry.text("now", required=False)) or self._now
        paths = frozenset(self._bundle.facts) - UNREADABLE
        unknown = closed(self._report, entry.texts("unknown"), paths, "UNKNOWN_FACT", "fact")
        principals = self._names(entry, "principals", self._fixtures.principals)
        customers = self._names(entry, "customers", self._fixtures.customers) or (NOBODY,)
        requests = self._names(entry, "requests", self._fixtures.requests)
        axes = (principals, customers, requests)
        cells = len(principals) * len(customers) * len(requests)
        if cells > MAX_CASES:
            self._report.problem(entry.place, "TOO_MANY_CASES", f"{cells} cases; {MAX_CASES} are allowed")
            entry.skip("expect")
            return
        rows = self._rows(entry, axes)
        for cell in product(*axes):
            row = rows.get(cell)
            principal, customer, request = cell
            place = row.place if row else entry.place
            yield Case(
                document=self._name,
                test=test,
                principal=principal,
                customer=customer,
                request=request,
                asker=self._fixtures.principals[principal],
                sample=self._fixtures.customers.get(customer),
                ask=self._fixtures.requests[request],
                now=now,
                unknown=unknown,
                expected=row.expected if row else NOT_LISTED,
                where=f"{place.file}:{place.line}:{place.column}",
            )

    def _names(self, entry: Fields, key: str, known: Mapping[str, object]) -> Names:
        items = entry.texts(key, required=key != "customers")
        found = closed(self._report, items, frozenset(known), "UNKNOWN_NAME", f"name of {key}")
        return tuple(item.text for item in items if item.text in found)

    def _rows(self, entry: Fields, axes: Sequence[Names]) -> dict[_Cell, _Row]:
        found: dict[_Cell, _Row] = {}
        for row in entry.list_of_fields("expect", required=True):
            picked = [self._pick(row, axis, names) for axis, names in zip(_AXES, axes, strict=True)]
            principal, customer, request = picked
            expected = self._expected(row, request)
            row.finish()
            if principal is None or customer is None or request is None:
                continue
            cell = (principal, customer, request)
            if first := found.get(cell):
                message = f"the row at line {first.place.line} lists the same case"
                self._report.problem(row.place, "DUPLICATE_ROW", message)
            found[cell] = _Row(expected, row.place)
        return found

    def _pick(self, row: Fields, axis: str, names: Names) -> str | None:
        """Return which of `names` the row is about; it may be left out where there is only one."""
        named = row.text(axis, required=False)
        if named is None:
            if len(names) > 1:
                message = f"`{axis}` is missing: the test has {', '.join(names)}"
                self._report.problem(row.place, "MISSING_KEY", message)
            return names[0] if len(names) == 1 else None
        if named.text in names:
            return named.text
        message = f"the test has no {axis} `{named.text}`, so this row is never met"
        self._report.problem(named.place, "UNREACHABLE_ROW", message)
        return None

    def _expected(self, row: Fields, request: str | None) -> Expected:
        named = row.text("effect")
        known = closed(self._report, (named,), frozenset(Effect), "UNKNOWN_EFFECT", "effect")
        effect = Effect(*known) if known else Effect.DENY
        codes = frozenset(self._bundle.reasons)
        expected = Expected(
            effect,
            reasons=self._listed(row, "reasons", codes, "UNKNOWN_REASON"),
            treatments=self._treatments(row, request),
            warnings=self._listed(row, "warnings", codes, "UNKNOWN_REASON"),
            shadow=self._listed(row, "shadow", codes, "UNKNOWN_REASON"),
            needs=self._needs(row),
            deferrable=row.flag("deferrable") if "deferrable" in row else None,
        )
        for key, listed, among in (
            ("reasons", expected.reasons, (Effect.DENY, Effect.APPROVAL_REQUIRED)),
            ("treatments", expected.treatments, (Effect.ALLOW,)),
            ("needs", expected.needs, (Effect.APPROVAL_REQUIRED,)),
            ("deferrable", expected.deferrable, (Effect.DENY,)),
        ):
            if listed and known and effect not in among:
                message = f"{key} belong to {' and '.join(among)}, not to {effect}"
                self._report.problem(row.key_place(key), "CONTRADICTION", message)
        return expected

    def _listed(self, row: Fields, key: str, known: frozenset[str], code: str) -> Names | None:
        if key not in row:
            return None
        items = row.texts(key, may_be_empty=True)
        closed(self._report, items, known, code, key.removesuffix("s"))
        return tuple(item.text for item in items)

    def _needs(self, row: Fields) -> Names | None:
        """Return what must be approved, each with its terms where the row says them."""
        if "needs" not in row:
            return None
        items = row.texts("needs", may_be_empty=True)
        names = [replace(item, text=item.text.partition(" ")[0]) for item in items]
        closed(self._report, names, self._fixtures.requirements, "UNKNOWN_NAME", "need")
        for item in items:
            if " " in item.text and not _TERMS.fullmatch(item.text):
                message = "after the name stand its terms: `by 2 of lead or officer for 24h`"
                self._report.problem(item.place, "TERMS_INVALID", message)
        return tuple(item.text for item in items)

    def _treatments(self, row: Fields, request: str | None) -> Mapping[str, str] | None:
        owner = row.fields("treatments", required=False)
        if owner is None:
            return None
        steps = owner.each_text()
        ask = self._fixtures.requests.get(request) if request else None
        asked = ask.request.fields if ask else tuple(steps)
        found = {name: self._treatment(owner, name, step, asked) for name, step in sorted(steps.items())}
        if ask and (left_out := sorted(set(ask.request.fields) - steps.keys())):
            message = f"the request also asks for {', '.join(left_out)}; `omit` says that it is withheld"
            self._report.problem(owner.place, "MISSING_KEY", message)
        return MappingProxyType(found)

    def _treatment(self, owner: Fields, name: str, text: Located, asked: Names) -> str:
        """Return the step as a decision names it."""
        field = self._bundle.fields.get(name)
        if field is None or name not in asked:
            message = f"the request does not ask for `{name}`"
            self._report.problem(owner.key_place(name), "UNKNOWN_FIELD", message)
            return text.text
        try:
            step = parse_step(text.text)
        except ValueError as error:
            self._report.problem(text.place, "UNKNOWN_STEP", str(error))
            return text.text
        if step not in field.ladder.steps and step != _OMIT:
            message = f"{step} is not on the ladder {field.ladder}"
            self._report.problem(text.place, "STEP_NOT_ON_LADDER", message)
        return str(step)
