"""Disclosure: who has no grant learns nothing, and nobody learns anything on the side."""

import re
from collections.abc import Sequence

import grpc
import pytest
from google.protobuf.message import Message

from abuse.target import (
    ADD_SUPPRESSION,
    EXPLAIN,
    LOOKUP,
    MISSING,
    PHONE,
    RECORD,
    REMOVE_SUPPRESSION,
    SHOWN,
    WITHDRAW,
    Target,
    ask,
    by_id,
    confirmed,
    consent,
    expect,
    leaves,
    marketing,
    of_another_department,
    row_of,
    told,
)
from fujie.app.client import read_refusal
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1

DENIED, INVALID = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT


def by_phone(written: str) -> types_v1.CustomerRef:
    return types_v1.CustomerRef(phone=written)


@pytest.fixture(scope="module")
def customers(target: Target) -> Sequence[types_v1.CustomerRef]:
    """One that exists, one that does not, one that was never asked about, one who consented, one who withdrew."""
    target.call("desk", RECORD, consent(by_id("C00004")))
    target.call(
        "desk", WITHDRAW, consent_v1.WithdrawConsentRequest(customer=by_id("C00006"), purpose="marketing")
    )
    other = of_another_department(target)
    number = row_of(target.site, other)[2]
    refs = [
        by_id(name) for name in (SHOWN, MISSING, "C00020", "C00004", "C00006", other, "", "13800138000")
    ]
    return [*refs[:6], refs[7], by_phone(PHONE), by_phone(number), by_phone("13900000000")]


@pytest.mark.parametrize(
    ("purpose", "basis"), [("after_sales", "contract"), ("marketing", "consent"), ("nonsense", "none")]
)
@pytest.mark.parametrize("who", ["nobody", "chief", "desk", "officer"])
def test_an_asker_without_a_grant_gets_the_same_bytes_whoever_the_customer_is(
    target: Target, customers: Sequence[types_v1.CustomerRef], who: str, purpose: str, basis: str
) -> None:
    answers = {
        told(target, who, ask("phone", customer=each, purpose=purpose, basis=basis)) for each in customers
    }
    ((code, message, *_),) = answers
    assert (code, message) == (DENIED, "No grant allows this.")


def test_a_malformed_request_tells_an_asker_without_a_grant_no_more(target: Target) -> None:
    odd = [ask("*"), ask(), ask("phone", customer=by_phone("not a number")), ask("phone", ticket="\n")]
    assert len({told(target, "nobody", request) for request in [ask("phone"), *odd]}) == 1


def test_a_customer_of_others_and_none_at_all_are_one_answer(target: Target) -> None:
    """The agent has a grant, but not for this customer: whether there is one is not for him to know."""
    theirs = of_another_department(target)
    number = row_of(target.site, theirs)[2]
    refs = [by_id(theirs), by_id(MISSING), by_phone(number), by_phone("13900000000")]
    target.call(
        "desk", WITHDRAW, consent_v1.WithdrawConsentRequest(customer=refs[2], purpose="after_sales")
    )
    target.new()
    ((code, message, *_),) = {told(target, "agent", ask("phone", "name", customer=ref)) for ref in refs}
    assert (code, message) == (DENIED, "No grant allows this.")


def test_an_explanation_hides_personal_facts(target: Target) -> None:
    child = "C00020"
    assert row_of(target.site, child)[10] == "1"
    request = policy_v1.ExplainRequest(lookup=marketing("phone", customer=child), principal="marketer")
    reply = policy_v1.ExplainResponse.FromString(target.call("officer", EXPLAIN, request))
    shown = {
        clause.reads["customer.minor"]
        for rule in reply.rules
        for clause in rule.clauses
        if "customer.minor" in clause.reads
    }
    assert shown
    assert shown.isdisjoint({"true", "false"})


FORMS = (
    "13800131234", "１３８００１３１２３４", "+86 138 0013 1234", "+86(0)13800131234", "008613800131234", "86-138-0013-1234",
    "tel:+8613800131234", "138\u200b0013\u200b1234", "\u202a13800131234\u202c", "１３８-００１３-１２３４", "+８６13800131234",
)  # fmt: skip
"""Ways to write one number. Those that are no number to us are refused; none is somebody else."""

NOT_NUMBERS = (
    "138O0131234",
    "138l0131234",
    "١٣٨٠٠١٣١٢٣٤",
    "१३८००१३१२३४",
    "13800131234;ext=9",
    "13800131234 x9",
    "1380013",
    "",
)


