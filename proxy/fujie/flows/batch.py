"""Several customers in one call: named one by one, or found by the last four digits of a phone number.

Each customer is a look-up of its own, with a decision and an entry of its own. A call differs from as many
calls in three things only: who may ask for none of them is refused once, `rows_per_request` sees them all, and
no refusal carries a prompt: one asks in a conversation, and a conversation is about one customer.
An approval is for one look-up, so a call takes none. Of a batch each refusal for lack of one names it, to be used by
looking that customer up alone; a search leaves out whom it may not show.
A search is one look-up more: who finds nobody has asked all the same. It counts only whom it may show: else the sum of
those who match, and of whom the asker may see, would tell of one who is left out.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from fujie.audit.entry import EntryKind
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, derive
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, Kept, open_case
from fujie.flows.lookup import judge, lookup, request_of
from fujie.flows.refuse import guarded, refused, standing
from fujie.flows.reply import BatchReply, LookupReply, Refusal, SearchReply
from fujie.flows.reserve import Meter
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError, StoreError
from fujie.model.principal import Credential
from fujie.model.record import Fetched
from fujie.model.request import BatchAsk, LookupAsk, RequestContext, SearchAsk
from fujie.model.vocabulary import Action, Effect, KeyKind

MOST_FOUND = 10
"""Customers that a search shows. Who reads more than a screen of them does not search, he collects."""

MOST_MATCHING = 50
"""Customers with the same four digits that a search decides on. Beyond them it is refused, whoever they are: each
costs a decision and an entry."""

AT_ONCE = 16
"""Look-ups of one call that run at a time, so that one caller does not take every connection of a store."""

_NONE: frozenset[str] = frozenset()

T = TypeVar("T")


async def batch_lookup(
    gate: Gate, caller: Credential, ask: BatchAsk, timeout_s: float
) -> BatchReply | Refusal:
    """Look up every customer that is named, each with its own answer, in the order of the request.

    Raises:
        AuditError: evidence could not be written; nothing was released.

    """
    count = len(ask.customers)
    asks = [
        LookupAsk(ref, ask.store, ask.context, ask.fields, ask.strict, rows=count) for ref in ask.customers
    ]
    case = open_case(gate, caller, ask.context, request_of(asks[0]))

    async def steps(case: Case) -> BatchReply | Refusal:
        closed = await _closed(case, {each.key_kind for each in asks})
        if closed is not None:
            return await refused(case, closed)
        _check_no_approval(ask.context)
        return BatchReply(await _each(case, asks, timeout_s))

    return await guarded(case, steps)


async def search(gate: Gate, caller: Credential, ask: SearchAsk, timeout_s: float) -> SearchReply | Refusal:
    """Find customers by the last four digits of their number, at most `MOST_FOUND`.

    Who may not be seen is left out like who does not exist: the entries tell the difference, the answer
    does not. The admission entry is durable before the store is asked.

    Raises:
        AuditError: evidence could not be written; nothing was released.

    """
    request = replace(request_of(_found(ask, "")), key_kind=KeyKind.PHONE_LAST_FOUR.value)
    case = open_case(gate, caller, ask.context, request)

    async def steps(case: Case) -> SearchReply | Refusal:
        digest = case.decider.bundle.digest
        closed = await _attempted(case)
        if closed is not None:
            return await refused(case, closed)
        _check_no_approval(ask.context)
        store = gate.stores.get(ask.store)
        if store is None or not store.can_search:
            code = "SEARCH_NOT_SUPPORTED" if store else "UNKNOWN_STORE"
            return await refused(case, refuse(digest, code))
        if timeout_s <= 0:
            raise StoreError(code="STORE_TIMEOUT")
        summary = await record(case, EntryKind.ADMISSION, Decision(Effect.ALLOW, digest))
        rows = await store.search(ask.last_four, _NONE, _NONE, MOST_MATCHING, timeout_s)
        case.watch.lap("store")
        asks = await _visible(case, ask, rows, timeout_s) if len(rows) <= MOST_MATCHING else None
        if asks is None or len(asks) > MOST_FOUND:
            return await refused(case, refuse(digest, "SEARCH_TOO_WIDE"))
        whole = replace(case, request=replace(case.request, rows=len(asks)))
        closed = await _closed(whole, [KeyKind.PHONE_LAST_FOUR])
        if closed is not None:
            return await refused(whole, closed)
        asks = [replace(each, rows=len(asks)) for each in asks]
        answers = await _each(case, asks, timeout_s)
        return SearchReply(summary, tuple(each for each in answers if isinstance(each, LookupReply)))

    return await guarded(case, steps)


async def _visible(
    case: Case, ask: SearchAsk, rows: Sequence[Fetched], timeout_s: float
) -> list[LookupAsk]:
    """Return the look-ups of those of `rows` who may be seen. The others get their entries here, and nothing is
    taken for them: what is left of the asker's limits would tell how many they were.
    """
    principal = await standing(case)
    if isinstance(principal, Decision):  # since the attempt was counted
        return []

    async def one(row: Fetched) -> LookupAsk | None:
        found = _found(ask, row.key.customer_id)
        its = replace(case, request=request_of(found), decision_id=case.gate.ids.new_id())
        explained = replace(its, request=replace(its.request, action=Action.EXPLAIN))  # takes nothing
        judged = await judge(explained, its.request, principal, found, timeout_s)
        if judged.decision.effect is Effect.ALLOW:
            return found
        await record(its, EntryKind.DECISION, judged.decision, Subject.of(judged.seen.identity))
        return None

    return [found for found in await _few_at_a_time(map(one, rows)) if found is not None]


def _check_no_approval(context: RequestContext) -> None:
    if context.approval:
        raise RequestError("an approval is for one look-up", field="context.approval")
    if context.break_glass:
        raise RequestError("for one look-up at a time", field="context.break_glass")


def _found(ask: SearchAsk, customer_id: str) -> LookupAsk:
    """Return the look-up of one customer that the search found."""
    key = StoreKey(ask.store, customer_id)
    return LookupAsk(key, ask.store, ask.context, ask.fields, ask.strict, KeyKind.PHONE_LAST_FOUR)


async def _closed(case: Case, kinds: Iterable[KeyKind]) -> Decision | None:
    """Return the refusal that holds for every customer by any of these kinds of key, None when one may be open."""
    principal = await standing(case)
    if isinstance(principal, Decision):
        return principal
    closed = None
    # The kind of the case first: its refusal is the one that is told and recorded.
    for kind in sorted(kinds, key=lambda kind: kind != case.request.key_kind):
        request = replace(case.request, key_kind=kind.value)
        plan = case.decider.plan(request, principal.roles)
        facts = derive(plan.bundle, request, Raw(principal), case.now, case.gate.zone)
        refusal = precheck(plan, request, facts)
        if refusal is None:
            return None
        closed = closed or refusal
    return closed


async def _attempted(case: Case) -> Decision | None:
    """Count a search like a look-up, before the store is asked; return the refusal that no customer can change."""
    principal = await standing(case)
    if isinstance(principal, Decision):
        return principal
    request = case.request
    plan = case.decider.plan(request, principal.roles)
    facts = derive(plan.bundle, request, Raw(principal), case.now, case.gate.zone)
    closed = precheck(plan, request, facts)
    meter = Meter(case, plan, principal.id, StoreKey(request.store, ""))  # nobody is asked for by name yet
    if closed is None and meter.is_needed:
        closed = precheck(plan, request, await meter.attempt(facts))
    return closed


async def _each(
    case: Case, asks: Sequence[LookupAsk], timeout_s: float
) -> tuple[LookupReply | Refusal, ...]:
    gate = replace(case.gate, policies=Kept(case.decider))
    calls = (lookup(gate, case.caller, ask, timeout_s, may_prompt=False) for ask in asks)
    return tuple(await _few_at_a_time(calls))


async def _few_at_a_time(works: Iterable[Awaitable[T]]) -> list[T]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(work: Awaitable[T]) -> T:
        async with room:
            return await work

    # All of them end before the first error is told: none goes on behind an answer.
    ended = await asyncio.gather(*map(one, works), return_exceptions=True)
    results: list[T] = []
    for result in ended:
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results
