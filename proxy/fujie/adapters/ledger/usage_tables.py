"""The tables of what was used: limits and the customers that they counted, traces of references.

They change with nearly every look-up and are followed by nobody: no `change_seq`, whose counter would make every writer of the
company take turns.
"""

import sqlalchemy as sa

from fujie.adapters.ledger.columns import instant, text
from fujie.adapters.ledger.tables import metadata

usage_count = sa.Table(
    "usage_count",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    text("counts"),
)
"""One counter of one principal: `key` says whose and of what, `counts` how much in which period (see `usage`)."""

usage_customer = sa.Table(
    "usage_customer",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sid", sa.Text, primary_key=True),
)
"""Customers that a counter of distinct ones has counted on a day (days since 0001-01-01); kept for two days."""

IS_COUNTED_ON_A_DAY = usage_customer.c.day > sa.literal_column("0")
"""True of every row. A look for one customer does not imply it, so that the index by day never serves for that: PostgreSQL would
prefer it to the key as long as it takes the table for small, and read everybody of the day."""

sa.Index(
    "ix_usage_customer_day",
    usage_customer.c.day,
    sqlite_where=IS_COUNTED_ON_A_DAY,
    postgresql_where=IS_COUNTED_ON_A_DAY,
)

usage_trace = sa.Table(
    "usage_trace",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("is_asked", sa.Boolean, primary_key=True),
    instant("seen_at"),
)
"""Keyed digests of the references that a principal asked for within the hour, and of their neighbours."""

sa.Index(None, usage_trace.c.seen_at)
