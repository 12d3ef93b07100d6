"""Small bundles made by code, and what to ask them: documents as text, strategies for all that a decision reads."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from hypothesis import strategies as st

from fujie.model.approval import Requirement
from fujie.model.diagnostic import Diagnostic
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    BREAK_GLASS,
    BUILT_IN_FACTS,
    EXHAUSTED,
    EXPIRED,
    FREQUENT,
    ROWS,
    Facts,
    FactType,
    FactValue,
    Kind,
    Unknown,
    UnknownWhy,
)
from fujie.model.request import Request
from fujie.model.vocabulary import Action, State
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle

CUSTOMER_FACTS = {
    "customer.minor": FactType(Kind.BOOL, personal=True),
    "customer.owner": FactType(Kind.STRING),
    "customer.tags": FactType(Kind.STRINGS),
    "customer.points": FactType(Kind.INT),
}
FACTS: Mapping[str, FactType] = {**BUILT_IN_FACTS, **CUSTOMER_FACTS}
"""Every fact of the catalogue below."""

LADDERS = {
    "phone": ("reveal", "keep(3,4)", "keep(3,2)", "token", "omit"),
    "name": ("reveal", "keep(1,0)", "token", "omit"),
    "id_card": ("reveal", "keep(1,1)", "token", "omit"),
}
"""Field to the steps of its class, from open to closed; id_card has the floor keep(1,1)."""

RULES = (
    "true",
    "consent.state == GIVEN",
    "consent.state in [GIVEN, REQUESTED] && consent.explicit",
    "!customer.minor",
    "customer.owner == principal.department || request.has_ticket",
    "customer.tags.all(tag, tag != 'blocked')",
    "24 / time.hour > 1",  # an error at midnight
    "customer.tags[0] == 'vip'",  # an error without tags
    "principal.kind == EMPLOYEE",
    "principal.training == VALID",
    "time.weekday <= 5",
    "customer.points > 10",
    "!suppression.in_force",
    "usage.volume == WITHIN",
    "usage.sequence == WITHIN || principal.kind == SERVICE",
    "request.rows < 3",
)
"""Rules over every kind of fact; some fail on some values."""

SEND_RULES = (
    "message.category == TRANSACTIONAL || consent.state == GIVEN",
    "message.findings.size() == 0",
    "message.has_refusal || message.category != MARKETING",
    "message.links in [NONE, LISTED]",
    "message.segments <= 10 && message.variables_fit",
    "!('mobile' in message.personal_data)",
    "recipient.hour >= 8 && recipient.hour < 20",
    "recipient.country == 'CN' || processor.transfer",
    "processor.agreement == NOT_NEEDED || processor.filed",
    "processor.assessment != LAPSED",
    "message.concerns[0] == 'vip'",  # an error without concerns
)
"""Rules that only what is sent can have."""

_RULE = st.one_of(st.just("true"), st.just("true"), st.sampled_from(RULES))
_SEND_RULE = st.one_of(_RULE, st.sampled_from(SEND_RULES))
# Most draws must be let through, or a property about what opens is never put to the test.


def document(kind: str, name: str, spec: Mapping[str, object]) -> str:
    """Return one policy document; JSON is YAML."""
    content = {"apiVersion": "fujie.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(content, ensure_ascii=False)


def purpose(name: str, bases: Mapping[str, object]) -> dict[str, object]:
    """Return one entry of a Purposes document."""
    return {"id": name, "label": {"zh": "目的", "en": "purpose"}, "bases": bases}


CATALOGUE = (
    document(
        "Purposes",
        "purposes",
        {
            "purposes": [
                purpose("marketing", {"consent": {}}),
                purpose("care", {"consent": {}, "contract": {"evidence": "order_id"}}),
            ]
        },
    ),
    document(
        "FieldCatalog",
        "fields",
        {
            "classes": {
                "mobile": {"ladder": LADDERS["phone"]},
                "person_name": {"ladder": LADDERS["name"]},
                "resident_id": {"ladder": LADDERS["id_card"], "floor": "keep(1,1)"},
            },
            "fields": {
                "phone": {"class": "mobile"},
                "name": {"class": "person_name"},
                "id_card": {"class": "resident_id"},
            },
            "attributes": {
                "customer": {
                    "minor": {"type": "bool", "personal": True},
                    "owner": {"type": "string"},
                    "tags": {"type": "strings"},
                    "points": {"type": "int"},
                }
            },
        },
    ),
)
"""Purposes marketing and care, three fields, four attributes."""


_TERMS: Mapping[str, object] = {"roles": ["officer", "lead"], "count": 2, "valid_for": "24h"}
APPROVAL: Mapping[str, object] = {"outcome": "approval", "approval": _TERMS}
"""What makes a validation ask for the approval of two."""

BREAKABLE: Mapping[str, object] = {
    "outcome": "approval",
    "approval": {**_TERMS, "break_glass": {"roles": ["agent"], "review_within": "24h"}},
}
"""The same, and an agent may go ahead in an emergency."""


DEFER: Mapping[str, object] = {"outcome": "defer"}
"""What makes a validation refuse for now."""


def requirement(guard: str, validation: str) -> Requirement:
    """Return what a validation with `APPROVAL` asks for."""
    return Requirement(guard, validation, ("lead", "officer"), 2, timedelta(hours=24))


VALIDITIES = (
    ("", ""),
    ("", ""),
    ("", "2026-12-01T00:00:00+08:00"),
    ("2026-01-01T00:00:00+08:00", ""),
    ("2026-01-01T00:00:00+08:00", "2026-12-01T00:00:00+08:00"),
)
"""Bounds of a grant: none, in many."""


def grant(
    name: str = "grant",
    *,
    actions: Sequence[str] = ("lookup",),
    roles: Sequence[str] = ("agent",),
    purposes: Sequence[str] = ("marketing", "care"),
    fields: Mapping[str, str] | None = None,
    condition: str = "",
    match: Mapping[str, object] | None = None,
    limits: Mapping[str, int] | None = None,
    valid: tuple[str, str] = ("", ""),
) -> str:
    """Return a Grant; `match` holds stores and keys, `valid` the instants from and until; empty for no bound."""
    spec: dict[str, object] = {"match": {"actions": actions, **(match or {})}, "roles": roles}
    if purposes:
        spec["purposes"] = purposes
        spec["fields"] = {"phone": "reveal"} if fields is None else fields
    if condition:
        spec["condition"] = condition
    if limits:
        spec["limits"] = limits
    spec |= {key: at for key, at in zip(("valid_from", "valid_until"), valid, strict=True) if at}
    return document("Grant", name, spec)


def guard(
    name: str = "guard",
    *rules: str,
    conditions: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    mode: str = "Deny",
    match: Mapping[str, object] | None = None,
    limits: Mapping[str, int] | None = None,
    approvable: Sequence[int] = (),
    defers: Sequence[int] = (),
    frequency: Mapping[str, int] | None = None,
    breakable: Sequence[int] = (),
) -> str:
    """Return a Guard whose validations are `rules`; those at the places `approvable` ask for `APPROVAL`, those of
    them that are `breakable` for `BREAKABLE`, those at `defers` refuse for now."""
    spec: dict[str, object] = {"match": {"actions": ["lookup", "export"], **(match or {})}}
    if conditions:
        spec["matchConditions"] = [{"name": f"c{i}", "expression": e} for i, e in enumerate(conditions)]
    if rules:
        spec["validations"] = [
            {
                "name": f"v{i}",
                "expression": e,
                **(
                    (BREAKABLE if i in breakable else APPROVAL)
                    if i in approvable
                    else DEFER
                    if i in defers
                    else {}
                ),
            }
            for i, e in enumerate(rules)
        ]
    if frequency:
        spec["frequency"] = frequency
    if fields:
        spec["fields"] = fields
    if limits:
        spec["limits"] = limits
    if mode != "Deny":
        spec["validationActions"] = [mode]
    return document("Guard", name, spec)


def compiled(*documents: str) -> Bundle:
    """Compile documents together with the catalogue; they must be sound."""
    result = compile_bundle({"bundle.yaml": "\n---\n".join((*CATALOGUE, *documents)).encode()})
    assert isinstance(result, Bundle), "\n".join(map(str, result))
    return result


def problems(*documents: str) -> tuple[Diagnostic, ...]:
    """Compile documents together with the catalogue; they must not be sound. The places are those of file `own`."""
    catalogue = "\n---\n".join(CATALOGUE).encode()
    result = compile_bundle({"catalogue": catalogue, "own": "\n---\n".join(documents).encode()})
    assert not isinstance(result, Bundle)
    return result


def _some(values: Sequence[str], *, least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=least, unique=True)


def _steps(draw: st.DrawFn, *, least: int = 0) -> dict[str, str]:
    names = draw(_some(tuple(LADDERS), least=least))
    return {name: draw(st.sampled_from(LADDERS[name])) for name in names}


def limits(draw: st.DrawFn, actions: Sequence[str]) -> dict[str, int]:
    """Return the limits of a rule for these actions: none, in most."""
    found: dict[str, int] = {}
    if draw(st.integers(0, 2)) == 2:
        found = dict.fromkeys(draw(_some(("rows_per_hour", "distinct_customers_per_day"))), 9)
        if draw(st.booleans()):
            found["rows_per_request"] = draw(st.integers(1, 3))
        if "lookup" in actions and draw(st.booleans()):
            found["lookups_per_minute"] = 9
    return found


def _match(draw: st.DrawFn) -> dict[str, object]:
    match: dict[str, object] = {}
    if draw(st.integers(0, 3)) == 3:
        match["stores"] = draw(_some(("crm", "erp")))
    if draw(st.integers(0, 3)) == 3:
        match["keys"] = draw(_some(("customer_id", "phone")))
    return match


@st.composite
def grants(draw: st.DrawFn, name: str = "grant") -> str:
    """Return any grant for look-ups, exports and messages."""
    actions = draw(
        st.just(["lookup", "export"])
        | st.just(["lookup", "export", "send"])
        | _some(("lookup", "export"))
        | st.just(["send"])
    )
    is_send = actions == ["send"]
    return grant(
        name,
        actions=actions,
        roles=draw(_some(("agent", "marketer", "lead"), least=2)),
        purposes=draw(st.just(["marketing", "care"]) | _some(("marketing", "care"))),
        fields={} if is_send else _steps(draw, least=2),
        condition=draw(st.just("") | (_SEND_RULE if is_send else _RULE)),
        match=_match(draw),
        limits=limits(draw, actions),
        valid=draw(st.sampled_from(VALIDITIES)),
    )


@st.composite
def guards(draw: st.DrawFn, name: str = "guard", modes: Sequence[str] = ("Deny",)) -> str:
    """Return any guard."""
    mode = draw(st.sampled_from(tuple(modes)))
    match = _match(draw)
    if draw(st.booleans()):
        match["purposes"] = draw(_some(("marketing", "care")))
    is_send = draw(st.integers(0, 2)) == 2
    match["actions"] = (
        ["send"] if is_send else draw(st.sampled_from((["lookup", "export"], ["export", "lookup", "send"])))
    )
    rule = _SEND_RULE if is_send else _RULE
    rules = draw(st.lists(rule, min_size=1, max_size=3))
    conditions = draw(st.lists(rule, max_size=2))
    is_enforced = mode == "Deny"
    fields = _steps(draw) if is_enforced and not is_send else None
    most = limits(draw, ("send",) if is_send else ("lookup", "export")) if is_enforced else None
    asking = draw(st.sets(st.integers(0, 2), max_size=2)) if is_enforced else ()
    # For many alone nobody breaks the glass: a campaign, where nothing is exported.
    urgent = [i for i in sorted(asking) if not (is_send and rules[i : i + 1] == ["request.rows < 3"])]
    return guard(
        name, *rules, conditions=conditions, fields=fields, mode=mode, match=match, limits=most,
        approvable=tuple(asking),
        breakable=tuple(draw(st.sets(st.sampled_from(urgent)))) if urgent else (),
        defers=tuple(draw(st.sets(st.integers(0, 2)))) if is_enforced and is_send else (),
        frequency=draw(st.sampled_from((None, {"per_day": 2}))) if is_send else None,
    )  # fmt: skip


@st.composite
def rule_documents(draw: st.DrawFn) -> list[str]:
    """Return a few grants and guards with names of their own."""
    found = [draw(grants(f"grant-{i}")) for i in range(draw(st.integers(1, 3)))]
    return found + [draw(guards(f"guard-{i}")) for i in range(draw(st.integers(0, 3)))]


@st.composite
def requests(
    draw: st.DrawFn, *, actions: Sequence[Action] = (Action.LOOKUP, Action.EXPORT, Action.SEND)
) -> Request:
    """Return a request; in most, at most one part is odd."""

    def part(odd: bool, sound: Sequence[str], others: Sequence[str]) -> str:
        return draw(st.sampled_from(others if odd else sound))

    odd = draw(st.integers(0, 9))
    fields = draw(st.lists(st.sampled_from(tuple(LADDERS)), min_size=1, unique=True))
    if odd == 9:
        fields = draw(st.sampled_from(([], ["shoe_size"], ["*", "phone"])))
    action = draw(st.sampled_from(tuple(actions)))
    is_send = action is Action.SEND
    return Request(
        action=action,
        purpose=part(odd == 8, ("care", "marketing"), ("gossip", "")),
        basis=part(odd == 7, ("consent",), ("contract", "legal_duty", "")),
        store=part(odd == 6, ("crm",), ("erp", "nowhere")),
        key_kind=draw(st.sampled_from(("customer_id", "phone"))),
        fields=() if is_send else tuple(sorted(fields)),
        channel="sms" if is_send else "",
        brand="Test" if is_send else "",
        strict=draw(st.booleans()),
        has_basis_evidence=draw(st.booleans()),
        has_ticket=draw(st.booleans()),
        rows=draw(st.sampled_from((1, 1, 2, 5))),
    )


def values(kind: FactType) -> st.SearchStrategy[FactValue]:
    """Return values of one declared type."""
    known: Mapping[Kind, st.SearchStrategy[FactValue]] = {
        Kind.BOOL: st.booleans(),
        Kind.INT: st.integers(0, 23),
        Kind.STRING: st.sampled_from(("", "east", "west")),
        Kind.STRINGS: st.lists(st.sampled_from(("vip", "blocked", "new")), max_size=3).map(tuple),
        Kind.STATE: st.sampled_from(kind.states or (State.UNSPECIFIED,)),
    }
    return known[kind.kind]


UNKNOWN = st.sampled_from(UnknownWhy).map(Unknown)


LIMITED = tuple(
    f"{kind}:{name}"
    for kind in ("grant", "guard")
    for name in (f"{kind}-0", f"{kind}-1", f"{kind}-2", "added", "removed")
)
"""Names under which the rules that are drawn here are counted."""


EXPIRABLE = tuple(name.removeprefix("grant:") for name in LIMITED if name.startswith("grant:"))
"""Names of the grants that are drawn here."""

APPROVABLE = tuple(
    requirement(name.removeprefix("guard:"), f"v{place}").key
    for name in LIMITED
    if name.startswith("guard:")
    for place in range(3)
)
"""Keys of all that the guards drawn here can ask for."""


@st.composite
def facts(draw: st.DrawFn, *, active: bool = True) -> Facts:
    """Return facts of the declared types, now and then Unknown; the principal is ACTIVE unless told otherwise."""
    found: dict[str, FactValue] = {path: draw(values(kind)) for path, kind in FACTS.items()}
    if draw(st.booleans()):
        found |= {"consent.state": State.GIVEN, "consent.explicit": True, "customer.minor": False}
    for path in draw(st.lists(st.sampled_from(tuple(FACTS)), max_size=1)):
        found[path] = draw(UNKNOWN)
    if active:
        found["principal.employment"] = State.ACTIVE
    if EXHAUSTED not in found or not isinstance(found[EXHAUSTED], Unknown):
        found[EXHAUSTED] = tuple(
            sorted(draw(st.just(set()) | st.sets(st.sampled_from(LIMITED), max_size=4)))
        )
    if not isinstance(found[AGREEMENT], Unknown) and draw(st.integers(0, 3)):
        found[AGREEMENT] = State.VALID
    listed = ((EXPIRED, EXPIRABLE), (APPROVED, APPROVABLE), (BREAK_GLASS, APPROVABLE), (FREQUENT, LIMITED))
    for path, names in listed:
        if not isinstance(found[path], Unknown):
            found[path] = tuple(sorted(draw(st.just(set()) | st.sets(st.sampled_from(names)))))
    if not isinstance(found[ROWS], Unknown):
        found[ROWS] = draw(st.sampled_from((1, 1, 2, 5)))
    return Facts(found)


ROLES = st.frozensets(st.sampled_from(("agent", "marketer", "lead", "nobody"))).map(
    lambda drawn: drawn or frozenset({"agent", "lead"})
)
