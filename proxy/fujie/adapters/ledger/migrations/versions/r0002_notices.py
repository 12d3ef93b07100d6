"""Notices that were used, and where the entry lies that admitted a consent event."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name="pk_notice"),
        sa.UniqueConstraint("change_seq", name="uq_notice_change_seq"),
    )
    op.add_column("consent_event", sa.Column("entry_origin", sa.Text(), nullable=True))
    op.add_column("consent_event", sa.Column("entry_index", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("consent_event", "entry_index")
    op.drop_column("consent_event", "entry_origin")
    op.drop_table("notice")
