"""The connection of the client commands: where the server is, as whom to call, how a refusal is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fujie.app.cli.output import Exit, Format, fail

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.app.client import RefusalDetail, Stubs

Address = Annotated[str, typer.Option("--address", envvar="FUJIE_ADDRESS", help="host:port of the server.")]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", envvar="FUJIE_TOKEN_FILE", help="File that holds the bearer token."),
]
TLSRoot = Annotated[
    Path | None,
    typer.Option("--tls-root", envvar="FUJIE_TLS_ROOT", help="Root certificate; needed off this machine."),
]
LOCAL = "127.0.0.1:7443"
_EXITS = {
    "INVALID_ARGUMENT": Exit.USAGE,
    "NOT_FOUND": Exit.NOT_FOUND,
    "PERMISSION_DENIED": Exit.DENIED,
    "FAILED_PRECONDITION": Exit.DENIED,
    "RESOURCE_EXHAUSTED": Exit.DENIED,
    "UNAUTHENTICATED": Exit.DENIED,
}


@dataclass(frozen=True, slots=True)
class Server:
    """Which server to call, as whom, and how to print."""

    address: str
    token_file: Path | None
    tls_root: Path | None
    output: Format

    @contextmanager
    def stubs(self) -> Iterator["Stubs"]:
        """Connect; a refusal, or no answer, ends the command with its exit code and the reasons."""
        import grpc

        from fujie.app.client import PlaintextRefused, connect, read_refusal

        if self.token_file is None:
            fail(
                Exit.USAGE,
                "give --token-file or FUJIE_TOKEN_FILE",
                code="TOKEN_MISSING",
                output=self.output,
            )
        try:
            token = self.token_file.read_text("ascii", "replace").strip()
            if not (token.isascii() and token.isprintable() and token):
                fail(
                    Exit.USAGE, f"{self.token_file}: not a token", code="TOKEN_INVALID", output=self.output
                )
            stubs = connect(self.address, token, self.tls_root)
        except OSError as error:
            fail(
                Exit.USAGE,
                f"{error.filename}: {error.strerror}",
                code="FILE_UNREADABLE",
                output=self.output,
            )
        except PlaintextRefused as error:
            fail(Exit.USAGE, f"{error}: --tls-root", code="PLAINTEXT_REFUSED", output=self.output)
        try:
            yield stubs
        except grpc.RpcError as error:
            _refused(read_refusal(error), self.output)
        finally:
            stubs.channel.close()


def _refused(detail: "RefusalDetail", output: Format) -> None:
    """End with what the refusal says: as lines for people, as the message's own shape for programs."""
    from google.protobuf import json_format

    exit_code = _EXITS.get(detail.code.name, Exit.ERROR)
    reasons = list(detail.detail.reasons) if detail.detail else []
    details: dict[str, Any] = {}
    if detail.decision_id or detail.incident_id:
        details["decision_id" if detail.decision_id else "incident_id"] = (
            detail.decision_id or detail.incident_id
        )
    if detail.fields:
        details["fields"] = list(detail.fields) if output is Format.JSON else ", ".join(detail.fields)
    if output is Format.JSON:
        details["reasons"] = [json_format.MessageToDict(reason) for reason in reasons]
    for reason in reasons if output is Format.TABLE else ():
        where = f"{reason.guard}/{reason.validation} " if reason.guard else ""
        said = (reason.message.en, reason.message.zh, reason.remedy.en, reason.remedy.zh)
        details[reason.code] = where + " | ".join(filter(None, (", ".join(reason.basis), *said)))
    message = detail.message or detail.code.name
    fail(exit_code, message, code=detail.reason or detail.code.name, details=details, output=output)
