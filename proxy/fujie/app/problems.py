"""Why the server must not start, or a file must not be used: every problem at once, each with what to do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from fujie.model.diagnostic import Diagnostic
from fujie.model.errors import StartError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `code` is UPPER_SNAKE and stable; `place` is `file:line:column`, a variable or empty.

    `key` is the path of a setting (`server.listen`), `excerpt` the source line with a caret. Texts are for
    operators: they hold no secret and nothing of a customer.
    """

    code: str
    message: str
    key: str = ""
    place: str = ""
    remedy: str = ""
    excerpt: str = ""


class CannotStart(Exception):
    """Something is wrong with configuration, keys, policies or state; `problems` is never empty."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(", ".join(problem.code for problem in problems))
        self.problems = tuple(problems)


class Collector:
    """Gathers what several steps find wrong, so that one start shows all of it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Turn what the block raises into problems."""
        try:
            yield
        except StartError as error:
            self.problems.append(problem_of(error))
        except CannotStart as error:
            self.problems.extend(error.problems)

    def take(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `make` returns; None when it found something wrong."""
        made: list[T] = []
        with self.gathering():
            made.append(make(*args, **kwargs))
        return made[0] if made else None

    def finish(self) -> None:
        """Raise CannotStart when anything was found."""
        if self.problems:
            raise CannotStart(self.problems)


def problem_of(error: StartError) -> Problem:
    """Return a start error as a problem."""
    return Problem(error.code, str(error), remedy=error.remedy)


def problem_at(diagnostic: Diagnostic) -> Problem:
    """Return a policy problem with its place and caret."""
    place = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}"
    return Problem(
        diagnostic.code,
        diagnostic.message,
        place=place if diagnostic.line else diagnostic.file,
        excerpt=str(diagnostic).partition("\n")[2],
    )
