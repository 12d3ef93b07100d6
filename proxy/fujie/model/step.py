"""Steps and ladders: how open or closed one field is shown.

Policies write steps as text (`keep(3,4)`); everything after the loader holds `Step` values, so an unknown
or ill-formed step can exist nowhere but in the loader's diagnostics. What a step does to a value of a given
data class is `decision/mask.py`'s matter; which steps make sense for a class is `model/data_class.py`'s.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final
from unicodedata import normalize

from fujie.model.pattern import fault_of

MOST_CODE_POINTS: Final = 64
"""Upper bound of every count and position: longer than any identifier of our classes; larger is a typing slip."""

LONGEST_SEPARATOR: Final = 8
"""Upper bound, in code points, of the separator of `before` and `after`."""

LARGEST_NUMBER: Final = 10**15
"""Upper bound of the numbers of `round` and `bucket`: ten trillion yuan in fen; well within a double's 2^53."""

MOST_BOUNDS: Final = 20
"""Upper bound of the bounds of `bucket`: more ranges than people tell apart."""

MOST_DAYS: Final = 3660
"""Upper bound of `date_shift`: ten years; a birthday moved further makes a child an adult."""

LONGEST_CONSTANT: Final = 64
"""Upper bound, in code points, of the text of `constant` and of the replacement of `regex`."""

STARS: Final = "***"
"""What `regex` puts in place of a match unless the step says otherwise."""

KNOWN_STEPS: Final = (
    "reveal, keep(first,last), mask_range(from,to), before(chars) or before(chars,kept), "
    "after(chars) or after(chars,kept), region(province|city|district), date_part(year|month), date_shift(days), "
    "network, round(step), bucket(bound,...), redact, regex(/pattern/) or regex(/pattern/,replacement), token, "
    "constant(text), omit"
)
"""The closed set, as an error message shows it."""

# From closed to open.
_CHOICES = {"region": ("province", "city", "district"), "date_part": ("year", "month")}
_SHAPE = re.compile(r"([a-z_]+)(?:\((.*)\))?", re.DOTALL)
_PATTERN = re.compile(r"/(.+)/(?:\s*,([^/]*))?")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,15}")

