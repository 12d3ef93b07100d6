"""Who is at the console: sessions and attempts to sign in, each a sealed text that only our own cookie carries.

A session names its principal, its era and its end; nothing of it is kept here, so that every worker knows it. It never
lives longer than it was made for, and whoever signs out ends all that he has: the ledger keeps which era of his it is, by its own
order of writes, since a clock that is ahead would lock him out, and one that is behind spare a stolen session. What it opens is
asked of the directory at every request, by the flows themselves: who is offboarded has a session and can do nothing. A form names its session and what it is about: it is worth nothing to anybody
else, in another session, or for another approval.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from fujie.audit.errors import AuditError
from fujie.audit.sealing import SealKey, open_ticket, seal_ticket
from fujie.decision.tokens import Tokeniser
from fujie.flows.gate import Gate
from fujie.model.principal import Credential
from fujie.ports.signin import Attempt

SIGN_IN_WITHIN = timedelta(minutes=10)
"""How long the provider may take with somebody: passwords and a second factor."""

LONGEST = timedelta(hours=8, minutes=5)
"""How long any session lasts (`console.session_minutes` at most, and clocks differ a little): one that began on a host whose clock is a year ahead would go on
for that year elsewhere."""

MOST_COOKIE = 4_096
"""Characters; browsers keep no longer one."""

_SESSION, _ATTEMPT = b"fujie.dev/console-session/v1", b"fujie.dev/console-attempt/v1"
_FORM = b"fujie.dev/console-form/v1"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody at the console: who, as the sign-in proved, under which random id, until when."""

    id: str
    credential: Credential
    until: datetime


async def opened_session(gate: Gate, credential: Credential, until: datetime) -> str:
    """Return the cookie of a new session, with an id that no session had before.

    Raises:
        LedgerError: nobody can tell which sessions it would end with.

    """
    content = {
        "id": _random(gate, 2),
        "subject": credential.subject,
        "issuer": credential.issuer,
        "era": await gate.sessions.era(credential.subject),
        "until": int(until.timestamp()),
    }
    return seal_ticket(content, _key(gate.tokeniser, _SESSION), gate.ids.nonce())


async def session_of(gate: Gate, cookie: str) -> Session | None:
    """Return the session of a cookie; None for one that is over, was ended, or that we did not write.

    Raises:
        LedgerError: nobody can tell whether it was ended.

    """
    content = _content(gate, cookie, _SESSION)
    if content is None or "era" not in content:  # an earlier build's
        return None
    credential = Credential(str(content["subject"]), str(content["issuer"]))
    if content["era"] != await gate.sessions.era(credential.subject):
        return None
    until = datetime.fromtimestamp(int(str(content["until"])), tz=UTC)
    if until - gate.clock.now() > LONGEST:
        return None
    return Session(str(content["id"]), credential, until)


async def end_sessions(gate: Gate, session: Session) -> None:
    """End this session and every one of the same person that began before now, wherever: a stolen cookie too.

    Raises:
        LedgerError: they may go on.

    """
    await gate.sessions.end(session.credential.subject, gate.clock.now())


def form_of(gate: Gate, session: Session, about: str) -> str:
    """Return what a form of this session about something must bring back."""
    key = _key(gate.tokeniser, _FORM).secret
    return hmac.digest(key, f"{session.id}/{about}".encode(), "sha256").hex()


def is_form_of(gate: Gate, session: Session, about: str, form: str) -> bool:
    """Tell whether a form is ours, of this session, and about this."""
    return hmac.compare_digest(form_of(gate, session, about).encode(), form.encode("utf-8", "replace"))


def new_attempt(gate: Gate) -> tuple[Attempt, str]:
    """Return an attempt to sign in, and the cookie that remembers it."""
    attempt = Attempt(_random(gate, 2), _random(gate, 2), _random(gate, 3))
    content = {
        "state": attempt.state,
        "nonce": attempt.nonce,
        "verifier": attempt.verifier,
        "until": int((gate.clock.now() + SIGN_IN_WITHIN).timestamp()),
    }
    return attempt, seal_ticket(content, _key(gate.tokeniser, _ATTEMPT), gate.ids.nonce())


def attempt_of(gate: Gate, cookie: str, state: str) -> Attempt | None:
    """Return the attempt of a cookie to which `state` came back; None for another one's, and one that is over."""
    content = _content(gate, cookie, _ATTEMPT)
    if content is None:
        return None
    attempt = Attempt(str(content["state"]), str(content["nonce"]), str(content["verifier"]))
    is_same = hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "replace"))
    return attempt if is_same else None


def _content(gate: Gate, cookie: str, purpose: bytes) -> dict[str, object] | None:
    if not cookie or len(cookie) > MOST_COOKIE:
        return None
    try:
        content = open_ticket(cookie, _key(gate.tokeniser, purpose))
    except (AuditError, UnicodeError):
        return None
    return content if int(str(content["until"])) > gate.clock.now().timestamp() else None


def _random(gate: Gate, parts: int) -> str:
    """Return hexadecimal digits, 96 random bits for each part."""
    return "".join(gate.ids.nonce().hex() for _ in range(parts))


@lru_cache(maxsize=12)
def _key(tokeniser: Tokeniser, purpose: bytes) -> SealKey:
    """Return a key of its own for each purpose, from the `token` key."""
    return SealKey(tokeniser.key_id, hmac.digest(tokeniser.key, purpose, "sha256"))
