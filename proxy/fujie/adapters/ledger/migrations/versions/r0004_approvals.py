"""Approvals. Tokens that are used once are gone: nobody ever took one, and an approval ends by its own row."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("parties", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("ballots", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_as", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("decision_id", sa.Text(), nullable=True),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("approval_id", name="pk_approval"),
        sa.UniqueConstraint("change_seq", name="uq_approval_change_seq"),
    )
    op.create_index("ix_approval_requester_request_digest", "approval", ["requester", "request_digest"])
    is_open = sa.text("ended_as IS NULL")
    op.create_index(
        "ix_approval_open",
        "approval",
        ["requester", "expires_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "approval_role",
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval.approval_id"], name="fk_approval_role_approval_id"
        ),
        sa.PrimaryKeyConstraint("approval_id", "role", name="pk_approval_role"),
    )
    op.create_index("ix_approval_role_role", "approval_role", ["role"])
    op.drop_index("ix_used_once_expires_at", table_name="used_once")
    op.drop_table("used_once")


def downgrade() -> None:
    op.create_table(
        "used_once",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "digest", name="pk_used_once"),
    )
    op.create_index("ix_used_once_expires_at", "used_once", ["expires_at"])
    op.drop_index("ix_approval_role_role", table_name="approval_role")
    op.drop_table("approval_role")
    op.drop_index("ix_approval_open", table_name="approval")
    op.drop_index("ix_approval_requester_request_digest", table_name="approval")
    op.drop_table("approval")
