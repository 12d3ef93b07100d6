"""The only door to the CEL engine (`cel-expr-python`, which wraps cel-cpp).

What stands behind the door, because the engine does not do it or does it dangerously:

1. Facts go in as protobuf messages of a private descriptor pool: plain `str` values are cut at NUL
   by the binding (0.1.3), messages are kept whole.
2. An evaluation error comes back as a value whose Python truth is true; only `type() == BOOL` and
   `value() is True` is true here.
3. One error inside a list turns the whole list into an error, so a program falls back to one
   expression after the other.
4. States are integers to the engine, which would let `consent.state == ACTIVE` compile; the typed
   syntax tree is walked and every comparison outside a fact's own domain is a problem.
5. `has()` on a scalar reads an absent and a false value alike, `dyn()` and `type()` undo typing:
   refused. Unknown facts are handled outside: an expression that reads one is never evaluated.

No Python functions are registered with the engine: they leak arguments and results.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cel_expr_python import cel  # type: ignore[import-untyped] # its stub comes without py.typed
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from fujie.model.facts import Facts, FactType, Kind, Unknown
from fujie.model.vocabulary import STATE_NUMBERS, State
from fujie.policy.advice import Spot, advise, is_variable_of_a_misspelt_loop
from fujie.policy.walk import Problem, Walk

ENGINE = "cel-expr-python/0.1"
"""Name of the engine in every entry: replay must use one that gives the same answers."""

MAX_EXPRESSION = 4_000
"""Code points of one expression, variables expanded. The engine takes 100,000; rules that people read take 500."""

MAX_ITERATIONS = 10_000
"""Iterations of one evaluation, loops inside loops included; what takes more is an error (cel-cpp's own bound)."""

_PACKAGE = "fujie.facts"
_STATE = f"{_PACKAGE}.State"
_Field = descriptor_pb2.FieldDescriptorProto
_TRUTH_VALUES = {bool}
_WIRE = {
    Kind.BOOL: _Field.TYPE_BOOL,
    Kind.INT: _Field.TYPE_INT64,
    Kind.STRING: _Field.TYPE_STRING,
    Kind.STRINGS: _Field.TYPE_STRING,
    Kind.STATE: _Field.TYPE_ENUM,
}
_TYPES = {
    Kind.BOOL: cel.Type.BOOL,
    Kind.INT: cel.Type.INT,
    Kind.STRING: cel.Type.STRING,
    Kind.STRINGS: cel.Type.List(cel.Type.STRING),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """An expression that compiled. `type` is the engine's name (`bool`, `int`, ...).

    `reads` are the fact paths that it reads, `uses` the variables and params, by their full names.
    """

    text: str
    type: str
    reads: frozenset[str]
    uses: frozenset[str]


@dataclass(frozen=True, slots=True)
class EvaluationError:
    """An expression that could not be evaluated. `budget` tells whether it ran out of iterations."""

    message: str
    budget: bool = False


Result = bool | EvaluationError


class Engine:
    """Compiles and evaluates expressions over one set of typed facts. Costs about 0.5 ms to build."""

    def __init__(self, fact_types: Mapping[str, FactType]) -> None:
        self._types = dict(fact_types)
        self._names = {path: (path.partition(".")[0], path.partition(".")[2]) for path in fact_types}
        self._pool = _pool_of(fact_types)
        roots = sorted({path.partition(".")[0] for path in fact_types})
        self._roots = {root: cel.Type(f"{_PACKAGE}.{root.title()}") for root in roots}
        self._classes = {
            root: message_factory.GetMessageClass(
                self._pool.FindMessageTypeByName(f"{_PACKAGE}.{root.title()}")
            )
            for root in roots
        }
        self._env = self._environment({})

    def check(self, text: str, names: Mapping[str, Kind] | None = None) -> Checked | tuple[Problem, ...]:
        """Compile and type-check `text`; `names` maps every `variables.name` and `params.name` that it may use to its type.

        Returns every problem that the engine and the checks of this module find; raises nothing.
        """
        if len(text) > MAX_EXPRESSION:
            return (Problem(1, 1, "EXPRESSION_TOO_LONG", f"longer than {MAX_EXPRESSION} code points"),)
        if not _is_text(text):  # the binding would cut it at NUL and compile what stands before
            return (Problem(1, 1, "EXPRESSION_INVALID", "NUL and lone surrogates are refused"),)
        env = self._environment(names) if names else self._env
        try:
            compiled = env.compile(text)
        except RuntimeError as error:
            return _engine_problems(str(error), text, self._types)
        tree = _parsed(compiled.serialize())
        walk = Walk(text, tree, self._types, _STATE)
        problems = (*walk.problems(), *self._regex_problems(walk))
        if problems:
            return tuple(problems)
        return Checked(text, compiled.return_type().name(), frozenset(walk.reads), frozenset(walk.uses))

    def tree(self, text: str) -> Message:
        """Return the typed syntax tree (`cel.expr.Expr`, read by attribute) of a checked expression, variables expanded.

        Raises:
            ValueError: it does not compile, which `check` would have said.

        """
        try:
            tree: Message = _parsed(self._env.compile(text).serialize()).expr  # type: ignore[attr-defined] # made at run time
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        return tree

    def program(self, texts: Sequence[str]) -> "Program":
        """Compile checked boolean expressions, variables expanded, into one program.

        Raises:
            ValueError: an expression does not compile, which `check` would have said.

        """
        try:
            return Program(self._env, tuple(texts))
        except RuntimeError as error:
            raise ValueError(str(error)) from None

    def messages(self, facts: Facts, reads: Iterable[str]) -> dict[str, Message]:
        """Turn the facts at `reads` into messages, one a root, and no others: the engine parses them
        again on every access. Unknown facts are left at their default: whoever evaluates must discard
        every expression that reads one.

        Raises:
            ValueError: a fact is not of its declared type.

        """
        values: dict[str, dict[str, object]] = {}
        for path in reads:
            root, name = self._names[path]
            fields = values.setdefault(root, {})
            value = facts.get(path)
            if value is None:  # protobuf would leave it at its default: absent read as false
                raise ValueError("a fact has no value")
            if not isinstance(value, Unknown):
                fields[name] = STATE_NUMBERS[value] if isinstance(value, State) else value
        try:
            return {root: self._classes[root](**fields) for root, fields in values.items()}
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"a fact is not of its declared type: {type(error).__name__}") from None

    def _environment(self, names: Mapping[str, Kind]) -> cel.Env:
        declared = dict(self._roots) | {name: _TYPES[kind] for name, kind in names.items()}
        return cel.NewEnv(self._pool, None, declared, container=_STATE)

    def _regex_problems(self, walk: Walk) -> Iterator[Problem]:
        # An invalid literal pattern compiles and fails on every request; try each once, here.
        for node, pattern in walk.patterns:
            probe = self._env.compile(f"''.matches({_quoted(pattern)})").eval(data={})
            if probe.type() != cel.Type.BOOL:
                yield Problem(*walk.place(node), "REGEX_INVALID", "RE2 does not accept this pattern")


class Program:
    """Boolean expressions compiled as one list, so that one crossing into the engine evaluates all."""

    __slots__ = ("_env", "_list", "_single", "_texts")

    def __init__(self, env: cel.Env, texts: tuple[str, ...]) -> None:
        self._env = env
        self._texts = texts
        self._list = env.compile("[" + ",".join(f"({text}\n)" for text in texts) + "]")
        self._single: dict[int, cel.Expression] = {}

    def run(self, messages: Mapping[str, Message]) -> Sequence[Result]:
        """Evaluate every expression; the results come in order. Never raises for what an expression does."""
        try:
            value = self._list.eval(data=messages)
            if value.type() == cel.Type.LIST:
                results: list[Result] = value.plain_value()
                if set(map(type, results)) == _TRUTH_VALUES:
                    return results
        except RuntimeError:
            pass  # the iteration budget is one for the whole list: find out which expression spent it
        return [self._alone(index, messages) for index in range(len(self._texts))]

    def _alone(self, index: int, messages: Mapping[str, Message]) -> Result:
        expression = self._single.get(index)
        if expression is None:
            expression = self._single[index] = self._env.compile(self._texts[index])
        try:
            value = expression.eval(data=messages)
        except RuntimeError as error:
            return EvaluationError(_first_line(error), budget="budget" in str(error))
        if value.type() == cel.Type.BOOL:
            return value.value() is True
        return EvaluationError(_first_line(value.value()))


def evaluate_any(engine: Engine, text: str, messages: Mapping[str, Message]) -> object | EvaluationError:
    """Evaluate one expression of any type, for explanations only: compiles anew on each call (80 µs)."""
    try:
        value = engine._env.compile(text).eval(data=messages)  # noqa: SLF001 - same module, one door
    except RuntimeError as error:
        return EvaluationError(_first_line(error))
    if value.type() == cel.Type.ERROR:
        return EvaluationError(_first_line(value.value()))
    plain: object = value.plain_value()
    return plain


def _pool_of(fact_types: Mapping[str, FactType]) -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="fujie/facts.proto", package=_PACKAGE, syntax="proto3")
    states = file.enum_type.add(name="State")
    for state, number in STATE_NUMBERS.items():
        states.value.add(name=state.value, number=number)
    roots: dict[str, descriptor_pb2.DescriptorProto] = {}
    for path, fact in sorted(fact_types.items()):
        root, _, name = path.partition(".")
        if root not in roots:
            roots[root] = file.message_type.add(name=root.title())
        label = _Field.LABEL_REPEATED if fact.kind is Kind.STRINGS else _Field.LABEL_OPTIONAL
        field = roots[root].field.add(
            name=name, number=len(roots[root].field) + 1, label=label, type=_WIRE[fact.kind]
        )
        if fact.kind is Kind.STATE:
            field.type_name = f".{_STATE}"
    return _pool(file)


