"""The connection of the client commands: where the server is, as whom to call, how a refusal is told."""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fujie.app.cli.messages import plain
from fujie.app.cli.output import Exit, Format, Output, fail

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
TLSCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", envvar="FUJIE_TLS_CERT", help="Certificate of this workload, for mutual TLS."
    ),
]
TLSKey = Annotated[
    Path | None, typer.Option("--tls-key", envvar="FUJIE_TLS_KEY", help="Private key of --tls-cert.")
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


_SERVER = "server"


def calls_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which server to call, as whom, and how to print.

    The command takes a `server` in their place; typer sees the options.
    """
    own = inspect.signature(command, eval_str=True)
    options = inspect.signature(_server, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        server = _server(**{name: given.pop(name) for name in options})
        server = replace(server, approval=given.get("approval") or "")
        command(**given, **{_SERVER: server})

    parameters = [each for each in own.parameters.values() if each.name != _SERVER]
    by_name = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*parameters, *options.values())
    ]
    run.__signature__ = own.replace(parameters=by_name)  # type: ignore[attr-defined]  # what inspect looks for
    run.__annotations__ = {each.name: each.annotation for each in by_name}
    return run


def _server(
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    tls_cert: TLSCert = None,
    tls_key: TLSKey = None,
    output: Output = Format.TABLE,
) -> "Server":
    return Server(address, token_file, tls_root, output, tls_cert, tls_key)


@dataclass(frozen=True, slots=True)
class Server:
    """Which server to call, as whom (by token, by certificate, or both), and how to print. `approval` is the one that the
    command was given, where it takes one."""

    address: str
    token_file: Path | None
    tls_root: Path | None
    output: Format
    tls_cert: Path | None = None
    tls_key: Path | None = None
    approval: str = ""

    @contextmanager
    def stubs(self) -> Iterator["Stubs"]:
        """Connect; a refusal, or no answer, ends the command with its exit code and the reasons."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes to stderr what the error says anyway
        import grpc

        from fujie.app.client import read_refusal

        stubs = self._connected()
        try:
            yield stubs
        except grpc.RpcError as error:
            detail = read_refusal(error)
            if detail.code is grpc.StatusCode.UNAVAILABLE and not detail.reason:
                self._unreached(detail.message)
            _refused(detail, self.output, self.approval)
        finally:
            stubs.channel.close()

    def _connected(self) -> "Stubs":
        from fujie.app.client import CertificateInvalid, ClientCertificate, PlaintextRefused, connect

        if (self.tls_cert is None) != (self.tls_key is None):
            fail(
                Exit.USAGE,
                "--tls-cert and --tls-key belong together",
                code="CERTIFICATE_INCOMPLETE",
                output=self.output,
            )
        certificate = (
            ClientCertificate(self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None
        )
        if self.token_file is None and certificate is None:
            fail(
                Exit.USAGE,
                "give --token-file or FUJIE_TOKEN_FILE, or --tls-cert and --tls-key",
                code="TOKEN_MISSING",
                output=self.output,
            )
        try:
            token = self._token(self.token_file) if self.token_file else ""
            return connect(self.address, token, self.tls_root, certificate)
        except OSError as error:
            fail(
                Exit.USAGE,
                f"{error.filename}: {error.strerror}",
                code="FILE_UNREADABLE",
                output=self.output,
            )
        except PlaintextRefused as error:
            fail(Exit.USAGE, f"{error}: --tls-root", code="PLAINTEXT_REFUSED", output=self.output)
        except CertificateInvalid as error:
            fail(Exit.USAGE, str(error), code="CERTIFICATE_INVALID", output=self.output)

    def _unreached(self, why: str) -> NoReturn:
        """End because no server of ours answered; a refusal of ours has a reason."""
        fail(
            Exit.ERROR,
            f"no answer from {self.address}; --address or FUJIE_ADDRESS says where the server is",
            code="UNAVAILABLE",
            details={"error": why},
            output=self.output,
        )

    def _token(self, file: Path) -> str:
        """Return the token in a file; what is none ends the command. Raises OSError."""
        token = file.read_text("ascii", "replace").strip()
        if not (token.isascii() and token.isprintable() and token):
            fail(Exit.USAGE, f"{file}: not a token", code="TOKEN_INVALID", output=self.output)
        return token


def _refused(detail: "RefusalDetail", output: Format, approval: str = "") -> None:
    """End with what the refusal says: as lines for people, as the message's own shape for programs. A server answers to an
    `approval` that does not hold as to none; whoever gave it is told what that can mean."""
    from fujie.app.cli.suggestions import opening

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
        details["reasons"] = [plain(reason) for reason in reasons]
    for reason in reasons if output is Format.TABLE else ():
        where = f"{reason.guard}/{reason.validation} " if reason.guard else ""
        said = (reason.message.en, reason.message.zh, reason.remedy.en, reason.remedy.zh)
        details[reason.code] = where + " | ".join(filter(None, (", ".join(reason.basis), *said)))
    if detail.detail and detail.detail.HasField("prompt"):
        prompt = detail.detail.prompt
        if output is Format.JSON:
            details["prompt"] = plain(prompt)
        else:
            details[f"notice {prompt.notice_id}@{prompt.notice_version}"] = (
                f"{prompt.text.zh} | {prompt.text.en}"
            )
            details["then"] = f"fujie consent record --given|--refused --freely --prompt {prompt.token}"
    if detail.detail and detail.detail.approval:
        details["approval"] = detail.detail.approval
        if output is Format.TABLE and approval not in ("", detail.detail.approval):
            details[approval] = (
                "does not hold here: it is bound to every option, and for one use; `fujie approval show` says more"
            )
        if output is Format.TABLE:
            details["then"] = (
                f"the same again with --approval {detail.detail.approval}, once it is approved"
            )
    if detail.explanation is not None:
        if output is Format.JSON:
            details["explanation"] = plain(detail.explanation)
        else:
            details["would open it"] = (
                "; ".join(opening(detail.explanation)) or "nothing that the asker has in hand"
            )
    message = detail.message or detail.code.name
    fail(exit_code, message, code=detail.reason or detail.code.name, details=details, output=output)
