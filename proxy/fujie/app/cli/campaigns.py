"""`fujie campaign`: one message to many."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fujie.app.cli.arguments import Purpose, RequestId
from fujie.app.cli.campaign_progress import adding, watching
from fujie.app.cli.campaign_query import MOST, add_from_store
from fujie.app.cli.connection import Server, calls_server
from fujie.app.cli.drafts import (
    Category,
    ProviderName,
    Signature,
    TemplateId,
    Text,
    category_of,
    context_of,
    one_content,
)
from fujie.app.cli.lookups import Basis, ByApproval, Evidence, Ticket
from fujie.app.cli.messages import plain
from fujie.app.cli.output import Exit, Format, fail, show, show_fields, show_json
from fujie.app.cli.recipients import Columns, Rows
from fujie.app.cli.sheets import BadFile, at_lines, count

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import messaging_service_pb2 as messaging_v1

Name = Annotated[str, typer.Argument(help="The campaign, campaigns/<id>, as `campaign create` shows it.")]
ValidateOnly = Annotated[bool, typer.Option("--validate-only", help="Only say what would be said.")]
CALL_S = 120.0
"""How long one call adds recipients; the next one goes on. A connection, and so a call, lives five minutes."""

_MOST_LINES = 20
"""Line numbers that are shown to people for one reason; --output json has up to a hundred."""


@calls_server
def create(
    server: Server,
    purpose: Purpose,
    signature: Signature,
    category: Category = "marketing",
    text: Text = "",
    template: TemplateId = "",
    provider: ProviderName = "",
    basis: Basis = "consent",
    basis_evidence: Evidence = "",
    ticket: Ticket = "",
    request_id: RequestId = "",
    *,
    validate_only: ValidateOnly = False,
) -> None:
    """Draft a campaign, and show what the review of its text found before anybody is added.

    Exit code 6 with --validate-only when it could not be started like this.
    """
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    one_content(server, text, template)
    draft = messaging_v1.MessageDraft(
        category=category_of(server, category), signature=signature, provider=provider
    )
    if template:
        draft.template = template
    else:
        draft.text = text
    context = context_of(purpose, basis, basis_evidence, ticket, request_id=request_id)
    request = messaging_v1.CreateCampaignRequest(context=context, draft=draft, validate_only=validate_only)
    with server.stubs() as stubs:
        reply = stubs.messages.CreateCampaign(request)
    if server.output is Format.JSON:
        show_json(plain(reply))
    else:
        _show_review(server, reply)
    if validate_only and (reply.review.problems or reply.review.findings):
        raise typer.Exit(Exit.FINDINGS)


@calls_server
def add(
    server: Server,
    name: Name,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CSV or XLSX with a heading; or .txt, one id or number a line. Without one: the customers of --store."
        ),
    ] = None,
    store: Annotated[
        str, typer.Option("--store", help="Store of the ids; left out when --phone-column is given.")
    ] = "",
    id_column: Annotated[str, typer.Option("--id-column", help="Column of the customer ids.")] = "",
    phone_column: Annotated[str, typer.Option("--phone-column", help="Column of the phone numbers.")] = "",
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", help="A column that is a variable of the text; all others if left out."),
    ] = None,
    where: Annotated[
        str, typer.Option("--filter", help='Without a file: who, such as city = "Hangzhou".')
    ] = "",
    most: Annotated[
        int, typer.Option("--max", min=0, max=MOST, help="Without a file: the most customers; 0 for all.")
    ] = 0,
    approval: ByApproval = "",
) -> None:
    """Add recipients to a draft: those of a file, or customers of a store. Nobody is in it twice, so that the same may be
    added again.

    Rows of a file that can not be added are counted, and listed by line number and reason; exit code 6 then.
    """
    if file is None or where or most or approval:
        _check_query(server, file, store, [id_column, phone_column, variable])
        from fujie.v1 import messaging_service_pb2 as messaging_v1

        query = messaging_v1.StoreQuery(store=store, filter=where, max_rows=most)
        add_from_store(server, name, query, approval)
        return
    columns = _columns(server, file, store, (id_column, phone_column), variable)
    _add_file(server, name, Rows(file, columns))


@calls_server
def start(
    server: Server,
    name: Name,
    *,
    approval: ByApproval = "",
    validate_only: ValidateOnly = False,
) -> None:
    """Start a draft, or go on with a paused campaign."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    request = messaging_v1.StartCampaignRequest(
        name=name, context=context_of("", "", "", "", approval=approval), validate_only=validate_only
    )
    with server.stubs() as stubs:
        reply = stubs.messages.StartCampaign(request)
    _show(server, reply.campaign)


