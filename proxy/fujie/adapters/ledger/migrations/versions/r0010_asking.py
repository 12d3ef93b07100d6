"""What messages ask for, what came of replies, and when consents end."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("message", sa.Column("asks", sa.Text(), nullable=True))
    _index("ix_message_asks", "message", ["changed_at"], "asks IS NOT NULL")
    op.add_column("reply", sa.Column("outcome", sa.Text(), nullable=False, server_default=""))
    _index("ix_reply_waiting", "reply", ["change_seq"], "reviewed_at IS NULL")
    op.create_index("ix_reply_id", "reply", ["reply_id"])
    _index("ix_consent_event_end", "consent_event", ["purpose", "valid_until"], "valid_until IS NOT NULL")
    _index("ix_consent_event_given", "consent_event", ["purpose", "event_time"], "type = 'given'")


def downgrade() -> None:
    op.drop_index("ix_consent_event_given", table_name="consent_event")
    op.drop_index("ix_consent_event_end", table_name="consent_event")
    op.drop_index("ix_reply_id", table_name="reply")
    op.drop_index("ix_reply_waiting", table_name="reply")
    op.drop_column("reply", "outcome")
    op.drop_index("ix_message_asks", table_name="message")
    op.drop_column("message", "asks")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
