"""A process that dies between a key and its frame leaves a key of nothing, and a file that is known to be cut."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from fujie.audit.container import Place, open_part, parts, read_header
from fujie.flows.leasing import chunk_key, keyed_chunk, open_file, seal_rows
from fujie.model.export import Export, ExportState, Format, Lease, Opening
from support.house import House, Shared, opened_house

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
EXPORT = Export(
    id="e" * 32, requester="marketer", caller="marketer", store="crm", purpose="marketing", basis="consent",
    steps={"name": "reveal"}, request_digest="", bundle="", started_at=NOW, format=Format.CSV,
    lease=Lease(expires_at=NOW + timedelta(hours=1), opens_left=2),
)  # fmt: skip


async def dying(root: Path, secret: bytes) -> None:
    """Write one frame, and the key of a second one; then die as by a power cut of the process."""
    async with opened_house(root / "child", root / "crm.db", Shared(url(root), secret, slot=1)) as house:
        gate = house.gate
        await gate.exports.begin_export(EXPORT)
        with (root / "list.fjx").open("wb") as file:
            file.write(open_file(EXPORT))
            for number in range(2):
                key, chunk = keyed_chunk(gate, EXPORT, number, (f"s{number}",))
                await gate.exports.add_chunk(chunk)
                frame = seal_rows(gate, EXPORT, Place(number, 1), key, b"row\r\n")
                if number == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                file.write(frame)
                file.flush()


def url(root: Path) -> str:
    return f"sqlite:///{root / 'ledger.db'}"


async def test_what_left_before_the_kill_opens_and_the_rest_is_known_to_lack(
    house: House, crm: Path, tmp_path: Path
) -> None:
    (tmp_path / "child").mkdir()
    os.link(crm, tmp_path / "crm.db")
    command = [sys.executable, __file__, str(tmp_path), house.seal.secret.hex()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.PIPE)
    _, trouble = await child.communicate()
    assert child.returncode == -signal.SIGKILL, trouble.decode()
    exports, source = house.gate.exports, BytesIO((tmp_path / "list.fjx").read_bytes())
    wrapped = await exports.open_lease(EXPORT.id, Opening("marketer", NOW))
    assert len(wrapped) == 2
    header, read, is_whole = read_header(source.read), list[bytes](), False
    for part in parts(source.read):
        sealed = wrapped[part.place.number]
        assert sealed is not None
        key = chunk_key(house.gate, EXPORT.id, part.place.number, sealed)
        assert key is not None
        read.append(open_part(part, header.digest, key))
        is_whole |= part.place.is_end
    assert (read, is_whole) == ([b"row\r\n"], False)
    known = await exports.export(EXPORT.id)
    assert known is not None
    assert (known.state, known.rows) == (ExportState.RUNNING, 2)
    assert await exports.close_expired(NOW + timedelta(hours=2)) == 1


if __name__ == "__main__":
    asyncio.run(dying(Path(sys.argv[1]), bytes.fromhex(sys.argv[2])))
