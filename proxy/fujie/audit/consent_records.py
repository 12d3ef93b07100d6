"""What the ledger says of a customer, in the form that digests are taken of, and the facts by which entries name it.

An admission names what it lets into the ledger by id and by the digest of everything in it, so that a record can not
be altered, and none invented, after its entry was signed. Who reads the log can try out guesses of what a record says
beyond its entry (a brand, an `evidence_ref`) against the digest: neither may hold personal data.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fujie.audit.canon import canonical
from fujie.model.consent import ConsentEvent
from fujie.model.suppression import Suppression
from fujie.model.vocabulary import Action

RECORD_ID, DIGEST = "consent.record_id", "consent.digest"
"""Facts of an admission that bind it to one consent event."""

SUPPRESSION_ID, SUPPRESSION_DIGEST = "suppression.id", "suppression.digest"
"""Facts of an admission that bind it to one opt-out: to add it, or to lift it."""

CONFIRMATION_DIGEST = "confirmation.digest"
"""Fact of an admission that binds it to the act that lifts an opt-out."""


class RecordKind(StrEnum):
    """What an entry admits to the ledger; the value names the list of an export that holds such records."""

    EVENT = "events"
    SUPPRESSION = "suppressions"
    LIFT = "lifts"


RecordKey = tuple[RecordKind, str]
"""One record: `consent.record_id` or `suppression.id`. An opt-out and its lift share an id."""

ACTIONS: Mapping[RecordKind, frozenset[Action]] = {
    RecordKind.EVENT: frozenset({Action.CONSENT_RECORD, Action.CONSENT_WITHDRAW}),
    RecordKind.SUPPRESSION: frozenset({Action.SUPPRESSION_ADD}),
    RecordKind.LIFT: frozenset({Action.SUPPRESSION_REMOVE}),
}
"""What admits each. An entry that lifts an opt-out names that opt-out too, and must not pass for the one that added it."""


def event_content(event: ConsentEvent) -> dict[str, object]:
    """Return everything that an event says, in the form that its digest is taken of."""
    return {
        "record_id": event.record_id,
        "sid": event.sid,
        "schema": event.schema,
        "purpose": event.purpose,
        "channel": event.channel,
        "type": event.type.value,
        "event_time": time_text(event.event_time),
        "received_at": time_text(event.received_at),
        "valid_until": time_text(event.valid_until) if event.valid_until else "",
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


def suppression_content(given: Suppression) -> dict[str, object]:
    """Return everything that an opt-out says; that it was lifted is a record of its own."""
    return {
        "suppression_id": given.suppression_id,
        "sid": given.sid,
        "purpose": given.scope.purpose,
        "channel": given.scope.channel,
        "brand": given.scope.brand,
        "event_time": time_text(given.event_time),
        "received_at": time_text(given.received_at),
        "actor": given.actor,
        "source": given.source,
        "evidence_ref": given.evidence_ref,
    }


def lift_content(lifted: Suppression) -> dict[str, object]:
    """Return everything that the lift of an opt-out says. ValueError when it was not lifted."""
    if lifted.lifted is None or lifted.lifted_at is None:
        raise ValueError("an opt-out in force has no lift")
    return {
        "suppression_id": lifted.suppression_id,
        "sid": lifted.sid,
        "method": lifted.lifted.method,
        "evidence_ref": lifted.lifted.evidence_ref,
        "event_time": time_text(lifted.lifted.event_time),
        "received_at": time_text(lifted.lifted_at),
        "actor": lifted.lifted_by,
    }


def event_facts(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that bind an admission to an event of this content."""
    return {RECORD_ID: event["record_id"], DIGEST: content_digest(event)}


def suppression_facts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that bind an admission to an opt-out of this content."""
    return {SUPPRESSION_ID: given["suppression_id"], SUPPRESSION_DIGEST: content_digest(given)}


def lift_facts(given: Mapping[str, Any], lift: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that bind an admission to a lift of this content: the opt-out itself is among them."""
    return {
        SUPPRESSION_ID: lift["suppression_id"],
        SUPPRESSION_DIGEST: content_digest(given),
        CONFIRMATION_DIGEST: content_digest(lift),
    }


def content_digest(content: Mapping[str, object]) -> str:
    """Return SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(canonical(content)).hexdigest()


def time_text(when: datetime) -> str:
    """Return a time as entries and exports write it: RFC 3339, UTC, six digits. Sorts like the times do."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
