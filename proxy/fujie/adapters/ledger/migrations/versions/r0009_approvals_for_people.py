"""What those who decide on an approval are shown and told. Of what was asked before, nobody is told anything more."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("approval", sa.Column("ended_comment", sa.Text(), nullable=True))
    op.add_column("approval", sa.Column("terms", sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "approval", sa.Column("escalates_at", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("approval", sa.Column("told", sa.SmallInteger(), nullable=False, server_default="3"))
    is_due = sa.text("told < 3")
    op.create_index(
        "ix_approval_due", "approval", ["approval_id"], sqlite_where=is_due, postgresql_where=is_due
    )


def downgrade() -> None:
    op.drop_index("ix_approval_due", table_name="approval")
    for column in ("told", "escalates_at", "terms", "ended_comment"):
        op.drop_column("approval", column)
