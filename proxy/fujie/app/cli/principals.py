"""`fujie principal`: who is employed, and in which roles."""

from typing import Annotated

import typer

from fujie.app.cli.arguments import PageSize, PageToken
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import show_page, shown
from fujie.app.cli.offboarding import moment
from fujie.app.cli.output import Exit, fail, show_fields

PrincipalId = Annotated[str, typer.Argument(help="Principal: the subject of its tokens.")]


@calls_server
def upsert(
    server: Server,
    principal_id: PrincipalId,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="A role; may be given several times.")
    ] = None,
    department: Annotated[str, typer.Option("--department")] = "",
    training: Annotated[str, typer.Option("--training", help="valid, lapsed or none.")] = "none",
    *,
    service: Annotated[bool, typer.Option("--service", help="A service, not an employee.")] = False,
    suspended: Annotated[
        bool, typer.Option("--suspended", help="Known, but may do nothing for now.")
    ] = False,
    training_until: Annotated[
        str,
        typer.Option("--training-until", help="When the training lapses, such as 2027-01-31T00:00:00Z."),
    ] = "",
    device: Annotated[
        list[str] | None,
        typer.Option("--device", help="Id of a managed device; may be given several times."),
    ] = None,
) -> None:
    """Write the whole record of a principal. Nobody writes his own."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    known = {
        "valid": directory_v1.TRAINING_VALID,
        "lapsed": directory_v1.TRAINING_LAPSED,
        "none": directory_v1.TRAINING_NONE,
    }
    if training not in known:
        fail(
            Exit.USAGE,
            f"--training is one of {', '.join(known)}",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    principal = directory_v1.Principal(
        id=principal_id,
        kind=directory_v1.PRINCIPAL_KIND_SERVICE if service else directory_v1.PRINCIPAL_KIND_EMPLOYEE,
        roles=role or [],
        department=department,
        employment=directory_v1.EMPLOYMENT_SUSPENDED if suspended else directory_v1.EMPLOYMENT_ACTIVE,
        training=known[training],
        training_until=moment(server, training_until, "--training-until"),
        devices=device or [],
    )
    with server.stubs() as stubs:
        reply = stubs.directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))
    show_fields(server.output, shown(reply.principal, server.output))


@calls_server
def offboard(
    server: Server,
    principal_id: PrincipalId,
    at: Annotated[
        str,
        typer.Option(
            "--at", help="When it takes effect, such as 2027-01-31T18:00:00+08:00; now when left out."
        ),
    ] = "",
) -> None:
    """End the employment of a principal and everything of his. It holds for the very next call."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    request = directory_v1.OffboardPrincipalRequest(id=principal_id, at=moment(server, at, "--at"))
    with server.stubs() as stubs:
        reply = stubs.directory.OffboardPrincipal(request)
    show_fields(server.output, shown(reply.principal, server.output))


@calls_server
def show(
    server: Server,
    principal_id: PrincipalId,
) -> None:
    """Show a principal as the directory holds it."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    with server.stubs() as stubs:
        reply = stubs.directory.GetPrincipal(directory_v1.GetPrincipalRequest(id=principal_id))
    show_fields(server.output, shown(reply.principal, server.output))


@calls_server
def list_(
    server: Server,
    role: Annotated[str, typer.Option("--role", help="Only who has this role.")] = "",
    department: Annotated[str, typer.Option("--department", help="Only this department.")] = "",
    employment: Annotated[
        str, typer.Option("--employment", help="Only active, suspended or offboarded ones.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", help="Only employees (employee) or services (service).")
    ] = "",
    page_size: PageSize = 100,
    page_token: PageToken = "",
) -> None:
    """List principals by id."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    if kind not in ("", "employee", "service") or employment not in (
        "",
        "active",
        "suspended",
        "offboarded",
    ):
        fail(
            Exit.USAGE,
            "--kind is employee or service, --employment active, suspended or offboarded",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    request = directory_v1.ListPrincipalsRequest(
        role=role,
        department=department,
        employment=f"EMPLOYMENT_{employment.upper() or 'UNSPECIFIED'}",
        kind=f"PRINCIPAL_KIND_{kind.upper() or 'UNSPECIFIED'}",
        page_size=page_size,
        page_token=page_token,
    )
    with server.stubs() as stubs:
        reply = stubs.directory.ListPrincipals(request)
    columns = ("id", "kind", "roles", "department", "employment", "training")
    show_page(server.output, reply, "principals", columns)
