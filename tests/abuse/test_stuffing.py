"""Tampering by what is sent: nothing is too long, too odd or too broken to leave an honest entry."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from abuse.methods import METHODS, ON_THE_WIRE
from abuse.target import (
    ADD_RECIPIENTS,
    APPROVALS,
    BATCH,
    CREATE_CAMPAIGN,
    EVENTS,
    GET_PRINCIPAL,
    IMPORT,
    LIST_PRINCIPALS,
    LOOKUP,
    PROCESSORS,
    SCREEN,
    SEND,
    SHOWN,
    SUPPRESSIONS,
    UPSERT,
    UPSERT_PROCESSOR,
    Target,
    ask,
    batch,
    by_id,
    expect,
    hired,
    leaves,
)
from fujie.audit.entry import MAX_ENTRY_BYTES
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import types_pb2 as types_v1

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MARK = "EVILMARK"
EVIL = {
    "newline": "\n{}",
    "return": "\r",
    "ANSI": "\x1b[31;1m",
    "C1": "\x9b2J",
    "NUL": "\0",
    "separator": "\u2028",
}
SERVER_SAYS = {"consent.record_id", "consent.schema", "consent.actor", "consent.controller"}
"""Output only (AIP-203): whatever a caller puts there is not read."""
CLOSED_LISTS = {
    "phone_last_four": {"PHONE_INVALID"},
    "confirmation.method": {"SUPPRESSION_CONFIRMATION_MISSING"},
}
"""Texts of so few forms that a reason of their own says what is wrong."""


def texts_of(kind: Any, above: tuple[FieldDescriptor, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Yield the path to every text of a message; a Struct, and a map, has a test of its own."""
    for field in kind.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (*above, field)
        elif field.message_type and not (
            field.message_type.full_name.startswith("google.protobuf.Struct")
            or field.message_type.GetOptions().map_entry
        ):
            yield from texts_of(field.message_type, (*above, field))


PATHS = {
    f"{method.rpartition('/')[2]} {'.'.join(field.name for field in path)}": (method, path)
    for method, (_, message) in METHODS.items()
    for path in texts_of(message.DESCRIPTOR)
    if path[0].name not in ("recipients", "rows")  # rows of a stream: each is counted by itself
}


def put(message: Message, path: tuple[FieldDescriptor, ...], value: str) -> Message:
    """Return a copy of the message with this text at the path; in a list as one more."""
    copy = type(message)()
    copy.CopyFrom(message)
    inner = copy
    for field in path[:-1]:
        inner = getattr(inner, field.name)
        inner = inner[-1] if field.is_repeated else inner
    if path[-1].is_repeated:
        getattr(inner, path[-1].name).append(value)
    else:
        setattr(inner, path[-1].name, value)
    return copy


def send(target: Target, path: str, message: Message | bytes) -> None:
    """Send what may not pass: refused with an entry, and nothing of the text is anywhere."""
    method, fields = PATHS[path]
    seen = target.seen
    who, name = METHODS[method][0], ".".join(field.name for field in fields)
    if name in SERVER_SAYS and isinstance(message, Message):
        target.call(who, method, message)
        assert target.new()
    else:
        detail = target.refused(who, method, message)
        assert detail.code is INVALID, detail
        reason = target.new_one("DENY", detail.reason, who).reasons[0]
        assert reason in {"TEXT_INVALID", "ARGUMENT_INVALID", *CLOSED_LISTS.get(name, ())}
        assert MARK not in detail.message
    assert not any(MARK.encode() in leaf for leaf in leaves(target.site, seen))


def test_every_method_of_the_wire_is_attacked() -> None:
    assert METHODS.keys() == ON_THE_WIRE


@pytest.mark.parametrize("path", PATHS)
def test_no_text_injects_a_line_or_an_escape(target: Target, path: str) -> None:
    method, fields = PATHS[path]
    for evil in EVIL.values():
        send(target, path, put(METHODS[method][1], fields, f"{MARK}{evil}{MARK}"))
    assert MARK not in target.server.output.read_text("utf-8")
    assert target.server.events()  # one JSON object per line, or this fails


@pytest.mark.parametrize("path", PATHS)
def test_a_text_that_is_not_unicode_is_refused_wherever_it_stands(target: Target, path: str) -> None:
    method, fields = PATHS[path]
    honest = put(METHODS[method][1], fields, f"{MARK}???").SerializeToString()
    for broken in (b"\xff??", b"\xed\xa0\x80", b"\xc0\x80?"):  # no UTF-8, a lone surrogate, an overlong NUL
        send(target, path, honest.replace(b"???", broken, 1))


