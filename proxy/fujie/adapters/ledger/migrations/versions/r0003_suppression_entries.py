"""Where the entries lie that admitted an opt-out and its lift. What was written before keeps NULL: nothing is made up."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = ("suppression", "suppression_lift")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("entry_origin", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("entry_index", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "entry_index")
        op.drop_column(table, "entry_origin")
