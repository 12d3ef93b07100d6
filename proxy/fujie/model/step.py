"""Steps and ladders: how open or closed one field is shown.

Policies write steps as text (`keep(3,4)`); everything after the loader holds `Step` values, so an unknown
or ill-formed step can exist nowhere but in the loader's diagnostics. What a step does to a value of a given
data class is `decision/mask.py`'s matter; which steps make sense for a class is `model/data_class.py`'s.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Final
from unicodedata import normalize

MOST_CODE_POINTS: Final = 64
"""Upper bound of every count and position: longer than any identifier of our classes; larger is a typing slip."""

LONGEST_SEPARATOR: Final = 8
"""Upper bound, in code points, of the separator of `before` and `after`."""

KNOWN_STEPS: Final = (
    "reveal, keep(first,last), mask_range(from,to), before(chars) or before(chars,kept), "
    "after(chars) or after(chars,kept), region(province|city|district), date_part(year|month), token, omit"
)
"""The closed set, as an error message shows it."""

# From closed to open.
_CHOICES = {"region": ("province", "city", "district"), "date_part": ("year", "month")}
_SHAPE = re.compile(r"([a-z_]+)(?:\((.*)\))?", re.DOTALL)
_COUNT = re.compile(r"0|[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class Step:
    """One treatment of a field.

    `keep(first,last)`     keep that many code points at each end, mask the rest
    `mask_range(from,to)`  mask the code points at 0-based positions from..to, both included (ShardingSphere's
                           MASK_FROM_X_TO_Y), keep the rest
    `before(chars,kept)`   mask what stands before the first occurrence of `chars`, but its first `kept`
    `after(chars,kept)`    mask what stands after the first occurrence of `chars`, but its first `kept`
    `region(level)`        keep an address down to province, city or district
    `date_part(unit)`      keep a date down to year or month
    `reveal`, `token`, `omit`  show it, replace it by a keyed pseudonym, leave it out

    `args` holds the arguments in that order; `before` and `after` always hold both (kept is 0 when not
    written). Counts and positions are in code points, 0 to 64. Raises ValueError when the name is not known
    or the arguments do not fit it, so no ill-formed step exists.
    """

    name: str
    args: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        if not _fits(self.name, self.args):
            raise ValueError(f"step {self.name!r} does not take {self.args!r}; known steps: {KNOWN_STEPS}")

    def __str__(self) -> str:
        """Return the canonical text, which `parse_step` turns back into an equal step."""
        args = self.args[:1] if self.name in {"before", "after"} and self.args[1] == 0 else self.args
        return f"{self.name}({','.join(map(str, args))})" if args else self.name


def parse_step(text: str) -> Step:
    """Return the step that `text` names.

    Spaces around names and arguments are allowed, and a separator is brought to NFKC, as values are before
    they are masked (`before(＠)` is `before(@)`). Raises ValueError with a sentence for the policy's author
    that lists what is known.
    """
    shape = _SHAPE.fullmatch(text.strip())
    name = shape[1] if shape else ""
    written = [] if shape is None or shape[2] is None else [part.strip() for part in shape[2].split(",")]
    args: list[int | str] = [int(part) if _COUNT.fullmatch(part) else part for part in written]
    if name in {"before", "after"} and written:
        args[0] = normalize("NFKC", written[0])
        args = args if len(args) > 1 else [*args, 0]
    if not _fits(name, tuple(args)):
        raise ValueError(
            f"{text!r} is not a step; known steps: {KNOWN_STEPS}; counts and positions are 0 to "
            f"{MOST_CODE_POINTS}, from is not after to, chars are 1 to {LONGEST_SEPARATOR} visible characters "
            "without letters, digits, comma, brackets or *"
        )
    return Step(name, tuple(args))


def _fits(name: str, args: tuple[int | str, ...]) -> bool:
    """Tell whether these arguments make this step."""
    match name, args:
        case (("reveal" | "token" | "omit"), ()):
            return True
        case "keep", (first, last):
            return _is_count(first) and _is_count(last)
        case "mask_range", (int() as start, int() as end):
            return _is_count(start) and _is_count(end) and start <= end
        case (("before" | "after"), (str() as chars, kept)):
            return _is_separator(chars) and _is_count(kept)
        case (("region" | "date_part"), (level,)):
            return level in _CHOICES[name]
        case _:
            return False


def _opens(earlier: Step, later: Step) -> bool:
    """Tell whether `later` shows something that `earlier` of the same name hides; other names have no order."""
    match earlier.name, earlier.args, later.args:
        case name, _, _ if name != later.name:
            return False
        case "keep", (int() as first, int() as last), (int() as then_first, int() as then_last):
            return then_first > first or then_last > last
        case "mask_range", (int() as start, int() as end), (int() as then_start, int() as then_end):
            return then_start > start or then_end < end
        case (("before" | "after"), (_, int() as kept), (_, int() as then_kept)):
            return then_kept > kept
        case (("region" | "date_part") as name, (str() as level,), (str() as then_level,)):
            return _CHOICES[name].index(then_level) > _CHOICES[name].index(level)
        case _:
            return False


def _is_count(arg: int | str) -> bool:
    return type(arg) is int and 0 <= arg <= MOST_CODE_POINTS


def _is_separator(chars: str) -> bool:
    # Letters and digits would cut a value by what it says, not by its form; the rest is this grammar's own.
    return 1 <= len(chars) <= LONGEST_SEPARATOR and not any(
        c.isalnum() or c.isspace() or not c.isprintable() or c in ",()*" for c in chars
    )


@dataclass(frozen=True, slots=True)
class Ladder:
    """The total order of the treatments of one data class, from open to closed.

    Grants, guards and floors name only its steps, so "least" and "most restrictive" always have an answer.
    It is not empty, names no step twice, has no step after one of the same name that hides more, ends with `omit`, and holds `reveal`, if at all, first; anything
    else is a ValueError.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a ladder needs at least the step omit")
        twice = next((step for step in self.steps if self.steps.count(step) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} stands on the ladder {self} twice")
        if self.steps[-1].name != "omit":
            raise ValueError(f"the ladder {self} must end with omit")
        for earlier, later in combinations(self.steps, 2):
            if _opens(earlier, later):
                raise ValueError(f"{later} is more open than {earlier}, which stands before it on {self}")
        if any(step.name == "reveal" for step in self.steps[1:]):
            raise ValueError(f"reveal must be the first step of the ladder {self}: nothing is more open")

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.steps))}]"

    def rank(self, step: Step) -> int:
        """Return the step's place: 0 is the most open. Raises ValueError when it is not on the ladder."""
        try:
            return self.steps.index(step)
        except ValueError:
            raise ValueError(f"{step} is not on the ladder {self}") from None

    def most_open(self, steps: Iterable[Step]) -> Step:
        """Return the most open of `steps`. Raises ValueError when one is not on the ladder, or there is none."""
        return self.steps[min(map(self.rank, steps))]

    def most_closed(self, steps: Iterable[Step]) -> Step:
        """Return the most closed of `steps`. Raises ValueError when one is not on the ladder, or there is none."""
        return self.steps[max(map(self.rank, steps))]
