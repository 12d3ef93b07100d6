"""Signed bundles made on the spot: small policies, keys of people who sign, a bundle of a revision."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from fujie.app.policies import compiled
from fujie.audit.checkpoint import Signer
from fujie.policy.archive import Archive, Manifest, build

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BASE = b"""\
apiVersion: fujie.dev/v1
kind: Purposes
metadata: {name: base}
spec:
  purposes:
    - {id: care, label: {zh: "\xe6\x9c\x8d\xe5\x8a\xa1", en: Care}, bases: {contract: {}}}
---
apiVersion: fujie.dev/v1
kind: FieldCatalog
metadata: {name: base}
spec:
  classes: {person_name: {level: 2}}
  fields: {name: {class: person_name}}
"""


def grant(name: str, store: str = "crm") -> bytes:
    """Return a grant of look-ups."""
    return (
        f"apiVersion: fujie.dev/v1\nkind: Grant\nmetadata: {{name: {name}}}\nspec:\n"
        f"  match: {{actions: [lookup], stores: [{store}]}}\n  roles: [support]\n  purposes: [care]\n"
        "  fields: {name: reveal}\n"
    ).encode()


def policies(name: str = "a") -> dict[str, bytes]:
    """Return policy files with one grant called `name`."""
    return {"site/base.yaml": BASE, "site/grants.yaml": grant(name)}


def key(name: str) -> Signer:
    """Return the key of `name`, always the same."""
    return Signer(name, sha256(name.encode()).digest())


ALICE, BOB, EVE = key("alice"), key("bob"), key("eve")


def bundle(
    revision: int = 1,
    files: Mapping[str, bytes] | None = None,
    signers: Sequence[Signer] = (ALICE,),
    expires: datetime | None = None,
) -> Archive:
    """Return a bundle signed by `signers`."""
    files = policies() if files is None else files
    archive = build(Manifest(compiled(files).digest, revision, MADE, expires), files)
    for signer in signers:
        archive = archive.with_line(signer.endorse(archive.note))
    return archive
