"""`fujie consent record`, `evidence` and `verify`: what customers answered, and what proves it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fujie.app.cli.arguments import (
    ByPhone,
    Channel,
    Customer,
    EvidenceRef,
    Purpose,
    RequestId,
    Store,
    customer_ref,
)
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import shown
from fujie.app.cli.output import Exit, Format, Output, fail, show, show_fields

if TYPE_CHECKING:
    from fujie.v1 import consent_service_pb2 as consent_v1  # at run time only by the command that needs it

_MOST_BYTES = 64 * 1024 * 1024
"""More than any customer's history has; a wrong path may name something huge."""


@calls_server
def record(
    server: Server,
    customer: Annotated[
        str, typer.Argument(help="Customer id, or phone number with --phone; not needed with --prompt.")
    ] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="Purpose id; not needed with --prompt.")] = "",
    store: Store = "",
    channel: Channel = "any",
    given: Annotated[
        bool | None, typer.Option("--given/--refused", help="What the customer said. Needed.")
    ] = None,
    freely: Annotated[
        bool,
        typer.Option(
            "--freely",
            help="The customer chose, and this alone: nothing was ticked beforehand, nothing bundled. A consent needs it.",
        ),
    ] = False,
    prompt: Annotated[str, typer.Option("--prompt", help="Token of the prompt that a refusal gave.")] = "",
    explicit: Annotated[bool, typer.Option("--explicit/--implied", help="Given by a clear act.")] = True,
    separate: Annotated[
        bool, typer.Option("--separate", help="A separate consent (PIPL 23, 29, 39).")
    ] = False,
    notice: Annotated[str, typer.Option("--notice", help="id@version of the notice that was shown.")] = "",
    language: Annotated[str, typer.Option("--language", help="Language that it was shown in.")] = "zh-CN",
    digest: Annotated[str, typer.Option("--digest", help="SHA-256 of the text that was shown, hex.")] = "",
    source: Annotated[
        str, typer.Option("--source", help="website, app, offline, agent, import, ...")
    ] = "agent",
    evidence_ref: EvidenceRef = "",
    request_id: RequestId = "",
    *,
    phone: ByPhone = False,
) -> None:
    """Record what a customer answered: to a prompt, or under a notice that was shown in another way."""
    from fujie.v1 import consent_service_pb2 as consent_v1
    from fujie.v1 import types_pb2 as types_v1

    if given is None:
        _misused(server, "say --given or --refused: silence is neither")
    if not prompt and not (customer and purpose):
        _misused(server, "give CUSTOMER and --purpose, or --prompt")
    event = consent_v1.ConsentRecord(
        purpose=purpose, channel=channel, source=source, evidence_ref=evidence_ref, separate=separate,
        type=f"CONSENT_EVENT_TYPE_{'GIVEN' if given else 'REFUSED'}",
        explicit=explicit and given and not prompt,
        notice=_notice(server, notice, language if notice or prompt else "", digest),
    )  # fmt: skip
    request = consent_v1.RecordConsentRequest(
        customer=customer_ref(customer, store, phone=phone) if customer else None,
        context=types_v1.RequestContext(request_id=request_id),
        consent=event,
        prompt=prompt,
        capture=consent_v1.Capture(preselected=False, bundled=False) if freely else None,
    )
    with server.stubs() as stubs:
        reply = stubs.consent.RecordConsent(request)
    show_fields(server.output, shown(reply.consent, server.output))


def _notice(server: Server, notice: str, language: str, digest: str) -> "consent_v1.NoticeRef":
    from fujie.v1 import consent_service_pb2 as consent_v1

    notice_id, _, version = notice.partition("@")
    if notice and not (notice_id and version):
        _misused(server, "--notice is id@version: which text was shown counts")
    return consent_v1.NoticeRef(id=notice_id, version=version, language=language, digest=digest)


def _misused(server: Server, words: str) -> NoReturn:
    fail(Exit.USAGE, words, code="ARGUMENT_INVALID", output=server.output)


@calls_server
def evidence(
    server: Server,
    customer: Customer,
    file: Annotated[Path, typer.Option("--file", help="Where the evidence goes; never overwritten.")],
    store: Store = "",
    purpose: Purpose = "",
    *,
    phone: ByPhone = False,
) -> None:
    """Export what proves a customer's consents, as one signed file (docs/consent-evidence.md).

    The file names the customer as you named it: keep it like the customer's data.
    """
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.ExportConsentEvidenceRequest(
        customer=customer_ref(customer, store, phone=phone), purpose=purpose
    )
    with server.stubs() as stubs:
        reply = stubs.consent.ExportConsentEvidence(request)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
            made.write(reply.evidence)
    except OSError as error:
        fail(Exit.ERROR, f"{file}: {error.strerror}", code="UNWRITABLE", output=server.output)
    fields = {"file": str(file), "bytes": len(reply.evidence), "decision_id": reply.decision.decision_id}
    show_fields(server.output, fields)


def verify(
    file: Annotated[Path, typer.Argument(help="File that `fujie consent evidence` wrote.")],
    vkey: Annotated[
        list[str], typer.Option("--vkey", help="Public key to pin, from the operator; repeatable.")
    ],
    output: Output = Format.TABLE,
) -> None:
    """Check consent evidence without a server, and say what it proves. Exit code 6 unless all of it is proven."""
    from fujie.audit.checkpoint import parse_vkey
    from fujie.audit.consent_bundle import Standing, verify
    from fujie.audit.errors import CheckpointInvalid

    try:
        keys = [parse_vkey(each) for each in vkey]
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except CheckpointInvalid as error:
        fail(Exit.INVALID, str(error), code=error.code, output=output)
    except OSError as error:
        fail(Exit.NOT_FOUND, f"{file}: {error.strerror}", code="UNREADABLE", output=output)
    statements = verify(content, keys)
    is_proven = all(each.standing is Standing.PROVEN for each in statements)
    plain = [{"standing": each.standing, "text": each.text} for each in statements]
    rows = [(each.standing, each.text) for each in statements]
    show(output, {"proven": is_proven, "statements": plain}, ("", "statement"), rows)
    raise typer.Exit(Exit.OK if is_proven else Exit.FINDINGS)
