"""Leased files: rows leave sealed, and their keys stay with us, one for each chunk.

The key of a chunk is drawn here, wrapped under the `seal` key and bound to its place, and nowhere else kept than in the
ledger: whoever destroys it there destroys the chunk wherever its copies lie. A key is durable (`Exports.add_chunk`) before
the bytes that need it leave; a process that dies in between leaves a key of nothing.
"""

from collections.abc import Sequence
from datetime import UTC

from fujie.audit.container import MOST_PART, Header, Place, seal_part
from fujie.audit.errors import SealBroken
from fujie.audit.sealing import KEY_BYTES, unwrap_key, wrap_key
from fujie.flows.gate import Gate
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.export import MOST_ROWS, Export, ExportChunk
from fujie.model.limit import Limit

_BESIDE = 64
"""Bytes of a part beside its rows, at most."""


def most_openable(decision: Decision) -> int:
    """Return how many rows a file may have: an opening takes all of them from `rows_per_hour`, so a file with more than the
    smallest limit of its own export, as one that runs for hours could have, would open for nobody."""
    hours = [each.at_most for each in decision.charges if each.limit is Limit.ROWS_PER_HOUR]
    return min(hours, default=MOST_ROWS)


def open_file(export: Export) -> bytes:
    """Return the first bytes of the file of an export with a lease."""
    return _header(export).encoded()


def check_fits(rows: bytes) -> None:
    """Raise RequestError for rows that are longer than a part may be, so that nobody could open the file."""
    if len(rows) > MOST_PART - _BESIDE:
        raise RequestError("rows too long for a leased file: ask for fewer fields", field="read_mask")


def keyed_chunk(gate: Gate, export: Export, number: int, sids: Sequence[str]) -> tuple[bytes, ExportChunk]:
    """Return a fresh key for part `number` of the file, and what the ledger keeps of it."""
    key = b"".join(gate.ids.nonce() for _ in range(3))[:KEY_BYTES]  # 12 random bytes each
    wrapped = wrap_key(key, gate.seal_key, _bound_to(export.id, number), gate.ids.nonce())
    return key, ExportChunk(export.id, number, tuple(sids), wrapped)


def seal_rows(gate: Gate, export: Export, place: Place, key: bytes, rows: bytes) -> bytes:
    """Return rows that fit as the part of the file at `place`."""
    return seal_part(rows, place, _header(export).digest, key, gate.ids.nonce())


def seal_end(gate: Gate, export: Export, number: int, footer: bytes) -> tuple[bytes, ExportChunk]:
    """Return the last bytes of a file of `number` chunks: a part with no customer in it, by which a cut is noticed."""
    key, chunk = keyed_chunk(gate, export, number, ())
    return seal_rows(gate, export, Place(number, 0, is_end=True), key, footer), chunk


def chunk_key(gate: Gate, export_id: str, number: int, wrapped: bytes) -> bytes | None:
    """Return the key of a chunk; None when it was wrapped under a seal key that is ours no more."""
    try:
        return unwrap_key(wrapped, gate.seal_key, _bound_to(export_id, number))
    except SealBroken:
        return None


def _header(export: Export) -> Header:
    if export.lease is None:
        raise ValueError("an export without a lease has no file")
    expires = export.lease.expires_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Header(export.name, expires, export.steps, export.format.value)


def _bound_to(export_id: str, number: int) -> str:
    return f"exports/{export_id}/{number}"
