"""Attacks on approvals in the ledger: used twice, voted on twice, ended twice, hidden between two pages."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contract.test_ledger import ADAPTERS, Open
from fujie.adapters.ledger import SQLLedger
from fujie.adapters.ledger.approvals import MOST_OPEN
from fujie.model.approval import (
    ESCALATE_AFTER,
    PENDING_FOR,
    Approval,
    ApprovalFilter,
    ApprovalHistory,
    ApprovalState,
    Ballot,
    BreakGlass,
    Ending,
    Requirement,
    Stage,
    id_of,
)
from fujie.model.errors import LedgerError, RequestError
from fujie.model.page import Slice
from support.identities import IDENTIFIERS

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO = Requirement("big", "two", ("auditor", "officer"), 2, HOUR)
ONE = Requirement("late", "one", ("lead",), 1, 4 * HOUR)
OFFICER, LEAD = frozenset({"officer"}), frozenset({"lead"})


def wanted(*needs: Requirement, at: datetime = NOW, **changes: object) -> Approval:
    made = Approval(
        IDENTIFIERS.new_id(), "agent", frozenset({"agent", "spiffe://a/web"}), "lookup", "care", "contract", "crm",
        ("name", "phone"), 1, "digest", tuple(map(Ballot, needs or (ONE,))), at,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]  # a table of changes


def ending(state: ApprovalState = ApprovalState.USED, at: datetime = NOW, who: str = "agent") -> Ending:
    return Ending(state, who, at, IDENTIFIERS.new_id())


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


async def approved(ledger: SQLLedger, asked: Approval | None = None) -> Approval:
    known = await ledger.ask_approval(asked or wanted())
    return await ledger.vote(known.id, "lead-1", LEAD, NOW)


async def test_what_was_asked_for_is_seen_by_everybody_as_it_was(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    asked = wanted(TWO, ONE)
    assert await here.ask_approval(asked) == asked
    assert await there.approval(asked.id) == asked
    voted = await there.vote(asked.id, "officer-1", OFFICER, NOW)
    assert await here.approval(asked.id) == voted
    assert id_of(asked.name) == asked.id
    assert await here.approval("0" * 32) is None


async def test_the_same_request_is_asked_for_once_at_a_time(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    answers = await asyncio.gather(*(ledgers[n % 2].ask_approval(wanted()) for n in range(12)))
    assert len(set(answers)) == 1
    others = [
        wanted(request_digest="other"),
        wanted(requester="another"),
        wanted(TWO),
        wanted(ONE, TWO),
        wanted(replace(ONE, count=2)),
        wanted(parties=frozenset({"agent"})),
    ]
    for other in others:
        assert await ledgers[0].ask_approval(other) == other
    await ledgers[0].end_approval(answers[0].id, ending(ApprovalState.REJECTED))
    again = wanted()
    assert await ledgers[1].ask_approval(again) == again
    late = wanted(at=NOW + PENDING_FOR)
    assert await ledgers[1].ask_approval(late) == late


async def test_a_requester_buries_nobody(ledger: SQLLedger) -> None:
    for number in range(MOST_OPEN):
        await ledger.ask_approval(wanted(request_digest=f"d{number}"))
    with pytest.raises(RequestError) as refused:
        await ledger.ask_approval(wanted())
    assert refused.value.code == "LIMIT_EXCEEDED"
    assert (await ledger.ask_approval(wanted(request_digest="d7"))).request_digest == "d7"
    for other in (wanted(requester="another"), wanted(at=NOW + PENDING_FOR)):
        assert await ledger.ask_approval(other) == other


async def test_nobody_votes_twice_nor_for_himself(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    asked = await ledgers[0].ask_approval(wanted(TWO))
    votes = (ledgers[n % 2].vote(asked.id, "officer-1", OFFICER, NOW) for n in range(8))
    assert {len(each.ballots[0].votes) for each in await asyncio.gather(*votes)} == {1}
    for party in asked.parties:
        await ledgers[0].vote(asked.id, party, OFFICER, NOW)
    known = await ledgers[1].vote(asked.id, "lead-1", LEAD, NOW)
    assert known.voters == {"officer-1"}
    assert known.state(NOW) is ApprovalState.PENDING
    last = await ledgers[1].vote(asked.id, "auditor-1", frozenset({"auditor"}), NOW)
    assert last.state(NOW) is ApprovalState.APPROVED


async def test_votes_that_come_at_once_are_all_kept(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    asked = await ledgers[0].ask_approval(wanted(replace(TWO, count=10)))
    votes = (ledgers[n % 2].vote(asked.id, f"officer-{n}", OFFICER, NOW) for n in range(10))
    await asyncio.gather(*votes)
    known = await ledgers[0].approval(asked.id)
    assert known is not None
    assert len(known.voters) == 10
    assert known.state(NOW) is ApprovalState.APPROVED


async def test_of_eight_who_use_one_at_once_one_does(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    known = await approved(ledgers[0])
    uses = [ending() for _ in range(8)]
    after = await asyncio.gather(
        *(ledgers[n % 2].end_approval(known.id, use) for n, use in enumerate(uses))
    )
    assert sum(each.ending == use for each, use in zip(after, uses, strict=True)) == 1
    assert len({each.ending for each in after}) == 1
    assert await ledgers[1].approval(known.id) == after[0]


async def test_what_lacks_a_vote_or_has_expired_is_not_used(ledger: SQLLedger) -> None:
    asked = await ledger.ask_approval(wanted(TWO))
    await ledger.vote(asked.id, "officer-1", OFFICER, NOW)
    assert (await ledger.end_approval(asked.id, ending())).ending is None
    await ledger.vote(asked.id, "officer-2", OFFICER, NOW + HOUR)
    assert (await ledger.end_approval(asked.id, ending(at=NOW + 2 * HOUR))).ending is None
    within = ending(at=NOW + 2 * HOUR - timedelta(microseconds=1))
    assert (await ledger.end_approval(asked.id, within)).ending == within


async def test_an_unknown_approval_is_an_error(ledger: SQLLedger) -> None:
    steps: Sequence[Awaitable[Approval]] = (
        ledger.vote("0" * 32, "lead-1", LEAD, NOW),
        ledger.end_approval("0" * 32, ending()),
    )
    for step in steps:
        with pytest.raises(RequestError) as refused:
            await step
        assert refused.value.code == "APPROVAL_NOT_FOUND"


async def test_a_closed_ledger_gives_and_takes_nothing(ledger: SQLLedger) -> None:
    known = await approved(ledger)
    await ledger.close()
    steps: Sequence[Awaitable[object]] = (
        ledger.approval(known.id),
        ledger.ask_approval(wanted()),
        ledger.vote(known.id, "lead-2", LEAD, NOW),
        ledger.end_approval(known.id, ending()),
    )
    for step in steps:
        with pytest.raises(LedgerError):
            await step


async def test_a_list_holds_ones_own_and_what_ones_roles_decide(ledger: SQLLedger) -> None:
    mine, theirs, big = (
        wanted(),
        wanted(requester="another"),
        wanted(TWO, requester="third", request_digest="big"),
    )
    for each in (mine, theirs, big):
        await ledger.ask_approval(each)

    async def seen(who: str, *roles: str, at: datetime = NOW, with_closed: bool = False) -> list[str]:
        asked = ApprovalFilter(who, frozenset(roles), at, with_closed)
        return [each.id for each in (await ledger.approval_page(asked, Slice())).rows]

    assert await seen("agent") == [mine.id]
    assert await seen("nobody") == []
    assert await seen("nobody", "lead") == [mine.id, theirs.id]
    assert await seen("nobody", "auditor", "x", "y") == [big.id]
    assert await seen("agent", "auditor", "lead") == sorted([mine.id, theirs.id, big.id])
    for role in ("lea", "lead'", "%", '["lead"]', ""):
        assert await seen("nobody", role) == []
    await ledger.end_approval(mine.id, ending(ApprovalState.REVOKED))
    assert await seen("agent") == []
    assert await seen("agent", with_closed=True) == [mine.id]
    assert await seen("third", at=NOW + PENDING_FOR) == []


async def test_pages_of_any_size_hold_every_approval_once(ledger: SQLLedger) -> None:
    made = [await ledger.ask_approval(wanted(request_digest=f"d{n}")) for n in range(7)]
    asked = ApprovalFilter("agent", frozenset(), NOW)
    for size in (1, 3, 7, 500):
        found: list[Approval] = []
        part = Slice(size=size)
        while True:
            page = await ledger.approval_page(asked, part)
            found += page.rows
            if not page.next:
                break
            part = Slice(page.next, size)
        assert found == made


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_requirements = st.builds(
    Requirement,
    _texts, _texts, st.lists(_texts, min_size=1, max_size=3, unique=True).map(lambda names: tuple(sorted(names))),
    st.integers(1, 10), st.timedeltas(HOUR, 30 * 24 * HOUR).map(lambda each: timedelta(seconds=each // timedelta(seconds=1))),
)  # fmt: skip


@settings(max_examples=13)
@given(
    needs=st.lists(_requirements, min_size=1, max_size=3, unique_by=lambda each: each.key),
    words=st.tuples(*[_texts] * 6),
)
def test_what_is_kept_comes_back_the_same(
    empty: Open, needs: list[Requirement], words: tuple[str, ...]
) -> None:
    who, purpose, basis, store, field, voter = words

    async def check() -> None:
        ledger = await empty()
        asked = wanted(
            *needs, requester=who, parties=frozenset({who, "x"}), purpose=purpose, basis=basis, store=store,
            fields=(field,), request_digest=IDENTIFIERS.new_id(),
        )  # fmt: skip
        await ledger.ask_approval(asked)
        voted = await ledger.vote(asked.id, f"v{voter}", frozenset(needs[0].roles), NOW)
        assert await ledger.approval(asked.id) == voted
        assert voted.keys == {need.key for need in needs}
        ended = await ledger.end_approval(asked.id, ending(ApprovalState.REVOKED))
        assert await ledger.approval(asked.id) == ended
        await ledger.close()

    asyncio.run(check())


# Against a model.


class OneApproval(RuleBasedStateMachine):
    """Two who need both parts, votes, noes, uses and a clock, in any order and at once; counted by hand beside it."""

    @initialize(adapter=st.sampled_from(sorted(ADAPTERS)))
    def start(self, adapter: str) -> None:
        self.context = ADAPTERS[adapter]()
        self.runner = asyncio.Runner()
        open_ = self.context.__enter__()

        async def both() -> tuple[SQLLedger, SQLLedger]:
            return await open_(), await open_()

        self.ledgers = self.runner.run(both())
        self.now = NOW
        self.ask()

    def ask(self) -> None:
        self.made = self.now
        self.id = self.runner.run(self.ledgers[0].ask_approval(wanted(TWO, ONE, at=self.now))).id
        self.officers: dict[str, datetime] = {}
        self.leads: dict[str, datetime] = {}
        self.ended: Ending | None = None

    def expected(self) -> str:
        if self.ended:
            return self.ended.state
        two = sorted(self.officers.values())[1] + HOUR if len(self.officers) > 1 else None
        one = min(self.leads.values()) + 4 * HOUR if self.leads else None
        until = min(each for each in (two, one) if each) if two or one else None
        if not (two and one):
            until = min(self.made + PENDING_FOR, until or self.made + PENDING_FOR)
        assert until
        if self.now >= until:
            return "EXPIRED"
        return "APPROVED" if two and one else "PENDING"

    @rule(wait=st.sampled_from((timedelta(0), HOUR / 2, HOUR, 3 * HOUR, PENDING_FOR)))
    def wait(self, wait: timedelta) -> None:
        self.now += wait

    @rule(
        who=st.sampled_from(("o1", "o2", "o3", "l1", "both", "agent")),
        ledger=st.integers(0, 1),
    )
    def vote(self, who: str, ledger: int) -> None:
        roles = {"o": OFFICER, "l": LEAD}.get(who[0], OFFICER | LEAD)
        may = self.expected() in ("PENDING", "APPROVED") and who != "agent"
        self.runner.run(self.ledgers[ledger].vote(self.id, who, roles, self.now))
        if may and "officer" in roles:
            self.officers.setdefault(who, self.now)
        if may and "lead" in roles:
            self.leads.setdefault(who, self.now)

    @rule(state=st.sampled_from(("REJECTED", "REVOKED", "USED", "USED")), ledger=st.integers(0, 1))
    def end(self, state: str, ledger: int) -> None:
        self.at_once([state], ledger)

    @rule(
        states=st.lists(st.sampled_from(("REJECTED", "REVOKED", "USED")), min_size=2, max_size=5),
        first=st.integers(0, 1),
    )
    def at_once(self, states: list[str], first: int) -> None:
        before = self.expected()
        tries = [ending(ApprovalState(state), self.now, f"p{n}") for n, state in enumerate(states)]

        async def all_of_them() -> list[Approval]:
            steps = (
                self.ledgers[(first + n) % 2].end_approval(self.id, each) for n, each in enumerate(tries)
            )
            return await asyncio.gather(*steps)

        after = self.runner.run(all_of_them())
        won = [each for each, seen in zip(tries, after, strict=True) if seen.ending == each]
        able = [
            each
            for each in tries
            if before == "APPROVED" or (before == "PENDING" and each.state is not ApprovalState.USED)
        ]
        assert len(won) == min(1, len(able))
        assert all(each in able for each in won)
        if won:
            self.ended = won[0]

    @rule(order=st.permutations(range(3)))
    def vote_use_and_revoke_at_once(self, order: list[int]) -> None:
        before, who = self.expected(), f"both-{len(self.officers)}"
        used, revoked = (ending(ApprovalState(state), self.now, state) for state in ("USED", "REVOKED"))

        async def all_of_them() -> None:
            here, there = self.ledgers
            steps = [
                here.vote(self.id, who, OFFICER | LEAD, self.now),
                there.end_approval(self.id, used),
                here.end_approval(self.id, revoked),
            ]
            await asyncio.gather(*(steps[n] for n in order))

        self.runner.run(all_of_them())
        known = self.runner.run(self.ledgers[0].approval(self.id))
        assert known is not None
        if before not in ("PENDING", "APPROVED"):
            assert who not in known.voters
            return
        if who in known.voters:  # it came before the end
            self.officers[who] = self.leads[who] = self.now
        assert known.ending == revoked or (known.ending == used and self.expected() == "APPROVED")
        self.ended = known.ending

    @rule()
    def again(self) -> None:
        if self.expected() not in ("PENDING", "APPROVED"):
            self.ask()

    @invariant()
    def both_say_what_was_counted(self) -> None:
        if hasattr(self, "ended"):
            for ledger in self.ledgers:
                known = self.runner.run(ledger.approval(self.id))
                assert known is not None
                assert known.state(self.now) == self.expected()
                assert known.ending == self.ended
                assert known.voters == self.officers.keys() | self.leads.keys()

    def teardown(self) -> None:
        if hasattr(self, "ledgers"):
            for ledger in self.ledgers:
                self.runner.run(ledger.close())
            self.runner.close()
            self.context.__exit__(None, None, None)


OneApproval.TestCase.settings = settings(max_examples=10, stateful_step_count=20)
TestOneApproval = OneApproval.TestCase


async def test_what_is_due_is_told_in_its_order_and_what_ended_is_not(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    asked = await here.ask_approval(wanted(terms="sealed"))
    ended = await here.ask_approval(wanted(request_digest="another", terms="sealed"))
    assert (await there.end_approval(ended.id, ending(ApprovalState.REJECTED))).terms == ""

    async def due(at: datetime) -> list[Stage]:
        found = await there.approvals_due(at)
        assert {approval.id for approval, _ in found} <= {asked.id}
        return [stage for _, stage in found]

    late = NOW + ESCALATE_AFTER
    assert await due(NOW) == await due(late) == [Stage.ASKED]
    await here.approval_told(asked.id, Stage.ASKED)
    assert await due(late - HOUR) == []
    assert await due(late) == [Stage.ESCALATED]
    await here.approval_told(asked.id, Stage.ESCALATED)
    await there.approval_told(asked.id, Stage.ASKED)  # who looked before comes later: it never goes back
    assert await due(late) == []
    known = await there.approval(asked.id)
    assert known is not None
    assert known.terms == "sealed"
    assert await due(NOW + PENDING_FOR) == [Stage.EXPIRED]
    await here.approval_told(asked.id, Stage.EXPIRED)
    known = await there.approval(asked.id)
    assert known is not None
    assert known.terms == ""
    assert await due(NOW + 2 * PENDING_FOR) == []


async def test_a_vote_keeps_from_escalation_and_carries_its_comment(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    asked = await here.ask_approval(wanted(TWO))
    await here.approval_told(asked.id, Stage.ASKED)
    await there.vote(asked.id, "officer-1", OFFICER, NOW, "a comment, 中文")
    assert await here.approvals_due(NOW + ESCALATE_AFTER) == []
    known = await here.approval(asked.id)
    assert known is not None
    assert [vote.comment for vote in known.ballots[0].votes] == ["a comment, 中文"]
    said = replace(ending(ApprovalState.REJECTED), comment="no")
    assert (await there.end_approval(asked.id, said)).ending == said
    known = await here.approval(asked.id)
    assert known is not None
    assert known.ending == said


async def test_a_history_counts_one_requester_since_a_moment(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    here, there = ledgers
    for number, state in enumerate((ApprovalState.USED, ApprovalState.USED, ApprovalState.REJECTED, None)):
        asked = await here.ask_approval(wanted(request_digest=str(number), rows=10 + number))
        await here.vote(asked.id, "lead-1", LEAD, NOW)
        if state is not None:
            await here.end_approval(asked.id, ending(state))
    await here.ask_approval(wanted(at=NOW - HOUR, request_digest="before"))
    await here.ask_approval(wanted(requester="other", parties=frozenset({"other"})))
    assert await there.approval_history("agent", NOW) == ApprovalHistory(4, 2, 21, 1)
    assert await there.approval_history("nobody", NOW) == ApprovalHistory()


def urgent(at: datetime = NOW, within: timedelta = HOUR, **changes: object) -> Approval:
    need = replace(ONE, break_glass=BreakGlass(("on_call",), within))
    return wanted(need, at=at, review_by=at + within, **changes)


async def test_of_two_hosts_at_once_behind_an_overdue_review_none_breaks_the_glass(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    first = urgent()
    assert await here.break_glass(first) is True
    assert await there.break_glass(first) is False, "once, however often it is written"
    for at, expected in ((NOW + HOUR - timedelta(microseconds=1), True), (NOW + HOUR, None)):
        tries = [each.break_glass(urgent(at, within=9 * HOUR)) for each in (here, there)]
        assert await asyncio.gather(*tries) == [expected, expected]
        assert await there.owes_review("agent", at) is (expected is None)
    assert await here.break_glass(urgent(NOW + HOUR, requester="somebody else")) is True
    ended = await there.end_approval(first.id, ending(ApprovalState.REJECTED, NOW + 2 * HOUR, "lead-1"))
    assert ended.state(NOW) is ApprovalState.REJECTED
    assert await here.break_glass(urgent(NOW + 2 * HOUR)) is True


async def test_a_review_is_no_approval_and_ends_in_two_ways_only(ledger: SQLLedger) -> None:
    done = urgent()
    await ledger.break_glass(done)
    assert (await ledger.ask_approval(wanted())).id != done.id
    assert await ledger.vote(done.id, "lead-1", LEAD, NOW) == await ledger.approval(done.id)
    late = NOW + PENDING_FOR * 9
    for state in (ApprovalState.USED, ApprovalState.REVOKED):
        assert (await ledger.end_approval(done.id, ending(state, late))).state(
            late
        ) is ApprovalState.IN_REVIEW
    asked = await ledger.ask_approval(wanted(request_digest="other"))
    kept = await ledger.end_approval(asked.id, ending(ApprovalState.REVIEWED))
    assert kept.state(NOW) is ApprovalState.PENDING
    ended = await ledger.end_approval(done.id, ending(ApprovalState.REVIEWED, late, "lead-1"))
    assert ended.state(late) is ApprovalState.REVIEWED


async def test_reviews_are_listed_for_who_decides_told_counted_and_no_part_of_a_history(
    ledger: SQLLedger,
) -> None:
    done, asked = urgent(), wanted()
    await ledger.break_glass(done)
    await ledger.ask_approval(asked)
    late = NOW + PENDING_FOR * 9
    for principal, roles, expected in (
        ("x", LEAD, [done.id]),
        ("agent", OFFICER, [done.id]),
        ("x", OFFICER, []),
    ):
        filter_ = ApprovalFilter(principal, roles, late, to_review=True)
        assert [each.id for each in (await ledger.approval_page(filter_, Slice())).rows] == expected
    both = await ledger.approval_page(ApprovalFilter("x", LEAD, NOW), Slice())
    assert {each.id for each in both.rows} == {done.id, asked.id}
    await ledger.approval_told(asked.id, Stage.EXPIRED)
    stages = []
    while due := await ledger.approvals_due(late):
        ((approval, stage),) = due
        await ledger.approval_told(approval.id, stage)
        stages.append(stage)
    assert stages == [Stage.ASKED, Stage.ESCALATED]
    assert [await ledger.reviews(at) for at in (NOW, NOW + HOUR)] == [(1, 0), (1, 1)]
    assert await ledger.approval_history("agent", NOW) == ApprovalHistory(asked=1)
