"""A process that dies at a chosen moment: before or after one of its calls of a port."""

import inspect
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fujie.flows.dispatch import dispatch
from fujie.flows.gate import Gate
from support.sending import leases


class Died(BaseException):
    """The process is no more. Not an Exception: nothing may catch it."""


class Fuse:
    """Dies at the moment `at`, counted from 0, and at every later one: a dead process calls nothing any more."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.passed: list[str] = []

    def pass_by(self, moment: str) -> None:
        if self.at is not None and len(self.passed) >= self.at:
            raise Died
        self.passed.append(moment)


class Fragile:
    """Stands before a port and burns the fuse around each of its asynchronous calls."""

    def __init__(self, inner: Any, fuse: Fuse, name: str) -> None:
        self._inner, self._fuse, self._name = inner, fuse, name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._inner, attribute)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **more: Any) -> Any:
            self._fuse.pass_by(f"before {self._name}.{attribute}")
            result = await value(*args, **more)
            self._fuse.pass_by(f"after {self._name}.{attribute}")
            return result

        return call


def fragile(gate: Gate, fuse: Fuse) -> Gate:
    """Return the gate of a process that dies when the fuse says."""
    assert gate.sending is not None
    ports: Any = {
        "ledger": Fragile(gate.ledger, fuse, "ledger"),
        "log": Fragile(gate.log, fuse, "log"),
        "directory": Fragile(gate.directory, fuse, "directory"),
        "exports": Fragile(gate.exports, fuse, "exports"),
        "notifications": Fragile(gate.notifications, fuse, "notifications"),
        "stores": {name: Fragile(store, fuse, "store") for name, store in gate.stores.items()},
    }
    providers: Any = {
        name: Fragile(each, fuse, "provider") for name, each in gate.sending.providers.items()
    }
    outbox: Any = Fragile(gate.sending.outbox, fuse, "outbox")
    sending = replace(gate.sending, outbox=outbox, providers=providers)
    return replace(gate, sending=sending, **ports)


async def work_until_dead(gate: Gate, fuse: Fuse) -> None:
    """Send what waits as a process that dies when the fuse says."""
    fragile_gate = fragile(gate, fuse)
    with suppress(Died):
        async for lease in leases(fragile_gate):
            await dispatch(fragile_gate, lease)
