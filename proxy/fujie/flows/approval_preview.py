"""What an approval would release, for those who decide on it: numbers, steps, a grade; never a row.

Rows are found and judged as the export would: as the requester, as if this approval were given, by the same filter over the
same masked rows. So a value that the requester may not see moves no number here, and what a number tells, it tells
of values that he will see. Numbers are told as one of the two tens around them; which one is drawn for each filter of his, the
same whenever it is asked for and however it is written. Limits are not looked at: they may make the export shorter. Of the number of
rows that was asked for only whole tens are looked at: where a number ends in another row each time, it would tell of each.

The mean of many draws is the number itself, and filters that hardly differ are many draws: so no number is told any more of somebody
who asked for more than `MOST_LISTS` different exports of a store within `SINCE`.

Looking ends after `LOOK_S` seconds or `MOST_LOOKED` rows; then the numbers are of the part that was seen, and say so.
"""

import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from fujie.audit.canon import canonical
from fujie.decision.exposure import exposed, most_open
from fujie.decision.facts import Raw, derive
from fujie.decision.filter_text import parse_filter
from fujie.decision.filtering import sieve_of
from fujie.decision.risk import Exposure, grade
from fujie.decision.rowfilter import row_filter
from fujie.decision.usage import states
from fujie.flows.approval_terms import Asked, opened
from fujie.flows.export_rows import Matter, judge_rows, shown_rows
from fujie.flows.gate import Case, Gate
from fujie.flows.reply import ApprovalPreview, Found, History
from fujie.flows.reserve import Meter
from fujie.model.approval import WAITING, Approval, ApprovalFilter
from fujie.model.customer import StoreKey
from fujie.model.errors import FujieError
from fujie.model.export import ExportFilter
from fujie.model.facts import APPROVED, EXHAUSTED, USAGE, Facts
from fujie.model.page import MOST_ON_A_PAGE, Slice
from fujie.model.predicate import AllOf, Comparison, Predicate
from fujie.model.principal import Principal
from fujie.model.record import Fetched
from fujie.model.request import Request
from fujie.model.usage import Look
from fujie.model.vocabulary import Action, State
from fujie.ports import CustomerStore
from fujie.ports.stores import Scan

LOOK_S = 2.0
"""How long rows are looked at: a person waits for it, and a call has five seconds."""

MOST_LOOKED = 20_000
"""Rows that are looked at at most, found or not."""

BATCH = 200
"""Rows at a time: about 20 ms, in which the worker answers nobody else."""

SINCE = timedelta(days=30)
"""How far the requester's history goes back."""

SMALLEST = 10
"""Numbers are told as a multiple of it."""

MOST_LISTS = 50
"""Different exports of one store that one person asks for within `SINCE`, at most, if numbers are to be told of them: two and more
for each working day. Of so many draws the mean is still off by 0.7 (5 / sqrt(50)), and the difference of two halves, which would tell
whether one customer is among them, by 1.4."""

_SHIFT = b"fujie.dev/preview-shift/v1"


def told(count: int, shift: int, most: int) -> int:
    """Return a number as it may be told: a multiple of ten less than ten away from it, so that 0 stands for fewer than ten, and
    no more than `most`. `shift`, 0 to 9, says whether up or down."""
    up = count + shift
    return min(up - up % SMALLEST, most - most % SMALLEST)


def shift_of(key: bytes, about: tuple[str, ...], wanted: Predicate) -> int:
    """Return how the numbers of an export are shifted before they are cut to tens: else ten filters, each with one known
    customer more, would tell by where the ten changes how many there are, and two such numbers who. Another filter is another
    draw, and so is the same one of somebody else, of another store or purpose (`about`): numbers that one person knows must not
    tell the shift of another's. The same one is always the same, whatever else is asked for and in whatever order or spelling:
    the mean of many draws of one number is that number."""
    said = canonical({"about": about, "filter": _said(wanted)})
    return int.from_bytes(hmac.digest(key, _SHIFT + said, "sha256")[:8]) % SMALLEST


def _said(wanted: Predicate) -> str:
    """Return a filter in one spelling: its parts in one order, each once."""
    if isinstance(wanted, Comparison):
        return repr((wanted.column.name, wanted.operator.value, wanted.constant))
    parts = sorted(set(map(_said, wanted.parts)))
    return parts[0] if len(parts) == 1 else f"{type(wanted).__name__}({', '.join(parts)})"


async def preview_of(case: Case, approval: Approval) -> ApprovalPreview:
    """Return what an approval would release, as it is now, by the policy in force now.

    Raises:
        LedgerError: the requester's history could not be read.

    """
    gate, bundle = case.gate, case.decider.bundle
    asked = opened(gate, approval)
    requester = await gate.directory.get(approval.requester)
    request = asked.request if asked else _request(approval)
    roles = requester.roles if requester else frozenset[str]()
    steps = most_open(bundle, request, roles)
    history = await _history(gate, approval.requester, case.now)
    local = approval.created_at.astimezone(gate.zone)
    risk = grade(
        Exposure(
            exposed(bundle, steps), approval.rows, history.exported_rows, local.hour, local.isoweekday()
        )
    )
    found = None
    is_waiting = approval.state(case.now) in WAITING
    if (
        asked is not None
        and requester is not None
        and is_waiting
        and await _asks_for_few(gate, approval, case.now)
    ):
        found = await _found(case, approval, asked, requester)
    return ApprovalPreview(
        steps={name: str(step) for name, step in steps.items()},
        risk=risk,
        history=history,
        terms=asked.terms if asked else None,
        found=found,
    )


