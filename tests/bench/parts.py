"""The parts of a look-up that need no server: decide, derive, append; in this process."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from zoneinfo import ZoneInfo

from fujie.adapters.clock import SystemClock
from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import TileLog
from fujie.app.demo.story import SUPPORT
from fujie.app.shipped import shipped_policies
from fujie.audit.checkpoint import Signer, origin_of
from fujie.decision.decide import decide
from fujie.decision.decider import Decider
from fujie.decision.facts import Raw, derive
from fujie.model.facts import EXHAUSTED, Facts
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle


def parts(scratch: Path) -> None:
    """Measure the pure parts with the base policies, and the log on this disk."""
    files = {path.name: path.read_bytes() for path in sorted((shipped_policies() / "base").glob("*.yaml"))}
    bundle = compile_bundle(files)
    if not isinstance(bundle, Bundle):
        raise SystemExit("\n".join(map(str, bundle)))
    decider = Decider(bundle)
    request = Request(
        Action.LOOKUP, "after_sales", "contract", "crm", "customer_id", ("name", "phone"), has_basis_evidence=True, has_ticket=True
    )  # fmt: skip
    principal = Principal(SUPPORT, roles=frozenset({"support"}), department="east")
    raw = Raw(principal, (), "sid", {"minor": 0, "owner_department": "east"})
    plan = decider.plan(request, principal.roles)
    now, zone = datetime.now(UTC), ZoneInfo("Asia/Shanghai")
    facts = Facts({**derive(bundle, request, raw, now, zone).values, EXHAUSTED: ()})
    rows = [
        (
            f"decide, cold ({len(plan.all_rules.rules)} rules)",
            _best(lambda: decide(plan, request, facts)),
        ),
        ("decide, repeated", _best(lambda: decider.decide(plan, request, facts))),
        ("derive the facts", _best(lambda: derive(bundle, request, raw, now, zone))),
    ]
    for waiters, appends in ((1, 2_000), (32, 40_000)):
        per_second = asyncio.run(_appends(scratch / f"log{waiters}", waiters, appends))
        rows.append((f"durable append, {waiters} waiting ({per_second:,.0f}/s)", 1e6 / per_second))
    print("| part, in process | µs |\n|---|---|")
    for name, micros in rows:
        print(f"| {name} | {micros:.1f} |")


async def _appends(directory: Path, waiters: int, appends: int) -> float:
    log = TileLog(
        open_log(directory, Signer(origin_of("bench", 0), bytes(32))),
        clock=perf_counter,
        cpu=SystemClock().cpu,
        keep=lambda note: None,
    )

    async def append(count: int) -> None:
        for _ in range(count):
            await log.append(b"x" * 700)

    started = perf_counter()
    await asyncio.gather(*(append(appends // waiters) for _ in range(waiters)))
    taken = perf_counter() - started
    log.close()
    return appends / taken


def _best(call: Callable[[], object], repeat: int = 7, number: int = 2_000) -> float:
    """Return microseconds a call: the least of several runs, since noise only adds."""
    times = []
    for _ in range(repeat):
        started = perf_counter()
        for _ in range(number):
            call()
        times.append((perf_counter() - started) / number)
    return min(times) * 1e6
