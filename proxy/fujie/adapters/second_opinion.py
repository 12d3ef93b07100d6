"""The second, independent CEL implementation (`cel-python`, extra `crosscheck`): what does it say?

For tests alone, never for a decision: about 2 ms an expression. One difference between the engines is known:
`string(true)` is `true` by the CEL specification and in the engine that decides, `True` in cel-python 0.5.
"""

from functools import lru_cache

import celpy
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError, Context

from fujie.model.facts import Facts, Known, Unknown
from fujie.model.vocabulary import STATE_NUMBERS, State

ERROR = "error"
"""What an expression comes to that can not be evaluated."""

_PROGRAMS = 4_096

_STATES = {state.value: celtypes.IntType(number) for state, number in STATE_NUMBERS.items()}


class SecondOpinion:
    """Evaluates boolean expressions, variables expanded, over facts. Raises the recursion limit of the process,
    which its parser needs."""

    def __init__(self) -> None:
        self._environment = celpy.Environment()
        self._program = lru_cache(_PROGRAMS)(self._compiled)

    def says(self, text: str, facts: Facts) -> bool | str:
        """Return true, false, `error`, or a text that names the value when it is no boolean.

        The expression must read no Unknown fact: to this engine such a fact is not there at all.
        """
        try:
            value = self._program(text).evaluate(_activation(facts))
        except CELEvalError:
            return ERROR
        except CELParseError as error:
            return f"not parsed: {str(error).partition(chr(10))[0]}"
        return bool(value) if isinstance(value, celtypes.BoolType) else f"not a boolean: {value!r}"

    def _compiled(self, text: str) -> celpy.Runner:
        return self._environment.program(self._environment.compile(text))


def _activation(facts: Facts) -> Context:
    roots: dict[str, celtypes.Value] = dict(_STATES)
    for path, value in facts.values.items():
        root, _, name = path.partition(".")
        members = roots.setdefault(root, celtypes.MapType())
        assert isinstance(members, celtypes.MapType)
        if not isinstance(value, Unknown):
            members[celtypes.StringType(name)] = _value(value)
    return roots


def _value(value: Known) -> celtypes.Value:
    if isinstance(value, State):
        return celtypes.IntType(STATE_NUMBERS[value])
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int):
        return celtypes.IntType(value)
    if isinstance(value, tuple):
        return celtypes.ListType([celtypes.StringType(item) for item in value])
    return celtypes.StringType(value)
