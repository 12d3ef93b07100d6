"""Structured logs: one JSON object per line on stderr, holding nothing that came from a request.

Our own records are a constant event and fields from a list; what any library logs is reduced to its place
and the type of the exception, since its text may quote a value (promise 9).
"""

import asyncio
import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

OWN = "fujie"

FIELDS = frozenset(
    [
        "grpc",
        "http",
        "public",
        "console",
        "metrics",
        "version",
        "digest",
        "revision",
        "signers",
        "state",
        "setting",
        "attribute",
        "origin",
        "index",
        "entries",
        "connections",
        "torn_bytes",
        "signal",
        "seconds",
        "task",
        "code",
        "key",
        "place",
        "problem",
        "remedy",
        "worker",
        "pid",
        "incident_id",
        "decision_id",
        "action",
        "effect",
        "reasons",
        "shadow_effect",
        "shadow_reasons",
        "fields",
        "method",
        "issuer",
        "error",
    ]
)
"""Names of the fields that a record may hold. `problem` and `remedy` are texts about files of the operator."""

_LOGGER = logging.getLogger(OWN)


class JSONLines(logging.Formatter):
    """One JSON object per record: time, level, worker (in one), event, then fields."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Never holds the text of an exception."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time.replace("+00:00", "Z"), "level": record.levelname.lower()}
        line |= self._worker
        if record.name == OWN:
            line["event"] = record.msg
            line |= {name: value for name, value in vars(record).items() if name in FIELDS}
        else:
            line |= {"event": "library", "logger": record.name, "at": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[0]:
            line |= _raised(record.exc_info[0], record.exc_info[2])
        return json.dumps(line, ensure_ascii=False)


def log_event(event: str, level: int = logging.INFO, /, **fields: str | float) -> None:
    """Log `event` (a constant, snake case) with fields named in `FIELDS`; others are dropped."""
    _LOGGER.log(level, event, extra=fields)


def install(worker: str = "") -> None:
    """Send all logs of this process to stderr as JSON lines, unhandled exceptions of any thread too.

    Every line of a worker names it: the workers of a server share one stderr.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONLines(worker))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _LOGGER.setLevel(logging.INFO)
    sys.excepthook = _unhandled
    threading.excepthook = _thread_died


def loop_trouble(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what an event loop could not deliver: type and place of the exception only."""
    error = context.get("exception")
    log_event("loop_error", logging.ERROR, **(_raised(type(error), error.__traceback__) if error else {}))


def _raised(kind: type[BaseException], trace: TracebackType | None) -> dict[str, str]:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace else ""
    return {"error": kind.__name__, "place": place}


def _unhandled(kind: type[BaseException], _error: BaseException, trace: TracebackType | None) -> None:
    log_event("crashed", logging.CRITICAL, **_raised(kind, trace))


def _thread_died(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else ""
    log_event("thread_died", logging.ERROR, task=name, **_raised(args.exc_type, args.exc_traceback))
