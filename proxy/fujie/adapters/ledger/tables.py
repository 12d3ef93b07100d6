"""The tables of the ledger. No table holds a phone number, a customer id or a name.

A customer is a random `sid`; what leads to it (`alias`) is a keyed digest. Times are integers
(`instant`), lists and maps are JSON text. `change_seq` is drawn from one counter inside the
transaction that writes the row: higher means committed later, which is what followers rely on.
"""

import sqlalchemy as sa

from fujie.adapters.ledger.columns import change_seq, instant, sid, text

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


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
    instant("created_at"),
    sa.Column("is_linked", sa.Boolean, nullable=False),
    change_seq(),
)
"""`wrapped_key` is the subject's data key under the `seal` key; NULL once it is erased. `is_linked` tells that
more counts for the subject than its aliases lead to: another was merged into it, or a number that it has or
had spoke for itself. Most are not, and cost no second read."""

_IS_LINKED = sa.text("is_linked")
sa.Index("ix_subject_linked", subject.c.sid, sqlite_where=_IS_LINKED, postgresql_where=_IS_LINKED)

alias = sa.Table(
    "alias",
    metadata,
    text("kind"),
    text("scope"),
    sa.Column("key_version", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("sid", sa.Text, sa.ForeignKey("subject.sid"), primary_key=True),
    sa.Column("valid_from", sa.BigInteger, primary_key=True, autoincrement=False),
    instant("valid_to", nullable=True),
    change_seq(),
)
"""`kind` is phone, store_key or number, `scope` the store of a store key, `key_version` the id of the index key.

People share numbers: a phone may be current for several sids (`subjects.MOST_SHARERS`), a store key for one
only. The one sid under kind number is the number itself: what was said under it, whoever said it.
"""

_IS_CURRENT = alias.c.valid_to.is_(None)
_IS_CURRENT_STORE_KEY = sa.and_(_IS_CURRENT, alias.c.kind == "store_key")
_IS_CURRENT_NUMBER = sa.and_(_IS_CURRENT, alias.c.kind == "number")

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

sa.Index(
    "uq_alias_current_number",
    alias.c.digest,
    unique=True,
    sqlite_where=_IS_CURRENT_NUMBER,
    postgresql_where=_IS_CURRENT_NUMBER,
)

sa.Index(None, alias.c.sid)

subject_link = sa.Table(
    "subject_link",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("sid", sa.Text, sa.ForeignKey("subject.sid"), primary_key=True),
    sa.Column("other", sa.Text, sa.ForeignKey("subject.sid"), primary_key=True),
    text("evidence_ref"),
    text("actor"),
    instant("created_at"),
    sa.Column("request_id", sa.Text),
    text("request_digest"),
    change_seq(),
    sa.UniqueConstraint("actor", "request_id"),
)
"""What was said, with evidence, of two subjects. Append-only.

merge: `other` and `sid` are one person, the references of `other` lead to `sid`, and what `other` refused counts
on for `sid`. split: `sid` was taken for `other`, and got a copy of everything that closed for it.
"""

_IS_MERGE = subject_link.c.kind == "merge"

sa.Index(
    "uq_subject_link_merged",
    subject_link.c.other,
    unique=True,
    sqlite_where=_IS_MERGE,
    postgresql_where=_IS_MERGE,
)
"""A subject is merged away once at most: merges are a forest, and can not run in circles."""

sa.Index(None, subject_link.c.other)

consent_event = sa.Table(
    "consent_event",
    metadata,
    sa.Column("record_id", sa.Text, primary_key=True),
    sid(),
    text("purpose"),
    text("channel"),
    text("type"),
    instant("event_time"),
    instant("received_at"),
    instant("valid_until", nullable=True),
    text("actor"),
    sa.Column("explicit", sa.Boolean, nullable=False),
    sa.Column("separate", sa.Boolean, nullable=False),
    text("notice_id"),
    text("notice_version"),
    text("notice_language"),
    text("notice_digest"),
    text("controller"),
    text("jurisdiction"),
    text("data_classes"),
    text("recipients"),
    text("storage_locations"),
    sa.Column("retention_days", sa.Integer, nullable=False),
    text("collection_method"),
    text("withdrawal_method"),
    text("source"),
    text("evidence_ref"),
    text("schema_version"),
    sa.Column("request_id", sa.Text),
    text("request_digest"),
    change_seq(),
    sa.Column("entry_origin", sa.Text),
    sa.Column("entry_index", sa.BigInteger),
    sa.UniqueConstraint("actor", "request_id"),
)
"""Append-only; the field set of ISO/IEC TS 27560:2023. `request_id` is NULL when the caller gave none.

`entry_origin` and `entry_index` tell where the entry lies that admitted the event; NULL for rows of earlier builds.
"""

sa.Index(
    "ix_consent_event_bearing",
    consent_event.c.sid,
    consent_event.c.purpose,
    consent_event.c.event_time,
    consent_event.c.change_seq,
    consent_event.c.type,
    consent_event.c.channel,
    consent_event.c.explicit,
    consent_event.c.separate,
    consent_event.c.valid_until,
)
"""All that bears on the state of consent: a row has 28 columns, and decisions on many customers would read a page for each."""

_ENDS = consent_event.c.valid_until.is_not(None)
_GIVEN = consent_event.c.type == sa.literal_column("'given'")
sa.Index(
    "ix_consent_event_end",
    consent_event.c.purpose,
    consent_event.c.valid_until,
    sqlite_where=_ENDS,
    postgresql_where=_ENDS,
)
sa.Index(
    "ix_consent_event_given",
    consent_event.c.purpose,
    consent_event.c.event_time,
    sqlite_where=_GIVEN,
    postgresql_where=_GIVEN,
)

suppression = sa.Table(
    "suppression",
    metadata,
    sa.Column("suppression_id", sa.Text, primary_key=True),
    sid(),
    text("purpose"),
    text("channel"),
    text("brand"),
    instant("event_time"),
    instant("received_at"),
    text("source"),
    text("evidence_ref"),
    text("actor"),
    sa.Column("request_id", sa.Text),
    text("request_digest"),
    change_seq(),
    sa.Column("entry_origin", sa.Text),
    sa.Column("entry_index", sa.BigInteger),
    sa.UniqueConstraint("actor", "request_id"),
)
"""Opt-outs, append-only. An empty `purpose`, `channel` or `brand` stands for all of them. `entry_origin` and
`entry_index` are as in `consent_event`, here and in `suppression_lift`; a copy that a split made has none."""

sa.Index(None, suppression.c.sid)

suppression_lift = sa.Table(
    "suppression_lift",
    metadata,
    sa.Column("suppression_id", sa.Text, sa.ForeignKey("suppression.suppression_id"), primary_key=True),
    text("method"),
    text("evidence_ref"),
    instant("event_time"),
    instant("received_at"),
    text("actor"),
    sa.Column("request_id", sa.Text),
    change_seq(),
    sa.Column("entry_origin", sa.Text),
    sa.Column("entry_index", sa.BigInteger),
    sa.UniqueConstraint("actor", "request_id"),
)
"""What lifted an opt-out: a confirmed act of the customer. Append-only, one at most for each."""

notice = sa.Table(
    "notice",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    text("content"),
    instant("kept_at"),
    change_seq(),
)
"""Every notice that was shown to somebody, whole, as it was shown. Never changed: a version has one content."""

principal = sa.Table(
    "principal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    text("kind"),
    text("roles"),
    text("department"),
    text("employment"),
    text("training"),
    text("attributes"),
    sa.Column("is_administrator", sa.Boolean, nullable=False),
    instant("updated_at"),
    change_seq(),
    instant("training_until", nullable=True),
    instant("offboard_at", nullable=True),
    sa.Column("devices", sa.Text, nullable=False, server_default="[]"),
    sa.Column("is_leaving", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("suspended_by", sa.Text, nullable=False, server_default=""),
)
"""`is_administrator` follows from `roles` at every write, so that promise 11 is one index probe. From `offboard_at` on somebody
is OFFBOARDED whatever `employment` says; `training_until` ends a VALID training likewise. `is_leaving` holds from when an
offboarding is ordered until all that goes with it is done: a process that dies in between leaves it for another."""

sa.Index(
    "ix_principal_leaving",
    principal.c.offboard_at,
    sqlite_where=principal.c.is_leaving.is_(True),
    postgresql_where=principal.c.is_leaving.is_(True),
)

sa.Index(None, principal.c.is_administrator, principal.c.employment)

approval = sa.Table(
    "approval",
    metadata,
    sa.Column("approval_id", sa.Text, primary_key=True),
    text("requester"),
    text("parties"),
    text("action"),
    text("purpose"),
    text("basis"),
    text("store"),
    text("fields"),
    sa.Column("rows", sa.Integer, nullable=False),
    text("request_digest"),
    text("ballots"),
    instant("created_at"),
    instant("expires_at"),
    sa.Column("ended_as", sa.Text),
    sa.Column("ended_by", sa.Text),
    instant("ended_at", nullable=True),
    sa.Column("decision_id", sa.Text),
    change_seq(),
    sa.Column("ended_comment", sa.Text),
    sa.Column("terms", sa.Text, nullable=False, server_default=""),
    sa.Column("escalates_at", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("told", sa.SmallInteger, nullable=False, server_default="3"),
    sa.Column("review_by", sa.BigInteger),
)
"""Approvals. `ballots` holds each requirement with its votes, `expires_at` follows from it at every vote. The end of one
(`ended_as` to `ended_comment`) is written once; NULL until then. No customer stands here, only in `request_digest`, and in
the sealed `terms` of an export, which go with its end. `told` is a `Stage`; who is told nothing more has the last.
With `review_by` it is no approval: somebody went ahead without one."""

sa.Index(None, approval.c.requester, approval.c.request_digest)
# Closed ones stay for ever; to count the open ones of a requester must not cost by what he closed.
sa.Index(
    "ix_approval_open",
    approval.c.requester,
    approval.c.expires_at,
    sqlite_where=approval.c.ended_as.is_(None),
    postgresql_where=approval.c.ended_as.is_(None),
)

sa.Index(
    "ix_approval_due",
    approval.c.approval_id,
    sqlite_where=approval.c.told < 3,
    postgresql_where=approval.c.told < 3,
)

_IN_REVIEW = sa.and_(approval.c.review_by.is_not(None), approval.c.ended_as.is_(None))
sa.Index(
    "ix_approval_review",
    approval.c.requester,
    approval.c.review_by,
    sqlite_where=_IN_REVIEW,
    postgresql_where=_IN_REVIEW,
)

approval_role = sa.Table(
    "approval_role",
    metadata,
    sa.Column("approval_id", sa.Text, sa.ForeignKey("approval.approval_id"), primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
)
"""The roles that may vote on an approval; written with it and never changed, so that it needs no `change_seq`."""

sa.Index(None, approval_role.c.role)

key_check = sa.Table(
    "key_check",
    metadata,
    sa.Column("purpose", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("check", sa.LargeBinary, nullable=False),
    change_seq(),
)

checkpoint = sa.Table(
    "checkpoint",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    text("note"),
    sa.Column("size", sa.BigInteger, nullable=False),
    change_seq(),
)
"""The last signed tree head per log: an older or forked log is noticed at the next start."""
