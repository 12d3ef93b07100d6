"""Resume tokens: an export whose connection broke goes on behind the last chunk that was written, as a new export.

A token is for the same request by the same asker, for an hour. It is sealed, since it names a customer; what it says is
believed because only we can have written it. What others agreed to was used up by the first export, and the rest of the
same rows rests on that; limits are taken again for every row.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from fujie.audit.errors import AuditError
from fujie.audit.sealing import SealKey, open_ticket, seal_ticket
from fujie.decision.tokens import Tokeniser
from fujie.flows.gate import Case
from fujie.model.errors import RequestError

TTL = timedelta(hours=1)
"""How long an export that broke can go on."""

_PURPOSE = b"fujie.dev/export-resume/v1"


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """How far an export came: the first of those that make up the file (empty: this one), the customer behind whom it goes
    on, how many rows left, what it rested on, and the last of those before (empty: none)."""

    first: str = ""
    after: str = ""
    rows: int = 0
    approval: str = ""
    approved: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    last: str = ""


START = Place()
"""Where an export begins that nothing went before."""


def token_of(case: Case, digest: str, place: Place) -> str:
    """Return the token that goes on behind `place`, for the request of this digest."""
    content = {
        "digest": digest,
        "asker": case.asker,
        "until": int((case.gate.clock.now() + TTL).timestamp()),
        "first": place.first,
        "after": place.after,
        "rows": place.rows,
        "approval": place.approval,
        "approved": place.approved,
        "broken": place.broken,
        "last": case.decision_id,
    }
    return seal_ticket(content, _key(case.gate.tokeniser), case.gate.ids.nonce())


async def resumed(case: Case, digest: str, token: str) -> Place:
    """Return where an export goes on; without a token at its start.

    Raises:
        RequestError: like `place_in` and `check_open`, for the first and the last export before.

    """
    place = place_in(case, digest, token)
    if token:
        await check_open(case, place.first)
        await check_open(case, place.last)
    return place


async def check_open(case: Case, export_id: str) -> None:
    """Check that an export stands from which another goes on.

    Raises:
        RequestError: EXPORT_CLOSED when it was revoked; RESUME_TOKEN_INVALID when there is none.

    """
    before = await case.gate.exports.export(export_id)
    if before is None:
        raise _invalid()
    if before.closed_at is not None:
        raise RequestError(code="EXPORT_CLOSED", field="resume_token")


def place_in(case: Case, digest: str, token: str) -> Place:
    """Return what a token says; without one `START`.

    Raises:
        RequestError: RESUME_TOKEN_INVALID for a token that is forged, too old, or of another request or asker.

    """
    if not token:
        return START
    try:
        content = open_ticket(token, _key(case.gate.tokeniser))
    except (AuditError, UnicodeError):
        raise _invalid() from None
    is_his = content["asker"] == case.asker and content["digest"] == digest
    approved, broken = content["approved"], content.get("broken", [])
    if not (isinstance(approved, list) and isinstance(broken, list)):
        raise _invalid()
    if not is_his or int(str(content["until"])) <= case.now.timestamp():
        raise _invalid()
    return Place(
        str(content["first"]), str(content["after"]), int(str(content["rows"])), str(content["approval"]),
        tuple(map(str, approved)), tuple(map(str, broken)), str(content["last"]),
    )  # fmt: skip


@lru_cache(maxsize=4)
def _key(tokeniser: Tokeniser) -> SealKey:
    """Return a key of its own for these tokens, from the `token` key: a pseudonym says nothing about it."""
    return SealKey(tokeniser.key_id, hmac.digest(tokeniser.key, _PURPOSE, "sha256"))


def _invalid() -> RequestError:
    return RequestError(code="RESUME_TOKEN_INVALID", field="resume_token")
