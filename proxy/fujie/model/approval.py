"""What somebody else must agree to before an action goes ahead: requirements, as a decision states them, and approvals."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

PENDING_FOR = timedelta(days=7)
"""How long an approval waits for votes: a week has every weekday in it, so whoever is away for days still sees it, and
the business reason for a look-up is rarely older."""

ESCALATE_AFTER = PENDING_FOR / 7
"""How long an approval waits without any vote before others are told of it: a day, so that six are left."""

MOST_COMMENT = 500
"""Characters of a comment: a sentence or two, for who asked."""


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """Who may go ahead without the agreement of others in an emergency, and how soon one of those who could have agreed
    must look at it afterwards. `roles` are sorted."""

    roles: tuple[str, ...]
    review_within: timedelta

    def opens_to(self, roles: Collection[str]) -> bool:
        """Tell whether somebody with these roles may."""
        return not frozenset(self.roles).isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a validation with `outcome: approval` asks for.

    `count` different principals (1 to 10), each with one of `roles` (sorted) and none of them the one who
    asks, agree; what they agreed to may be used once within `valid_for`. Without any vote others are told
    after `escalate_after`. With `break_glass` some may go ahead first.
    """

    guard: str
    validation: str
    roles: tuple[str, ...]
    count: int
    valid_for: timedelta
    escalate_after: timedelta = ESCALATE_AFTER
    break_glass: BreakGlass | None = None

    @property
    def key(self) -> str:
        """What an approval is bound to: guard, validation and a digest of the terms, so that a policy that
        asks for more later is not satisfied by what was agreed to before. JSON, since a role may hold any character."""
        terms = json.dumps([self.roles, self.count, int(self.valid_for.total_seconds())])
        return f"{self.name}#{hashlib.sha256(terms.encode()).hexdigest()[:16]}"

    @property
    def name(self) -> str:
        """What policy tests call it by: guard and validation."""
        return f"{self.guard}/{self.validation}"

    @property
    def terms(self) -> str:
        """Who must agree and for how long it holds, in hours or else minutes: `2 of lead or officer for 24h`."""
        minutes = int(self.valid_for.total_seconds()) // 60
        length = f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"
        return f"{self.count} of {' or '.join(self.roles)} for {length}"


class ApprovalState(StrEnum):
    """Where an approval stands. The last five are final. IN_REVIEW is what was used by breaking the glass, before anybody
    agreed: it opens nothing more, and ends as REVIEWED or REJECTED."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    IN_REVIEW = "IN_REVIEW"
    REJECTED = "REJECTED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    USED = "USED"
    REVIEWED = "REVIEWED"


_COLLECTION = "approvals/"
_NAME = re.compile(_COLLECTION + "([0-9a-f]{32})")

OPEN = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
"""The states in which an approval can still be agreed to."""

WAITING = OPEN | {ApprovalState.IN_REVIEW}
"""The states in which somebody's word is still missing."""


@dataclass(frozen=True, slots=True)
class Vote:
    """That a principal agreed, and when. `counts`: he has, as far as is known, still the role and the employment."""

    principal: str
    time: datetime
    counts: bool = True
    comment: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ballot:
    """One requirement and who agreed to it, one vote each, in order of time."""

    requirement: Requirement
    votes: tuple[Vote, ...] = ()

    @property
    def is_met(self) -> bool:
        """Tell whether enough votes count."""
        return sum(vote.counts for vote in self.votes) >= self.requirement.count

    @property
    def ends_at(self) -> datetime | None:
        """When what was agreed to ends: `valid_for` after the vote that was needed last; None before it.

        A vote that counts no more still starts the time: that an approver left never makes an approval last longer.
        """
        if len(self.votes) < self.requirement.count:
            return None
        return self.votes[self.requirement.count - 1].time + self.requirement.valid_for


@dataclass(frozen=True, slots=True)
class Ending:
    """How an approval ended: `state` is REJECTED, REVOKED, USED or REVIEWED, `principal` who did it. `decision_id` finds the
    entry."""

    state: ApprovalState
    principal: str
    time: datetime
    decision_id: str
    comment: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class ExportTerms:
    """What an export was asked for with, for those who decide on it. `filter` may hold personal data: it is sealed where
    it is kept. `format` is that of the file; a lease has seconds and openings (0: none)."""

    filter: str
    format: str
    max_rows: int
    lease_seconds: int = 0
    lease_opens: int = 0


