"""Exports: what left in which chunks, with whom in them, and the keys of leased files."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "export",
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("approval", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("opens_left", sa.Integer(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.Column("closed_why", sa.Text(), nullable=False),
        sa.Column("keys_until", sa.BigInteger(), nullable=True),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("export_id", name="pk_export"),
    )
    op.create_index("ix_export_requester_export_id", "export", ["requester", "export_id"])
    has_keys = sa.text("keys_until IS NOT NULL")
    op.create_index(
        "ix_export_keys", "export", ["keys_until"], sqlite_where=has_keys, postgresql_where=has_keys
    )
    op.create_table(
        "export_chunk",
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["export_id"], ["export.export_id"], name="fk_export_chunk_export_id"),
        sa.PrimaryKeyConstraint("export_id", "number", name="pk_export_chunk"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "export_member",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("sid", "export_id", "number", name="pk_export_member"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "export_opening",
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["export_id"], ["export.export_id"], name="fk_export_opening_export_id"),
        sa.PrimaryKeyConstraint("export_id", "number", name="pk_export_opening"),
    )


def downgrade() -> None:
    op.drop_table("export_opening")
    op.drop_table("export_member")
    op.drop_table("export_chunk")
    op.drop_index("ix_export_keys", table_name="export")
    op.drop_index("ix_export_requester_export_id", table_name="export")
    op.drop_table("export")
