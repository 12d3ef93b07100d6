"""Policy files to a bundle, or to every problem that they have."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fujie.model.diagnostic import Diagnostic
from fujie.model.facts import BUILT_IN_FACTS, FactType
from fujie.policy.advice import close_to
from fujie.policy.bundle import Bundle, Document, Lexicon
from fujie.policy.catalogue import Catalogue
from fujie.policy.cel import Engine
from fujie.policy.lexicon import read_lexicon
from fujie.policy.messages import Messages
from fujie.policy.notices import Notices
from fujie.policy.params import Params
from fujie.policy.places import Report
from fujie.policy.rules import Read, Rules
from fujie.policy.source import API_VERSION, MAX_BYTES, MAX_FILE_BYTES, documents

KINDS = (
    "Purposes", "FieldCatalog", "Reasons", "Grant", "Guard", "Params", "Notice", "Lexicon", "Sender", "MessageTemplate",
)  # fmt: skip
_TESTS = "PolicyTest"
"""A kind that may stand beside the policies and is no part of them: its spec is not read here."""
TEST_KEYS = frozenset({"now", "principals", "customers", "messages", "processors", "requests", "tests"})
"""What a test has. Anything else, and it is no test: a guard called one would be passed over without a word."""
DOCUMENT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def compile_bundle(files: Mapping[str, bytes]) -> Bundle | tuple[Diagnostic, ...]:
    """Check every document of `files` (name to content) and return the bundle, or ALL problems, sorted by place.

    A bundle is taken whole or not at all. Files that are empty or hold no grant are fine: nothing is open then.
    """
    if (size := sum(len(each) for each in files.values() if len(each) <= MAX_FILE_BYTES)) > MAX_BYTES:
        message = f"{size} bytes; all policy files together have at most {MAX_BYTES}"
        return (
            Diagnostic(max(files, key=lambda file: len(files[file])), 0, 0, "BUNDLE_TOO_LARGE", message),
        )
    report = Report()
    read = [found for file in sorted(files) for found in _documents(file, files[file], report)]
    _refuse_doubles(read, report)
    catalogue = Catalogue(report)
    readers = (
        ("Purposes", catalogue.read_purposes),
        ("FieldCatalog", catalogue.read_classes),
        ("FieldCatalog", catalogue.read_fields),
        ("Reasons", catalogue.read_reasons),
    )
    for kind, reader in readers:
        for document in read:
            if document.kind == kind:
                reader(document.spec)
    params = Params(report)
    for document in read:
        if document.kind == "Params":
            params.read(document.spec)
    rules = Rules(report, catalogue, params, Engine(catalogue.facts))
    grants = [rules.grant(document) for document in read if document.kind == "Grant"]
    guards = [rules.guard(document) for document in read if document.kind == "Guard"]
    params.finish()
    notices, messages = Notices(report, catalogue), Messages(report)
    lexicons = _texts(read, report, notices, messages)
    if report.problems:
        return tuple(sorted(set(report.problems)))
    grants.sort(key=lambda grant: grant.name)
    guards.sort(key=lambda guard: guard.name)
    return Bundle(
        digest=_digest(read),
        purposes=MappingProxyType(catalogue.purposes),
        fields=MappingProxyType(catalogue.fields),
        facts=MappingProxyType(catalogue.facts),
        principal_attributes=_attributes(catalogue, "principal."),
        customer_attributes=_attributes(catalogue, "customer."),
        grants=tuple(grants),
        guards=tuple(guards),
        reasons=MappingProxyType(catalogue.reasons),
        documents=tuple(Document(d.kind, d.name.text, d.name.place.file) for d in read),
        engine=rules.engine,
        notices=MappingProxyType(notices.found),
        timed_grants=tuple(grant for grant in grants if grant.is_timed),
        lexicons=MappingProxyType(dict(sorted(lexicons.items()))),
        senders=MappingProxyType(dict(sorted(messages.senders.items()))),
        templates=MappingProxyType(dict(sorted(messages.templates.items()))),
        capped_guards=tuple(guard for guard in guards if guard.frequency),
    )


def _texts(read: list[Read], report: Report, notices: Notices, messages: Messages) -> dict[str, Lexicon]:
    """Read what people are told and may be told; return the lexicons. Every document is finished then."""
    lexicons: dict[str, Lexicon] = {}
    for document in read:
        if document.kind == "Notice":
            notices.read(document.name, document.spec)
        elif document.kind == "Lexicon":
            lexicons[document.name.text] = read_lexicon(document.name, document.spec, report)
        messages.read(document.kind, document.name, document.spec)
        document.spec.finish()
    messages.finish(notices.found)
    return lexicons


def _attributes(catalogue: Catalogue, root: str) -> Mapping[str, FactType]:
    custom = catalogue.facts.keys() - BUILT_IN_FACTS.keys()
    return MappingProxyType(
        {path.removeprefix(root): catalogue.facts[path] for path in sorted(custom) if path.startswith(root)}
    )


def _documents(file: str, content: bytes, report: Report) -> Iterator[Read]:
    """Yield the documents of one file whose envelope is sound."""
    for document in documents(file, content, report):
        version, kind = document.text("apiVersion"), document.text("kind")
        metadata, spec = document.fields("metadata"), document.fields("spec")
        document.finish()
        name = metadata.text("name") if metadata else None
        if metadata:
            if annotations := metadata.fields("annotations", required=False):
                annotations.each_text()
            metadata.finish()
        if version and version.text != API_VERSION:
            report.problem(version.place, "UNKNOWN_VERSION", f"apiVersion is {API_VERSION}")
        if name and not DOCUMENT_NAME.fullmatch(name.text):
            report.problem(
                name.place,
                "NAME_INVALID",
                f"`{name.text}` is not a name: lower case, digits and hyphens, at most 63",
            )
        if kind and kind.text not in (*KINDS, _TESTS):
            report.problem(
                kind.place,
                "UNKNOWN_KIND",
                f"`{kind.text}` is not a kind{close_to(kind.text, KINDS) or ';'} known: {', '.join((*KINDS, _TESTS))}",
            )
        elif spec and kind and kind.text == _TESTS:
            for key in sorted(set(spec.names) - TEST_KEYS):
                message = f"`{key}` is not known in a {_TESTS}; known: {', '.join(sorted(TEST_KEYS))}"
                report.problem(spec.key_place(key), "UNKNOWN_KEY", message)
        elif kind and name and spec:
            yield Read(kind.text, name, spec, document.plain())


def _digest(read: list[Read]) -> str:
    content = [read.plain for read in sorted(read, key=lambda found: (found.kind, found.name.text))]
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _refuse_doubles(read: list[Read], report: Report) -> None:
    first: dict[tuple[str, str], Read] = {}
    for document in read:
        other = first.setdefault((document.kind, document.name.text), document)
        if other is not document:
            place = f"{other.name.place.file}:{other.name.place.line}"
            report.problem(
                document.name.place,
                "DUPLICATE_NAME",
                f"{document.kind} `{document.name.text}` also stands at {place}",
            )
