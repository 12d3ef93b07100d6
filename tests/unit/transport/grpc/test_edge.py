import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import grpc
import pytest

from fujie.audit.errors import EntryTooLarge, LogForked, LogUnavailable
from fujie.model.errors import CredentialError, FujieError, LedgerError, RequestError, StoreError
from fujie.transport.grpc import trailers
from fujie.transport.grpc.edge import Context, Edge, Incident

CANARY = "13800138000 postgresql://user:secret@db/crm"


class WithCode(Exception):
    def __init__(self, code: object) -> None:
        super().__init__(CANARY)
        self.code = code


class Aborted(Exception):
    pass


class Ending:
    """Records how the call ended, in the place of gRPC's context."""

    failure: tuple[Any, ...] = ()

    async def abort(self, *ending: Any) -> NoReturn:
        self.failure = ending
        raise Aborted


async def ended(error: BaseException, report: Callable[[Incident], None]) -> tuple[Any, ...]:
    async def answer(_request: bytes, _context: Context) -> bytes:
        raise error

    ids = SimpleNamespace(new_id=lambda: "i-1", nonce=lambda: b"")
    ending = Ending()
    with pytest.raises(Aborted):
        await Edge(ids, report).around("/s/m", answer)(b"", cast("Context", ending))
    return ending.failure


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ValueError(CANARY), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (KeyError(CANARY), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (RecursionError(CANARY), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (ExceptionGroup(CANARY, [ValueError(CANARY)]), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (WithCode(CANARY), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (WithCode(7), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (WithCode(None), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (TimeoutError(CANARY), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (FujieError(CANARY), grpc.StatusCode.INTERNAL, "INTERNAL"),
        (RequestError(CANARY, field="id"), grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID"),
        (CredentialError(CANARY), grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"),
        (StoreError(CANARY), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
        (StoreError(CANARY, code="STORE_TIMEOUT"), grpc.StatusCode.DEADLINE_EXCEEDED, "STORE_TIMEOUT"),
        (LedgerError(CANARY), grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE"),
        (LogUnavailable(CANARY), grpc.StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE"),
        (EntryTooLarge(CANARY), grpc.StatusCode.INVALID_ARGUMENT, "ENTRY_TOO_LARGE"),
        (LogForked(CANARY), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_an_exception_becomes_a_code_and_an_id_and_its_text_goes_nowhere(
    error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    incidents: list[Incident] = []
    told = await ended(error, incidents.append)
    assert code is told[0]
    assert [Incident("i-1", "/s/m", reason, type(error).__name__)] == incidents
    assert not any(part in repr((told, incidents)) for part in ("138", "secret", "postgresql"))
    assert b"i-1" in dict(told[2])[trailers.DETAILS_KEY]


async def test_a_logger_that_fails_does_not_become_the_text_that_leaks() -> None:
    def broken(_incident: Incident) -> None:
        raise OSError(CANARY)

    told = await ended(ValueError("x"), broken)
    assert grpc.StatusCode.INTERNAL is told[0]
    assert "secret" not in repr(told)


async def test_cancellation_passes_through_unreported() -> None:
    incidents: list[Incident] = []

    async def answer(_request: bytes, _context: Context) -> bytes:
        raise asyncio.CancelledError

    ids = SimpleNamespace(new_id=lambda: "i-1", nonce=lambda: b"")
    with pytest.raises(asyncio.CancelledError):
        await Edge(ids, incidents.append).around("/s/m", answer)(b"", cast("Context", Ending()))
    assert incidents == []
