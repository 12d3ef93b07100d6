"""Who suspended a principal: only who did is taken at his word when he says that it may work again."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # Whoever is suspended already keeps the empty text: nobody's in particular, so no provisioner's own.
    op.add_column("principal", sa.Column("suspended_by", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("principal", "suspended_by")
