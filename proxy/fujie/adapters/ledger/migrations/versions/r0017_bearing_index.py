"""What bears on consent stands in the index by customer, and who is linked in an index of the few who are: the statement for many
customers reads no row of either table."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_OLD, _NEW, _LINKED = (
    "ix_consent_event_sid_purpose_event_time",
    "ix_consent_event_bearing",
    "ix_subject_linked",
)
_KEY = ["sid", "purpose", "event_time", "change_seq"]
_BEARING = [*_KEY, "type", "channel", "explicit", "separate", "valid_until"]
_IS_LINKED = sa.text("is_linked")


def upgrade() -> None:
    op.create_index(_NEW, "consent_event", _BEARING)
    op.drop_index(_OLD, "consent_event")
    op.create_index(_LINKED, "subject", ["sid"], sqlite_where=_IS_LINKED, postgresql_where=_IS_LINKED)


def downgrade() -> None:
    op.drop_index(_LINKED, "subject")
    op.create_index(_OLD, "consent_event", _KEY[:3])
    op.drop_index(_NEW, "consent_event")
