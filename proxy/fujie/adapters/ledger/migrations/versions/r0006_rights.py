"""The rights of customers: their requests, and an index of what was disclosed of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "subject_request",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("evidence_ref", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_subject_request_sid"),
        sa.PrimaryKeyConstraint("request_id", name="pk_subject_request"),
        sa.UniqueConstraint("change_seq", name="uq_subject_request_change_seq"),
    )
    is_open = sa.text("state = 'OPEN'")
    op.create_index(
        "uq_subject_request_open",
        "subject_request",
        ["sid", "kind"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_subject_request_sid", "subject_request", ["sid"])
    op.create_table(
        "disclosure",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "day", "action", "purpose", name="pk_disclosure"),
    )
    op.create_table(
        "disclosure_position",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("next_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", name="pk_disclosure_position"),
    )


def downgrade() -> None:
    op.drop_table("disclosure_position")
    op.drop_table("disclosure")
    op.drop_index("ix_subject_request_sid", table_name="subject_request")
    op.drop_index("uq_subject_request_open", table_name="subject_request")
    op.drop_table("subject_request")
