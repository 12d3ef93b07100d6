"""The commands that call a running server: lookup, consent, principal, policy explain.

Each is one gRPC call with a token; the command line has no other right than that token.
"""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from fujie.app.cli.connection import LOCAL, Address, Server, TLSRoot, TokenFile
from fujie.app.cli.output import Exit, Format, Output, fail, show, show_fields, show_json

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import types_pb2 as types_v1

Store = Annotated[str, typer.Option("--store", help="Store that the customer is in.")]
Customer = Annotated[str, typer.Argument(help="Customer id in the store, or a phone number with --phone.")]
ByPhone = Annotated[bool, typer.Option("--phone", help="CUSTOMER is a phone number.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Purpose id of the catalogue.")]
Basis = Annotated[str, typer.Option("--basis", help="Legal basis (PIPL art. 13): consent, contract, ...")]
Evidence = Annotated[
    str, typer.Option("--basis-evidence", help="Evidence for the basis, an order id for example.")
]
Ticket = Annotated[str, typer.Option("--ticket", help="Ticket that this serves.")]
Channel = Annotated[str, typer.Option("--channel", help="sms, voice, email, wechat or any.")]
_PREFIX = re.compile("^(PRINCIPAL_KIND|EMPLOYMENT|TRAINING|CONSENT_EVENT_TYPE)_")

FieldNames = Annotated[str, typer.Option("--fields", help="Fields that are needed, with commas between.")]
PrincipalId = Annotated[str, typer.Argument(help="Principal: the subject of its tokens.")]


def lookup(
    customer: Customer,
    store: Store,
    fields: FieldNames,
    purpose: Purpose,
    basis: Basis = "consent",
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
    *,
    phone: ByPhone = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse when any field would be withheld.")
    ] = False,
) -> None:
    """Look up fields of one customer, masked as the policy says.

    Exit code 4 when refused: reasons, articles and remedies are printed in both languages.
    """
    from google.protobuf import json_format

    context = _context(purpose, basis, basis_evidence, ticket)
    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.customers.LookupCustomer(
            _ask(_ref(customer, store, phone=phone), store, fields, context, strict=strict)
        )
    values = json_format.MessageToDict(reply.customer)
    treatments = {name: t.withheld_reason or t.step for name, t in sorted(reply.treatments.items())}
    plain = {"customer": values, "treatments": treatments, "decision": _plain(reply.decision)}
    rows = [(name, _text(values.get(name, "")), step) for name, step in treatments.items()]
    show(output, plain, ("field", "value", "step"), rows)
    _warn(reply.decision.warnings, output)


def consent_record(
    customer: Customer,
    purpose: Purpose,
    store: Store = "",
    channel: Channel = "any",
    refused: Annotated[bool, typer.Option("--refused", help="The customer said no.")] = False,
    separate: Annotated[
        bool, typer.Option("--separate", help="A separate consent (PIPL 23, 29, 39).")
    ] = False,
    explicit: Annotated[bool, typer.Option("--explicit/--implied", help="Given by a clear act.")] = True,
    notice: Annotated[str, typer.Option("--notice", help="id@version of the notice that was shown.")] = "",
    source: Annotated[
        str, typer.Option("--source", help="website, app, offline, agent, import, ...")
    ] = "agent",
    evidence_ref: Annotated[str, typer.Option("--evidence-ref", help="Where the evidence lies.")] = "",
    request_id: Annotated[str, typer.Option("--request-id", help="Makes a repeat harmless.")] = "",
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
    *,
    phone: ByPhone = False,
) -> None:
    """Record that a customer gave, or refused, consent for a purpose."""
    from fujie.v1 import consent_service_pb2 as consent_v1
    from fujie.v1 import types_pb2 as types_v1

    notice_id, _, version = notice.partition("@")
    if notice and not (notice_id and version):
        fail(
            Exit.USAGE,
            "--notice is id@version: which text was shown counts",
            code="ARGUMENT_INVALID",
            output=output,
        )
    kind = consent_v1.CONSENT_EVENT_TYPE_REFUSED if refused else consent_v1.CONSENT_EVENT_TYPE_GIVEN
    record = consent_v1.ConsentRecord(
        purpose=purpose, channel=channel, type=kind, explicit=explicit, separate=separate, source=source,
        notice=consent_v1.NoticeRef(id=notice_id, version=version), evidence_ref=evidence_ref,
    )  # fmt: skip
    request = consent_v1.RecordConsentRequest(
        customer=_ref(customer, store, phone=phone),
        context=types_v1.RequestContext(request_id=request_id),
        consent=record,
    )
    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.consent.RecordConsent(request)
    show_fields(output, _shown(reply.consent, output))


