"""Members of exports by export, then customer: a chunk is written into few pages, whatever left before it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    _key("export_id", "sid", "number")


def downgrade() -> None:
    _key("sid", "export_id", "number")


def _key(*columns: str) -> None:
    """Give the table another primary key. In SQLite the rows lie in its order, so the table is made anew."""
    if op.get_bind().dialect.name == "postgresql":  # which keeps who else may read it
        op.drop_constraint("pk_export_member", "export_member")
        op.create_primary_key("pk_export_member", "export_member", list(columns))
        return
    op.rename_table("export_member", "export_member_before")
    op.create_table(
        "export_member",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint(*columns, name="pk_export_member"),
        sqlite_with_rowid=False,
    )
    moved = "INSERT INTO export_member SELECT sid, export_id, number FROM export_member_before ORDER BY "
    op.execute(moved + ", ".join(columns))
    op.drop_table("export_member_before")
