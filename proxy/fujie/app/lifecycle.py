"""One server from start to end: holds its address, starts its workers, answers probes and scrapes, drains.

This process serves no call itself and loads no engine: one or 64 workers do (`app/worker.py`). Ending, on SIGTERM or
SIGINT: `/readyz` says 503, every worker drains and closes its log, exit 0. SIGHUP reloads the policies of all workers,
SIGUSR2 restarts one worker after the other.

Every task that lives as long as the server is owned here: when one ends by itself, the server ends with 1.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

from fujie.adapters.merged import MergedListener, Series
from fujie.app.address import HeldAddress
from fujie.app.logs import log_event, loop_trouble
from fujie.app.problems import Collector
from fujie.app.settings import Server, Settings, split_address
from fujie.app.supervisor import SCRAPE_S, Supervisor
from fujie.transport.http.health import HealthListener

STOPPED, TASK_DIED = 0, 1


@dataclass(frozen=True, slots=True)
class Orders:
    """What signals ask for."""

    stop: asyncio.Event
    roll: asyncio.Event
    reload: asyncio.Event


def run(settings: Settings) -> int:
    """Serve until told to stop; return the exit code. Raises CannotStart."""
    return asyncio.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        CannotStart: with everything that is wrong.

    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_trouble)
    for setting, is_on in settings.unsafe.items():
        if is_on:
            log_event("unsafe_setting", logging.WARNING, setting=setting)
    orders = Orders(asyncio.Event(), asyncio.Event(), asyncio.Event())
    _on_signals(loop, orders)  # from here on a signal never ends the process half way through something
    async with AsyncExitStack() as open_things:
        supervisor = Supervisor(settings)
        addresses = await _listen(settings.server, supervisor, open_things)
        if not await _started(supervisor, addresses, orders.stop):
            log_event("stopped")
            return STOPPED
        log_event("ready", version=version("fujie"), entries=supervisor.entries, **addresses)
        tasks = {
            asyncio.create_task(supervisor.run(), name="workers"),
            asyncio.create_task(_whenever(orders.reload, supervisor.reload), name="reload"),
            asyncio.create_task(_roll(orders.roll, supervisor), name="roll"),
        }
        code = await _until_stopped(orders.stop, tasks)
        supervisor.is_draining = True
        log_event("draining", seconds=settings.server.drain_seconds)
        await _cancelled(tasks)
        await supervisor.drain(settings.server.drain_seconds)
    log_event("stopped")
    return code


async def _listen(server: Server, supervisor: Supervisor, open_things: AsyncExitStack) -> Mapping[str, str]:
    """Take all addresses and return them with their ports, or say which can not be had."""
    found = Collector()
    addresses: dict[str, str] = {}
    with found.gathering():
        held = HeldAddress(server.listen)
        open_things.callback(held.close)
        addresses["grpc"] = held.text
    if server.public_listen:
        with found.gathering():
            public = HeldAddress(server.public_listen)
            open_things.callback(public.close)
            addresses["public"] = public.text
    if server.console_listen:
        with found.gathering():
            console = HeldAddress(server.console_listen)
            open_things.callback(console.close)
            addresses["console"] = console.text
    with found.gathering():
        health = HealthListener(supervisor.why_not, supervisor.but)
        port = await health.start(*split_address(server.http_listen))
        open_things.push_async_callback(health.stop)
        addresses["http"] = f"{server.http_listen.rpartition(':')[0]}:{port}"
    with found.gathering():
        listener = MergedListener(*split_address(server.metrics_listen), _scraped(supervisor))
        open_things.push_async_callback(asyncio.to_thread, listener.stop)
        addresses["metrics"] = f"{server.metrics_listen.rpartition(':')[0]}:{listener.port}"
    found.finish()
    return addresses


def _scraped(supervisor: Supervisor) -> Callable[[], Series]:
    """Return what a scraping thread calls for the metrics; it waits for the slowest worker, within bounds."""
    loop = asyncio.get_running_loop()

    def scrape() -> Series:
        return asyncio.run_coroutine_threadsafe(supervisor.series(), loop).result(2 * SCRAPE_S)

    return scrape


async def _started(supervisor: Supervisor, addresses: Mapping[str, str], stop: asyncio.Event) -> bool:
    """Start all workers; tell whether nobody asked to end meanwhile: then none is left. Raises CannotStart."""
    held = {"public_listen": addresses.get("public"), "console_listen": addresses.get("console")}
    starting = asyncio.create_task(supervisor.start(addresses["grpc"], held), name="start")
    asked = asyncio.create_task(stop.wait(), name="signal")
    await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not starting.done():
        await _cancelled({starting})
        return False
    await starting
    return True


async def _whenever(asked: asyncio.Event, act: Callable[[], None]) -> None:
    """Act every time it is asked, for ever."""
    while True:
        await asked.wait()
        asked.clear()
        act()


async def _roll(asked: asyncio.Event, supervisor: Supervisor) -> None:
    """Restart the workers every time it is asked, for ever; what is asked meanwhile comes after."""
    while True:
        await asked.wait()
        asked.clear()
        await supervisor.roll()


async def _until_stopped(stop: asyncio.Event, tasks: set[asyncio.Task[None]]) -> int:
    """Wait for the signal; a task of ours that ends before is a fault."""
    asked = asyncio.create_task(stop.wait(), name="signal")
    await asyncio.wait({asked, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    dead = [task for task in tasks if task.done()]
    for task in dead:
        error = task.exception()
        log_event("task_died", logging.CRITICAL, task=task.get_name(), error=type(error).__name__)
    asked.cancel()
    return TASK_DIED if dead else STOPPED


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _on_signals(loop: asyncio.AbstractEventLoop, orders: Orders) -> None:
    def on(number: signal.Signals, asked: asyncio.Event) -> None:
        def received() -> None:
            log_event("signal", signal=number.name)
            asked.set()

        loop.add_signal_handler(number, received)

    on(signal.SIGTERM, orders.stop)
    on(signal.SIGINT, orders.stop)
    on(signal.SIGHUP, orders.reload)
    on(signal.SIGUSR2, orders.roll)
