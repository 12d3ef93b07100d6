"""From the bytes of a bundle file to a bundle in force: who signed, not expired, and compiled to what was signed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fujie.app.policies import compiled
from fujie.app.problems import CannotStart, Problem
from fujie.audit.checkpoint import VerifierKey, endorsers, parse_vkey
from fujie.audit.errors import CheckpointInvalid
from fujie.policy.archive import Archive, ArchiveInvalid, read
from fujie.policy.bundle import Bundle, Release


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count, and how many of them are needed. Names and keys are distinct (`policysection`)."""

    keys: tuple[VerifierKey, ...]
    needed: int = 1

    @classmethod
    def of(cls, vkeys: Sequence[str], needed: int) -> "Trust":
        """Return the trust in public keys given as text. Raises CheckpointInvalid."""
        return cls(tuple(map(parse_vkey, vkeys)), needed)


def parsed(content: bytes, place: str = "") -> Archive:
    """Return the bundle file in `content`, its signatures unseen. Raises CannotStart: BUNDLE_INVALID."""
    try:
        return read(content)
    except ArchiveInvalid as error:
        raise CannotStart([Problem("BUNDLE_INVALID", str(error), place=place)]) from None


def signers_of(archive: Archive, keys: Sequence[VerifierKey]) -> tuple[str, ...]:
    """Return the names of those of `keys` that signed. Raises CannotStart: BUNDLE_SIGNATURE_INVALID."""
    try:
        return tuple(key.name for key in endorsers(archive.note, archive.lines, keys))
    except CheckpointInvalid as error:
        raise CannotStart([Problem("BUNDLE_SIGNATURE_INVALID", str(error))]) from None


def trusted(archive: Archive, trust: Trust, now: datetime) -> Release:
    """Return how a bundle was given out, once enough of the trusted have signed it and it has not expired at `now`.

    Raises:
        CannotStart: BUNDLE_SIGNATURE_INVALID, BUNDLE_SIGNERS_MISSING, BUNDLE_EXPIRED.

    """
    signers = signers_of(archive, trust.keys)
    manifest = archive.manifest
    if len(signers) < trust.needed:
        said = f"{trust.needed} trusted signatures are needed, and it has {len(signers)}"
        remedy = "Have it signed: `fujie policy sign`."
        raise CannotStart([Problem("BUNDLE_SIGNERS_MISSING", said, remedy=remedy)])
    if manifest.expires is not None and manifest.expires <= now:
        said = f"revision {manifest.revision} ended at {manifest.expires.isoformat()}"
        remedy = "Build and sign it anew, with a higher revision."
        raise CannotStart([Problem("BUNDLE_EXPIRED", said, remedy=remedy)])
    return Release(manifest.revision, signers, manifest.expires)


def unpacked(archive: Archive, release: Release) -> Bundle:
    """Return the compiled bundle of a bundle file that may be trusted.

    Raises:
        CannotStart: every problem of its policies, or BUNDLE_DIGEST_DIFFERS: this version reads them differently.

    """
    bundle = compiled(archive.files)
    if bundle.digest != archive.manifest.digest:
        said = "this version of fujie compiles the policies to another digest than was signed"
        remedy = "Build the bundle with the version that serves."
        raise CannotStart([Problem("BUNDLE_DIGEST_DIFFERS", said, remedy=remedy)])
    return replace(bundle, release=release)
