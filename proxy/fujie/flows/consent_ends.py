"""Consents that stand and end soon, so that customers are asked again before, and not after (`flows.asking`).

The ledger knows when a consent ends and not whose it is: a customer is a sid there. So without a store they are counted, from an
index of ends; with one its customers are looked at in the order of their ids, and those come whose consent ends soon. Nobody
becomes known to the ledger by that. A consent ends at its own end, or `consent_ttl` of its purpose after it was given,
which the policy in force says: so that end is computed and stands nowhere.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.audit.sealing import SealKey, open_ticket, seal_ticket
from fujie.decision.consent import consent_of, end_of
from fujie.decision.tokens import Tokeniser
from fujie.flows.evidence import NOBODY, Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import refs_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import Refusal, Summary
from fujie.model.consent import Bearing, Ending
from fujie.model.errors import RequestError
from fujie.model.facts import Known
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential
from fujie.model.record import Fetched
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import ANY_CHANNEL, Action, Effect, State
from fujie.ports.stores import Scan

STORE_S = 5.0
"""Store time for one page."""

_PURPOSE = b"fujie.dev/consent-ends/v1"
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EndsQuery:
    """Which consents are asked for: for a purpose and channel, that end within `days`; of the customers of `store`, or of
    everybody, who are then only counted."""

    purpose: str
    days: int
    channel: str = ANY_CHANNEL
    store: str = ""
    part: Slice = FIRST_PAGE


@dataclass(frozen=True, slots=True, repr=False)
class EndingReply:
    """One page of consents that end soon, or how many of one page do; `next` is the token of the next one."""

    summary: Summary
    rows: tuple[Ending, ...]
    count: int
    next: str


@dataclass(frozen=True, slots=True)
class _Window:
    """From when to when an end lies, for a purpose whose consents last `ttl` (None: until their own end)."""

    asked: EndsQuery
    now: datetime
    ttl: timedelta | None

    @property
    def until(self) -> datetime:
        return self.now + timedelta(days=self.asked.days)

    def end(self, events: Iterable[Bearing], sid: str) -> datetime | None:
        """Return when the consent of `sid` ends that these events give; None when none stands, or none ends here."""
        consent = consent_of(events, sid, self.asked.channel, self.now, self.ttl)
        if consent.state is not State.GIVEN or consent.governing is None:
            return None
        end = end_of(consent.governing, self.ttl)
        return end if end is not None and end <= self.until else None


async def list_expiring_consents(
    gate: Gate, caller: Credential, context: RequestContext, asked: EndsQuery
) -> EndingReply | Refusal:
    """Return one page of consents that end soon; its entry names whose they are. A page may be empty and not the last."""
    case = open_case(gate, caller, context, Request(Action.CONSENT_READ))

    async def steps(case: Case) -> EndingReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        purpose = case.decider.bundle.purposes.get(asked.purpose)
        if purpose is None:
            raise RequestError(code="UNKNOWN_PURPOSE", field="purpose")
        if asked.store and asked.store not in gate.stores:
            raise RequestError(code="UNKNOWN_STORE", field="store")
        window = _Window(asked, case.now, purpose.consent_ttl)
        after = _opened(case, asked)
        if asked.store:
            found, last = await _of_store(case, window, after)
            count, sids = 0, tuple(dict.fromkeys(sid for _, sid in found))
        else:
            found, sids = [], ()
            count, last = await _counted(case, window, after)
        facts: dict[str, Known] = {"consent.purpose": asked.purpose, "page.rows": len(found) or count}
        subject = Subject(sids or NOBODY.sids, facts=facts)
        summary = await record(case, EntryKind.DECISION, decision, subject)
        case.watch.stop()
        rows = tuple(each for each, _ in found)
        return EndingReply(summary, rows, count, _sealed(case, asked, last) if last else "")

    return await guarded(case, steps)


async def _of_store(case: Case, window: _Window, after: str) -> tuple[list[tuple[Ending, str]], str]:
    """Return the customers of one batch of the store whose consent ends, and the last that was looked at (empty: the end)."""
    asked, found = window.asked, list[tuple[Ending, str]]()
    batch: Sequence[Fetched] = ()
    scan = Scan(_NONE, _NONE, after=after, size=asked.part.size, reader=case.asker)
    async with case.gate.stores[asked.store].scan(scan, STORE_S) as batches:
        async for rows in batches:  # the first alone
            batch = rows
            break
    for row in batch:
        if (told := await _ending(case, window, row)) is not None:
            found.append(told)
    return found, batch[-1].key.customer_id if len(batch) == asked.part.size else ""


async def _ending(case: Case, window: _Window, row: Fetched) -> tuple[Ending, str] | None:
    ledger = case.gate.ledger
    identity = await ledger.find(refs_of(row))
    if identity is None or identity.is_shared:  # nobody knows them, or whose consent it is
        return None
    events = await ledger.consent_events(identity.sids, window.asked.purpose)
    end = window.end(events, identity.sid)
    return None if end is None else (Ending(row.key, end), identity.sid)


async def _counted(case: Case, window: _Window, after: str) -> tuple[int, str]:
    """Return how many of one batch of the ledger have a consent that ends, and the last sid that was looked at."""
    size = window.asked.part.size
    until = window.until
    given = (case.now - window.ttl, until - window.ttl) if window.ttl else None
    ledger = case.gate.ledger
    sids = await ledger.consents_ending(window.asked.purpose, (case.now, until), given, (after, size))
    events = await ledger.consent_events(sids, window.asked.purpose)
    of_sid: dict[str, list[Bearing]] = {}
    for event in events:
        of_sid.setdefault(event.sid, []).append(event)
    count = sum(window.end(said, sid) is not None for sid, said in of_sid.items())
    return count, sids[-1] if len(sids) == size else ""


def _about(asked: EndsQuery) -> list[str | int]:
    return [asked.purpose, asked.channel, asked.store, asked.days]


def _sealed(case: Case, asked: EndsQuery, place: str) -> str:
    """Return the token of the next page. It holds a customer id, so it is no open text."""
    content = {"about": _about(asked), "place": place}
    return seal_ticket(content, _key(case.gate.tokeniser), case.gate.ids.nonce())


def _opened(case: Case, asked: EndsQuery) -> str:
    token = asked.part.after
    if not token:
        return ""
    try:
        content = open_ticket(token, _key(case.gate.tokeniser))
    except (AuditError, UnicodeError):
        content = {}
    if content.get("about") != _about(asked):
        raise RequestError(code="PAGE_TOKEN_INVALID", field="page_token")
    return str(content["place"])


@lru_cache(maxsize=4)
def _key(tokeniser: Tokeniser) -> SealKey:
    return SealKey(tokeniser.key_id, hmac.digest(tokeniser.key, _PURPOSE, "sha256"))
