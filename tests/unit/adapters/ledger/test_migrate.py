"""Migrations and metadata agree, go up and down, and refuse what they do not know."""

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fujie.adapters.ledger.migrate import migration_config, upgrade
from fujie.adapters.ledger.sqlite import writing_engine
from fujie.adapters.ledger.tables import metadata
from fujie.model.errors import StartError


def condition(index: Mapping[str, Any]) -> str:
    return str(index.get("dialect_options", {}).get("sqlite_where", ""))


def schema(path: Path) -> dict[str, Any]:
    """Return everything that the inspector tells of each of our tables."""
    engine = sa.create_engine(f"sqlite:///{path}")
    look = sa.inspect(engine)
    found = {
        name: (
            [{**column, "type": str(column["type"])} for column in look.get_columns(name)],
            look.get_pk_constraint(name),
            sorted(map(str, look.get_foreign_keys(name))),
            sorted(map(str, look.get_unique_constraints(name))),
            sorted(
                (str(index["name"]), index["column_names"], index["unique"], condition(index))
                for index in look.get_indexes(name)
            ),
            sorted(map(str, look.get_check_constraints(name))),
        )
        for name in look.get_table_names()
        if name != "alembic_version"
    }
    engine.dispose()
    return found


def test_migrations_make_exactly_the_tables_of_the_metadata(tmp_path: Path) -> None:
    migrated, created = tmp_path / "migrated.db", tmp_path / "created.db"
    upgrade(f"sqlite:///{migrated}")
    engine = sa.create_engine(f"sqlite:///{created}")
    metadata.create_all(engine)
    engine.dispose()
    assert schema(migrated) == schema(created)
    assert schema(migrated).keys() == metadata.tables.keys()
    engine = sa.create_engine(f"sqlite:///{migrated}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_every_table_has_a_unique_change_seq() -> None:
    without = {
        name
        for name, table in metadata.tables.items()
        if "change_seq" not in table.c or not table.c.change_seq.unique
    }
    assert without == {"change_counter"}


def test_migrations_go_down_to_nothing_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    upgrade(f"sqlite:///{path}")
    before = schema(path)
    engine = writing_engine(path)
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
    assert schema(path) == {}
    engine.dispose()
    upgrade(f"sqlite:///{path}")
    assert schema(path) == before


def test_a_current_ledger_keeps_its_counter(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    upgrade(f"sqlite:///{path}")
    raw = sqlite3.connect(path)
    raw.execute("UPDATE change_counter SET value = 41")
    raw.commit()
    upgrade(f"sqlite:///{path}")
    assert raw.execute("SELECT id, value FROM change_counter").fetchall() == [(1, 41)]
    raw.close()


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE consent_event (x)")  # the last table that the revision makes
    raw.commit()
    with pytest.raises(StartError) as refused:
        upgrade(f"sqlite:///{path}")
    assert refused.value.code == "LEDGER_UNAVAILABLE"
    assert raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [
        ("consent_event",)
    ]
    raw.close()


def test_many_can_create_one_ledger_at_once(tmp_path: Path) -> None:
    url, failures = f"sqlite:///{tmp_path}/ledger.db", list[BaseException]()

    def run() -> None:
        try:
            upgrade(url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_ledger_of_a_later_build_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    upgrade(f"sqlite:///{path}")
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(StartError) as refused:
        upgrade(f"sqlite:///{path}")
    assert refused.value.code == "LEDGER_NEWER"


@pytest.mark.parametrize("kind", ["text", "directory", "nowhere"])
def test_what_is_no_ledger_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.db"
    if kind == "text":
        path.write_text("this is not a database, but it is long enough to be read as one" * 20)
    elif kind == "directory":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "ledger.db"
    with pytest.raises(StartError) as refused:
        upgrade(f"sqlite:///{path}")
    assert refused.value.code == "LEDGER_UNAVAILABLE"


def test_a_percent_sign_in_the_path_is_only_a_character(tmp_path: Path) -> None:
    directory = tmp_path / "100%(x)s"
    directory.mkdir()
    upgrade(f"sqlite:///{directory}/ledger.db".replace("%", "%25"))
    assert list(tmp_path.iterdir()) == [directory]
