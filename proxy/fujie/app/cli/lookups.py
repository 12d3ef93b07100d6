"""`fujie lookup` and `fujie policy explain`: what leaves, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from fujie.app.cli.arguments import ByPhone, Customer, Purpose, Store, customer_ref
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.messages import plain
from fujie.app.cli.output import Format, show, show_json
from fujie.app.cli.suggestions import print_suggestions

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import policy_service_pb2 as policy_v1
    from fujie.v1 import types_pb2 as types_v1

Basis = Annotated[str, typer.Option("--basis", help="Legal basis (PIPL art. 13): consent, contract, ...")]
Evidence = Annotated[
    str, typer.Option("--basis-evidence", help="Evidence for the basis, an order id for example.")
]
Ticket = Annotated[str, typer.Option("--ticket", help="Ticket that this serves.")]
ByApproval = Annotated[str, typer.Option("--approval", help="Approval that others gave: approvals/<id>.")]
BreakGlass = Annotated[
    bool,
    typer.Option(
        "--break-glass", help="Emergency: go ahead before others agree; needs --ticket, is reviewed."
    ),
]
FieldNames = Annotated[str, typer.Option("--fields", help="Fields that are needed, with commas between.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse when any field would be withheld.")]


@calls_server
def lookup(
    server: Server,
    customer: Customer,
    store: Store,
    fields: FieldNames,
    purpose: Purpose,
    basis: Basis = "consent",
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    *,
    phone: ByPhone = False,
    approval: ByApproval = "",
    break_glass: BreakGlass = False,
    strict: Strict = False,
    why: Annotated[
        bool,
        typer.Option("--explain", help="When refused, say what would open it; needs the right to explain."),
    ] = False,
) -> None:
    """Look up fields of one customer, masked as the policy says.

    Exit code 4 when refused: reasons, articles and remedies are printed in both languages.
    """
    from google.protobuf import json_format

    context = _context(purpose, basis, basis_evidence, ticket)
    context.approval, context.explain, context.break_glass = approval, why, break_glass
    with server.stubs() as stubs:
        reply = stubs.customers.LookupCustomer(
            _ask(customer_ref(customer, store, phone=phone), store, fields, context, strict=strict)
        )
    values = json_format.MessageToDict(reply.customer)
    treatments = {name: t.withheld_reason or t.step for name, t in sorted(reply.treatments.items())}
    told = {
        "customer": dict(sorted(values.items())),
        "treatments": treatments,
        "decision": plain(reply.decision),
    }
    rows = [(name, _text(values.get(name, "")), step) for name, step in treatments.items()]
    show(server.output, told, ("field", "value", "step"), rows)
    _warn(reply.decision.warnings, server.output)


@calls_server
def explain(
    server: Server,
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
    *,
    phone: ByPhone = False,
    strict: Strict = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also rules that are for other roles, or do not apply.")
    ] = False,
) -> None:
    """Say what a look-up would decide, why, clause by clause, and what would open it. Releases nothing."""
    from fujie.v1 import policy_service_pb2 as policy_v1

    context = _context(purpose, basis, basis_evidence, ticket)
    ask = _ask(customer_ref(customer, store, phone=phone), store, fields, context, strict=strict)
    with server.stubs() as stubs:
        reply = stubs.policy.Explain(policy_v1.ExplainRequest(lookup=ask, principal=principal))
    if server.output is Format.JSON:
        show_json(_in_order(plain(reply)))
        return
    print_explanation(reply, every=every)


def print_explanation(reply: "policy_v1.ExplainResponse", *, every: bool = False) -> None:
    """Print the rules that matter, or `every` one, then where the step of each field comes from, or what would open it."""
    from fujie.v1 import types_pb2 as types_v1

    effect = types_v1.Effect.Name(reply.effect).removeprefix("EFFECT_")
    codes = ", ".join(reason.code for reason in reply.reasons)
    rules = [rule for rule in reply.rules if every or _matters(rule)]
    show(Format.TABLE, None, (effect, codes, ""), _trace_rows(rules))
    if reply.fields:
        typer.echo()
        show(Format.TABLE, None, ("field", "step", "opened by", "closed by"), _field_rows(reply.fields))
    print_suggestions(reply)


def _in_order(told: dict[str, Any]) -> dict[str, Any]:
    """Sort what protobuf gives in an order of its own: two explanations are compared by their lines."""
    for clause in (clause for rule in told.get("rules", ()) for clause in rule.get("clauses", ())):
        clause["reads"] = dict(sorted(clause.get("reads", {}).items()))
    return told | {"treatments": dict(sorted(told.get("treatments", {}).items()))}


def _matters(rule: Any) -> bool:
    return rule.outcome != "does not apply" and not (
        rule.part == "roles" and rule.outcome.startswith("not matched")
    )


_GOOD = frozenset(
    {"matched", "held", "tightens", "does not apply", "within its limits", "within its caps", "approved"}
)


def _trace_rows(rules: Any) -> list[tuple[str | Text, ...]]:
    rows: list[tuple[str | Text, ...]] = []
    for rule in rules:
        bad = rule.outcome not in _GOOD
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


def _field_rows(fields: Any) -> list[tuple[str | Text, ...]]:
    return [
        (
            each.field,
            Text(each.withheld_reason or each.step, style="yellow" if each.withheld_reason else "green"),
            ", ".join(f"grant {name}" for name in each.opened_by),
            Text(", ".join(each.closed_by), style="yellow"),
        )
        for each in fields
    ]


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


def _warn(warnings: Any, output: Format) -> None:
    if output is Format.TABLE:
        for reason in warnings:
            typer.echo(f"warning {reason.code}: {reason.message.en} {reason.message.zh}", err=True)


def _text(value: object) -> str:
    return "null" if value is None else str(value)
