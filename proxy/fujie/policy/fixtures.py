"""The named principals, customers and requests of a PolicyTest document, read against the bundle that they test."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.facts import USAGE, FactType, FactValue, Kind
from fujie.model.message import CHANNEL
from fujie.model.policy_test import Ask, Asker, Sample
from fujie.model.principal import AttributeValue, Principal
from fujie.model.request import Request
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import (
    ANY_CHANNEL,
    CUSTOMER_ACTIONS,
    FIELD_ACTIONS,
    Action,
    Basis,
    KeyKind,
    State,
)
from fujie.policy.bundle import Bundle, Grant, Guard
from fujie.policy.message_fixtures import (
    read_message,
    read_processor,
    read_recipient,
    read_sent,
)
from fujie.policy.places import Report
from fujie.policy.source import Fields
from fujie.policy.words import closed, instant, state

SID = "customer"
"""The random id that a customer of a test goes by: each is alone in the world."""

_ACTOR = "test"
MOST_ROWS = 1_000_000
_LARGEST = 9_999_999_999
_T = TypeVar("_T")


class Fixtures:
    """What the tests of one document may name. Problems go to `report`."""

    def __init__(self, report: Report, bundle: Bundle, now: datetime, spec: Fields) -> None:
        self._report = report
        self._bundle = bundle
        self._now = now
        limited: tuple[Grant | Guard, ...] = (*bundle.grants, *bundle.guards)
        self._counted = frozenset(rule.counted_as for rule in limited if rule.limits)
        self._requirements = {
            f"{guard.name}/{validation.name}": validation.approval
            for guard in bundle.guards
            for validation in guard.validations
            if validation.approval
        }
        self.principals = self._named(spec, "principals", self._principal)
        self._messages = self._named(spec, "messages", lambda entry: read_message(entry, report))
        self._processors = self._named(spec, "processors", lambda entry: read_processor(entry, report))
        self.customers = self._named(spec, "customers", self._customer)
        self.requests = self._named(spec, "requests", self._request)

    @property
    def requirements(self) -> frozenset[str]:
        """Every `guard/validation` that can be approved."""
        return frozenset(self._requirements)

    def _named(self, spec: Fields, key: str, read: Callable[[Fields], _T]) -> dict[str, _T]:
        owner = spec.fields(key, required=key in ("principals", "requests"))
        found: dict[str, _T] = {}
        for name, entry in owner.each_fields() if owner else ():
            found[name] = read(entry)
            entry.finish()
        return found

    def _principal(self, entry: Fields) -> Asker:
        text = entry.text("department", required=False)
        principal = Principal(
            id=_ACTOR,
            kind=self._state(entry, "kind", "principal.kind", State.EMPLOYEE),
            roles=frozenset(item.text for item in entry.texts("roles", may_be_empty=True)),
            department=text.text if text else "",
            employment=self._state(entry, "employment", "principal.employment", State.ACTIVE),
            training=self._state(entry, "training", "principal.training", State.NONE),
            attributes=self._attributes(entry, self._bundle.principal_attributes),
        )
        used_up = closed(
            self._report, entry.texts("used_up"), self._counted, "UNKNOWN_NAME", "limited rule"
        )
        usage = dict.fromkeys(sorted(USAGE), State.WITHIN)
        if stands_out := entry.fields("usage", required=False):
            usage = {
                path: self._state(stands_out, path.partition(".")[2], path, State.WITHIN) for path in usage
            }
            stands_out.finish()
        return Asker(principal, tuple(sorted(used_up)), MappingProxyType(usage))

    def _customer(self, entry: Fields) -> Sample:
        events: list[ConsentEvent] = []
        stated: dict[str, Mapping[str, FactValue]] = {}
        for item in entry.list_of_fields("consents"):
            purpose = self._purpose(item, required=True)
            if "state" in item:
                if purpose in stated:
                    self._report.problem(item.place, "DUPLICATE_NAME", f"`{purpose}` is stated twice")
                stated[purpose] = self._stated(item)
            elif event := self._event(item, purpose):
                events.append(event)
            item.finish()
        for purpose in sorted(stated.keys() & {event.purpose for event in events}):
            message = f"`{purpose}` has a state and events: one of them"
            self._report.problem(entry.key_place("consents"), "CONTRADICTION", message)
        suppressions = tuple(self._suppressions(entry))
        attributes = self._attributes(entry, self._bundle.customer_attributes)
        recipient, sent = read_recipient(entry, self._report), read_sent(entry, self._report)
        return Sample(attributes, tuple(events), MappingProxyType(stated), suppressions, recipient, sent)

    def _stated(self, item: Fields) -> Mapping[str, FactValue]:
        state = self._state(item, "state", "consent.state", State.NONE)
        flags = {name: item.flag(name) for name in ("explicit", "separate")}
        if state is not State.GIVEN and any(flags.values()):
            message = "explicit and separate belong to a consent that is GIVEN"
            self._report.problem(item.key_place("state"), "CONTRADICTION", message)
        return MappingProxyType(
            {"consent.state": state, **{f"consent.{name}": flag for name, flag in flags.items()}}
        )

    def _event(self, item: Fields, purpose: str) -> ConsentEvent | None:
        kind, at, until = item.text("event"), item.text("at"), item.text("valid_until", required=False)
        channel = item.text("channel", required=False)
        explicit, separate = item.flag("explicit"), item.flag("separate")
        known = closed(self._report, (kind,), frozenset(ConsentEventType), "UNKNOWN_EVENT", "event")
        when, ends = instant(self._report, at), instant(self._report, until)
        if not known or when is None:
            return None
        return ConsentEvent(
            record_id="record",
            sid=SID,
            purpose=purpose,
            type=ConsentEventType(*known),
            event_time=when,
            received_at=when,
            actor=_ACTOR,
            channel=channel.text if channel else ANY_CHANNEL,
            explicit=explicit,
            separate=separate,
            valid_until=ends,
        )

    def _suppressions(self, entry: Fields) -> Iterator[Suppression]:
        for item in entry.list_of_fields("suppressions"):
            purpose = self._purpose(item, required=False)
            channel, brand = (item.text(key, required=False) for key in ("channel", "brand"))
            item.finish()
            scope = SuppressionScope(purpose, channel.text if channel else "", brand.text if brand else "")
            yield Suppression("suppression", SID, scope, self._now, self._now, _ACTOR)

    def _request(self, entry: Fields) -> Ask:
        named = entry.text("action")
        known = closed(self._report, (named,), frozenset(Action), "UNKNOWN_ACTION", "action")
        action = Action(*known) if known else Action.LOOKUP
        on_customers = action in CUSTOMER_ACTIONS
        scope = self._scope(entry) if on_customers else {}
        approvals = entry.texts("approvals")
        closed(
            self._report, approvals, self.requirements, "UNKNOWN_NAME", "validation that can be approved"
        )
        request = Request(
            action=action,
            **scope,
            has_basis_evidence=on_customers and entry.flag("has_basis_evidence"),
            strict=on_customers and entry.flag("strict"),
            has_ticket=on_customers and entry.flag("has_ticket"),
            rows=entry.integer("rows", 1, 1, MOST_ROWS) if on_customers else 1,
            fields=self._fields(entry, action),
            delegated=entry.flag("delegated"),
            has_prompt=entry.flag("has_prompt"),
            is_own=entry.flag("is_own"),
            **self._way(entry, action),
        )
        keys = (self._requirements[item.text].key for item in approvals if item.text in self._requirements)
        message, processor = self._sent_by(entry) if action is Action.SEND else (None, None)
        breaks = entry.flag("break_glass") and request.has_ticket
        every = sorted(each.key for each in self._requirements.values())
        return Ask(request, tuple(sorted(keys)), message, processor, tuple(every) if breaks else ())

    def _scope(self, entry: Fields) -> dict[str, str]:
        basis, store, key = entry.text("basis"), entry.text("store"), entry.text("key")
        closed(self._report, (basis,), frozenset(Basis), "UNKNOWN_BASIS", "basis")
        closed(self._report, (key,), frozenset(KeyKind), "UNKNOWN_KEY_KIND", "key kind")
        return {
            "purpose": self._purpose(entry, required=True),
            "basis": basis.text if basis else "",
            "store": store.text if store else "",
            "key_kind": key.text if key else "",
        }

    def _way(self, entry: Fields, action: Action) -> dict[str, str]:
        if action is not Action.SEND:
            return {}
        signature = entry.text("signature", required=False)
        return {"channel": CHANNEL, "brand": signature.text if signature else ""}

    def _sent_by(
        self, entry: Fields
    ) -> tuple[Mapping[str, FactValue] | None, Mapping[str, FactValue] | None]:
        """Return the facts of the message and of the processor that a request to send names."""
        found: list[Mapping[str, FactValue] | None] = []
        for key, known in (("message", self._messages), ("processor", self._processors)):
            named = entry.text(key, required=False)
            closed(self._report, (named,), frozenset(known), "UNKNOWN_NAME", key)
            found.append(known.get(named.text) if named else None)
        return found[0], found[1]

    def _fields(self, entry: Fields, action: Action) -> tuple[str, ...]:
        if action not in FIELD_ACTIONS:
            return ()
        named = entry.texts("fields", required=True)
        return tuple(
            sorted(closed(self._report, named, frozenset(self._bundle.fields), "UNKNOWN_FIELD", "field"))
        )

    def _purpose(self, entry: Fields, *, required: bool) -> str:
        named = entry.text("purpose", required=required)
        closed(
            self._report,
            (named,),
            frozenset(self._bundle.purposes),
            "UNKNOWN_PURPOSE",
            "purpose",
        )
        return named.text if named else ""

    def _state(self, entry: Fields, key: str, path: str, default: State) -> State:
        return state(self._report, entry.text(key, required=False), path) or default

    def _attributes(self, entry: Fields, types: Mapping[str, FactType]) -> Mapping[str, AttributeValue]:
        owner = entry.fields("attributes", required=False)
        if owner is None:
            return MappingProxyType({})
        found: dict[str, AttributeValue] = {}
        for name, declared in types.items():
            if not owner.skip(name):
                continue
            match declared.kind:
                case Kind.BOOL:
                    found[name] = owner.flag(name)
                case Kind.INT:
                    found[name] = owner.integer(name, 0, 0, _LARGEST)
                case Kind.STRINGS:
                    found[name] = tuple(item.text for item in owner.texts(name, may_be_empty=True))
                case _:
                    text = owner.text(name)
                    found[name] = text.text if text else ""
        owner.finish()
        return MappingProxyType(found)
