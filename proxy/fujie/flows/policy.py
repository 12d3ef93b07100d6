"""The policies in force, and what they would say."""

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.explanation import explanation_of
from fujie.flows.gate import Case, Gate, open_case, principal_of
from fujie.flows.lookup import judge, request_of, seen_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import BundleDocument, BundleReply, ExplainReply, Refusal
from fujie.model.errors import RequestError
from fujie.model.principal import Credential
from fujie.model.request import LookupAsk, Request, RequestContext
from fujie.model.vocabulary import Action, Effect

_TIMEOUT_S = 2.0
"""Store time of an explanation; it is for people, who ask again."""


async def explain(
    gate: Gate, caller: Credential, context: RequestContext, ask: LookupAsk, principal_id: str
) -> ExplainReply | Refusal:
    """Say what a look-up would decide for a principal (the asker when empty), and why. Releases no field.

    Explaining for somebody else is not asking for him. A look-up that is itself on behalf of somebody is
    explained for that principal, as when a trusted workload had asked. Facts that the catalogue marks personal are hidden, whoever asks.
    """
    case = open_case(gate, caller, context, Request(Action.EXPLAIN))

    async def steps(case: Case) -> ExplainReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        delegator = ask.context.on_behalf_of
        if principal_id and delegator and principal_id != delegator:
            raise RequestError("the look-up is on behalf of somebody else", field="principal")
        principal = await principal_of(gate, principal_id or delegator or case.asker)
        if principal is None:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="principal")
        asked = request_of(ask)
        judged = await judge(case, asked, principal, ask, _TIMEOUT_S)
        explanation = await explanation_of(case, seen_of(judged, asked), judged.decision)
        subject = Subject(
            judged.seen.identity.sids if judged.seen.identity else (),
            facts={
                "target.principal": principal.id,
                "target.purpose": asked.purpose if asked.purpose in judged.plan.bundle.purposes else "",
                "target.store": asked.store if asked.store in gate.stores else "",
                "target.fields": tuple(name for name in asked.fields if name in judged.plan.bundle.fields),
            },
        )
        summary = await record(case, EntryKind.DECISION, decision, subject)
        case.watch.stop()
        return ExplainReply(summary, explanation)

    return await guarded(case, steps)


async def get_bundle(gate: Gate, caller: Credential, context: RequestContext) -> BundleReply | Refusal:
    """Return the digest of the bundle in force and the documents that it holds."""
    case = open_case(gate, caller, context, Request(Action.POLICY_READ))

    async def steps(case: Case) -> BundleReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        summary = await record(case, EntryKind.DECISION, decision)
        documents = tuple(
            BundleDocument(document.kind, document.name, document.file)
            for document in case.decider.bundle.documents
        )
        case.watch.stop()
        release = case.decider.bundle.release
        return BundleReply(
            summary, documents, release.revision if release else 0, release.signers if release else ()
        )

    return await guarded(case, steps)