@calls_server
def pause(server: Server, name: Name) -> None:
    """Stop sending within a second, until it is started again."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    with server.stubs() as stubs:
        reply = stubs.messages.PauseCampaign(messaging_v1.PauseCampaignRequest(name=name))
    _show(server, reply.campaign)


@calls_server
def cancel(server: Server, name: Name) -> None:
    """End it for good: what was not sent is not."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    with server.stubs() as stubs:
        reply = stubs.messages.CancelCampaign(messaging_v1.CancelCampaignRequest(name=name))
    _show(server, reply.campaign)


@calls_server
def watch(server: Server, name: Name) -> None:
    """Show a campaign as it goes on, until it has ended: a bar on a terminal, a line for each change otherwise."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    request = messaging_v1.WatchCampaignRequest(name=name)
    final = {messaging_v1.CAMPAIGN_STATE_CANCELLED, messaging_v1.CAMPAIGN_STATE_DONE}
    with server.stubs() as stubs, watching(server.output) as shown:
        is_over = False
        while not is_over:  # a stream ends after some minutes
            for reply in stubs.messages.WatchCampaign(request):
                shown(plain(reply.campaign))
                is_over = reply.campaign.state in final
    if server.output is not Format.JSON:
        _show(server, reply.campaign)


@calls_server
def report(server: Server, name: Name) -> None:
    """Show what has become of a campaign: how many are in each state, and why some got nothing."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    with server.stubs() as stubs:
        reply = stubs.messages.GetCampaign(messaging_v1.GetCampaignRequest(name=name))
    _show(server, reply.campaign)


def _add_file(server: Server, name: str, rows: Rows) -> None:
    trouble: list[BadFile] = []
    try:
        total = count(rows.file)
    except BadFile as error:
        fail(Exit.USAGE, str(error), code=error.code, output=server.output)
    sent = _Sent(rows.messages())
    with adding(total) as progress, server.stubs() as stubs:
        while not sent.is_over:
            before = sent.rows
            sent.take(stubs.messages.AddRecipients(_requests(name, sent, progress, trouble)), before)
    refused = _refused(rows, sent)
    counts = {"added": sent.added, "repeated": sent.repeated}
    if server.output is Format.JSON:
        show_json({**counts, "refused": refused})
    else:
        show_fields(server.output, {name: str(count) for name, count in counts.items()})
        _show_refused(server, refused)
    if trouble:
        so_far = "what stood before it was added" if rows.lines else "nothing was added"
        fail(
            Exit.USAGE,
            f"{trouble[0]}; {so_far}",
            code=trouble[0].code,
            output=server.output,
        )
    if refused:
        raise typer.Exit(Exit.FINDINGS)


def _check_query(server: Server, file: Path | None, store: str, of_files: list[Any]) -> None:
    if file is not None or not store or any(of_files):
        fail(
            Exit.USAGE,
            "give a file; or --store without one, and then --filter, --max, --approval as they are needed",
            code="ARGUMENT_INVALID",
            output=server.output,
        )


def _columns(
    server: Server, file: Path, store: str, keys: tuple[str, str], variables: list[str] | None
) -> Columns:
    id_column, phone_column = keys
    is_plain = file.suffix.lower() == ".txt"
    is_one = bool(id_column) != bool(phone_column) and bool(store) == bool(id_column)
    if not (is_one or (is_plain and not (id_column or phone_column))):
        fail(
            Exit.USAGE,
            "give --store and --id-column, or --phone-column; for a .txt of ids --store alone, for one of numbers nothing",
            code="ARGUMENT_INVALID",
            output=server.output,
        )
    key = "" if is_plain else id_column or phone_column
    return Columns(key, store, None if variables is None else tuple(variables))


