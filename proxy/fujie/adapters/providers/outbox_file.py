"""The provider of the embedded default: it sends nothing. Every message becomes a line of a local file.

It is there to try fujie out, and to see what would go out; `DELIVERED` says that the line is on disk. The lines hold
numbers and texts as they are, since that is what an outbox is: the file is made with mode 0600 and belongs on a disk
that may hold personal data. Lines are whole, whichever process wrote them: each submission is one write in append mode, under a lock.
"""

import asyncio
import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.model.message import MessageState
from fujie.ports import Clock
from fujie.ports.providers import Acceptance, Callback, Called, Outgoing, Receipt, Submission, Unresolved

FILE = "FILE"
"""Code of what the file did not take."""

_MOST = 500
_TIMEOUT_S = 10.0


class FileOutbox:
    """A file as `ports.providers.Provider`. Its directory must exist; the file may be renamed away at any time."""

    def __init__(self, name: str, path: Path, clock: Clock) -> None:
        self.name = name
        self.processor = ""
        self.most = _MOST
        self.needs_template = False
        self.timeout_s = _TIMEOUT_S
        self._path = path
        self._clock = clock
        self._written: list[str] = []

    async def ready(self, count: int) -> bool:  # noqa: ARG002 - a file takes as many as there are
        """Return True: a file has no rate."""
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Append one line for each message, durable on return.

        RETRY (`FILE`): its line is not whole in the file. UNKNOWN: whether it is on disk is not known.
        """
        at = self._clock.now().isoformat(timespec="microseconds")
        lines = [_line(message, at) for message in messages]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                whole = await asyncio.to_thread(_append, self._path, lines)
        except TimeoutError:
            return [Submission(Acceptance.UNKNOWN, code="TIMEOUT")] * len(messages)
        except OSError:
            return [Submission(Acceptance.UNKNOWN, code=FILE)] * len(messages)
        taken = [message.intent_id for message in messages[:whole]]
        self._written += taken
        accepted = [Submission(Acceptance.ACCEPTED, intent_id) for intent_id in taken]
        return accepted + [Submission(Acceptance.RETRY, code=FILE)] * (len(messages) - whole)

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:  # noqa: ARG002 - the intent is enough
        """Say DELIVERED when the file holds the line; reads the whole file. None when it does not: it may have been
        renamed away."""
        if not await asyncio.to_thread(_holds, self._path, sent.intent_id):
            return None
        return self._delivered(sent.intent_id)

    async def poll(self) -> Called:
        """Return DELIVERED for every line that this process wrote since the last time."""
        written, self._written = self._written, []
        return Called(receipts=[self._delivered(intent_id) for intent_id in written])

    def callback(self, call: Callback) -> Called:  # noqa: ARG002 - there is none
        """Refuse: a file calls nobody."""
        raise RequestError(code="CALLBACK_REFUSED")

    async def close(self) -> None:
        """Do nothing: the file is open only while it is written."""

    def _delivered(self, intent_id: str) -> Receipt:
        return Receipt(
            self.name,
            MessageState.DELIVERED,
            provider_message_id=intent_id,
            intent_id=intent_id,
            code=FILE,
        )


def _line(message: Outgoing, at: str) -> bytes:
    # The intent comes first: `_holds` looks for it there, where no text can imitate it.
    fields = {
        "intent_id": message.intent_id,
        "at": at,
        "phone": message.phone.e164,
        "signature": message.signature,
        "text": message.text,
        "code": message.code,
        "params": dict(message.params),
    }
    return orjson.dumps(fields) + b"\n"


def _append(path: Path, lines: Sequence[bytes]) -> int:
    """Append the lines and return how many are whole in the file, durable. Raises OSError when that is not known."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return 0
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # else the half of another's line looks torn
        size = os.fstat(file).st_size
        is_torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"  # by a disk that was full
        start = b"\n" if is_torn else b""
        try:
            left = os.write(file, start + b"".join(lines)) - len(start)
        except OSError:
            return 0
        fcntl.flock(file, fcntl.LOCK_UN)
        os.fsync(file)
        if size == 0:
            _sync_directory(path.parent)
    finally:
        os.close(file)
    whole = 0
    for line in lines:
        left -= len(line)
        if left < 0:
            break
        whole += 1
    return whole


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(path: Path, intent_id: str) -> bool:
    start = b'{"intent_id":' + orjson.dumps(intent_id) + b","
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(start)
            return at >= 0 and _is_whole(content, at)
    except (OSError, ValueError):  # no file, or an empty one
        return False


def _is_whole(content: mmap.mmap, at: int) -> bool:
    content.seek(at)
    try:
        orjson.loads(content.readline())
    except orjson.JSONDecodeError:
        return False
    return True
