"""What belongs to an offboarding, and how far it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fujie.model.principal import Principal


class ItemKind(StrEnum):
    """The parts of an offboarding. STREAMS and MESSAGES are what was under way; the rest is what was open."""

    ACCESS = "ACCESS"
    STREAMS = "STREAMS"
    MESSAGES = "MESSAGES"
    CAMPAIGNS = "CAMPAIGNS"
    APPROVALS = "APPROVALS"
    LEASES = "LEASES"
    DEVICE = "DEVICE"
    TRANSFER = "TRANSFER"


class ItemState(StrEnum):
    """NOT_DUE is what an offboarding at a later time will do; OVERDUE should be acknowledged by now."""

    DONE = "DONE"
    NOT_DUE = "NOT_DUE"
    OUTSTANDING = "OUTSTANDING"
    OVERDUE = "OVERDUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One part. `subject` is the device, or who gets the customers; `open` how many are left; `order` the id of the
    notification that ordered it, to be acknowledged by `due_at`; `done_at` and `done_by` its acknowledgement."""

    kind: ItemKind
    state: ItemState
    subject: str = ""
    open: int = 0
    order: str = ""
    due_at: datetime | None = None
    done_at: datetime | None = None
    done_by: str = ""


@dataclass(frozen=True, slots=True)
class Checklist:
    """Everything that belongs to the offboarding of a principal, as the ledger has it now."""

    principal: Principal
    items: tuple[Item, ...]

    @property
    def is_done(self) -> bool:
        """Tell whether nothing is left to do."""
        return all(item.state is ItemState.DONE for item in self.items)
