"""How a caller proves who he is. How employees sign in to the console is `signin`."""

from datetime import datetime
from typing import Protocol

from fujie.model.principal import Credential


class Authenticator(Protocol):
    """Turns a bearer token into a credential."""

    async def verify(self, token: str, now: datetime) -> Credential:
        """Return what the token proves. Waits for nothing but, at most for seconds, new keys of an issuer.

        Raises:
            CredentialError: TOKEN_INVALID or TOKEN_EXPIRED.

        """
        ...
