"""What is sent: campaigns, messages, replies, and processors."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _create_campaigns()
    _create_messages()
    _create_replies_and_processors()


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _create_campaigns() -> None:
    op.create_table(
        "campaign",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("has_basis_evidence", sa.Boolean(), nullable=False),
        sa.Column("has_ticket", sa.Boolean(), nullable=False),
        sa.Column("draft", sa.Text(), nullable=False),
        sa.Column("approved", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("leased_at", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", name="pk_campaign"),
        sa.UniqueConstraint("change_seq", name="uq_campaign_change_seq"),
        sa.UniqueConstraint("requester", "request_id", name="uq_campaign_requester_request_id"),
    )
    op.create_index("ix_campaign_running", "campaign", ["leased_at"], **_where("state = 'RUNNING'"))
    op.create_table(
        "campaign_count",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.campaign_id"], name="fk_campaign_count_campaign_id"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "state", "reason", name="pk_campaign_count"),
    )
    op.create_index(
        "ix_campaign_count_planned",
        "campaign_count",
        ["campaign_id"],
        **_where("state = 'PLANNED' AND count > 0"),
    )


def _create_messages() -> None:
    op.create_table(
        "message",
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=True),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.Column("claim_seq", sa.BigInteger(), nullable=True),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("link", sa.LargeBinary(), nullable=True),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.campaign_id"], name="fk_message_campaign_id"),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_message_sid"),
        sa.PrimaryKeyConstraint("intent_id", name="pk_message"),
        sa.UniqueConstraint("campaign_id", "sid", name="uq_message_campaign_id_sid"),
    )
    for name, columns, condition in _MESSAGE_INDEXES:
        is_unique = name.startswith("uq_")
        op.create_index(name, "message", columns, unique=is_unique, **_where(condition))


_MESSAGE_INDEXES = (
    ("uq_message_request", ["requester", "request_id"], "request_id IS NOT NULL"),
    ("uq_message_address", ["campaign_id", "address"], "address IS NOT NULL"),
    ("uq_message_link", ["link"], "link IS NOT NULL"),
    ("ix_message_planned", ["campaign_id", "due_at"], "state = 'PLANNED'"),
    ("ix_message_claimed", ["claimed_at"], "state = 'CLAIMED'"),
    ("ix_message_unknown", ["provider", "asked_at"], "state = 'UNKNOWN'"),
    ("ix_message_claim", ["claim_seq"], "claim_seq IS NOT NULL"),
    ("ix_message_sent_sid", ["sid", "claimed_at"], "claimed_at IS NOT NULL"),
    ("ix_message_sent_address", ["address", "claimed_at"], "claimed_at IS NOT NULL"),
    (
        "ix_message_receipt",
        ["provider", "provider_message_id", "address"],
        "provider_message_id IS NOT NULL",
    ),
)


def _create_replies_and_processors() -> None:
    op.create_table(
        "reply",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("reply_id", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("reviewed_at", sa.BigInteger(), nullable=True),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sid"], ["subject.sid"], name="fk_reply_sid"),
        sa.PrimaryKeyConstraint("provider", "reply_id", name="pk_reply"),
        sa.UniqueConstraint("change_seq", name="uq_reply_change_seq"),
    )
    op.create_table(
        "processor",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("valid_until", sa.Text(), nullable=False),
        sa.Column("filing", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("transfer", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("ownership", sa.Text(), nullable=False),
        sa.Column("assessments", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processor"),
        sa.UniqueConstraint("change_seq", name="uq_processor_change_seq"),
    )


def downgrade() -> None:
    op.drop_table("processor")
    op.drop_table("reply")
    for name, _, _ in reversed(_MESSAGE_INDEXES):
        op.drop_index(name, table_name="message")
    op.drop_table("message")
    op.drop_index("ix_campaign_count_planned", table_name="campaign_count")
    op.drop_table("campaign_count")
    op.drop_index("ix_campaign_running", table_name="campaign")
    op.drop_table("campaign")
