"""Recipients: kept under the customer's own key, found in the stores, recalled by the ledger, decided many at a time.

The ledger holds no number: who a message is for, and what stands in its variables, is sealed under the data key of
the recipient's sid. Destroying that key destroys the list of whom a campaign reached.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from fujie.audit.errors import SealBroken
from fujie.audit.sealing import Place, open_facts, seal_facts
from fujie.flows.evidence import data_key
from fujie.flows.gate import Case, Gate, Sending
from fujie.flows.identify import refs_of, rows_of
from fujie.model.campaign import Campaign
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.message import CHANNEL, NO_PARAMS, Draft, Planned, Recipient
from fujie.model.record import Fetched
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action
from fujie.ports.recollection import Recalled

_PLACE = "recipient"
_PARAM = "param."

AT_ONCE = 16
"""Numbers that are looked for in the stores at a time: a store finds many customers by key in one statement, and
numbers one by one."""


def request_to(ref: CustomerRef, context: RequestContext, draft: Draft) -> Request:
    """Return what the policy sees of a message to somebody before it is rendered."""
    return Request(
        Action.SEND,
        context.purpose,
        context.basis,
        ref.store if isinstance(ref, StoreKey) else "",
        ref.kind.value,
        has_basis_evidence=bool(context.basis_evidence),
        has_ticket=bool(context.ticket),
        channel=CHANNEL,
        brand=draft.signature,
    )


class Wanted(NamedTuple):
    """One message to be: the id of its intent, the sid that it was planned for (empty: not yet known), and its
    recipient, None when that can not be read any more."""

    id: str
    sid: str
    recipient: Recipient | None

    def __repr__(self) -> str:
        return "Wanted(...)"


class Person(NamedTuple):
    """A recipient as the stores know them. `refs` are all references of the customer, the one that decides on the sid
    first; none, when there is nobody. `trouble` is the reason code for which nothing can be sent."""

    wanted: Wanted
    phone: Phone | None = None
    refs: tuple[CustomerRef, ...] = ()
    attributes: Mapping[str, object] | None = None
    trouble: str = ""

    def __repr__(self) -> str:
        return "Person(...)"


def sealed(gate: Gate, sid: str, wrapped_key: bytes | None, recipient: Recipient) -> bytes:
    """Return the recipient under the data key of `sid`; nothing, when that is erased."""
    if wrapped_key is None:
        return b""
    ref = recipient.customer
    named = (
        {"store": ref.store, "id": ref.customer_id} if isinstance(ref, StoreKey) else {"phone": ref.e164}
    )
    said = {**named, **{_PARAM + name: value for name, value in recipient.params.items()}}
    key = data_key(wrapped_key, gate.seal_key, sid)
    return base64.b64decode(seal_facts(said, key, _place(sid), gate.ids.nonce()))


def opened(gate: Gate, sid: str, sealed: bytes, wrapped_key: bytes | None) -> Recipient | None:
    """Return the recipient; None when the customer was erased. Raises SealBroken."""
    if wrapped_key is None or not sealed:
        return None
    key = data_key(wrapped_key, gate.seal_key, sid)
    said = {
        name: str(each)
        for name, each in open_facts(base64.b64encode(sealed).decode(), key, _place(sid)).items()
    }
    phone = said.get("phone")
    ref: CustomerRef = Phone(phone) if phone is not None else StoreKey(said["store"], said["id"])
    params = {name.removeprefix(_PARAM): value for name, value in said.items() if name.startswith(_PARAM)}
    return Recipient(ref, params or NO_PARAMS)


def readable(gate: Gate, sid: str, sealed: bytes, wrapped_key: bytes | None) -> Recipient | None:
    """Do what `opened` does; None as well for a seal that is broken: one row that somebody wrote into must not keep those
    beside it from being sent, or asked about, for ever."""
    try:
        return opened(gate, sid, sealed, wrapped_key)
    except SealBroken:
        return None


async def planned(
    gate: Gate, campaign: Campaign, recipients: Sequence[Recipient], now: datetime
) -> list[Planned]:
    """Return the intents of at most 1,000 recipients of a campaign, enrolled and sealed, in their order."""
    identities = await sending_of(gate).outbox.enrol_many([each.customer for each in recipients], now)
    return [
        Planned(
            intent_id=gate.ids.new_id(),
            sid=identity.sid,
            sealed=sealed(gate, identity.sid, identity.wrapped_key, recipient),
            campaign_id=campaign.id,
            requester=campaign.requester,
            purpose=campaign.purpose,
            category=campaign.draft.category,
            signature=campaign.draft.signature,
        )
        for identity, recipient in zip(identities, recipients, strict=True)
    ]


def sending_of(gate: Gate) -> Sending:
    """Return what the gate needs to send. Raises RequestError MESSAGING_OFF."""
    if gate.sending is None:
        raise RequestError(code="MESSAGING_OFF")
    return gate.sending


async def found(
    case: Case, wanted: Sequence[Wanted], attributes: frozenset[str], timeout_s: float
) -> list[Person]:
    """Return the people behind recipients, in their order. A store key is looked for in its own store, a number in all:
    what was said under another reference of its customer counts.

    Raises:
        StoreError: a store can not be asked.

    """
    stores, rows = case.gate.stores, dict[str, dict[str, Fetched]]()
    asked: dict[str, dict[str, StoreKey]] = {}
    for each in wanted:
        ref = _ref(each)
        if isinstance(ref, StoreKey):
            asked.setdefault(ref.store, {})[ref.customer_id] = ref
    for name in asked.keys() & stores.keys():
        store, keys = stores[name], list(asked[name].values())
        fetched = await store.fetch_many(keys, attributes & store.attributes, timeout_s)
        rows[name] = {row.key.customer_id: row for row in fetched}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(each: Wanted) -> Person:
        ref = _ref(each)
        if isinstance(ref, Phone):
            async with room:
                return await _by_number(case, each, ref, attributes, timeout_s)
        return _by_key(case, each, ref, rows)

    if all(not isinstance(_ref(each), Phone) for each in wanted):  # no task for each of them
        return [_by_key(case, each, _ref(each), rows) for each in wanted]
    return list(await asyncio.gather(*map(one, wanted)))


async def recalled(
    case: Case, people: Sequence[Person], purpose: str = ""
) -> tuple[int, Mapping[str, Recalled]]:
    """Return what the ledger knows of those who are there, by id, and the marker up to which it holds.

    Their consents are those for `purpose`, else for that of the case.
    """
    there = [person for person in people if person.refs]
    if not there:
        return 0, {}
    outbox = sending_of(case.gate).outbox
    about = purpose or case.request.purpose
    told = await outbox.recall_many([each.refs for each in there], about, case.now)
    by_id = {person.wanted.id: known for person, known in zip(there, told.customers, strict=True)}
    return told.marker, by_id


def _by_key(
    case: Case, wanted: Wanted, ref: CustomerRef | None, rows: Mapping[str, Mapping[str, Fetched]]
) -> Person:
    if isinstance(ref, StoreKey) and ref.store not in case.gate.stores:
        return Person(wanted, trouble="UNKNOWN_STORE")
    return person_of(wanted, rows[ref.store].get(ref.customer_id) if isinstance(ref, StoreKey) else None)


def person_of(wanted: Wanted, row: Fetched | None) -> Person:
    """Return the one whom a store has this row of."""
    if row is None:
        return Person(wanted, trouble="CUSTOMER_NOT_FOUND")
    refs = refs_of(row)
    phone = refs[-1] if isinstance(refs[-1], Phone) else None
    return Person(wanted, phone, refs, row.attributes, "" if phone else "PHONE_MISSING")


async def _by_number(
    case: Case, wanted: Wanted, phone: Phone, attributes: frozenset[str], timeout_s: float
) -> Person:
    """Return the one customer who has the number, with what the row says of them; else whoever the number stands for."""
    rows = await rows_of(case.gate, phone, attributes, timeout_s)
    if len(rows) == 1:
        return Person(wanted, phone, refs_of(rows[0]), rows[0].attributes)
    for row in rows:  # each by itself: what shares a number is not one customer
        await case.gate.ledger.enrol(refs_of(row), case.now)
    return Person(wanted, phone, (phone,))


def _ref(wanted: Wanted) -> CustomerRef | None:
    return wanted.recipient.customer if wanted.recipient else None


def _place(sid: str) -> Place:
    return Place(_PLACE, "", sid)
