"""The policies with marks: which line was seen in every way that counts, and what of it was not."""

from collections.abc import Iterator

from rich.text import Text

from fujie.app.cli.output import console
from fujie.app.cli.policy_results import never, percent_of
from fujie.app.policies import Files
from fujie.decision.coverage import Coverage, Mark, by_place

_Marks = dict[int, list[Mark]]


def report_of(files: Files, coverage: Coverage) -> str:
    """Return the report as text."""
    return "".join(f"{line.plain}\n" for line in _lines(files, coverage))


def print_report(files: Files, coverage: Coverage) -> None:
    """Print the report, coloured where the terminal wants it."""
    talk = console()
    for line in _lines(files, coverage):
        talk.print(line)


def _lines(files: Files, coverage: Coverage) -> Iterator[Text]:
    """Yield every line of every file that has something to see: `seen/required`, its number, its text."""
    marks: dict[str, _Marks] = {}
    for mark in sorted(coverage.required, key=by_place):
        file, line, _ = mark.place.rsplit(":", 2)
        marks.setdefault(file, {}).setdefault(int(line), []).append(mark)
    for file, of_file in marks.items():
        required = frozenset(mark for found in of_file.values() for mark in found)
        share = Coverage(required, coverage.seen)
        yield Text(f"{file}  {percent_of(share)} %", style="bold")
        for number, text in enumerate(files[file].decode("utf-8-sig").split("\n"), 1):
            yield from _marked(number, text.rstrip("\r"), of_file.get(number, []), coverage)


def _marked(number: int, text: str, marks: list[Mark], coverage: Coverage) -> Iterator[Text]:
    missing = [mark for mark in marks if mark not in coverage.seen]
    seen = f"{len(marks) - len(missing)}/{len(marks)}" if marks else ""
    style = "" if not marks else "red" if missing else "green"
    yield Text.assemble((f"{seen:>7}", style), (f" {number:>5} | ", "dim"), (text, style))
    for mark in missing:
        yield Text(f"{'':>7} {'':>5} ! {mark.rule}: {never(mark)}", style="yellow")
