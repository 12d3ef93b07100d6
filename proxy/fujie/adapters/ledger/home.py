"""What the server of a ledger must be before it is used, and where its tables lie."""

from typing import Final

from fujie.adapters.ledger.server import Server
from fujie.adapters.ledger.tables import metadata
from fujie.adapters.postgresql_session import open_session
from fujie.model.errors import StartError

CONNECT_LIMIT_S: Final = 2.0
"""How long it may take to reach the server and log in."""

SESSION: Final = {
    "application_name": "fujie",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "3000",
    "lock_timeout": "2000",
    # A process that hangs in the middle of a `write` would stop every writer of the company.
    "idle_in_transaction_session_timeout": "5000",
    # A policy would hide rows, and a hidden opt-out is none: a statement that meets one fails instead.
    "row_security": "off",
}
"""What our sessions ask of the server; times in milliseconds. It wins over defaults of role and database."""

_HOME: Final = """
SELECT DISTINCT pg_catalog.quote_ident(n.nspname), c.relkind IN ('r', 'p') AND NOT c.relhasrules AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 66 <> 0)
FROM pg_catalog.unnest($1::text[]) AS of (name)
LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(of.name))
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""
"""The schema of each table that our names find, and whether it keeps every row that it is given: a rule, or a trigger
BEFORE (2) or INSTEAD (64), may drop a withdrawal and report success."""


async def home_of(server: Server) -> str:
    """Return the schema of the ledger, to look for tables there alone: a schema in front could hide opt-outs.

    Raises StartError LEDGER_UNSUPPORTED, TimeoutError, or what asyncpg raises.
    """
    connection = await open_session({**server.connection(), "timeout": CONNECT_LIMIT_S}, SESSION)
    try:
        encoding = connection.get_settings().server_encoding
        found = await connection.fetch(_HOME, [*metadata.tables, "alembic_version"])
    finally:
        connection.terminate()
    if encoding != "UTF8":
        raise StartError(
            "LEDGER_UNSUPPORTED",
            f"the database of the ledger has the encoding {encoding}",
            "Make a database with ENCODING 'UTF8'.",
        )
    if len(found) != 1 or not found[0][1]:
        raise StartError(
            "LEDGER_UNSUPPORTED",
            "the tables of the ledger lie in several schemas, or have rules or triggers that may drop rows",
            "Keep them in one schema that nobody else writes to; look at search_path of the role.",
        )
    return f"{found[0][0]}, pg_temp"
