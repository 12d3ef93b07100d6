"""What went ahead before anybody agreed, and has to be reviewed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("approval", sa.Column("review_by", sa.BigInteger(), nullable=True))
    in_review = sa.text("review_by IS NOT NULL AND ended_as IS NULL")
    op.create_index(
        "ix_approval_review",
        "approval",
        ["requester", "review_by"],
        sqlite_where=in_review,
        postgresql_where=in_review,
    )


def downgrade() -> None:
    op.drop_index("ix_approval_review", table_name="approval")
    op.drop_column("approval", "review_by")
