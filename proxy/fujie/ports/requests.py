"""The rights of customers: their requests, and who has seen their data. Implementations live in `adapters`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fujie.model.page import Page, Slice
from fujie.model.subject_request import Disclosure, Indexed, RequestEnd, RequestFilter, SubjectRequest


class SubjectRequests(Protocol):
    """What customers ask of us. Every method raises LedgerError when the ledger fails."""

    async def open_request(self, wanted: SubjectRequest) -> SubjectRequest:
        """Append a request; where one of the same customer and kind is open, return that and append nothing."""
        ...

    async def subject_request(self, request_id: str) -> SubjectRequest | None:
        """Return one request; None when there is none of this id."""
        ...

    async def subject_requests(self, asked: RequestFilter, part: Slice) -> Page[SubjectRequest]:
        """Return requests in the order in which they came."""
        ...

    async def resolve_request(self, request_id: str, end: RequestEnd) -> SubjectRequest:
        """End a request; one that has ended stays as it is. Raises RequestError SUBJECT_REQUEST_NOT_FOUND."""
        ...


class Disclosures(Protocol):
    """An index of the evidence log by customer. Every method raises LedgerError when the ledger fails."""

    async def position(self, origin: str) -> int:
        """Return up to before which entry the log `origin` is indexed."""
        ...

    async def add(self, indexed: Indexed) -> None:
        """Add the counts and move the position, in one transaction. Raises LedgerError, and changes nothing, when the
        log is not indexed up to exactly `indexed.first`: nothing is counted twice."""
        ...

    async def disclosures(self, sids: Sequence[str], part: Slice) -> Page[Disclosure]:
        """Return what was disclosed of a customer known under any of these sids, the last day first.

        An entry names a customer by every sid, so of several sids the largest count holds."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Rights:
    """What serves the rights of customers."""

    requests: SubjectRequests
    disclosures: Disclosures
