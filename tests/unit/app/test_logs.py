"""Logs: one JSON object per line, and nothing of a request in any of them, whoever logs."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fujie.app import logs

PHONE = "13800138000"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator["Lines"]:
    sink = io.StringIO()
    monkeypatch.setattr(sys, "stderr", sink)
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    before = (root.handlers[:], root.level)
    root.handlers.clear()
    logs.install()
    yield Lines(sink)
    root.handlers[:], level = before
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


class Lines:
    def __init__(self, sink: io.StringIO) -> None:
        self.sink = sink

    @property
    def text(self) -> str:
        return self.sink.getvalue()

    def only(self) -> dict[str, Any]:
        (line,) = self.text.splitlines()
        loaded: dict[str, Any] = json.loads(line)
        return loaded


def fails() -> None:
    raise ValueError(f"no such customer {PHONE}")


def test_an_event_is_one_line_with_its_fields(lines: Lines) -> None:
    logs.log_event("ready", grpc="127.0.0.1:1", version="1\n2")
    line = lines.only()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "event": "ready", "grpc": "127.0.0.1:1", "version": "1\n2"}


def test_a_field_that_is_not_on_the_list_is_dropped(lines: Lines) -> None:
    logs.log_event("ready", phone=PHONE, customer_id="C1")
    assert lines.only().keys() == {"time", "level", "event"}


def test_no_text_of_a_library_is_logged_whatever_it_quotes(lines: Lines) -> None:
    logger = logging.getLogger("some.library")
    try:
        fails()
    except ValueError:
        logger.exception("customer %s failed", PHONE, extra={"problem": PHONE})
    line = lines.only()
    assert PHONE not in lines.text
    assert (line["event"], line["logger"], line["error"]) == ("library", "some.library", "ValueError")
    assert line["place"].startswith(f"{__name__}:")


def test_libraries_that_only_talk_are_silent(lines: Lines) -> None:
    logging.getLogger("alembic.runtime").info("talk")
    assert not lines.text


def test_an_unhandled_exception_is_a_line_without_its_text(lines: Lines) -> None:
    try:
        fails()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert (lines.only()["event"], lines.only()["error"]) == ("crashed", "ValueError")
    assert PHONE not in lines.text


def test_a_thread_that_dies_is_a_line_without_its_text(lines: Lines) -> None:
    thread = threading.Thread(target=fails, name="committer")
    thread.start()
    thread.join()
    line = lines.only()
    assert (line["event"], line["task"], line["error"]) == ("thread_died", "committer", "ValueError")
    assert PHONE not in lines.text


async def test_what_a_loop_could_not_deliver_is_a_line_without_its_text(lines: Lines) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.loop_trouble)
    loop.call_exception_handler({"message": PHONE, "exception": ValueError(PHONE)})
    loop.call_exception_handler({"message": PHONE})
    assert [json.loads(line).get("error") for line in lines.text.splitlines()] == ["ValueError", None]
    assert PHONE not in lines.text
