"""Policy documents as they are written, for the lint: a bundle no longer knows where each name stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fujie.policy.places import Located, Place, Report
from fujie.policy.source import Fields, documents

IGNORE = "lint.fujie.dev/ignore"
"""The annotation that silences findings of its document: `CODE: reason; CODE2: reason`."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One document. `silence` is the text of its annotation, None without one."""

    kind: str
    name: Located
    spec: Fields
    silence: Located | None

    @property
    def title(self) -> str:
        """Kind and name, as a finding shows them."""
        return f"{self.kind} {self.name.text}"

    def entries(self, key: str, name: str) -> Iterator[tuple[Located, Fields]]:
        """Yield every entry of a list of mappings with the text that names it."""
        for entry in self.spec.list_of_fields(key):
            if named := entry.text(name, required=False):
                yield named, entry

    def keys(self, *path: str) -> Mapping[str, Place]:
        """Return the keys of a mapping below the spec, with their places."""
        owner: Fields | None = self.spec
        for key in path:
            owner = owner.fields(key, required=False) if owner else None
        return {name: owner.key_place(name) for name in owner.names} if owner else {}


def read_sheets(files: Mapping[str, bytes], report: Report) -> tuple[Sheet, ...]:
    """Return the documents of files that compiled, in order of file and place."""
    return tuple(
        sheet
        for file in sorted(files)
        for document in documents(file, files[file], report)
        if (sheet := _sheet(document))
    )


def _sheet(document: Fields) -> Sheet | None:
    kind, metadata, spec = document.text("kind"), document.fields("metadata"), document.fields("spec")
    name = metadata.text("name") if metadata else None
    annotations = metadata.fields("annotations", required=False) if metadata else None
    if not kind or not name or not spec:
        return None
    return Sheet(kind.text, name, spec, annotations.text(IGNORE, required=False) if annotations else None)
