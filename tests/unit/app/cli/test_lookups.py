"""What the terminal says of an explanation: rules, and where the step of each field comes from."""

import pytest

from fujie.app.cli.lookups import print_explanation
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1


def test_a_pipe_gets_the_step_of_every_field_with_what_opened_and_closed_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = [
        policy_v1.FieldTrace(field="bank_card", withheld_reason="FIELD_NOT_GRANTED"),
        policy_v1.FieldTrace(field="phone", step="keep(3,2)", opened_by=["a", "b"], closed_by=["guard g"]),
    ]
    rules = [
        policy_v1.RuleTrace(kind="guard", name="g", part="fields", outcome="tightens", place="g.yaml:1:1")
    ]
    print_explanation(policy_v1.ExplainResponse(effect=types_v1.EFFECT_ALLOW, rules=rules, fields=fields))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["ALLOW"],
        ["guard", "g", "fields", "tightens", "g.yaml:1:1"],
        [],
        ["field", "step", "opened", "by", "closed", "by"],
        ["bank_card", "FIELD_NOT_GRANTED"],
        ["phone", "keep(3,2)", "grant", "a,", "grant", "b", "guard", "g"],
    ]


def test_a_refusal_has_no_steps(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [types_v1.Reason(code="NO_GRANT")]
    print_explanation(policy_v1.ExplainResponse(effect=types_v1.EFFECT_DENY, reasons=reasons))
    assert "opened by" not in capsys.readouterr().out
