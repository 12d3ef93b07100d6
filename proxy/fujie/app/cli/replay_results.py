"""How a replay is told: what was proven, what flips, what could not be decided; examples by decision id."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from fujie.app.cli.output import Format, beside, cell, console, show_json, visible
from fujie.app.replay import EXAMPLES, Tally
from fujie.audit.verify import LogReport
from fujie.decision.replay import Replayed, Verdict

_DECIDED = (Verdict.SAME, Verdict.FLIPS, Verdict.CHANGES, Verdict.UNDECIDABLE)
"""What was reproduced by its own bundle."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A replay that came to its end, in `seconds`. `recorded` and `candidate` are digests."""

    reports: Sequence[LogReport]
    recorded: Sequence[str]
    candidate: str
    tally: Tally
    seconds: float

    def many(self, *verdicts: Verdict, bundle: str = "") -> int:
        """Return how many decisions came to one of `verdicts`; those of one bundle where it is named."""
        rows = self.tally.rows.items()
        return sum(
            many for row, (many, _) in rows if row.verdict in verdicts and bundle in ("", row.bundle)
        )

    @property
    def is_sound(self) -> bool:
        """Tell whether every entry was read, and every decision that could be repeated was reproduced."""
        return not (self.tally.unreadable or self.many(Verdict.DIFFERS))

    @property
    def is_proven(self) -> bool:
        """Tell whether every decision of a policy was repeated and reproduced, and there was any."""
        left = self.many(Verdict.UNPROVEN, Verdict.UNKNOWN_BUNDLE)
        return self.is_sound and not left and self.many(*_DECIDED) > 0


@dataclass(frozen=True, slots=True)
class _Table:
    """One table: which decisions, its title, and what its columns say of them."""

    name: str
    verdict: Verdict
    title: str
    columns: Mapping[str, Callable[[Replayed], Any]]


_ASKED: Mapping[str, Callable[[Replayed], Any]] = {
    "action": lambda row: row.action,
    "purpose": lambda row: row.purpose,
    "roles": lambda row: list(row.roles),
}
_MOVED: Mapping[str, Callable[[Replayed], Any]] = {
    "rule": lambda row: row.rule,
    "reason": lambda row: row.reason,
    **_ASKED,
    "before": lambda row: row.before,
    "after": lambda row: row.after,
    "fields": lambda row: list(row.facts),
}
_LACKING: Mapping[str, Callable[[Replayed], Any]] = {"facts": lambda row: list(row.facts), **_ASKED}
_TABLES = (
    _Table(
        "differing", Verdict.DIFFERS, "NOT REPRODUCED by the bundle that made them",
        {**_ASKED, "recorded": lambda row: row.before, "reproduced": lambda row: row.after},
    ),
    _Table("flips", Verdict.FLIPS, "flips: another effect under the candidate", _MOVED),
    _Table("changes", Verdict.CHANGES, "the same effect, by other reasons or with other steps", _MOVED),
    _Table("undecidable", Verdict.UNDECIDABLE, "not decided: the record lacks what the candidate reads", _LACKING),
    _Table("unproven", Verdict.UNPROVEN, "not repeated: what they read can not be read now (SEALED: --config opens it)", _LACKING),
    _Table("outside", Verdict.OUTSIDE, "no policy decided, or the entry holds none of the facts of it", {"before": lambda row: row.before}),
    _Table(
        "unknown_bundles", Verdict.UNKNOWN_BUNDLE, "made by bundles that are not at hand: name them with --recorded",
        {"bundle": lambda row: row.bundle},
    ),
)  # fmt: skip


