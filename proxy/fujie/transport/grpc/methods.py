"""Every method that the server has: the rows of all services, collected."""

from typing import Any, Final

from fujie.transport.grpc import (
    approvals,
    campaigns,
    consent_evidence,
    consent_import,
    corrections,
    export_service,
    exports,
    lists,
    lookups,
    messages,
    offboarding,
    processors,
    replies,
    services,
    subject_requests,
    suppressions,
)
from fujie.transport.grpc.services import Method
from fujie.transport.grpc.streams import Stream

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (
    *services.METHODS,
    *lookups.METHODS,
    *consent_evidence.METHODS,
    *suppressions.METHODS,
    *corrections.METHODS,
    *lists.METHODS,
    *approvals.METHODS,
    *messages.METHODS,
    *campaigns.METHODS,
    *processors.METHODS,
    *subject_requests.METHODS,
    *replies.METHODS,
    *export_service.METHODS,
    *offboarding.METHODS,
)
"""Each row is checked by its own types where it stands; this tuple only collects."""

STREAMS: Final[tuple[Stream[Any, Any, Any, Any], ...]] = (
    *campaigns.STREAMS,
    *consent_import.STREAMS,
    *exports.STREAMS,
    *export_service.STREAMS,
)
"""Likewise, of the methods with a stream."""
