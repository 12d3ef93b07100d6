"""What the lint can find: every code with its severity and what to do about it, in one table."""

from dataclasses import dataclass
from enum import StrEnum

from fujie.policy.places import Place


class Severity(StrEnum):
    """How much a finding matters: an error is a mistake, a warning may be one, a hint is for tidiness."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding at a place, in a document (`Guard marketing-needs-consent`). `line` and `column` are 1-based, in
    code points; `source` is the text of the line."""

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    document: str
    message: str
    remedy: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check yields: the table below says the rest."""

    code: str
    place: Place
    message: str


_E, _W, _H = Severity

CODES = {
    "GUARD_NEVER_MATCHES": (_E, "Correct its match conditions, or delete the guard: it protects nothing."),
    "VALIDATION_ALWAYS_TRUE": (_E, "Correct the expression, or delete the validation: it refuses nothing."),
    "VALIDATION_ALWAYS_FALSE": (
        _W,
        "Correct the expression; when nobody shall pass, say so with an ignore.",
    ),
    "CONDITION_ALWAYS_TRUE": (_W, "Correct the condition, or delete it: it takes nothing out."),
    "GRANT_NEVER_MATCHES": (_W, "Correct the grant, or delete it: it opens nothing."),
    "WORD_UNKNOWN": (_E, "Correct the spelling, or define the word."),
    "APPROVER_WITHOUT_GRANT": (_W, "Add a Grant of `approval.decide` for the role, or name another role."),
    "LEXICON_MISSING": (_W, "Add a Lexicon of that severity, or delete the rule: it refuses nothing."),
    "PURPOSE_UNUSED": (_W, "Delete the purpose, or name it in a grant."),
    "FIELD_UNUSED": (_W, "Delete the field, or name it in a grant."),
    "CLASS_UNUSED": (_W, "Delete the class, or give it a field."),
    "ATTRIBUTE_UNUSED": (_W, "Delete the attribute, or read it in an expression."),
    "REASON_UNUSED": (_W, "Delete the reason, or name it in a validation."),
    "VARIABLE_UNUSED": (_W, "Delete the variable, or use it."),
    "PARAM_UNUSED": (_W, "Delete the param, or use it."),
    "PARAM_DISARMS": (
        _W,
        "Set another value; when the rule shall be off in this environment, say why with an ignore.",
    ),
    "LOOKALIKE": (
        _W,
        "Write it with the letters that are meant; when it is meant so, say so with an ignore.",
    ),
    "MESSAGE_MISSING": (_W, "Give the validation a `message` in zh and en, or a `reason` that has one."),
    "BASIS_MISSING": (_W, "Cite the articles in `basis`, in the validation or in its reason."),
    "STEP_ABOVE_FLOOR": (
        _W,
        "Write a step that the floor lets through: that is what will be shown anyway.",
    ),
    "STEP_CLOSES_NOTHING": (_W, "Write a step that is more closed, or delete the line."),
    "BUDGET_AT_RISK": (_W, "Nest no loops over facts, or compute the answer as an attribute of the store."),
    "PATTERN_DOUBTFUL": (_W, "Correct the pattern; anchor it with ^ and $ when the whole text is meant."),
    "PATTERN_NOT_LITERAL": (_W, "Write the pattern out, so that it can be checked."),
    "PERSONAL_DATA_IN_TEXT": (_W, "Take it out: the text goes to askers, entries and this repository."),
    "GUARD_WITHOUT_GRANT": (_H, "Nothing to do when the guard waits for grants to come."),
    "GRANT_SHADOWED": (_H, "Delete the grant: another one opens all that it opens."),
    "SILENCE_INVALID": (_E, 'Write "CODE: reason", several with `;` between them.'),
    "SILENCE_UNUSED": (_W, "Delete it: there is nothing left to silence."),
    "SILENCE_IDLE": (_H, "Delete it, unless it is for bundles without the document that uses the name."),
    "LINT_INCOMPLETE": (_H, "Nothing: the bundle is larger than what is compared case by case."),
}
"""Code to severity and remedy. A code is never renamed or reused: annotations name it."""

UNSILENCEABLE = frozenset({"SILENCE_INVALID", "SILENCE_UNUSED", "SILENCE_IDLE", "LINT_INCOMPLETE"})
"""Codes that no annotation silences."""

OF_OTHERS = frozenset(
    {
        "PURPOSE_UNUSED",
        "FIELD_UNUSED",
        "CLASS_UNUSED",
        "ATTRIBUTE_UNUSED",
        "REASON_UNUSED",
        "WORD_UNKNOWN",
        "LEXICON_MISSING",
        "APPROVER_WITHOUT_GRANT",
        "GUARD_WITHOUT_GRANT",
        "GRANT_SHADOWED",
    }
)
"""Codes that the other documents decide on: with a pack beside it, a catalogue may need no silence that it needs alone."""
