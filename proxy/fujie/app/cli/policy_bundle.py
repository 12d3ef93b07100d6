"""The commands around signed bundles: keygen, build, sign, verify, diff, push."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from errno import EISDIR
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from fujie.app.cli.offline import listing
from fujie.app.cli.output import Exit, Format, Output, console, fail, show_fields, show_json, visible
from fujie.policy.archive import MAGIC, MAX_BYTES, MAX_REVISION, Archive

Bundle = Annotated[Path, typer.Argument(help="A bundle file.")]
_KEY_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}"
_INSTANTS = ["%Y-%m-%dT%H:%M:%SZ"]
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def policy_keygen(
    name: Annotated[str, typer.Argument(help="Who will sign with it: servers log it, bundles show it.")],
    directory: Annotated[Path, typer.Argument(help="Where <NAME>.key goes; made when missing.")],
    output: Output = Format.TABLE,
) -> None:
    """Make a key that signs bundles, and print its public part for policy.trusted_keys. Never overwrites one."""
    import re

    from fujie.adapters.keyfiles import create_keys, read_key
    from fujie.audit.checkpoint import Signer

    if not re.fullmatch(_KEY_NAME, name):
        fail(Exit.USAGE, "a name has 1 to 64 of A-Z, a-z, 0-9 and _.@-", code="NAME_INVALID", output=output)
    with listing(output):
        (path,) = create_keys(directory, [name])
        show_fields(output, {"file": str(path), "trusted_key": Signer(name, read_key(path)).verifier.vkey})


def policy_build(
    paths: Annotated[list[Path], typer.Argument(help="Files, or directories of *.yaml and *.yml.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle file to write.")],
    revision: Annotated[
        int, typer.Option(min=1, max=MAX_REVISION, help="Above that of every bundle before.")
    ],
    created: Annotated[
        datetime | None,
        typer.Option(formats=_INSTANTS, help="In UTC. Default: SOURCE_DATE_EPOCH, or the commit's time."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=_INSTANTS, help="In UTC: from then on gates refuse everything."),
    ] = None,
    builder: Annotated[str, typer.Option(help="Who or what built it, for the manifest.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Check policies and write them as one unsigned bundle; the same inputs give the same bytes. Tests stay out."""
    from fujie.app.bundling import Wanted, built

    made = _utc(created) or _source_date(output)
    with listing(output):
        archive = built(paths, Wanted(revision, made, _utc(expires), builder))
        _write(out, archive.encoded, output)
        show_fields(output, {"bundle": str(out), **_described(archive)})


