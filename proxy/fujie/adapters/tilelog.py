"""The writer of one evidence log: group commit, published tiles, signed checkpoints.

One thread commits: it takes every entry that waits, writes them in one go, syncs, and only then wakes the callers.
While it syncs, the next group gathers, so a slow disk makes groups larger instead of the queue longer. An OSError anywhere is final: nothing is acknowledged by this process any more.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import errorcode
from os import close
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from fujie.adapters.logfiles import prove_entry
from fujie.adapters.logstart import Opened, fresh_tail
from fujie.adapters.saturation import Saturation
from fujie.adapters.tilefiles import append_synced
from fujie.audit.checkpoint import Checkpoint
from fujie.audit.entry import MAX_ENTRY_BYTES
from fujie.audit.errors import CheckpointInvalid, EntryInvalid, EntryTooLarge, LogForked, LogUnavailable
from fujie.audit.proof import Proof
from fujie.audit.segment import TAIL, record
from fujie.audit.tree import leaf_hash
from fujie.audit.verify import CHECKPOINT
from fujie.model.consent import EntryRef

_Waiting: TypeAlias = tuple[bytes, "asyncio.Future[int]"]
_MAX_GROUP = 4096
"""Entries per write, roughly: bounds memory and the time to the first acknowledgement under a flood."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How far the signature may lag: a checkpoint after so many entries or seconds, whichever comes first."""

    entries: int = 1000
    seconds: float = 1.0


GATHER_S, WORTH, ENOUGH = 0.008, 4, 32
"""While the event loop has no CPU to spare, entries gather for one sync: so long, or until there are enough. A sync with its
wake-ups costs 0.2 ms of CPU, a fifth of a look-up, and callers wait for the CPU anyway. Where fewer come together
than are worth the wait (few callers, each waiting for its answer), it is not tried again for a while."""

PROVE_WITHIN_S, PROVE_AGAIN_S = 3.0, 0.1
"""How long a proof waits for the checkpoint that covers its entry, which comes within a second on a sound disk."""


