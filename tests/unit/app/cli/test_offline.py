"""The commands that work on files: what they print for people and for programs, and how they end."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from e2e.server import POLICY
from fujie.adapters.keyfiles import read_key
from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import TileLog
from fujie.app.cli import build
from fujie.app.cli.offline import KEYS
from fujie.audit.checkpoint import Signer

KEY = {"id": "k1", "file": "x.key"}
CONFIG: dict[str, Any] = {
    "identity": {"issuers": [{"iss": "i", "aud": "a", "algs": ["ES256"], "jwks": "j.json"}]},
    "keys": dict.fromkeys(("ledger_index", "token", "seal", "log"), KEY),
    "ledger": {"url": "postgresql://fujie:hunter2@db/fujie?sslpassword=hunter3"},
    "audit": {"dir": "log", "instance": "a"},
    "policy": {"paths": ["policies"]},
}


@dataclass
class Ended:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def fujie(*arguments: str | Path, env: dict[str, str] | None = None) -> Ended:
    done = CliRunner().invoke(build(), [str(each) for each in arguments], env=env)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fujie.yaml"
    path.write_text(yaml.safe_dump(CONFIG), "utf-8")
    return path


# fujie itself.


def test_version_is_printed_without_loading_a_server() -> None:
    code = "import sys; sys.argv = ['fujie', '--version']\nfrom fujie.__main__ import main\n"
    code += (
        "try: main()\nexcept SystemExit: print(sorted({'grpc', 'sqlalchemy', 'pydantic'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[0].startswith("fujie 0.")
    assert done.stdout.splitlines()[1] == "[]"


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fujie", "no-such-command"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Usage: fujie " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["nope"], ["config"], ["policy", "check"], ["keys", "init", "a", "b"]]
)
def test_usage_errors_end_with_2(arguments: Sequence[str]) -> None:
    assert fujie(*arguments).exit_code == 2


# config


def test_config_check_accepts(config: Path) -> None:
    done = fujie("config", "check", "--config", config, "--output", "json")
    assert (done.exit_code, done.json) == (0, {"config": str(config), "valid": True, "unsafe": []})


def test_config_check_lists_every_problem_for_programs_and_for_people(config: Path) -> None:
    config.write_text(yaml.safe_dump({**CONFIG, "audit": {}, "sever": {}}), "utf-8")
    done = fujie("config", "check", "--config", config, "--output", "json", env={"FUJIE__SERVER__X": "1"})
    assert done.exit_code == 5
    found = {(problem["code"], problem["key"]) for problem in done.json["problems"]}
    assert found == {
        ("SETTING_MISSING", "audit.dir"),
        ("SETTING_MISSING", "audit.instance"),
        ("UNKNOWN_SETTING", "sever"),
        ("UNKNOWN_SETTING", "server.x"),
    }
    people = fujie("config", "check", "--config", config)
    assert (people.exit_code, people.stdout) == (5, "")
    assert "sever: UNKNOWN_SETTING: is not a setting" in people.stderr
    assert "-> Did you mean `server`?" in people.stderr
    assert people.stderr.endswith("3 problems\n")


@pytest.mark.parametrize("output", ["table", "json"])
def test_config_show_prints_what_is_in_force_without_passwords(config: Path, output: str) -> None:
    env = {"FUJIE__SERVER__DRAIN_SECONDS": "33"}
    done = fujie("config", "show", "--config", config, "--output", output, env=env)
    assert done.exit_code == 0
    shown = yaml.safe_load(done.stdout)
    assert shown["server"]["drain_seconds"] == 33
    assert shown["ledger"]["url"] == "postgresql://fujie:***@db/fujie?sslpassword=%2A%2A%2A"
    assert "hunter" not in done.stdout + done.stderr


def test_a_configuration_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = fujie("config", "show", "--config", tmp_path / "none.yaml")
    assert done.exit_code == 5
    assert "CONFIG_UNREADABLE: No such file or directory" in done.stderr


# keys


def test_keys_init_makes_five_different_keys_and_says_how_to_name_them(tmp_path: Path) -> None:
    done = fujie("keys", "init", tmp_path / "keys")
    assert done.exit_code == 0
    named = yaml.safe_load(done.stdout)["keys"]
    assert tuple(named) == KEYS
    assert len({read_key(Path(key["file"])) for key in named.values()}) == 5


def test_keys_init_never_overwrites(tmp_path: Path) -> None:
    fujie("keys", "init", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "log.key").unlink()
    done = fujie("keys", "init", tmp_path, "--output", "json")
    assert done.exit_code == 5
    assert [problem["code"] for problem in done.json["problems"]] == ["KEY_EXISTS"]
    assert not (tmp_path / "log.key").exists()
    assert all(path.read_bytes() == before[path] for path in tmp_path.iterdir())


# policy check


def test_policy_check_accepts_what_the_server_would(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(POLICY, "utf-8")
    done = fujie("policy", "check", tmp_path, "--output", "json")
    assert done.exit_code == 0
    assert done.json["bundle"].startswith("sha256:")
    assert (done.json["grants"], done.json["guards"], done.json["stores"]) == (2, 2, ["crm"])


def test_policy_check_shows_every_problem_with_a_caret(tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    bad = POLICY.replace("customer.minor", "customer.minr").replace("keep(3,4)", "keep(9,9)")
    path.write_text(bad, "utf-8")
    done = fujie("policy", "check", path)
    assert (done.exit_code, done.stdout) == (5, "")
    lines = done.stderr.splitlines()
    at = next(i for i, line in enumerate(lines) if "customer.minr" in lines[i + 1])
    assert lines[at].startswith(f"{path}:")
    line, column = map(int, lines[at].removeprefix(f"{path}:").split(":")[:2])
    source = path.read_text().splitlines()[line - 1]
    assert lines[at + 1] == f"  {source}"
    assert lines[at + 2] == " " * (column + 1) + "^"
    assert source[column - 1 :].startswith(("customer", ".minr", "minr"))
    count = len(fujie("policy", "check", path, "--output", "json").json["problems"])
    assert count > 1
    assert lines[-1] == f"{count} problems"


def test_policy_check_of_nothing_is_a_problem(tmp_path: Path) -> None:
    assert fujie("policy", "check", tmp_path).exit_code == 5


# audit verify


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    kept: list[str] = []
    written = TileLog(
        open_log(tmp_path / "log", Signer("a/w0", bytes(32))), clock=lambda: 0.0, keep=kept.append
    )
    for i in range(3):
        await written.append(b'{"n":%d}' % i)
    written.close()
    (tmp_path / "kept").write_text(kept[-1], "utf-8")
    return tmp_path / "log"


def test_an_intact_log_verifies(log: Path) -> None:
    vkey = (log / "a" / "w0" / "vkey").read_text().strip()
    done = fujie(
        "audit", "verify", log, "--against", log.parent / "kept", "--vkey", vkey, "--output", "json"
    )
    assert done.exit_code == 0
    assert done.json["intact"] is True
    assert [(each["origin"], each["entries"], each["signed"]) for each in done.json["logs"]] == [
        ("a/w0", 3, 3)
    ]


def test_a_flipped_bit_is_a_finding_with_origin_and_index(log: Path) -> None:
    (entries,) = (path for path in log.rglob("tile/entries/**/*") if path.is_file())
    content = bytearray(entries.read_bytes())
    content[content.index(b'{"n":1}') + 5] ^= 1
    entries.write_bytes(content)
    done = fujie("audit", "verify", log, "--output", "json")
    assert done.exit_code == 6
    assert [(each["kind"], each["index"]) for each in done.json["logs"][0]["findings"]] == [("changed", 1)]
    people = fujie("audit", "verify", log)
    assert people.exit_code == 6
    assert "a/w0: changed entry 1" in people.stdout


def test_a_log_that_ends_before_a_kept_checkpoint_is_a_finding(log: Path, tmp_path: Path) -> None:
    shorter = tmp_path / "shorter"
    open_log(shorter, Signer("a/w0", bytes(32))).directory.release()
    done = fujie("audit", "verify", shorter, "--against", log.parent / "kept", "--output", "json")
    assert done.exit_code == 6
    assert "rolled_back" in {each["kind"] for each in done.json["logs"][0]["findings"]}


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


ODD: Mapping[str, Callable[[Path], None]] = {
    "a pipe, whose other end nobody has": os.mkfifo,
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a directory": Path.mkdir,
    "a file of a terabyte": lambda path: _sparse(path, 1 << 40),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("command", [("audit", "verify"), ("audit", "unfinished")], ids=" ".join)
def test_what_no_log_has_neither_holds_nor_fills_who_verifies(
    log: Path, command: tuple[str, str], make: Callable[[Path], None]
) -> None:
    """Who verifies a copy did not make it."""
    files = [path for path in log.rglob("*") if path.is_file() and path.name != "lock"]
    assert len(files) >= 5
    for path in files:
        content = path.read_bytes()
        path.unlink()
        make(path)
        done = fujie(*command, log, "--output", "json")
        assert done.exit_code in {1, 6}
        assert json.loads(done.stderr or done.stdout)["code"] in {"UNREADABLE", "LOG_ALTERED"}
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        path.write_bytes(content)
    assert fujie("audit", "verify", log).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["none"], 3, "NOT_FOUND"),
        (["empty"], 3, "NOT_FOUND"),
        (["log", "--vkey", "nonsense"], 5, "CHECKPOINT_INVALID"),
        (["log", "--against", "noise"], 5, "CHECKPOINT_INVALID"),
        (["log", "--against", "none"], 1, "UNREADABLE"),
        (["log", "--against", "/dev/zero"], 5, "CHECKPOINT_INVALID"),
    ],
)
def test_mistakes_end_with_their_own_code(
    log: Path, arguments: list[str], exit_code: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    Path("empty").mkdir()
    Path("noise").write_bytes(b"\xff\x00")
    done = fujie("audit", "verify", *arguments, "--output", "json")
    assert done.exit_code == exit_code
    assert json.loads(done.stderr)["code"] == code
    assert done.stdout == ""
