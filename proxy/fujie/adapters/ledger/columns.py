"""Columns that many tables of the ledger have."""

import sqlalchemy as sa


def text(name: str) -> sa.Column[str]:
    """Return a column of text that is never NULL."""
    return sa.Column(name, sa.Text, nullable=False)


def instant(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """Return a column of a point in time, as in `instant`."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def change_seq() -> sa.Column[int]:
    """Return the column of the change that wrote a row last."""
    return sa.Column("change_seq", sa.BigInteger, nullable=False, unique=True)


def sid() -> sa.Column[str]:
    """Return the column of the customer that a row is of."""
    return sa.Column("sid", sa.Text, sa.ForeignKey("subject.sid"), nullable=False)
