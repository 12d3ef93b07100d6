"""A shadow is asked and never obeyed: whatever it says, raises or takes, no answer changes."""

import asyncio
import gc
import weakref
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest

from fujie.decision.anew import Seen
from fujie.decision.plan import Planner
from fujie.flows.lookup import lookup
from fujie.flows.reply import LookupReply, Refusal
from fujie.flows.shadow import ERROR, MOST_PENDING, SHARE, UNDECIDABLE, Difference, Shadow
from fujie.model.decision import Decision
from fujie.model.facts import Facts, FactValue
from fujie.model.request import LookupAsk, Request
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import compiled, grant, guard
from support.exports import LARGE, POLICY, exported, lists, wanting
from support.house import House, ask, bundle_of, caller
from support.sending import NO_SENDING, CountingProvider, agree, campaign_to, keys, sending, work_off
from support.sending import POLICY as SENDS


@dataclass(slots=True)
class Counts:
    """What the shadow counted, and what else happened, in order."""

    events: list[Any] = field(default_factory=list)
    told: list[Difference] = field(default_factory=list)

    def compared(self, in_force: str, shadow: str) -> None:
        self.events.append((in_force, shadow))

    def shadow_dropped(self) -> None:
        self.events.append("dropped")


class Noted:
    """A log that notes when an append begins."""

    def __init__(self, inner: Any, counts: Counts) -> None:
        self._inner = inner
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, leaf: bytes) -> int:
        self._counts.events.append("append")
        index: int = await self._inner.append(leaf)
        return index