def test_every_form_of_a_number_gives_one_decision(target: Target) -> None:
    target.call("desk", RECORD, consent(by_id(SHOWN)))
    found = set()
    for form in FORMS:
        target.new()
        asked = ask("phone", customer=by_phone(form), ticket="T-1")
        try:
            found.add((target.lookup("agent", asked).customer["phone"], target.new_one("ALLOW").sids))
        except grpc.RpcError:
            target.new_one("DENY", "PHONE_INVALID")
            assert form not in FORMS[:4]
    assert len(found) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_withdrawal_in_any_form_of_the_number_closes_or_is_refused(target: Target, form: str) -> None:
    target.call("desk", RECORD, consent(by_id(SHOWN)))
    target.lookup("marketer", marketing("phone"))
    withdrawal = consent_v1.WithdrawConsentRequest(customer=by_phone(form), purpose="marketing")
    try:
        target.call("desk", WITHDRAW, withdrawal)
    except grpc.RpcError:
        expect(target.refused("desk", WITHDRAW, withdrawal), INVALID, "PHONE_INVALID")
        return
    expect(target.refused("marketer", LOOKUP, marketing("phone")), DENIED, "CONSENT_WITHDRAWN")


@pytest.mark.parametrize("form", FORMS)
def test_an_opt_out_in_any_form_of_the_number_closes_or_is_refused(target: Target, form: str) -> None:
    request = consent_v1.AddSuppressionRequest(customer=by_phone(form))
    try:
        raw = target.call("desk", ADD_SUPPRESSION, request)
    except grpc.RpcError:
        expect(target.refused("desk", ADD_SUPPRESSION, request), INVALID, "PHONE_INVALID")
        return
    expect(target.refused("marketer", LOOKUP, marketing("phone")), DENIED, "CUSTOMER_OPTED_OUT")
    added = consent_v1.AddSuppressionResponse.FromString(raw).suppression.suppression_id
    lifted = consent_v1.RemoveSuppressionRequest(suppression_id=added, confirmation=confirmed())
    target.call("desk", REMOVE_SUPPRESSION, lifted)
    assert target.refused("marketer", LOOKUP, marketing("phone")).reason.startswith("CONSENT_")


@pytest.mark.parametrize("form", NOT_NUMBERS)
def test_what_is_no_number_is_refused_and_not_quoted(target: Target, form: str) -> None:
    detail = target.refused("agent", LOOKUP, ask("phone", customer=by_phone(form), ticket="T-1"))
    expect(detail, INVALID, "PHONE_INVALID")
    assert not form or form not in str(detail)
    assert target.new_one("DENY", "PHONE_INVALID", "agent").sids == ()


@pytest.mark.parametrize(
    "misplaced",
    [
        ask("phone", purpose=PHONE),
        ask("phone", basis=PHONE),
        ask("phone", f"_{PHONE}"),
        ask("phone", customer=by_id(SHOWN, store=PHONE)),
        ask("phone", purpose=PHONE, ticket="T-1", basis=PHONE, basis_evidence=PHONE, request_id=PHONE),
        ask("phone", customer=by_id(PHONE)),
    ],
)
def test_a_number_in_the_wrong_place_of_a_request_is_not_kept_for_ever(
    target: Target, misplaced: Message
) -> None:
    """A mistake of a client must not put into the log what no erasure can take out of it."""
    detail = target.refused("agent", LOOKUP, misplaced)
    assert PHONE not in str(detail)
    seen = target.seen
    target.new_one("DENY", detail.reason, "agent")
    assert not any(PHONE.encode() in leaf for leaf in leaves(target.site, seen))


def test_metrics_name_no_principal_customer_or_purpose(target: Target) -> None:
    target.refused("nobody", LOOKUP, ask("phone", purpose="a-purpose-nobody-declared"))
    text = target.server.get("metrics", "/metrics")[1]
    labels = set(re.findall(r'="([^"]*)"', text))
    assert labels.isdisjoint({"nobody", "agent", "crm", SHOWN, "a-purpose-nobody-declared", "after_sales"})


@pytest.mark.parametrize("path", ["/", "/metrics/../keys/log.key", "/debug", "/healthz/../../fujie.yaml"])
def test_the_plain_listeners_serve_no_files_and_echo_nothing(target: Target, path: str) -> None:
    key = (target.site.root / "keys" / "log.key").read_bytes().strip()
    for listener in ("http", "metrics"):
        _, body = target.server.get(listener, path)
        assert key.decode() not in body
        assert "log.key" not in body
    assert target.server.get("http", path)[0] == 404


def test_reflection_is_off_unless_asked_for(target: Target) -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with pytest.raises(grpc.RpcError) as caught:
        list(target.channel.stream_stream(method)(iter([b""]), timeout=30))
    assert read_refusal(caught.value).code is grpc.StatusCode.UNIMPLEMENTED


def test_the_server_still_stands(target: Target) -> None:
    target.stands()
