"""An employee leaves in the middle of an export: the stream stops, his file is dead, his campaign is cancelled."""

from collections.abc import Iterator
from threading import Event, Thread
from time import monotonic
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from fujie.app.client import read_refusal
from fujie.app.demo.campaign import SIGNATURE
from fujie.app.demo.cast import (
    ADMIN,
    COLLEAGUE,
    COMPLIANCE,
    MARKETER,
    SECOND,
    STORE,
    Connections,
    Scene,
    customer,
)
from fujie.app.demo.desk import DEVICE, FILE, Desk, approves, lines_of
from fujie.app.demo.site import Site
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import types_pb2 as types_v1
from fujie.v1.customer_data_service_pb2_grpc import CustomerDataServiceStub

_MANY = 2_400
"""Of two others' agreement (250 to 2,499), and more than the buffers between server and reader hold."""
_PAUSE_S = 0.2
"""Between two chunks of the slow reader: some five seconds for all of them."""
_TAKEN = 300
"""Rows that the reader has when the administrator acts."""
_LITTLE_AHEAD = (
    ("grpc.http2.lookahead_bytes", 16_384),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_http_proxy", 0),
)
"""A reader with little room: else all of it were on its way before anybody acts."""
_STOPPED_WITHIN_S = 1.0
_READS_S = 20.0
_ENDED = {"ACCESS", "STREAMS", "MESSAGES", "CAMPAIGNS", "APPROVALS", "LEASES"}
"""What ends by itself with an employment; devices are others' to wipe."""


def left(connections: Connections, desk: Desk) -> Iterator[Scene]:
    """Play how the marketer leaves, who has a leased file, a campaign that waits, and an export on its way."""
    campaign = _drafted(connections)
    yield _stopped(connections, desk)
    yield _dead(desk)
    yield _listed(connections, desk, campaign)


def _drafted(connections: Connections) -> str:
    """He has a campaign waiting when he leaves."""
    stubs = connections[MARKETER].messages
    draft = messaging_v1.MessageDraft(
        category=messaging_v1.MESSAGE_CATEGORY_MARKETING,
        signature=SIGNATURE,
        text="会员日预告。拒收请回复R",
    )
    context = types_v1.RequestContext(purpose="marketing", basis="consent")
    made = stubs.CreateCampaign(messaging_v1.CreateCampaignRequest(context=context, draft=draft))
    one = [messaging_v1.Recipient(customer=customer())]
    stubs.AddRecipients(iter([messaging_v1.AddRecipientsRequest(name=made.campaign.name, recipients=one)]))
    return str(made.campaign.name)


def _stopped(connections: Connections, desk: Desk) -> Scene:
    """A larger export is on its way to a slow reader when its asker is offboarded."""
    request = _many()
    request.context.approval = _asked(connections, request)
    for who in (COMPLIANCE, SECOND):
        approves(connections, who, request.context.approval)
    begun, ends, read = Event(), Event(), _Read()
    reader = Thread(target=read.slowly, args=(desk.site, request, begun, ends), daemon=True)
    reader.start()
    begun.wait(_READS_S)
    called = monotonic()
    connections[ADMIN].directory.OffboardPrincipal(directory_v1.OffboardPrincipalRequest(id=MARKETER))
    answered = monotonic()
    ends.set()
    reader.join(_READS_S)
    ended = desk.ended(read.name)
    left, why = (ended.facts.get("export.rows"), ended.facts.get("export.end")) if ended else (None, None)
    good = read.reason == why == "PRINCIPAL_OFFBOARDED" and read.ended - answered <= _STOPPED_WITHIN_S
    good = good and left == read.rows and 0 < read.rows < _MANY
    answers = (
        f"his export of {_MANY:,} rows stopped {(read.ended - called) * 1000:.0f} ms after the call: {read.reason} 其导出随即中断",
        f"the outcome entry: {left} rows had left, to the last chunk that the reader got; sealed, without keys now",
    )
    words = (f"OffboardPrincipal {MARKETER}, while an export of his runs", "员工离职，导出仍在进行")
    return Scene(ADMIN, *words, True, good, answers)