class BrokenEngine:
    """An engine that breaks on whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("13800131234")


ASKS = (
    ask("name", "phone"),
    ask("name", "shoe_size"),
    ask("name", customer="C99999", ticket="T-1"),
    ask("name", purpose="gossip"),
    ask("name", customer="C00002", purpose="marketing", basis="consent"),
)


def shadowed(house: House, *documents: str, bundle: Bundle | None = None) -> tuple[House, Shadow, Counts]:
    counts = Counts()
    shadow = Shadow(counts, monotonic, counts.told.append)
    files = {f"own{number}.yaml": each.encode() for number, each in enumerate(documents)}
    shadow.use(Planner(bundle or bundle_of(files)))
    log: Any = Noted(house.log, counts)
    return replace(house, gate=replace(house.gate, shadow=shadow, log=log)), shadow, counts


async def told(house: House, said: LookupAsk, who: str = "support-agent") -> object:
    """Return all that the asker sees, without the id of the decision."""
    reply = await lookup(house.gate, caller(who), said, 1.0)
    assert isinstance(reply, LookupReply | Refusal)
    return replace(reply, summary=replace(reply.summary, decision_id=""))


async def settled(shadow: Shadow) -> None:
    while shadow.pending:  # noqa: ASYNC110 - it tells nobody when it is done
        await asyncio.sleep(0.001)


NARROWER = guard("narrower", "request.has_ticket", match={"actions": ["lookup"]})
CLOSED = guard("closed", "false", match={"actions": ["lookup"]})
RAISING = guard("raising", "24 / (time.hour - time.hour) > 1", match={"actions": ["lookup"]})


@pytest.mark.parametrize("documents", [(), (NARROWER,), (CLOSED,), (RAISING,)])
async def test_no_answer_changes_whatever_the_shadow_says(house: House, documents: tuple[str, ...]) -> None:
    plain = [await told(house, said) for said in ASKS]
    other, shadow, counts = shadowed(house, *documents)
    for _ in range(2):  # unknown at first, then at hand
        assert [await told(other, said) for said in ASKS] == plain
        await settled(shadow)
    assert [each for each in counts.events if each != "append"]
    await shadow.close()


async def test_no_answer_changes_when_the_shadow_breaks(house: House) -> None:
    plain = [await told(house, said) for said in ASKS]
    broken: Any = BrokenEngine()
    other, shadow, counts = shadowed(house, bundle=replace(bundle_of(), engine=broken))
    for _ in range(2):
        assert [await told(other, said) for said in ASKS] == plain
        await settled(shadow)
    seen = {each for each in counts.events if each != "append"}
    assert seen
    assert {effect for _, effect in seen} == {ERROR}
    await shadow.close()


async def test_the_shadow_is_asked_behind_the_entry_and_a_difference_is_in_the_next_one(
    house: House,
) -> None:
    other, shadow, counts = shadowed(house, NARROWER)
    await told(other, ASKS[0])
    await settled(shadow)
    assert counts.events == ["append", ("ALLOW", "DENY")]
    await told(other, ASKS[0])
    first, second = house.entries
    assert not any(path.startswith("shadow.") for path in first.facts)
    found = {path: value for path, value in second.facts.items() if path.startswith("shadow.")}
    digest = bundle_of({"own0.yaml": NARROWER.encode()}).digest
    assert (found.pop("shadow.bundle"), found.pop("shadow.effect")) == (digest, "DENY")
    assert found == {"shadow.reasons": ("GUARD_REFUSED",)}
    assert second.effect == "ALLOW"
    await shadow.close()


async def test_the_first_difference_on_a_set_of_facts_is_told_once_with_the_decision_that_it_is_about(
    house: House,
) -> None:
    """No entry has it: that of the request is written by then."""
    other, shadow, counts = shadowed(house, NARROWER)
    for _ in range(3):
        await told(other, ASKS[0])
        await settled(shadow)
    (difference,) = counts.told
    first = house.entries[0]
    assert (difference.decision_id, difference.action) == (first.decision_id, "lookup")
    assert (difference.effects, difference.reasons) == (("ALLOW", "DENY"), ((), ("GUARD_REFUSED",)))
    assert difference.fields == ("name", "phone")
    assert "C00001" not in repr(difference)
    await shadow.close()


async def test_differences_without_end_are_told_up_to_a_bound_and_counted_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fujie.flows.shadow.MOST_TOLD", 3)
    counts = Counts()
    shadow = Shadow(counts, monotonic, counts.told.append)
    shadow.use(Planner(compiled(grant())))
    for number in range(8):
        shadow.ask(question(number), Decision(Effect.ALLOW, "sha256:0"), NOW, f"d{number}")
    await settled(shadow)
    assert [each.decision_id for each in counts.told] == ["d0", "d1", "d2"]
    assert len(counts.events) == 8
    await shadow.close()


EXPORTS_CLOSED = guard("closed", "false", match={"actions": ["export"]})


async def test_the_shadow_is_asked_about_each_kind_of_row_that_an_export_decides(house: House) -> None:
    plain = await exported(lists(house).gate, wanting())
    other, shadow, counts = shadowed(lists(house), POLICY.decode(), LARGE.decode(), EXPORTS_CLOSED)
    for _ in range(2):
        came = await exported(other.gate, wanting())
        await settled(shadow)
        assert came.rows == plain.rows
    seen = [each for each in counts.events if each != "append"]
    assert ("ALLOW", "DENY") in seen
    assert len(seen) < 20 < len(plain.rows), "kinds, not rows"
    assert {each.action for each in counts.told} == {"export"}
    await shadow.close()


SENDS_CLOSED = guard("closed", "false", match={"actions": ["send"]})


async def test_the_shadow_is_asked_about_each_kind_of_recipient_and_stops_no_message(house: House) -> None:
    provider = CountingProvider()
    files = {**NO_SENDING, "sending.yaml": SENDS, "closed.yaml": SENDS_CLOSED.encode()}
    other, shadow, counts = shadowed(sending(house, provider), bundle=bundle_of(files))
    await agree(other, keys(6))
    await campaign_to(other.gate, keys(7))
    await work_off(other.gate)
    await settled(shadow)
    assert len(provider.got) == 6
    assert [each for each in counts.events if each != "append"] == [("ALLOW", "DENY"), ("DENY", "DENY")]
    assert [(each.action, each.effects) for each in counts.told][:1] == [("send", ("ALLOW", "DENY"))]
    await shadow.close()


async def test_a_shadow_that_agrees_leaves_no_trace_in_the_entry(house: House) -> None:
    other, shadow, counts = shadowed(house)
    for _ in range(2):
        await told(other, ASKS[0])
        await settled(shadow)
    assert [each for each in counts.events if each != "append"] == [("ALLOW", "ALLOW")] * 2
    assert not any(path.startswith("shadow.") for entry in house.entries for path in entry.facts)
    await shadow.close()


async def test_what_nobody_fetched_is_undecidable_and_is_not_fetched(house: House) -> None:
    other, shadow, counts = shadowed(house, guard("opted-out", "!suppression.in_force"))
    await told(other, ASKS[0])
    await settled(shadow)
    assert counts.events[-1] == ("ALLOW", UNDECIDABLE)
    await shadow.close()


async def test_a_new_bundle_is_asked_at_once(house: House) -> None:
    other, shadow, counts = shadowed(house, NARROWER)
    for bundle in (None, bundle_of(), bundle_of({"own.yaml": CLOSED.encode()})):
        if bundle:
            shadow.use(Planner(bundle))
        await told(other, ASKS[0])
        await settled(shadow)
    answers = [each for each in counts.events if each != "append"]
    assert answers == [("ALLOW", "DENY"), ("ALLOW", "ALLOW"), ("ALLOW", "DENY")]
    await shadow.close()


NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
KNOWN: dict[str, FactValue] = {
    "principal.roles": ("agent",),
    "principal.employment": State.ACTIVE,
    "principal.department": "east",
}
PURPOSE = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))


def question(number: int) -> Seen:
    bundle = compiled(grant(condition="principal.department != ''"))
    request = replace(PURPOSE, fields=(f"field_{number}",))
    return Seen(Planner(bundle).plan(request, ("agent",)), request, Facts(KNOWN), is_closed=True)


async def test_a_shadow_that_can_not_keep_up_drops_and_counts() -> None:
    counts = Counts()
    shadow = Shadow(counts, monotonic, counts.told.append)
    shadow.use(Planner(compiled(grant())))
    denied = Decision(Effect.DENY, "sha256:0")
    seen = question(0)
    for number in range(MOST_PENDING + 7):  # nothing gives it time to work
        shadow.ask(replace(seen, request=replace(seen.request, fields=(f"f{number}",))), denied, NOW, "d")
    assert shadow.pending == MOST_PENDING
    assert counts.events == ["dropped"] * 7
    await shadow.close()
    assert shadow.pending == 0


async def test_a_closed_shadow_and_one_without_a_bundle_are_asked_nothing() -> None:
    counts = Counts()
    shadow = Shadow(counts, monotonic, counts.told.append)
    denied = Decision(Effect.DENY, "sha256:0")
    assert shadow.ask(question(1), denied, NOW, "d") == {}
    shadow.use(Planner(compiled(grant())))
    shadow.ask(question(1), denied, NOW, "d")
    await shadow.close()
    assert shadow.ask(question(1), denied, NOW, "d") == {}
    assert (shadow.pending, counts.events) == (0, [])


async def test_a_bundle_that_is_no_longer_in_force_does_not_stay_in_the_memory_of_the_shadow() -> None:
    shadow = Shadow(Counts(), monotonic, Counts().told.append)
    shadow.use(Planner(compiled(grant())))
    denied = Decision(Effect.DENY, "sha256:0")
    old = question(1)
    engine = weakref.ref(old.plan.bundle.engine)
    shadow.ask(old, denied, NOW, "d")
    await settled(shadow)
    del old
    assert engine() is not None, "it is beside the bundle in force, whose answers it keeps"
    shadow.ask(question(1), denied, NOW, "d")
    await settled(shadow)
    gc.collect()
    assert engine() is None
    await shadow.close()


async def test_what_breaks_in_the_shadow_takes_its_share_of_time_and_no_more() -> None:
    counts, clock = Counts(), iter(range(1, 100))
    shadow = Shadow(counts, lambda: next(clock) * 1e-4, counts.told.append)  # every evaluation takes 0.1 ms
    broken: Any = BrokenEngine()
    shadow.use(Planner(replace(compiled(grant(condition="principal.department != ''")), engine=broken)))
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        pauses.append(delay)
        await sleep(0)

    denied = Decision(Effect.DENY, "sha256:0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fujie.flows.shadow.asyncio.sleep", noted)
        for number in range(3):
            shadow.ask(question(number), denied, NOW, "d")
        while shadow.pending:
            await sleep(0)
    assert counts.events == [("DENY", ERROR)] * 3
    assert pauses == pytest.approx([0.0, *[(SHARE - 1) * 1e-4] * 2])
    await shadow.close()
