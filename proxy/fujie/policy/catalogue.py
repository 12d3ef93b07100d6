"""Reads Purposes, FieldCatalog and Reasons: the words that grants and guards refer to."""

import re
from datetime import timedelta
from types import MappingProxyType

from fujie.model.data_class import DEFAULT_LADDERS, DataClass, applicable, opens_when_short
from fujie.model.facts import BUILT_IN_FACTS, FactType, Kind
from fujie.model.reason import NO_TEXT, LocalizedText, Outcome, ReasonDefinition
from fujie.model.reasons import BUILT_IN_REASONS, BUNDLE_PREFIX
from fujie.model.step import Ladder, Step, parse_step
from fujie.model.vocabulary import Basis
from fujie.policy.advice import close_to
from fujie.policy.bundle import FieldClass, Purpose
from fujie.policy.places import Located, Report
from fujie.policy.source import Fields

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
REASON_CODE = re.compile(rf"{BUNDLE_PREFIX}[A-Z][A-Z0-9_]{{0,60}}")
DAYS = re.compile(r"([1-9][0-9]{0,4})d")
_PLACEHOLDER = re.compile(r"\{[^}]*\}")
ATTRIBUTE_TYPES = {"bool": Kind.BOOL, "int": Kind.INT, "string": Kind.STRING, "strings": Kind.STRINGS}
_DEFAULT_PRIORITY = 200


