"""The keys of an issuer over time: rotated keys come in, withdrawn ones go out, a silent issuer stops nobody.

Calls drive it: one that finds the keys old starts a reading and goes on with those that it has. The last
good set is kept for as long as none better can be read.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from fujie.adapters.identity.keyset import Issuer, KeySet, read_keys
from fujie.model.errors import StartError

LEAST_GAP_S: Final = 30.0
"""Between two readings, whatever key ids tokens name: anybody can invent those (PyJWT's client waits as long)."""

WAIT_S: Final = 2.0
"""The longest that a call waits for keys; callers commonly give up after 5 s."""

Report = Callable[[str, str], None]
"""Told when an issuer's keys can no longer be read (issuer, code), and when they can again (issuer, "")."""


class FollowedKeys:
    """The keys of one issuer. For one event loop; `keys` is another object whenever any key changed."""

    def __init__(self, issuer: Issuer, clock: Callable[[], float], report: Report) -> None:
        self.issuer = issuer
        self.keys: KeySet = read_keys(issuer)
        self._jwks = issuer.jwks
        self._gap_s = min(LEAST_GAP_S, issuer.refresh_s)
        self._clock = clock
        self._report = report
        self._read_at = clock()
        self._reading: asyncio.Task[None] | None = None
        self._is_stale = False

    @property
    def is_due(self) -> bool:
        """Tell whether the keys should be read anew. Costs one look at the clock."""
        if self.issuer.reread is None:
            return False
        return self._clock() - self._read_at >= (self._gap_s if self._is_stale else self.issuer.refresh_s)

    async def refresh(self) -> None:
        """Start a reading where none runs.

        Waits for it only when the keys are twice as old as they may be: nobody called for so long,
        and a key that was withdrawn meanwhile must not open the gate once more.
        """
        is_old = self._clock() - self._read_at >= 2 * self.issuer.refresh_s and not self._is_stale
        reading = self._start()
        if is_old:
            await asyncio.wait({reading}, timeout=WAIT_S)

    async def seek(self) -> None:
        """Read anew for a key id that the set does not hold, unless that was done just now; waits for it."""
        is_fresh = self._reading is None and self._clock() - self._read_at < self._gap_s
        if self.issuer.reread is None or is_fresh:
            return
        await asyncio.wait({self._start()}, timeout=WAIT_S)

    async def close(self) -> None:
        """End a reading that runs."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    def _start(self) -> asyncio.Task[None]:
        if self._reading is None:
            reading = self._read()
            self._reading = asyncio.create_task(reading, name="jwks")  # noqa: TID251 - short; kept, closed
        return self._reading

    async def _read(self) -> None:
        assert self.issuer.reread is not None
        code = ""
        try:
            jwks = await asyncio.to_thread(self.issuer.reread)
            if jwks != self._jwks:
                self.keys, self._jwks = read_keys(replace(self.issuer, jwks=jwks)), jwks
        except StartError as error:
            code = error.code
        finally:
            self._read_at = self._clock()
            self._reading = None
        if self._is_stale is not bool(code):
            self._is_stale = bool(code)
            self._report(self.issuer.iss, code)
