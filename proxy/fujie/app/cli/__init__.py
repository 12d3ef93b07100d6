"""The command line. Every command is named here; each imports what it needs when it runs (grpc alone costs 100 ms)."""

from typing import Annotated

import typer

from fujie.app.cli import (
    answers,
    approvals,
    consents,
    customers,
    demo,
    lookups,
    offline,
    policy_bundle,
    policy_check,
    policy_replay,
    policy_test,
    principals,
    server,
    suppressions,
)


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
    app.command()(server.serve)
    app.command()(demo.demo)
    app.command()(lookups.lookup)
    consent = _group(app, "consent", "Consent of customers.")
    consent.command("record")(answers.record)
    consent.command("withdraw")(consents.withdraw)
    consent.command("show")(consents.show)
    consent.command("events")(consents.events)
    consent.command("evidence")(answers.evidence)
    consent.command("verify")(answers.verify)
    principal = _group(app, "principal", "Who is employed, and in which roles.")
    principal.command("upsert")(principals.upsert)
    principal.command("offboard")(principals.offboard)
    principal.command("show")(principals.show)
    principal.command("list")(principals.list_)
    suppression = _group(app, "suppression", "Opt-outs of customers.")
    suppression.command("add")(suppressions.add)
    suppression.command("list")(suppressions.list_)
    suppression.command("remove")(suppressions.remove)
    customer = _group(app, "customer", "Who is who, corrected with evidence.")
    customer.command("merge")(customers.merge)
    customer.command("split")(customers.split)
    approval = _group(app, "approval", "What others have to agree to.")
    approval.command("list")(approvals.list_)
    approval.command("show")(approvals.show_)
    approval.command("approve")(approvals.approve)
    approval.command("reject")(approvals.reject)
    approval.command("revoke")(approvals.revoke)
    config = _group(app, "config", "The configuration.")
    config.command("check")(offline.config_check)
    config.command("show")(offline.config_show)
    keys = _group(app, "keys", "The keys.")
    keys.command("init")(offline.keys_init)
    policy = _group(app, "policy", "The policies.")
    policy.command("check")(policy_check.policy_check)
    policy.command("schema")(policy_check.policy_schema)
    policy.command("test")(policy_test.policy_test)
    policy.command("replay")(policy_replay.policy_replay)
    policy.command("keygen")(policy_bundle.policy_keygen)
    policy.command("build")(policy_bundle.policy_build)
    policy.command("sign")(policy_bundle.policy_sign)
    policy.command("verify")(policy_bundle.policy_verify)
    policy.command("diff")(policy_bundle.policy_diff)
    policy.command("push")(policy_bundle.policy_push)
    policy.command("explain")(lookups.explain)
    audit = _group(app, "audit", "The evidence log.")
    audit.command("verify")(offline.audit_verify)
    return app


def _group(app: typer.Typer, name: str, says: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=says)
    app.add_typer(group, name=name)
    return group


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
