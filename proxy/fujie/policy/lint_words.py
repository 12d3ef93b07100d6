"""Findings about words: what is defined and used nowhere, what is used and defined nowhere."""

from collections.abc import Collection, Iterator

from fujie.model.data_class import DataClass
from fujie.model.facts import BUILT_IN_FACTS, OWN
from fujie.model.limit import Limit
from fujie.model.phone import COUNTRIES
from fujie.model.vocabulary import ADMINISTRATOR, Action, Basis, KeyKind
from fujie.policy.bundle import Bundle, Severity
from fujie.policy.lint_finding import Found
from fujie.policy.lint_sheet import Sheet
from fujie.policy.lint_subject import Subject
from fujie.policy.lint_tree import mentions
from fujie.policy.places import Place

Marks = Iterator[tuple[Sheet, Found]]


def unused(subject: Subject) -> Marks:
    """Find purposes, fields, classes, attributes and reasons that no rule uses."""
    bundle = subject.bundle
    opened_for = {name for grant in bundle.grants for name in grant.match.purposes}
    yield from _unused(subject, "Purposes", "PURPOSE_UNUSED", "purpose", opened_for)
    opened = {name for grant in bundle.grants for name in grant.fields}
    closed = {name for guard in bundle.guards for name in guard.fields}
    yield from _unused(subject, "FieldCatalog", "FIELD_UNUSED", "field", opened | closed | _said(subject))
    classes = {str(field.data_class) for field in bundle.fields.values()}
    yield from _unused(subject, "FieldCatalog", "CLASS_UNUSED", "class", classes)
    reads = {path for written in subject.rules() for path in written.rule.reads}
    yield from _unused(subject, "FieldCatalog", "ATTRIBUTE_UNUSED", "attribute", reads)
    codes = {validation.hit.code for guard in bundle.guards for validation in guard.validations}
    yield from _unused(subject, "Reasons", "REASON_UNUSED", "reason", codes)


def _said(subject: Subject) -> set[str]:
    """Return the names of fields that expressions mention."""
    return {
        word
        for written in subject.rules()
        if "request.fields" in written.rule.reads
        for path, word in mentions(subject.tree(written.rule))
        if path == "request.fields"
    }


def _unused(subject: Subject, kind: str, code: str, what: str, used: Collection[str]) -> Marks:
    for sheet in subject.of_kind(kind):
        for name, place in _defined(sheet, what):
            if name not in used:
                yield (
                    sheet,
                    Found(
                        code,
                        place,
                        f"no {'grant' if what == 'purpose' else 'rule'} uses the {what} `{name}`",
                    ),
                )


def _defined(sheet: Sheet, what: str) -> Iterator[tuple[str, Place]]:
    match what:
        case "purpose":
            yield from ((name.text, name.place) for name, _ in sheet.entries("purposes", "id"))
        case "reason":
            yield from ((name.text, name.place) for name, _ in sheet.entries("reasons", "code"))
        case "attribute":
            for root in ("customer", "principal"):
                names = sheet.keys("attributes", root)
                yield from ((f"{root}.{name}", place) for name, place in names.items())
        case "class":
            yield from sheet.keys("classes").items()
        case _:
            yield from sheet.keys("fields").items()


def unknown(subject: Subject) -> Marks:
    """Find literals that a fact of a closed vocabulary never has: mostly slips of the pen."""
    known = _vocabularies(subject.bundle)
    for written in subject.rules():
        if known.keys() & written.rule.reads:
            for path, word in dict.fromkeys(mentions(subject.tree(written.rule))):
                if word and path in known and word not in known[path]:
                    message = f"`{path}` never holds '{word}'"
                    yield written.sheet, Found("WORD_UNKNOWN", written.place, message)


def _vocabularies(bundle: Bundle) -> dict[str, Collection[str]]:
    limited = [
        rule.counted_as
        for rules in (bundle.grants, bundle.guards)
        for rule in rules
        if rule.limits.keys() - {Limit.ROWS_PER_REQUEST}
    ]
    found: dict[str, Collection[str]] = {
        "request.action": frozenset(Action),
        "request.purpose": bundle.purposes.keys(),
        "request.basis": frozenset(Basis),
        "request.key": frozenset(KeyKind),
        "request.fields": bundle.fields.keys(),
        "principal.roles": _roles(bundle),
        "limits.exhausted": frozenset(limited),
        "message.findings": _categories(bundle, Severity.DENY),
        "message.concerns": _categories(bundle, Severity.WARN),
        "message.personal_data": frozenset(DataClass),
        "recipient.country": COUNTRIES,
        "processor.region": COUNTRIES,
    }
    return {path: words for path, words in found.items() if path in BUILT_IN_FACTS}


def _categories(bundle: Bundle, severity: Severity) -> frozenset[str]:
    """Return the categories of what the lexicons of a severity can find."""
    return frozenset(each.category for each in bundle.lexicons.values() if each.severity is severity)


def unlooked(subject: Subject) -> Marks:
    """Find rules that read what lexicons find while there are none: nothing would ever be found."""
    for path, severity in (("message.findings", Severity.DENY), ("message.concerns", Severity.WARN)):
        if _categories(subject.bundle, severity):
            continue
        for written in subject.rules():
            if path in written.rule.reads:
                message = f"it reads `{path}`, and no Lexicon has the severity {severity}"
                yield written.sheet, Found("LEXICON_MISSING", written.place, message)


def _roles(bundle: Bundle) -> frozenset[str]:
    """Return the roles that grants and approvals name. The directory may hold others, which mean nothing here."""
    asked = (v.approval.roles for guard in bundle.guards for v in guard.validations if v.approval)
    return frozenset({ADMINISTRATOR}).union(*(grant.roles for grant in bundle.grants), *asked)


def approvers(subject: Subject) -> Marks:
    """Find approvals that are asked of roles that no grant lets decide."""
    deciding = {
        role
        for grant in subject.bundle.grants
        if Action.APPROVAL_DECIDE in grant.match.actions
        and not (grant.condition and grant.condition.expanded.strip() == OWN)
        for role in grant.roles
    }
    for sheet, guard in subject.guards():
        places = {name.text: name.place for name, _ in sheet.entries("validations", "name")}
        for validation in guard.validations:
            for role in validation.approval.roles if validation.approval else ():
                if role not in deciding:
                    message = f"no grant lets `{role}` decide on approvals"
                    yield sheet, Found("APPROVER_WITHOUT_GRANT", places[validation.name], message)
