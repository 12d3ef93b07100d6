"""The load: our small Go client, built once, on a core of its own unless told otherwise."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS, STREAMS = 4, 16
LOAD_CORES = "1"


@dataclass(frozen=True, slots=True)
class Rate:
    """What one round came to: calls a second, latencies in µs, how many calls ended with which code, and the CPU that the
    load itself took, in seconds."""

    rate: float
    p50_us: float
    p99_us: float
    codes: dict[str, int]
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Calls:
    """What is called: a method, prepared messages, and tokens; each taken in turn."""

    path: str
    bodies: Path
    tokens: Path

    @classmethod
    def written(cls, path: str, bodies: Sequence[bytes], tokens: Sequence[str], scratch: Path) -> "Calls":
        """Write messages and tokens where the load finds them."""
        name = f"{path.rpartition('/')[2]}-{len(bodies)}-{len(tokens)}"
        files = scratch / f"{name}.bodies", scratch / f"{name}.tokens"
        files[0].write_bytes(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
        files[1].write_text("\n".join(tokens))
        return cls(path, *files)


class Load:
    """The built client. Raises SystemExit when Go is missing or a call does not end as it should."""

    def __init__(self, scratch: Path) -> None:
        if not shutil.which("go"):
            raise SystemExit("the load needs Go (https://go.dev) on the PATH")
        self._binary = scratch / "load"
        print("building the load ...", file=sys.stderr)
        subprocess.run(
            ["go", "build", "-o", str(self._binary), "."], cwd=Path(__file__).parent / "load", check=True
        )

    def run(
        self,
        address: str,
        calls: Calls,
        count: int,
        cores: str = LOAD_CORES,
        connections: int = CONNECTIONS,
    ) -> Rate:
        """Make `count` calls; every one must end with OK."""
        command = [
            "taskset", "-c", cores, str(self._binary), "-addr", address, "-path", calls.path,
            "-bodies", str(calls.bodies), "-tokens", str(calls.tokens), "-n", str(count),
            "-c", str(connections), "-m", str(STREAMS),
        ]  # fmt: skip
        before = os.times()
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        rate = Rate(**json.loads(output), cpu_s=cpu_s)
        if rate.codes != {"OK": count}:
            raise SystemExit(f"not every call of {calls.path} ended well: {rate.codes}")
        return rate
