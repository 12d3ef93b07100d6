"""Replay of messages: one entry decides on many people, and each of them is decided anew by what was known of him."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from fujie.adapters.logfiles import logs_in, verify_directory
from fujie.app.replay import Question, Worker, is_decided, parts_of, recorded_of
from fujie.audit.entry import Entry, EntryKind
from fujie.audit.sealing import Place, SealKey, open_facts, unwrap_key
from fujie.decision.decider import Decider
from fujie.decision.facts import Raw, derive
from fujie.decision.recipient import Reached
from fujie.decision.replay import PEOPLE, Replay, Verdict
from fujie.flows.evidence import Subject, alike, record_many
from fujie.flows.gate import Case, open_case
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.facts import Facts, FactValue, Known
from fujie.model.message import Category, SentMessage
from fujie.model.principal import Principal
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.compile import compile_bundle
from support.bundles import CATALOGUE, compiled, grant, guard
from support.house import House, InForce, caller, opened_house

SENDS = {"actions": ["send"]}
OPENS = grant("opens", actions=("send",), roles=("marketer",), fields={})
BY_DAY = guard("by-day", "recipient.hour >= 8", defers=(0,), match=SENDS)
ADULTS = guard("adults", "!customer.minor", match=SENDS)


def capped(most: int) -> str:
    return guard("capped", frequency={"per_day": most}, match=SENDS)


DOCUMENTS = (OPENS, BY_DAY, ADULTS, capped(2))
REQUEST = Request(Action.SEND, "care", "consent", "crm", "customer_id", rows=6, channel="sms", brand="Test")
MESSAGE: Mapping[str, FactValue] = {"message.category": State.MARKETING}
PEOPLE_OF = {  # minor, hour's zone, messages within the day
    "C00001": (False, "Asia/Shanghai", 0),
    "C00002": (False, "Asia/Shanghai", 1),
    "C00003": (True, "Asia/Shanghai", 0),
    "C00004": (False, "Europe/London", 0),  # two in the morning there
    "C00005": (False, "Asia/Shanghai", 2),
    "C00006": (False, "Asia/Shanghai", 0),
}


async def recorded(house: House, *documents: str) -> None:
    """Decide on everybody and record it, as a campaign does."""
    decider = Decider(compiled(*documents))
    gate = replace(house.gate, policies=InForce(decider))
    case = open_case(gate, caller("marketer"), RequestContext(purpose="care", basis="consent"), REQUEST)
    plan = decider.plan(REQUEST, frozenset({"marketer"}))
    groups: dict[object, list[tuple[Subject, Decision]]] = {}
    for customer, (minor, zone, sent) in PEOPLE_OF.items():
        identity = await house.ledger.enrol((StoreKey("crm", customer),), case.now)
        before = (SentMessage(case.now, "another", Category.MARKETING),) * sent
        raw = Raw(
            Principal("marketer", roles=frozenset({"marketer"})), (), identity.sid, {"minor": minor}, (),
            MESSAGE, is_local=True, reached=Reached("CN", (ZoneInfo(zone),), before, "this"),
        )  # fmt: skip
        facts = derive(decider.bundle, REQUEST, raw, case.now, gate.zone)
        decision = decider.decide(plan, REQUEST, Facts({**facts.values, "limits.exhausted": ()}))
        groups.setdefault(alike(case, decision), []).append((Subject.of(identity), decision))
    for group in groups.values():
        await record_many(case, _kind(group), group)
    await record_many(case, EntryKind.OUTCOME, [_outcome(case)])


def _kind(group: list[tuple[Subject, Decision]]) -> EntryKind:
    return EntryKind.RELEASE if group[0][1].effect is Effect.ALLOW else EntryKind.DECISION


def _outcome(case: Case) -> tuple[Subject, Decision]:
    return Subject(), Decision(Effect.ALLOW, case.decider.bundle.digest)


async def opened(house: House, entry: Entry) -> list[Mapping[str, Known]]:
    """Return the personal facts of each person of an entry."""
    found: list[Mapping[str, Known]] = []
    for sid, sealed in entry.sealed.items():
        wrapped = await house.ledger.subject_key(sid)
        assert wrapped is not None
        key = SealKey(sid, unwrap_key(wrapped, house.seal, sid))
        found.append(open_facts(sealed, key, Place(entry.origin, entry.uid, sid)))
    return found


async def replayed(house: House, *candidate: str) -> Counter[tuple[str, Verdict, str]]:
    """Return what came of each person: effect then, verdict, effect by the candidate."""
    replay = Replay([compiled(*DOCUMENTS)], compiled(*candidate), house.gate.zone)
    found: Counter[tuple[str, Verdict, str]] = Counter()
    for entry in house.entries:
        if is_decided({"kind": entry.kind.value, "action": entry.action}):
            for personal in await opened(house, entry):
                row = replay.run(recorded_of(entry, personal))
                found[entry.effect, row.verdict, row.after] += 1
    return found


async def test_every_message_is_proven_by_the_bundle_that_decided_it(house: House) -> None:
    await recorded(house, *DOCUMENTS)
    assert await replayed(house, *DOCUMENTS) == {
        ("ALLOW", Verdict.SAME, ""): 3,
        ("DENY", Verdict.SAME, ""): 3,
    }
    release = next(
        entry for entry in house.entries if entry.kind is EntryKind.RELEASE and len(entry.sids) > 1
    )
    assert release.facts[PEOPLE] == len(release.sealed) == len(release.sids)


async def test_a_candidate_flips_those_whom_it_closes(house: House) -> None:
    await recorded(house, *DOCUMENTS)
    minors_too = await replayed(house, OPENS, BY_DAY, capped(2))
    assert minors_too["DENY", Verdict.FLIPS, "ALLOW"] == 1
    nobody = await replayed(
        house, *DOCUMENTS, guard("closed", "message.category != MARKETING", match=SENDS)
    )
    assert sum(many for (_, verdict, _), many in nobody.items() if verdict is Verdict.UNDECIDABLE) == 6


async def test_a_cap_that_was_counted_is_decided_anew_only_where_that_tells(house: House) -> None:
    await recorded(house, *DOCUMENTS)
    wider = await replayed(house, OPENS, BY_DAY, ADULTS, capped(9))
    assert wider["ALLOW", Verdict.SAME, ""] == 3  # what had room has room
    assert wider["DENY", Verdict.UNDECIDABLE, ""] == 1  # nobody wrote down how many there were
    narrower = await replayed(house, OPENS, BY_DAY, ADULTS, capped(1))
    assert narrower["ALLOW", Verdict.UNDECIDABLE, ""] == 3
    assert (narrower["DENY", Verdict.SAME, ""], narrower["DENY", Verdict.UNDECIDABLE, ""]) == (1, 2)
    without = await replayed(house, OPENS, BY_DAY, ADULTS)
    assert without["DENY", Verdict.FLIPS, "ALLOW"] == 1


async def test_an_altered_message_is_not_reproduced(house: House) -> None:
    await recorded(house, *DOCUMENTS)
    release = next(entry for entry in house.entries if entry.kind is EntryKind.RELEASE)
    personal = (await opened(house, release))[0]
    replay = Replay([compiled(*DOCUMENTS)], compiled(*DOCUMENTS), house.gate.zone)
    for path, value in (
        ("recipient.hour", 3),
        ("processor.agreement", "LAPSED"),
        ("frequency.exhausted", ("guard:capped",)),
    ):
        altered = replace(release, facts={**release.facts, path: value})
        assert replay.run(recorded_of(altered, personal)).verdict is Verdict.DIFFERS


async def test_the_log_on_disk_counts_people_and_not_entries(tmp_path: Path, crm: Path) -> None:
    async with opened_house(tmp_path, crm) as house:
        await recorded(house, *DOCUMENTS)
    (report,) = verify_directory(tmp_path / "log")
    files = {"f.yaml": "\n---\n".join((*CATALOGUE, *DOCUMENTS)).encode()}
    assert not isinstance(compile_bundle(files), tuple)
    worker = Worker(Question((files,), files, "Asia/Shanghai"))
    (part,) = parts_of({logs_in(tmp_path / "log")[report.origin]: report.signed_size})
    tally = worker.run(part)
    sends = {row: many for row, (many, _) in tally.rows.items() if row.action == "send"}
    assert (tally.unreadable, sum(sends.values())) == (0, len(PEOPLE_OF))
    assert {row.verdict for row in sends} == {Verdict.UNPROVEN}  # sealed, and there is no key here
    assert {fact for row in sends for fact in row.facts} == {"customer.minor SEALED"}
