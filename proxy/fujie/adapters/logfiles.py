"""Reading log directories: what `fujie audit verify DIR` reports about every origin in it, and proofs of entries."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fujie.adapters.logstart import VKEY
from fujie.adapters.tilefiles import read_file
from fujie.audit.checkpoint import Checkpoint, VerifierKey, open_checkpoint, parse_unverified, parse_vkey
from fujie.audit.errors import CheckpointInvalid, LogForked
from fujie.audit.findings import Finding, FindingKind
from fujie.audit.proof import Proof, prove
from fujie.audit.segment import TAIL
from fujie.audit.tiles import WIDTH, bundle_path, shape, split_bundle
from fujie.audit.unfinished import Unfinished, unfinished
from fujie.audit.verify import CHECKPOINT, LogReport, verify_log
from fujie.model.consent import EntryRef

_is_origin = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}/w[0-9]{1,9}").fullmatch


def verify_directory(
    directory: Path, *, vkeys: Sequence[str] = (), against: Sequence[str] = ()
) -> tuple[LogReport, ...]:
    """Verify every log at or below `directory`, in order of path. An empty answer means that nothing was verified.

    `vkeys` pins keys as text. One named like an origin is used for that origin; a single vkey of any name lends
    its public key to all of them, since one instance signs the logs of all its workers with one secret. Without
    any, the file `vkey` beside each log is believed: a convenience that proves only that log and key belong
    together, since who can rewrite the log can rewrite the file. An auditor pins.

    `against` holds signed notes kept earlier (the last of each origin is enough; without `vkeys` they are believed
    as given): a log that does not continue them, or is gone, is found. Raises CheckpointInvalid for a malformed
    vkey or note, or a note that the pinned key did not sign.
    """
    pinned = {key.name: key for key in map(parse_vkey, vkeys)}
    kept = [_kept(note, pinned) for note in against]
    reports = [_verify(path, directory, pinned, kept) for path in _logs(directory)]
    origins = [report.origin for report in reports]
    twice = {origin for origin in origins if origins.count(origin) > 1}
    gone = {checkpoint.origin for checkpoint in kept} - set(origins)
    reports += [_gone(origin) for origin in sorted(gone | twice)]
    return tuple(reports)


def logs_in(directory: Path) -> dict[str, Path]:
    """Return where each log at or below `directory` lies, by the origin that its checkpoint names."""
    notes = {path: (read_file(path, CHECKPOINT) or b"").decode() for path in _logs(directory)}
    return {parse_unverified(note).origin: path for path, note in notes.items()}


def leaves_of(log: Path, size: int, bundles: range) -> Iterator[bytes]:
    """Yield the entries in these bundles of 256 of a log of `size` signed entries, in order.

    Raises:
        LogForked: the files do not hold them, which verification would have found.

    """
    full, rest = shape(0, size)
    for index in bundles:
        width = WIDTH if index < full else rest
        bundle = read_file(log, bundle_path(index, width))
        if bundle is None and width < WIDTH:  # replaced by its full one, which only continues it
            bundle = read_file(log, bundle_path(index))
        entries = split_bundle(bundle or b"")[0][:width]
        if len(entries) != width:
            raise LogForked(f"entries of bundle {index} are missing")
        yield from entries


NEWEST = 64
"""Bundles of 256 entries in which a start looks for what a crash cut off: 50 ms of reading."""


def left_unfinished(log: Path, size: int, newest: int | None = NEWEST) -> tuple[Unfinished, ...]:
    """Return the acts that a log of `size` signed entries tells a beginning of and no end, among its `newest` bundles.

    `newest` None: in all of them. Raises LogForked as `leaves_of`.
    """
    end = -(-size // WIDTH)
    first = 0 if newest is None else max(0, end - newest)
    return unfinished(leaves_of(log, size, range(first, end)), first * WIDTH)


def prove_entry(audit_dir: Path, place: EntryRef, key: VerifierKey) -> Proof | None:
    """Return the proof of an entry of any log below `audit_dir` that `key`, by whatever name, signs.

    None while no checkpoint covers it. Raises CheckpointInvalid when there is no such log, LogForked when its
    files do not hold what was signed.
    """
    if not _is_origin(place.origin):  # it becomes a path
        raise CheckpointInvalid("not the origin of a log of ours")
    log = audit_dir / place.origin
    return prove(lambda name: read_file(log, name), key.named(place.origin), place.index)


def _kept(note: str, pinned: Mapping[str, VerifierKey]) -> Checkpoint:
    claimed = parse_unverified(note)
    if not pinned:
        return claimed
    key = _key(pinned, claimed.origin)
    if key is None:
        raise CheckpointInvalid("no key was pinned for the origin of a kept checkpoint")
    return open_checkpoint(note, key)


def _logs(directory: Path) -> list[Path]:
    marks = (file for name in (CHECKPOINT, TAIL, VKEY) for file in directory.rglob(name))
    return sorted({file.parent for file in marks})


def _verify(
    path: Path, top: Path, pinned: Mapping[str, VerifierKey], kept: Sequence[Checkpoint]
) -> LogReport:
    place = "" if path == top else path.relative_to(top).as_posix()
    try:
        origin = parse_unverified((read_file(path, CHECKPOINT) or b"").decode()).origin
        key = _key(pinned, origin) if pinned else parse_vkey((read_file(path, VKEY) or b"").decode())
        if key is None:
            raise CheckpointInvalid("no key was pinned for this origin")
    except (CheckpointInvalid, UnicodeDecodeError):
        damage = Finding(FindingKind.CHECKPOINT_INVALID, place or path.name, path=CHECKPOINT)
        return LogReport(damage.origin, 0, 0, b"", (damage,))
    report = verify_log(lambda name: read_file(path, name), key, [c for c in kept if c.origin == origin])
    if origin == place or origin.endswith(f"/{place}") or not place:
        return report
    misplaced = Finding(FindingKind.MISPLACED, origin, path=place)
    return LogReport(
        report.origin, report.size, report.signed_size, report.root, (*report.findings, misplaced)
    )


def _key(pinned: Mapping[str, VerifierKey], origin: str) -> VerifierKey | None:
    if origin in pinned:
        return pinned[origin]
    return next(iter(pinned.values())).named(origin) if len(pinned) == 1 else None


def _gone(origin: str) -> LogReport:
    return LogReport(origin, 0, 0, b"", (Finding(FindingKind.MISPLACED, origin),))
