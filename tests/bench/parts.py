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
from fujie.app.demo.cast import SUPPORT
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
    rows += _growing()
    for waiters, appends in ((1, 2_000), (32, 40_000)):
        per_second = asyncio.run(_appends(scratch / f"log{waiters}", waiters, appends))
        rows.append((f"durable append, {waiters} waiting ({per_second:,.0f}/s)", 1e6 / per_second))
    print("| part, in process | µs |\n|---|---|")
    for name, micros in rows:
        print(f"| {name} | {micros:.1f} |")


_HEAD = "apiVersion: fujie.dev/v1\nkind: {}\nmetadata: {{name: {}}}\nspec:\n"
_CATALOGUE = (
    _HEAD.format("Purposes", "p") + "  purposes: [{id: care, label: {zh: 服务, en: Care}, bases: {contract: {}}}]\n",
    _HEAD.format("FieldCatalog", "f")
    + "  classes: {mobile: {level: 2}}\n  fields: {phone: {class: mobile}}\n"
    + "  attributes: {customer: {minor: {type: bool}, owner: {type: string}}}\n",
)  # fmt: skip
_RULES = (
    "consent.state == GIVEN && consent.explicit || request.basis == 'contract'",
    "time.hour >= 8 && time.hour < 22",
    "principal.department == customer.owner",
    "!customer.minor || request.has_ticket",
)


def _growing() -> list[tuple[str, float]]:
    """Measure a decision by its validations, and by the grants beside it; and how long those compile."""
    rows = []
    for count in (0, 1, 4, 10, 30):
        decide_one, _ = _deciding(1, count)
        rows.append((f"decide, cold, 1 grant, {count} validations", _best(decide_one)))
    for count in (10, 1_000, 10_000):
        started = perf_counter()
        decide_one, repeat = _deciding(count, 4)
        rows.append((f"compile {count:,} grants", (perf_counter() - started) * 1e6))
        rows.append((f"decide, cold, {count:,} grants, 4 validations", _best(decide_one)))
        rows.append((f"decide, repeated, {count:,} grants", _best(repeat)))
    return rows


def _deciding(grants: int, validations: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a cold decision and a repeated one by a bundle of that size, of which one grant is in scope."""
    documents = [
        _HEAD.format("Grant", f"g{i}")
        + f"  match: {{actions: [lookup]}}\n  roles: [r{i % 50}]\n  purposes: [care]\n  fields: {{phone: reveal}}\n"
        for i in range(1, grants)
    ]
    documents.append(
        _HEAD.format("Grant", "own")
        + "  match: {actions: [lookup]}\n  roles: [agent]\n  purposes: [care]\n  fields: {phone: reveal}\n"
    )
    if validations:
        rules = "".join(
            f'    - {{name: v{i}, expression: "{_RULES[i % len(_RULES)]}"}}\n' for i in range(validations)
        )
        documents.append(
            _HEAD.format("Guard", "g") + f"  match: {{actions: [lookup]}}\n  validations:\n{rules}"
        )
    bundle = compile_bundle({"bundle.yaml": "---\n".join((*_CATALOGUE, *documents)).encode()})
    if not isinstance(bundle, Bundle):
        raise SystemExit("\n".join(map(str, bundle)))
    decider = Decider(bundle)
    request = Request(Action.LOOKUP, "care", "contract", "crm", "customer_id", ("phone",))
    principal = Principal("agent", roles=frozenset({"agent"}), department="east")
    raw = Raw(principal, (), "sid", {"minor": 0, "owner": "east"})
    now = datetime(2026, 11, 20, 2, tzinfo=UTC)
    facts = derive(bundle, request, raw, now, ZoneInfo("Asia/Shanghai"))
    plan = decider.plan(request, principal.roles)
    return (lambda: decide(plan, request, facts)), (lambda: decider.decide(plan, request, facts))


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