@dataclass(slots=True)
class _Sent:
    """What has been sent of a file, in one call or several, and what came of it: `refused` has rows by their place in all
    that was sent."""

    batches: "Iterator[list[messaging_v1.Recipient]]"
    rows: int = 0
    is_over: bool = False
    added: int = 0
    repeated: int = 0
    refused: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, reply: Any, before: int) -> None:
        """Add what came of a call that began with row `before`."""
        self.added += reply.added
        self.repeated += reply.repeated
        for each in reply.refused:
            self.refused.setdefault(each.reason, []).extend(before + row for row in each.rows)
            self.counts[each.reason] = self.counts.get(each.reason, 0) + each.count


def _requests(
    name: str, sent: _Sent, progress: Any, trouble: list[BadFile]
) -> "Iterator[messaging_v1.AddRecipientsRequest]":
    """Yield what is sent in one call. gRPC would swallow what goes wrong here: it ends the stream, and is told afterwards."""
    from fujie.v1 import messaging_service_pb2 as messaging_v1

    head: dict[str, Any] = {"name": name}
    until = monotonic() + CALL_S
    try:
        for batch in sent.batches:
            yield messaging_v1.AddRecipientsRequest(**head, recipients=batch)
            progress(len(batch))
            sent.rows += len(batch)
            head = {}
            if monotonic() > until:
                return
    except BadFile as error:
        trouble.append(error)
    sent.is_over = True
    if head:  # nobody: let the server say whether there is such a campaign
        yield messaging_v1.AddRecipientsRequest(**head)


def _refused(rows: Rows, sent: _Sent) -> dict[str, dict[str, Any]]:
    """Return the rows that were not added, by reason: how many, and at which lines, of a hundred of them."""
    lines = {code: list(found) for code, found in rows.refused.items()}
    counts = {code: len(found) for code, found in lines.items()}
    for reason, places in sent.refused.items():
        lines.setdefault(reason, []).extend(at_lines(rows.lines, places))
        counts[reason] = counts.get(reason, 0) + sent.counts[reason]
    return {code: {"count": counts[code], "lines": sorted(lines[code])[:100]} for code in sorted(counts)}


def _show_refused(server: Server, refused: Mapping[str, Mapping[str, Any]]) -> None:
    if not refused:
        return
    rows = []
    for code, found in sorted(refused.items()):
        lines = ", ".join(map(str, found["lines"][:_MOST_LINES]))
        more = ", ..." if found["count"] > _MOST_LINES else ""
        rows.append((code, str(found["count"]), lines + more))
    show(server.output, None, ("not added", "rows", "lines"), rows)


def _show_review(server: Server, reply: Any) -> None:
    review = reply.review
    name = {"name": reply.campaign.name} if reply.campaign.name else {}
    cost = {"cost": f"{review.cost / 1000:.3f} each"} if review.HasField("cost") else {}
    personal = {"personal data": ", ".join(review.personal_data) or "none"}
    show_fields(server.output, {**name, "segments": str(review.segments), **cost, **personal})
    found = [
        (each.severity, each.category, each.word, ", ".join(each.articles)) for each in review.findings
    ]
    if found:
        show(server.output, None, ("finding", "category", "word", "articles"), found)
    problems = [
        (each.code, each.message.en, each.message.zh, ", ".join(each.basis)) for each in review.problems
    ]
    if problems:
        show(server.output, None, ("problem", "", "", "articles"), problems)


def _show(server: Server, campaign: Any) -> None:
    told = plain(campaign)
    if server.output is Format.JSON:
        show_json(told)
        return
    named = ("name", "requester", "purpose", "created_at", "started_at", "ended_at")
    show_fields(
        server.output,
        {
            "state": told["state"].removeprefix("CAMPAIGN_STATE_"),
            **{key: told[key] for key in named if key in told},
            "recipients": str(told.get("recipients", 0)),
        },
    )
    rows = [
        (each["state"].removeprefix("MESSAGE_STATE_"), str(each["count"]))
        for each in told.get("states", ())
    ]
    rows += [(f"  {each['reason']}", str(each["count"])) for each in told.get("reasons", ())]
    if rows:
        show(server.output, None, ("messages", "count"), rows)
