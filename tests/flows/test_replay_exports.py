"""Replay of exports and campaigns: whether one may start is decided anew by the rules of starts, and each row by those of rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

import fujie.flows.export as flow
from flows.test_campaigns import FOUR_EYES, add, approved, drafted, house_of, start
from flows.test_export_agreed import ASKED, EYE, agreed, asked_for, resting_on
from fujie.app.replay import is_decided, recorded_of
from fujie.audit.entry import Entry
from fujie.decision.replay import PEOPLE, STARTS, Replay, Replayed, Verdict, Why
from fujie.flows.approvals import revoke_approval
from fujie.model.approval import id_of
from fujie.model.facts import Known
from fujie.model.request import RequestContext
from fujie.policy.bundle import Bundle
from support.exports import LARGE, POLICY, exported, lists, wanting
from support.house import House, bundle_of
from support.sending import NO_SENDING, keys
from support.sending import POLICY as CAMPAIGNS

STRICTER = b"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: short-lists}
spec:
  match: {actions: [export]}
  validations: [{name: short, expression: request.rows < 10}]
"""


@pytest.fixture
async def day(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A day of exports: one refused for want of an approval, one that left with it, a short one, and one that no grant opens."""
    from flows.test_approvals import hire

    monkeypatch.setattr(flow, "CHUNK", 10)
    for name in (EYE.subject, "compliance-2"):
        await hire(house, name, "compliance_officer")
    house.log.leaves.clear()
    gate = lists(house, POLICY)
    await exported(gate.gate, resting_on(await agreed(gate)))
    await revoke_approval(
        gate.gate, EYE, RequestContext(), id_of(await asked_for(gate, replace(ASKED, max_rows=150)))
    )
    await exported(gate.gate, wanting(max_rows=8))
    await exported(gate.gate, wanting(max_rows=8, fields=("bank_card",)))
    await exported(gate.gate, replace(ASKED, validate_only=True, max_rows=5))
    return gate


def bundle(*policies: bytes) -> Bundle:
    return bundle_of({f"own-{n}.yaml": each for n, each in enumerate(policies)})


def replayed(house: House, *candidate: bytes) -> list[tuple[Entry, Replayed]]:
    """Replay what was decided on exports, under the bundle that was in force and a candidate."""
    replay = Replay([house.gate.policies.current.bundle], bundle(*candidate), house.gate.zone)
    return [
        (entry, replay.run(recorded_of(entry, None)))
        for entry in house.entries
        if entry.action == "export" and is_decided({"kind": entry.kind.value, "action": entry.action})
    ]


def starts(found: Sequence[tuple[Entry, Replayed]]) -> Counter[tuple[str, Verdict, str]]:
    return Counter(
        (row.before, row.verdict, row.after) for entry, row in found if entry.facts.get(STARTS) is True
    )


ASKS = "APPROVAL_REQUIRED X_EXPORT_NEEDS_APPROVAL"


async def test_every_start_is_reproduced_by_the_bundle_that_decided_it(day: House) -> None:
    found = replayed(day, POLICY)
    assert starts(found) == {
        (ASKS, Verdict.SAME, ""): 2,
        ("ALLOW", Verdict.SAME, ""): 3,  # with an approval, a short one, and one that was only asked about
        ("DENY NO_FIELD_GRANTED", Verdict.SAME, ""): 1,
    }
    assert not {row.verdict for _, row in found} & {Verdict.DIFFERS, Verdict.OUTSIDE}


async def test_a_candidate_that_asks_for_less_flips_what_waited_and_nothing_that_left(day: House) -> None:
    found = starts(replayed(day, POLICY, LARGE))
    assert found[ASKS, Verdict.FLIPS, "ALLOW"] == 2
    assert found["ALLOW", Verdict.SAME, ""] == 3


async def test_a_candidate_that_asks_for_more_flips_what_left(day: House) -> None:
    found = starts(replayed(day, POLICY, STRICTER))
    assert found["ALLOW", Verdict.FLIPS, "DENY GUARD_REFUSED"] == 1
    assert found["ALLOW", Verdict.SAME, ""] == 2
    (row,) = {
        row
        for _, row in replayed(day, POLICY, STRICTER)
        if row.before == "ALLOW" and row.verdict is Verdict.FLIPS
    }
    assert (row.rule, row.reason, row.roles) == ("guard:short-lists/short", "GUARD_REFUSED", ("marketer",))


async def test_without_the_grant_nothing_would_have_started(day: House) -> None:
    closed = POLICY.replace(b"roles: [marketer]", b"roles: [nobody]")
    found = starts(replayed(day, closed))
    assert {after for (_, _, after) in found} == {"DENY NO_GRANT"}
    assert {verdict for (before, verdict, _) in found if not before.startswith("DENY")} == {Verdict.FLIPS}


async def test_rows_that_rest_on_personal_facts_are_said_to_be_unproven_and_by_how_many(day: House) -> None:
    rows = [(entry, row) for entry, row in replayed(day, POLICY) if entry.kind.value == "release"]
    assert rows
    assert all(entry.facts[PEOPLE] == len(entry.sids) for entry, _ in rows)
    assert {row.verdict for _, row in rows} == {Verdict.UNPROVEN}
    assert {fact for _, row in rows for fact in row.facts} == {f"customer.minor {Why.NOT_KEPT}"}


def altered(entry: Entry, **facts: Known) -> Entry:
    return replace(entry, facts={**entry.facts, **facts})


async def test_a_start_whose_facts_were_altered_is_not_reproduced(day: House) -> None:
    replay = Replay([day.gate.policies.current.bundle], bundle(POLICY), day.gate.zone)
    large = next(
        e
        for e in day.entries
        if e.facts.get(STARTS) is True and e.effect == "ALLOW" and e.facts["request.rows"] == 200
    )
    changes: Mapping[str, Known] = {
        "approvals.granted": (), "principal.employment": "SUSPENDED", "request.rows": 40_000, "principal.roles": ("clerk",),
    }  # fmt: skip
    for path, value in changes.items():
        assert replay.run(recorded_of(altered(large, **{path: value}), None)).verdict is Verdict.DIFFERS, (
            path
        )
    for path in ("request.rows", "request.fields"):
        lacking = replace(large, facts={name: value for name, value in large.facts.items() if name != path})
        assert replay.run(recorded_of(lacking, None)).verdict in (Verdict.UNPROVEN, Verdict.DIFFERS), path


async def test_the_start_of_a_campaign_is_reproduced_and_flips_with_its_tier(house: House) -> None:
    house = await house_of(house, CAMPAIGNS + FOUR_EYES)
    for number in (4, 2):
        campaign = await drafted(house.gate)
        await add(house.gate, campaign, keys(number))
        refusal = await start(house.gate, campaign)
        if number == 4:
            await start(house.gate, campaign, approval=await approved(house, refusal))
    in_force = house.gate.policies.current.bundle

    def verdicts(most: bytes) -> Counter[tuple[str, Verdict, str]]:
        policy = CAMPAIGNS + FOUR_EYES.replace(b"<= 3", b"<= " + most)
        replay = Replay([in_force], bundle_of({**NO_SENDING, "sending.yaml": policy}), house.gate.zone)
        entries = [
            entry
            for entry in house.entries
            if is_decided({"kind": entry.kind.value, "action": entry.action})
        ]
        return starts([(entry, replay.run(recorded_of(entry, None))) for entry in entries])

    asks = "APPROVAL_REQUIRED APPROVAL_REQUIRED"
    assert verdicts(b"3") == {(asks, Verdict.SAME, ""): 1, ("ALLOW", Verdict.SAME, ""): 2}
    assert verdicts(b"9") == {(asks, Verdict.FLIPS, "ALLOW"): 1, ("ALLOW", Verdict.SAME, ""): 2}
    # What was agreed to counts, as the requirement is the same; the one of two recipients would need it now.
    assert verdicts(b"1") == {
        (asks, Verdict.SAME, ""): 1, ("ALLOW", Verdict.SAME, ""): 1, ("ALLOW", Verdict.FLIPS, asks): 1,
    }  # fmt: skip
