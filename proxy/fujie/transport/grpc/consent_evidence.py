"""ExportConsentEvidence on the wire."""

from typing import Any, Final

from fujie.flows.consent import ConsentQuery
from fujie.flows.reply import EvidenceReply
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import consent_service_pb2 as consent_v1


def asked(request: consent_v1.ExportConsentEvidenceRequest) -> ConsentQuery:
    """Return whose evidence is asked for; an empty purpose means every one."""
    return ConsentQuery(
        parse.customer(request.customer),
        parse.context(request.context),
        text.clean(request.purpose, "purpose", text.NAME),
    )


def exported(reply: EvidenceReply) -> consent_v1.ExportConsentEvidenceResponse:
    """Return the signed file."""
    return consent_v1.ExportConsentEvidenceResponse(
        evidence=reply.evidence, decision=render.summary(reply.summary)
    )


_EXPORT = Method(
    "fujie.v1.ConsentService",
    "ExportConsentEvidence",
    Action.CONSENT_READ,
    consent_v1.ExportConsentEvidenceRequest,
    asked,
    lambda call, query: call.front.flows.export_consent_evidence(call.front.gate, call.caller, query),
    exported,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_EXPORT,)
"""The rows of this module."""
