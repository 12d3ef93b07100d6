"""A campaign in which opt-outs arrive while it runs, and the proof that they held.

Nothing is sent: the provider is `outbox`, which writes each message as a line of a file. That file is the proof. When an
opt-out is acknowledged its size is noted, and no line for that number may stand behind it: no clock is believed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from zoneinfo import ZoneInfo

import grpc
import yaml

from fujie.adapters.logfiles import leaves_of, logs_in, verify_directory
from fujie.app.client import read_refusal
from fujie.app.demo.cast import (
    COMPLIANCE,
    DESK,
    MARKETER,
    Connections,
    Scene,
    customer,
    refused,
    told,
)
from fujie.app.demo.customers import customers
from fujie.app.demo.site import Site
from fujie.audit.entry import Entry, EntryKind, parse_entry
from fujie.audit.tiles import WIDTH
from fujie.audit.verify import LogReport
from fujie.decision.replay import PEOPLE
from fujie.flows.dispatch import CAMPAIGN
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import types_pb2 as types_v1

RECIPIENTS = 5_000
RATE = 500
"""Messages a second: some ten seconds, so that there is something to watch, and to interrupt."""
SIGNATURE = "样例商城"
SENDER = f"""\
# Under whose name the demo sends. 演示用的短信签名。
apiVersion: fujie.dev/v1
kind: Sender
metadata: {{name: demo}}
spec: {{signature: {SIGNATURE}}}
"""

_TEXT, _BANNED = "新品到店，会员专享。拒收请回复R", "国家级新品到店，会员专享。拒收请回复R"
_SILENT = 25
"""Every so many-th recipient never answered the notice."""
_OPT_OUTS = 60
_EVERY_S = 0.1
"""Between two opt-outs, so that they come all the time that it runs."""
_BATCH = 500
_DAY, _ALWAYS = "{from_hour: 8, until_hour: 20}", "{from_hour: 0, until_hour: 24}"
_FROM, _UNTIL = 8, 19
"""An hour before the guard closes, so that it does not close in the middle."""
_SIGNED_WITHIN_S = 5.0

Watching = Callable[[], AbstractContextManager[Callable[[messaging_v1.Campaign], None]]]


@contextmanager
def unwatched() -> Iterator[Callable[[messaging_v1.Campaign], None]]:
    """Show nothing of how far a campaign is."""
    yield lambda _: None


@dataclass(frozen=True, slots=True, repr=False)
class OptOut:
    """An acknowledged opt-out: whose, and how long the outbox was when the acknowledgement came."""

    phone: str
    size: int


def outbox_of(site: Site) -> Path:
    """Return where the messages of `site` go."""
    return site.root / "outbox.jsonl"


def let_send(site: Site, now: datetime) -> bool:
    """Give the site a provider that writes to a file, and a name to send under.

    The base pack sends marketing by day. At night the site's own copy of that guard is opened; return whether it was.
    """
    config = yaml.safe_load(site.config.read_text("utf-8"))
    outbox = {"kind": "outbox", "file": str(outbox_of(site)), "rate_per_second": RATE}
    config["messaging"] = {"providers": {"outbox": outbox}}
    site.config.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), "utf-8")
    (site.root / "policies" / "demo.yaml").write_text(SENDER, "utf-8")
    if _FROM <= now.astimezone(ZoneInfo("Asia/Shanghai")).hour < _UNTIL:
        return False
    guards = site.root / "policies" / "messages.yaml"
    text = guards.read_text("utf-8")
    assert text.count(_DAY) == 1
    guards.write_text(text.replace(_DAY, _ALWAYS), "utf-8")
    return True


def sent(connections: Connections, site: Site, watching: Watching) -> Iterator[Scene]:
    """Play a campaign to the first 5,000 customers of the site, or to all that it has."""
    rows = list(customers(min(RECIPIENTS, site.customers)))
    phones = {str(row[0]): f"+86{row[2]}" for row in rows}
    yield _answers(connections, list(phones))
    name, drafted = _drafted(connections, list(phones))
    yield drafted
    approved = _approved(connections, name)
    yield approved
    # Who agreed and is of age, from the end, since the first ones are sent to first: some hear of it in time.
    willing = [str(row[0]) for at, row in enumerate(rows, 1) if at % _SILENT and not row[-2]]
    asking = willing[:: -max(1, len(willing) // _OPT_OUTS)]
    opted_out: list[OptOut] = []
    campaign = _run(
        connections,
        name,
        watching,
        lambda ends: _opt_out(connections, site, (phones, asking), ends, opted_out),
    )
    yield _ran(campaign, opted_out)
    yield _held(site, campaign, opted_out)


def _answers(connections: Connections, numbers: Sequence[str]) -> Scene:
    """Import what customers said to the notice that the demo has shown before."""
    stubs = connections[DESK].consent
    shown = stubs.GetConsent(
        consent_v1.GetConsentRequest(customer=customer(), purpose="marketing")
    ).governing
    record = consent_v1.ConsentRecord(
        purpose="marketing", type=consent_v1.CONSENT_EVENT_TYPE_GIVEN, explicit=True, source="website",
        notice=shown.notice, event_time=shown.event_time, collection_method="form",
    )  # fmt: skip
    free = consent_v1.Capture(preselected=False, bundled=False)
    rows = [
        consent_v1.ConsentRow(customer=customer(number), consent=record, capture=free)
        for at, number in enumerate(numbers, 1)
        if at % _SILENT
    ]
    batches = (
        consent_v1.ImportConsentsRequest(rows=rows[at : at + _BATCH // 4])
        for at in range(0, len(rows), _BATCH // 4)
    )
    reply = stubs.ImportConsents(batches)
    lines = (f"{reply.recorded:,} agreed; {len(numbers) - len(rows):,} of {len(numbers):,} never answered",)
    words = ("ImportConsents: who agreed to marketing", "导入营销同意")
    return Scene(DESK, *words, True, reply.recorded == len(rows), lines)


def _draft(text: str) -> messaging_v1.MessageDraft:
    return messaging_v1.MessageDraft(
        category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature=SIGNATURE, text=text
    )


def _drafted(connections: Connections, numbers: Sequence[str]) -> tuple[str, Scene]:
    """Have a text reviewed that may not go out, then draft one that may."""
    stubs = connections[MARKETER].messages
    context = types_v1.RequestContext(purpose="marketing", basis="consent")
    bad = stubs.CreateCampaign(
        messaging_v1.CreateCampaignRequest(context=context, draft=_draft(_BANNED), validate_only=True)
    ).review
    made = stubs.CreateCampaign(messaging_v1.CreateCampaignRequest(context=context, draft=_draft(_TEXT)))
    name = made.campaign.name
    reply = stubs.AddRecipients(
        messaging_v1.AddRecipientsRequest(
            name=name if at == 0 else "",
            recipients=[
                messaging_v1.Recipient(customer=customer(each)) for each in numbers[at : at + _BATCH]
            ],
        )
        for at in range(0, len(numbers), _BATCH)
    )
    lines = (
        *(f"not with {each.word}: {each.category}, {', '.join(each.articles)}" for each in bad.findings),
        f"【{SIGNATURE}】{_TEXT}  {made.review.segments} segment, {reply.added:,} recipients",
    )
    words = ("CreateCampaign, AddRecipients", "创建活动：审查文案、添加收件人")
    good = bool(bad.findings and bad.problems) and not made.review.findings and reply.added == len(numbers)
    return name, Scene(MARKETER, *words, True, good, lines)


def _approved(connections: Connections, name: str) -> Scene:
    """Start it; where the policy asks for a second person, that one agrees first."""
    words = ("StartCampaign, Approve, StartCampaign", "启动活动：需他人批准")
    stubs, request = connections[MARKETER].messages, messaging_v1.StartCampaignRequest(name=name)
    try:
        stubs.StartCampaign(request)
    except grpc.RpcError as error:
        refusal = read_refusal(error)
    else:
        return Scene(MARKETER, *words, True, True, ("started: few enough for one person",))
    lines = told(refusal)[:2]
    approval = refusal.detail.approval if refusal.detail else ""
    try:
        connections[COMPLIANCE].approvals.Approve(approval_v1.ApproveRequest(name=approval))
        request.context.approval = approval
        stubs.StartCampaign(request)
    except grpc.RpcError as error:
        return refused(MARKETER, words, error)
    return Scene(MARKETER, *words, True, True, (*lines, f"{COMPLIANCE} agrees; it runs"))


def _run(
    connections: Connections, name: str, watching: Watching, meanwhile: Callable[[Event], None]
) -> messaging_v1.Campaign:
    """Watch a campaign until it has ended, while something else happens; return it as it is then."""
    stubs, ends = connections[MARKETER].messages, Event()
    other = Thread(target=meanwhile, args=(ends,), daemon=True)
    other.start()
    with watching() as shown:
        for reply in stubs.WatchCampaign(messaging_v1.WatchCampaignRequest(name=name)):
            shown(reply.campaign)
    ends.set()
    other.join()
    return reply.campaign  # type: ignore[no-any-return]  # the stubs are generated without types


def _opt_out(
    connections: Connections,
    site: Site,
    whom: tuple[Mapping[str, str], Sequence[str]],
    ends: Event,
    done: list[OptOut],
) -> None:
    """Let one customer after the other say stop, until the campaign ends."""
    phones, numbers = whom
    for number in numbers:
        if ends.wait(_EVERY_S):
            return
        connections[DESK].consent.AddSuppression(
            consent_v1.AddSuppressionRequest(
                customer=customer(number),
                scope=consent_v1.SuppressionScope(purpose="marketing"),
                source="call",
                evidence_ref="call-recording",
            )
        )
        outbox = outbox_of(site)
        done.append(OptOut(phones[number], outbox.stat().st_size if outbox.exists() else 0))


def _ran(campaign: messaging_v1.Campaign, opted_out: Sequence[OptOut]) -> Scene:
    """What the campaign says of itself when it is done."""
    reasons = ", ".join(f"{each.reason} {each.count:,}" for each in campaign.reasons)
    refusals = _count(campaign, messaging_v1.MESSAGE_STATE_REFUSED)
    lines = (
        f"{len(opted_out)} customers said stop while it ran (AddSuppression) 活动进行中有 {len(opted_out)} 位客户退订",
        f"allowed {campaign.recipients - refusals:,} + refused {refusals:,} = {campaign.recipients:,}: {reasons}",
    )
    good = campaign.state == messaging_v1.CAMPAIGN_STATE_DONE
    good = good and refusals == sum(each.count for each in campaign.reasons)
    return Scene(MARKETER, "WatchCampaign until it is done", "查看活动直至结束", True, good, lines)


def _held(site: Site, campaign: messaging_v1.Campaign, opted_out: Sequence[OptOut]) -> Scene:
    """Count again in the file and in the log, whatever the campaign says."""
    places = _places(outbox_of(site))
    late = sum(1 for each in opted_out for at in places.get(each.phone, ()) if at >= each.size)
    before = sum(1 for each in opted_out if each.phone in places)
    lines_written = sum(map(len, places.values()))
    refusals = _count(campaign, messaging_v1.MESSAGE_STATE_REFUSED)
    allowed, closed = _in_log(site, campaign.name.removeprefix("campaigns/"))
    what = f"{outbox_of(site).name}: {lines_written:,} messages to {len(places):,} numbers"
    answers = (
        f"{what}; the provider is a file, nothing was sent 服务商是本地文件，并未真正发送",
        f"of {len(opted_out)} who said stop {len(opted_out) - before} got none, {before} had theirs before, {late} after",
        f"the log: released {allowed:,}, refused {closed:,}; the ledger: {campaign.recipients - refusals:,}, {refusals:,}",
    )
    good = not late and lines_written == len(places) == campaign.recipients - refusals == allowed
    words = ("after an acknowledged opt-out no message went out", "退订确认之后没有再发出任何短信")
    return Scene("auditor", *words, True, good and closed == refusals, answers)


def _count(campaign: messaging_v1.Campaign, state: messaging_v1.MessageState) -> int:
    return sum(each.count for each in campaign.states if each.state == state)


def _places(outbox: Path) -> Mapping[str, list[int]]:
    """Return at which bytes of the outbox messages to each number begin."""
    places: dict[str, list[int]] = {}
    at = 0
    for line in outbox.read_bytes().splitlines(keepends=True):
        places.setdefault(json.loads(line)["phone"], []).append(at)
        at += len(line)
    return places


def _in_log(site: Site, campaign: str) -> tuple[int, int]:
    """Return how many the log says were released and sent to, and how many were refused."""
    released = refusals = 0
    for entry in entries(site):
        if entry.facts.get(CAMPAIGN) != campaign or not entry.sids:
            continue
        people = entry.facts.get(PEOPLE, 1)
        assert isinstance(people, int)
        if entry.kind is EntryKind.DECISION:
            refusals += people
        else:
            released += people if entry.kind is EntryKind.RELEASE else -people
    return released, refusals


def entries(site: Site) -> Iterator[Entry]:
    """Yield what the log of `site` holds, once all of it is signed."""
    logs = logs_in(site.log)
    for report in signed_reports(site):
        bundles = range(-(-report.signed_size // WIDTH))
        yield from map(parse_entry, leaves_of(logs[report.origin], report.signed_size, bundles))


def signed_reports(site: Site) -> Sequence[LogReport]:
    """Verify the log: a checkpoint is signed every second; until then the last entries have no signature."""
    until = monotonic() + _SIGNED_WITHIN_S
    reports = verify_directory(site.log)
    while any(report.findings for report in reports) and monotonic() < until:
        sleep(0.1)
        reports = verify_directory(site.log)
    return reports