@dataclass(frozen=True, slots=True)
class Approval:
    """What somebody asked others to agree to: one request, every requirement of it, their votes.

    `requester` is who asked; `parties` are all who had a hand in it (he, who called for him, the workload
    that carried the call), and none of them may vote. `request_digest` binds it to the request and its customer, who
    is not named here. `rows` is of how many customers data would leave. There is at least one ballot. `terms` are
    the sealed `ExportTerms`, empty where there are none. `review_by` is set where nobody was asked beforehand: until
    then somebody who could have agreed has to look at what was done.
    """

    id: str
    requester: str
    parties: frozenset[str]
    action: str
    purpose: str
    basis: str
    store: str
    fields: tuple[str, ...]
    rows: int
    request_digest: str
    ballots: tuple[Ballot, ...]
    created_at: datetime
    ending: Ending | None = None
    terms: str = field(default="", repr=False)
    review_by: datetime | None = None

    @property
    def name(self) -> str:
        """What a caller names it by."""
        return f"{_COLLECTION}{self.id}"

    @property
    def keys(self) -> frozenset[str]:
        """The keys of its requirements."""
        return frozenset(ballot.requirement.key for ballot in self.ballots)

    @property
    def roles(self) -> frozenset[str]:
        """The roles of everybody who may vote on any part of it."""
        return frozenset[str]().union(*(ballot.requirement.roles for ballot in self.ballots))

    @property
    def voters(self) -> frozenset[str]:
        """Everybody who voted."""
        return frozenset(vote.principal for ballot in self.ballots for vote in ballot.votes)

    @property
    def expires_at(self) -> datetime:
        """When it ends by itself: with the first of its parts that ends, or when the time to wait is over. A review is
        overdue then, and never ends by itself."""
        if self.review_by is not None:
            return self.review_by
        ends = [ballot.ends_at for ballot in self.ballots]
        agreed = [end for end in ends if end is not None]
        return min(agreed if len(agreed) == len(ends) else (self.created_at + PENDING_FOR, *agreed))

    @property
    def escalates_at(self) -> datetime:
        """When others are told that nobody voted yet: with the first of its parts whose time is over. Of a review, that
        it is overdue."""
        if self.review_by is not None:
            return self.review_by
        return self.created_at + min(ballot.requirement.escalate_after for ballot in self.ballots)

    def state(self, now: datetime) -> ApprovalState:
        """Return where it stands at `now`."""
        if self.ending is not None:
            return self.ending.state
        if self.review_by is not None:
            return ApprovalState.IN_REVIEW
        if now >= self.expires_at:
            return ApprovalState.EXPIRED
        met = all(ballot.is_met for ballot in self.ballots)
        return ApprovalState.APPROVED if met else ApprovalState.PENDING

    def voted(self, voter: str, roles: frozenset[str], now: datetime, comment: str = "") -> "Approval":
        """Return it with the vote of `voter` on every part that his `roles` may decide; nobody votes twice on one."""
        vote = Vote(voter, now, comment=comment)
        ballots = tuple(
            replace(ballot, votes=tuple(sorted((*ballot.votes, vote), key=lambda each: each.time)))
            if roles.intersection(ballot.requirement.roles) and voter not in _principals(ballot)
            else ballot
            for ballot in self.ballots
        )
        return replace(self, ballots=ballots)

    def counted(self, holders: Mapping[str, frozenset[str]]) -> "Approval":
        """Return it as it stands if only those of `holders` (principal to roles) vote: each needs a role of the part still."""
        ballots = tuple(
            replace(
                ballot,
                votes=tuple(
                    replace(vote, counts=self._may_vote(vote.principal, holders, ballot.requirement))
                    for vote in ballot.votes
                ),
            )
            for ballot in self.ballots
        )
        return replace(self, ballots=ballots)

    def _may_vote(
        self, principal: str, holders: Mapping[str, frozenset[str]], requirement: Requirement
    ) -> bool:
        roles = holders.get(principal, frozenset())
        return principal not in self.parties and not roles.isdisjoint(requirement.roles)


def id_of(name: str) -> str:
    """Return the id in an approval's name; empty for a text that names none."""
    named = _NAME.fullmatch(name)
    return named[1] if named else ""


def _principals(ballot: Ballot) -> frozenset[str]:
    return frozenset(vote.principal for vote in ballot.votes)


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """Which approvals are listed: those that `principal` asked for, and those that one of `roles` may decide.

    Unless `with_closed`, only those that are neither ended nor expired at `now`. With `latest_first` in the other order;
    with `to_review` only those that are IN_REVIEW.
    """

    principal: str
    roles: frozenset[str]
    now: datetime
    with_closed: bool = False
    latest_first: bool = False
    to_review: bool = False


class Stage(IntEnum):
    """What others were told of an approval so far; each stage once. A review that is overdue is ESCALATED."""

    NOTHING = 0
    ASKED = 1
    ESCALATED = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class ApprovalHistory:
    """What one requester asked for: how many approvals, how many of them were used and for how many customers, and how
    many somebody said no to. `is_partial` tells that there were more than are counted."""

    asked: int = 0
    used: int = 0
    rows: int = 0
    rejected: int = 0
    is_partial: bool = False
