"""Oracles: lists, batches, searches, prompts and corrections tell no more of a customer than a look-up does."""

import hmac
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from os import urandom
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from abuse.methods import METHODS, NO_SUCH_SUPPRESSION, about
from abuse.target import (
    ADD_RECIPIENTS,
    ADD_SUPPRESSION,
    BATCH,
    EVENTS,
    EXPORT_EVIDENCE,
    GET_CONSENT,
    GET_PRINCIPAL,
    IMPORT,
    LIST_PRINCIPALS,
    LOOKUP,
    MERGE,
    MISSING,
    OFFBOARD,
    RECORD,
    REMOVE_SUPPRESSION,
    SCREEN,
    SEARCH,
    SEND,
    SHOWN,
    SPLIT,
    SUPPRESSIONS,
    UPSERT,
    WITHDRAW,
    Target,
    ask,
    batch,
    by_id,
    confirmed,
    consent,
    expect,
    hired,
    marketing,
    merge,
    of_another_department,
    primary,
    row_of,
    search,
    seen_of,
    split,
    told,
)
from fujie.adapters.keyfiles import read_key
from fujie.audit.sealing import SealKey, seal_ticket
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1
from support.answers import WIRE_FREE

DENIED, INVALID = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
GIVEN = consent_v1.CONSENT_EVENT_TYPE_GIVEN
SHARED = "13911112222"
"""A number that C00041, who consented, and C00042 have."""


