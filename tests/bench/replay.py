"""How fast a log is replayed: real look-ups through the gate, then `fujie policy replay` in one process.

    python tests/bench/replay.py [--entries 10000]

Twice: with the base policies as they are, whose fact `customer.minor` is sealed per customer and unsealed by the
ledger's keys; and with the same policies where it is open. Roles, purposes and fields vary; the decisions of one kind share
their facts, as those of a real day do. The candidate flips a part. Rates of memoised facts are by CPU time of the process,
which other work on the machine distorts least. Runs some 30 s, on local files alone.
"""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time

from fujie.adapters.clock import SystemClock
from fujie.adapters.logfiles import logs_in, verify_directory
from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.demo.site import BOOTSTRAP, create_site
from fujie.app.policies import read_files
from fujie.app.replay import Part, Question, Worker, parts_of, replay
from fujie.app.settings import Settings, load_settings
from fujie.app.wire import Assignment, open_gate
from fujie.decision.replay import Verdict
from fujie.flows.directory import upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.lookup import lookup
from fujie.model.customer import StoreKey
from fujie.model.principal import Credential, Principal
from fujie.model.request import LookupAsk, RequestContext
from fujie.model.vocabulary import State

CUSTOMERS = 2_000
STAFF = {"administrator": "administrator", "support": "support", "marketer": "marketer", "other": "nothing"}
FIELDS = (("name", "phone"), ("name",), ("phone", "address"), ("name", "id_card"), ("id_card",))
CANDIDATE = b"""\
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: candidate}
spec:
  match: {actions: [lookup]}
  validations: [{name: few-fields, expression: size(request.fields) < 2}]
"""


def asks(count: int) -> list[tuple[Credential, LookupAsk]]:
    """Return look-ups of varying kinds of many customers."""
    found = []
    for number in range(count):
        who = ("support", "support", "marketer", "other")[number % 4]
        purpose, basis = ("marketing", "consent") if who == "marketer" else ("after_sales", "contract")
        context = RequestContext(
            purpose=purpose, basis=basis, basis_evidence="o", ticket="T" * (number % 3)
        )
        key = StoreKey("crm", f"C{number * 7 % CUSTOMERS + 1:05d}")
        fields = tuple(sorted(FIELDS[number % len(FIELDS)]))
        found.append((Credential(who, "bench"), LookupAsk(key, "crm", context, fields)))
    return found


async def record(settings: Settings, count: int) -> None:
    """Ask `count` times through a gate of real parts."""
    opened = await open_gate(settings, PrometheusMetrics("bench", "bench"), SystemClock(), Assignment(0))
    gate: Gate = opened.front.gate
    for name, role in STAFF.items():
        person = Principal(name, roles=frozenset({role}), department="east", training=State.VALID)
        by = Credential(BOOTSTRAP if name == "administrator" else "administrator", "bench")
        await upsert_principal(gate, by, RequestContext(), person)
    waiting = iter(asks(count))

    async def worker() -> None:
        for who, ask in waiting:
            await lookup(gate, who, ask, 5.0)

    await asyncio.gather(*(worker() for _ in range(32)))
    await opened.close()


def measure(root: Path, count: int, *, sealed: bool) -> None:
    """Print what one log costs to verify and to replay."""
    site = create_site(root, tuple(STAFF), datetime.now(UTC), CUSTOMERS)
    if not sealed:
        fields = root / "policies" / "fields.yaml"
        fields.write_text(fields.read_text("utf-8").replace("personal: true", "personal: false"), "utf-8")
    # No limit of a day: thousands of look-ups by one person are the measure here, not an abuse.
    grants = root / "policies" / "grants.yaml"
    lines = grants.read_text("utf-8").splitlines()
    grants.write_text("\n".join(line for line in lines if not line.startswith("  limits:")), "utf-8")
    settings = load_settings(site.config, os.environ)
    asyncio.run(record(settings, count))
    began = perf_counter()
    (report,) = verify_directory(site.log)
    verified = perf_counter() - began
    recorded = read_files([root / "policies"])
    question = Question(
        (recorded,),
        {**recorded, "candidate.yaml": CANDIDATE},
        "Asia/Shanghai",
        settings if sealed else None,
    )
    parts = parts_of({logs_in(site.log)[report.origin]: report.signed_size})
    began = perf_counter()
    tally = replay(question, parts, 1, lambda more: None)
    cold = perf_counter() - began
    verdicts: dict[Verdict, int] = {}
    for row, (many, _) in tally.rows.items():
        verdicts[row.verdict] = verdicts.get(row.verdict, 0) + many
    decisions = sum(verdicts.values())
    kind = "sealed" if sealed else "open"
    print(f"{kind}: {decisions} decisions, {len(tally.rows)} groups, {dict(sorted(verdicts.items()))}")
    print(
        f"  verify {report.size / verified:,.0f} entries/s; replay, compiling included {decisions / cold:,.0f}/s"
    )
    warm(question, parts, decisions)


def warm(question: Question, parts: Sequence[Part], decisions: int) -> None:
    """Print the rate once every kind of decision is remembered: what a long log comes to."""
    worker = Worker(question)
    rates = []
    for _ in range(6):
        began = process_time()
        for part in parts:
            worker.run(part)
        rates.append(decisions / (process_time() - began))
    worker.close()
    print(
        f"  replay on memoised facts: median {sorted(rates[1:])[2]:,.0f} decisions/s, first {rates[0]:,.0f}"
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--entries", type=int, default=10_000)
    entries = arguments.parse_args().entries
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch) / "open", entries, sealed=False)
        measure(Path(scratch) / "sealed", entries, sealed=True)
