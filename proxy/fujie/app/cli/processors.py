"""`fujie processor`: companies that handle customer data for us."""

from typing import Annotated

import typer

from fujie.app.cli.arguments import PageSize, PageToken
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import show_page, shown
from fujie.app.cli.output import Exit, fail, show_fields

ProcessorId = Annotated[str, typer.Argument(help="Processor, as the settings of a provider name it.")]


@calls_server
def upsert(
    server: Server,
    processor_id: ProcessorId,
    agreement: Annotated[str, typer.Option("--agreement", help="Where the contract lies.")],
    valid_from: Annotated[str, typer.Option("--valid-from", help="First day in force, YYYY-MM-DD.")],
    valid_until: Annotated[str, typer.Option("--valid-until", help="First day no longer in force.")],
    display_name: Annotated[str, typer.Option("--display-name")] = "",
    filing: Annotated[str, typer.Option("--filing", help="Number under which it is filed.")] = "",
    region: Annotated[str, typer.Option("--region", help="ISO 3166 country where it processes.")] = "CN",
    transfer: Annotated[str, typer.Option("--transfer", help="Mechanism of a transfer abroad.")] = "",
    contact: Annotated[str, typer.Option("--contact", help="Clause that names whom to call.")] = "",
    ownership: Annotated[
        str, typer.Option("--ownership", help="Clause on who owns the data and its end.")
    ] = "",
    assessment: Annotated[
        list[str] | None,
        typer.Option("--assessment", help="purpose=day until which its impact assessment stands."),
    ] = None,
) -> None:
    """Write the whole record of a processor. It holds for the very next message."""
    from fujie.v1 import processor_service_pb2 as processor_v1

    given = [each.partition("=") for each in assessment or ()]
    if not all(purpose and sign for purpose, sign, _ in given):
        fail(
            Exit.USAGE, "--assessment is purpose=YYYY-MM-DD", code="ARGUMENT_INVALID", output=server.output
        )
    processor = processor_v1.Processor(
        id=processor_id,
        display_name=display_name,
        agreement=agreement,
        valid_from=valid_from,
        valid_until=valid_until,
        filing=filing,
        region=region,
        transfer=transfer,
        contact=contact,
        ownership=ownership,
        assessments={purpose: day for purpose, _, day in given},
    )
    with server.stubs() as stubs:
        reply = stubs.processors.UpsertProcessor(processor_v1.UpsertProcessorRequest(processor=processor))
    show_fields(server.output, shown(reply.processor, server.output))


@calls_server
def show(server: Server, processor_id: ProcessorId) -> None:
    """Show a processor as the register holds it."""
    from fujie.v1 import processor_service_pb2 as processor_v1

    with server.stubs() as stubs:
        reply = stubs.processors.GetProcessor(processor_v1.GetProcessorRequest(id=processor_id))
    show_fields(server.output, shown(reply.processor, server.output))


@calls_server
def list_(server: Server, page_size: PageSize = 100, page_token: PageToken = "") -> None:
    """List processors by id."""
    from fujie.v1 import processor_service_pb2 as processor_v1

    request = processor_v1.ListProcessorsRequest(page_size=page_size, page_token=page_token)
    with server.stubs() as stubs:
        reply = stubs.processors.ListProcessors(request)
    columns = ("id", "display_name", "valid_from", "valid_until", "region", "filing", "assessments")
    show_page(server.output, reply, "processors", columns)
