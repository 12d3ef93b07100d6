"""Consent evidence for somebody outside: build, canonical bytes, and what the file proves (docs/consent-evidence.md).

    file = {"evidence": <canonical JSON>, "signature": <signed note over its SHA-256>}

The events, opt-outs and lifts of opt-outs of one customer, the notices in full, and for each record the entry that
admitted it to the ledger, with its inclusion proof (`consent_records` tells how the two name each other).

1. The file has one spelling: canonical JSON (RFC 8785), so that there is no byte that nobody looks at.
2. The signature is by the log's key under the name `<origin>/consent-evidence`.
3. Every notice has the digest of its text; the notice that an event names is there.
4. Every entry is in the log that the checkpoint beside it signs, allows the act, and is bound to its record.
5. Every lift is a later act of the customer on an opt-out that is there.
6. What can not be proven here is named: a record without entry, or whose log was not at hand.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from fujie.audit.canon import canonical, parse
from fujie.audit.checkpoint import VerifierKey, open_attestation
from fujie.audit.consent_records import (
    ACTIONS,
    RecordKey,
    RecordKind,
    content_digest,
    event_content,
    event_facts,
    lift_content,
    lift_facts,
    suppression_content,
    suppression_facts,
    time_text,
)
from fujie.audit.entry import EntryKind, parse_entry
from fujie.audit.errors import AuditError, CheckpointInvalid, EntryInvalid
from fujie.audit.proof import Proof
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, Phone
from fujie.model.notice import PrivacyNotice, digest_of, language_of
from fujie.model.suppression import CONFIRMATION_METHODS, Suppression

FORMAT = "fujie.dev/consent-evidence/v2"
SUBJECT = "consent-evidence"
"""What follows the origin in the name of the key that signs: no checkpoint has such a name."""


class Standing(StrEnum):
    """What a check came to. UNPROVEN contradicts nothing; what would prove it is not in the file."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence about the file, and whether it holds."""

    standing: Standing
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """What an export holds. `customer` is as the asker named it: it ties the sids to a number or customer id.

    `suppressions` are lifted or not. A record whose entry could not be proven is in `unproven`, with the reason.
    """

    origin: str
    decision_id: str
    issued_at: datetime
    controller: str
    customer: CustomerRef
    purpose: str
    sids: tuple[str, ...]
    events: Sequence[ConsentEvent]
    notices: Sequence[PrivacyNotice]
    suppressions: Sequence[Suppression] = ()
    proofs: Mapping[RecordKey, Proof] = field(default_factory=dict)
    unproven: Mapping[RecordKey, str] = field(default_factory=dict)


def build(evidence: Evidence) -> bytes:
    """Return the canonical bytes of the evidence, to be attested. Raises EntryInvalid for a value beyond canon."""
    customer = evidence.customer
    named = (
        {"phone": customer.e164}
        if isinstance(customer, Phone)
        else {"store": customer.store, "customer_id": customer.customer_id}
    )
    notes = sorted({proof.checkpoint for proof in evidence.proofs.values()})
    return canonical(
        {
            "format": FORMAT,
            "origin": evidence.origin,
            "decision_id": evidence.decision_id,
            "issued_at": time_text(evidence.issued_at),
            "controller": evidence.controller,
            "customer": named,
            "purpose": evidence.purpose,
            "sids": list(evidence.sids),
            "events": [event_content(event) for event in evidence.events],
            "suppressions": [suppression_content(each) for each in evidence.suppressions],
            "lifts": [lift_content(each) for each in evidence.suppressions if each.lifted],
            "notices": [
                {
                    "id": notice.id,
                    "version": notice.version,
                    "language": language,
                    "text": text,
                    "digest": digest_of(text),
                }
                for notice in evidence.notices
                for language, text in notice.texts.items()
            ],
            "entries": [
                _entry(key, proof, notes.index(proof.checkpoint)) for key, proof in evidence.proofs.items()
            ],
            "checkpoints": notes,
            "unproven": [
                {"of": kind.value, "record_id": record_id, "why": why}
                for (kind, record_id), why in evidence.unproven.items()
            ],
        }
    )


def signed_file(evidence: bytes, note: str) -> bytes:
    """Return the file: the evidence and the note that attests its SHA-256."""
    return b'{"evidence":' + evidence + b"," + canonical({"signature": note})[1:]


