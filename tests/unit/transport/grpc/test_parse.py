from datetime import UTC, datetime
from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from fujie.flows.consent import NOW
from fujie.model.consent import Capture, ConsentEventType
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from fujie.transport.grpc import exports, parse
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1

KEY = types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id="C1"))
PHONE = types_v1.CustomerRef(phone="13800138000")
UNKNOWN_FIELD = b"\x98\x06\x01"  # field 99, varint 1


def asked(**changes: object) -> customer_v1.LookupCustomerRequest:
    request = customer_v1.LookupCustomerRequest(customer=KEY)
    request.read_mask.paths.append("phone")
    request.MergeFrom(customer_v1.LookupCustomerRequest(**changes))  # type: ignore[arg-type]  # a table of fields
    return request


def principal(**changes: object) -> directory_v1.UpsertPrincipalRequest:
    whole: dict[str, object] = {
        "id": "li.na",
        "kind": directory_v1.PRINCIPAL_KIND_EMPLOYEE,
        "employment": directory_v1.EMPLOYMENT_ACTIVE,
        "training": directory_v1.TRAINING_VALID,
    }
    return directory_v1.UpsertPrincipalRequest(principal=directory_v1.Principal(**{**whole, **changes}))  # type: ignore[arg-type]  # a table of fields


def record(**changes: object) -> consent_v1.RecordConsentRequest:
    whole: dict[str, object] = {"purpose": "marketing", "type": consent_v1.CONSENT_EVENT_TYPE_GIVEN}
    consent = consent_v1.ConsentRecord(**{**whole, **changes})  # type: ignore[arg-type]  # a table of fields
    return consent_v1.RecordConsentRequest(customer=KEY, consent=consent)


def refused(call: object, *args: object) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        call(*args)  # type: ignore[operator]  # any parser
    return caught.value.code, caught.value.field


class TestMessage:
    @pytest.mark.parametrize("depth", [0, 1, 2])
    def test_an_unknown_field_is_refused_at_any_depth(self, depth: int) -> None:
        raw = UNKNOWN_FIELD
        for _ in range(depth):  # field 1 of the request is the CustomerRef, field 1 of that the StoreKey
            raw = b"\x0a" + bytes([len(raw)]) + raw
        assert refused(parse.message, customer_v1.LookupCustomerRequest, raw) == ("ARGUMENT_INVALID", "")

    def test_a_known_field_of_another_wire_type_is_refused(self) -> None:
        strict_as_text = b"\x2a\x01x"
        assert (
            refused(parse.message, customer_v1.LookupCustomerRequest, strict_as_text)[0]
            == "ARGUMENT_INVALID"
        )

    def test_an_unknown_field_inside_a_struct_is_refused(self) -> None:
        attributes = _nest(0x0A, _nest(0x3A, UNKNOWN_FIELD))
        assert (
            refused(parse.message, directory_v1.UpsertPrincipalRequest, attributes)[0] == "ARGUMENT_INVALID"
        )

    @pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\xff", b"\xc0\x80", b"\xf4\x90\x80\x80"])
    def test_a_lone_surrogate_or_other_broken_utf8_is_refused(self, text: bytes) -> None:
        raw = b"\x12" + bytes([len(text)]) + text
        assert refused(parse.message, customer_v1.LookupCustomerRequest, raw)[0] == "TEXT_INVALID"

    def test_a_struct_of_two_hundred_levels_is_refused(self) -> None:
        value = b""
        for _ in range(200):
            value = _nest(0x32, _nest(0x0A, value))
        entry = _nest(0x0A, _nest(0x0A, b"k") + _nest(0x12, value))
        raw = _nest(0x0A, _nest(0x3A, entry))
        assert refused(parse.message, directory_v1.UpsertPrincipalRequest, raw)[0] == "ARGUMENT_INVALID"

    def test_unset_and_whole_messages_pass(self) -> None:
        assert customer_v1.LookupCustomerRequest() == parse.message(customer_v1.LookupCustomerRequest, b"")
        whole = asked(store="crm", strict=True)
        assert whole == parse.message(customer_v1.LookupCustomerRequest, whole.SerializeToString())

    @given(st.binary(max_size=200))
    def test_any_bytes_parse_or_are_refused_with_a_code(self, raw: bytes) -> None:
        seen = set()
        for kind in (customer_v1.LookupCustomerRequest, directory_v1.UpsertPrincipalRequest):
            try:
                parse.message(kind, raw)
            except RequestError as error:
                seen.add(error.code)
        assert seen <= {"ARGUMENT_INVALID", "TEXT_INVALID"}