async def _asks_for_few(gate: Gate, approval: Approval, now: datetime) -> bool:
    """Tell whether its requester has asked for so few different exports of its store that their numbers may be told; not where
    so much was asked for that nobody can count it."""
    own = ApprovalFilter(approval.requester, frozenset(), now, with_closed=True, latest_first=True)
    page = await gate.ledger.approval_page(own, Slice(size=MOST_ON_A_PAGE))
    since = [each for each in page.rows if each.created_at >= now - SINCE]
    of_store = {
        each.request_digest
        for each in since
        if (each.action, each.store) == (Action.EXPORT, approval.store)
    }
    return len(of_store) <= MOST_LISTS and not (page.next and len(since) == len(page.rows))


async def _history(gate: Gate, requester: str, now: datetime) -> History:
    since = now - SINCE
    approvals = await gate.ledger.approval_history(requester, since)
    page = await gate.exports.export_page(ExportFilter(requester), Slice(size=MOST_ON_A_PAGE))
    exports = [export for export in page.rows if export.started_at >= since]
    is_partial = approvals.is_partial or (bool(page.next) and len(exports) == len(page.rows))
    return History(approvals, len(exports), sum(export.rows for export in exports), is_partial)


@dataclass(slots=True)
class _Looking:
    """What was seen so far of the rows that an export of `most` rows would find."""

    most: int
    looked: int = 0
    rows: int = 0
    consents: Counter[State] = field(default_factory=Counter)
    is_partial: bool = False


async def _found(case: Case, approval: Approval, asked: Asked, requester: Principal) -> Found | None:
    """Return what the export would find now; None when that can not be told: another policy, no store, no filter."""
    gate, looking = case.gate, _Looking(asked.terms.max_rows // SMALLEST * SMALLEST)
    store = gate.stores.get(asked.request.store)
    if store is None or requester.employment is not State.ACTIVE:
        return None
    try:
        matter = await _matter(case, approval, asked, requester)
        predicate = parse_filter(asked.terms.filter, matter.plan.bundle.fields)
        async with store.scan(_scan(matter, predicate, store), LOOK_S) as batches:
            until = gate.clock.monotonic() + LOOK_S  # from now on: it may have waited for its turn as long
            async for batch in batches:
                looking.looked += len(batch)
                await _look(matter, predicate, batch, looking)
                if looking.rows == looking.most:  # the export would end here
                    break
                if looking.looked >= MOST_LOOKED or gate.clock.monotonic() >= until:
                    looking.is_partial = True
                    break
    except FujieError:
        return None
    about = (approval.requester, approval.store, approval.purpose)
    shift = shift_of(gate.tokeniser.key, about, predicate)
    rows = told(looking.rows, shift, looking.most)
    return Found(
        rows=rows,
        consents={state: told(looking.consents[state], shift, rows) for state in _CONSENTS},
        is_partial=looking.is_partial,
    )


_CONSENTS = (
    State.GIVEN, State.NONE, State.REQUESTED, State.REFUSED, State.WITHDRAWN, State.EXPIRED, State.INVALIDATED,
)  # fmt: skip


async def _matter(case: Case, approval: Approval, asked: Asked, requester: Principal) -> Matter:
    """Return how rows are judged for the requester, as if others had agreed; nothing is taken from his limits."""
    request, zone = asked.request, case.gate.zone
    case = replace(
        case, request=request, gate=replace(case.gate, shadow=None)
    )  # nobody asks for these rows
    plan = case.decider.plan(request, requester.roles)
    facts = derive(plan.bundle, request, Raw(requester), case.now, zone)
    said = {**facts.values, APPROVED: tuple(sorted(approval.keys)), EXHAUSTED: ()}
    nobody = StoreKey(request.store, "")
    if not USAGE.isdisjoint(plan.reads):
        local = case.now.astimezone(zone)
        look = Look(
            principal=requester.id,
            now=case.now,
            day=local.date(),
            ref=nobody,
            hour=local.hour,
            department=requester.department,
        )
        said |= states(await case.gate.ledger.habits(look), look.day, look.hour)
    return Matter(case, plan, requester, Facts(said), Meter(case, plan, requester.id, nobody))


def _scan(matter: Matter, predicate: Predicate, store: CustomerStore) -> Scan:
    where = AllOf((row_filter(matter.plan, matter.asker), sieve_of(matter.plan, predicate)))
    wanted = store.fields.intersection(matter.case.request.fields)
    return Scan(
        wanted,
        matter.plan.customer_attributes & store.attributes,
        where,
        size=BATCH,
        reader=matter.case.asker,
    )


async def _look(matter: Matter, predicate: Predicate, batch: Sequence[Fetched], looking: _Looking) -> None:
    """Judge rows, and count those that would leave."""
    judged = await judge_rows(matter, batch)
    shown = await shown_rows(matter, judged, predicate)
    for each, values in zip(judged, shown, strict=True):
        if values is not None and looking.rows < looking.most:
            looking.rows += 1
            consent = each.facts.get("consent.state")
            looking.consents[consent if isinstance(consent, State) else State.NONE] += 1


def _request(approval: Approval) -> Request:
    """Return what is known of a request of which nothing more was kept."""
    return Request(
        Action(approval.action),
        approval.purpose,
        approval.basis,
        approval.store,
        "",
        approval.fields,
        rows=approval.rows,
    )
