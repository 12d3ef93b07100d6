from dataclasses import fields
from datetime import UTC, datetime

import pytest

from fujie.flows.reply import (
    ConsentReply,
    ConsentStateReply,
    ExplainReply,
    LookupReply,
    PrincipalReply,
    Summary,
)
from fujie.model.consent import ConsentEvent, ConsentEventType, Notice
from fujie.model.decision import Clause, Decision, Explanation, FieldOutcome, ReasonHit, RuleTrace
from fujie.model.principal import Principal
from fujie.model.reason import LocalizedText
from fujie.model.step import parse_step
from fujie.model.suggestion import Change, Part, Suggestion, Suggestions
from fujie.model.vocabulary import (
    CONSENT_STATES,
    EMPLOYMENT_STATES,
    PRINCIPAL_KINDS,
    TRAINING_STATES,
    Effect,
    State,
)
from fujie.transport.grpc import parse, render
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1

ALLOWED = Summary(
    "d-1", Effect.ALLOW, "sha256:0", (ReasonHit("X_SOON", 5, message=LocalizedText("将", "soon")),)
)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
EVENT = ConsentEvent(
    "r-1", "the-sid", "marketing", ConsentEventType.GIVEN, WHEN, WHEN, "li.na", notice=Notice("n", "2")
)


def test_a_struct_keeps_big_integers_exact_and_withheld_fields_absent() -> None:
    values: dict[str, render.Leaving] = {
        "name": "张*",
        "points": 2**63 - 1,
        "vip": False,
        "email": None,
        "score": 0.5,
        "odd": float("nan"),
    }
    outcomes = {
        "name": FieldOutcome(parse_step("keep(1,0)")),
        "id_card": FieldOutcome(parse_step("omit"), "FIELD_NOT_GRANTED"),
    }
    response = render.lookup(LookupReply(ALLOWED, values, outcomes))
    fields_of = response.customer.fields
    assert fields_of["name"].string_value == "张*"
    assert fields_of["points"].string_value == "9223372036854775807"
    assert fields_of["vip"].WhichOneof("kind") == "bool_value"
    assert (fields_of["score"].number_value, fields_of["odd"].string_value) == (0.5, "nan")
    assert fields_of["email"].WhichOneof("kind") == "null_value"
    assert "id_card" not in fields_of
    assert types_v1.Treatment(step="keep(1,0)") == response.treatments["name"]
    assert (
        types_v1.Treatment(step="omit", withheld_reason="FIELD_NOT_GRANTED")
        == response.treatments["id_card"]
    )
    assert (
        response.decision.decision_id,
        response.decision.effect,
        response.decision.warnings[0].code,
    ) == ("d-1", types_v1.EFFECT_ALLOW, "X_SOON")


@pytest.mark.parametrize("effect", list(Effect))
def test_every_effect_has_a_number_of_its_name(effect: Effect) -> None:
    told = render.summary(Summary("d", effect, "b")).effect
    assert f"EFFECT_{effect}" == types_v1.Effect.Name(told)


@pytest.mark.parametrize("state", CONSENT_STATES)
def test_every_consent_state_has_a_number_of_its_name(state: str) -> None:
    response = render.consent_state(ConsentStateReply(ALLOWED, state, None))  # type: ignore[arg-type]  # a State
    assert f"CONSENT_STATE_{state}" == consent_v1.ConsentState.Name(response.state)
    assert not response.HasField("governing")


@pytest.mark.parametrize("kind", list(ConsentEventType))
def test_every_event_type_has_a_number_of_its_name(kind: ConsentEventType) -> None:
    event = ConsentEvent("r", "s", "p", kind, WHEN, WHEN, "a")
    response = render.withdrawn(ConsentReply(ALLOWED, event))
    assert f"CONSENT_EVENT_TYPE_{kind.name}" == consent_v1.ConsentEventType.Name(response.consent.type)


def test_a_consent_record_carries_every_field_but_those_of_the_log() -> None:
    wire = {field.name for field in consent_v1.ConsentRecord.DESCRIPTOR.fields}
    assert {field.name for field in fields(ConsentEvent)} - {"sid", "entry"} == wire
    assert b"the-sid" not in render.recorded(ConsentReply(ALLOWED, EVENT)).SerializeToString()


