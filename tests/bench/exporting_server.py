"""The server of `bench.exporting`: the real gate behind the real gRPC server, in one process, and beside its methods `Raw`.

`Raw` answers the request of an export with the same rows and columns of the same store as they are, in chunks of the same
size through the same transport: who calls is authenticated, and then nothing is decided, masked, counted or written down.

Run as `python -m bench.exporting_server CONFIG [PROFILE]`; prints a line when it serves. With PROFILE, SIGUSR1 begins a
profile of its main thread, and the next one writes it there.
"""

import asyncio
import cProfile
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop

from fujie.adapters.clock import SystemClock
from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.collecting import keep_what_is_loaded
from fujie.app.settings import load_settings
from fujie.app.wire import Assignment, open_gate
from fujie.flows.export_file import lines, opening
from fujie.flows.export_reply import ExportPart
from fujie.flows.reply import Summary
from fujie.model.export import CHUNK
from fujie.model.record import open_for_masking
from fujie.model.request import ExportAsk
from fujie.model.vocabulary import Action, Effect
from fujie.ports.stores import Scan
from fujie.transport.grpc import server
from fujie.transport.grpc.edge import Edge
from fujie.transport.grpc.exports import exported, told
from fujie.transport.grpc.services import Call
from fujie.transport.grpc.streams import Stream
from fujie.v1 import customer_data_service_pb2 as customer_v1

SERVICE, METHOD = "bench.Raw", "Export"


async def _raw(call: Call, asked: ExportAsk, _: Any) -> AsyncIterator[ExportPart]:
    summary = Summary("", Effect.ALLOW, "")
    yield ExportPart(summary, 0, opening(asked.format, asked.fields), 0, "")
    store, number = call.front.gate.stores[asked.store], 0
    scan = store.scan(Scan(frozenset(asked.fields), store.attributes, size=CHUNK), call.timeout_s)
    async with scan as batches:
        async for batch in batches:
            rows: list[Any] = [open_for_masking(row.record) for row in batch]
            columns = [[row[name] for row in rows] for name in asked.fields]
            yield ExportPart(summary, number, lines(asked.format, asked.fields, columns), len(rows), "")
            number += 1


RAW: Stream[Any, Any, Any, Any] = Stream(
    SERVICE,
    METHOD,
    Action.EXPORT,
    customer_v1.ExportCustomersRequest,
    exported,
    None,
    frozenset(),
    _raw,
    told,
)


async def _serve(config: Path, profile: str) -> None:
    settings = load_settings(config, os.environ)
    gate = await open_gate(settings, PrometheusMetrics("bench", "bench"), SystemClock(), Assignment(0))
    server.STREAMS = (*server.STREAMS, RAW)  # type: ignore[attr-defined]  # one method more than is shipped
    listen = server.Listen(settings.server.listen, connection_age_s=3_600)
    built = await server.build_server(gate.front, Edge(gate.front.gate.ids, print), listen)
    await built.server.start()
    keeper = asyncio.create_task(gate.keeper.run())
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    if profile:
        loop.add_signal_handler(signal.SIGUSR1, _Profile(profile))
    keep_what_is_loaded()  # as a worker does
    print("ready", flush=True)
    await ended.wait()
    keeper.cancel()
    await built.server.stop(1)
    await gate.close()


class _Profile:
    """What begins at the first call, and is written at the second."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._profile = cProfile.Profile()
        self._is_on = False

    def __call__(self) -> None:
        self._is_on = not self._is_on
        if self._is_on:
            self._profile.enable()
        else:
            self._profile.disable()
            self._profile.dump_stats(self._path)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
    os._exit(0)  # as a worker does
