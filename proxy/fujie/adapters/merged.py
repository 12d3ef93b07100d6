"""`/metrics` of a whole server: what its workers count, merged, beside what it knows of them itself.

A worker tells the current values of its series (`Samples`); a series of several workers becomes one by the rule of
its metric in the table. Counters never go down: what a worker had counted when it ended is kept.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fujie.adapters.metrictable import TABLE, Merge, Metric
from fujie.adapters.scrape import ScrapeListener
from fujie.model.errors import StartError

Labels = tuple[tuple[str, str], ...]
Series = Mapping[tuple[str, Labels], float]
"""Value by name of the sample and its labels, in the order of the exposition."""

Samples = list[tuple[str, list[list[str]], float | None]]
"""The same as plain lists, for the line between processes."""

_RULES: Mapping[Merge, Callable[[float, float], float]] = {
    Merge.SUM: lambda one, other: one + other,
    Merge.HIGHEST: max,
    Merge.LOWEST: min,
}


def samples_of(registry: CollectorRegistry) -> Samples:
    """Return the current value of every series. Takes milliseconds: not for the event loop."""
    return [
        (sample.name, [list(label) for label in sample.labels.items()], sample.value)
        for family in registry.collect()
        for sample in family.samples
    ]


class Merged:
    """The metrics of all workers of a server, by slot. Used by one event loop; `total` is a new value."""

    def __init__(self) -> None:
        self._latest: dict[int, Series] = {}
        self._kept: dict[tuple[str, Labels], float] = {}

    def report(self, slot: int, samples: Samples) -> None:
        """Take what the worker of `slot` counts now."""
        self._latest[slot] = {
            (name, tuple((key, value) for key, value in labels)): number
            for name, labels, number in samples
            if name in _ROWS and number is not None  # JSON knows no NaN: it comes as null
        }

    def ended(self, slot: int) -> None:
        """Keep the counters of the worker of `slot`, which is no more, and forget its state."""
        for key, value in self._latest.pop(slot, {}).items():
            if _ROWS[key[0]].kind != "gauge":
                self._kept[key] = self._kept.get(key, 0.0) + value

    def total(self) -> Series:
        """Return every series once."""
        merged: dict[tuple[str, Labels], float] = {}
        # Series that live come first, so that the buckets of a histogram keep their order.
        for series in (*self._latest.values(), self._kept):
            for key, value in series.items():
                known = merged.get(key)
                merged[key] = value if known is None else _RULES[_ROWS[key[0]].merge](known, value)
        return merged


class MergedListener:
    """Serves `/metrics` from threads of its own until `stop`; `collect` is called there, at every scrape.

    Raises StartError: LISTEN_FAILED.
    """

    def __init__(self, host: str, port: int, collect: Callable[[], Series]) -> None:
        registry = CollectorRegistry()
        registry.register(_Families(collect))
        try:
            self._listener = ScrapeListener(host, port, registry)
        except OSError:
            raise StartError("LISTEN_FAILED", f"cannot listen on {host}:{port} for metrics") from None

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._listener.port

    def stop(self) -> None:
        """Stop listening; a scrape that runs ends by itself. Blocks for at most half a second."""
        self._listener.stop()


class _Families(Collector):
    def __init__(self, collect: Callable[[], Series]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Family]:
        """Give the library every row of the table that has a value."""
        families = {row.name: Family(_family(row), row.meaning, row.kind) for row in TABLE}
        for (name, labels), value in self._collect().items():
            families[_ROWS[name].name].add_sample(name, dict(labels), value)
        yield from (family for family in families.values() if family.samples)


def _family(row: Metric) -> str:
    return row.name.removesuffix("_total") if row.kind == "counter" else row.name


def _names(row: Metric) -> tuple[str, ...]:
    if row.kind == "histogram":
        return tuple(f"{row.name}_{part}" for part in ("bucket", "count", "sum"))
    return (row.name,)


_ROWS: Mapping[str, Metric] = {name: row for row in TABLE for name in _names(row)}
"""The row of the table by the name of a sample."""
