"""The commands that look at policies before anybody enforces them: check and schema."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from fujie.app.cli.offline import listing
from fujie.app.cli.output import Exit, Format, Output, console, fail, show_fields, show_json
from fujie.app.problems import problem_at
from fujie.model.diagnostic import Diagnostic
from fujie.policy.lint_finding import Finding, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.HINT: "cyan"}


def policy_check(
    paths: Annotated[list[Path], typer.Argument(help="Files, or directories of *.yaml and *.yml.")],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Check policies as the server would, then look for what is allowed and wrong; list every finding at its place.

    Exit code 5 when the server would refuse them or a finding is an error. An annotation of a document silences
    findings in it, with a reason: `lint.fujie.dev/ignore: "CODE: reason; CODE2: reason"`.
    """
    from fujie.app.policies import compiled, read_files
    from fujie.policy.lint import blocking, lint

    with listing(output):
        files = read_files(paths)
        bundle = compiled(files)
    findings = lint(files, bundle, _personal_data)
    counts = Counter(finding.severity for finding in findings)
    fields = {
        "bundle": bundle.digest,
        "documents": len(bundle.documents),
        "grants": len(bundle.grants),
        "guards": len(bundle.guards),
        "purposes": sorted(bundle.purposes),
        "stores": sorted(bundle.stores),
        **{f"{severity}s": counts[severity] for severity in Severity},
    }
    if output is Format.JSON:
        show_json({**fields, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
        show_fields(output, fields)
    raise typer.Exit(Exit.INVALID if any(blocking(findings, strict=strict)) else Exit.OK)


def _show(findings: Sequence[Finding]) -> None:
    """Print every finding with its place, caret and remedy on stderr."""
    talk = console(stderr=True)
    for finding in findings:
        at = Diagnostic(
            finding.file, finding.line, finding.column, finding.code, finding.message, finding.source
        )
        problem = problem_at(at)
        talk.print(
            Text.assemble(
                (problem.place, "bold"),
                ": ",
                (f"{finding.severity}: {finding.code}", _STYLES[finding.severity]),
                f": {finding.message} ({finding.document})",
            )
        )
        talk.print(Text(problem.excerpt, style="yellow"))
        talk.print(Text(f"  -> {finding.remedy}", style="green"))


def _personal_data(text: str) -> tuple[str, ...]:
    """Return the classes of personal data in a text; what is too long to be searched is not taken for clean."""
    from fujie.decision.findings import NotLooked, find_personal

    found = find_personal(text)
    if isinstance(found, NotLooked):
        return (f"not searched, {found.value}",)
    return tuple(sorted({finding.data_class.value for finding in found}))


def policy_schema(
    kind: Annotated[str, typer.Argument(help="Guard, Grant, ...; left out: all of them in one.")] = "",
) -> None:
    """Print the JSON Schema (2020-12) of a kind of policy document, for editors."""
    from fujie.policy.schema import SCHEMAS, schema

    if kind and kind not in SCHEMAS:
        known = ", ".join(name for name in SCHEMAS if name)
        fail(
            Exit.USAGE, f"`{kind}` is not a kind; known: {known}", code="UNKNOWN_KIND", output=Format.TABLE
        )
    typer.echo(json.dumps(schema(kind), ensure_ascii=False, indent=2))
