"""What `calls_server` makes of a command: the same options everywhere, none of them twice, none missing."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fujie.app.cli import (
    _COMMANDS,
    _GROUPS,
    answers,
    build,
    consents,
    customers,
    lookups,
    principals,
    suppressions,
)
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.output import Format

OPTIONS = {"--address", "--token-file", "--tls-root", "--tls-cert", "--tls-key", "--output"}
REMOTE = {
    "lookup", "policy explain", "consent record", "consent withdraw", "consent show", "consent events", "consent evidence",
    "suppression add", "suppression list", "suppression remove", "customer merge", "customer split",
    "principal upsert", "principal offboard", "principal show", "principal list",
    "approval list", "approval show", "approval approve", "approval reject", "approval revoke",
    "send", "campaign create", "campaign add", "campaign start", "campaign watch", "campaign pause", "campaign cancel",
    "campaign report", "consent import", "processor upsert", "processor show", "processor list",
    "request list", "request show", "request resolve", "request disclosures",
    "principal suspend", "principal reinstate", "principal transfer", "principal offboarding",
    "notifications acknowledge", "export", "open", "trace", "exports list", "exports show", "exports revoke",
    "consent expiring", "replies list", "replies show", "replies mark",
}  # fmt: skip


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def names(command: Any) -> list[str]:
    return [option for each in command.params for option in each.opts if option.startswith("--")]


def test_every_command_that_calls_the_server_has_the_same_options_once() -> None:
    found = dict(commands(typer.main.get_command(build())))
    for name in REMOTE:
        assert set(names(found[name])) >= OPTIONS, name
    for name, command in found.items():
        assert len(names(command)) == len(set(names(command))), name
        assert ("--address" in names(command)) == (name in REMOTE), name


def test_the_command_gets_the_server_that_the_options_name() -> None:
    got = list[tuple[Server, str]]()

    @calls_server
    def probe(server: Server, name: str, *, twice: bool = False) -> None:
        got.append((server, name * (1 + twice)))

    app = typer.Typer()
    app.command()(probe)
    given = ["x", "--twice", "--address", "h:1", "--output", "json"]
    result = CliRunner().invoke(app, given, env={"FUJIE_TOKEN_FILE": "", "FUJIE_ADDRESS": ""})
    assert result.exit_code == 0, result.output
    [(server, name)] = got
    assert (server.address, server.output, server.token_file, name) == ("h:1", Format.JSON, None, "xx")


@pytest.mark.parametrize(
    "command",
    [
        lookups.lookup, lookups.explain, consents.withdraw, consents.show, consents.events, answers.record, answers.evidence,
        suppressions.add, suppressions.list_, suppressions.remove, customers.merge, customers.split,
        principals.upsert, principals.offboard, principals.show, principals.list_,
    ],
    ids=lambda command: f"{command.__module__.rpartition('.')[2]}.{command.__name__}",
)  # fmt: skip
def test_no_command_shows_typer_the_server_itself(command: object) -> None:
    assert callable(command)
    assert "server" not in inspect.signature(command).parameters


@pytest.mark.parametrize(
    "arguments",
    [
        ["suppression", "add", "C1", "--store", "crm"],
        ["suppression", "list"],
        ["suppression", "remove", "s-1", "--method", "signed_letter", "--evidence-ref", "l", "--when", "2026-03-01T00:00:00Z"],
        ["customer", "merge", "crm/C1", "+8613800138000", "--evidence-ref", "form"],
        ["customer", "split", "C1", "--store", "crm", "--evidence-ref", "form"],
        ["consent", "events", "C1", "--store", "crm"],
        ["principal", "list", "--employment", "active", "--kind", "service"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)  # fmt: skip
def test_without_a_credential_nothing_is_called(arguments: list[str]) -> None:
    clean = {"FUJIE_TOKEN_FILE": "", "FUJIE_TLS_CERT": "", "FUJIE_TLS_KEY": ""}
    result = CliRunner().invoke(build(), [*arguments, "--output", "json"], env=clean)
    assert result.exit_code == 2
    assert "TOKEN_MISSING" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [
            "suppression",
            "remove",
            "s-1",
            "--method",
            "signed_letter",
            "--evidence-ref",
            "l",
            "--when",
            "tomorrow",
        ],
        ["principal", "list", "--kind", "robot"],
        ["principal", "list", "--employment", "gone"],
    ],
)
def test_what_can_not_be_meant_is_a_usage_error(arguments: list[str]) -> None:
    result = CliRunner().invoke(build(), [*arguments, "--output", "json"])
    assert result.exit_code == 2
    assert "ARGUMENT_INVALID" in result.output


def test_the_line_leaves_out_other_commands_and_changes_none() -> None:
    """What is built for a line has its command just as what is built for all has it."""
    whole = dict(commands(typer.main.get_command(build())))
    for path, command in whole.items():
        found = dict(commands(typer.main.get_command(build([*path.split(), "--help"]))))
        assert names(found[path]) == names(command), path
        assert {name.partition(" ")[0] for name in found} == {path.partition(" ")[0]}, path


@pytest.mark.parametrize("line", [["--help"], ["lokup"], ["--version"], ["--", "lookup"], []])
def test_a_line_that_names_no_command_is_shown_all_of_them(line: list[str]) -> None:
    app: Any = typer.main.get_command(build(line))
    assert {*app.commands} == {*_COMMANDS, *(name for name, _, _ in _GROUPS)}
