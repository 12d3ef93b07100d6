"""How a replay is told to people: nothing of a log gives orders to a terminal, and what could not be read is named."""

import json
from dataclasses import replace

import pytest

from fujie.app.cli.output import Format
from fujie.app.cli.replay_results import Outcome, show_outcome
from fujie.app.replay import Tally
from fujie.audit.verify import LogReport
from fujie.decision.replay import Replayed, Verdict

ORDER = "\x1b]52;c;cm0=\x07\u202e\x9b2J"
READ = "\\u{1b}]52;c;cm0=\\u{7}\\u{202e}\\u{9b}2J"


def outcome_of(row: Replayed, example: str, unreadable: int = 0) -> Outcome:
    tally = Tally(unreadable=unreadable)
    for verdict in Verdict:
        tally.count(replace(row, verdict=verdict), 1, (example,))
    return Outcome([LogReport(ORDER, 9, 9, b"", ())], ["sha256:1"], "sha256:2", tally, 1.0)


def test_no_text_of_a_log_gives_orders_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Who writes a log is not who replays it."""
    row = Replayed(
        Verdict.SAME, ORDER, ORDER, ORDER, ORDER, roles=(ORDER,), after=ORDER, rule=ORDER, reason=ORDER, facts=(ORDER,)
    )  # fmt: skip
    show_outcome(Format.TABLE, outcome_of(row, ORDER))
    said = capsys.readouterr().out
    assert said.count(READ) == 39
    assert not any(sign in said for sign in ORDER if not sign.isprintable())


def test_no_line_of_a_log_looks_like_one_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    row = Replayed(Verdict.SAME, "b\n0 decisions", "lookup", "care", "ALLOW")
    show_outcome(Format.TABLE, outcome_of(row, "1"))
    assert "\n0 decisions" not in capsys.readouterr().out


@pytest.mark.parametrize("unreadable", [0, 3])
def test_people_are_told_what_could_not_be_read(
    unreadable: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the exit code 6 has no reason."""
    outcome = outcome_of(Replayed(Verdict.SAME, "b", "lookup", "care", "ALLOW"), "1", unreadable)
    show_outcome(Format.TABLE, outcome)
    assert ("3 entries can not be read" in capsys.readouterr().out) == bool(unreadable)
    show_outcome(Format.JSON, outcome)
    assert json.loads(capsys.readouterr().out)["decisions"]["unreadable"] == unreadable
