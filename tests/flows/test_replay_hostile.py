"""A log whose gate wrote what it liked: nothing in it ends a replay, or hides one entry of the others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import TileLog
from fujie.app.policies import read_files
from fujie.app.replay import Question, Tally, Worker, parts_of
from fujie.app.shipped import shipped_policies
from fujie.audit.checkpoint import Signer, origin_of
from fujie.audit.entry import leaf_bytes
from fujie.decision.replay import PEOPLE
from fujie.flows.lookup import lookup
from support.house import House, ask, caller

STRANGE: Sequence[Any] = (
    None, True, -1, 1.5, 1e308, 2**63 - 1, "", "\0", "\U0001f600", "allow", "lookup", "send", "export", [], [[]], [1, "a", None],
    {}, {"": ""}, {"a": 1}, "2026-02-30T00:00:00Z", "2026-03-01", "2026-03-01T00:00:00.000000Z",
    "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
)  # fmt: skip


def strange(leaf: bytes) -> Iterator[bytes]:
    """Yield an entry with each value of its own, and each of its facts, put in all strange ways, or left out."""
    plain = orjson.loads(leaf)
    for value in STRANGE:
        for name in plain:
            yield orjson.dumps({**plain, name: value})
        for path in (*plain["facts"], PEOPLE, "odd"):
            yield orjson.dumps({**plain, "facts": {**plain["facts"], path: value}})
        yield orjson.dumps(value)
    for name in plain:
        yield orjson.dumps({key: value for key, value in plain.items() if key != name})
    yield leaf[:-1]
    yield b"[" * 5_000
    yield b"\xff" + leaf


async def counted(root: Path, leaves: Sequence[bytes]) -> Tally:
    """Return what a replay makes of a log of these entries."""
    seed = b"h" * 32
    log = TileLog(
        open_log(root, Signer(origin_of("hostile", 0), seed)), clock=monotonic, keep=lambda note: None
    )
    for leaf in leaves:
        await log.append(leaf)
    log.close()
    files = read_files([shipped_policies() / "base"])
    worker, tally = Worker(Question((files,), files, "Asia/Shanghai")), Tally()
    for part in parts_of({root / "hostile" / "w0": len(leaves)}):
        tally.add(worker.run(part))
    worker.close()
    return tally


async def test_entries_of_any_shape_are_counted_and_end_no_replay(house: House, tmp_path: Path) -> None:
    await lookup(house.gate, caller("support-agent"), ask("name"), 1.0)
    good = leaf_bytes(house.entries[-1])
    others = list(strange(good))
    alone = await counted(tmp_path / "alone", [good, good])
    among = await counted(tmp_path / "among", [good, *others, good])
    [(row, (many, _))] = alone.rows.items()
    assert many == 2
    assert among.rows[row][0] >= 2
    assert among.unreadable > len(others) / 4
    assert all(type(many) is int for many, _ in among.rows.values())