def consent_withdraw(
    customer: Customer,
    purpose: Purpose,
    store: Store = "",
    channel: Channel = "any",
    evidence_ref: Annotated[str, typer.Option("--evidence-ref", help="Where the evidence lies.")] = "",
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
    *,
    phone: ByPhone = False,
) -> None:
    """Record that a customer withdrew consent. It holds for the very next call."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.WithdrawConsentRequest(
        customer=_ref(customer, store, phone=phone),
        purpose=purpose,
        channel=channel,
        evidence_ref=evidence_ref,
    )
    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.consent.WithdrawConsent(request)
    show_fields(output, _shown(reply.consent, output))


def consent_show(
    customer: Customer,
    purpose: Purpose,
    store: Store = "",
    channel: Channel = "any",
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
    *,
    phone: ByPhone = False,
) -> None:
    """Show the state of a customer's consent, and the event that governs it."""
    from fujie.v1 import consent_service_pb2 as consent_v1

    request = consent_v1.GetConsentRequest(
        customer=_ref(customer, store, phone=phone), purpose=purpose, channel=channel
    )
    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.consent.GetConsent(request)
    state = consent_v1.ConsentState.Name(reply.state).removeprefix("CONSENT_STATE_")
    governing = _shown(reply.governing, output) if reply.HasField("governing") else {}
    show_fields(
        output, {"state": state, **({"governing": governing} if output is Format.JSON else governing)}
    )


def principal_upsert(
    principal_id: PrincipalId,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="A role; may be given several times.")
    ] = None,
    department: Annotated[str, typer.Option("--department")] = "",
    training: Annotated[str, typer.Option("--training", help="valid, lapsed or none.")] = "none",
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
    *,
    service: Annotated[bool, typer.Option("--service", help="A service, not an employee.")] = False,
    suspended: Annotated[
        bool, typer.Option("--suspended", help="Known, but may do nothing for now.")
    ] = False,
) -> None:
    """Write the whole record of a principal. Nobody writes his own."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    known = {
        "valid": directory_v1.TRAINING_VALID,
        "lapsed": directory_v1.TRAINING_LAPSED,
        "none": directory_v1.TRAINING_NONE,
    }
    if training not in known:
        fail(Exit.USAGE, f"--training is one of {', '.join(known)}", code="ARGUMENT_INVALID", output=output)
    principal = directory_v1.Principal(
        id=principal_id,
        kind=directory_v1.PRINCIPAL_KIND_SERVICE if service else directory_v1.PRINCIPAL_KIND_EMPLOYEE,
        roles=role or [],
        department=department,
        employment=directory_v1.EMPLOYMENT_SUSPENDED if suspended else directory_v1.EMPLOYMENT_ACTIVE,
        training=known[training],
    )
    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))
    show_fields(output, _shown(reply.principal, output))


def principal_offboard(
    principal_id: PrincipalId,
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
) -> None:
    """End the employment of a principal and drop its roles. It holds for the very next call."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.directory.OffboardPrincipal(directory_v1.OffboardPrincipalRequest(id=principal_id))
    show_fields(output, _shown(reply.principal, output))


def principal_show(
    principal_id: PrincipalId,
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
) -> None:
    """Show a principal as the directory holds it."""
    from fujie.v1 import directory_service_pb2 as directory_v1

    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.directory.GetPrincipal(directory_v1.GetPrincipalRequest(id=principal_id))
    show_fields(output, _shown(reply.principal, output))