def _dead(desk: Desk) -> Scene:
    his, others = (desk.fujie(who, "open", FILE) for who in (MARKETER, COLLEAGUE))
    good = (his.returncode, others.returncode, his.stdout, others.stdout) == (4, 4, "", "")
    good = good and "PRINCIPAL_OFFBOARDED" in his.stderr and "EXPORT_CLOSED" in others.stderr
    answers = (lines_of(his.stderr)[0], f"{COLLEAGUE}: {lines_of(others.stderr)[0]}")
    words = (f"fujie open {FILE}: the file is dead, for anybody", "文件已永远无法打开")
    return Scene(MARKETER, *words, False, good, answers)


def _listed(connections: Connections, desk: Desk, campaign: str) -> Scene:
    state = connections[COLLEAGUE].messages.GetCampaign(messaging_v1.GetCampaignRequest(name=campaign))
    is_cancelled = state.campaign.state == messaging_v1.CAMPAIGN_STATE_CANCELLED
    done = desk.fujie(ADMIN, "principal", "offboarding", MARKETER)
    told = [line.split() for line in lines_of(done.stdout)[1:]]
    by_state = {
        state: [cells[0] for cells in told if state in cells]
        for state in ("DONE", "OUTSTANDING", "OVERDUE")
    }
    good = is_cancelled and done.returncode == 0 and set(by_state["DONE"]) >= _ENDED
    good = good and by_state["OUTSTANDING"] == ["DEVICE"]
    answers = (
        *(f"{state:<11} {', '.join(kinds)}" for state, kinds in by_state.items() if kinds),
        f"the campaign that he had waiting: {'CANCELLED' if is_cancelled else 'NOT CANCELLED'} 其待发活动已取消",
        f"nobody has confirmed yet that {DEVICE} is wiped 设备清除尚待确认",
    )
    words = (f"fujie principal offboarding {MARKETER}", "离职清单：已完成与未完成")
    return Scene(ADMIN, *words, True, good, answers)


class _Read:
    """What a slow reader got of an export: rows, and how and when it ended."""

    def __init__(self) -> None:
        self.name = ""
        self.rows = 0
        self.reason = ""
        self.ended = 0.0

    def slowly(self, site: Site, request: Any, begun: Event, ends: Event) -> None:
        """Take a chunk after the other with a pause, and without one from the end on."""
        token = (("authorization", f"Bearer {site.token(MARKETER)}"),)
        try:
            with grpc.insecure_channel(site.grpc, options=_LITTLE_AHEAD) as channel:
                sent: Any = CustomerDataServiceStub(channel)  # type: ignore[no-untyped-call]  # generated without types
                for reply in sent.ExportCustomers(request, metadata=token):
                    self.name = reply.header.export or self.name
                    self.rows += reply.chunk.rows
                    if self.rows >= _TAKEN:
                        begun.set()
                    ends.wait(_PAUSE_S)
        except grpc.RpcError as error:
            self.reason = read_refusal(error).reason
        self.ended = monotonic()
        begun.set()


def _many() -> customer_v1.ExportCustomersRequest:
    return customer_v1.ExportCustomersRequest(
        store=STORE,
        context=types_v1.RequestContext(purpose="marketing", basis="consent"),
        read_mask=FieldMask(paths=["customer_no", "name", "phone", "address"]),
        max_rows=_MANY,
        format=customer_v1.EXPORT_FORMAT_JSON_LINES,
        lease=customer_v1.LeaseRequest(seconds=3_600, opens=1),
    )


def _asked(connections: Connections, request: customer_v1.ExportCustomersRequest) -> str:
    """Ask for the approval that an export lacks; return its name."""
    try:
        for _ in connections[MARKETER].customers.ExportCustomers(request):
            return ""
    except grpc.RpcError as error:
        detail = read_refusal(error).detail
        return detail.approval if detail else ""
    return ""
