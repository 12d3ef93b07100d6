"""The one source of randomness for flows: time-ordered identifiers and nonces."""

import os
import threading

from fujie.ports import Clock

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM_BITS = (1 << 62) - 1


_DRAWN = 4096
"""Random bytes that are drawn at once: the system call costs 8 µs, and a look-up needs 28 bytes."""


class SystemIdentifiers:
    """UUIDv7 (RFC 9562, section 5.7), strictly increasing within a process; safe from several threads.

    Not across a fork, which would give both processes the same bytes: workers are spawned.

    The 12 bits after the millisecond hold its fraction in 4096ths (section 6.2, method 3). When the
    clock has not moved by that much, or stepped back, the stamp is the last one plus one: so the
    62 random bits stay fresh in every identifier, and none can be guessed from its neighbour.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0
        self._random = b""
        self._used = 0

    def new_id(self) -> str:
        """Return a fresh UUIDv7 as 32 hex digits, lower case, without hyphens."""
        # Exact: until 2255 a float tells a quarter of a microsecond.
        stamp = round(self._clock.now().timestamp() * 1e6) * 512 // 125  # in 4096ths of a millisecond
        with self._lock:
            stamp = self._last = max(stamp, self._last + 1)
            random = int.from_bytes(self._draw(8))
        head = (stamp >> 12) << 80 | _VERSION_7 | (stamp & 0xFFF) << 64
        return f"{head | _VARIANT | random & _RANDOM_BITS:032x}"

    def nonce(self) -> bytes:
        """Return 12 fresh random bytes: the nonce length of AES-GCM (NIST SP 800-38D, section 5.2.1.1)."""
        with self._lock:
            return self._draw(12)

    def _draw(self, count: int) -> bytes:
        """Return fresh random bytes, each given out once. The lock is held."""
        if self._used + count > len(self._random):
            self._random, self._used = os.urandom(_DRAWN), 0
        drawn = self._random[self._used : self._used + count]
        self._used += count
        return drawn