def policy_explain(
    customer: Customer,
    store: Store,
    fields: FieldNames,
    purpose: Purpose,
    principal: Annotated[
        str, typer.Option("--principal", help="Whose look-up; your own when left out.")
    ] = "",
    basis: Basis = "consent",
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    address: Address = LOCAL,
    token_file: TokenFile = None,
    tls_root: TLSRoot = None,
    output: Output = Format.TABLE,
    *,
    phone: ByPhone = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also rules that are for other roles, or do not apply.")
    ] = False,
) -> None:
    """Say what a look-up would decide, and why, clause by clause. Releases nothing."""
    from fujie.v1 import policy_service_pb2 as policy_v1
    from fujie.v1 import types_pb2 as types_v1

    context = _context(purpose, basis, basis_evidence, ticket)
    ask = _ask(_ref(customer, store, phone=phone), store, fields, context, strict=False)
    with Server(address, token_file, tls_root, output).stubs() as stubs:
        reply = stubs.policy.Explain(policy_v1.ExplainRequest(lookup=ask, principal=principal))
    if output is Format.JSON:
        show_json(_plain(reply))
        return
    effect = types_v1.Effect.Name(reply.effect).removeprefix("EFFECT_")
    codes = ", ".join(reason.code for reason in reply.reasons)
    rules = [rule for rule in reply.rules if every or _matters(rule)]
    show(output, None, (effect, codes, ""), _trace_rows(rules))


def _matters(rule: Any) -> bool:
    return rule.outcome != "does not apply" and not (
        rule.part == "roles" and rule.outcome.startswith("not matched")
    )


def _trace_rows(rules: Any) -> list[tuple[str | Text, ...]]:
    rows: list[tuple[str | Text, ...]] = []
    for rule in rules:
        bad = rule.outcome not in ("matched", "held", "tightens", "does not apply")
        head = Text(f"{rule.kind} {rule.name} {rule.part}", style="bold")
        rows.append(
            (head, Text(rule.outcome, style="yellow" if bad else "green"), Text(rule.place, style="dim"))
        )
        for clause in rule.clauses:
            reads = ", ".join(f"{path} = {value}" for path, value in sorted(clause.reads.items()))
            rows.append(
                (f"{'  ' * (clause.depth + 1)}{clause.text}", clause.value, Text(reads, style="dim"))
            )
    return rows


def _ask(
    ref: "types_v1.CustomerRef",
    store: str,
    fields: str,
    context: "types_v1.RequestContext",
    *,
    strict: bool,
) -> Any:  # the message type is only known once grpc is imported
    from google.protobuf.field_mask_pb2 import FieldMask

    from fujie.v1 import customer_data_service_pb2 as customer_v1

    names = [name.strip() for name in fields.split(",") if name.strip()]
    return customer_v1.LookupCustomerRequest(
        customer=ref, store=store, context=context, read_mask=FieldMask(paths=names), strict=strict
    )


def _context(purpose: str, basis: str, evidence: str, ticket: str) -> "types_v1.RequestContext":
    from fujie.v1 import types_pb2 as types_v1

    return types_v1.RequestContext(purpose=purpose, basis=basis, basis_evidence=evidence, ticket=ticket)


def _ref(customer: str, store: str, *, phone: bool) -> "types_v1.CustomerRef":
    from fujie.v1 import types_pb2 as types_v1

    if phone:
        return types_v1.CustomerRef(phone=customer)
    return types_v1.CustomerRef(store_key=types_v1.StoreKey(store=store, customer_id=customer))


def _warn(warnings: Any, output: Format) -> None:
    if output is Format.TABLE:
        for reason in warnings:
            typer.echo(f"warning {reason.code}: {reason.message.en} {reason.message.zh}", err=True)


def _plain(message: Any) -> dict[str, Any]:
    from google.protobuf import json_format

    plain: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return plain


def _shown(message: Any, output: Format) -> dict[str, Any]:
    """Return the fields of a message; for people without the prefixes that protobuf's enumerations need."""
    plain = _plain(message)
    if output is Format.JSON:
        return plain
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else _PREFIX.sub("", str(value))
        for name, value in plain.items()
        if value not in ({}, [])
    }


def _text(value: object) -> str:
    return "null" if value is None else str(value)
