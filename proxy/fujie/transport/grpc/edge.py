"""The outermost: the one place where exceptions end, as a fixed code and an opaque id.

gRPC itself sends the text of an unhandled exception to the client, with whatever phone number or
connection string it holds. Here no text passes in either direction: the client learns code and id,
the operator code, id, method and type of the exception.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from fujie.model.errors import RequestError
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.ports import Identifiers
from fujie.transport.grpc import status

Q = TypeVar("Q")
A = TypeVar("A")

Context = grpc.aio.ServicerContext[Any, Any]
"""Messages cross as bytes (our own methods) or as the messages of health and reflection."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A call that ended in an exception. `method` is a name of our tables, `error` the exception's type."""

    id: str
    method: str
    code: str
    error: str


@dataclass(frozen=True, slots=True)
class Edge:
    """What ends calls. `report` gets every incident, also failed authentications; it must not block."""

    ids: Identifiers
    report: Callable[[Incident], None]

    def around(
        self, method: str, answer: Callable[[Q, Context], Awaitable[A | status.Failure]]
    ) -> Callable[[Q, Context], Awaitable[A]]:
        """Return `answer` as a method's behaviour that ends in a status whatever happens inside.

        Cancellation passes through: swallowing it leaks the call's buffers in gRPC core.
        """

        async def run(request: Q, context: Context) -> A:
            try:
                outcome = await answer(request, context)
            except grpc.aio.AbortError:
                raise  # the status is already on its way
            except Exception as error:  # noqa: BLE001 (the outermost: whatever it is, it refuses)
                outcome = self._failure(method, error)
            if isinstance(outcome, status.Failure):
                await context.abort(outcome.code, outcome.message, outcome.trailing)
            return outcome

        return run

    def _failure(self, method: str, error: Exception) -> status.Failure:
        code, field = _code_of(error)
        incident_id = ""
        with suppress(Exception):  # a logger that fails must not become the text that leaks
            incident_id = self.ids.new_id()
            self.report(Incident(incident_id, method, code, type(error).__name__))
        return status.failed(code, incident_id, field)


def _code_of(error: Exception) -> tuple[str, str]:
    """Return code and field. Every error of ours names a row of the table by `code`, those of the log too,
    which this package must not import; whatever else has such an attribute is INTERNAL."""
    if isinstance(error, TimeoutError):
        return "DEADLINE_EXCEEDED", ""
    code = getattr(error, "code", "")
    if not isinstance(code, str) or code not in BUILT_IN_REASONS:
        return "INTERNAL", ""
    return code, error.field if isinstance(error, RequestError) else ""
