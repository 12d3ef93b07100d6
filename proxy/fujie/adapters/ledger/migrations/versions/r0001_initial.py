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


def downgrade() -> None:

    op.drop_index("ix_consent_event_sid_purpose_event_time", table_name="consent_event")
    op.drop_table("consent_event")
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