def _nest(tag: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([tag]) + length + bytes([size]) + body


class TestCustomer:
    @pytest.mark.parametrize(
        ("ref", "code", "field"),
        [
            ({}, "ARGUMENT_INVALID", "customer"),
            ({"store_key": {}}, "ARGUMENT_INVALID", "customer.store_key.store"),
            ({"store_key": {"store": "crm"}}, "ARGUMENT_INVALID", "customer.store_key.customer_id"),
            ({"store_key": {"customer_id": "1"}}, "ARGUMENT_INVALID", "customer.store_key.store"),
            ({"store_key": {"store": "crm", "customer_id": " "}}, "ARGUMENT_INVALID", "customer.store_key.customer_id"),
            ({"store_key": {"store": "crm", "customer_id": "1\x00"}}, "TEXT_INVALID", "customer.store_key.customer_id"),
            ({"store_key": {"store": "crm", "customer_id": "1" * 257}}, "ARGUMENT_INVALID", "customer.store_key.customer_id"),
            ({"phone": ""}, "PHONE_INVALID", "customer.phone"),
            ({"phone": "138O0138000"}, "PHONE_INVALID", "customer.phone"),
            ({"phone": "13800138000;ext=5"}, "PHONE_INVALID", "customer.phone"),
            ({"phone": "١٣٨٠٠١٣٨٠٠٠"}, "PHONE_INVALID", "customer.phone"),
            ({"phone": "1380013800"}, "PHONE_INVALID", "customer.phone"),
            ({"phone": "13800138000\x00"}, "TEXT_INVALID", "customer.phone"),
            ({"phone": "13800138000\n"}, "TEXT_INVALID", "customer.phone"),
            ({"phone": "1" * 65}, "ARGUMENT_INVALID", "customer.phone"),
            ({"phone": " " * 60_000 + "13800138000"}, "ARGUMENT_INVALID", "customer.phone"),
        ],
    )  # fmt: skip
    def test_what_names_nobody_is_refused(self, ref: dict[str, object], code: str, field: str) -> None:
        assert (code, field) == refused(parse.customer, types_v1.CustomerRef(**ref))  # type: ignore[arg-type]  # a table of fields

    @pytest.mark.parametrize(
        "written",
        ["13800138000", "+86 138 0013 8000", "１３８００１３８０００", "tel:+8613800138000", "0086-138-0013-8000", "138\u200b00138000"],
    )  # fmt: skip
    def test_every_form_of_one_number_is_one_customer(self, written: str) -> None:
        assert Phone("+8613800138000") == parse.customer(types_v1.CustomerRef(phone=written))

    def test_a_refusal_does_not_quote_the_number(self) -> None:
        with pytest.raises(RequestError) as caught:
            parse.customer(types_v1.CustomerRef(phone="138O0138000"))
        assert "138" not in str(caught.value)
        assert caught.value.__cause__ is None


class TestLookup:
    def test_the_store_of_a_store_key_counts(self) -> None:
        ask = parse.lookup(asked(strict=True))
        assert (StoreKey("crm", "C1"), "crm", ("phone",), True) == (
            ask.customer,
            ask.store,
            ask.fields,
            ask.strict,
        )

    def test_another_store_beside_the_store_key_is_refused(self) -> None:
        assert refused(parse.lookup, asked(store="erp")) == ("ARGUMENT_INVALID", "store")

    def test_a_phone_needs_a_store(self) -> None:
        assert refused(parse.lookup, asked(customer=PHONE)) == ("ARGUMENT_INVALID", "store")
        assert parse.lookup(asked(customer=PHONE, store="crm")).store == "crm"

    def test_an_absent_mask_is_refused(self) -> None:
        request = customer_v1.LookupCustomerRequest(customer=KEY)
        assert refused(parse.lookup, request) == ("FIELDS_UNBOUNDED", "read_mask")

    def test_an_absent_context_is_an_empty_one(self) -> None:
        assert RequestContext() == parse.lookup(asked()).context

    @pytest.mark.parametrize(
        "name", [f.name for f in types_v1.RequestContext.DESCRIPTOR.fields if f.type == f.TYPE_STRING]
    )
    def test_every_text_of_the_context_is_checked_and_carried(self, name: str) -> None:
        bad, long, good = (
            types_v1.RequestContext(**cast("Any", {name: v})) for v in ("a\x00", "x" * 5_000, "值")
        )
        assert ("TEXT_INVALID", f"context.{name}") == refused(parse.context, bad)
        assert ("ARGUMENT_INVALID", f"context.{name}") == refused(parse.context, long)
        assert getattr(parse.context(good), name) == "值"

    def test_explain_names_the_field_inside_its_lookup(self) -> None:
        request = policy_v1.ExplainRequest(lookup=customer_v1.LookupCustomerRequest(customer=KEY))
        assert refused(parse.explained, request) == ("FIELDS_UNBOUNDED", "lookup.read_mask")

    def test_explain_without_a_lookup_is_refused(self) -> None:
        assert refused(parse.explained, policy_v1.ExplainRequest())[1] == "lookup.customer"

    def test_explain_carries_its_own_context_apart(self) -> None:
        inner = asked(context=types_v1.RequestContext(purpose="marketing"))
        request = policy_v1.ExplainRequest(
            lookup=inner, principal="li.na", context=types_v1.RequestContext(ticket="T1")
        )
        context, ask, principal_id = parse.explained(request)
        assert (context.ticket, ask.context.purpose, principal_id) == ("T1", "marketing", "li.na")


class TestConsent:
    def test_what_only_the_server_may_say_is_not_read(self) -> None:
        stamp = Timestamp(seconds=1_700_000_000)
        draft = parse.recorded(
            record(
                record_id="mine", schema="mine", actor="somebody.else", controller="mine", received_at=stamp
            )
        )[1].draft
        assert (draft.record_id, draft.sid, draft.actor, draft.controller) == ("", "", "", "")
        assert draft.received_at == NOW
        assert draft.schema != "mine"

    def test_an_absent_time_is_now_and_a_given_one_is_kept(self) -> None:
        assert parse.recorded(record())[1].draft.event_time == NOW
        given = parse.recorded(record(event_time=Timestamp(seconds=1_700_000_000)))[1].draft
        assert datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) == given.event_time

    def test_no_time_of_the_wire_is_the_sentinel(self) -> None:
        sentinel = Timestamp()
        sentinel.FromDatetime(NOW)
        assert refused(parse.recorded, record(event_time=sentinel))[1] == "consent.event_time"

    @pytest.mark.parametrize("number", [0, 4, 5, 6, 99, -1, 2**31 - 1])
    def test_only_asked_given_and_refused_are_recorded(self, number: int) -> None:
        assert refused(parse.recorded, record(type=number)) == ("ARGUMENT_INVALID", "consent.type")

    @pytest.mark.parametrize(
        ("changes", "code", "field"),
        [
            ({"purpose": ""}, "PURPOSE_MISSING", "consent.purpose"),
            ({"channel": "SMS"}, "ARGUMENT_INVALID", "consent.channel"),
            ({"channel": "pigeon"}, "ARGUMENT_INVALID", "consent.channel"),
            ({"source": "hearsay"}, "ARGUMENT_INVALID", "consent.source"),
            ({"retention_days": -1}, "ARGUMENT_INVALID", "consent.retention_days"),
            ({"retention_days": 40_000}, "ARGUMENT_INVALID", "consent.retention_days"),
            ({"event_time": Timestamp()}, "ARGUMENT_INVALID", "consent.event_time"),
            ({"valid_until": Timestamp(seconds=2**60)}, "ARGUMENT_INVALID", "consent.valid_until"),
            ({"notice": consent_v1.NoticeRef(digest="xyz")}, "ARGUMENT_INVALID", "consent.notice.digest"),
            (
                {"notice": consent_v1.NoticeRef(digest="A" * 64)},
                "ARGUMENT_INVALID",
                "consent.notice.digest",
            ),
            ({"notice": consent_v1.NoticeRef(id="\x1b[2J")}, "TEXT_INVALID", "consent.notice.id"),
            ({"recipients": ["a", "a"]}, "ARGUMENT_INVALID", "consent.recipients"),
            ({"data_classes": [""]}, "ARGUMENT_INVALID", "consent.data_classes"),
            ({"storage_locations": ["x\x00"]}, "TEXT_INVALID", "consent.storage_locations"),
            ({"evidence_ref": "x" * 513}, "ARGUMENT_INVALID", "consent.evidence_ref"),
        ],
    )
    def test_a_record_that_would_prove_nothing_is_refused(
        self, changes: dict[str, object], code: str, field: str
    ) -> None:
        assert (code, field) == refused(parse.recorded, record(**changes))

    def test_the_capture_counts_only_when_both_is_said(self) -> None:
        """Silence is not "nothing was ticked beforehand"."""
        table = [
            (consent_v1.Capture(), None),
            (consent_v1.Capture(preselected=False), None),
            (consent_v1.Capture(bundled=False), None),
            (
                consent_v1.Capture(preselected=False, bundled=False),
                Capture(preselected=False, bundled=False),
            ),
            (consent_v1.Capture(preselected=True, bundled=False), Capture(preselected=True, bundled=False)),
        ]
        for capture, expected in table:
            request = record()
            request.capture.CopyFrom(capture)
            assert parse.recorded(request)[1].capture == expected
        assert parse.recorded(record())[1].capture is None

    def test_to_a_prompt_customer_purpose_and_notice_need_not_be_named(self) -> None:
        given = consent_v1.ConsentRecord(type=consent_v1.CONSENT_EVENT_TYPE_GIVEN)
        answer = parse.recorded(consent_v1.RecordConsentRequest(prompt="abc", consent=given))[1]
        assert (answer.prompt, answer.customer, answer.draft.purpose) == ("abc", None, "")
        assert (
            refused(parse.recorded, consent_v1.RecordConsentRequest(consent=given))[0] == "PURPOSE_MISSING"
        )
        named = consent_v1.RecordConsentRequest(
            prompt="abc", customer=types_v1.CustomerRef(), consent=given
        )
        assert refused(parse.recorded, named) == ("ARGUMENT_INVALID", "customer")
        for text in ("x" * 4_097, "a\x00b"):
            endless = consent_v1.RecordConsentRequest(prompt=text, consent=given)
            assert refused(parse.recorded, endless)[1] == "prompt"

    def test_a_withdrawal_is_now_and_for_every_channel_unless_one_is_named(self) -> None:
        request = consent_v1.WithdrawConsentRequest(customer=PHONE, purpose="marketing")
        ref, _, draft = parse.withdrawn(request)
        assert Phone("+8613800138000") == ref
        assert (draft.type, draft.event_time, draft.channel) == (ConsentEventType.WITHDRAWN, NOW, "any")

    def test_a_withdrawal_for_a_misspelt_channel_is_refused(self) -> None:
        request = consent_v1.WithdrawConsentRequest(customer=KEY, purpose="marketing", channel="smss")
        assert refused(parse.withdrawn, request) == ("ARGUMENT_INVALID", "channel")

    def test_a_query_names_purpose_and_channel(self) -> None:
        request = consent_v1.GetConsentRequest(customer=KEY, purpose="marketing", channel="sms")
        query = parse.consent_query(request)
        assert (StoreKey("crm", "C1"), "marketing", "sms") == (query.customer, query.purpose, query.channel)
        assert (
            refused(parse.consent_query, consent_v1.GetConsentRequest(customer=KEY))[0] == "PURPOSE_MISSING"
        )


