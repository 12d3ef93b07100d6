"""Notifications; when somebody leaves, until when a training counts, and which devices somebody has."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "notification",
        sa.Column("notification_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("notification_id", name="pk_notification"),
        sa.UniqueConstraint("change_seq", name="uq_notification_change_seq"),
    )
    is_waiting = sa.text("next_at IS NOT NULL")
    op.create_index(
        "ix_notification_waiting",
        "notification",
        ["next_at"],
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )
    is_unanswered = sa.text("due_at IS NOT NULL AND acknowledged_at IS NULL")
    op.create_index(
        "ix_notification_unanswered",
        "notification",
        ["due_at"],
        sqlite_where=is_unanswered,
        postgresql_where=is_unanswered,
    )
    op.create_index("ix_notification_subject", "notification", ["subject", "created_at"])
    with op.batch_alter_table("principal") as principal:
        principal.add_column(sa.Column("training_until", sa.BigInteger(), nullable=True))
        principal.add_column(sa.Column("offboard_at", sa.BigInteger(), nullable=True))
        principal.add_column(sa.Column("devices", sa.Text(), nullable=False, server_default="[]"))
        principal.add_column(
            sa.Column("is_leaving", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    is_leaving = sa.text("is_leaving IS true")
    op.create_index(
        "ix_principal_leaving",
        "principal",
        ["offboard_at"],
        sqlite_where=sa.text("is_leaving IS 1"),
        postgresql_where=is_leaving,
    )


def downgrade() -> None:
    op.drop_index("ix_principal_leaving", table_name="principal")
    with op.batch_alter_table("principal") as principal:
        principal.drop_column("is_leaving")
        principal.drop_column("devices")
        principal.drop_column("offboard_at")
        principal.drop_column("training_until")
    op.drop_index("ix_notification_subject", table_name="notification")
    op.drop_index("ix_notification_unanswered", table_name="notification")
    op.drop_index("ix_notification_waiting", table_name="notification")
    op.drop_table("notification")