class TileLog:
    """An append-only log in C2SP tlog-tiles layout, of which this object is the only writer.

        log = TileLog(open_log(audit_dir, signer, known), clock=clock, cpu=cpu, keep=keep)

    Use from one event loop. Reads no clock of its own: `clock` gives seconds on a monotonic scale, `cpu` those for which the
    calling thread had or wanted a CPU (without it, the CPU is never short). `keep` receives
    every durable signed note, on the committing thread, to be stored outside the volume and given to `open_log`
    at the next start; what it raises stops the log.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        clock: Callable[[], float],
        keep: Callable[[str], None],
        cpu: Callable[[], float] = lambda: 0.0,
        pace: Pace = Pace(),
    ) -> None:
        """Sign what was recovered and start committing. Raises OSError, or what `keep` raises."""
        self._signer, self._directory, self._tail = opened.signer, opened.directory, opened.tail
        self._frontier = opened.frontier
        self.origin: Final = opened.signer.verifier.name
        """Name of the log, `<instance>/w<slot>`."""
        self._clock, self._keep, self._pace = clock, keep, pace
        self._gathering: list[_Waiting] = []
        self._saturation = Saturation(clock, cpu)
        self._has_waited = False
        self._queue: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = ""
        self._unacknowledged: list[asyncio.Future[int]] = []
        self._submitted = self._durable = self._frontier.size
        self.torn_bytes = opened.torn_bytes
        """Bytes of unacknowledged entries that a crash had left and that were cut off at the start."""
        self.signed = opened.signed
        """The last durable checkpoint."""
        self.last_checkpoint_time = clock()
        """When that was signed, on the scale of `clock`."""
        try:
            self._sign()  # what was recovered is vouched for before anything new comes
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(
            target=self._run, name=f"log {self._signer.verifier.name}", daemon=True
        )
        self._thread.start()

    @property
    def size(self) -> int:
        """Number of durable entries."""
        return self._durable

    @property
    def backlog(self) -> int:
        """Number of entries submitted and not yet durable."""
        return self._submitted - self._durable

    @property
    def healthy(self) -> bool:
        """False for ever once a write failed or the log was closed."""
        return not self._ended

    @property
    def ended(self) -> str:
        """Why nothing more is taken: "" while healthy, `CLOSED`, or the error, e.g. `ENOSPC`."""
        return self._ended

    async def append(self, leaf: bytes) -> int:
        """Append an entry; return its index once it is durable on disk.

        Raises EntryTooLarge, EntryInvalid for no bytes at all, LogUnavailable when it could not be made durable
        (it may still turn up in the log). Cancelling the wait does not take the entry back.
        """
        if len(leaf) > MAX_ENTRY_BYTES:
            raise EntryTooLarge(f"the entry has {len(leaf)} bytes, the limit is {MAX_ENTRY_BYTES}")
        if not leaf:
            raise EntryInvalid("an entry has at least one byte")
        if self._ended:
            raise LogUnavailable(f"the log takes no entries: {self._ended}")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = self._loop.create_future()
        self._submitted += 1
        if not self._gathering:
            self._schedule(self._loop)
        self._gathering.append((leaf, future))
        if len(self._gathering) == ENOUGH:
            self._loop.call_soon(self._hand_over)
        return await future

    async def prove(self, place: EntryRef) -> Proof | None:
        """See `ports.EvidenceLog.prove`; waits up to 3 seconds for the checkpoint."""
        audit_dir = self._directory.path.parents[self.origin.count("/")]
        until = self._clock() + PROVE_WITHIN_S
        while True:
            try:
                proof = await asyncio.to_thread(prove_entry, audit_dir, place, self._signer.verifier)
            except CheckpointInvalid:
                return None
            except LogForked:  # also while a partial tile gives way to the full one: look again
                proof = None
            if proof is not None or self._clock() >= until:
                return proof
            await asyncio.sleep(PROVE_AGAIN_S)

    def attest(self, subject: str, digest: str) -> str:
        """See `ports.EvidenceLog.attest`."""
        return self._signer.attest(subject, digest)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._has_waited = self._saturation.is_reached()
        if self._has_waited:
            loop.call_later(GATHER_S, self._hand_over)
        else:
            loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Give the committer what gathered: calls that became ready together share a sync and a wake-up."""
        if not self._gathering:  # there were enough before the time was over
            return
        group, self._gathering = self._gathering, []
        if self._has_waited and len(group) < WORTH:
            self._saturation.doubt()
        self._queue.put(group)
        # The committer sets the flag, then empties the queue; we fill the queue, then read the flag: no entry
        # waits for a thread that is gone.
        if not self.healthy:
            self._refuse([future for _, future in group])

    def close(self) -> None:
        """Commit what waits, sign a last checkpoint, release the log. Blocks; further appends are refused."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                if group:
                    self._commit(group)
                if self._is_due():
                    self._sign()
            if self._durable > self.signed.size:
                self._sign()
            self._ended = "CLOSED"
        except OSError as error:  # final: every append says so
            self._ended = errorcode.get(error.errno or 0, "OSError")
        finally:
            # Also when `keep` raised: its traceback goes to threading.excepthook, and nobody waits in vain.
            self._ended = self._ended or "KEEP_FAILED"
            self._wake(self._refuse, [*self._unacknowledged, *self._left_over()])
            self._release()

    def _next_group(self) -> list[_Waiting] | None:
        """Return what waits, at least one entry unless a checkpoint falls due first; None at the end."""
        group: list[_Waiting] = []
        pause = None
        if self._durable > self.signed.size:
            pause = max(self.last_checkpoint_time + self._pace.seconds - self._clock(), 0)
        try:
            item = self._queue.get(timeout=pause)
            while item is not None:
                group += item
                if len(group) >= _MAX_GROUP:
                    return group
                item = self._queue.get_nowait()
        except Empty:
            return group
        if group:
            self._queue.put(None)  # commit these first, then come back to the end
            return group
        return None

    def _commit(self, group: Sequence[_Waiting]) -> None:
        hashed = [leaf_hash(leaf) for leaf, _ in group]
        records = [record(leaf, h) for (leaf, _), h in zip(group, hashed, strict=True)]
        first = self._durable
        self._unacknowledged = [future for _, future in group]
        append_synced(self._tail, b"".join(records))
        self._durable += len(group)
        self._wake(_acknowledge, self._unacknowledged, first)
        self._unacknowledged = []
        for (leaf, _), h in zip(group, hashed, strict=True):
            self._frontier.append(leaf, h)

    def _is_due(self) -> bool:
        unsigned = self._durable - self.signed.size
        late = self._clock() - self.last_checkpoint_time >= self._pace.seconds
        return unsigned >= self._pace.entries or (unsigned > 0 and late)

    def _sign(self) -> None:
        """Publish the tiles, then the checkpoint that needs them, tell the keeper, then shorten the tail."""
        frontier = self._frontier
        full = frontier.take_full()
        self._directory.publish([*full, *frontier.partials()])
        checkpoint = Checkpoint(self._signer.verifier.name, frontier.size, frontier.root())
        note = self._signer.sign(checkpoint)
        self._directory.publish([(CHECKPOINT, note.encode())])
        self.signed, self.last_checkpoint_time = checkpoint, self._clock()
        self._keep(note)
        if full:
            tail = fresh_tail(frontier)
            self._directory.publish([(TAIL, tail)])
            replaced, self._tail = self._tail, self._directory.open_for_append(TAIL, len(tail))
            close(replaced)
            self._directory.drop_partials(name for name, _ in full)

    def _left_over(self) -> list["asyncio.Future[int]"]:
        futures = []
        while not self._queue.empty():
            futures += [future for _, future in self._queue.get() or ()]
        return futures

    def _wake(
        self, outcome: Callable[..., None], futures: list["asyncio.Future[int]"], *detail: int
    ) -> None:
        if futures and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(outcome, futures, *detail)

    def _refuse(self, futures: Sequence["asyncio.Future[int]"]) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(LogUnavailable(f"the log takes no entries: {self._ended}"))

    def _release(self) -> None:
        close(self._tail)
        self._directory.release()


def _acknowledge(futures: Sequence["asyncio.Future[int]"], first: int) -> None:
    for index, future in enumerate(futures, first):
        if not future.done():  # done: the caller was cancelled
            future.set_result(index)