class TestPrincipal:
    def test_a_whole_principal_passes(self) -> None:
        request = principal(roles=["support", "lead"], department="华北")
        request.principal.attributes.update(
            {"region": "north", "level": 3, "vip": True, "sites": ["a", "b"]}
        )
        _, parsed = parse.upserted(request)
        assert frozenset({"support", "lead"}) == parsed.roles
        assert parsed.attributes == {"region": "north", "level": 3, "vip": True, "sites": ("a", "b")}
        assert int is type(parsed.attributes["level"])
        assert (
            parsed.kind,
            parsed.employment,
            parsed.training,
        ) == (State.EMPLOYEE, State.ACTIVE, State.VALID)

    @pytest.mark.parametrize("name", ["kind", "employment", "training"])
    @pytest.mark.parametrize("number", [0, 7, -1])
    def test_no_state_has_a_default_or_an_unknown_number(self, name: str, number: int) -> None:
        assert ("ARGUMENT_INVALID", f"principal.{name}") == refused(
            parse.upserted, principal(**{name: number})
        )

    @pytest.mark.parametrize(
        "value", [None, {"a": 1}, [1], [["a"]], [None], ["a", 1], 1.5, 2**53 + 2, float("inf"), float("nan"), "a\x00"]
    )  # fmt: skip
    def test_an_attribute_without_a_type_is_refused(self, value: Any) -> None:
        request = principal()
        request.principal.attributes.update({"region": value})
        assert refused(parse.upserted, request)[1] == "principal.attributes"

    def test_an_attribute_that_is_not_set_at_all_is_refused(self) -> None:
        request = principal()
        request.principal.attributes.fields["region"].SetInParent()
        assert refused(parse.upserted, request)[1] == "principal.attributes"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"id": ""}, "principal.id"),
            ({"id": "x" * 257}, "principal.id"),
            ({"roles": ["a", "a"]}, "principal.roles"),
            ({"roles": ["a\n"]}, "principal.roles"),
            ({"department": "\x1b"}, "principal.department"),
        ],
    )
    def test_a_malformed_principal_is_refused(self, changes: dict[str, object], field: str) -> None:
        assert field == refused(parse.upserted, principal(**changes))[1]

    def test_an_id_must_be_named(self) -> None:
        assert refused(parse.principal_id, directory_v1.OffboardPrincipalRequest())[1] == "id"


