"""The table of what other systems are told by webhook."""

import sqlalchemy as sa

from fujie.adapters.ledger.columns import change_seq, instant, text
from fujie.adapters.ledger.tables import metadata

notification = sa.Table(
    "notification",
    metadata,
    sa.Column("notification_id", sa.Text, primary_key=True),
    text("kind"),
    text("subject"),
    text("payload"),
    instant("created_at"),
    instant("due_at", nullable=True),
    instant("next_at", nullable=True),
    instant("sent_at", nullable=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    instant("acknowledged_at", nullable=True),
    text("acknowledged_by"),
    change_seq(),
)
"""`next_at` is when it may be tried (again), by anybody: who takes it moves it on, so that it is also the lease. NULL: nobody
tries any more, since it was sent, or acknowledged, or given up."""

IS_WAITING = notification.c.next_at.is_not(None)
IS_UNANSWERED = sa.and_(notification.c.due_at.is_not(None), notification.c.acknowledged_at.is_(None))

sa.Index(
    "ix_notification_waiting",
    notification.c.next_at,
    sqlite_where=IS_WAITING,
    postgresql_where=IS_WAITING,
)
sa.Index(
    "ix_notification_unanswered",
    notification.c.due_at,
    sqlite_where=IS_UNANSWERED,
    postgresql_where=IS_UNANSWERED,
)
sa.Index("ix_notification_subject", notification.c.subject, notification.c.created_at)
