"""The tables of exports: what left, in which chunks, with whom in them, under which keys, and who opened it.

They grow with every chunk that leaves, and nobody follows them: no `change_seq`, for which all writers would take turns.
"""

import sqlalchemy as sa

from fujie.adapters.ledger.columns import instant, text
from fujie.adapters.ledger.tables import metadata

export = sa.Table(
    "export",
    metadata,
    sa.Column("export_id", sa.Text, primary_key=True),
    text("requester"),
    text("caller"),
    text("store"),
    text("purpose"),
    text("basis"),
    text("steps"),
    text("request_digest"),
    text("bundle"),
    text("format"),
    text("approval"),
    instant("started_at"),
    text("state"),
    instant("ended_at", nullable=True),
    text("reason"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    instant("lease_expires_at", nullable=True),
    sa.Column("opens_left", sa.Integer, nullable=False),
    instant("closed_at", nullable=True),
    text("closed_by"),
    text("closed_why"),
    instant("keys_until", nullable=True),
    text("grants"),
)
"""`rows` follows the chunks. `keys_until` is when the keys are to be destroyed: the end of the lease, or the moment of an
earlier closing; NULL where there are none, or none any more. What died in between is found by it, and ended."""

sa.Index(None, export.c.requester, export.c.export_id)

HAS_KEYS = export.c.keys_until.is_not(None)

sa.Index("ix_export_keys", export.c.keys_until, sqlite_where=HAS_KEYS, postgresql_where=HAS_KEYS)

export_chunk = sa.Table(
    "export_chunk",
    metadata,
    sa.Column("export_id", sa.Text, sa.ForeignKey("export.export_id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("wrapped_key", sa.LargeBinary),
    sqlite_with_rowid=False,
)
"""`wrapped_key` is NULL where there never was one, or once it is destroyed."""

export_member = sa.Table(
    "export_member",
    metadata,
    sa.Column("sid", sa.Text, nullable=False),
    sa.Column("export_id", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint("export_id", "sid", "number"),
    sqlite_with_rowid=False,
)
"""Which chunks of which exports hold a customer. By export first: a chunk is then written into few pages, however many exports
held the same customers before, and a trace looks once into each export. Written by the million, so without foreign keys to look up: a row is
written in the transaction of its chunk, and neither a chunk nor a subject is ever deleted."""

export_opening = sa.Table(
    "export_opening",
    metadata,
    sa.Column("export_id", sa.Text, sa.ForeignKey("export.export_id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    text("principal"),
    instant("opened_at"),
)
"""Each time that a leased file was opened, numbered from 1. Append-only."""
