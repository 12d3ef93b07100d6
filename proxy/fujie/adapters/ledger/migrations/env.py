"""Alembic's entry point: runs inside the transaction that `fujie.adapters.ledger.migrate` began."""

from alembic import context

from fujie.adapters.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,  # SQLite's DDL is transactional once BEGIN is ours
)
with context.begin_transaction():
    context.run_migrations()
