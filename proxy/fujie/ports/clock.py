"""What a worker takes from its machine: the time, and randomness."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only reader of time."""

    def now(self) -> datetime:
        """Return the time in UTC, aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only differences have a meaning of."""
        ...


class Identifiers(Protocol):
    """The only source of randomness for flows."""

    def new_id(self) -> str:
        """Return a fresh, unguessable, time-ordered identifier (UUIDv7, 32 hex digits)."""
        ...

    def nonce(self) -> bytes:
        """Return 12 fresh random bytes."""
        ...
