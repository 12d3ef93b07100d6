"""Reads grants and guards against a finished catalogue, and checks every expression."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fujie.model.decision import ReasonHit
from fujie.model.facts import CUSTOMER_ROOTS, SEND_ROOTS, USE_ROOTS, Kind, only_on_customers
from fujie.model.notice import NOTICE
from fujie.model.reason import NO_TEXT, Outcome
from fujie.model.vocabulary import APPROVABLE, CUSTOMER_ACTIONS, FIELD_ACTIONS, Action, KeyKind
from fujie.policy.advice import close_to
from fujie.policy.approval import DEFER, breaks_for_many_alone, read_requirement
from fujie.policy.bundle import Grant, Guard, Match, Rule, Validation
from fujie.policy.catalogue import Catalogue, read_localized
from fujie.policy.cel import MAX_EXPRESSION, Engine
from fujie.policy.expression import expand, used
from fujie.policy.limits import read_frequency, read_limits
from fujie.policy.params import Params, literal
from fujie.policy.places import Located, Report
from fujie.policy.source import Fields
from fujie.policy.validity import read_validity

RULE_NAME = re.compile(r"[a-z][a-zA-Z0-9_-]{0,62}")
VARIABLE_NAME = re.compile(r"[a-z][a-zA-Z0-9_]{0,62}")
_VARIABLE_TYPES = {"BOOL": Kind.BOOL, "INT": Kind.INT, "STRING": Kind.STRING}
_ACTIONS = frozenset(Action)
_UNSEEN = frozenset({Action.CORRECT})
"""Actions on customers whose flows decide before they look at anybody: no rule of theirs can read a customer."""
CLOSING = ("validations", "fields", "limits", "frequency")
"""What a guard closes by; it has at least one of them."""
MODES = {"Deny": (True, False), "Warn": (False, True), "Audit": (False, False)}


@dataclass(frozen=True, slots=True)
class Read:
    """A document whose envelope is sound; `plain` is its content for the digest."""

    kind: str
    name: Located
    spec: Fields
    plain: object


@dataclass(frozen=True, slots=True)
class _Scope:
    """What an expression may name besides facts: `types` of variables and params for the checker, by full name,
    `variables` expanded, the facts that each of them `reads`, and `params` as literals."""

    match: Match
    types: dict[str, Kind]
    variables: dict[str, str]
    reads: dict[str, frozenset[str]]
    params: Mapping[str, str]


class Rules:
    """Reads grants and guards against a finished catalogue."""

    def __init__(self, report: Report, catalogue: Catalogue, params: Params, engine: Engine) -> None:
        self._report = report
        self._catalogue = catalogue
        self._params = params
        self.engine = engine

    def grant(self, document: Read) -> Grant:
        """Read a Grant document."""
        spec = document.spec
        match = self._match(spec, with_purposes=False)
        roles = frozenset(item.text for item in spec.texts("roles", required=True))
        purposes = self._purposes(spec)
        condition = self._rule(spec.text("condition", required=False), _Scope(match, {}, {}, {}, {}))
        fields = self._catalogue.field_steps(spec)
        limits = read_limits(spec, match, self._report)
        valid_from, valid_until = read_validity(spec, self._report)
        on_customers = match.actions & CUSTOMER_ACTIONS
        if on_customers and match.actions - CUSTOMER_ACTIONS:
            self._report.problem(
                spec.place,
                "MIXED_ACTIONS",
                "a grant is for actions on customers or for others, not for both",
            )
        elif on_customers and not purposes and "purposes" not in spec:
            self._report.problem(
                spec.place, "MISSING_KEY", "`purposes` is missing: actions on customers need one"
            )
        elif match.actions and not on_customers and (purposes or "fields" in spec):
            self._report.problem(
                spec.place, "NOT_APPLICABLE", "purposes and fields belong to actions on customers"
            )
        if match.actions & FIELD_ACTIONS and "fields" not in spec:
            self._report.problem(
                spec.place, "MISSING_KEY", "`fields` is missing: what is not listed can not leave"
            )
        match = Match(match.actions, purposes, match.stores, match.keys)
        return Grant(
            document.name.text,
            match,
            roles,
            condition,
            MappingProxyType(fields),
            limits,
            _where(document.name),
            valid_from,
            valid_until,
        )

    def guard(self, document: Read) -> Guard:
        """Read a Guard document."""
        spec = document.spec
        match = self._match(spec, with_purposes=True)
        scope = self._variables(spec, self._scope(document.name.text, spec, match))
        conditions = self._conditions(spec, scope)
        enforced, warns = self._mode(spec)
        validations = self._validations(spec, document.name.text, scope, enforced=enforced)
        fields = self._catalogue.field_steps(spec)
        limits = read_limits(spec, match, self._report)
        frequency = read_frequency(spec, match, self._report)
        if not fields and not any(key in spec for key in CLOSING if key != "fields"):
            message = f"a guard has at least one of {', '.join(CLOSING)}"
            self._report.problem(spec.place, "MISSING_KEY", message)
        if fields and not match.actions & FIELD_ACTIONS:
            self._report.problem(
                spec.key_place("fields"), "NOT_APPLICABLE", "fields belong to actions that return them"
            )
        for key, closing in (("fields", fields), ("limits", limits)):
            if closing and not enforced:
                message = f"{key} close; a guard that only warns or records can not"
                self._report.problem(spec.key_place(key), "NOT_APPLICABLE", message)
        found = Guard(
            document.name.text, match, conditions, validations, MappingProxyType(fields), limits, enforced, warns,
            _where(document.name), frequency,
        )  # fmt: skip
        for validation in validations:
            if breaks_for_many_alone(self.engine, found, validation):
                message = f"`{validation.name}`: break_glass is for one look-up, export or message, never for a campaign or batch"
                self._report.problem(spec.key_place("validations"), "NOT_YET_ENFORCED", message)
        return found

    def _conditions(self, spec: Fields, scope: _Scope) -> tuple[tuple[str, Rule], ...]:
        found: dict[str, Rule] = {}
        for entry in spec.list_of_fields("matchConditions"):
            name = self._rule_name(entry)
            rule = self._finished_rule(entry, scope)
            if name and name.text in found:
                self._report.problem(
                    name.place, "DUPLICATE_NAME", f"the condition `{name.text}` stands here a second time"
                )
            elif name and rule:
                found[name.text] = rule
        return tuple(found.items())

    def _validations(
        self, spec: Fields, guard: str, scope: _Scope, *, enforced: bool
    ) -> tuple[Validation, ...]:
        found: dict[str, Validation] = {}
        for entry in spec.list_of_fields("validations"):
            name = self._rule_name(entry)
            approval = read_requirement(entry, guard, name.text if name else "", self._report)
            defers = self._defers(entry, scope.match, enforced=enforced)
            hit = self._hit(
                entry,
                guard,
                name.text if name else "",
                "APPROVAL_REQUIRED" if approval else "GUARD_REFUSED",
            )
            if approval:
                self._check_approval(entry, scope.match, enforced=enforced)
            rule = self._finished_rule(entry, scope)
            if name and name.text in found:
                self._report.problem(
                    name.place, "DUPLICATE_NAME", f"the validation `{name.text}` stands here a second time"
                )
            elif name and rule:
                found[name.text] = Validation(name.text, rule, hit, approval, defers)
        return tuple(found.values())

    def _check_approval(self, entry: Fields, match: Match, *, enforced: bool) -> None:
        place = entry.key_place("outcome")
        if not enforced:
            message = "a guard that only warns or records can not ask for an approval"
            self._report.problem(place, "NOT_APPLICABLE", message)
        elif unheard := sorted(match.actions - APPROVABLE):
            message = f"approvals of {', '.join(unheard)} can not be asked for in this version"
            self._report.problem(place, "NOT_YET_ENFORCED", message)

    def _defers(self, entry: Fields, match: Match, *, enforced: bool) -> bool:
        """Tell whether the validation has `outcome: defer`: only what is sent can wait."""
        outcome = entry.text("outcome", required=False)
        if outcome is None or outcome.text != DEFER:
            return False
        if not enforced or match.actions - {Action.SEND}:
            message = "only an enforced guard on the action send alone can defer"
            self._report.problem(outcome.place, "NOT_APPLICABLE", message)
        return True

    def _hit(self, entry: Fields, guard: str, name: str, default: str) -> ReasonHit:
        reason = entry.text("reason", required=False)
        code = reason.text if reason else default
        definition = self._catalogue.reasons.get(code)
        if reason and (definition is None or definition.outcome is not Outcome.REFUSED):
            self._report.problem(
                reason.place,
                "UNKNOWN_REASON",
                f"`{code}` is neither declared in Reasons nor a built-in refusal",
            )
        message = read_localized(entry, "message", self._report)
        remedy = read_localized(entry, "remedy", self._report, filled=frozenset({NOTICE}))
        basis = tuple(item.text for item in entry.texts("basis"))
        definition = definition or self._catalogue.reasons[default]
        return ReasonHit(
            code, definition.priority, guard, name,
            message if message != NO_TEXT else definition.message,
            basis or definition.basis,
            remedy if remedy != NO_TEXT else definition.remedy,
        )  # fmt: skip

    def _scope(self, guard: str, spec: Fields, match: Match) -> _Scope:
        params = self._params.of(guard, spec)
        for name, param in params.items():
            if not VARIABLE_NAME.fullmatch(name):
                self._report.problem(param.place, "NAME_INVALID", f"`{name}` is not a param name")
        types = {f"params.{name}": param.kind for name, param in params.items()}
        literals = {name: literal(param.value) for name, param in params.items()}
        return _Scope(match, types, {}, {}, literals)

    def _variables(self, spec: Fields, scope: _Scope) -> _Scope:
        """Read variables in order; each may use the ones before it, so a cycle can not be written."""
        entries: list[tuple[Located | None, Located | None]] = []
        for entry in spec.list_of_fields("variables"):
            entries.append((entry.text("name"), entry.text("expression")))
            entry.finish()
        places = {name.text: place for place, (name, _) in enumerate(entries) if name}
        for place, (name, expression) in enumerate(entries):
            if not name or not expression:
                continue
            late = sorted(other for other in used(expression.text) if places.get(other, -1) >= place)
            if not VARIABLE_NAME.fullmatch(name.text):
                self._report.problem(name.place, "NAME_INVALID", f"`{name.text}` is not a variable name")
            elif name.text in scope.variables:
                self._report.problem(
                    name.place, "DUPLICATE_NAME", f"the variable `{name.text}` stands here a second time"
                )
            elif late:
                message = f"`variables.{late[0]}` is this variable or a later one: use only earlier ones"
                self._report.problem(expression.place, "VARIABLE_CYCLE", message)
            else:
                self._variable(name.text, expression, scope)
        return scope

    def _variable(self, name: str, expression: Located, scope: _Scope) -> None:
        checked = self._checked(expression, scope)
        if checked and checked[0] not in _VARIABLE_TYPES:
            self._report.problem(
                expression.place, "VARIABLE_TYPE", "a variable is a bool, an int or a string"
            )
        elif checked and len(expanded := _expanded(expression, scope)) > MAX_EXPRESSION:
            # Here, not where it is used: each variable may double the one before.
            message = f"longer than {MAX_EXPRESSION} code points with its variables and params in place"
            self._report.problem(expression.place, "EXPRESSION_TOO_LONG", message)
        elif checked:
            full_name = f"variables.{name}"
            scope.types[full_name], scope.reads[full_name] = _VARIABLE_TYPES[checked[0]], checked[1]
            scope.variables[name] = expanded

    def _finished_rule(self, entry: Fields, scope: _Scope) -> Rule | None:
        expression = entry.text("expression")
        entry.finish()
        return self._rule(expression, scope)

    def _rule(self, expression: Located | None, scope: _Scope) -> Rule | None:
        checked = self._checked(expression, scope) if expression else None
        if expression is None or checked is None:
            return None
        if checked[0] != "BOOL":
            self._report.problem(
                expression.place, "NOT_BOOLEAN", f"a rule is true or false, this is {checked[0].lower()}"
            )
            return None
        expanded = _expanded(expression, scope)
        whole = self.engine.check(expanded) if expanded != expression.text else None
        if isinstance(whole, tuple):
            self._report.problem(
                expression.place,
                whole[0].code,
                f"with its variables and params in place: {whole[0].message}",
            )
            return None
        try:  # a program nests it one level deeper than the check, and the engine stops at 32
            self.engine.program([expanded])
        except ValueError:
            self._report.problem(
                expression.place, "EXPRESSION_TOO_DEEP", "nested too deeply for the engine"
            )
            return None
        return Rule(expression.text, expanded, checked[1], _where(expression))

    def _checked(self, expression: Located, scope: _Scope) -> tuple[str, frozenset[str]] | None:
        """Return type and reads, those of the variables included; None after reporting what is wrong."""
        roots = ("variables", "params")
        named = {f"{root}.{name}" for root in roots for name in used(expression.text, root)}
        checked = self.engine.check(
            expression.text, {name: scope.types[name] for name in named & scope.types.keys()}
        )
        if isinstance(checked, tuple):
            for problem in checked:
                at = expression.at(problem.line, problem.column)
                self._report.problem(at, problem.code, problem.message)
            return None
        paths = checked.reads.union(*(scope.reads.get(name, ()) for name in checked.uses))
        missing = sorted(filter(only_on_customers, paths))
        without = sorted(scope.match.actions - CUSTOMER_ACTIONS)
        if missing and without:
            message = f"{', '.join(missing)}: only actions on customers have it, not {', '.join(without)}"
            self._report.problem(expression.place, "FACT_NOT_AVAILABLE", message)
            return None
        of_send = sorted(path for path in paths if path.partition(".")[0] in SEND_ROOTS)
        if of_send and (others := sorted(scope.match.actions - {Action.SEND})):
            message = (
                f"{', '.join(of_send)}: only the action send has it, not {', '.join(others)};"
                " make a rule of its own for send"
            )
            self._report.problem(expression.place, "FACT_NOT_AVAILABLE", message)
            return None
        late = sorted(path for path in paths if path.partition(".")[0] in CUSTOMER_ROOTS | USE_ROOTS)
        if late and (unseen := sorted(scope.match.actions & _UNSEEN)):
            message = f"{', '.join(late)}: rules on {', '.join(unseen)} can not read it in this version"
            self._report.problem(expression.place, "NOT_YET_ENFORCED", message)
            return None
        return checked.type, paths

    def _match(self, spec: Fields, *, with_purposes: bool) -> Match:
        owner = spec.fields("match")
        if owner is None:
            return Match(frozenset())
        actions = self._closed(owner.texts("actions", required=True), _ACTIONS, "UNKNOWN_ACTION", "action")
        keys = self._closed(owner.texts("keys"), frozenset(KeyKind), "UNKNOWN_KEY_KIND", "key kind")
        stores = frozenset(item.text for item in owner.texts("stores"))
        purposes = self._purposes(owner) if with_purposes else frozenset[str]()
        owner.finish()
        if actions - CUSTOMER_ACTIONS and (purposes or stores or keys):
            named = ", ".join(sorted(actions - CUSTOMER_ACTIONS))
            self._report.problem(
                owner.place,
                "NOT_APPLICABLE",
                f"purposes, stores and keys belong to actions on customers, not to {named}",
            )
        return Match(frozenset(map(Action, actions)), purposes, stores, keys)

    def _closed(
        self, items: tuple[Located, ...], known: frozenset[str], code: str, what: str
    ) -> frozenset[str]:
        for item in items:
            if item.text not in known:
                self._report.problem(
                    item.place,
                    code,
                    f"`{item.text}` is not a known {what}{close_to(item.text, sorted(known)) or ';'}"
                    f" known: {', '.join(sorted(known))}",
                )
        return frozenset(item.text for item in items) & known

    def _purposes(self, owner: Fields) -> frozenset[str]:
        return self._closed(
            owner.texts("purposes"), frozenset(self._catalogue.purposes), "UNKNOWN_PURPOSE", "purpose"
        )

    def _mode(self, spec: Fields) -> tuple[bool, bool]:
        """Return (enforced, warns) of validationActions; Deny when absent."""
        named = spec.texts("validationActions")
        modes = self._closed(named, frozenset(MODES), "UNKNOWN_VALIDATION_ACTION", "validation action")
        if {"Deny", "Warn"} <= modes:
            self._report.problem(
                spec.key_place("validationActions"), "CONTRADICTION", "Deny and Warn exclude each other"
            )
        return (not modes or "Deny" in modes), "Warn" in modes

    def _rule_name(self, entry: Fields) -> Located | None:
        name = entry.text("name")
        if name and not RULE_NAME.fullmatch(name.text):
            self._report.problem(name.place, "NAME_INVALID", f"`{name.text}` is not a name")
            return None
        return name


def _expanded(expression: Located, scope: _Scope) -> str:
    return expand(expression.text, scope.variables, scope.params)


def _where(item: Located) -> str:
    place = item.at(1, 1)
    return f"{place.file}:{place.line}:{place.column}"
