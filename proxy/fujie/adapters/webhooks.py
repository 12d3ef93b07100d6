"""Webhooks, signed as the Standard Webhooks specification says: what is told cannot be forged, altered or replayed unseen.

The signature is HMAC-SHA256 over `id.timestamp.body`. The id stays the same over all attempts, so that a receiver that has
heard it can tell; the timestamp is that of the attempt. Any 2xx is "taken"; everything else, also a redirect, is not: the
address is the operator's, and nobody else's answer moves the secret's use elsewhere.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import orjson

from fujie.adapters.providers.exchange import Answer, Ask, Exchange
from fujie.model.errors import StartError
from fujie.model.notification import Notification

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
"""What the specification demands of a secret."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """How a receiver acknowledges: by POST of `token` to `url` (empty: there is no public port, a person does)."""

    url: str
    token: str = field(repr=False)


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """Return the secrets of a file, one `whsec_` in each line; the body is signed with all, so that one can be replaced.

    Raises:
        StartError: NOTIFY_SECRET.

    """
    try:
        lines = path.read_text("ascii").split()
        secrets = tuple(base64.b64decode(line.removeprefix(_PREFIX), validate=True) for line in lines)
    except (OSError, UnicodeError, binascii.Error):
        secrets, lines = (), []
    is_sound = all(line.startswith(_PREFIX) for line in lines)
    if not (secrets and is_sound and all(_LEAST_BYTES <= len(each) <= _MOST_BYTES for each in secrets)):
        raise StartError(
            "NOTIFY_SECRET",
            f"{path}: no secrets of webhooks",
            "Write `whsec_` and 24 to 64 random bytes in base64 into it; one line for each secret.",
        )
    return secrets


def signature(secrets: Sequence[bytes], notification_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    signed = f"{notification_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


class Webhook:
    """One receiver."""

    def __init__(self, url: str, secrets: Sequence[bytes], timeout_s: float) -> None:
        self._url = url
        self._secrets = tuple(secrets)
        self._exchange = Exchange(timeout_s)

    async def send(self, told: Notification, answer: Acknowledgement | None, now: datetime) -> bool:
        """Try once; return whether the receiver took it. Raises nothing, but for cancellation."""
        body = body_of(told, answer)
        timestamp = int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": told.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secrets, told.id, timestamp, body),
        }
        answered = await self._exchange.ask(Ask(self._url, headers, body))
        return isinstance(answered, Answer) and 200 <= answered.status < 300

    async def close(self) -> None:
        """Let go of all connections."""
        await self._exchange.close()


def body_of(told: Notification, answer: Acknowledgement | None) -> bytes:
    """Return the JSON that is sent; the same at every attempt."""
    said: dict[str, object] = {"id": told.id, "subject": told.subject, **told.payload}
    if told.due_at is not None:
        said["due_at"] = told.due_at.isoformat()
    if answer is not None:
        said["acknowledge"] = {"url": answer.url, "token": answer.token}
    return orjson.dumps({"type": told.kind, "timestamp": told.created_at.isoformat(), "data": said})
