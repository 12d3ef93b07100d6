"""Points in time as the ledger stores them: whole microseconds since 1970 in UTC, a 64-bit integer.

It sorts, loses nothing of a `datetime`, and is the same in every database; text and zone types are not.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return the stored form of an aware `moment`."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(stored: int) -> datetime:
    """Return the moment in UTC."""
    return _EPOCH + timedelta(microseconds=stored)
