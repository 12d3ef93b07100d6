"""The server owns its tasks: one that ends by itself ends the server, and says so without quoting anything."""

import asyncio

import pytest

from fujie.app.lifecycle import STOPPED, TASK_DIED, _cancelled, _until_stopped


async def for_ever() -> None:
    await asyncio.Event().wait()


async def raises() -> None:
    raise KeyError("13800138000")


async def returns() -> None:
    return


async def test_a_signal_is_the_good_end() -> None:
    stop = asyncio.Event()
    tasks = {asyncio.create_task(for_ever())}
    stop.set()
    assert await _until_stopped(stop, tasks) == STOPPED
    await _cancelled(tasks)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("dies", [raises, returns])
async def test_a_task_that_ends_by_itself_is_a_bad_end(
    dies: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(dies)
    tasks = {asyncio.create_task(for_ever()), asyncio.create_task(dies(), name="dies")}
    assert await _until_stopped(asyncio.Event(), tasks) == TASK_DIED
    await _cancelled(tasks)
    (record,) = (record for record in caplog.records if record.msg == "task_died")
    assert vars(record)["task"] == "dies"
    assert "13800138000" not in str(vars(record))
