"""Replay of a log on disk whose personal facts are sealed: many customers' keys, some of them gone or of another seal."""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from fujie.adapters.clock import SystemClock
from fujie.adapters.keyfiles import read_key
from fujie.adapters.ledger.datakeys import DataKeys
from fujie.adapters.ledger.tables import subject
from fujie.adapters.logfiles import logs_in, verify_directory
from fujie.adapters.metrics import PrometheusMetrics
from fujie.app import replay as replaying
from fujie.app.demo.site import BOOTSTRAP, create_site
from fujie.app.policies import read_files
from fujie.app.replay import Part, Question, Tally, Worker, parts_of
from fujie.app.settings import Settings, load_settings
from fujie.app.wire import Assignment, open_gate
from fujie.audit.sealing import SealKey, unwrap_key, wrap_key
from fujie.decision.replay import Verdict
from fujie.flows.directory import upsert_principal
from fujie.flows.lookup import lookup
from fujie.model.principal import Credential, Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from support.house import ask

CUSTOMERS = 300  # more than one bundle of the log and one SELECT of keys hold
ERASED, FOREIGN = range(10), range(10, 15)


@dataclass(frozen=True, slots=True)
class Day:
    """A log of one look-up per customer; the keys of some were erased or wrapped by somebody else."""

    settings: Settings
    question: Question
    parts: list[Part]


async def recorded(settings: Settings) -> None:
    opened = await open_gate(settings, PrometheusMetrics("test", "test"), SystemClock(), Assignment(0))
    gate = opened.front.gate
    for by, name, role in (
        (BOOTSTRAP, "boss", "administrator"), ("boss", "agent", "support"),
    ):  # fmt: skip
        person = Principal(name, roles=frozenset({role}), department="east", training=State.VALID)
        await upsert_principal(gate, Credential(by, "test"), RequestContext(), person)
    customers = iter(range(1, CUSTOMERS + 1))

    async def worker() -> None:
        for number in customers:
            await lookup(gate, Credential("agent", "test"), ask("name", customer=f"C{number:05d}"), 5.0)

    await asyncio.gather(*(worker() for _ in range(32)))
    await opened.close()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    root = tmp_path_factory.mktemp("replay")
    site = create_site(root, ("boss", "agent"), datetime.now(UTC), CUSTOMERS)
    grants = root / "policies" / "grants.yaml"  # without their limits: one asker looks at everybody
    lines = grants.read_text("utf-8").splitlines()
    grants.write_text("\n".join(line for line in lines if not line.startswith("  limits:")), "utf-8")
    settings = load_settings(site.config, os.environ)
    asyncio.run(recorded(settings))
    spoil(settings)
    (report,) = verify_directory(site.log)
    files = read_files([root / "policies"])
    question = Question((files,), files, "Asia/Shanghai", settings)
    return Day(settings, question, parts_of({logs_in(site.log)[report.origin]: report.signed_size}))


def spoil(settings: Settings) -> None:
    """Erase the keys of the first customers, and wrap those of the next under another seal key."""
    engine = sa.create_engine(settings.ledger.url)
    seal = SealKey(settings.keys.seal.id, read_key(settings.keys.seal.file))
    other = SealKey(seal.id, os.urandom(32))
    with engine.begin() as connection:
        rows = connection.execute(
            sa.select(subject.c.sid, subject.c.wrapped_key).order_by(subject.c.sid)
        ).all()
        for number, (sid, wrapped) in enumerate(rows):
            if number in ERASED:
                value = None
            elif number in FOREIGN:
                value = wrap_key(unwrap_key(wrapped, seal, sid), other, sid, os.urandom(12))
            else:
                continue
            connection.execute(sa.update(subject).where(subject.c.sid == sid).values(wrapped_key=value))
    engine.dispose()


def run(day: Day) -> tuple[Worker, Tally]:
    worker, tally = Worker(day.question), Tally()
    for part in day.parts:
        tally.add(worker.run(part))
    return worker, tally


def lookups(tally: Tally) -> Counter[tuple[Verdict, tuple[str, ...]]]:
    found: Counter[tuple[Verdict, tuple[str, ...]]] = Counter()
    for row, (many, _) in tally.rows.items():
        if row.action == "lookup":
            found[row.verdict, row.facts] += many
    return found


def test_each_customers_facts_are_opened_by_the_own_key_or_named(day: Day) -> None:
    worker, tally = run(day)
    worker.close()
    assert tally.unreadable == 0
    assert lookups(tally) == {
        (Verdict.SAME, ()): CUSTOMERS - len(ERASED) - len(FOREIGN),
        (Verdict.UNPROVEN, ("customer.minor ERASED",)): len(ERASED),
        (Verdict.UNPROVEN, ("customer.minor SEALED",)): len(FOREIGN),
    }


def test_what_was_read_before_is_read_the_same_again(day: Day) -> None:
    worker, first = run(day)
    again = Tally()
    for part in day.parts:
        again.add(worker.run(part))
    worker.close()
    assert again == first


def test_a_process_that_forgets_what_it_knew_comes_to_the_same(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, first = run(day)
    worker.close()
    monkeypatch.setattr(replaying, "_MOST_MEMO", 3)
    worker, again = run(day)
    worker.close()
    assert again == first


async def test_keys_are_found_in_any_number_and_order(day: Day) -> None:
    seal = SealKey(day.settings.keys.seal.id, read_key(day.settings.keys.seal.file))
    engine = sa.create_engine(day.settings.ledger.url)
    with engine.connect() as connection:
        sids = list(connection.execute(sa.select(subject.c.sid).order_by(subject.c.sid)).scalars())
    engine.dispose()
    keys = await DataKeys.open(day.settings.ledger.url, seal)
    for wanted in ([], sids[20:21], [*reversed(sids), "sid_of_nobody"], sids[20:23] * 100):
        found = await keys.of(wanted)
        assert set(found) == set(wanted) - {"sid_of_nobody"} - {sids[number] for number in ERASED}
        for sid, key in found.items():
            assert (key is None) == (sid in [sids[number] for number in FOREIGN])
            assert key is None or key.id == sid
    await keys.close()