def policy_sign(
    bundle: Bundle,
    key: Annotated[
        Path | None, typer.Option(help="File of `fujie policy keygen` or `fujie keys init`.")
    ] = None,
    signer: Annotated[
        str,
        typer.Option(
            help="Instead of --key, a command that signs, of a KMS say: the message on its standard input, and in the file `{}`;"
            " the signature on its standard output, raw or in base64."
        ),
    ] = "",
    public_key: Annotated[
        Path | None, typer.Option(help="With --signer: the Ed25519 key that it signs with, in PEM.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the key. Default: that of the file.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Add a signature to a bundle, in place. What is signed is printed: look at it first with `verify` and `diff`."""
    from fujie.app.signedbundle import parsed
    from fujie.audit.errors import CheckpointInvalid

    if (key is None) == (not signer) or (public_key is None) != (not signer):
        said = "--key is meant, or --signer together with --public-key"
        fail(Exit.USAGE, said, code="KEY_NEEDED", output=output)
    with listing(output):
        archive = parsed(_content(bundle, output), str(bundle))
        try:
            by, line = _endorsed(archive.note, key, signer, public_key, name)
        except CheckpointInvalid as error:
            fail(Exit.USAGE, str(error), code="NAME_INVALID", output=output)
        signed = archive.with_line(line)
        _write(bundle, signed.encoded, output)
        described = {**_described(signed), "signatures": len(signed.lines), "key": by}
        show_fields(output, {"bundle": str(bundle), **described})


def _endorsed(note: str, key: Path | None, command: str, public: Path | None, name: str) -> tuple[str, str]:
    """Return the public key and the signature line of a key in a file, or of one that a command signs with."""
    from fujie.adapters.keyfiles import read_key
    from fujie.app.problems import CannotStart, Problem
    from fujie.audit.checkpoint import Signer, VerifierKey, endorsement, parse_vkey
    from fujie.audit.errors import CheckpointInvalid

    if key is not None:
        remedy = "Give the file of a key that servers trust; `fujie policy keygen` makes one."
        signer = Signer(name or key.stem, read_key(key, remedy))
        return signer.verifier.vkey, signer.endorse(note)
    from fujie.adapters.keycommand import read_public_key, sign_by

    assert public is not None
    verifier = parse_vkey(VerifierKey(name or public.stem, read_public_key(public)).vkey)
    signature = sign_by(command, note.encode())
    try:
        return verifier.vkey, endorsement(note, verifier, signature)
    except CheckpointInvalid as error:
        remedy = "Give the --public-key of the key that --signer signs with."
        raise CannotStart([Problem("SIGNATURE_INVALID", str(error), remedy=remedy)]) from None


def policy_verify(
    bundle: Bundle,
    trusted_key: Annotated[list[str], typer.Option(help="Public key that counts; repeatable.")],
    signatures: Annotated[int, typer.Option(min=1, max=64, help="How many of them must have signed.")] = 1,
    output: Output = Format.TABLE,
) -> None:
    """Check a bundle as a server would: form, signatures, end, policies, digest. Exit code 5 when it would be refused."""
    from fujie.app.signedbundle import Trust, parsed, trusted, unpacked
    from fujie.audit.errors import CheckpointInvalid

    try:
        trust = Trust.of(sorted(set(trusted_key)), signatures)
    except CheckpointInvalid as error:
        fail(Exit.USAGE, str(error), code="KEY_INVALID", output=output)
    keys = trust.keys
    if len({key.public for key in keys}) != len(keys) or len({key.name for key in keys}) != len(keys):
        said = "two of the trusted keys share a key or a name: one person could sign twice"
        fail(Exit.USAGE, said, code="KEY_TWICE", output=output)
    with listing(output):
        archive = parsed(_content(bundle, output), str(bundle))
        release = trusted(archive, trust, datetime.now(UTC))
        unpacked(archive, release)
        show_fields(
            output, {"bundle": str(bundle), **_described(archive), "signers": list(release.signers)}
        )


def policy_diff(
    before: Annotated[Path, typer.Argument(help="A bundle, a policy file or a directory of them.")],
    after: Annotated[Path, typer.Argument(help="The same.")],
    output: Output = Format.TABLE,
) -> None:
    """Show which documents differ, whatever files they stand in. Signatures and tests are not looked at."""
    from fujie.app.policydiff import changes

    with listing(output):
        found = list(changes(_policies(before, output), _policies(after, output)))
    if output is Format.JSON:
        show_json({"changes": [{**asdict(each)} for each in found]})
        return
    talk = console()
    for each in found:
        talk.print(Text(f"{each.what} {each.kind}/{each.name}", style="bold"))
        for line in each.diff.splitlines()[2:]:
            talk.print(Text(visible(line), style=_COLOURS.get(line[:1], "")))
    talk.print(
        f"{len(found)} document{'' if len(found) == 1 else 's'} differ{'s' if len(found) == 1 else ''}"
    )


def policy_push(
    bundle: Bundle,
    url: Annotated[str, typer.Argument(help="https address that servers follow as policy.url.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File with the bearer token, in one line.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Put a bundle at an address, unless a newer one, or another of its revision, is there. Needs strong ETags there."""
    from fujie.app.bundlepush import Place, push
    from fujie.app.section import is_safe_web_address
    from fujie.app.signedbundle import parsed

    if not is_safe_web_address(url):
        said = "an https address is meant, http for this machine only, without user and fragment"
        fail(Exit.USAGE, said, code="URL_INVALID", output=output)
    with listing(output):
        archive = parsed(_content(bundle, output), str(bundle))
        is_new = push(archive, Place(url, token_file))
        show_fields(output, {"bundle": str(bundle), **_described(archive), "changed": is_new})


def _described(archive: Archive) -> dict[str, Any]:
    manifest = archive.manifest
    described = {
        "revision": manifest.revision,
        "digest": manifest.digest,
        "created": manifest.created.isoformat(),
        "files": len(archive.files),
        "provenance": dict(manifest.provenance),
    }
    return described | ({"expires": manifest.expires.isoformat()} if manifest.expires else {})


def _policies(path: Path, output: Format) -> Any:
    from fujie.app.policies import read_files
    from fujie.app.signedbundle import parsed

    try:
        is_file = path.is_file()
    except OSError:  # a name too long, a directory that nobody may search: the reader says so
        is_file = False
    if is_file:
        content = _content(path, output)
        if content.startswith(MAGIC.encode()):
            return parsed(content, str(path)).files
    return read_files([path])


def _content(path: Path, output: Format) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        fail(Exit.NOT_FOUND, f"{path}: {error.strerror}", code="UNREADABLE", output=output)


def _write(path: Path, content: bytes, output: Format) -> None:
    """Write the whole file or none of it: a server may be reading it."""
    try:
        if path.is_dir():  # `.` and `/` too, which have no name
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(content)
        new.replace(path)
    except OSError as error:
        fail(Exit.ERROR, f"{path}: {error.strerror}", code="UNWRITABLE", output=output)


def _utc(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant else None


def _source_date(output: Format) -> datetime | None:
    """Return what SOURCE_DATE_EPOCH says (reproducible-builds.org); None when it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        fail(Exit.USAGE, "seconds since 1970 are meant", code="SOURCE_DATE_EPOCH", output=output)
