"""The tables of the ledger. No table holds a phone number, a customer id or a name.

A customer is a random `sid`; what leads to it (`alias`) is a keyed digest. Times are integers
(`instant`), lists and maps are JSON text. `change_seq` is drawn from one counter inside the
transaction that writes the row: higher means committed later, which is what followers rely on.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _change_seq() -> sa.Column[int]:
    return sa.Column("change_seq", sa.BigInteger, nullable=False, unique=True)


def _sid() -> sa.Column[str]:
    return sa.Column("sid", sa.Text, sa.ForeignKey("subject.sid"), nullable=False)


change_counter = sa.Table(
    "change_counter",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""One row: the last `change_seq` that was given out. Its row lock also orders writers."""

subject = sa.Table(
    "subject",
    metadata,
    sa.Column("sid", sa.Text, primary_key=True),
    sa.Column("wrapped_key", sa.LargeBinary),
    _instant("created_at"),
    _change_seq(),
)
"""`wrapped_key` is the subject's data key under the `seal` key; NULL once it is erased."""

alias = sa.Table(
    "alias",
    metadata,
    _text("kind"),
    _text("scope"),
    sa.Column("key_version", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("sid", sa.Text, sa.ForeignKey("subject.sid"), primary_key=True),
    sa.Column("valid_from", sa.BigInteger, primary_key=True, autoincrement=False),
    _instant("valid_to", nullable=True),
    _change_seq(),
)
"""`kind` is phone or store_key, `scope` the store of a store key, `key_version` the id of the index key.

People share numbers: a phone may be current for several sids, a store key for one only.
"""

_IS_CURRENT = alias.c.valid_to.is_(None)
_IS_CURRENT_STORE_KEY = sa.and_(_IS_CURRENT, alias.c.kind == "store_key")

sa.Index(
    "uq_alias_current",
    alias.c.digest,
    alias.c.sid,
    unique=True,
    sqlite_where=_IS_CURRENT,
    postgresql_where=_IS_CURRENT,
)

sa.Index(
    "uq_alias_current_store_key",
    alias.c.digest,
    unique=True,
    sqlite_where=_IS_CURRENT_STORE_KEY,
    postgresql_where=_IS_CURRENT_STORE_KEY,
)

consent_event = sa.Table(
    "consent_event",
    metadata,
    sa.Column("record_id", sa.Text, primary_key=True),
    _sid(),
    _text("purpose"),
    _text("channel"),
    _text("type"),
    _instant("event_time"),
    _instant("received_at"),
    _instant("valid_until", nullable=True),
    _text("actor"),
    sa.Column("explicit", sa.Boolean, nullable=False),
    sa.Column("separate", sa.Boolean, nullable=False),
    _text("notice_id"),
    _text("notice_version"),
    _text("notice_language"),
    _text("notice_digest"),
    _text("controller"),
    _text("jurisdiction"),
    _text("data_classes"),
    _text("recipients"),
    _text("storage_locations"),
    sa.Column("retention_days", sa.Integer, nullable=False),
    _text("collection_method"),
    _text("withdrawal_method"),
    _text("source"),
    _text("evidence_ref"),
    _text("schema_version"),
    sa.Column("request_id", sa.Text),
    _text("request_digest"),
    _change_seq(),
    sa.UniqueConstraint("actor", "request_id"),
)
"""Append-only; the field set of ISO/IEC TS 27560:2023. `request_id` is NULL when the caller gave none."""

sa.Index(None, consent_event.c.sid, consent_event.c.purpose, consent_event.c.event_time)

principal = sa.Table(
    "principal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("kind"),
    _text("roles"),
    _text("department"),
    _text("employment"),
    _text("training"),
    _text("attributes"),
    sa.Column("is_administrator", sa.Boolean, nullable=False),
    _instant("updated_at"),
    _change_seq(),
)
"""`is_administrator` follows from `roles` at every write, so that promise 11 is one index probe."""

sa.Index(None, principal.c.is_administrator, principal.c.employment)

key_check = sa.Table(
    "key_check",
    metadata,
    sa.Column("purpose", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("check", sa.LargeBinary, nullable=False),
    _change_seq(),
)

checkpoint = sa.Table(
    "checkpoint",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    _text("note"),
    sa.Column("size", sa.BigInteger, nullable=False),
    _change_seq(),
)
"""The last signed tree head per log: an older or forked log is noticed at the next start."""