def test_a_record_comes_back_as_it_was_recorded() -> None:
    sent = consent_v1.ConsentRecord(
        purpose="marketing",
        channel="sms",
        type=consent_v1.CONSENT_EVENT_TYPE_GIVEN,
        explicit=True,
        separate=True,
        notice=consent_v1.NoticeRef(id="n", version="2", language="zh-CN", digest="a" * 64),
        jurisdiction="CN",
        data_classes=["mobile"],
        recipients=["r"],
        storage_locations=["cn-north"],
        retention_days=730,
        collection_method="form",
        withdrawal_method="reply",
        source="website",
        evidence_ref="e-1",
    )
    sent.event_time.FromDatetime(WHEN)
    sent.valid_until.FromDatetime(WHEN)
    key = types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id="1"))
    draft = parse.recorded(consent_v1.RecordConsentRequest(customer=key, consent=sent))[1].draft
    returned = render.recorded(ConsentReply(ALLOWED, draft)).consent
    for name in ("record_id", "schema", "received_at", "actor"):
        returned.ClearField(name)
    assert sent == returned


@pytest.mark.parametrize("kind", PRINCIPAL_KINDS)
@pytest.mark.parametrize("employment", EMPLOYMENT_STATES)
@pytest.mark.parametrize("training", TRAINING_STATES)
def test_a_principal_parses_back_to_itself(kind: str, employment: str, training: str) -> None:
    attributes = {"level": 2**53, "low": -7, "vip": True, "region": "", "sites": ("b", "a")}
    known = Principal("li.na", kind, frozenset({"b", "a"}), "dep", employment, training, attributes)  # type: ignore[arg-type]  # States
    wire = render.upserted(PrincipalReply(ALLOWED, known)).principal
    assert list(wire.roles) == ["a", "b"]
    assert known == parse.upserted(directory_v1.UpsertPrincipalRequest(principal=wire))[1]


def test_who_suspended_is_told_and_never_believed() -> None:
    known = Principal("li.na", employment=State.SUSPENDED, suspended_by="officer")
    for answer in (render.principal, render.upserted, render.offboarded):
        assert answer(PrincipalReply(ALLOWED, known)).principal.suspended_by == "officer"
    wire = render.directory_record(known)
    read = parse.upserted(directory_v1.UpsertPrincipalRequest(principal=wire))[1]
    assert (read.employment, read.suspended_by) == (State.SUSPENDED, "")


def test_an_explanation_carries_every_rule_and_clause() -> None:
    decision = Decision(Effect.DENY, "sha256:0", (ReasonHit("CONSENT_MISSING", 100),))
    clause = Clause("consent.state == GIVEN", "false", 0, {"consent.state": "NONE"})
    rule = RuleTrace("guard", "g", "validations[ok]", "refused", "a.yaml:1:2", (clause,))
    response = render.explained(ExplainReply(ALLOWED, Explanation(decision, (rule,))))
    assert (response.effect, response.decision.effect) == (types_v1.EFFECT_DENY, types_v1.EFFECT_ALLOW)
    assert dict(response.rules[0].clauses[0].reads) == {"consent.state": "NONE"}
    assert [reason.code for reason in response.reasons] == ["CONSENT_MISSING"]


def test_an_explanation_carries_what_would_open_and_what_can_not_be_told() -> None:
    decision = Decision(Effect.DENY, "sha256:0", (ReasonHit("CONSENT_MISSING", 100),))
    opens = Suggestion((Change(Part.BASIS, "contract", "order_id"), Change(Part.TICKET)))
    untold = Suggestion((Change(Part.PURPOSE, "after_sales"),), ("consent.state",))
    found = Suggestions((opens,), (untold,), is_cut=True)
    response = render.explained(ExplainReply(ALLOWED, Explanation(decision, (), found)))
    ((first, second),) = [one.changes for one in response.suggestions]
    assert (first.part, first.value, first.evidence, second.part) == (
        "basis",
        "contract",
        "order_id",
        "ticket",
    )
    assert [(one.changes[0].value, list(one.lacks)) for one in response.untold] == [
        ("after_sales", ["consent.state"])
    ]
    assert response.suggestions_cut


@pytest.mark.parametrize("most", [1, 2, 1024])
def test_what_was_done_to_fields_is_told_of_those_fields_alone(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a mapping that has the place in memory of one that is gone."""
    monkeypatch.setattr(render, "_MOST_KEPT", most)
    monkeypatch.setattr(render, "_KEPT", {})
    steps = ["reveal", "keep(3,4)", "omit"]
    for turn in range(300):
        outcomes = {
            f"f{number}": FieldOutcome(parse_step(steps[(turn + number) % 3]), "X" * (turn % 2))
            for number in range(turn % 4)
        }
        for _ in range(2):
            told = render.lookup(LookupReply(ALLOWED, {}, outcomes)).treatments
            assert {name: (each.step, each.withheld_reason) for name, each in told.items()} == {
                name: (str(each.step), each.withheld) for name, each in outcomes.items()
            }
    assert len(render._KEPT) <= most
