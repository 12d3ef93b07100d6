"""The policy bundle as one file: a signed note over a manifest, then the policy files as they are.

    fujie.dev/bundle/v1 LF  manifest as one line of canonical JSON LF  LF     <- the note; what signers sign
    a signature line LF ...                                                   <- C2SP signed note, Ed25519
    LF
    every file of the manifest, one after the other, nothing between and nothing behind

The manifest holds size and SHA-256 of every file, so that a signature covers all of it. There is one spelling only:
what would write out differently from how it was read is refused. Names become no paths anywhere, and are still held
to a form in which they could not leave a directory. Checking signatures is `audit.checkpoint.endorsers`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

MAGIC = "fujie.dev/bundle/v1"

MAX_BYTES = 16 * 1024 * 1024
"""Of a whole bundle: 10,000 grants of 1 KiB fit. A ConfigMap takes 1 MiB."""

MAX_HEAD_BYTES = 1024 * 1024
"""Of manifest and signatures: 4,096 files with names of 100 characters fit."""

MAX_FILES = 4_096
MAX_REVISION = 2**53 - 1
"""What every JSON reader keeps exact."""

MAX_TEXT = 200
"""Characters of each text of the provenance."""

_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
_is_digest = re.compile(r"sha256:[0-9a-f]{64}").fullmatch
_is_name = re.compile(r"(?=.{1,200}\Z)(?:[\w][\w. -]*/)*[\w][\w. -]*\.ya?ml").fullmatch
PROVENANCE = ("branch", "builder", "commit", "state")


class ArchiveInvalid(ValueError):
    """Not a bundle that this version reads, or one that was altered. Its text names no content."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself.

    `digest` is that of the compiled bundle, `revision` (1 to 2^53 - 1) rises with every bundle that is given out,
    `created` and `expires` are instants in UTC to the second, and `provenance` says where it was built: `commit`, `branch`,
    `builder`, and `state` (`modified` when the checkout was not as committed).
    """

    digest: str
    revision: int
    created: datetime
    expires: datetime | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Archive:
    """A bundle file whose form and file digests were checked; whose signatures were NOT.

    `note` is the text that signers sign; `lines` are the signature lines, without LF.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    note: str
    lines: tuple[str, ...] = ()

    @property
    def encoded(self) -> bytes:
        """The bytes of the bundle file; the same for the same policies, manifest and signatures."""
        head = "".join(f"{line}\n" for line in self.lines)
        return b"".join(
            [f"{self.note}\n{head}\n".encode(), *(self.files[name] for name in sorted(self.files))]
        )

    def with_line(self, line: str) -> "Archive":
        """Return the bundle with one more signature line. Their order says nothing, so they are sorted."""
        return Archive(self.manifest, self.files, self.note, tuple(sorted({*self.lines, line})))


def build(manifest: Manifest, files: Mapping[str, bytes]) -> Archive:
    """Return the unsigned bundle of `files` (name to content). Raises ArchiveInvalid when it would not be read again."""
    plain: dict[str, Any] = {
        "created": manifest.created.astimezone(UTC).strftime(_INSTANT),
        "digest": manifest.digest,
        "files": [
            {"name": name, "sha256": sha256(files[name]).hexdigest(), "size": len(files[name])}
            for name in sorted(files)
        ],
        "provenance": dict(manifest.provenance),
        "revision": manifest.revision,
    }
    if manifest.expires is not None:
        plain["expires"] = manifest.expires.astimezone(UTC).strftime(_INSTANT)
    archive = Archive(manifest, dict(files), f"{MAGIC}\n{_canonical(plain)}\n")
    return read(archive.encoded)


def read(content: bytes) -> Archive:
    """Return the bundle of the bytes of a bundle file.

    Raises ArchiveInvalid when anything in it is malformed, too large, or not what the manifest says. Signatures are not looked at.
    """
    if len(content) > MAX_BYTES:
        raise ArchiveInvalid(f"larger than {MAX_BYTES} bytes")
    if not content.startswith(f"{MAGIC}\n".encode()):
        raise ArchiveInvalid(f"it does not begin with {MAGIC}")
    note, head, body = _parts(content)
    encoded = note.split("\n")[1]
    plain = _parsed(encoded)
    files = _files(plain.pop("files", None), body)
    manifest = _manifest(plain)
    lines = tuple(head.split("\n")) if head else ()
    if list(lines) != sorted(set(lines)):
        raise ArchiveInvalid("signature lines stand twice or out of order")
    return Archive(manifest, files, note, lines)


