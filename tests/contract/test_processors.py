"""What every register of processors must do (`ports.processors.ProcessorRegister`)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Connection, text

from fujie.adapters.ledger import SQLLedger
from fujie.model.errors import LedgerError
from fujie.model.page import Slice
from fujie.model.processor import Processor

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FULL = Processor(
    id="aliyun",
    display_name="阿里云计算有限公司",
    agreement="contracts/2026/17",
    valid_from=date(2026, 1, 1),
    valid_until=date(9999, 12, 31),
    filing="沪网信备 2026-17",
    region="CN",
    transfer="",
    contact="clause 12: '; DROP TABLE processor; --",
    ownership="clause 14",
    assessments={"marketing": date(2026, 12, 31), "after_sales": date(1, 1, 1)},
)
BARE = Processor("twilio", "Twilio", "", date(1, 1, 1), date(1, 1, 2), region="US", transfer="SCC")


async def test_a_processor_is_read_by_everybody_as_it_was_written(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = (ledger.processors for ledger in ledgers)
    for processor in (FULL, BARE):
        assert await here.processor(processor.id) is None
        assert await here.upsert_processor(processor, NOW) == processor
        assert await there.processor(processor.id) == processor
    assert await there.processor("ALIYUN") is None


async def test_a_write_replaces_the_whole_record_and_no_other(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    here, there = (ledger.processors for ledger in ledgers)
    for processor in (FULL, BARE):
        await here.upsert_processor(processor, NOW)
    ended = replace(FULL, valid_until=date(2026, 2, 1), filing="", assessments={})
    await there.upsert_processor(ended, NOW + timedelta(days=1))
    assert await here.processor(FULL.id) == ended
    assert await here.processor(BARE.id) == BARE


async def test_processors_come_by_id_and_no_page_repeats_or_hides_any(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = (ledger.processors for ledger in ledgers)
    for n in (3, 1, 4, 0, 2):
        await here.upsert_processor(replace(BARE, id=f"p{n}"), NOW)
    assert (await here.processors(Slice(size=5))).next == ""
    first = await here.processors(Slice(size=2))
    await there.upsert_processor(replace(BARE, id="p00"), NOW)
    await there.upsert_processor(replace(BARE, id="p11"), NOW)
    second = await here.processors(Slice(first.next, 2))
    third = await here.processors(Slice(second.next, 2))
    listed = [each.id for page in (first, second, third) for each in page.rows]
    assert listed == ["p0", "p1", "p11", "p2", "p3", "p4"]


def run(statement: str, connection: Connection) -> None:
    connection.execute(text(statement))


async def test_a_row_that_nobody_of_ours_wrote_is_an_error_and_no_valid_agreement(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    ledger = ledgers[0]
    for damage in ("valid_until = 'for ever'", "assessments = '[]'", "assessments = '{\"marketing\": 1}'"):
        await ledger.processors.upsert_processor(FULL, NOW)
        await ledger.database.write(partial(run, f"UPDATE processor SET {damage}"))
        with pytest.raises(LedgerError):
            await ledger.processors.processor(FULL.id)
