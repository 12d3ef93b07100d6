"""The worked examples of the policy guide, run as they stand: files written, commands run, output compared.

A block labelled `yaml shop` is the file that its first line names. A block labelled `console` has commands after `$ ` and what
they print; `...` stands for any text, alone on a line for any lines. In a command `name+...` is the public key that was
printed for the name. `# exit code N` says how a command ends, where that is not 0.
"""

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fujie.app.cli import build
from fujie.app.demo.customers import create_store
from fujie.app.policies import read_files
from fujie.app.policysection import Policy
from fujie.decision.decider import Decider
from fujie.flows.lookup import lookup
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from support.house import InForce, ask, caller, opened_house

GUIDE = (Path(__file__).parents[3] / "docs" / "policy-guide.md").read_text()
SECTION = GUIDE[GUIDE.index("## Ten worked examples") :].partition("\n## The kinds")[0]
BLOCK = re.compile(r"^```(yaml shop|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (.*?)(?: # exit code (\d))?$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    title: str
    blocks: list[tuple[str, str]]


def examples() -> Iterator[Example]:
    for part in SECTION.split("\n### ")[1:]:
        yield Example(part.partition("\n")[0], BLOCK.findall(part))


def write(text: str, root: Path) -> None:
    path = root / text.partition("\n")[0].removeprefix("# ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def commands(block: str) -> Iterator[tuple[str, int, str]]:
    """Yield command, exit code and expected output."""
    found = list(COMMAND.finditer(block))
    for match, after in zip(found, [*found[1:], None], strict=True):
        end = after.start() if after else len(block)
        yield match[1], int(match[2] or 0), block[match.end() + 1 : end]


def pattern(expected: str) -> re.Pattern[str]:
    lines = [
        r"(?:[^\n]*\n)*" if line == "..." else re.escape(line).replace(re.escape("..."), r"[^\n]*") + "\n"
        for line in expected.splitlines()
    ]
    return re.compile("".join(lines))


class Shell:
    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._app = build()

    def run(self, command: str) -> tuple[int, str]:
        program, *arguments = shlex.split(command)
        assert program == "fujie"
        for name, key in self._keys.items():
            arguments = [key if argument == f"{name}+..." else argument for argument in arguments]
        done = CliRunner().invoke(self._app, arguments)
        self._keys |= {
            key.partition("+")[0]: key for key in re.findall(r"(\w+\+[0-9a-f]{8}\+\S+)", done.output)
        }
        return done.exit_code, done.output


async def record(root: Path) -> None:
    """Let a gate under the shop's policies leave a log of a few look-ups at ten in the morning."""
    bundle = compile_bundle(read_files([root / "shop"]))
    assert isinstance(bundle, Bundle)
    create_store(root / "crm.db", 5)
    async with opened_house(root, root / "crm.db") as house:
        gate = replace(house.gate, policies=InForce(Decider(bundle)))
        for who, asked in (
            ("support-agent", ask("name", "phone")),
            ("support-agent", ask("name", customer="C00002")),
            ("marketer", ask("phone", purpose="marketing", basis="consent", evidence="")),
        ):
            await lookup(gate, caller(who), asked, 2.0)


def test_there_are_ten_examples_and_every_one_runs_something() -> None:
    found = list(examples())
    assert [example.title.partition(".")[0] for example in found] == [
        str(number) for number in range(1, 11)
    ]
    assert all({label for label, _ in example.blocks} == {"yaml shop", "console"} for example in found)
    assert len(BLOCK.findall(SECTION)) == sum(len(example.blocks) for example in found)


def test_the_examples_do_what_the_guide_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell()
    for example in examples():
        if example.title.startswith("10."):
            asyncio.run(record(tmp_path))
        for label, text in example.blocks:
            if label == "yaml shop":
                write(text, tmp_path)
                continue
            for command, expected_code, expected in commands(text):
                code, said = shell.run(command)
                assert code == expected_code, f"{example.title}: {command}\n{said}"
                assert pattern(expected).fullmatch(said), f"{example.title}: {command}\n{said}"


def test_what_is_silenced_or_shown_twice_differs_in_nothing_else() -> None:
    first, second = (
        text for label, text in BLOCK.findall(SECTION) if text.startswith("# shop/hours.yaml\n")
    )
    documents = [yaml.safe_load(text) for text in (first, second)]
    assert documents[0]["spec"] == documents[1]["spec"]


def test_settings_that_the_guide_shows_exist() -> None:
    (block,) = re.findall(r"^```yaml settings\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    assert set(yaml.safe_load(block)["policy"]) <= set(Policy.model_fields)


def test_what_the_guide_invites_to_try_fails_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for label, text in next(examples()).blocks:
        if label == "yaml shop":
            write(text.replace(", keys: [customer_id]", ""), tmp_path)
    code, said = Shell().run("fujie policy test shop")
    assert code == 6
    assert "FAILED agent / by-phone" in said
    assert "grant support match: matched" in said
