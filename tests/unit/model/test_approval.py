"""Attacks on the arithmetic of votes: counted twice, counted too long, counted for somebody who may not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.approval import OPEN, PENDING_FOR, Approval, ApprovalState, Ballot, Requirement, id_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHO = ("a", "b", "c", "agent")
ROLES = frozenset({"officer"})


def asked(count: int) -> Approval:
    need = Requirement("guard", "rule", ("officer",), count, HOUR)
    return Approval(
        "0" * 32, "agent", frozenset({"agent"}), "lookup", "care", "consent", "crm", ("phone",), 1, "d", (Ballot(need),), NOW
    )  # fmt: skip


_votes = st.lists(st.tuples(st.sampled_from(WHO[:3]), st.integers(0, 59)), max_size=8)


@given(_votes, st.integers(1, 3), st.frozensets(st.sampled_from(WHO)), st.integers(0, 200))
def test_it_is_approved_when_enough_different_people_who_may_agreed_and_no_longer(
    votes: list[tuple[str, int]], count: int, holders: frozenset[str], minute: int
) -> None:
    approval, first = asked(count), dict[str, int]()
    for who, when in sorted(votes, key=lambda vote: vote[1]):
        approval = approval.voted(who, ROLES, NOW + timedelta(minutes=when))
        first.setdefault(who, when)
    now = NOW + timedelta(minutes=minute)
    complete = sorted(first.values())[count - 1] if len(first) >= count else None
    over = complete is not None and minute >= complete + 60
    enough = len(first.keys() & holders) >= count
    expected = "EXPIRED" if over else "APPROVED" if enough else "PENDING"
    assert approval.counted(dict.fromkeys(holders, ROLES)).state(now) == expected
    assert approval.voters == first.keys()


@given(st.frozensets(st.sampled_from(WHO)), st.frozensets(st.sampled_from(WHO)))
def test_fewer_who_hold_the_role_never_open_more(some: frozenset[str], others: frozenset[str]) -> None:
    approval = asked(2)
    for who in WHO[:3]:
        approval = approval.voted(who, ROLES, NOW)
    few, many = (approval.counted(dict.fromkeys(each, ROLES)).state(NOW) for each in (some & others, some))
    assert few is not ApprovalState.APPROVED or many is ApprovalState.APPROVED


def test_a_vote_of_a_party_never_counts_even_if_it_got_in() -> None:
    approval = asked(1).voted("agent", ROLES, NOW)
    assert approval.counted({"agent": ROLES}).state(NOW) is ApprovalState.PENDING


def test_the_wait_for_votes_ends_and_a_role_of_another_part_is_no_vote() -> None:
    approval = asked(1)
    assert approval.voted("a", frozenset({"lead"}), NOW) == approval
    assert approval.state(NOW + PENDING_FOR - timedelta.resolution) in OPEN
    assert approval.state(NOW + PENDING_FOR) is ApprovalState.EXPIRED


@pytest.mark.parametrize(
    "name",
    ["", "0" * 32, "approvals/", "approvals/x", "Approvals/" + "0" * 32, "approvals/" + "0" * 32 + "\n"],
)
def test_only_a_whole_name_names_one(name: str) -> None:
    assert id_of(name) == ""
    assert id_of(asked(1).name) == asked(1).id


_texts = st.text(st.sampled_from('ab,|"[]\\ 1'), min_size=1, max_size=4)
_terms = st.tuples(
    st.lists(_texts, min_size=1, max_size=3, unique=True), st.integers(1, 10), st.integers(1, 99)
)


@given(_terms, _terms)
def test_what_asks_for_other_terms_is_bound_to_another_key(
    one: tuple[list[str], int, int], other: tuple[list[str], int, int]
) -> None:
    """A role may hold a comma: the approval of `a,b` is not one of `a` or `b`."""

    def need(roles: list[str], count: int, minutes: int) -> Requirement:
        return Requirement("guard", "rule", tuple(sorted(roles)), count, timedelta(minutes=minutes))

    assert (need(*one).key == need(*other).key) == (need(*one) == need(*other))
    assert need(["a,b"], 1, 1).key != need(["a", "b"], 1, 1).key