class TestBreakGlass:
    URGENT = types_v1.RequestContext(break_glass=True, ticket="T-1")

    def test_one_look_up_may_be_urgent_with_a_ticket_and_without_an_approval(self) -> None:
        assert parse.lookup(asked(context=self.URGENT)).context.break_glass
        silent = types_v1.RequestContext(break_glass=True)
        both = types_v1.RequestContext(break_glass=True, ticket="T-1", approval="approvals/" + "0" * 32)
        for context, field in ((silent, "ticket"), (both, "approval")):
            assert refused(parse.lookup, asked(context=context)) == ("ARGUMENT_INVALID", f"context.{field}")

    def test_nothing_else_may_and_no_leased_file(self) -> None:
        assert refused(parse.context, self.URGENT) == ("ARGUMENT_INVALID", "context.break_glass")
        request = policy_v1.ExplainRequest(lookup=asked(context=self.URGENT))
        assert refused(parse.explained, request) == ("ARGUMENT_INVALID", "lookup.context.break_glass")
        export = customer_v1.ExportCustomersRequest(
            store="crm", context=self.URGENT, max_rows=9, format="EXPORT_FORMAT_CSV"
        )
        export.read_mask.paths.append("phone")
        assert exports.exported(export).context.break_glass
        export.lease.seconds, export.lease.opens = 60, 1
        assert refused(exports.exported, export) == ("ARGUMENT_INVALID", "context.break_glass")
