"""The company behind a provider: an agreement counts on its days, and on no other."""

from dataclasses import replace
from datetime import date

import pytest

from fujie.decision.processor import processor_facts
from fujie.model.processor import Processor
from fujie.model.vocabulary import State

SOUND = Processor(
    "sms", "SMS Ltd.", "contract-7", date(2026, 1, 1), date(2027, 1, 1), "filing-1", "SG", "standard contract",
    "contact", "ownership", {"marketing": date(2026, 6, 1)},
)  # fmt: skip


def agreement(processor: Processor | None, today: date, *, is_local: bool = False) -> object:
    return processor_facts(processor, "marketing", today, is_local=is_local)["processor.agreement"]


@pytest.mark.parametrize(
    ("today", "state"),
    [
        (date(2025, 12, 31), State.NONE),
        (date(2026, 1, 1), State.VALID),
        (date(2026, 12, 31), State.VALID),
        (date(2027, 1, 1), State.LAPSED),
    ],
)
def test_an_agreement_is_in_force_from_its_first_day_to_before_its_last(today: date, state: State) -> None:
    assert agreement(SOUND, today) is state


def test_without_a_contract_or_a_register_there_is_no_agreement_and_local_needs_none() -> None:
    today = date(2026, 5, 1)
    assert agreement(replace(SOUND, agreement=""), today) is State.NONE
    assert agreement(None, today) is State.NONE
    assert agreement(None, today, is_local=True) is State.NOT_NEEDED


@pytest.mark.parametrize(
    ("purpose", "today", "state"),
    [
        ("marketing", date(2026, 5, 31), State.VALID),
        ("marketing", date(2026, 6, 1), State.LAPSED),
        ("care", date(2026, 5, 1), State.NONE),
    ],
)
def test_an_assessment_is_for_its_purpose(purpose: str, today: date, state: State) -> None:
    assert processor_facts(SOUND, purpose, today, is_local=False)["processor.assessment"] is state


def test_one_clause_of_the_two_is_not_both() -> None:
    for less in (replace(SOUND, contact=""), replace(SOUND, ownership="")):
        assert (
            processor_facts(less, "marketing", date(2026, 5, 1), is_local=False)["processor.clauses"]
            is False
        )
    found = processor_facts(SOUND, "marketing", date(2026, 5, 1), is_local=False)
    told = [found[f"processor.{name}"] for name in ("clauses", "filed", "region", "transfer")]
    assert told == [True, True, "SG", True]


def test_what_is_not_registered_leaves_no_fact_unknown() -> None:
    """A rule that asks for the agreement first could else never let through what stays on this machine."""
    known = processor_facts(SOUND, "marketing", date(2026, 5, 1), is_local=False).keys()
    for is_local in (False, True):
        assert processor_facts(None, "marketing", date(2026, 5, 1), is_local=is_local).keys() == known
