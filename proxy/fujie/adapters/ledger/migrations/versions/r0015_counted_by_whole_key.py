"""An index by day that serves to forget days alone: who was counted is found by the whole key, whatever the size of the table."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_NAME, _TABLE = "ix_usage_customer_day", "usage_customer"
_EVERY = sa.text("day > 0")


def upgrade() -> None:
    op.drop_index(_NAME, _TABLE)
    op.create_index(_NAME, _TABLE, ["day"], sqlite_where=_EVERY, postgresql_where=_EVERY)


def downgrade() -> None:
    op.drop_index(_NAME, _TABLE)
    op.create_index(_NAME, _TABLE, ["day"])
