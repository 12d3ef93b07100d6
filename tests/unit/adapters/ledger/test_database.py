"""Lists of any length by few statements."""

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.ledger.database import members, one_of, padded_size
from fujie.adapters.ledger.tables import alias, metadata, subject


@given(st.lists(st.integers(), min_size=1, max_size=300))
def test_padding_adds_only_what_is_there(values: list[int]) -> None:
    filled = members(values)
    assert set(filled.values()) == set(values)
    assert len(filled) == padded_size(len(values))
    assert filled.keys() == one_of(subject.c.sid, padded_size(len(values))).compile().params.keys()


def test_a_thousand_lengths_need_eleven_statements() -> None:
    sizes = {padded_size(count) for count in range(1, 1001)}
    assert sizes == {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}


def test_the_tables_port_to_postgresql() -> None:
    dialect = sa.make_url("postgresql+psycopg://").get_dialect()()
    for table in metadata.sorted_tables:
        ddl = str(sa.schema.CreateTable(table).compile(dialect=dialect))
        assert "CREATE TABLE" in ddl
        for index in table.indexes:
            sa.schema.CreateIndex(index).compile(dialect=dialect)


def test_a_partial_index_is_partial_in_every_database() -> None:
    for name in ("sqlite://", "postgresql+psycopg://"):
        dialect = sa.make_url(name).get_dialect()()
        ddl = {str(sa.schema.CreateIndex(index).compile(dialect=dialect)) for index in alias.indexes}
        assert ddl == {
            "CREATE UNIQUE INDEX uq_alias_current ON alias (digest, sid) WHERE valid_to IS NULL",
            "CREATE UNIQUE INDEX uq_alias_current_store_key ON alias (digest) WHERE valid_to IS NULL AND kind = 'store_key'",
            "CREATE UNIQUE INDEX uq_alias_current_number ON alias (digest) WHERE valid_to IS NULL AND kind = 'number'",
            "CREATE INDEX ix_alias_sid ON alias (sid)",
        }
