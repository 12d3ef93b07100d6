"""The register of processors: who handles customer data for us, under which agreement."""

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.recipients import sending_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import ProcessorReply, ProcessorsReply, Refusal
from fujie.model.errors import RequestError
from fujie.model.facts import Known
from fujie.model.page import Slice
from fujie.model.principal import Credential
from fujie.model.processor import Processor
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

PROCESSOR_ID = "processor.id"
"""The fact of an entry that names a processor."""


async def upsert_processor(
    gate: Gate, caller: Credential, context: RequestContext, processor: Processor
) -> ProcessorReply | Refusal:
    """Write the whole record of a processor; it holds for the very next message."""
    case = open_case(gate, caller, context, Request(Action.PROCESSOR_WRITE))

    async def steps(case: Case) -> ProcessorReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        register = sending_of(gate).processors
        purposes = case.decider.bundle.purposes
        if any(purpose not in purposes for purpose in processor.assessments):
            raise RequestError(code="UNKNOWN_PURPOSE", field="processor.assessments")
        subject = Subject(facts=_written(processor))
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        written = await register.upsert_processor(processor, case.now)
        await record(case, EntryKind.OUTCOME, decision, subject)
        case.watch.stop()
        return ProcessorReply(summary, written)

    return await guarded(case, steps)


async def get_processor(
    gate: Gate, caller: Credential, context: RequestContext, processor_id: str
) -> ProcessorReply | Refusal:
    """Return a processor as the register holds it now."""
    case = open_case(gate, caller, context, Request(Action.PROCESSOR_WRITE))

    async def steps(case: Case) -> ProcessorReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        found = await sending_of(gate).processors.processor(processor_id)
        if found is None:
            raise RequestError(code="PROCESSOR_NOT_FOUND", field="id")
        subject = Subject(facts={PROCESSOR_ID: found.id})
        summary = await record(case, EntryKind.DECISION, decision, subject)
        case.watch.stop()
        return ProcessorReply(summary, found)

    return await guarded(case, steps)


async def list_processors(
    gate: Gate, caller: Credential, context: RequestContext, part: Slice
) -> ProcessorsReply | Refusal:
    """Return one page of processors; its entry says how many there were."""
    case = open_case(gate, caller, context, Request(Action.PROCESSOR_WRITE))

    async def steps(case: Case) -> ProcessorsReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        query = Query("ListProcessors", ())
        page = await sending_of(gate).processors.processors(opened(query, part))
        summary = await record(case, EntryKind.DECISION, decision, Subject(facts=shown(page)))
        case.watch.stop()
        return ProcessorsReply(summary, sealed(query, page))

    return await guarded(case, steps)


def _written(processor: Processor) -> dict[str, Known]:
    """Return what the log keeps of a record: what decides whether it may be used. The clauses are free text."""
    return {
        PROCESSOR_ID: processor.id,
        "processor.valid_from": processor.valid_from.isoformat(),
        "processor.valid_until": processor.valid_until.isoformat(),
        "processor.region": processor.region,
        "processor.has_agreement": bool(processor.agreement),
        "processor.has_filing": bool(processor.filing),
        "processor.has_clauses": bool(processor.contact and processor.ownership),
        "processor.has_transfer": bool(processor.transfer),
        "processor.assessments": tuple(
            f"{purpose} {until.isoformat()}" for purpose, until in sorted(processor.assessments.items())
        ),
    }
