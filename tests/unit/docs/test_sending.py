"""The page on sending: its settings are those that a server takes, its commands and states those that there are."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner

from fujie.app.cli import build
from fujie.app.messaging import Messaging, ProviderSettings
from fujie.app.settings import Server
from fujie.model.message import MessageState

PAGE = (Path(__file__).parents[3] / "docs" / "sending.md").read_text("utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
COMMANDS = sorted(set(re.findall(r"^fujie ((?:[a-z]+ ?){1,2})", PAGE, re.MULTILINE)))


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_of_settings_is_taken(block: dict[str, object]) -> None:
    Messaging.model_validate(block["messaging"])
    if "server" in block:
        Server.model_validate(block["server"])


def test_there_is_an_example_and_a_row_for_every_kind_of_provider() -> None:
    kinds = set(get_args(ProviderSettings.model_fields["kind"].annotation))
    assert {each["kind"] for block in BLOCKS for each in block["messaging"]["providers"].values()} == kinds
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == kinds


def test_the_states_are_those_of_a_message() -> None:
    table = PAGE.partition("## States")[2].partition("##")[0]
    first = re.findall(r"^\| ([A-Z, ]+) \|", table, re.MULTILINE)
    assert set(", ".join(first).split(", ")) == {str(state) for state in MessageState}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command: str) -> None:
    assert CliRunner().invoke(build(), [*command.split(), "--help"]).exit_code == 0
