"""Params: values of a guard that a team tunes without touching expressions, and another environment overrides.

A guard declares each with its default; a Params document, one per environment say, sets some of them. An expression
reads one as `params.name`, is type-checked with it like with a variable, and then gets its value written in as a
literal, so that both engines, the log and whoever asks why see what was in force. A value is never CEL: `literal`
writes what reads back as exactly that value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fujie.model.facts import Kind, Known
from fujie.policy.cel import MAX_EXPRESSION
from fujie.policy.places import Place, Report
from fujie.policy.source import Fields

_QUOTES = frozenset("\"'`\\")


@dataclass(frozen=True, slots=True)
class Param:
    """One value, with the place where it was set."""

    value: Known
    place: Place

    @property
    def kind(self) -> Kind:
        """Its type: bool, int, string or strings."""
        if isinstance(self.value, bool):
            return Kind.BOOL
        if isinstance(self.value, int):
            return Kind.INT
        return Kind.STRING if isinstance(self.value, str) else Kind.STRINGS


class Params:
    """The Params documents of a bundle. Read all of them before the first guard, and `finish` after the last."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._set: dict[str, dict[str, Param]] = {}

    def read(self, spec: Fields) -> None:
        """Read the spec of a Params document."""
        guards = spec.fields("guards")
        if guards and not guards.names:
            self._report.problem(guards.place, "MISSING_KEY", "name at least one guard, with its params")
        for guard, owner in guards.each_fields() if guards else ():
            found = self._set.setdefault(guard, {})
            for name, param in self._each(owner):
                if name in found:
                    first = found[name].place
                    message = f"`{name}` of {guard} is also set at {first.file}:{first.line}"
                    self._report.problem(param.place, "DUPLICATE_PARAM", message)
                found.setdefault(name, param)

    def of(self, guard: str, spec: Fields) -> Mapping[str, Param]:
        """Return what is in force for a guard: the `params` of its spec, or what a Params document says instead."""
        owner = spec.fields("params", required=False)
        params = dict(self._each(owner)) if owner else {}
        for name, param in self._set.pop(guard, {}).items():
            default = params.get(name)
            if default is None:
                self._report.problem(param.place, "UNKNOWN_PARAM", f"{guard} has no param `{name}`")
            elif param.kind is not default.kind:
                message = f"`{name}` of {guard} is {default.kind}, not {param.kind}"
                self._report.problem(param.place, "PARAM_TYPE", message)
            else:
                params[name] = param
        return params

    def finish(self) -> None:
        """Report what is set for guards that are not there: misspelt, it would change nothing."""
        for guard, params in self._set.items():
            for param in params.values():
                self._report.problem(param.place, "UNKNOWN_GUARD", f"no Guard is called `{guard}`")

    def _each(self, owner: Fields) -> Iterator[tuple[str, Param]]:
        if not owner.names:
            self._report.problem(owner.place, "MISSING_KEY", "name at least one param, with its value")
        for name in owner.names:
            value = owner.literal(name)
            if value is None:
                continue
            if len(literal(value)) > MAX_EXPRESSION:  # before any expression holds it hundreds of times
                message = f"longer than {MAX_EXPRESSION} code points, which is all that an expression has"
                self._report.problem(owner.key_place(name), "EXPRESSION_TOO_LONG", message)
            else:
                yield name, Param(value, owner.key_place(name))


def literal(value: Known) -> str:
    """Return the CEL literal that evaluates to `value`, on one line.

    Whatever is not plainly visible is escaped, quotes and backslashes included (CEL language definition, "String
    and Bytes Values"). A negative number stands in brackets, so that a minus before it stays one of two.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    return f"[{', '.join(map(literal, value))}]"


def _escaped(character: str) -> str:
    if character in _QUOTES or not character.isprintable():
        code = ord(character)
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character
