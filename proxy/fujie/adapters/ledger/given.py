"""A list as rows of a statement: one parameter and one step of the driver for hundreds of rows.

A statement that is run once for each row, or that has a parameter for each, costs the interpreter 5 to 20 µs a row; SQLite and
PostgreSQL take a list apart in a tenth of a microsecond a row, and without the interpreter.

Where more than one column tells what is looked for, a statement begins with its list and goes on by LEFT JOIN. PostgreSQL plans
once for each connection, perhaps while the table is empty: then `a = :a AND b IN (...)` is planned as all that have `a`, each held
against the list, and an inner join the other way round. Both read a whole campaign, or all that a counter holds, for each chunk.
A condition on what was joined is put so that none sees that it might be an inner join: `coalesce(m.sid, '') <> ''`.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, CursorResult
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

_EVENT: Final = (
    "e.type",
    "e.channel",
    "e.explicit",
    "e.separate",
    "e.event_time",
    "e.valid_until",
    "e.change_seq",
)
_AS_LIST: Final = "json_group_array({})"

_FORMS: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {
        "{given}": "json_each(:given) AS given",
        "{texts}": "json_each(:texts) AS given",
        "{rows}": "json_each(:rows) AS given",
        "{places}": "SELECT value AS n FROM json_each(:places)",
        "{in_order}": "CROSS",
        "{as_list}": "json_group_array",
        "{linked}": "INDEXED BY ix_subject_linked",
        "{events}": "0, 5, " + ", ".join(map(_AS_LIST.format, ("place", *_EVENT))) + ", NULL",
    },
    "postgresql": {
        "{given}": "unnest(CAST(:given AS text[])) AS given(value)",
        "{texts}": "json_array_elements_text(CAST(:texts AS json)) AS given(value)",
        "{rows}": "json_array_elements(CAST(:rows AS json)) AS given(value)",
        "{places}": "SELECT CAST(value AS INTEGER) AS n FROM json_array_elements_text(CAST(:places AS JSON))",
        "{in_order}": "LEFT",
        "{as_list}": "json_agg",
        "{linked}": "",
        "{events}": f"place, 0, people.sid, FALSE, {', '.join(_EVENT)}",
    },
}
"""What stands for a list, by dialect, for a join that no planner turns round, for what makes a list, for the index of who is
linked, which SQLite would not take by itself, and for the columns of events of consent: one row of all in SQLite, which gives up
the interpreter's lock for each row. The columns of one of `rows` are `given.value ->> 0` and so on, texts in PostgreSQL."""

_DIGESTS: Final = "(SELECT substr(:digests, 32 * n + 1, 32) AS value FROM ({places}) AS placed) AS given"
_BLOBS: Final = ("of_keys", "numbers", "digests")


class Told(sa.TextClause):
    """A statement for `Database.rows`, in the words of whichever database runs it."""

    inherit_cache = False


@compiles(Told)
def _in_dialect(told: Told, compiler: SQLCompiler, **words: Any) -> str:
    return compiler.process(_text(told.text, compiler.dialect.name), **words)


def with_given(
    connection: Connection, statement: str, given: Iterable[str], values: Mapping[str, object]
) -> CursorResult[Any]:
    """Run a statement that has `{given}` where a table stands: one of the texts `given`, in the column `given.value`."""
    texts = list(given)
    name = connection.dialect.name
    argument = _json(texts) if name == "sqlite" else texts
    return connection.execute(_text(statement, name), {**values, "given": argument})


def run_given(connection: Connection, statement: str, values: Mapping[str, object]) -> CursorResult[Any]:
    """Run a statement that has `{texts}`, `{rows}` or `{digests}` there; `values` has what `given_texts` and so on return."""
    return connection.execute(_text(statement, connection.dialect.name), values)


def given_texts(texts: Sequence[str]) -> Mapping[str, object]:
    """Return the parameter of `{texts}`."""
    return {"texts": _json(texts)}


def given_rows(rows: Iterable[tuple[str | int, ...]]) -> Mapping[str, object]:
    """Return the parameter of `{rows}`."""
    return {"rows": _json(rows)}


def given_digests(digests: Sequence[bytes]) -> Mapping[str, object]:
    """Return the parameters of `{digests}`, of 32 bytes each."""
    return {"digests": b"".join(digests), "places": _json(range(len(digests)))}


def _json(given: Iterable[Any]) -> str:
    return orjson.dumps(list(given)).decode()


@lru_cache(maxsize=64)
def _text(statement: str, dialect: str) -> sa.TextClause:
    text = statement.replace("{digests}", _DIGESTS)
    for word, form in _FORMS[dialect].items():
        text = text.replace(word, form)
    blobs = [sa.bindparam(name, type_=sa.LargeBinary) for name in _BLOBS if f":{name}" in text]
    return sa.text(text).bindparams(*blobs)
