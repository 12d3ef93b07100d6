"""Where employees prove to the console who they are. Implementations live in `adapters`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fujie.model.principal import Credential


@dataclass(frozen=True, slots=True, repr=False)
class Attempt:
    """One try to sign in, known to the browser that began it alone: `state` comes back with the browser, `nonce` in the ID
    token, and `verifier` proves to the provider that both ends are the same (RFC 7636)."""

    state: str
    nonce: str
    verifier: str


class Sessions(Protocol):
    """Which sessions of the console are over before their time. Raises LedgerError."""

    async def era(self, principal: str) -> int:
        """Return what a session of a principal that begins now is of; 0 where none was ended before."""
        ...

    async def end(self, principal: str, at: datetime) -> None:
        """End every session of a principal that began before, for ever and on every worker, whatever the clocks of hosts say:
        from here on there is another era. `at` is kept for people who look."""
        ...


class SignIn(Protocol):
    """A provider at which people sign in."""

    async def address(self, attempt: Attempt) -> str:
        """Return where the browser has to go. Raises CredentialError when the provider can not be asked."""
        ...

    async def finish(self, code: str, issuer: str, attempt: Attempt, now: datetime) -> Credential:
        """Return who signed in, for the `code` that the browser brought back; `issuer` is who says to have given it (RFC 9207;
        empty: nobody says). Raises CredentialError."""
        ...
