"""Where evidence is kept before anything leaves."""

from typing import Protocol

from fujie.audit.proof import Proof
from fujie.model.consent import EntryRef


class EvidenceLog(Protocol):
    """The append-only log of one worker."""

    @property
    def origin(self) -> str:
        """Name of the log, `<instance>/w<slot>`."""
        ...

    @property
    def healthy(self) -> bool:
        """False for ever after the first write that failed."""
        ...

    async def prove(self, place: EntryRef) -> Proof | None:
        """Return the entry at `place` with its proof, once a checkpoint covers it (within seconds).

        It may lie in the log of another worker of this host. None when it can not be proven here: no log
        of that origin is at hand, or its files do not hold what was signed.
        """
        ...

    def attest(self, subject: str, digest: str) -> str:
        """Return a note, signed by this log's key under `<origin>/<subject>`, over a SHA-256 (hex)."""
        ...

    async def append(self, leaf: bytes) -> int:
        """Return the entry's index once its bytes are durable on disk.

        Raises:
            LogUnavailable: the log has failed, now or before; nothing may be released.

        """
        ...
