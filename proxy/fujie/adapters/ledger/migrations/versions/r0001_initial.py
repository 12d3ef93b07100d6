"""The first schema of the ledger. A revision is never edited once it was released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_state_of_the_ledger()
    _create_principals()
    _create_customers()
    _create_consents()
    _create_suppressions()
    _create_usage()
    op.execute("INSERT INTO change_counter (id, value) VALUES (1, 0)")


def _create_state_of_the_ledger() -> None:
    op.create_table(
        "change_counter",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_counter"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", name="pk_checkpoint"),
        sa.UniqueConstraint("change_seq", name="uq_checkpoint_change_seq"),
    )
    op.create_table(
        "key_check",
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("check", sa.LargeBinary(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "key_id", name="pk_key_check"),
        sa.UniqueConstraint("change_seq", name="uq_key_check_change_seq"),
    )


def _create_principals() -> None:
    op.create_table(
        "principal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("employment", sa.Text(), nullable=False),
        sa.Column("training", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("is_administrator", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_principal"),
        sa.UniqueConstraint("change_seq", name="uq_principal_change_seq"),
    )
    op.create_index(
        "ix_principal_is_administrator_employment",
        "principal",
        ["is_administrator", "employment"],
        unique=False,
    )


def _create_customers() -> None:
    op.create_table(
        "subject",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("is_linked", sa.Boolean(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_subject"),
        sa.UniqueConstraint("change_seq", name="uq_subject_change_seq"),
    )
    op.create_table(
        "alias",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key_version", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_alias_sid"),
        sa.PrimaryKeyConstraint("key_version", "digest", "sid", "valid_from", name="pk_alias"),
        sa.UniqueConstraint("change_seq", name="uq_alias_change_seq"),
    )
    op.create_index(
        "uq_alias_current",
        "alias",
        ["digest", "sid"],
        unique=True,
        sqlite_where=sa.text("valid_to IS NULL"),
        postgresql_where=sa.text("valid_to IS NULL"),
    )
    op.create_index(
        "uq_alias_current_store_key",
        "alias",
        ["digest"],
        unique=True,
        sqlite_where=sa.text("valid_to IS NULL AND kind = 'store_key'"),
        postgresql_where=sa.text("valid_to IS NULL AND kind = 'store_key'"),
    )
    op.create_index(
        "uq_alias_current_number",
        "alias",
        ["digest"],
        unique=True,
        sqlite_where=sa.text("valid_to IS NULL AND kind = 'number'"),
        postgresql_where=sa.text("valid_to IS NULL AND kind = 'number'"),
    )
    op.create_index("ix_alias_sid", "alias", ["sid"], unique=False)
    _create_links()


def _create_links() -> None:
    op.create_table(
        "subject_link",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("evidence_ref", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_subject_link_sid"),
        sa.ForeignKeyConstraint(["other"], ["subject.sid"], name="fk_subject_link_other"),
        sa.PrimaryKeyConstraint("kind", "sid", "other", name="pk_subject_link"),
        sa.UniqueConstraint("change_seq", name="uq_subject_link_change_seq"),
        sa.UniqueConstraint("actor", "request_id", name="uq_subject_link_actor_request_id"),
    )
    op.create_index(
        "uq_subject_link_merged",
        "subject_link",
        ["other"],
        unique=True,
        sqlite_where=sa.text("kind = 'merge'"),
        postgresql_where=sa.text("kind = 'merge'"),
    )
    op.create_index("ix_subject_link_other", "subject_link", ["other"], unique=False)


def _create_suppressions() -> None:
    op.create_table(
        "suppression",
        sa.Column("suppression_id", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("evidence_ref", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_suppression_sid"),
        sa.PrimaryKeyConstraint("suppression_id", name="pk_suppression"),
        sa.UniqueConstraint("change_seq", name="uq_suppression_change_seq"),
        sa.UniqueConstraint("actor", "request_id", name="uq_suppression_actor_request_id"),
    )
    op.create_index("ix_suppression_sid", "suppression", ["sid"], unique=False)
    op.create_table(
        "suppression_lift",
        sa.Column("suppression_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("evidence_ref", sa.Text(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["suppression_id"], ["suppression.suppression_id"], name="fk_suppression_lift_suppression_id"
        ),
        sa.PrimaryKeyConstraint("suppression_id", name="pk_suppression_lift"),
        sa.UniqueConstraint("change_seq", name="uq_suppression_lift_change_seq"),
        sa.UniqueConstraint("actor", "request_id", name="uq_suppression_lift_actor_request_id"),
    )


def _create_consents() -> None:
    op.create_table(
        "consent_event",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("explicit", sa.Boolean(), nullable=False),
        sa.Column("separate", sa.Boolean(), nullable=False),
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("notice_version", sa.Text(), nullable=False),
        sa.Column("notice_language", sa.Text(), nullable=False),
        sa.Column("notice_digest", sa.Text(), nullable=False),
        sa.Column("controller", sa.Text(), nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=False),
        sa.Column("data_classes", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("storage_locations", sa.Text(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("collection_method", sa.Text(), nullable=False),
        sa.Column("withdrawal_method", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("evidence_ref", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_consent_event_sid"),
        sa.PrimaryKeyConstraint("record_id", name="pk_consent_event"),
        sa.UniqueConstraint("change_seq", name="uq_consent_event_change_seq"),
        sa.UniqueConstraint("actor", "request_id", name="uq_consent_event_actor_request_id"),
    )
    op.create_index(
        "ix_consent_event_sid_purpose_event_time",
        "consent_event",
        ["sid", "purpose", "event_time"],
        unique=False,
    )


def _create_usage() -> None:
    op.create_table(
        "usage_count",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_usage_count"),
    )
    op.create_table(
        "usage_customer",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "day", "sid", name="pk_usage_customer"),
    )
    op.create_index("ix_usage_customer_day", "usage_customer", ["day"])
    op.create_table(
        "usage_trace",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("is_asked", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "digest", "is_asked", name="pk_usage_trace"),
    )
    op.create_index("ix_usage_trace_seen_at", "usage_trace", ["seen_at"])
    op.create_table(
        "used_once",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "digest", name="pk_used_once"),
    )
    op.create_index("ix_used_once_expires_at", "used_once", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_used_once_expires_at", table_name="used_once")
    op.drop_table("used_once")
    op.drop_index("ix_usage_trace_seen_at", table_name="usage_trace")
    op.drop_index("ix_usage_customer_day", table_name="usage_customer")
    for name in ("usage_trace", "usage_customer", "usage_count"):
        op.drop_table(name)
    op.drop_table("suppression_lift")
    op.drop_index("ix_suppression_sid", table_name="suppression")
    op.drop_table("suppression")
    op.drop_index("ix_consent_event_sid_purpose_event_time", table_name="consent_event")
    op.drop_table("consent_event")
    op.drop_index("ix_subject_link_other", table_name="subject_link")
    op.drop_index(
        "uq_subject_link_merged",
        table_name="subject_link",
        sqlite_where=sa.text("kind = 'merge'"),
        postgresql_where=sa.text("kind = 'merge'"),
    )
    op.drop_table("subject_link")
    op.drop_index("ix_alias_sid", table_name="alias")
    op.drop_index(
        "uq_alias_current_number",
        table_name="alias",
        sqlite_where=sa.text("valid_to IS NULL AND kind = 'number'"),
        postgresql_where=sa.text("valid_to IS NULL AND kind = 'number'"),
    )
    op.drop_index(
        "uq_alias_current_store_key",
        table_name="alias",
        sqlite_where=sa.text("valid_to IS NULL AND kind = 'store_key'"),
        postgresql_where=sa.text("valid_to IS NULL AND kind = 'store_key'"),
    )
    op.drop_index(
        "uq_alias_current",
        table_name="alias",
        sqlite_where=sa.text("valid_to IS NULL"),
        postgresql_where=sa.text("valid_to IS NULL"),
    )
    op.drop_table("alias")
    op.drop_table("subject")
    op.drop_index("ix_principal_is_administrator_employment", table_name="principal")
    op.drop_table("principal")
    op.drop_table("key_check")
    op.drop_table("checkpoint")
    op.drop_table("change_counter")
