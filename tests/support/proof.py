"""What a token proves, without an event loop: verifying must wait for nothing where no keys are fetched."""

from datetime import datetime

from fujie.model.principal import Credential
from fujie.ports import Authenticator


def prove(authenticator: Authenticator, token: str, now: datetime) -> Credential:
    """Return what `verify` returns; it fails the test when it waits for anything."""
    verifying = authenticator.verify(token, now)
    try:
        verifying.send(None)
    except StopIteration as done:
        credential: Credential = done.value
        return credential
    verifying.close()
    raise AssertionError("verifying a token waited for something")
