"""The register of who handles customer data for us."""

from datetime import datetime
from typing import Protocol

from fujie.model.page import Page, Slice
from fujie.model.processor import Processor


class ProcessorRegister(Protocol):
    """Who handles customer data for us."""

    async def processor(self, processor_id: str) -> Processor | None:
        """Return one processor; None when there is none of this id."""
        ...

    async def upsert_processor(self, processor: Processor, now: datetime) -> Processor:
        """Write the whole record; durable on return, and seen by the very next read."""
        ...

    async def processors(self, part: Slice) -> Page[Processor]:
        """Return processors by id."""
        ...
