"""What the tables of the ledger need from a database: typed reads, and transactions in order.

Everything here and in the table modules is portable Core; what is a database's own lives in `sqlite`
and `postgresql`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.sql.compiler import SQLCompiler

from fujie.adapters.ledger.tables import change_counter
from fujie.model.errors import LedgerError

T = TypeVar("T")
_Value = TypeVar("_Value")


DRAWN: Final = "fujie_change"
"""Where the `info` of a connection holds the last change that its transaction drew."""


@dataclass(frozen=True, slots=True, eq=False)
class Query(Generic[T]):
    """A SELECT and what one of its rows means. Made once per shape; databases keep its SQL by identity.

    One that `is_of_now` sees all that was committed when it is asked for, and so does who reads behind it. A database may
    answer it from memory where it can tell that nothing was committed since. One that `is_long` takes milliseconds: no
    database has the event loop wait for it. One that `is_shared` may be asked together with those that wait at the same
    time; its parameters are texts or bytes, and its rows come in no order.
    """

    select: Select[Any] | sa.TextClause
    decode: Callable[[Sequence[Any]], T]
    is_of_now: bool = False
    is_long: bool = False
    is_shared: bool = False

    def within(self, connection: Connection, values: Mapping[str, object]) -> list[T]:
        """Return the decoded rows as the transaction of `connection` sees them."""
        return self.decoded(connection.execute(self.select, values).all())

    def decoded(self, rows: Sequence[Sequence[Any]]) -> list[T]:
        """Return what the rows mean.

        Raises:
            LedgerError: a row holds what nobody of ours wrote; it must not pass for "nothing known".

        """
        try:
            return [self.decode(row) for row in rows]
        except (ValueError, KeyError, TypeError, OverflowError):
            raise LedgerError("a row of the ledger cannot be understood") from None


def _number(row: Sequence[Any]) -> int:
    return int(row[0])


LAST_CHANGE: Final = Query(sa.select(change_counter.c.value).where(change_counter.c.id == 1), _number)
"""The last change that was committed."""


class Database(Protocol):
    """One ledger. Every method raises LedgerError, without personal data, when the database fails."""

    async def rows(self, query: Query[T], values: Mapping[str, object]) -> list[T]:
        """Return all rows, as of the last transaction committed by anybody."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction that no other `write` overlaps, on any host; durable on return.

        What `work` reads is therefore still true when it commits. An exception of `work` undoes
        everything. A LedgerError leaves open whether the transaction was committed: repeat it
        only with a request id. Of `work`, the same holds for `transact`:

        - It may run more than once, and in another thread: it has no effect but on `connection`.
        - It lets the errors of its statements pass: PostgreSQL undoes the transaction of one that fails.
        """
        ...

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction that others may overlap; durable on return.

        For counters, whose writers need not wait for each other. Isolation is READ COMMITTED: a
        row is only safe from others once `work` has locked it, by an UPDATE that states its
        condition (`UPDATE ... SET n = n + 1 WHERE n < :limit RETURNING n`), by INSERT ... ON
        CONFLICT, or by SELECT ... FOR UPDATE. Rows are taken in one order everywhere, else they
        deadlock (that is retried, but slow). Never draw `next_change` here: every `write` would wait.
        """
        ...

    async def follow(self, seen: int = 0) -> int:
        """Learn which change was committed last, and return it; 0 where a ledger is not shared. `seen` is what another
        process has learned.

        Raises:
            LedgerError: LEDGER_ROLLED_BACK when a shared ledger lacks what it had: it was restored, or a standby without
                the last changes took over. From then on every method raises it.

        """
        ...

    def when_gone_back(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once, when a shared ledger is found to lack what it had, before anybody is refused for it."""
        ...

    async def overwrite_deleted(self) -> bool:
        """Overwrite what was deleted in the files of the database, as far as it can; return whether that was done.

        Where false, somebody else held the files: ask again later.
        """
        ...

    async def close(self) -> None:
        """Finish the transactions that are running and let go of the database; every later call fails."""
        ...


def next_change(connection: Connection, count: int = 1) -> int:
    """Draw the next `count` changes and return the last; inside `Database.write`, so that higher means committed later."""
    statement = (
        sa.update(change_counter)
        .values(value=change_counter.c.value + count)
        .returning(change_counter.c.value)
    )
    drawn: int = connection.execute(statement).scalar_one()
    connection.info[DRAWN] = drawn
    return drawn


def insert_many(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that have the same columns, in the types of the driver: SQLAlchemy, which looks at each value, takes as
    long as SQLite."""
    if rows:
        _run(connection, _insert(table, tuple(rows[0]), connection.dialect), rows)


def update_many(connection: Connection, statement: sa.Update, rows: Sequence[Mapping[str, object]]) -> None:
    """Run an UPDATE of one row, found by its key, for each of `rows`; like `insert_many`.

    Not one UPDATE for all: it is an inner join, which PostgreSQL may begin with the whole table (`given`).
    """
    if rows:
        _run(connection, _update(statement, connection.dialect), rows)


_Compiled = tuple[str, tuple[str, ...], Mapping[str, object]]
"""The text, the order of its parameters, and its constants."""


def _run(connection: Connection, compiled: _Compiled, rows: Sequence[Mapping[str, object]]) -> None:
    text, order, constants = compiled
    values: Any = [{**constants, **row} for row in rows] if constants else rows
    connection.exec_driver_sql(text, [tuple([row[name] for name in order]) for row in values])


@lru_cache(maxsize=8)
def _insert(table: sa.Table, names: tuple[str, ...], dialect: sa.Dialect) -> _Compiled:
    compiled = sa.insert(table).compile(dialect=dialect, column_keys=list(names))
    assert isinstance(compiled, SQLCompiler)
    return str(compiled), tuple(compiled.positiontup or ()), {}


@lru_cache(maxsize=8)
def _update(statement: sa.Update, dialect: sa.Dialect) -> _Compiled:
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
    return str(compiled), tuple(compiled.positiontup or ()), constants


def one_of(column: sa.Column[Any], count: int, letter: str = "v") -> sa.ColumnElement[bool]:
    """Return `column IN (:v0, ...)` with `count` parameters, to be filled by `members`; another letter for a second list."""
    return column.in_([sa.bindparam(name, type_=column.type) for name in _names(count, letter)])


def padded_size(count: int) -> int:
    """Return the power of two at or above `count`: a list of any length needs one of few statements."""
    return 1 << max(count - 1, 0).bit_length()


def members(values: Sequence[_Value], letter: str = "v") -> dict[str, _Value]:
    """Return the parameters of `one_of(column, padded_size(len(values)), letter)`; the last value fills up."""
    size = padded_size(len(values))
    filled = [*values, *[values[-1]] * (size - len(values))]
    return dict(zip(_names(size, letter), filled, strict=True))


@lru_cache(maxsize=32)
def _names(count: int, letter: str) -> tuple[str, ...]:
    return tuple([f"{letter}{i}" for i in range(count)])
