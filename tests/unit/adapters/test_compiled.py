"""SELECTs compiled once: arguments in the order of the text, constants kept, nothing forgotten."""

import sqlite3

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from fujie.adapters.compiled import CompiledSelect

T = sa.table("t", sa.column("a"), sa.column("b"))


def compiled(select: sa.Select[tuple[object]]) -> CompiledSelect:
    return CompiledSelect(select, SQLiteDialect_pysqlite())


def test_arguments_follow_the_text_not_the_caller() -> None:
    query = compiled(
        sa.select(T.c.a).where(T.c.b == sa.bindparam("second"), T.c.a == sa.bindparam("first")).limit(2)
    )
    raw = sqlite3.connect(":memory:")
    raw.executescript("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, 'x'), ('x', 1)")
    assert raw.execute(query.text, query.arguments({"first": 1, "second": "x", "other": 9})).fetchall() == [
        (1,),
        (1,),
    ]
    assert raw.execute(query.text, query.arguments({"first": "x", "second": 1})).fetchall() == [("x",)]
    raw.close()


def test_a_parameter_without_a_value_is_an_error_and_none_is_a_value() -> None:
    query = compiled(sa.select(T.c.a).where(T.c.b == sa.bindparam("needed")))
    with pytest.raises(KeyError):
        query.arguments({})
    assert query.arguments({"needed": None}) == (None,)
