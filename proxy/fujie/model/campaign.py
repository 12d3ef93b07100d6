"""Campaigns: one message to many, planned once and decided again for everyone at dispatch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from fujie.model.message import Draft, Intent, MessageState


class CampaignState(StrEnum):
    """DRAFT takes recipients; RUNNING sends; CANCELLED and DONE are the end."""

    DRAFT = "DRAFT"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    DONE = "DONE"


MOVES: Mapping[CampaignState, frozenset[CampaignState]] = MappingProxyType(
    {
        CampaignState.RUNNING: frozenset({CampaignState.DRAFT, CampaignState.PAUSED}),
        CampaignState.PAUSED: frozenset({CampaignState.RUNNING}),
        CampaignState.CANCELLED: frozenset(
            {CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.PAUSED}
        ),
        CampaignState.DONE: frozenset({CampaignState.RUNNING}),
    }
)
"""Where to, and from where."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many recipients a campaign has in each state, and how many were refused or failed for which reason.

    The states add up to all that were added.
    """

    states: Mapping[MessageState, int] = field(default_factory=lambda: MappingProxyType({}))
    reasons: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def total(self) -> int:
        """All that were added."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True, repr=False)
class Campaign:
    """One campaign. `requester` is who is judged at every dispatch; `caller` and `workload` who called for him.

    `purpose` to `has_ticket` are what its request context said; evidence and ticket are only known to be there.
    `approved` are the keys of the requirements that its approval met when it was started.
    """

    id: str
    state: CampaignState
    requester: str
    caller: str
    workload: str
    purpose: str
    basis: str
    has_basis_evidence: bool
    has_ticket: bool
    draft: Draft
    created_at: datetime
    approved: tuple[str, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"campaigns/{self.id}"


@dataclass(frozen=True, slots=True, repr=False)
class Lease:
    """Intents of one campaign (None: one message alone) that `holder` alone may work on until `until`."""

    holder: str
    until: datetime
    campaign: Campaign | None
    intents: tuple[Intent, ...]