def _parts(content: bytes) -> tuple[str, str, bytes]:
    """Return the note, the signature lines and the files."""
    end = content.find(b"\n\n", 0, MAX_HEAD_BYTES)
    # Without signatures the empty line that ends them follows at once.
    is_unsigned = content[end + 2 : end + 3] == b"\n"
    last = end + 1 if is_unsigned else content.find(b"\n\n", end + 2, MAX_HEAD_BYTES)
    if end < 0 or last < 0:
        raise ArchiveInvalid("manifest and signatures have no end")
    try:
        note, head = content[: end + 1].decode(), content[end + 2 : last].decode()
    except UnicodeDecodeError:
        raise ArchiveInvalid("the manifest or a signature is not UTF-8") from None
    if note.count("\n") != 2:
        raise ArchiveInvalid("the manifest is not one line")
    return note, head, content[last + 2 :]


def _parsed(encoded: str) -> dict[str, Any]:
    try:
        plain = json.loads(encoded)
    except (ValueError, RecursionError):
        plain = None
    # Writing it again finds keys that stand twice, spaces, escapes and numbers that readers might take differently.
    if not isinstance(plain, dict) or _canonical(plain) != encoded:
        raise ArchiveInvalid("the manifest is not canonical JSON")
    return plain


def _canonical(plain: Mapping[str, Any]) -> str:
    try:
        return json.dumps(plain, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise ArchiveInvalid("the manifest can not be written as JSON") from None


def _manifest(plain: Mapping[str, Any]) -> Manifest:
    known = {"created", "digest", "provenance", "revision"}
    if plain.keys() - {"expires"} != known:
        raise ArchiveInvalid(
            f"the manifest holds other keys than {', '.join(sorted(known))}, expires, files"
        )
    digest, revision, provenance = plain["digest"], plain["revision"], plain["provenance"]
    if not isinstance(digest, str) or not _is_digest(digest):
        raise ArchiveInvalid("digest is not sha256:<hex>")
    if type(revision) is not int or not 1 <= revision <= MAX_REVISION:
        raise ArchiveInvalid(f"revision is not a whole number from 1 to {MAX_REVISION}")
    if not isinstance(provenance, dict) or not all(
        name in PROVENANCE and isinstance(text, str) and text.isprintable() and 0 < len(text) <= MAX_TEXT
        for name, text in provenance.items()
    ):
        raise ArchiveInvalid(f"provenance holds short texts only, under {', '.join(PROVENANCE)}")
    expires = _instant(plain["expires"]) if "expires" in plain else None
    return Manifest(digest, revision, _instant(plain["created"]), expires, provenance)


def _instant(text: object) -> datetime:
    try:
        instant = datetime.strptime(str(text), _INSTANT).replace(tzinfo=UTC)
    except ValueError:
        instant = None
    if instant is None or instant.strftime(_INSTANT) != text:
        raise ArchiveInvalid("an instant is not of the form 2026-01-31T23:59:59Z")
    return instant


def _files(listed: object, body: bytes) -> Mapping[str, bytes]:
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_FILES:
        raise ArchiveInvalid(f"the manifest does not list 1 to {MAX_FILES} files")
    files: dict[str, bytes] = {}
    start, before = 0, ""
    for each in listed:
        name, size = _named(each)
        if name <= before:
            raise ArchiveInvalid("files stand twice or out of order")
        content = body[start : start + size]
        if len(content) != size or sha256(content).hexdigest() != each["sha256"]:
            raise ArchiveInvalid(f"the content of {name} is not what the manifest says")
        files[name], start, before = content, start + size, name
    if start != len(body):
        raise ArchiveInvalid("something stands behind the last file")
    return files


def _named(each: object) -> tuple[str, int]:
    if not isinstance(each, dict) or each.keys() != {"name", "sha256", "size"}:
        raise ArchiveInvalid("a file is listed by name, sha256 and size")
    name, size = each["name"], each["size"]
    if not isinstance(name, str) or not _is_name(name):
        raise ArchiveInvalid("a file name is not a plain relative one that ends in .yaml or .yml")
    if type(size) is not int or not 1 <= size <= MAX_BYTES:
        raise ArchiveInvalid("the size of a file is not a positive whole number")
    return name, size
