"""One connection to MySQL or MariaDB, used in threads since the driver blocks, and what its errors mean."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from fujie.adapters.stores.address import Address
from fujie.adapters.stores.source import timed_out, unavailable
from fujie.model.errors import StoreError
from fujie.ports import Clock

FAILURES = (pymysql.MySQLError, OSError, ValueError, OverflowError)
"""What the driver raises; the last two for a value that it can not turn into one of Python's."""
_TIMEOUTS = frozenset({1969, 3024, ER.LOCK_WAIT_TIMEOUT})
"""MariaDB's ER_STATEMENT_TIMEOUT, MySQL's ER_QUERY_TIMEOUT."""
_LOST = frozenset(
    {
        0,
        1927,
        4031,
        ER.SERVER_SHUTDOWN,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_CONN_HOST_ERROR,
        2055,
    }
)
"""Also killed (1927), closed for idleness (4031), lost with a reason (2055), and 0 for a driver that was cut off."""


class Session:
    """One connection, used by one thread at a time; `cut` may be called from any."""

    def __init__(self, address: Address, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._connection: pymysql.Connection[Any] | None = None
        self._socket: socket.socket | None = None
        self._is_cut = False

    def read(self, text: str, arguments: Sequence[object], deadline: float) -> Sequence[Sequence[Any]]:
        """Return the rows, connecting first where there is no connection yet. Blocks until the deadline at most."""
        connection = self.connected(deadline)
        left_s = max(0.001, deadline - self._clock.monotonic())
        version = str(connection.get_server_info())  # type: ignore[no-untyped-call]  # so is the driver's
        with connection.cursor() as cursor:
            cursor.execute(_limited(text, left_s, version), arguments)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
        return rows

    def connected(self, deadline: float) -> "pymysql.Connection[Any]":
        """Return the connection, made when there is none yet. Blocks until the deadline at most."""
        if self._connection is None:
            self._connection = self._connect(deadline)
        return self._connection

    def _connect(self, deadline: float) -> "pymysql.Connection[Any]":
        address, left_s = self._address, max(0.001, deadline - self._clock.monotonic())
        if address.socket:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.settimeout(left_s)
                connected.connect(address.socket)
            except OSError:
                connected.close()
                raise
        else:
            connected = socket.create_connection((address.host, address.port), left_s)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A second handle on the connection: TLS takes the first one away.
        self._socket = connected.dup()
        if self._is_cut:
            connected.close()
            raise TimeoutError
        connection = pymysql.connect(
            defer_connect=True,
            host=address.host or "localhost",
            user=address.user,
            password=address.password.encode(),  # text would be sent as Latin-1
            database=address.database,
            charset="utf8mb4",
            sql_mode="",
            init_command="SET SESSION TRANSACTION READ ONLY",
            autocommit=True,
            ssl=address.tls,  # it takes a context, and then demands TLS
            ssl_disabled=address.tls is None,
        )
        connection.connect(connected)
        return connection

    def cut(self) -> None:
        """Shut the connection, so that whoever waits for it stops waiting."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release what the session holds. No thread may use it any more."""
        if self._connection is not None and self._connection.open:
            with suppress(pymysql.MySQLError, OSError):
                self._connection.close()
        if self._socket is not None:
            self._socket.close()


def _limited(text: str, left_s: float, version: str) -> str:
    """Return the SELECT with its time limit, in the words of the server."""
    if "mariadb" in version.lower():
        return f"SET STATEMENT max_statement_time={left_s:.3f} FOR {text}"
    return f"SELECT /*+ MAX_EXECUTION_TIME({int(left_s * 1000) or 1}) */{text.removeprefix('SELECT')}"


def _code(error: Exception) -> int:
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def is_lost(error: Exception) -> bool:
    """Tell whether a connection was lost, so that another may do."""
    return isinstance(error, OSError) or _code(error) in _LOST


def failed(store: str, error: Exception) -> StoreError:
    """Return the store's error for the driver's."""
    if _code(error) in _TIMEOUTS:
        return timed_out(store)
    return unavailable(
        store, f"{type(error).__name__} {_code(error)}" if _code(error) else type(error).__name__
    )