def show_outcome(output: Format, outcome: Outcome) -> None:
    """Print the outcome."""
    if output is Format.JSON:
        show_json(_plain(outcome))
        return
    talk = console()
    for report in outcome.reports:
        unsigned = report.size - report.signed_size
        tail = f"; {unsigned} more without signature, left out" if unsigned else ""
        talk.print(
            Text(f"{visible(report.origin)}: {report.signed_size} entries as they were signed{tail}")
        )
    if unreadable := outcome.tally.unreadable:
        said = f"{unreadable} entries can not be read: another build wrote them, or not a gate of ours"
        talk.print(Text(said, style="bold red"))
    for bundle in outcome.recorded:
        talk.print(_proof(outcome, bundle))
    rate = sum(many for many, _ in outcome.tally.rows.values()) / outcome.seconds
    talk.print(Text(f"candidate {outcome.candidate}: {_summary(outcome)} ({rate:,.0f} decisions/s)"))
    for table in _TABLES:
        groups = _grouped(outcome.tally, table)
        if groups:
            talk.print(Text(f"\n{table.title}", style="bold"))
            for line in (line for group in groups for line in _lines(group)):
                talk.print(line)


def _summary(outcome: Outcome) -> str:
    same, flips, changes, undecidable = (
        outcome.many(verdict)
        for verdict in (Verdict.SAME, Verdict.FLIPS, Verdict.CHANGES, Verdict.UNDECIDABLE)
    )
    return f"{same} the same, {flips} flip, {changes} change otherwise, {undecidable} not decided"


def _proof(outcome: Outcome, bundle: str) -> Text:
    proof = _of_bundle(outcome, bundle)
    if proof["differing"]:
        said = Text(f"{proof['differing']} decisions are NOT reproduced", style="bold red")
    elif proof["unproven"]:
        said = Text(f"{proof['unproven']} could not be repeated", style="yellow")
    elif proof["reproduced"]:
        said = Text("every one byte for byte", style="green")
    else:
        said = Text("the log holds none of its decisions", style="yellow")
    return Text.assemble(f"{bundle}: {proof['reproduced']} decisions reproduced, ", said)


def _of_bundle(outcome: Outcome, bundle: str) -> dict[str, Any]:
    return {
        "bundle": bundle,
        "reproduced": outcome.many(*_DECIDED, bundle=bundle),
        "differing": outcome.many(Verdict.DIFFERS, bundle=bundle),
        "unproven": outcome.many(Verdict.UNPROVEN, bundle=bundle),
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    logs = [
        {"origin": each.origin, "entries": each.size, "signed": each.signed_size}
        for each in outcome.reports
    ]
    counts = {verdict.value: outcome.many(verdict) for verdict in Verdict}
    return {
        "proven": outcome.is_proven,
        "logs": logs,
        "recorded": [_of_bundle(outcome, bundle) for bundle in outcome.recorded],
        "candidate": outcome.candidate,
        "decisions": {
            **counts,
            "unreadable": outcome.tally.unreadable,
            "others": outcome.tally.others,
        },
        "seconds": round(outcome.seconds, 3),
        **{table.name: _grouped(outcome.tally, table) for table in _TABLES},
    }


def _grouped(tally: Tally, table: _Table) -> list[dict[str, Any]]:
    """Return one row a group, the largest first."""
    groups: dict[str, tuple[dict[str, Any], int, tuple[str, ...]]] = {}
    for row, (many, examples) in tally.rows.items():
        if row.verdict is table.verdict:
            said = {name: of(row) for name, of in table.columns.items()}
            key = repr(said)
            _, before, known = groups.get(key, (said, 0, ()))
            groups[key] = (said, before + many, (*known, *examples)[:EXAMPLES])
    largest = sorted(groups.items(), key=lambda item: (-item[1][1], item[0]))
    return [{"decisions": many, **said, "examples": list(ids)} for _, (said, many, ids) in largest]


def _lines(group: Mapping[str, Any]) -> Iterator[Text]:
    """Yield a group line by line: ten columns side by side are unreadable in a terminal of 80."""
    yield Text(f"{group['decisions']} decision{'' if group['decisions'] == 1 else 's'}", style="bold")
    for name, said in group.items():
        if said and name != "decisions":
            yield Text(f"  {name:<10} {beside(13, cell(said))}")
