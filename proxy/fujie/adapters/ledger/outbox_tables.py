"""The tables of what is sent: campaigns, messages, replies, and the processors that carry them.

As in `tables`, no number stands here: a recipient is sealed under the data key of its sid, and a number that a
message went to is the keyed digest that its alias has (`address`).
"""

from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.columns import change_seq, instant, sid, text
from fujie.adapters.ledger.tables import metadata


def in_state(column: sa.Column[str], state: str) -> sa.ColumnElement[bool]:
    """Return whether the column has a state. A parameter would hide from the database that a partial index fits."""
    return column == sa.literal_column(f"'{state}'")


def _where(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


campaign = sa.Table(
    "campaign",
    metadata,
    sa.Column("campaign_id", sa.Text, primary_key=True),
    text("state"),
    text("requester"),
    text("caller"),
    text("workload"),
    text("purpose"),
    text("basis"),
    sa.Column("has_basis_evidence", sa.Boolean, nullable=False),
    sa.Column("has_ticket", sa.Boolean, nullable=False),
    text("draft"),
    text("approved"),
    instant("created_at"),
    instant("started_at", nullable=True),
    instant("ended_at", nullable=True),
    instant("leased_at"),
    sa.Column("request_id", sa.Text),
    text("request_digest"),
    change_seq(),
    sa.UniqueConstraint("requester", "request_id"),
)
"""`leased_at` is when intents of it were leased last (0: never): who waited longest is next."""

RUNS = in_state(campaign.c.state, "RUNNING")

sa.Index("ix_campaign_running", campaign.c.leased_at, **_where(RUNS))

campaign_count = sa.Table(
    "campaign_count",
    metadata,
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaign.campaign_id"), primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)
"""How many messages of a campaign are in a state, written by whatever moves one. `reason` is empty but for REFUSED and
FAILED. Changes with every chunk and is followed by nobody: no `change_seq`, and neither has `message`."""

IS_LEFT = sa.and_(
    in_state(campaign_count.c.state, "PLANNED"), campaign_count.c["count"] > sa.literal_column("0")
)

sa.Index("ix_campaign_count_planned", campaign_count.c.campaign_id, **_where(IS_LEFT))

message = sa.Table(
    "message",
    metadata,
    sa.Column("intent_id", sa.Text, primary_key=True),
    sa.Column("campaign_id", sa.Text, sa.ForeignKey("campaign.campaign_id")),
    sid(),
    sa.Column("sealed", sa.LargeBinary),
    text("requester"),
    text("purpose"),
    text("category"),
    text("signature"),
    text("state"),
    text("reason"),
    text("holder"),
    instant("due_at"),
    sa.Column("attempts", sa.Integer, nullable=False),
    instant("created_at"),
    instant("changed_at"),
    sa.Column("request_id", sa.Text),
    text("request_digest"),
    sa.Column("address", sa.LargeBinary),
    text("content"),
    sa.Column("segments", sa.Integer, nullable=False),
    text("provider"),
    instant("claimed_at", nullable=True),
    sa.Column("claim_seq", sa.BigInteger),
    sa.Column("provider_message_id", sa.Text),
    sa.Column("link", sa.LargeBinary),
    instant("asked_at"),
    sa.Column("asks", sa.Text),
    sa.UniqueConstraint("campaign_id", "sid"),
)
"""One intent and what became of it; `campaign_id` is NULL for one that is sent alone.

`sealed` is NULL once nobody needs the recipient any more. `holder` leased it until `due_at`, from when on anybody may;
empty: nobody holds it. `address` to `link` are set by a claim, NULL or empty before; `claim_seq` is the change that
claimed it; `asks` is the consent that it asks for, NULL for none and once that is recorded.
`asked_at` is when its provider was asked last what became of it (0: never).
"""

_M = message.c
IS_PLANNED = in_state(_M.state, "PLANNED")
IS_CLAIMED = in_state(_M.state, "CLAIMED")
IS_UNKNOWN = in_state(_M.state, "UNKNOWN")
_WAS_CLAIMED = _M.claimed_at.is_not(None)

sa.Index(
    "uq_message_request", _M.requester, _M.request_id, unique=True, **_where(_M.request_id.is_not(None))
)
sa.Index("uq_message_address", _M.campaign_id, _M.address, unique=True, **_where(_M.address.is_not(None)))
IS_ASKING = _M.asks.is_not(None)
sa.Index("ix_message_asks", _M.changed_at, **_where(IS_ASKING))
sa.Index("uq_message_link", _M.link, unique=True, **_where(_M.link.is_not(None)))
sa.Index("ix_message_planned", _M.campaign_id, _M.due_at, **_where(IS_PLANNED))
sa.Index("ix_message_claimed", _M.claimed_at, **_where(IS_CLAIMED))
sa.Index("ix_message_unknown", _M.provider, _M.asked_at, **_where(IS_UNKNOWN))
sa.Index("ix_message_claim", _M.claim_seq, **_where(_M.claim_seq.is_not(None)))
sa.Index("ix_message_sent_sid", _M.sid, _M.claimed_at, **_where(_WAS_CLAIMED))
sa.Index("ix_message_sent_address", _M.address, _M.claimed_at, **_where(_WAS_CLAIMED))
sa.Index(
    "ix_message_receipt",
    _M.provider,
    _M.provider_message_id,
    _M.address,
    **_where(_M.provider_message_id.is_not(None)),
)

reply = sa.Table(
    "reply",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("reply_id", sa.Text, primary_key=True),
    sid(),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    instant("received_at"),
    instant("reviewed_at", nullable=True),
    text("reviewed_by"),
    change_seq(),
    sa.Column("outcome", sa.Text, nullable=False, server_default=""),
)
"""Replies that a person must look at; the text is sealed under the data key of `sid`. `outcome` is what came of one."""

IS_WAITING = reply.c.reviewed_at.is_(None)
sa.Index("ix_reply_waiting", reply.c.change_seq, **_where(IS_WAITING))
sa.Index("ix_reply_id", reply.c.reply_id)

heard = sa.Table(
    "heard",
    metadata,
    sa.Column("heard_id", sa.Text, primary_key=True),
    text("provider"),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    instant("received_at"),
)
"""What a provider said once, from when it is read until all of it is written where it belongs; sealed under the `seal` key,
since it is of many customers. Followed by nobody: no `change_seq`."""

processor = sa.Table(
    "processor",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    text("display_name"),
    text("agreement"),
    text("valid_from"),
    text("valid_until"),
    text("filing"),
    text("region"),
    text("transfer"),
    text("contact"),
    text("ownership"),
    text("assessments"),
    instant("updated_at"),
    change_seq(),
)
"""Who handles customer data for us. Days are ISO 8601; `assessments` maps purposes to days."""
