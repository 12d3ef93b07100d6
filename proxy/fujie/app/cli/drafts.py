"""Options of commands that say something to customers, and what they mean on the wire."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fujie.app.cli.connection import Server
from fujie.app.cli.output import Exit, fail

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import types_pb2 as types_v1

Category = Annotated[str, typer.Option("--category", help="marketing, transactional or verification.")]
Signature = Annotated[str, typer.Option("--signature", help="Name that stands in front, without brackets.")]
Text = Annotated[
    str, typer.Option("--text", help="What it says, without the signature; {name} is a variable.")
]
TemplateId = Annotated[
    str, typer.Option("--template", help="Template of the policies, in place of --text.")
]
ProviderName = Annotated[
    str, typer.Option("--provider", help="Provider of the configuration; the first that can when left out.")
]

_CATEGORIES = ("marketing", "transactional", "verification")


def category_of(server: Server, given: str) -> str:
    """Return the category as the wire has it; what is none ends the command."""
    if given not in _CATEGORIES:
        fail(
            Exit.USAGE,
            f"--category is one of {', '.join(_CATEGORIES)}",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    return f"MESSAGE_CATEGORY_{given.upper()}"


def one_content(server: Server, text: str, template: str) -> None:
    """End the command unless exactly one of both is given."""
    if bool(text) == bool(template):
        fail(Exit.USAGE, "give --text or --template", code="ARGUMENT_INVALID", output=server.output)


def context_of(
    purpose: str, basis: str, evidence: str, ticket: str, **more: Any
) -> "types_v1.RequestContext":
    """Return why it is done."""
    from fujie.v1 import types_pb2 as types_v1

    return types_v1.RequestContext(
        purpose=purpose, basis=basis, basis_evidence=evidence, ticket=ticket, **more
    )