# How much of a value each step leaves: all, a part (every other step), that it is the same again, that there is one.
_ALL, _PART, _EQUALITY, _PRESENCE, _NOTHING = range(5)
_LEAVES = {"reveal": _ALL, "token": _EQUALITY, "constant": _PRESENCE, "omit": _NOTHING}


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
    `date_shift(days)`     move a date by 1 to `days` days, back or forth, by the same number for all dates of
                           one customer
    `network`              keep the network of an IP address: /24 of version 4, /48 of version 6
    `round(step)`          keep a number down to a multiple of `step`, rounded down (towards minus infinity):
                           so a coarser step tells nothing that a finer one hides
    `bucket(a,b,...)`      keep which of the ranges below a, from a to below b, ... the number lies in
    `redact`               keep free text but the personal data that is found in it
    `regex(/p/,r)`         put `r` (`***` when not written) in the place of what the RE2 pattern `p` matches
    `constant(text)`       put the text in the place of any value
    `reveal`, `token`, `omit`  show it, replace it by a keyed pseudonym, leave it out

    `args` holds the arguments in that order; `before` and `after` always hold both (kept is 0 when not
    written), and so does `regex`. Counts and positions are in code points, 0 to 64. Raises ValueError when the
    name is not known or the arguments do not fit it, so no ill-formed step exists.
    """

    name: str
    args: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        if not _fits(self.name, self.args):
            raise ValueError(f"step {self.name!r} does not take {self.args!r}; known steps: {KNOWN_STEPS}")

    def __str__(self) -> str:
        """Return the canonical text, which `parse_step` turns back into an equal step."""
        match self.name, self.args:
            case "regex", (pattern, replacement):
                return (
                    f"regex(/{pattern}/)" if replacement == STARS else f"regex(/{pattern}/,{replacement})"
                )
            case (("before" | "after"), (chars, 0)):
                return f"{self.name}({chars})"
            case _:
                return f"{self.name}({','.join(map(str, self.args))})" if self.args else self.name


def parse_step(text: str) -> Step:
    """Return the step that `text` names.

    Spaces around names and arguments are allowed, and a separator is brought to NFKC, as values are before
    they are masked (`before(＠)` is `before(@)`). Raises ValueError with a sentence for the policy's author
    that lists what is known.
    """
    shape = _SHAPE.fullmatch(text.strip())
    name = shape[1] if shape else ""
    args = _arguments(name, shape[2].strip()) if shape and shape[2] is not None else ()
    if not _fits(name, args):
        fault = fault_of(args[0]) if name == "regex" and args and isinstance(args[0], str) else ""
        if "(" in text and ")" not in text:  # {phone: keep(3,4)} is two values to YAML
            fault = "put it in quotes, since a comma inside braces ends a value"
        raise ValueError(
            f"{text!r} is not a step{': ' * bool(fault)}{fault}; known steps: {KNOWN_STEPS}; counts and positions "
            f"are 0 to {MOST_CODE_POINTS}, from is not after to, chars are 1 to {LONGEST_SEPARATOR} visible "
            "characters without letters, digits, comma, brackets or *; days are 1 to "
            f"{MOST_DAYS}, a step is 2 to 10^15, bounds are 1 to {MOST_BOUNDS} rising whole numbers, a text is 1 "
            f"to {LONGEST_CONSTANT} visible characters without comma, brackets or /"
        )
    return Step(name, args)


def _arguments(name: str, written: str) -> tuple[int | str, ...]:
    """Return what stands between the brackets as arguments, whether they fit the name or not."""
    if name == "regex":
        parts = _PATTERN.fullmatch(written)
        return (parts[1], STARS if parts[2] is None else parts[2].strip()) if parts else ("",)
    texts = [part.strip() for part in written.split(",")]
    if name == "constant":
        return tuple(texts)
    args: list[int | str] = [int(part) if _INTEGER.fullmatch(part) else part for part in texts]
    if name in {"before", "after"}:
        args[0] = normalize("NFKC", texts[0])
        args = args if len(args) > 1 else [*args, 0]
    return tuple(args)


def _fits(name: str, args: tuple[int | str, ...]) -> bool:
    """Tell whether these arguments make this step."""
    match name, args:
        case (("reveal" | "token" | "omit" | "network" | "redact"), ()):
            return True
        case "keep", (first, last):
            return _is_count(first) and _is_count(last)
        case "mask_range", (int() as start, int() as end):
            return _is_count(start) and _is_count(end) and start <= end
        case (("before" | "after"), (str() as chars, kept)):
            return _is_separator(chars) and _is_count(kept)
        case (("region" | "date_part"), (level,)):
            return level in _CHOICES[name]
        case "date_shift", (int() as days,):
            return _is_whole(days) and 1 <= days <= MOST_DAYS
        case "round", (int() as step,):
            return _is_whole(step) and 2 <= step <= LARGEST_NUMBER
        case "bucket", bounds:
            return 1 <= len(bounds) <= MOST_BOUNDS and all(map(_is_whole, bounds)) and _rise(bounds)
        case "regex", (str() as pattern, str() as replacement):
            return fault_of(pattern) == "" and _is_constant(replacement)
        case "constant", (str() as text,):
            return _is_constant(text)
        case _:
            return False


def _opens(earlier: Step, later: Step) -> bool:
    """Tell whether `later` may show something that `earlier` hides.

    What can not be compared counts as opening: two steps of different kinds that each leave a part (but a
    `bucket` whose bounds are multiples of a `round` before it), two separators, two patterns.
    """
    leaves, then_leaves = _LEAVES.get(earlier.name, _PART), _LEAVES.get(later.name, _PART)
    if leaves != _PART or then_leaves != _PART:
        return then_leaves < leaves
    match (earlier.name, later.name), earlier.args, later.args:
        case ("keep", "keep"), (int() as first, int() as last), (int() as then_first, int() as then_last):
            return then_first > first or then_last > last
        case ("mask_range", "mask_range"), (int() as start, int() as end), (
            int() as then_start,
            int() as then_end,
        ):
            return then_start > start or then_end < end
        case (
            (("before", "before") | ("after", "after")),
            (chars, int() as kept),
            (then_chars, int() as then_kept),
        ):
            return then_chars != chars or then_kept > kept
        case (
            (("region" as name, "region") | ("date_part" as name, "date_part")),
            (str() as level,),
            (str() as then,),
        ):
            return _CHOICES[name].index(then) > _CHOICES[name].index(level)
        case ("date_shift", "date_shift"), (int() as days,), (int() as then_days,):
            return then_days < days
        case ("round", ("round" | "bucket")), (int() as step,), numbers:
            return any(int(number) % step for number in numbers)
        case ("bucket", "bucket"), bounds, then_bounds:
            return not set(then_bounds) <= set(bounds)
        case _:
            return True


def _is_whole(arg: int | str) -> bool:
    return type(arg) is int and abs(arg) <= LARGEST_NUMBER


def _rise(numbers: tuple[int | str, ...]) -> bool:
    return all(int(low) < int(high) for low, high in pairwise(numbers))


def _is_constant(text: str) -> bool:
    # Without this grammar's own characters and outer spaces, so that the canonical text can be read back.
    return (
        1 <= len(text) <= LONGEST_CONSTANT
        and text.isprintable()
        and text == text.strip()
        and not set(text) & set(",()/")
    )


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
    It is not empty, names no step twice, ends with `omit`, holds `reveal`, if at all, first, and has no step
    that may show something which a step before it hides; anything else is a ValueError. So it has at most one
    kind of step that leaves a part of the value, `round` before `bucket` apart, and `token` and `constant`
    stand behind those, in this order.
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
        if any(step.name == "reveal" for step in self.steps[1:]):
            raise ValueError(f"reveal must be the first step of the ladder {self}: nothing is more open")
        for earlier, later in combinations(self.steps, 2):
            if _opens(earlier, later):
                raise ValueError(
                    f"{later} is more open than {earlier}, which stands before it on {self}, or can not be compared with it"
                )

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
