"""The command line. Every command is named here; each imports what it needs when it runs (grpc alone costs 100 ms)."""

from collections.abc import Callable
from typing import Annotated

import typer

from fujie.app.cli import (
    answers,
    approvals,
    campaigns,
    consent_ends,
    consent_import,
    consents,
    customers,
    demo,
    export,
    exports,
    leased_files,
    lookups,
    offboarding,
    offline,
    policy_bundle,
    policy_check,
    policy_replay,
    policy_test,
    principals,
    processors,
    replies,
    send,
    server,
    subject_requests,
    suppressions,
)

Command = Callable[..., object]

_GROUPS: tuple[tuple[str, str, dict[str, Command]], ...] = (
    (
        "campaign",
        "One message to many.",
        {
            "create": campaigns.create,
            "add": campaigns.add,
            "start": campaigns.start,
            "watch": campaigns.watch,
            "pause": campaigns.pause,
            "cancel": campaigns.cancel,
            "report": campaigns.report,
        },
    ),
    (
        "consent",
        "Consent of customers.",
        {
            "record": answers.record,
            "withdraw": consents.withdraw,
            "show": consents.show,
            "events": consents.events,
            "expiring": consent_ends.expiring,
            "import": consent_import.import_,
            "evidence": answers.evidence,
            "verify": answers.verify,
        },
    ),
    (
        "principal",
        "Who is employed, and in which roles.",
        {
            "upsert": principals.upsert,
            "offboard": principals.offboard,
            "suspend": offboarding.suspend,
            "reinstate": offboarding.reinstate,
            "transfer": offboarding.transfer,
            "offboarding": offboarding.offboarding,
            "show": principals.show,
            "list": principals.list_,
        },
    ),
    (
        "notifications",
        "What other systems are ordered to do.",
        {
            "acknowledge": offboarding.acknowledge,
        },
    ),
    (
        "suppression",
        "Opt-outs of customers.",
        {
            "add": suppressions.add,
            "list": suppressions.list_,
            "remove": suppressions.remove,
        },
    ),
    (
        "customer",
        "Who is who, corrected with evidence.",
        {
            "merge": customers.merge,
            "split": customers.split,
        },
    ),
    (
        "approval",
        "What others have to agree to.",
        {
            "list": approvals.list_,
            "show": approvals.show_,
            "approve": approvals.approve,
            "reject": approvals.reject,
            "revoke": approvals.revoke,
        },
    ),
    (
        "exports",
        "What left in bulk, and the files that can still be opened.",
        {
            "list": exports.list_,
            "show": exports.show_,
            "revoke": exports.revoke,
        },
    ),
    (
        "processor",
        "Companies that handle customer data for us.",
        {
            "upsert": processors.upsert,
            "show": processors.show,
            "list": processors.list_,
        },
    ),
    (
        "request",
        "What customers ask of us about their data.",
        {
            "list": subject_requests.list_,
            "show": subject_requests.show,
            "resolve": subject_requests.resolve,
            "disclosures": subject_requests.disclosures,
        },
    ),
    (
        "replies",
        "What customers answered, and a person must look at.",
        {
            "list": replies.list_,
            "show": replies.show,
            "mark": replies.mark,
        },
    ),
    (
        "config",
        "The configuration.",
        {
            "check": offline.config_check,
            "show": offline.config_show,
        },
    ),
    (
        "keys",
        "The keys.",
        {
            "init": offline.keys_init,
        },
    ),
    (
        "policy",
        "The policies.",
        {
            "check": policy_check.policy_check,
            "schema": policy_check.policy_schema,
            "test": policy_test.policy_test,
            "replay": policy_replay.policy_replay,
            "keygen": policy_bundle.policy_keygen,
            "build": policy_bundle.policy_build,
            "sign": policy_bundle.policy_sign,
            "verify": policy_bundle.policy_verify,
            "diff": policy_bundle.policy_diff,
            "push": policy_bundle.policy_push,
            "explain": lookups.explain,
        },
    ),
    (
        "audit",
        "The evidence log.",
        {
            "verify": offline.audit_verify,
        },
    ),
)
"""Name of a group, what it is about, its commands by name."""


def build() -> typer.Typer:
    """Return the application with all commands."""
    app = typer.Typer(
        name="fujie",
        help="fujie (符节): a policy-as-code gate for personal data.",
        epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 denied by policy, 5 not valid, 6 findings.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for command in (server.serve, demo.demo, lookups.lookup, export.export, send.send):
        app.command()(command)
    app.command("open")(leased_files.open_)
    app.command("trace")(exports.trace)
    for name, says, commands in _GROUPS:
        group = typer.Typer(no_args_is_help=True, help=says)
        app.add_typer(group, name=name)
        for word, run in commands.items():
            group.command(word)(run)
    return app


def _version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"fujie {version('fujie')}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _version(asked=value), is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command."""
