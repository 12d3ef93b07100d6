"""Elevation past four eyes, on a real server of two workers: alone, twice, for somebody else, with what was given before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from abuse.target import (
    APPROVE,
    BATCH,
    GET_APPROVAL,
    LOOKUP,
    OFFBOARD,
    REJECT,
    REVOKE,
    UPSERT,
    Target,
    ask,
    batch,
    by_id,
    create_site,
    expect,
    hired,
    running,
)
from fujie.app.client import read_refusal
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1

DENIED, PRECONDITION = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EYES = ("compliance", "compliance-2", "compliance-3")
CUSTOMERS = (f"C{number:05}" for number in count(1))

POLICY = """\
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: four-eyes}
spec:
  match: {actions: [lookup], purposes: [after_sales]}
  validations:
    - name: no-address-alone
      expression: "!('address' in request.fields)"
      outcome: approval
      approval: {roles: [compliance_officer], count: 2, valid_for: 1h}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: agents-see-their-own}
spec:
  match: {actions: [approval.read, approval.decide]}
  roles: [support, administrator]
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("approvals"))
    (site.root / "policies" / "four-eyes.yaml").write_text(POLICY, "utf-8")
    site.values["server"]["workers"] = 2
    site.write()
    with running(site) as target:
        for name in EYES:
            target.call("chief", UPSERT, hired(name, "compliance_officer"))
        target.call("chief", UPSERT, hired("other-agent", "support"))
        target.call("chief", UPSERT, hired("both", "support", "compliance_officer"))
        yield target


def address(customer: str, *more: str, approval: str = "") -> customer_v1.LookupCustomerRequest:
    return ask("address", *more, customer=by_id(customer), ticket="T-1", approval=approval)


def about(name: str) -> approval_v1.GetApprovalRequest:
    """Return a request about one approval; all of them have the same form."""
    return approval_v1.GetApprovalRequest(name=name)


def lacks(target: Target, request: Message, who: str = "agent") -> str:
    """Look up, which must be refused for lack of an approval; return its name."""
    detail = target.refused(who, LOOKUP, request)
    expect(detail, PRECONDITION, "APPROVAL_REQUIRED")
    assert detail.detail is not None
    return detail.detail.approval


def agreed(target: Target, customer: str, *more: str) -> str:
    """Return an approval that two agreed to."""
    name = lacks(target, address(customer, *more))
    for who in EYES[:2]:
        target.call(who, APPROVE, about(name))
    return name


def test_nobody_agrees_to_his_own_request(target: Target) -> None:
    name = lacks(target, address(next(CUSTOMERS)), "both")
    for method in (APPROVE, REJECT):
        expect(target.refused("both", method, about(name)), DENIED, "SELF_APPROVAL")
    for who in ("agent", "chief"):
        expect(target.refused(who, APPROVE, about(name)), NOT_FOUND, "APPROVAL_NOT_FOUND")


def test_one_person_who_agrees_twice_is_one(target: Target) -> None:
    customer = next(CUSTOMERS)
    name = lacks(target, address(customer))
    for _ in range(3):
        raw = target.call("compliance", APPROVE, about(name))
        told = approval_v1.ApproveResponse.FromString(raw).approval
        assert told.state == approval_v1.APPROVAL_STATE_PENDING
        assert len(told.requirements[0].votes) == 1
    assert lacks(target, address(customer, approval=name)) == name


def test_an_approval_opens_one_look_up_and_is_not_played_again(target: Target) -> None:
    customer = next(CUSTOMERS)
    name = agreed(target, customer)
    assert dict(target.lookup("agent", address(customer, approval=name)).customer).keys() == {"address"}
    again = lacks(target, address(customer, approval=name))
    assert again != name
    told = approval_v1.GetApprovalResponse.FromString(target.call("agent", GET_APPROVAL, about(name)))
    assert told.approval.state == approval_v1.APPROVAL_STATE_USED


def test_of_many_who_use_one_at_once_on_two_workers_one_is_let_through(target: Target) -> None:
    """Each on a connection of its own, so that both workers are asked."""
    customer = next(CUSTOMERS)
    name = agreed(target, customer)
    request, together = address(customer, approval=name).SerializeToString(), Barrier(8)

    def use(number: int) -> str:
        options = [("grpc.use_local_subchannel_pool", 1), ("fujie.number", number)]
        with grpc.insecure_channel(target.server.grpc, options=options) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            together.wait(30)
            try:
                stub: Any = channel.unary_unary(LOOKUP)
                stub(request, metadata=target.bearer("agent"), timeout=30)
            except grpc.RpcError as error:
                return read_refusal(error).reason
            return ""

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(use, range(8))) == ["", *["APPROVAL_REQUIRED"] * 7]


def test_what_was_agreed_to_for_one_request_opens_no_other(target: Target) -> None:
    customer, other = next(CUSTOMERS), next(CUSTOMERS)
    name = agreed(target, customer)
    lacks(target, address(other, approval=name))
    lacks(target, address(customer, "phone", approval=name))
    lacks(target, address(customer, approval=name), "other-agent")
    marketing = ask(
        "address", customer=by_id(customer), purpose="marketing", basis="consent", approval=name
    )
    assert target.refused("agent", LOOKUP, marketing).reason == "NO_GRANT"
    inside = target.refused(
        "agent", BATCH, batch(by_id(customer), fields=("address",), ticket="T-1", approval=name)
    )
    expect(inside, grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert target.lookup("agent", address(customer, approval=name)).customer


def test_a_forged_name_is_told_like_one_that_is_used_up_or_anothers(target: Target) -> None:
    customer = next(CUSTOMERS)
    used = agreed(target, customer)
    target.lookup("agent", address(customer, approval=used))
    anothers = lacks(target, address(customer), "other-agent")
    standing = lacks(target, address(customer))
    forged = [
        "approvals/" + "0" * 32,
        "approvals/' OR 1=1 --",
        "x",
        standing[:-1],
        used,
        anothers,
        standing,
    ]
    assert {lacks(target, address(customer, approval=name)) for name in forged} == {standing}


def test_who_has_lost_the_role_or_left_agrees_to_nothing_not_even_in_hindsight(target: Target) -> None:
    customer = next(CUSTOMERS)
    for name in ("leaver", "mover"):
        target.call("chief", UPSERT, hired(name, "compliance_officer"))
    approval = lacks(target, address(customer))
    for who in ("leaver", "mover"):
        target.call(who, APPROVE, about(approval))
    target.call("chief", OFFBOARD, directory_v1.OffboardPrincipalRequest(id="leaver"))
    assert lacks(target, address(customer, approval=approval)) == approval
    target.call("compliance", APPROVE, about(approval))
    target.call("chief", UPSERT, hired("mover", "support"))
    assert lacks(target, address(customer, approval=approval)) == approval
    expect(target.refused("leaver", APPROVE, about(approval)), DENIED, "PRINCIPAL_OFFBOARDED")
    target.call("compliance-2", APPROVE, about(approval))
    assert target.lookup("agent", address(customer, approval=approval)).customer


def test_one_no_is_final(target: Target) -> None:
    customer = next(CUSTOMERS)
    name = agreed(target, customer)
    target.call("compliance-3", REJECT, about(name))
    for who, method in (("compliance", APPROVE), ("agent", REVOKE)):
        expect(target.refused(who, method, about(name)), PRECONDITION, "APPROVAL_CLOSED")
    assert lacks(target, address(customer, approval=name)) != name


def test_the_server_still_stands(target: Target) -> None:
    assert dict(target.lookup("agent", ask("phone", customer=by_id("C00001"))).customer)
    assert target.server.events("call_failed") == []
