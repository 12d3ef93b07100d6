"""ProcessorService on the wire."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from fujie.flows.reply import ProcessorReply, ProcessorsReply
from fujie.model.errors import RequestError
from fujie.model.page import Slice
from fujie.model.processor import Processor
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import processor_service_pb2 as processor_v1

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_COUNTRY = re.compile("[A-Z]{2}")


def upserted(request: processor_v1.UpsertProcessorRequest) -> tuple[RequestContext, Processor]:
    """Return the whole record of a processor."""
    given = request.processor
    written = Processor(
        id=text.named(given.id, "processor.id"),
        display_name=text.clean(given.display_name, "processor.display_name", text.IDENTITY),
        agreement=text.clean(given.agreement, "processor.agreement", text.FREE),
        valid_from=_day(given.valid_from, "processor.valid_from"),
        valid_until=_day(given.valid_until, "processor.valid_until"),
        filing=text.clean(given.filing, "processor.filing", text.NAME),
        region=_country(given.region),
        transfer=text.clean(given.transfer, "processor.transfer", text.FREE),
        contact=text.clean(given.contact, "processor.contact", text.FREE),
        ownership=text.clean(given.ownership, "processor.ownership", text.FREE),
        assessments=_assessments(given.assessments),
    )
    if written.valid_until <= written.valid_from:
        raise RequestError("it would never be in force", field="processor.valid_until")
    return parse.context(request.context), written


def asked(request: processor_v1.GetProcessorRequest) -> tuple[RequestContext, str]:
    """Return which processor is meant."""
    return parse.context(request.context), text.named(request.id, "id")


def query(request: processor_v1.ListProcessorsRequest) -> tuple[RequestContext, Slice]:
    """Return which part of the list is asked for."""
    return parse.context(request.context), pages.part(request.page_size, request.page_token)


def told(given: Processor) -> processor_v1.Processor:
    """Return one processor."""
    return processor_v1.Processor(
        id=given.id,
        display_name=given.display_name,
        agreement=given.agreement,
        valid_from=given.valid_from.isoformat(),
        valid_until=given.valid_until.isoformat(),
        filing=given.filing,
        region=given.region,
        transfer=given.transfer,
        contact=given.contact,
        ownership=given.ownership,
        assessments={purpose: until.isoformat() for purpose, until in given.assessments.items()},
    )


def _day(written: str, field: str) -> date:
    if _DAY.fullmatch(text.clean(written, field, text.NAME)):
        try:
            return date.fromisoformat(written)
        except ValueError:
            pass
    raise RequestError("a day is written YYYY-MM-DD", field=field)


def _country(written: str) -> str:
    if not _COUNTRY.fullmatch(text.clean(written, "processor.region", text.NAME)):
        raise RequestError("an ISO 3166 country of two letters", field="processor.region")
    return written


def _assessments(given: Mapping[str, str]) -> Mapping[str, date]:
    field = "processor.assessments"
    if len(given) > text.ITEMS:
        raise RequestError(f"more than {text.ITEMS} purposes", field=field)
    return {text.named(purpose, field): _day(until, field) for purpose, until in given.items()}


def _upsert(reply: ProcessorReply) -> processor_v1.UpsertProcessorResponse:
    return processor_v1.UpsertProcessorResponse(
        processor=told(reply.processor), decision=render.summary(reply.summary)
    )


def _get(reply: ProcessorReply) -> processor_v1.GetProcessorResponse:
    return processor_v1.GetProcessorResponse(
        processor=told(reply.processor), decision=render.summary(reply.summary)
    )


def _list(reply: ProcessorsReply) -> processor_v1.ListProcessorsResponse:
    return processor_v1.ListProcessorsResponse(
        processors=map(told, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


_SERVICE = "fujie.v1.ProcessorService"
_UPSERT = Method(
    _SERVICE,
    "UpsertProcessor",
    Action.PROCESSOR_WRITE,
    processor_v1.UpsertProcessorRequest,
    upserted,
    lambda call, asked: call.front.flows.upsert_processor(call.front.gate, call.caller, *asked),
    _upsert,
)
_GET = Method(
    _SERVICE,
    "GetProcessor",
    Action.PROCESSOR_WRITE,
    processor_v1.GetProcessorRequest,
    asked,
    lambda call, asked: call.front.flows.get_processor(call.front.gate, call.caller, *asked),
    _get,
)
_LIST = Method(
    _SERVICE,
    "ListProcessors",
    Action.PROCESSOR_WRITE,
    processor_v1.ListProcessorsRequest,
    query,
    lambda call, asked: call.front.flows.list_processors(call.front.gate, call.caller, *asked),
    _list,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_UPSERT, _GET, _LIST)
"""The rows of this module."""