def verify(file: bytes, pinned: Sequence[VerifierKey]) -> tuple[Statement, ...]:
    """Say what the file proves under the pinned keys; never raises on damage, never says nothing.

    A key named like an origin is used for it; a single one of any name lends its public key to all origins.
    """
    try:
        evidence, note = _opened(file)
        return (_signature(evidence, note, pinned), *_statements(evidence, pinned))
    except (AuditError, LookupError, TypeError, ValueError, AttributeError):
        return (Statement(Standing.BROKEN, f"this is no whole file of the format {FORMAT}"),)


def _opened(file: bytes) -> tuple[dict[str, Any], str]:
    parsed: Any = parse(file)
    evidence, note = parsed["evidence"], parsed["signature"]
    if signed_file(canonical(evidence), note) != file or evidence["format"] != FORMAT:
        raise EntryInvalid("another spelling, or another format")
    return evidence, note


def _signature(evidence: Mapping[str, Any], note: str, pinned: Sequence[VerifierKey]) -> Statement:
    origin = evidence["origin"]
    try:
        if open_attestation(note, SUBJECT, _key(pinned, origin)) != content_digest(evidence):
            raise CheckpointInvalid("signed for other evidence")
    except CheckpointInvalid:
        return Statement(Standing.BROKEN, f"the file is not signed by the key of {origin}")
    who = evidence["controller"] or "the controller"
    return Statement(
        Standing.PROVEN,
        f"signed by the key of {origin}: these are the {len(evidence['events'])} events that {who} states for "
        f"this customer at {evidence['issued_at']}, with {len(evidence['suppressions'])} opt-outs, of which "
        f"{len(evidence['lifts'])} were lifted; that nothing was left out rests on its word",
    )


@dataclass(frozen=True, slots=True, repr=False)
class _Record:
    """What is stated, what its entry must say, and its name in a sentence."""

    named: str
    content: Mapping[str, Any]
    facts: Mapping[str, str]


def _statements(evidence: Mapping[str, Any], pinned: Sequence[VerifierKey]) -> Iterator[Statement]:
    notices = {}
    for notice in evidence["notices"]:
        sound = digest_of(notice["text"]) == notice["digest"]
        notices[notice["id"], notice["version"], notice["language"]] = notice["digest"] if sound else ""
        if not sound:
            name = f"{notice['id']} {notice['version']} ({notice['language']})"
            yield Statement(Standing.BROKEN, f"the text of notice {name} has another digest than stated")
    for event in evidence["events"]:
        yield _notice(event, notices)
    yield from _lifts(evidence)
    yield from _admissions(evidence, pinned)


def _lifts(evidence: Mapping[str, Any]) -> Iterator[Statement]:
    """Say what no lift of ours is like, whatever entry it has."""
    given = {each["suppression_id"]: each for each in evidence["suppressions"]}
    for lift in evidence["lifts"]:
        what = given.get(lift["suppression_id"])
        if what is None:
            yield Statement(Standing.BROKEN, f"{_lift_name(lift)}: the opt-out that it lifts was left out")
        elif not what["event_time"] < lift["event_time"] or what["sid"] != lift["sid"]:
            yield Statement(Standing.BROKEN, f"{_lift_name(lift)}: no later act of who opted out")
        elif lift["method"] not in CONFIRMATION_METHODS:
            yield Statement(Standing.BROKEN, f"{_lift_name(lift)}: no act of a customer")


def _admissions(evidence: Mapping[str, Any], pinned: Sequence[VerifierKey]) -> Iterator[Statement]:
    entries: dict[RecordKey, list[Mapping[str, Any]]] = {}
    for entry in evidence["entries"]:
        entries.setdefault((entry["of"], entry["record_id"]), []).append(entry)
    unproven = {(each["of"], each["record_id"]): each["why"] for each in evidence["unproven"]}
    records = _records(evidence)
    if len(records) != sum(len(evidence[kind]) for kind in RecordKind):
        yield Statement(Standing.BROKEN, "a record stands twice")
    for kind, record_id in sorted((entries.keys() | unproven.keys()) - records.keys()):
        text = (
            f"there is an entry, or a reason for none, of {record_id} among the {kind}, which was left out"
        )
        yield Statement(Standing.BROKEN, text)
    for key, record in records.items():
        found = entries.get(key, [])
        if len(found) == 1 and key not in unproven:
            yield _admission(evidence, key[0], record, found[0], pinned)
        elif not found and key in unproven:
            why = f"no proof, {unproven[key]}; it rests on the signature alone"
            yield Statement(Standing.UNPROVEN, f"{record.named}: {why}")
        else:
            yield Statement(Standing.BROKEN, f"{record.named}: neither one entry nor a reason for none")


