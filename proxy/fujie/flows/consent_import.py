"""Consents from a file: every row through the same gate as a consent alone, and each once, however often it comes.

Rows come in batches and are worked off in chunks; each chunk is a request of its own: the asker anew, the bundle in
force, the moment. Of a chunk,

1. what RecordConsent would refuse is refused, row by row: its place and its reason are told, never what stood in it;
2. a row that was recorded before is left out: it is known by its customer and by everything that was said in it;
3. every row has an admission of its own, all of them durable by one sync. One entry of many rows would do for the log;
   but whoever exports the evidence of one customer would hand out the sids of all others in it;
4. the events are written in one transaction, in the order of the file;
5. what closes waits until nothing is on its way to whom it closes for, also when it was recorded before.

A chunk that fails ends the import. What came before it stays, and the same file may come again.
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fujie.audit.entry import EntryKind
from fujie.flows.consent import Answer, bound, dated, said_digest
from fujie.flows.evidence import Subject, placed, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identify_many, rows_of_many, trouble_of
from fujie.flows.notices import borne
from fujie.flows.refuse import gone, guarded, permitted, refused
from fujie.flows.reply import ImportReply, Refusal
from fujie.flows.settlement import until_settled
from fujie.model.consent import NEGATIVE, ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Identity
from fujie.model.decision import Decision
from fujie.model.errors import FujieError, RequestError
from fujie.model.facts import Known
from fujie.model.notice import PrivacyNotice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

CHUNK: Final = 100
"""Rows between two looks at the asker: some 50 ms of work, so that who is let go stops within a second (promise 7), and
other writers of the ledger wait for one transaction of that size."""

MOST_PLACES: Final = 100_000
"""Places of refused rows that are kept, four bytes each; all are counted."""

Row = Answer | str
"""What a customer said, or the reason code for which a row says nothing."""

Rows = Sequence[Row] | None
"""A batch of at most 500; None each half second in which none came, so that who has left is not waited for."""


@dataclass(frozen=True, slots=True, repr=False)
class ImportAsk:
    """Who imports; with `validate_only` nothing is written but the entry that says so."""

    context: RequestContext
    validate_only: bool = False


@dataclass(slots=True, repr=False)
class _Counts:
    """What came of the rows so far."""

    seen: int = 0
    recorded: int = 0
    repeated: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    places: dict[str, "array[int]"] = field(default_factory=dict)
    room: int = MOST_PLACES

    def refuse(self, place: int, code: str) -> None:
        """Count one row that was not taken."""
        self.refused[code] = self.refused.get(code, 0) + 1
        if self.room:
            self.room -= 1
            self.places.setdefault(code, array("I")).append(place)

    def told(self) -> dict[str, Known]:
        """Return them as facts of an entry."""
        refused = sum(self.refused.values())
        return {
            "import.recorded": self.recorded,
            "import.repeated": self.repeated,
            "import.refused": refused,
        }


Opened = tuple[Case, Decision]
"""The case that a row belongs to, and the decision that lets it in."""


@dataclass(frozen=True, slots=True, repr=False)
class _Taken:
    """A row that was found good: its place, what the caller said, and what is recorded of it."""

    place: int
    opened: Opened
    customer: CustomerRef
    said: ConsentEvent
    draft: ConsentEvent
    notice: PrivacyNotice | None

    @property
    def closes(self) -> bool:
        """Tell whether it closes."""
        return self.draft.type in NEGATIVE


@dataclass(frozen=True, slots=True, repr=False)
class _Known:
    """A row whose customer is known. `key`, the request id that it is recorded under, is the same whenever the same is
    said of the same customer."""

    taken: _Taken
    identity: Identity
    key: str


async def import_consents(
    gate: Gate, caller: Credential, asked: ImportAsk, batches: AsyncIterator[Rows]
) -> ImportReply | Refusal:
    """Append the events of all batches until there are no more; see the steps above.

    A refusal tells nothing of the rows before it; what was recorded stays. Raises AuditError.
    """
    case = open_case(gate, caller, asked.context, Request(Action.CONSENT_RECORD))

    async def steps(case: Case) -> ImportReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        kind = EntryKind.DECISION if asked.validate_only else EntryKind.ADMISSION
        summary = await record(case, kind, decision)
        counts = _Counts()
        async for rows in batches:
            if rows is None and (left := await gone(case)) is not None:
                return await refused(case, left, Subject(facts=counts.told()))
            for at in range(0, len(rows or ()), CHUNK):
                refusal = await _chunk(case, asked, (rows or ())[at : at + CHUNK], counts)
                if refusal is not None:
                    return refusal
        await record(case, EntryKind.OUTCOME, decision, Subject(facts=counts.told()))
        case.watch.stop()
        return ImportReply(summary, counts.recorded, counts.repeated, counts.refused, counts.places)

    return await guarded(case, steps)


async def _chunk(case: Case, asked: ImportAsk, rows: Sequence[Row], counts: _Counts) -> Refusal | None:
    """Do one chunk; return the refusal when the asker may not record what it says."""
    opened: dict[Action, Opened] = {}
    for action in dict.fromkeys(_action(row) for row in rows):
        of_chunk = open_case(case.gate, case.caller, asked.context, Request(action))
        decision = await permitted(of_chunk)
        if decision.effect is not Effect.ALLOW:
            return await refused(of_chunk, decision, Subject(facts=counts.told()))
        opened[action] = of_chunk, decision
    taken = []
    for place, row in enumerate(rows, counts.seen):
        good = await _taken(opened[_action(row)], place, row)
        if isinstance(good, str):
            counts.refuse(place, good)
        else:
            taken.append(good)
    counts.seen += len(rows)
    if taken:
        await (_checked if asked.validate_only else _recorded)(case.gate, opened, taken, counts)
    return None


def _action(row: Row) -> Action:
    """Return what a row does: a withdrawal has a grant of its own, in a file too."""
    is_withdrawal = isinstance(row, Answer) and row.draft.type is ConsentEventType.WITHDRAWN
    return Action.CONSENT_WITHDRAW if is_withdrawal else Action.CONSENT_RECORD


async def _taken(opened: Opened, place: int, row: Row) -> _Taken | str:
    if isinstance(row, str):
        return row
    case, _ = opened
    assert row.customer is not None  # the transport leaves none out
    try:
        draft, notice = await borne(case, dated(case, row.draft), row.capture)
    except RequestError as error:
        return error.code
    return _Taken(place, opened, row.customer, row.draft, draft, notice)


async def _checked(
    gate: Gate, opened: Mapping[Action, Opened], taken: Sequence[_Taken], counts: _Counts
) -> None:
    """Say what the stores and the notices say against the rows, and write nothing."""
    found = await rows_of_many(gate, [each.customer for each in taken])
    for each in taken:
        rows = found[each.customer]
        code = trouble_of(each.customer, rows, closes=each.closes)
        if not (code or each.closes or isinstance(rows, FujieError)) and len(rows) > 1:
            code = "CUSTOMER_AMBIGUOUS"
        if code:
            counts.refuse(each.place, code)
        else:
            counts.recorded += 1
    for case, decision in opened.values():  # it told whom the stores know
        await record(case, EntryKind.DECISION, decision)


async def _recorded(
    gate: Gate, opened: Mapping[Action, Opened], taken: Sequence[_Taken], counts: _Counts
) -> None:
    known = await _identified(gate, await _kept(taken, counts), counts)
    asker = next(iter(opened.values()))[0].asker
    before = await gate.ledger.recorded(asker, [each.key for each in known])  # 2
    new = {each.key: each for each in reversed(known) if each.key not in before}
    fresh = [each for each in known if new.get(each.key) is each]
    bounds = [bound(each.taken.opened[0], each.identity, each.taken.draft) for each in fresh]
    places = await asyncio.gather(  # 3
        *(
            placed(each.taken.opened[0], EntryKind.ADMISSION, each.taken.opened[1], subject)
            for each, (_, subject) in zip(fresh, bounds, strict=True)
        )
    )
    rows = [
        (replace(event, entry=entry), each.key, each.key)
        for each, (event, _), (_, entry) in zip(fresh, bounds, places, strict=True)
    ]
    written = await gate.ledger.record_consents(rows) if rows else ()  # 4
    added = {event.record_id for event in written} & {event.record_id for event, _, _ in rows}
    counts.recorded += len(added)
    counts.repeated += len(known) - len(added)
    closed = [sid for each in known if each.taken.closes for sid in each.identity.sids]
    if closed:
        await until_settled(gate, list(dict.fromkeys(closed)))  # 5
    for action, (case, decision) in opened.items():
        mine = [each for each in fresh if _action_of(each) is action]
        if mine:
            sids = dict.fromkeys(each.identity.sid for each in mine)
            facts: dict[str, Known] = {"import.recorded": len(mine)}
            await record(case, EntryKind.OUTCOME, decision, Subject(tuple(sids), facts=facts))


def _action_of(known: _Known) -> Action:
    return known.taken.opened[0].request.action


async def _kept(taken: Sequence[_Taken], counts: _Counts) -> list[_Taken]:
    """Let the ledger keep each notice, once a chunk; leave out the rows whose notice has changed."""
    changed: dict[tuple[str, str], str] = {}
    kept = []
    for each in taken:
        if each.notice is not None:
            named, (case, _) = (each.notice.id, each.notice.version), each.opened
            if named not in changed:
                try:
                    await case.gate.ledger.keep_notice(each.notice, case.now)
                    changed[named] = ""
                except RequestError as error:
                    changed[named] = error.code
            if changed[named]:
                counts.refuse(each.place, changed[named])
                continue
        kept.append(each)
    return kept


async def _identified(gate: Gate, taken: Sequence[_Taken], counts: _Counts) -> list[_Known]:
    """Return the rows with their customers; by a number that several share only what closes is taken."""
    found = await rows_of_many(gate, [each.customer for each in taken])
    asked = [(each.customer, each.closes) for each in taken]
    known = []
    for each, who in zip(taken, await identify_many(gate, asked, found, gate.clock.now()), strict=True):
        if isinstance(who, str):
            counts.refuse(each.place, who)
        elif who.is_shared and not each.closes:
            counts.refuse(each.place, "CUSTOMER_AMBIGUOUS")
        else:
            known.append(_Known(each, who, f"row:{said_digest(each.said, who.sid)}"))
    return known
