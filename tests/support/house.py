"""A gate of real parts: SQLite ledger and store, tile log on disk, the shipped policies. Only time and metrics are ours."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, SQLLedger, open_ledger
from fujie.adapters.logstart import open_log
from fujie.adapters.stores.store import open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.adapters.tilelog import TileLog
from fujie.app.demo.customers import create_store
from fujie.app.shipped import shipped_policies
from fujie.audit.checkpoint import Signer, origin_of
from fujie.audit.entry import Entry, parse_entry
from fujie.audit.proof import Proof
from fujie.audit.sealing import Place, SealKey, open_facts, unwrap_key, wrap_key
from fujie.decision.decider import Decider
from fujie.decision.tokens import Tokeniser
from fujie.flows.directory import upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.reply import PrincipalReply
from fujie.model.consent import EntryRef
from fujie.model.customer import StoreKey
from fujie.model.principal import Credential, Principal
from fujie.model.request import LookupAsk, RequestContext
from fujie.model.vocabulary import State
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.ports import EvidenceLog
from fujie.ports.requests import Rights
from support.ledgers import ledger_file

BOOTSTRAP = Credential("bootstrap-admin", "test")
ADMIN = Credential("administrator", "test")
ROLES = {
    "administrator": "administrator",
    "support-agent": "support",
    "marketer": "marketer",
    "consent-desk": "consent_desk",
    "privacy-officer": "privacy_officer",
    "nobody-in-particular": "nothing",
}
FIELDS = {
    "customer_no": "id", "name": "full_name", "gender": "gender", "phone": "mobile", "id_card": "id_number",
    "bank_card": "card_number", "email": "email", "address": "address", "birthday": "birthday", "plate": "plate",
}  # fmt: skip


class Hands:
    """A clock whose hands the test moves; its monotonic time is `ahead` by what the test says, and goes on by itself, slowly:
    what is good for half a second in the gate is not over because a crowded machine gave the test none.

    While it `stands`, nobody is given time back because the machine is slow: for tests of who comes too often.
    """

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)  # ten in the morning in Shanghai
        self.ahead = 0.0
        self.stands = False

    def now(self) -> datetime:
        self.time += timedelta(microseconds=1)
        return self.time

    def monotonic(self) -> float:
        return self.ahead + (0.0 if self.stands else monotonic() / 10)


@dataclass(slots=True)
class Counted:
    """What the flows reported."""

    decisions: list[tuple[str, str, str]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    submissions: list[tuple[str, str]] = field(default_factory=list)
    arrivals: list[tuple[str, str]] = field(default_factory=list)
    exports: list[tuple[str, int, int]] = field(default_factory=list)
    glass: list[str] = field(default_factory=list)

    def decided(self, action: str, effect: str, reason: str) -> None:
        self.decisions.append((action, effect, reason))

    def stage(self, name: str, seconds: float) -> None:
        self.stages.append(name)

    def submitted(self, provider: str, what: str) -> None:
        self.submissions.append((provider, what))

    def exported(self, end: str, released: int, withheld: int) -> None:
        self.exports.append((end, released, withheld))

    def broke_glass(self, action: str) -> None:
        self.glass.append(action)

    def received(self, provider: str, what: str) -> None:
        self.arrivals.append((provider, what))


class RecordingLog:
    """Passes everything on to the real log, and remembers the leaves in order."""

    def __init__(self, inner: EvidenceLog) -> None:
        self._inner = inner
        self.leaves: list[bytes] = []

    @property
    def origin(self) -> str:
        return self._inner.origin

    @property
    def healthy(self) -> bool:
        return self._inner.healthy

    async def prove(self, place: EntryRef) -> Proof | None:
        return await self._inner.prove(place)

    def attest(self, subject: str, digest: str) -> str:
        return self._inner.attest(subject, digest)

    async def append(self, leaf: bytes) -> int:
        index = await self._inner.append(leaf)
        self.leaves.append(leaf)
        return index


@dataclass(frozen=True, slots=True)
class InForce:
    """The policies in force, fixed."""

    current: Decider


@dataclass(slots=True)
class Changing:
    """The policies in force, whose place others take."""

    current: Decider


@dataclass(frozen=True, slots=True)
class House:
    """The gate under test, and what a test looks at."""

    gate: Gate
    ledger: SQLLedger
    log: RecordingLog
    hands: Hands
    counted: Counted
    seal: SealKey
    root: Path

    @property
    def entries(self) -> list[Entry]:
        return [parse_entry(leaf) for leaf in self.log.leaves]

    async def personal_facts(self, entry: Entry) -> dict[str, Any]:
        """Return the sealed facts of an entry, opened with the customer's key."""
        opened: dict[str, Any] = {}
        for sid, sealed in entry.sealed.items():
            wrapped = await self.ledger.subject_key(sid)
            assert wrapped is not None
            key = SealKey(sid, unwrap_key(wrapped, self.seal, sid))
            opened |= open_facts(sealed, key, Place(entry.origin, entry.uid, sid))
        return opened

    def with_policy(self, extra: Mapping[str, bytes]) -> "House":
        return replace(self, gate=replace(self.gate, policies=InForce(Decider(bundle_of(extra)))))