@pytest.mark.parametrize(
    "forged",
    [f"call failed\n{MARK}", '","level":"info","event":"ready"}\n{"event":"forged"}', "\x1b[2J\x1b[H"],
)
def test_names_of_methods_and_metadata_forge_no_line_of_the_servers_log(
    target: Target, forged: str
) -> None:
    encoded = forged.encode()
    detail = target.refused(
        "agent", LOOKUP, ask("phone"), (*target.bearer("nobody"), ("x-trace-bin", encoded))
    )
    expect(detail, grpc.StatusCode.PERMISSION_DENIED, "NO_GRANT")
    method = f"/fujie.v1.{forged.translate({10: '.', 27: '.'})}/Look"
    expect(target.refused("agent", method, b""), grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")
    assert {line["event"] for line in target.server.events()} <= {
        "policies_loaded", "attribute_unmapped", "worker_ready", "ready", "serving", "call_failed",
    }  # fmt: skip
    assert MARK not in target.server.output.read_text("utf-8")


STUFFED = {
    "ticket": ask("phone", ticket="T" * 10_000),
    "purpose": ask("phone", purpose="p" * 129),
    "basis evidence": ask("phone", basis_evidence="订" * 513),
    "customer id": ask("phone", customer=by_id("C" * 257)),
    "store": ask("phone", customer=by_id(SHOWN, store="s" * 129)),
    "200 fields": ask(*(f"field_{n}" for n in range(200))),
    "a long field": ask("f" * 129),
    "on behalf of": ask("phone", on_behalf_of="a" * 257),
    "101 customers": batch(*[by_id(SHOWN)] * 101),
    "no customer": batch(),
    "200 fields of 100 customers": batch(
        *[by_id(SHOWN)] * 100, fields=tuple(f"field_{n}" for n in range(200))
    ),
    "a batch of two stores": batch(by_id(SHOWN), by_id(SHOWN, store="erp")),
}


@pytest.mark.parametrize("request_", STUFFED.values(), ids=STUFFED)
def test_a_stuffed_look_up_is_refused_with_an_entry(target: Target, request_: Message) -> None:
    method = LOOKUP if isinstance(request_, customer_v1.LookupCustomerRequest) else BATCH
    expect(target.refused("agent", method, request_), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", "agent")


@pytest.mark.parametrize("field", ["names", "values"])
@pytest.mark.parametrize("method", [SEND, UPSERT_PROCESSOR, SCREEN])
def test_no_name_and_no_value_of_a_map_injects_a_line_or_an_escape(
    target: Target, method: str, field: str
) -> None:
    who, honest = METHODS[method]
    for evil in (*EVIL.values(), "x" * 513):
        asked: Any = type(honest)()
        asked.CopyFrom(honest)
        given = {
            SEND: lambda asked=asked: asked.template.params,
            UPSERT_PROCESSOR: lambda asked=asked: asked.processor.assessments,
            SCREEN: lambda asked=asked: asked.params,
        }[method]()
        if method == SEND:
            asked.template.id = "t"
        text = f"{MARK}{evil}{MARK}"
        given[text if field == "names" else "marketing"] = "2027-01-01" if field == "names" else text
        detail = target.refused(who, method, asked)
        assert detail.code is INVALID, detail
        assert target.new_one("DENY", detail.reason, who).reasons[0] in {"TEXT_INVALID", "ARGUMENT_INVALID"}
    assert MARK not in target.server.output.read_text("utf-8")


def test_a_row_that_can_not_be_read_is_counted_and_stands_nowhere(target: Target) -> None:
    raw = target.call("sender", CREATE_CAMPAIGN, METHODS[CREATE_CAMPAIGN][1])
    name = messaging_v1.CreateCampaignResponse.FromString(raw).campaign.name
    seen = target.seen
    refs = [by_id(f"{MARK}{evil}{MARK}") for evil in EVIL.values()]
    refs += [types_v1.CustomerRef(phone=f"{MARK}1380013"), types_v1.CustomerRef(), by_id(SHOWN)]
    rows = [messaging_v1.Recipient(customer=ref) for ref in refs]
    rows += [messaging_v1.Recipient(customer=by_id(SHOWN), params={f"{MARK}\n": MARK})]
    asked = messaging_v1.AddRecipientsRequest(name=name, recipients=rows)
    reply = messaging_v1.AddRecipientsResponse.FromString(target.call("sender", ADD_RECIPIENTS, asked))
    assert reply.added == 1
    counted = {each.reason: each.count for each in reply.refused}
    assert counted == {"TEXT_INVALID": len(EVIL) + 1, "PHONE_INVALID": 1, "ARGUMENT_INVALID": 1}
    assert not any(MARK.encode() in leaf for leaf in leaves(target.site, seen))
    assert MARK not in target.server.output.read_text("utf-8")
    target.stands()


IN_A_ROW = [path for path in texts_of(METHODS[IMPORT][1].DESCRIPTOR) if path[0].name == "rows"]


@pytest.mark.parametrize("path", IN_A_ROW, ids=lambda path: ".".join(field.name for field in path))
def test_a_text_in_a_row_of_a_file_is_refused_alone_and_stands_nowhere(
    target: Target, path: tuple[FieldDescriptor, ...]
) -> None:
    seen, honest = target.seen, METHODS[IMPORT][1]
    said = ".".join(field.name for field in path[1:])
    for evil in EVIL.values():
        asked = put(honest, path, f"{MARK}{evil}{MARK}")
        asked.MergeFrom(honest)  # the row behind it is a good one
        reply = consent_v1.ImportConsentsResponse.FromString(target.call("desk", IMPORT, asked))
        refused = {each.reason: list(each.rows) for each in reply.refused}
        assert refused in (
            [{}] if said in SERVER_SAYS else [{"TEXT_INVALID": [0]}, {"ARGUMENT_INVALID": [0]}]
        )
    broken = put(honest, path, f"{MARK}???").SerializeToString().replace(b"???", b"\xed\xa0\x80")
    assert target.refused("desk", IMPORT, broken).code is INVALID
    assert not any(MARK.encode() in leaf for leaf in leaves(target.site, seen))
    assert MARK not in target.server.output.read_text("utf-8")


@pytest.mark.parametrize("method", [EVENTS, SUPPRESSIONS, LIST_PRINCIPALS, APPROVALS, PROCESSORS])
@pytest.mark.parametrize("size", [-1, 501, 2**31 - 1, -(2**31)])
def test_no_page_is_larger_than_a_page(target: Target, method: str, size: int) -> None:
    who, honest = METHODS[method]
    asked = type(honest)()
    asked.MergeFrom(honest)
    asked.page_size = size  # type: ignore[attr-defined]  # each of these has it
    expect(target.refused(who, method, asked), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", who)


def test_a_list_of_a_hundred_thousand_customers_is_not_even_read(target: Target) -> None:
    many = batch(*[by_id("")] * 100_000)
    assert target.refused("agent", BATCH, many).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert target.new() == []


def test_what_no_entry_could_hold_is_not_even_read(target: Target) -> None:
    detail = target.refused("agent", LOOKUP, ask("phone", ticket="T" * 70_000))
    assert detail.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert target.new() == []


ASTRAL = "\U00020000"  # four bytes in UTF-8: the most that a code point can cost


def wide(count: int) -> list[str]:
    return [chr(ord(ASTRAL) + n) * 128 for n in range(count)]


def test_an_asker_whose_every_text_is_as_long_as_may_be_still_leaves_an_entry(target: Target) -> None:
    long = ASTRAL * 128
    target.call("chief", UPSERT, hired("stuffed", "support", *wide(63)))
    target.new()
    fields = [f"f{n:03}_{'x' * 123}" for n in range(128)]
    asked = ask(*fields, purpose=long, basis=long, on_behalf_of=ASTRAL * 256, ticket=ASTRAL * 512)
    expect(
        target.refused("stuffed", LOOKUP, asked), grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_REFUSED"
    )
    target.new_one("DENY", "DELEGATION_REFUSED", "stuffed")
    asked.context.on_behalf_of = ""
    expect(target.refused("stuffed", LOOKUP, asked), INVALID, "UNKNOWN_FIELD")
    target.new_one("DENY", "UNKNOWN_FIELD", "stuffed")
    assert target.lookup("stuffed", ask("phone", "name")).customer["name"]
    target.new_one("ALLOW", who="stuffed")


def test_an_act_whose_entry_would_be_too_long_is_refused_with_a_short_one(target: Target) -> None:
    target.call("chief", UPSERT, hired("stuffed-chief", "administrator", *wide(63)))
    target.new()
    detail = target.refused("stuffed-chief", UPSERT, hired("puppet", *wide(64)))
    expect(detail, INVALID, "ENTRY_TOO_LARGE")
    entry = target.new_one("DENY", "ENTRY_TOO_LARGE", "stuffed-chief")
    assert (entry.action, dict(entry.facts)) == ("principal.write", {})
    assert detail.decision_id == entry.decision_id
    gone = target.refused("chief", GET_PRINCIPAL, directory_v1.GetPrincipalRequest(id="puppet"))
    expect(gone, grpc.StatusCode.NOT_FOUND, "PRINCIPAL_NOT_FOUND")


def test_no_entry_is_longer_than_a_bundle_can_hold(target: Target) -> None:
    assert max(map(len, leaves(target.site))) <= MAX_ENTRY_BYTES
    target.stands()