def _records(evidence: Mapping[str, Any]) -> dict[RecordKey, _Record]:
    found: dict[RecordKey, _Record] = {}
    for event in evidence["events"]:
        found[RecordKind.EVENT, event["record_id"]] = _Record(_named(event), event, event_facts(event))
    opt_outs = {each["suppression_id"]: each for each in evidence["suppressions"]}
    for key, given in opt_outs.items():
        name = _opt_out_name(given)
        found[RecordKind.SUPPRESSION, key] = _Record(name, given, suppression_facts(given))
    for lift in evidence["lifts"]:
        facts = lift_facts(opt_outs.get(lift["suppression_id"], {}), lift)
        found[RecordKind.LIFT, lift["suppression_id"]] = _Record(_lift_name(lift), lift, facts)
    return found


def _notice(event: Mapping[str, Any], notices: Mapping[tuple[str, str, str], str]) -> Statement:
    if not event["notice_id"]:
        standing = Standing.UNPROVEN if event["type"] == "given" else Standing.PROVEN
        return Statement(standing, f"{_named(event)}: rests on no notice")
    language = language_of(event["notice_language"])
    name = f"{event['notice_id']} {event['notice_version']} ({language})"
    digest = notices.get((event["notice_id"], event["notice_version"], language))
    if digest is None:
        return Statement(Standing.UNPROVEN, f"{_named(event)}: the text of notice {name} is not here")
    if digest != event["notice_digest"]:
        return Statement(Standing.BROKEN, f"{_named(event)}: notice {name} has another text here")
    return Statement(
        Standing.PROVEN, f"{_named(event)}: the customer was shown notice {name}, in full here"
    )


def _admission(
    evidence: Mapping[str, Any],
    kind: RecordKind,
    record: _Record,
    entry: Mapping[str, Any],
    pinned: Sequence[VerifierKey],
) -> Statement:
    place = f"entry {entry['index']} of {entry['origin']}"
    try:
        hashes = tuple(_bytes(text) for text in entry["proof"])
        note = evidence["checkpoints"][entry["checkpoint"]]
        proof = Proof(entry["origin"], entry["index"], _bytes(entry["leaf"]), hashes, note)
        size = proof.check(_key(pinned, proof.origin))
        admitted = parse_entry(proof.leaf)
    except AuditError:
        return Statement(Standing.BROKEN, f"{record.named}: {place} is not in a log signed by its key")
    content = record.content
    bound = (
        admitted.kind is EntryKind.ADMISSION
        and admitted.effect == "ALLOW"
        and admitted.action in ACTIONS[kind]
        and admitted.origin == entry["origin"]
        and (admitted.on_behalf_of or admitted.principal) == content["actor"]
        and admitted.time == content["received_at"]
        and content["sid"] in admitted.sids
        and content["sid"] in evidence["sids"]
        and all(admitted.facts.get(name) == value for name, value in record.facts.items())
    )
    if not bound:
        return Statement(
            Standing.BROKEN,
            f"{record.named}: {place} admitted something else, so this was altered or made up",
        )
    return Statement(
        Standing.PROVEN,
        f"{record.named}: admitted at {admitted.time} by {content['actor']}, word for word, as {place}, "
        f"which is in the signed log of {size} entries",
    )


def _named(event: Mapping[str, Any]) -> str:
    return f"{event['type']} {event['purpose']} ({event['channel']}) {event['event_time']}"


def _opt_out_name(given: Mapping[str, Any]) -> str:
    scope = (given["purpose"] or "every purpose", given["channel"], given["brand"])
    return f"opt-out of {', '.join(part for part in scope if part)} {given['event_time']}"


def _lift_name(lift: Mapping[str, Any]) -> str:
    return f"lift of an opt-out by {lift['method']} {lift['event_time']}"


def _entry(key: RecordKey, proof: Proof, checkpoint: int) -> dict[str, object]:
    kind, record_id = key
    return {
        "of": kind.value,
        "record_id": record_id,
        "origin": proof.origin,
        "index": proof.index,
        "leaf": base64.b64encode(proof.leaf).decode(),
        "proof": [base64.b64encode(each).decode() for each in proof.hashes],
        "checkpoint": checkpoint,
    }


def _key(pinned: Sequence[VerifierKey], origin: str) -> VerifierKey:
    for key in pinned:
        if key.name == origin or len(pinned) == 1:
            return key.named(origin)
    raise CheckpointInvalid("no key was pinned for this origin")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise EntryInvalid("not base64") from None
