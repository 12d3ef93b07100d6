"""The tables of customers' rights: what they ask of us, and an index of the log that says what was disclosed of them."""

import sqlalchemy as sa

from fujie.adapters.ledger.columns import change_seq, instant, sid, text
from fujie.adapters.ledger.outbox_tables import in_state
from fujie.adapters.ledger.tables import metadata

subject_request = sa.Table(
    "subject_request",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sid(),
    text("kind"),
    text("state"),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    instant("received_at"),
    instant("due_at"),
    instant("resolved_at", nullable=True),
    text("resolved_by"),
    text("outcome"),
    text("evidence_ref"),
    change_seq(),
)
"""What the customer wrote is sealed under the data key of `sid`."""

_IS_OPEN = in_state(subject_request.c.state, "OPEN")

sa.Index(
    "uq_subject_request_open",
    subject_request.c.sid,
    subject_request.c.kind,
    unique=True,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
sa.Index("ix_subject_request_sid", subject_request.c.sid)

disclosure = sa.Table(
    "disclosure",
    metadata,
    sa.Column("sid", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("action", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)
"""How often entries of a day (ISO 8601, in the zone of the policies) name a customer. Made from the log, and from it
alone: a sid that the ledger does not know any more stops nothing, so there is no foreign key."""

disclosure_position = sa.Table(
    "disclosure_position",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("next_index", sa.BigInteger, nullable=False),
)
"""Up to before which entry each log is in `disclosure`."""