@pytest.fixture(scope="module")
def customers(target: Target) -> Sequence[types_v1.CustomerRef]:
    """Present, absent, never asked about, consented, withdrawn, opted out, merged away, of others, sharing a number."""
    with closing(sqlite3.connect(target.site.root / "crm.db")) as store, store:
        store.execute("DROP INDEX customer_mobile")
        store.execute(
            "UPDATE customer SET mobile = ?, department = 'north' WHERE id IN ('C00041', 'C00042')",
            (SHARED,),
        )
    for name in ("C00004", "C00006", "C00008", "C00010", "C00012", "C00041"):
        target.call("desk", RECORD, consent(by_id(name)))
    target.call("desk", WITHDRAW, about(WITHDRAW, by_id("C00006")))
    target.call("desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id("C00008")))
    target.call("officer", MERGE, merge(by_id("C00010"), by_id("C00012")))
    named = [SHOWN, MISSING, "C00020", "C00004", "C00006", "C00008", "C00010", "C00012", "C00041"]
    refs = [by_id(name) for name in [*named, of_another_department(target), "13800131234"]]
    number = row_of(target.site, of_another_department(target))[2]
    return [*refs, *(types_v1.CustomerRef(phone=phone) for phone in (number, SHARED, "13900000000"))]


ABOUT_CUSTOMERS = [
    BATCH, SEARCH, MERGE, SPLIT, RECORD, WITHDRAW, GET_CONSENT, EVENTS, EXPORT_EVIDENCE, ADD_SUPPRESSION,
    SUPPRESSIONS, LOOKUP, "/fujie.v1.PolicyService/Explain", SEND, ADD_RECIPIENTS, SCREEN, IMPORT,
]  # fmt: skip


@pytest.mark.parametrize("method", ABOUT_CUSTOMERS)
def test_no_method_tells_an_asker_without_a_grant_who_the_customer_is(
    target: Target, customers: Sequence[types_v1.CustomerRef], method: str
) -> None:
    # A store key can not be a number; a number that stands in its place is refused like any other.
    refs = [ref for ref in customers if method != SPLIT or ref.HasField("store_key")]
    answers = {told(target, who, about(method, ref), method) for ref in refs for who in ("nobody", "chief")}
    ((code, message, *_),) = answers
    assert (code, message) == (DENIED, "No grant allows this.")


def test_no_other_method_is_an_oracle_either(target: Target) -> None:
    """Of principals and opt-outs: who is there, whose it is, and what comes next in a list."""
    added = consent_v1.AddSuppressionResponse.FromString(
        target.call("desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id("C00014")))
    )
    pairs: dict[str, list[Message]] = {
        GET_PRINCIPAL: [directory_v1.GetPrincipalRequest(id=who) for who in ("agent", "stranger")],
        OFFBOARD: [directory_v1.OffboardPrincipalRequest(id=who) for who in ("agent", "stranger")],
        LIST_PRINCIPALS: [directory_v1.ListPrincipalsRequest(role=role) for role in ("support", "king")],
        REMOVE_SUPPRESSION: [
            consent_v1.RemoveSuppressionRequest(suppression_id=found, confirmation=confirmed())
            for found in (added.suppression.suppression_id, NO_SUCH_SUPPRESSION)
        ],
    }
    for method, requests in pairs.items():
        assert len({told(target, "nobody", request, method) for request in requests}) == 1, method


@pytest.mark.parametrize("method", METHODS)
def test_a_malformed_call_of_any_method_tells_an_asker_without_a_grant_no_more(
    target: Target, method: str
) -> None:
    """Neither what is wrong with it, nor that this build knows the method's fields better than he does."""
    odd = [b"\xff", METHODS[method][1].SerializeToString() + b"\xd2\x85\xd8\xcc\x04\x05admin", b""]
    honest = told(target, "nobody", METHODS[method][1], method)
    for broken in odd:
        target.new()
        error = target.failure("nobody", method, broken)
        assert honest == seen_of(error, target.new_one("DENY", "NO_GRANT", "nobody").decision_id)


# Batches.


def results(target: Target, who: str, asked: Message) -> Sequence[customer_v1.CustomerResult]:
    """Return what came of each, without index and decision id, which belong to this one call."""
    reply = customer_v1.BatchLookupCustomersResponse.FromString(target.call(who, BATCH, asked))
    for number, result in enumerate(reply.results):
        assert result.index == number
        assert result.decision.decision_id
        result.index, result.decision.decision_id = 0, ""
    return list(reply.results)


def test_of_a_batch_a_customer_of_others_and_none_at_all_are_one_answer(
    target: Target, customers: Sequence[types_v1.CustomerRef]
) -> None:
    theirs = [by_id(of_another_department(target)), by_id("C00041"), customers[-3]]
    told_of = results(target, "agent", batch(*theirs, by_id(MISSING), customers[-2], customers[-1]))
    assert len({result.SerializeToString() for result in told_of}) == 1
    assert [reason.code for reason in told_of[0].reasons] == ["NO_GRANT"]
    assert not told_of[0].customer.fields
    assert [(entry.effect, primary(entry)) for entry in target.new()] == [("DENY", "NO_GRANT")] * 6


def test_a_batch_tells_of_each_customer_what_a_single_call_tells(target: Target) -> None:
    names = [f"C{number:05}" for number in range(1, 31)]
    batched = results(target, "agent", batch(*map(by_id, names), fields=("name", "phone")))
    assert {bool(result.customer.fields) for result in batched} == {True, False}
    for name, result in zip(names, batched, strict=True):
        try:
            reply = target.lookup("agent", ask("name", "phone", customer=by_id(name)))
        except grpc.RpcError:
            single = target.refused("agent", LOOKUP, ask("name", "phone", customer=by_id(name)))
            assert result.reasons[0].code == single.reason
        else:
            assert reply.customer == result.customer


def test_the_same_customer_a_hundred_times_is_decided_and_recorded_a_hundred_times(target: Target) -> None:
    told_of = results(target, "agent", batch(*[by_id(SHOWN)] * 100))
    assert len({result.SerializeToString() for result in told_of}) == 1
    found = target.new()
    assert len({entry.decision_id for entry in found}) == len(found) == 100


# Searches.


def found_by(target: Target, last_four: str) -> bytes:
    """Return the bytes of an answer without the ids of its decisions."""
    reply = customer_v1.SearchCustomersResponse.FromString(
        target.call("searcher", SEARCH, search(last_four))
    )
    reply.decision.decision_id = ""
    for each in reply.customers:
        each.decision.decision_id = ""
    return reply.SerializeToString()


def test_a_search_finds_nobody_and_who_may_not_be_seen_in_the_same_bytes(target: Target) -> None:
    theirs = row_of(target.site, of_another_department(target))[2][-4:]
    with closing(sqlite3.connect(target.site.root / "crm.db")) as store:
        numbers = {str(number)[-4:] for (number,) in store.execute("SELECT mobile FROM customer")}
    nobodys = next(text for n in range(10_000) if (text := f"{n:04}") not in numbers)
    hidden = found_by(target, theirs)
    assert [(e.effect, primary(e)) for e in target.new()] == [("ALLOW", ""), ("DENY", "NO_GRANT")]
    assert hidden == found_by(target, nobodys)
    assert [(e.effect, primary(e)) for e in target.new()] == [("ALLOW", "")]
    assert customer_v1.SearchCustomersResponse.FromString(found_by(target, "1234")).customers


@pytest.mark.parametrize(
    "digits", ["", "123", "12345", "12_4", "%234", "1234%", "１２３４", "12 4", "+234", "-234", "1e10"]
)
def test_a_search_is_for_four_digits_and_never_for_a_pattern(target: Target, digits: str) -> None:
    expect(target.refused("searcher", SEARCH, search(digits)), INVALID, "PHONE_INVALID")
    assert target.new_one("DENY", "PHONE_INVALID", "searcher").sids == ()


def test_who_may_look_up_by_number_may_not_search(target: Target) -> None:
    """And who may search may not look up by number or id: each way of naming a customer needs its own grant."""
    assert told(target, "agent", search("1234"), SEARCH) == told(target, "agent", search("0000"), SEARCH)
    for ref in (by_id(SHOWN), types_v1.CustomerRef(phone="13800131234"), by_id(MISSING)):
        told(target, "searcher", ask("phone", customer=ref))


def test_a_search_shows_no_field_that_a_look_up_would_not(target: Target) -> None:
    for fields in (("id_card",), ("birthday", "bank_card")):
        asked = search("1234", *fields)
        reply = customer_v1.SearchCustomersResponse.FromString(target.call("searcher", SEARCH, asked))
        assert not reply.customers
    expect(target.refused("searcher", SEARCH, search("1234", "*")), INVALID, "FIELDS_UNBOUNDED")


# Shared numbers.


def test_a_shared_number_proves_nobodys_consent(
    target: Target, customers: Sequence[types_v1.CustomerRef]
) -> None:
    def state(ref: types_v1.CustomerRef) -> consent_v1.GetConsentResponse:
        return consent_v1.GetConsentResponse.FromString(
            target.call("desk", GET_CONSENT, about(GET_CONSENT, ref))
        )

    shared = types_v1.CustomerRef(phone=SHARED)
    assert state(by_id("C00041")).state == consent_v1.CONSENT_STATE_GIVEN
    assert state(by_id("C00042")).state == consent_v1.CONSENT_STATE_NONE
    assert state(shared).state == consent_v1.CONSENT_STATE_NONE
    assert not state(shared).HasField("governing")
    listed = consent_v1.ListConsentEventsResponse.FromString(
        target.call("desk", EVENTS, consent_v1.ListConsentEventsRequest(customer=shared))
    )
    assert GIVEN not in {event.type for event in listed.events}
    expect(
        target.refused("desk", RECORD, consent(shared)),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CUSTOMER_AMBIGUOUS",
    )
    for name in ("C00041", "C00042"):
        asked = merge(by_id(SHOWN), shared)
        assert target.refused("officer", MERGE, asked).reason == "CUSTOMER_AMBIGUOUS", name


# Pages.


def page(target: Target, who: str, method: str, request: Message) -> Any:
    kinds: dict[str, Any] = {
        EVENTS: consent_v1.ListConsentEventsResponse,
        SUPPRESSIONS: consent_v1.ListSuppressionsResponse,
        LIST_PRINCIPALS: directory_v1.ListPrincipalsResponse,
    }
    return kinds[method].FromString(target.call(who, method, request))


@pytest.fixture(scope="module")
def pages(target: Target) -> dict[str, str]:
    """Return a good token of each list."""
    for _ in range(3):
        target.call("desk", WITHDRAW, about(WITHDRAW, by_id("C00022")))
        target.call("desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id("C00022")))
    return {
        method: page(target, METHODS[method][0], method, request).next_page_token
        for method, request in first_pages().items()
    }


def first_pages(token: str = "", customer: str = "C00022") -> dict[str, Message]:
    more: dict[str, Any] = {"page_size": 1, "page_token": token}
    return {
        EVENTS: consent_v1.ListConsentEventsRequest(customer=by_id(customer), **more),
        SUPPRESSIONS: consent_v1.ListSuppressionsRequest(customer=by_id(customer), **more),
        LIST_PRINCIPALS: directory_v1.ListPrincipalsRequest(**more),
    }


def forged(token: str) -> dict[str, str]:
    """Return tokens that no page gave: the digest of a query is no secret, so each also with a true one."""
    digest = urlsafe_b64decode(token)[:16]
    # An order that no page ended at. Where a list sorts by id, any text is a place; it shows what a page shows.
    places = {"negative": "-1", "a fraction": "1.5", "huge": "9" * 40, "SQL": "0 OR 1=1", "a blank": " 1"}
    return {
        **{name: urlsafe_b64encode(digest + place.encode()).decode() for name, place in places.items()},
        "no place": urlsafe_b64encode(digest).decode(),
        "no text": urlsafe_b64encode(digest + b"\xff").decode(),
        "another digest": urlsafe_b64encode(urandom(16) + b"1").decode(),
        "short": "AA==",
        "not base64": "!!!!",
        "not ASCII": "ｔｏｋｅｎ",
        "another spelling": token.rstrip("=") + "\u00a0",
        "twice": token * 2,
        "long": "A" * 512,
    }


@pytest.mark.parametrize("method", [EVENTS, SUPPRESSIONS])
def test_a_forged_page_token_is_refused_in_one_way(
    target: Target, pages: dict[str, str], method: str
) -> None:
    who = METHODS[method][0]
    answers = set()
    for name, token in forged(pages[method]).items():
        target.new()
        error = target.failure(who, method, first_pages(token)[method])
        answers.add(seen_of(error, target.new_one("DENY", "PAGE_TOKEN_INVALID", who).decision_id))
        assert error.code() is INVALID, name
    assert len(answers) == 1
    assert target.server.events("call_failed") == []


def test_a_place_in_the_list_of_principals_opens_nothing(target: Target, pages: dict[str, str]) -> None:
    for name, token in forged(pages[LIST_PRINCIPALS]).items():
        request = first_pages(token)[LIST_PRINCIPALS]
        if name in {"negative", "a fraction", "huge", "SQL", "a blank"}:
            assert len(page(target, "chief", LIST_PRINCIPALS, request).principals) <= 1
        else:
            expect(target.refused("chief", LIST_PRINCIPALS, request), INVALID, "PAGE_TOKEN_INVALID")


def test_a_page_token_is_good_for_its_own_list_alone(target: Target, pages: dict[str, str]) -> None:
    for method, token in pages.items():
        who = METHODS[method][0]
        assert page(target, who, method, first_pages(token)[method])
        others = [(other, request) for other, request in first_pages(token).items() if other != method]
        others += [
            (each, first_pages(token, SHOWN)[each]) for each in (EVENTS, SUPPRESSIONS) if each == method
        ]
        for other, request in others:
            expect(target.refused(METHODS[other][0], other, request), INVALID, "PAGE_TOKEN_INVALID")
        target.new()
        assert told(target, "nobody", first_pages(token)[method], method) == told(
            target, "nobody", first_pages("forged")[method], method
        )


# Opt-outs.


def test_ids_of_opt_outs_are_not_guessed(target: Target) -> None:
    """Who may lift one must know it, and each that is not there is told alike; the next id is no neighbour's."""
    ids = [
        consent_v1.AddSuppressionResponse.FromString(
            target.call("desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id(name)))
        ).suppression.suppression_id
        for name in ("C00024", "C00026")
    ]
    near = [f"{int(ids[0], 16) + step:032x}" for step in (-1, 1, 2)]
    for guess in (*near, NO_SUCH_SUPPRESSION, SHOWN, ids[0][:-1], f"{ids[0]}%", ids[0].upper() + "x"):
        asked = consent_v1.RemoveSuppressionRequest(suppression_id=guess, confirmation=confirmed())
        target.new()
        expect(target.refused("desk", REMOVE_SUPPRESSION, asked), NOT_FOUND, "SUPPRESSION_NOT_FOUND")
        assert target.new_one("DENY", "SUPPRESSION_NOT_FOUND", "desk").sids == ()
    kept = consent_v1.ListSuppressionsRequest(customer=by_id("C00024"))
    assert not page(target, "desk", SUPPRESSIONS, kept).suppressions[0].HasField("lifted")


# Corrections.


def test_who_may_correct_is_told_that_a_customer_is_unknown_and_nobody_else_is(target: Target) -> None:
    for request, method in (
        (merge(by_id(SHOWN), by_id(MISSING)), MERGE),
        (merge(by_id(MISSING), by_id(SHOWN)), MERGE),
        (split(MISSING), SPLIT),
    ):
        target.new()
        expect(target.refused("officer", method, request), NOT_FOUND, "CUSTOMER_NOT_FOUND")
        assert target.new_one("DENY", "CUSTOMER_NOT_FOUND", "officer").action == "correct"
    same = {
        told(target, who, merge(by_id(one), by_id(two)), MERGE)
        for who in ("desk", "agent", "nobody")
        for one, two in ((SHOWN, MISSING), (SHOWN, "C00002"), ("C00010", "C00012"))
    }
    assert len(same) == 1


# Prompts.


def prompt_for(target: Target, customer: str = SHOWN, who: str = "marketer") -> str:
    detail = target.refused(who, LOOKUP, marketing("phone", customer=customer)).detail
    assert detail is not None
    assert detail.prompt.token
    return detail.prompt.token


def answer(token: str, **context: Any) -> consent_v1.RecordConsentRequest:
    return consent_v1.RecordConsentRequest(
        prompt=token, consent=consent_v1.ConsentRecord(type=GIVEN, source="agent"), capture=WIRE_FREE,
        context=types_v1.RequestContext(**context),
    )  # fmt: skip


def expired(target: Target) -> str:
    """Return a prompt that the site's own key sealed, and whose time is over."""
    keys = read_key(target.site.root / "keys" / "token.key")
    content = {
        "id": "0" * 32,
        "sids": ["0" * 32],
        "principal": "marketer",
        "purpose": "marketing",
        "notice": "marketing-notice",
        "version": "1",
        "until": int((datetime.now(UTC) - timedelta(seconds=1)).timestamp()),
    }
    of_prompts = hmac.digest(keys, b"fujie.dev/consent-prompt/v1", "sha256")
    return seal_ticket(content, SealKey("k1", of_prompts), urandom(12))


def test_a_bad_prompt_is_told_in_one_way_whatever_is_wrong_with_it(target: Target) -> None:
    """Forged, altered, expired, somebody else's, used: who tries learns nothing of which it was."""
    target.call("chief", UPSERT, hired("rival", "marketer"))
    theirs = prompt_for(target, "C00016", "rival")
    used = prompt_for(target, "C00018")
    target.call("marketer", RECORD, answer(used))
    good = prompt_for(target, "C00028")
    after_no = prompt_for(target, "C00030")
    target.call("desk", WITHDRAW, about(WITHDRAW, by_id("C00030")))
    after_opt_out = prompt_for(target, "C00034")
    target.call("desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id("C00034")))
    bad = {
        "forged": "forged",
        "random": urlsafe_b64encode(urandom(200)).decode().rstrip("="),
        "one bit": good[:40] + ("A" if good[40] != "A" else "B") + good[41:],
        "cut": good[:-4],
        "padded": good + "==",
        "expired": expired(target),
        "of another principal": theirs,
        "used": used,
        "the customer withdrew since": after_no,
        "the customer opted out since": after_opt_out,
    }
    answers = set()
    for name, token in bad.items():
        target.new()
        error = target.failure("marketer", RECORD, answer(token))
        fresh = target.new()
        assert [(e.effect, primary(e)) for e in fresh if e.effect != "ALLOW"] == [
            ("DENY", "PROMPT_INVALID")
        ], name
        answers.add(seen_of(error, fresh[-1].decision_id))
    assert len(answers) == 1
    ((code, *_),) = answers
    assert code is INVALID
    target.call("marketer", RECORD, answer(good))
    assert target.lookup("marketer", marketing("phone", customer="C00028")).customer


def test_a_prompt_is_no_key_for_anything_else(target: Target) -> None:
    """Not for another purpose, another customer, a consent without an act, a withdrawal's undoing, or an ungranted."""
    token = prompt_for(target, "C00036")
    for changed in (
        {"customer": by_id(SHOWN)},
        {"consent": consent_v1.ConsentRecord(type=GIVEN, purpose="fraud_prevention")},
        {"consent": consent_v1.ConsentRecord(type=GIVEN, recipients=["somebody"])},
    ):
        request = answer(token)
        request.MergeFrom(consent_v1.RecordConsentRequest(**changed))
        expect(target.refused("marketer", RECORD, request), INVALID, "PROMPT_INVALID")
    ticked = answer(token)
    ticked.capture.preselected = True
    expect(target.refused("marketer", RECORD, ticked), DENIED, "CONSENT_NOT_FREE")
    unsaid = answer(token)
    unsaid.ClearField("capture")
    expect(target.refused("marketer", RECORD, unsaid), DENIED, "CONSENT_NOT_FREE")
    assert told(target, "nobody", answer(token), RECORD) == told(target, "nobody", answer("x"), RECORD)
    # Without the prompt the marketer records nothing.
    told(target, "marketer", consent(by_id("C00036")), RECORD)


# Health.


@pytest.mark.parametrize(
    "service", ["chief", "crm", "fujie.v1", "fujie.v1.AdminService", "../keys", "C00001"]
)
def test_health_tells_strangers_of_services_and_of_nothing_else(target: Target, service: str) -> None:
    check = "/grpc.health.v1.Health/Check"
    request = health_pb2.HealthCheckRequest()
    served = health_pb2.HealthCheckResponse.FromString(target.call("", check, request, ()))
    assert served.status == health_pb2.HealthCheckResponse.SERVING
    request.service = service
    error = target.failure("", check, request, ())
    assert error.code() is NOT_FOUND
    assert service not in (error.details() or "")
    assert target.new() == []


def test_the_server_still_stands(target: Target) -> None:
    target.stands()
