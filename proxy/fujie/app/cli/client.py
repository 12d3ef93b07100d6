"""The commands that call a running server: lookup, consent, principal, policy explain.

Each is one gRPC call with a token; the command line has no other right than that token.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fujie.app.cli.output import Format, Output, fail, show, show_fields

Address = Annotated[str, typer.Option("--address", envvar="FUJIE_ADDRESS", help="host:port of the server.")]
TokenFile = Annotated[
    Path, typer.Option("--token-file", envvar="FUJIE_TOKEN_FILE", help="File that holds the bearer token.")
]
TLSRoot = Annotated[
    Path | None,
    typer.Option("--tls-root", envvar="FUJIE_TLS_ROOT", help="Root certificate; needed off this machine."),
]
Store = Annotated[str, typer.Option("--store", help="Store that the customer is in.")]
Customer = Annotated[str, typer.Argument(help="Customer id in the store, or a phone number with --phone.")]
ByPhone = Annotated[bool, typer.Option("--phone", help="CUSTOMER is a phone number.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Purpose id of the catalogue.")]
Basis = Annotated[str, typer.Option("--basis", help="Legal basis (PIPL art. 13): consent, contract, ...")]
Evidence = Annotated[str, typer.Option("--basis-evidence", help="Evidence for the basis, an order id for example.")]
Ticket = Annotated[str, typer.Option("--ticket", help="Ticket that this serves.")]
Channel = Annotated[str, typer.Option("--channel", help="sms, voice, email, wechat or any.")]
FieldNames = Annotated[str, typer.Option("--fields", help="Fields that are needed, with commas.")]

_DEFAULT_ADDRESS = "127.0.0.1:7443"
_EXIT_OF_STATUS = {"NOT_FOUND": 3, "PERMISSION_DENIED": 4, "FAILED_PRECONDITION": 4, "RESOURCE_EXHAUSTED": 4, "INVALID_ARGUMENT": 2}

consent = typer.Typer(no_args_is_help=True, help="Record, withdraw and read consent.")
principal = typer.Typer(no_args_is_help=True, help="Who is employed, and in which roles.")
