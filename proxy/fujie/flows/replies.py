"""Replies: "stop" closes at once; what reads like it closes too and goes to a person; "start" goes to a person.

A reply comes from a number, so what closes is the number's own, and counts for everybody who has it (`identify`). It
closes for marketing whatever the signature was, and on every channel: the refusal is the person's (AdLaw-43, and
"immediately" in CPL-IR 24), who would else have to repeat it for every line and every voice call. `ReplyScope` says which.

Eleven digits without a plus may be a number of the mainland or a foreign one, and a provider that does not say which leaves it
to us: the mainland one is closed, and the other one too where somebody is known by it. Where both are known nothing opens.

"Start" is the consent that a message asked this customer for, while that request is open (`flows.double_opt_in`). It
lifts nothing by itself. Most providers sign nothing, so a forged callback could lift an opt-out; a person
looks at the reply and says so (`RemoveSuppression`, method `opt_in_message`, evidence `replies/<id>`).
"""

import asyncio
import hmac
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fujie.audit.sealing import Place, open_facts, seal_facts
from fujie.decision.keywords import Meaning, meaning_of
from fujie.flows.acts import open_act, provider_actor
from fujie.flows.confirmation import Stopped, confirm_stop
from fujie.flows.double_opt_in import confirm
from fujie.flows.evidence import data_key
from fujie.flows.gate import Gate, Sending
from fujie.flows.identify import identify, rows_of
from fujie.flows.suppression import OptOut, append_opt_out
from fujie.model.customer import Identity, Phone
from fujie.model.errors import RequestError, StoreError
from fujie.model.message import CHANNEL
from fujie.model.suppression import ReplyScope, SuppressionScope
from fujie.model.vocabulary import Action
from fujie.ports.messaging import KeptReply
from fujie.ports.providers import Reply

AGAIN = "again"
"""What is counted for a reply that came before."""

MOST_TEXT = 2_000
"""Characters of a reply that are kept for review: thirty segments."""

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Before it nobody said anything here: a provider that has no time writes the year 1 or 9999, which no zone can have."""

_PURPOSE = b"fujie.dev/reply/v1"
_CLOSING = frozenset({Meaning.STOP, Meaning.MAYBE_STOP})
_REVIEWED = frozenset({Meaning.MAYBE_STOP, Meaning.START})


@dataclass(frozen=True, slots=True, repr=False)
class Refused:
    """That a number says no: who told us, under which id (a repeat has the same), and where the proof lies."""

    provider: str
    request_id: str
    said: OptOut


async def hear(gate: Gate, reply: Reply) -> str:
    """Do what a reply says; return what it was: a `Meaning`, or AGAIN. Harmless when repeated, at any step.

    Raises:
        LedgerError: it was not written, or not all of it; the provider repeats it.
        AuditError: no evidence can be written, so nothing was.

    """
    meaning = meaning_of(reply.text)
    if meaning is Meaning.OTHER:
        return meaning.value
    assert gate.sending is not None
    # With the number: what a provider calls the id of a reply may be that of what was replied to, or begin anew every day.
    reply_id = keyed(gate, reply.provider, f"{reply.reply_id} {reply.phone.e164}")
    reply = replace(reply, at=min(max(reply.at, _EARLIEST), gate.clock.now()))
    known = await _known_as(gate, reply)
    meant, is_certain = known or (reply,), len(known) == 1
    whose = meant[0]
    is_consent = await confirm(gate, whose, reply_id) if meaning is Meaning.START and is_certain else None
    if is_consent is not None:
        return meaning.value if is_consent else AGAIN
    is_new = False
    if meaning in _CLOSING:
        for each in dict.fromkeys((reply.phone, *(each.phone for each in meant))):
            is_new |= await _close(gate, replace(reply, phone=each), reply_id, is_other=each == reply.also)
        if meaning is Meaning.STOP and is_new and is_certain and gate.sending.confirmation is not None:
            closed = tuple(scope.purpose for scope in _scopes(gate, reply.signature))
            _soon(gate.sending, confirm_stop(gate, Stopped(whose, closed, f"replies/{reply_id}")))
    # A start that two people may have said is nobody's: by it a person would lift one's opt-out for the other's word.
    if meaning in _REVIEWED and (is_certain or meaning in _CLOSING):
        identity = await identify(gate, whose.phone, gate.clock.now(), closes=True)
        is_new |= await gate.sending.outbox.keep_reply(_kept(gate, whose, reply_id, identity))
    return meaning.value if is_new else AGAIN


async def _known_as(gate: Gate, reply: Reply) -> Sequence[Reply]:
    """Return the reply as that of each number that its digits can mean and that somebody is known by: none where nobody is, and
    no answer to it then, which might go to a stranger. Of a store that can not be asked it may be either."""
    if reply.also is None:
        return (reply,)
    both = (reply, replace(reply, phone=reply.also))
    return [each for each in both if await _is_known(gate, each.phone)]


async def _is_known(gate: Gate, phone: Phone) -> bool:
    try:
        return bool(await rows_of(gate, phone)) or await gate.ledger.find((phone,)) is not None
    except StoreError:
        return True


async def _close(gate: Gate, reply: Reply, reply_id: str, *, is_other: bool) -> bool:
    """Close what a reply closes for its number; False when it is closed by this reply already. `is_other`: by the second
    meaning of its digits."""
    identity = await identify(gate, reply.phone, gate.clock.now(), closes=True)
    request_id, is_new = f"{reply_id}/other" if is_other else reply_id, False
    for scope in _scopes(gate, reply.signature):
        said = OptOut(reply.phone, scope, reply.at, "reply", f"replies/{reply_id}")
        is_new |= await refuse_number(gate, identity, Refused(reply.provider, request_id, said))
    return is_new


async def block(gate: Gate, provider: str, phone: Phone, code: str, message: str) -> bool:
    """Take over that a provider or carrier has a number on its list of opted-out ones; False when it was told before.

    `message` names the message that this was said of, or a batch of them. Such a list closes SMS alone: what it says is that no SMS gets
    through, not what the person wants elsewhere.
    """
    identity = await identify(gate, phone, gate.clock.now(), closes=True)
    request_id, is_new = keyed(gate, provider, f"block {message} {phone.e164}"), False
    for scope in _scopes(gate, "", CHANNEL):
        said = OptOut(phone, scope, gate.clock.now(), "provider_block", code)
        is_new |= await refuse_number(gate, identity, Refused(provider, request_id, said))
    return is_new


async def refuse_number(gate: Gate, identity: Identity, refused: Refused) -> bool:
    """Append one opt-out of a number; False when it is there."""
    request_id = f"{refused.request_id}/{refused.said.scope.purpose}"
    actor = provider_actor(refused.provider)
    if await gate.ledger.has_suppressed(actor, request_id):
        return False
    case, decision = open_act(gate, actor, Action.SUPPRESSION_ADD, request_id)
    try:
        await append_opt_out(case, decision, identity, refused.said)
    except RequestError as error:
        # Another worker heard the same at the same moment; or it holds, and nobody here waits for a confirmation.
        if error.code not in ("REQUEST_ID_REUSED", "OPT_OUT_PENDING"):
            raise
        return error.code == "OPT_OUT_PENDING"
    return True


def _soon(sending: Sending, act: Coroutine[object, object, bool]) -> None:
    """Let it go on when the provider has its answer: it waits for nobody's confirmation."""
    task: asyncio.Task[object] = asyncio.ensure_future(act)
    sending.under_way.add(task)
    task.add_done_callback(sending.under_way.discard)


