"""What the terminal says about what would open."""

import pytest

from fujie.app.cli.suggestions import print_suggestions
from fujie.model.suggestion import Part
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1


def printed(capsys: pytest.CaptureFixture[str], reply: policy_v1.ExplainResponse) -> str:
    print_suggestions(reply)
    return capsys.readouterr().out


def suggestion(*changes: tuple[str, str, str], lacks: tuple[str, ...] = ()) -> policy_v1.Suggestion:
    made = (
        policy_v1.Change(part=part, value=value, evidence=evidence) for part, value, evidence in changes
    )
    return policy_v1.Suggestion(changes=made, lacks=lacks)


def test_every_part_has_words_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    reply = policy_v1.ExplainResponse(suggestions=[suggestion((part, "value", "")) for part in Part])
    lines = printed(capsys, reply).splitlines()[1:]
    assert len(set(lines)) == len(Part)


def test_pairs_evidence_and_what_can_not_be_told_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    reply = policy_v1.ExplainResponse(
        suggestions=[suggestion(("basis", "contract", "order_id"), ("ticket", "", ""))],
        untold=[suggestion(("purpose", "marketing", ""), lacks=("consent.state",))],
        suggestions_cut=True,
    )
    assert printed(capsys, reply).splitlines() == [
        "it would be allowed",
        "└── if the basis were truly contract, with its evidence (order_id), and with a ticket",
        "it can not be told whether it would",
        "└── if the purpose were truly marketing  lacks consent.state",
        "there are more changes than are tried; these may not be all",
    ]


def test_an_allowed_look_up_says_nothing_and_a_hopeless_one_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, policy_v1.ExplainResponse()) == ""
    hopeless = policy_v1.ExplainResponse(reasons=[types_v1.Reason(code="NO_GRANT")])
    assert printed(capsys, hopeless).startswith("no change of one or two things")
