"""The command line. Every command is named here by where it stands; what is not asked for is not imported.

Importing all of them and building their options takes 100 ms of CPU, and the one command that runs imports what it needs
when it runs (grpc alone costs 100 ms).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated

import typer

_COMMANDS = {
    "serve": "server.serve",
    "demo": "demo.demo",
    "lookup": "lookups.lookup",
    "export": "export.export",
    "send": "send.send",
    "open": "leased_files.open_",
    "trace": "exports.trace",
}
"""The commands without a group: module and function."""

_GROUPS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "campaign",
        "One message to many.",
        {
            "create": "campaigns.create",
            "add": "campaigns.add",
            "start": "campaigns.start",
            "watch": "campaigns.watch",
            "pause": "campaigns.pause",
            "cancel": "campaigns.cancel",
            "report": "campaigns.report",
        },
    ),
    (
        "consent",
        "Consent of customers.",
        {
            "record": "answers.record",
            "withdraw": "consents.withdraw",
            "show": "consents.show",
            "events": "consents.events",
            "expiring": "consent_ends.expiring",
            "import": "consent_import.import_",
            "evidence": "answers.evidence",
            "verify": "answers.verify",
        },
    ),
    (
        "principal",
        "Who is employed, and in which roles.",
        {
            "upsert": "principals.upsert",
            "offboard": "principals.offboard",
            "suspend": "offboarding.suspend",
            "reinstate": "offboarding.reinstate",
            "transfer": "offboarding.transfer",
            "offboarding": "offboarding.offboarding",
            "show": "principals.show",
            "list": "principals.list_",
        },
    ),
    (
        "notifications",
        "What other systems are ordered to do.",
        {
            "acknowledge": "offboarding.acknowledge",
        },
    ),
    (
        "suppression",
        "Opt-outs of customers.",
        {
            "add": "suppressions.add",
            "list": "suppressions.list_",
            "remove": "suppressions.remove",
        },
    ),
    (
        "customer",
        "Who is who, corrected with evidence.",
        {
            "merge": "customers.merge",
            "split": "customers.split",
        },
    ),
    (
        "approval",
        "What others have to agree to.",
        {
            "list": "approvals.list_",
            "show": "approvals.show_",
            "approve": "approvals.approve",
            "reject": "approvals.reject",
            "revoke": "approvals.revoke",
        },
    ),
    (
        "exports",
        "What left in bulk, and the files that can still be opened.",
        {
            "list": "exports.list_",
            "show": "exports.show_",
            "revoke": "exports.revoke",
        },
    ),
    (
        "processor",
        "Companies that handle customer data for us.",
        {
            "upsert": "processors.upsert",
            "show": "processors.show",
            "list": "processors.list_",
        },
    ),
    (
        "request",
        "What customers ask of us about their data.",
        {
            "list": "subject_requests.list_",
            "show": "subject_requests.show",
            "resolve": "subject_requests.resolve",
            "disclosures": "subject_requests.disclosures",
        },
    ),
    (
        "replies",
        "What customers answered, and a person must look at.",
        {
            "list": "replies.list_",
            "show": "replies.show",
            "mark": "replies.mark",
        },
    ),
    (
        "config",
        "The configuration.",
        {
            "check": "offline.config_check",
            "show": "offline.config_show",
        },
    ),
    (
        "keys",
        "The keys.",
        {
            "init": "offline.keys_init",
        },
    ),
    (
        "policy",
        "The policies.",
        {
            "check": "policy_check.policy_check",
            "schema": "policy_check.policy_schema",
            "test": "policy_test.policy_test",
            "replay": "policy_replay.policy_replay",
            "keygen": "policy_bundle.policy_keygen",
            "build": "policy_bundle.policy_build",
            "sign": "policy_bundle.policy_sign",
            "verify": "policy_bundle.policy_verify",
            "diff": "policy_bundle.policy_diff",
            "push": "policy_bundle.policy_push",
            "explain": "lookups.explain",
        },
    ),
    (
        "audit",
        "The evidence log.",
        {
            "verify": "offline.audit_verify",
            "unfinished": "unfinished.audit_unfinished",
        },
    ),
)
"""Name of a group, what it is about, its commands by name."""


def build(line: Sequence[str] = ()) -> typer.Typer:
    """Return the application with all commands.

    `line` is what was typed behind `fujie`. Where its first word says what is wanted, the others are left out: they
    would be imported for nothing.
    """
    app = typer.Typer(
        name="fujie",
        help="fujie (符节): a policy-as-code gate for personal data.",
        epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 denied by policy, 5 not valid, 6 findings.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    asked = line[0] if line else ""
    if asked in _COMMANDS:
        _add(app, {asked: _COMMANDS[asked]})
        return app
    groups = [each for each in _GROUPS if each[0] == asked] or _GROUPS
    if groups is _GROUPS:
        _add(app, _COMMANDS)
    for name, says, commands in groups:
        group = typer.Typer(no_args_is_help=True, help=says)
        app.add_typer(group, name=name)
        if asked != "--help":  # which shows no more of a group than this
            _add(group, commands)
    return app


def _add(app: typer.Typer, commands: Mapping[str, str]) -> None:
    for word, place in commands.items():
        module, _, name = place.partition(".")
        run: Callable[..., object] = getattr(import_module(f"fujie.app.cli.{module}"), name)
        app.command(word)(run)


def _version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"fujie {version('fujie')}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            callback=lambda value: _version(asked=value),
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
