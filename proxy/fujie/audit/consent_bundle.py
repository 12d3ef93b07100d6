"""Consent evidence for somebody outside: build, canonical bytes, and what the file proves (docs/consent-evidence.md).

    file = {"evidence": <canonical JSON>, "signature": <signed note over its SHA-256>}

The events of one customer, the notices in full, and for each event the entry that admitted it to the ledger, with
its inclusion proof. The entry names the event by `consent.record_id` and by the digest of everything in it, so
that an event can not be altered, and none invented, after its entry was signed.

1. The file has one spelling: canonical JSON (RFC 8785), so that there is no byte that nobody looks at.
2. The signature is by the log's key under the name `<origin>/consent-evidence`.
3. Every notice has the digest of its text; the notice that an event names is there.
4. Every entry is in the log that the checkpoint beside it signs, allows the act, and is bound to the event.
5. What can not be proven here is named: an event without entry, or whose log was not at hand.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fujie.audit.canon import canonical, parse
from fujie.audit.checkpoint import VerifierKey, open_attestation
from fujie.audit.entry import EntryKind, parse_entry
from fujie.audit.errors import AuditError, CheckpointInvalid, EntryInvalid
from fujie.audit.proof import Proof
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, Phone
from fujie.model.notice import PrivacyNotice, digest_of, language_of
from fujie.model.suppression import Suppression

FORMAT = "fujie.dev/consent-evidence/v1"
SUBJECT = "consent-evidence"
"""What follows the origin in the name of the key that signs: no checkpoint has such a name."""

RECORD_ID, DIGEST = "consent.record_id", "consent.digest"
"""Facts of an admission that bind it to one event."""


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

    `proofs` are by record id; an event whose entry could not be proven is in `unproven`, with the reason.
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
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    unproven: Mapping[str, str] = field(default_factory=dict)
    suppressions: Sequence[Suppression] = ()


def event_content(event: ConsentEvent) -> dict[str, object]:
    """Return everything that an event says, in the form that its digest is taken of."""
    return {
        "record_id": event.record_id,
        "sid": event.sid,
        "schema": event.schema,
        "purpose": event.purpose,
        "channel": event.channel,
        "type": event.type.value,
        "event_time": _time(event.event_time),
        "received_at": _time(event.received_at),
        "valid_until": _time(event.valid_until) if event.valid_until else "",
        "actor": event.actor,
        "explicit": event.explicit,
        "separate": event.separate,
        "notice_id": event.notice.id,
        "notice_version": event.notice.version,
        "notice_language": event.notice.language,
        "notice_digest": event.notice.digest,
        "controller": event.controller,
        "jurisdiction": event.jurisdiction,
        "data_classes": list(event.data_classes),
        "recipients": list(event.recipients),
        "storage_locations": list(event.storage_locations),
        "retention_days": event.retention_days,
        "collection_method": event.collection_method,
        "withdrawal_method": event.withdrawal_method,
        "source": event.source,
        "evidence_ref": event.evidence_ref,
    }


def content_digest(content: Mapping[str, object]) -> str:
    """Return SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(canonical(content)).hexdigest()


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
            "issued_at": _time(evidence.issued_at),
            "controller": evidence.controller,
            "customer": named,
            "purpose": evidence.purpose,
            "sids": list(evidence.sids),
            "events": [event_content(event) for event in evidence.events],
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
                _entry(record_id, proof, notes.index(proof.checkpoint))
                for record_id, proof in evidence.proofs.items()
            ],
            "checkpoints": notes,
            "unproven": [{"record_id": key, "why": why} for key, why in evidence.unproven.items()],
            "suppressions": [_suppression(each) for each in evidence.suppressions],
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
        f"this customer at {evidence['issued_at']}, with {len(evidence['suppressions'])} opt-outs in force, which rest on "
        "its word; that nothing was left out does too",
    )


def _statements(evidence: Mapping[str, Any], pinned: Sequence[VerifierKey]) -> Iterator[Statement]:
    notices = {}
    for notice in evidence["notices"]:
        sound = digest_of(notice["text"]) == notice["digest"]
        notices[notice["id"], notice["version"], notice["language"]] = notice["digest"] if sound else ""
        if not sound:
            name = f"{notice['id']} {notice['version']} ({notice['language']})"
            yield Statement(Standing.BROKEN, f"the text of notice {name} has another digest than stated")
    entries: dict[str, list[Mapping[str, Any]]] = {}
    for entry in evidence["entries"]:
        entries.setdefault(entry["record_id"], []).append(entry)
    unproven = {each["record_id"]: each["why"] for each in evidence["unproven"]}
    events = {event["record_id"]: event for event in evidence["events"]}
    if len(events) != len(evidence["events"]) or not entries.keys() <= events.keys():
        yield Statement(Standing.BROKEN, "a record stands twice, or an entry belongs to no record")
    for record_id, event in events.items():
        yield _notice(event, notices)
        found = entries.get(record_id, [])
        if len(found) == 1 and record_id not in unproven:
            yield _admission(evidence, event, found[0], pinned)
        elif not found and record_id in unproven:
            yield Statement(Standing.UNPROVEN, f"{_named(event)}: no proof, {unproven[record_id]}")
        else:
            yield Statement(Standing.BROKEN, f"{_named(event)}: neither one entry nor a reason for none")


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
    event: Mapping[str, Any],
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
        return Statement(Standing.BROKEN, f"{_named(event)}: {place} is not in a log signed by its key")
    bound = (
        admitted.kind is EntryKind.ADMISSION
        and admitted.effect == "ALLOW"
        and admitted.origin == entry["origin"]
        and (admitted.on_behalf_of or admitted.principal) == event["actor"]
        and event["sid"] in admitted.sids
        and event["sid"] in evidence["sids"]
        and admitted.facts.get(RECORD_ID) == event["record_id"]
        and admitted.facts.get(DIGEST) == content_digest(event)
    )
    if not bound:
        return Statement(Standing.BROKEN, f"{_named(event)}: {place} admitted something else")
    return Statement(
        Standing.PROVEN,
        f"{_named(event)}: admitted at {admitted.time} by {event['actor']}, word for word, as {place}, "
        f"which is in the signed log of {size} entries",
    )


def _suppression(given: Suppression) -> dict[str, object]:
    return {
        "suppression_id": given.suppression_id,
        "sid": given.sid,
        "purpose": given.scope.purpose,
        "channel": given.scope.channel,
        "brand": given.scope.brand,
        "event_time": _time(given.event_time),
        "received_at": _time(given.received_at),
        "actor": given.actor,
        "source": given.source,
        "evidence_ref": given.evidence_ref,
    }


def _named(event: Mapping[str, Any]) -> str:
    return f"{event['type']} {event['purpose']} ({event['channel']}) {event['event_time']}"


def _entry(record_id: str, proof: Proof, checkpoint: int) -> dict[str, object]:
    return {
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


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
