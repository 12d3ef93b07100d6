"""Bring a ledger to the schema of this build, by Alembic, without an ini file on disk."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from fujie.adapters.ledger.sqlite import error_name, file_of, writing_engine
from fujie.model.errors import StartError

_SCRIPTS = Path(__file__).parent / "migrations"


def migration_config(connection: Connection) -> Config:
    """Return an Alembic configuration that runs in the transaction of `connection`."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> None:
    """Create or migrate the ledger at `url` in one transaction; does nothing when it is current.

    Several processes may start at once: the write lock lets one migrate while the others wait.

    Raises:
        StartError: LEDGER_UNSUPPORTED, LEDGER_UNAVAILABLE, or LEDGER_NEWER when a later build wrote it.

    """
    engine = writing_engine(file_of(url))
    try:
        with engine.begin() as connection:
            command.upgrade(migration_config(connection), "head")
    except CommandError:
        raise StartError(
            "LEDGER_NEWER",
            "the ledger has a schema that this build does not know",
            "Run the build that wrote it, or a later one.",
        ) from None
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StartError(
            "LEDGER_UNAVAILABLE", f"the ledger cannot be opened: {error_name(error)}"
        ) from None
    finally:
        engine.dispose()