def reply_text(gate: Gate, kept: KeptReply, wrapped_key: bytes) -> str:
    """Return the text of a reply that waits for review. Raises SealBroken."""
    key = data_key(wrapped_key, gate.seal_key, kept.sid)
    return str(open_facts(kept.sealed.decode(), key, _place(kept.reply_id, kept.sid))["reply.text"])


def keyed(gate: Gate, provider: str, given: str) -> str:
    """Return an id of ours for one of a provider's, which may hold a number, and must not be guessed back from ours."""
    key = hmac.digest(gate.tokeniser.key, _PURPOSE, "sha256")
    return hmac.digest(key, f"{provider}\0{given}".encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


def _scopes(gate: Gate, signature: str, channel: str = "") -> Iterator[SuppressionScope]:
    """Yield what is closed. Where the bundle has none of the purposes, all SMS are: a refusal is never for nothing."""
    assert gate.sending is not None
    rule: ReplyScope = gate.sending.replies
    brand = signature if rule.by_signature else ""
    known = [each for each in rule.purposes if each in gate.policies.current.bundle.purposes]
    if not known:
        yield SuppressionScope("", CHANNEL, brand)
    for purpose in known:
        yield SuppressionScope(purpose, channel, brand)


def _kept(gate: Gate, reply: Reply, reply_id: str, identity: Identity) -> KeptReply:
    sealed = b""
    if identity.wrapped_key is not None:  # else the customer was erased, and nothing more is kept
        key = data_key(identity.wrapped_key, gate.seal_key, identity.sid)
        text = {"reply.text": reply.text[:MOST_TEXT]}
        sealed = seal_facts(text, key, _place(reply_id, identity.sid), gate.ids.nonce()).encode()
    return KeptReply(reply_id, reply.provider, identity.sid, sealed, gate.clock.now())


def _place(reply_id: str, sid: str) -> Place:
    return Place("replies", reply_id, sid)