def _pool(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


# The part of cel.expr.CheckedExpr (cel-spec, proto/cel/expr/checked.proto and syntax.proto) that is read here:
# message -> (field, number, type), `*` for repeated. Fields that are not named stay unknown.
_CHECKED = {
    "Expr": (("id", 2, "int"), ("const_expr", 3, "Constant"), ("ident_expr", 4, "Ident"), ("select_expr", 5, "Select"),
             ("call_expr", 6, "Call"), ("list_expr", 7, "List"), ("struct_expr", 8, "Struct"), ("comprehension_expr", 9, "Loop")),
    "Constant": (("bool_value", 2, "bool"), ("int64_value", 3, "int"), ("string_value", 6, "str")),
    "Ident": (("name", 1, "str"),),
    "Select": (("operand", 1, "Expr"), ("field", 2, "str"), ("test_only", 3, "bool")),
    "Call": (("target", 1, "Expr"), ("function", 2, "str"), ("args", 3, "*Expr")),
    "List": (("elements", 1, "*Expr"),),
    "Struct": (("message_name", 1, "str"), ("entries", 2, "*Entry")),
    "Entry": (("map_key", 3, "Expr"), ("value", 4, "Expr")),
    "Loop": (("iter_var", 1, "str"), ("iter_range", 2, "Expr"), ("accu_var", 3, "str"), ("accu_init", 4, "Expr"),
             ("loop_condition", 5, "Expr"), ("loop_step", 6, "Expr"), ("result", 7, "Expr"), ("iter_var2", 8, "str")),
    "Position": (("key", 1, "int"), ("value", 2, "int")),
    "SourceInfo": (("positions", 4, "*Position"),),
    "CheckedExpr": (("expr", 4, "Expr"), ("source_info", 5, "SourceInfo")),
}  # fmt: skip
_ONEOF = {"Expr": "expr_kind", "Constant": "constant_kind"}


@lru_cache(maxsize=1)
def _checked_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(
        name="fujie/checked.proto", package="fujie.checked", syntax="proto3"
    )
    scalar = {"int": _Field.TYPE_INT64, "str": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL}
    for name, fields in _CHECKED.items():
        message = file.message_type.add(name=name)
        if name in _ONEOF:
            message.oneof_decl.add(name=_ONEOF[name])
        for field_name, number, kind in fields:
            label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
            kind = kind.removeprefix("*")  # noqa: PLW2901 - the marker is read once
            field = message.field.add(
                name=field_name, number=number, label=label, type=scalar.get(kind, _Field.TYPE_MESSAGE)
            )
            if kind not in scalar:
                field.type_name = f".fujie.checked.{kind}"
            if name in _ONEOF and field_name != "id":
                field.oneof_index = 0
    return message_factory.GetMessageClass(_pool(file).FindMessageTypeByName("fujie.checked.CheckedExpr"))


def _parsed(serialized: bytes) -> Message:
    tree = _checked_class()()
    tree.ParseFromString(any_pb2.Any.FromString(serialized).value)
    return tree


_ENGINE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")


def _engine_problems(said: str, text: str, types: Mapping[str, FactType]) -> tuple[Problem, ...]:
    """Return what the engine says of `text`. Behind an error of syntax the others are mostly of its making."""
    found = [
        (int(m[1]), int(m[2]), m[3].replace(f" (in container '{_STATE}')", "").replace(_PACKAGE + ".", ""))
        for m in _ENGINE_ERROR.finditer(said)
    ]
    if syntax := [each for each in found if each[2].startswith("Syntax error")]:
        found = syntax[:1]
    found = [each for each in found if not is_variable_of_a_misspelt_loop(each[2], said, types)]
    lines = text.split("\n")
    problems = (
        Problem(
            line,
            column,
            "EXPRESSION_INVALID",
            advise(each, Spot(text, len("\n".join([*lines[: line - 1], ""])) + column - 1, types)),
        )
        for line, column, each in found
        if "'*error*'" not in each  # of another that is told
    )
    return tuple(problems) or (
        Problem(1, 1, "EXPRESSION_INVALID", advise(_first_line(said), Spot(text, 0, types))),
    )


def _is_text(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _first_line(text: object) -> str:
    return str(text).partition("\n")[0][:200]


def _quoted(text: str) -> str:
    return "'" + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text) + "'"
