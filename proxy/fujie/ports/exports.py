"""What is kept of exports: what left, in which chunks, and the keys of leased files. Implementations live in `adapters`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from fujie.model.export import Closing, Export, ExportChunk, ExportEnd, ExportFilter, Opening, Trace
from fujie.model.limit import Rows
from fujie.model.page import Page, Slice


class Exports(Protocol):
    """The exports, in the ledger. Every method raises LedgerError when the ledger fails; what it writes is durable on return."""

    async def begin_export(self, export: Export) -> None:
        """Append an export that is RUNNING."""
        ...

    async def add_chunk(self, chunk: ExportChunk, taking: Rows | None = None) -> int:
        """Append a chunk before it leaves, and take from the limits what its rows charge, exactly and in one transaction.

        Of the rows, whose sids are those of the chunk, it takes one after the other until one has no room; the chunk is kept
        with these alone, and not at all where there are none. Return how many.

        Raises:
            RequestError: EXPORT_CLOSED when the export was closed or ended meanwhile; nothing was taken.

        """
        ...

    async def end_export(self, export_id: str, end: ExportEnd) -> None:
        """End a RUNNING export; one that has ended stays as it is."""
        ...

    async def export(self, export_id: str) -> Export | None:
        """Return one export; None when there is none of this id."""
        ...

    async def export_page(self, asked: ExportFilter, part: Slice) -> Page[Export]:
        """Return exports, the last one first."""
        ...

    async def open_lease(self, export_id: str, opening: Opening) -> Mapping[int, bytes | None]:
        """Take one opening and return the wrapped key of every chunk (None: destroyed).

        One transaction: of two who take the last opening one gets it. Raises RequestError EXPORT_NOT_FOUND,
        EXPORT_CLOSED (with keys destroyed), EXPORT_EXPIRED or EXPORT_USED_UP.
        """
        ...

    async def close_export(self, export_id: str, closing: Closing) -> Export:
        """Destroy every key of an export and stop it if it runs; one that is closed stays as it is.

        Raises RequestError EXPORT_NOT_FOUND.
        """
        ...

    async def close_exports_of(self, requester: str, closing: Closing) -> int:
        """Do what `close_export` does, with every export of a requester that runs or has keys; return how many."""
        ...

    async def close_expired(self, now: datetime) -> int:
        """Close leases that have expired, or are used up, by `now`, and finish closings that broke off; return how many it
        closed. Each call does a bounded part."""
        ...

    async def open_leases(self, now: datetime) -> int:
        """Return how many leased files can be opened at `now`."""
        ...

    async def forget(self, sids: Sequence[str]) -> int:
        """Destroy the key of every chunk with one of these customers (erasure); return how many.

        Call it when the customers are erased, and once more a few seconds later: a chunk that was decided on before may be
        on its way into the ledger.
        """
        ...

    async def traces(self, sids: Sequence[str], part: Slice) -> Page[Trace]:
        """Return the exports with a customer known under any of these sids, the last one first."""
        ...
