"""What a reload of many policies does to the calls beside it: `PYTHONPATH=tests python -m bench.reload [GRANTS]`.

One server, two callers in threads of this process. Prints p50, p99 and the longest call before and during
reloads, and calls that failed, of which there must be none. Ends by itself within a minute or so.
"""

import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter
from typing import Self

import grpc

from e2e.server import Server, Site, lookup

RELOADS, CALLERS, QUIET_S = 3, 2, 3.0


class Callers:
    """Calls without pause until told to stop; `took` holds the seconds of each call since it was last cleared."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self.took: list[float] = []
        self.failed = 0
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _call(self) -> None:
        stubs = self._server.connect("agent")
        with stubs.channel:
            while not self._stop.is_set():
                start = perf_counter()
                try:
                    stubs.customers.LookupCustomer(lookup("C00001", "name"), timeout=30)
                except grpc.RpcError:
                    self.failed += 1
                self.took.append(perf_counter() - start)

    def lap(self) -> list[float]:
        """Return what was taken since the last lap, sorted."""
        taken, self.took = self.took, []
        return sorted(taken)


def grants(count: int, generation: int) -> str:
    """Return grants that differ in name, role and condition."""
    return "".join(
        f"---\napiVersion: fujie.dev/v1\nkind: Grant\nmetadata: {{name: g{number}}}\nspec:\n"
        f"  match: {{actions: [lookup], stores: [crm]}}\n  roles: [role{number}]\n  purposes: [after_sales]\n"
        f"  condition: principal.department == 'd{number}-{generation}' || request.has_ticket\n"
        "  fields: {name: reveal}\n"
        for number in range(count)
    )


def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        site = Site.create(Path(scratch) / "site")
        many = site.root / "policies" / "many.yaml"
        many.write_text(grants(count, 0), "utf-8")
        with site.running() as server:
            server.add_principal("agent", "support")
            with Callers(server) as callers:
                _pause(QUIET_S)
                callers.lap()  # the first calls open connections
                _pause(QUIET_S)
                print("| while | calls | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|")
                _row("nothing changes", callers.lap())
                for generation in range(1, RELOADS + 1):
                    new = many.with_suffix(".new")
                    new.write_text(grants(count, generation), "utf-8")
                    new.rename(many)
                    start = perf_counter()
                    server.wait_for("policies_loaded", count=generation + 1)
                    _row(
                        f"{count} grants are reloaded, {perf_counter() - start:.1f} s",
                        callers.lap(),
                    )
            print(f"\nfailed calls: {callers.failed}")
            server.stop()


def _row(name: str, took: list[float]) -> None:
    p50, p99 = (took[int(len(took) * part)] * 1e3 for part in (0.5, 0.99))
    print(f"| {name} | {len(took)} | {p50:.1f} | {p99:.1f} | {took[-1] * 1e3:.1f} |")


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
