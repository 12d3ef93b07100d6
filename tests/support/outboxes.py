"""Campaigns, messages and claims made by rule, and ledgers to keep them in."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from fujie.adapters.ledger import IndexKey, SQLLedger
from fujie.adapters.ledger.database import Database
from fujie.adapters.ledger.postgresql import PostgreSQLDatabase
from fujie.adapters.ledger.server import URL_ALONE, is_server, server_of
from fujie.adapters.ledger.sqlite import SQLiteDatabase, file_of
from fujie.model.campaign import Campaign, CampaignState, Lease
from fujie.model.customer import Phone, StoreKey
from fujie.model.message import Category, Claim, Draft, Planned
from fujie.ports import Identifiers
from support.identities import IDENTIFIERS
from support.ledgers import sqlite_url
from support.postgresql import ledger_url

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
INDEX = IndexKey("index-1", b"\x01" * 32)


URLS: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    "sqlite": sqlite_url,
    "postgresql": ledger_url,
}


class Counted:
    """Identifiers that count, so that two ledgers that were told the same are the same."""

    def __init__(self) -> None:
        self.count = 0

    def new_id(self) -> str:
        self.count += 1
        return f"{self.count:032x}"

    def nonce(self) -> bytes:
        return b"\0" * 12


async def opened(url: str, ids: Identifiers = IDENTIFIERS) -> SQLLedger:
    """Open the migrated ledger at `url`, as another process would."""
    database: Database
    if is_server(url):
        database = await PostgreSQLDatabase.open(server_of(url, URL_ALONE))
    else:
        database = SQLiteDatabase(file_of(url))
    return SQLLedger(database, INDEX, ids, lambda sid: b"wrapped:" + sid.encode())


def key(n: int) -> StoreKey:
    return StoreKey("crm", f"C-{n}")


def phone(n: int) -> Phone:
    return Phone(f"+8613800{n:06d}")


def campaign(requester: str = "marketer", category: Category = Category.MARKETING) -> Campaign:
    """Return a draft of a campaign."""
    return Campaign(
        id=IDENTIFIERS.new_id(),
        state=CampaignState.DRAFT,
        requester=requester,
        caller="crm",
        workload="spiffe://example.org/crm",
        purpose="marketing",
        basis="consent",
        has_basis_evidence=False,
        has_ticket=True,
        draft=Draft(category, "符节", text="到店有礼 {link} 拒收请回复R"),
        created_at=NOW,
    )


def planned(sid: str, requester: str = "marketer") -> Planned:
    """Return an intent for a customer."""
    intent_id = IDENTIFIERS.new_id()
    sealed = b"sealed:" + intent_id.encode()
    return Planned(intent_id, sid, sealed, "", requester, "marketing", Category.MARKETING, "符节")


def claim(intent_id: str, to: Phone, *sids: str, link: bytes = b"", provider: str = "outbox") -> Claim:
    """Return a claim of one segment."""
    return Claim(intent_id, to, sids, hashlib.sha256(b"text").hexdigest(), provider, 1, link)


async def running(ledger: SQLLedger, sids: Sequence[str], requester: str = "marketer") -> Campaign:
    """Start a campaign to these customers."""
    outbox, draft = ledger.outbox, campaign(requester)
    await outbox.create_campaign(draft, "", "")
    assert await outbox.plan(draft.id, [planned(sid) for sid in sids], NOW) == len(set(sids))
    return await outbox.move_campaign(draft.id, CampaignState.RUNNING, NOW)


async def leased(ledger: SQLLedger, holder: str = "w0", most: int = 500) -> Lease:
    """Lease what is due."""
    lease = await ledger.outbox.lease(holder, NOW, 30, most)
    assert lease is not None
    return lease


async def marker(ledger: SQLLedger) -> int:
    """Return what tells later changes from earlier ones."""
    return (await ledger.outbox.recall_many([], "marketing", NOW)).marker