def bundle_of(extra: Mapping[str, bytes] | None = None) -> Bundle:
    return _compiled(tuple(sorted((extra or {}).items())))


@lru_cache(64)
def _compiled(extra: tuple[tuple[str, bytes], ...]) -> Bundle:
    """Bundles are values: a thousand tests share that of the shipped policies."""
    files = {path.name: path.read_bytes() for path in sorted((shipped_policies() / "base").glob("*.yaml"))}
    bundle = compile_bundle(files | dict(extra))
    assert isinstance(bundle, Bundle), "\n".join(map(str, bundle))
    return bundle


def caller(name: str) -> Credential:
    return Credential(name, "test")


def ask(
    *fields: str,
    customer: str = "C00001",
    purpose: str = "after_sales",
    basis: str = "contract",
    evidence: str = "order-7",
    **context: Any,
) -> LookupAsk:
    words = RequestContext(purpose=purpose, basis=basis, basis_evidence=evidence, **context)
    return LookupAsk(StoreKey("crm", customer), "crm", words, tuple(sorted(fields)))


@pytest.fixture(scope="session")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "crm.db"
    create_store(path, 200)
    return path


@pytest.fixture
async def house(tmp_path: Path, crm: Path) -> AsyncIterator[House]:
    async with opened_house(tmp_path, crm) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Shared:
    """What several processes share: one ledger and its key. The one with `slot` 0 opens it first, and names who is who."""

    url: str
    secret: bytes
    slot: int = 0


@asynccontextmanager
async def opened_house(tmp_path: Path, crm: Path, shared: Shared | None = None) -> AsyncIterator[House]:
    """Build the gate; a test that needs two of them gives each a directory of its own, or a slot of what they share."""
    hands, counted = Hands(), Counted()
    shared = shared or Shared(ledger_file(tmp_path / "ledger.db"), os.urandom(32))
    seal = SealKey("k1", shared.secret)
    ids = SystemIdentifiers(hands)
    ledger = await open_ledger(
        shared.url,
        IndexKey("k1", shared.secret),
        ids,
        lambda sid: wrap_key(os.urandom(32), seal, sid, os.urandom(12)),
        clock=hands,
    )
    log = TileLog(
        open_log(tmp_path / "log", Signer(origin_of("test", shared.slot), os.urandom(32))),
        clock=monotonic,
        keep=lambda note: None,
    )
    recording = RecordingLog(log)
    store = await open_store(
        StoreTable(
            "crm", f"sqlite:///{crm}", "customer", "id", "mobile", PhoneFormat.NATIONAL, FIELDS,
            {"minor": "minor", "owner_department": "department"},
        ),
        hands,
    )  # fmt: skip
    gate = Gate(
        directory=ledger.directory,
        ledger=ledger,
        stores={"crm": store},
        log=recording,
        policies=InForce(Decider(bundle_of())),
        clock=hands,
        ids=ids,
        metrics=counted,
        tokeniser=Tokeniser(os.urandom(32), "k1", "test"),
        seal_key=seal,
        zone=ZoneInfo("Asia/Shanghai"),
        rights=Rights(ledger.requests, ledger.disclosures),
        exports=ledger.exports,
        sessions=ledger.sessions,
        admins=frozenset({BOOTSTRAP.subject}),
        controller="Test Ltd.",
        notifications=ledger.notifications,
    )
    for name, role in ROLES.items() if shared.slot == 0 else ():
        principal = Principal(name, roles=frozenset({role}), department="east", training=State.VALID)
        by = BOOTSTRAP if role == "administrator" else ADMIN
        assert isinstance(await upsert_principal(gate, by, RequestContext(), principal), PrincipalReply)
    recording.leaves.clear()
    counted.decisions.clear()
    yield House(gate, ledger, recording, hands, counted, seal, tmp_path)
    await store.close()
    await ledger.close()
    log.close()