class Catalogue:
    """What the documents read so far define. A second definition of anything is a problem."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.purposes: dict[str, Purpose] = {}
        self.classes: dict[str, FieldClass] = {}
        self.fields: dict[str, FieldClass] = {}
        self.facts: dict[str, FactType] = dict(BUILT_IN_FACTS)
        self._folded = {_folded(path): path for path in BUILT_IN_FACTS}
        self.reasons: dict[str, ReasonDefinition] = dict(BUILT_IN_REASONS)

    def read_purposes(self, spec: Fields) -> None:
        """Read the spec of a Purposes document."""
        for entry in spec.list_of_fields("purposes", required=True):
            name = entry.text("id")
            dpv = entry.text("dpv", required=False)
            label = read_localized(entry, "label", self._report, required=True)
            bases = self._bases(entry)
            ttl, retention = self._days(entry, "consent_ttl"), self._days(entry, "retention")
            entry.finish()
            if name and self._new(name, self.purposes, "purpose"):
                self.purposes[name.text] = Purpose(
                    name.text, dpv.text if dpv else "", label, MappingProxyType(bases),
                    timedelta(days=ttl) if ttl else None, retention,
                )  # fmt: skip

    def read_classes(self, spec: Fields) -> None:
        """Read the classes of a FieldCatalog; `read_fields` comes after all of them are known."""
        classes = spec.fields("classes", required=False)
        for name, entry in classes.each_fields() if classes else ():
            place = classes.key_place(name) if classes else spec.place
            level = entry.integer("level", 1, 1, 4)
            steps = [step for item in entry.texts("ladder") if (step := self.step(item))]
            floor = entry.text("floor", required=False)
            entry.finish()
            if name not in set(DataClass):
                self._report.problem(
                    place, "UNKNOWN_CLASS", f"`{name}` is not a data class; known: {', '.join(DataClass)}"
                )
                continue
            data_class = DataClass(name)
            ladder = DEFAULT_LADDERS[data_class]
            if "ladder" in entry:
                ladder = self._ladder(entry, steps, data_class) or ladder
            bottom = self.step(floor) if floor else ladder.steps[0]
            if bottom and floor and not self.on_ladder(floor, bottom, ladder):
                bottom = None
            if self._new(Located(name, place), self.classes, "class"):
                self.classes[name] = FieldClass(data_class, level, ladder, bottom or ladder.steps[-1])

    def read_fields(self, spec: Fields) -> None:
        """Read the fields and attributes of a FieldCatalog."""
        fields = spec.fields("fields", required=False)
        for name, entry in fields.each_fields() if fields else ():
            class_name = entry.text("class")
            entry.finish()
            place = fields.key_place(name) if fields else spec.place
            if class_name and class_name.text not in self.classes:
                self._report.problem(
                    class_name.place,
                    "UNKNOWN_CLASS",
                    f"no FieldCatalog defines the class `{class_name.text}`{close_to(class_name.text, self.classes)}",
                )
            elif class_name and self._new(Located(name, place), self.fields, "field"):
                self.fields[name] = self.classes[class_name.text]
        attributes = spec.fields("attributes", required=False)
        for root in ("customer", "principal"):
            declared = attributes.fields(root, required=False) if attributes else None
            for name, entry in declared.each_fields() if declared else ():
                self._attribute(
                    Located(f"{root}.{name}", declared.key_place(name) if declared else spec.place), entry
                )
        if attributes:
            attributes.finish()

    def read_reasons(self, spec: Fields) -> None:
        """Read the spec of a Reasons document."""
        for entry in spec.list_of_fields("reasons", required=True):
            code = entry.text("code")
            message = read_localized(entry, "message", self._report, required=True)
            remedy = read_localized(entry, "remedy", self._report)
            basis = tuple(item.text for item in entry.texts("basis"))
            priority = entry.integer("priority", _DEFAULT_PRIORITY, 100, 899)
            entry.finish()
            if code and not REASON_CODE.fullmatch(code.text):
                self._report.problem(
                    code.place, "REASON_CODE_INVALID", f"a code of a bundle is {BUNDLE_PREFIX}UPPER_SNAKE"
                )
            elif code and self._new(code, self.reasons, "reason", pattern=REASON_CODE):
                self.reasons[code.text] = ReasonDefinition(
                    code.text, Outcome.REFUSED, priority, message, basis, remedy
                )

    def step(self, item: Located) -> Step | None:
        """Parse a step; a problem and None when it is not one."""
        try:
            return parse_step(item.text)
        except ValueError as error:
            self._report.problem(item.place, "UNKNOWN_STEP", str(error))
            return None

    def on_ladder(self, item: Located, step: Step, ladder: Ladder) -> bool:
        """Tell whether `step` is on `ladder`; a problem when not."""
        if step in ladder.steps:
            return True
        self._report.problem(item.place, "STEP_NOT_ON_LADDER", f"{step} is not on the ladder {ladder}")
        return False

    def field_steps(self, owner: Fields) -> dict[str, Step]:
        """Read the `fields` of a grant or guard: field name to step, each on the ladder of its class."""
        fields = owner.fields("fields", required=False)
        steps: dict[str, Step] = {}
        for name, item in fields.each_text().items() if fields else ():
            if name not in self.fields:
                place = fields.key_place(name) if fields else owner.place
                message = f"no FieldCatalog defines the field `{name}`{close_to(name, self.fields)}"
                self._report.problem(place, "UNKNOWN_FIELD", message)
            elif (step := self.step(item)) and self.on_ladder(item, step, self.fields[name].ladder):
                steps[name] = step
        return steps

    def _ladder(self, entry: Fields, steps: list[Step], data_class: DataClass) -> Ladder | None:
        place = entry.key_place("ladder")
        for step in steps:
            if not applicable(data_class, step):
                self._report.problem(place, "STEP_NOT_APPLICABLE", f"{step} means nothing for {data_class}")
        try:
            ladder = Ladder(tuple(steps))
        except ValueError as error:
            self._report.problem(place, "LADDER_INVALID", str(error))
            return None
        if pair := opens_when_short(data_class, ladder):
            self._report.problem(
                place,
                "LADDER_INVALID",
                f"{pair[1]} shows short values that {pair[0]} before it masks whole",
            )
        return ladder

    def _attribute(self, path: Located, entry: Fields) -> None:
        kind = entry.text("type")
        personal = entry.flag("personal")
        entry.finish()
        if kind and kind.text not in ATTRIBUTE_TYPES:
            self._report.problem(
                kind.place,
                "UNKNOWN_TYPE",
                f"`{kind.text}` is not a type; known: {', '.join(ATTRIBUTE_TYPES)}",
            )
        elif self._folded.setdefault(_folded(path.text), path.text) != path.text:
            self._report.problem(
                path.place, "DUPLICATE_NAME", f"`{path.text}` differs by `_` alone from another"
            )
        elif kind and self._new(
            path, self.facts, "attribute", pattern=re.compile(rf"(customer|principal)\.{NAME.pattern}")
        ):
            self.facts[path.text] = FactType(ATTRIBUTE_TYPES[kind.text], personal=personal)

    def _bases(self, entry: Fields) -> dict[str, str]:
        bases: dict[str, str] = {}
        accepted = entry.fields("bases")
        for name, basis in accepted.each_fields() if accepted else ():
            evidence = basis.text("evidence", required=False)
            basis.finish()
            if accepted and name not in set(Basis):
                self._report.problem(
                    accepted.key_place(name),
                    "UNKNOWN_BASIS",
                    f"`{name}` is not a basis; known: {', '.join(Basis)}",
                )
            bases[name] = evidence.text if evidence else ""
        if accepted and not bases:
            self._report.problem(accepted.place, "EMPTY_LIST", "a purpose accepts at least one basis")
        return bases

    def _days(self, entry: Fields, key: str) -> int:
        item = entry.text(key, required=False)
        if item is None:
            return 0
        match = DAYS.fullmatch(item.text)
        if not match:
            self._report.problem(item.place, "DURATION_INVALID", "write whole days, `365d` for example")
        return int(match[1]) if match else 0

    def _new(self, name: Located, known: object, what: str, *, pattern: re.Pattern[str] = NAME) -> bool:
        if not pattern.fullmatch(name.text):
            self._report.problem(
                name.place,
                "NAME_INVALID",
                f"`{name.text}` is not a name: lower_snake, at most 63 characters",
            )
            return False
        if name.text in known:  # type: ignore[operator] # any of the mappings above
            self._report.problem(
                name.place, "DUPLICATE_NAME", f"the {what} `{name.text}` is defined a second time"
            )
            return False
        return True


def _folded(path: str) -> str:
    # Protobuf, which carries facts into the engine, takes `a_1` and `a1` for one name.
    return path.replace("_", "")


def read_localized(
    owner: Fields,
    key: str,
    report: Report,
    *,
    required: bool = False,
    filled: frozenset[str] = frozenset(),
) -> LocalizedText:
    """Read a text that must be there in both languages when it is there at all.

    `filled` are the placeholders that somebody fills in; any other is a problem.
    """
    texts = owner.fields(key, required=required)
    if texts is None:
        return NO_TEXT
    zh, en = texts.text("zh"), texts.text("en")
    texts.finish()
    for item in (zh, en):
        if item and not filled.issuperset(_PLACEHOLDER.findall(item.text)):
            report.problem(
                item.place, "NOT_YET_ENFORCED", "placeholders in texts are not filled in by this version"
            )
    return LocalizedText(zh.text if zh else "", en.text if en else "")
