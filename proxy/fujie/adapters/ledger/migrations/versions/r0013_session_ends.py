"""Up to when the console sessions of somebody are over."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "session_end",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", name="pk_session_end"),
        sa.UniqueConstraint("change_seq", name="uq_session_end_change_seq"),
    )


def downgrade() -> None:
    op.drop_table("session_end")
