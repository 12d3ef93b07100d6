"""Whether the company behind a provider may process customer data for us: PIPL-21, and -38 and -55 for abroad."""

from collections.abc import Mapping
from datetime import date

from fujie.model.facts import AGREEMENT, FactValue
from fujie.model.processor import Processor
from fujie.model.vocabulary import State


def processor_facts(
    processor: Processor | None, purpose: str, today: date, *, is_local: bool
) -> Mapping[str, FactValue]:
    """Return `processor.*` on the day `today` in `policy.zone`.

    Agreement and assessment are over on the day that they run until. None is a company that is not registered:
    it has nothing, and so has what `is_local`, but that needs nothing.
    """
    if processor is None or is_local:
        return {
            AGREEMENT: State.NOT_NEEDED if is_local else State.NONE,
            "processor.filed": False,
            "processor.clauses": False,
            "processor.region": "",
            "processor.transfer": False,
            "processor.assessment": State.NONE,
        }
    return {
        AGREEMENT: _agreement(processor, today),
        "processor.filed": bool(processor.filing),
        "processor.clauses": bool(processor.contact and processor.ownership),
        "processor.region": processor.region,
        "processor.transfer": bool(processor.transfer),
        "processor.assessment": _assessment(processor, purpose, today),
    }


def _agreement(processor: Processor, today: date) -> State:
    if not processor.agreement or today < processor.valid_from:
        return State.NONE
    return State.VALID if today < processor.valid_until else State.LAPSED


def _assessment(processor: Processor, purpose: str, today: date) -> State:
    until = processor.assessments.get(purpose)
    if until is None:
        return State.NONE
    return State.VALID if today < until else State.LAPSED
