"""The shipped base bundle, rule by rule: who asks for what, on which basis, and what comes of it.

Each row of `CASES` is one claim. The tests below the table prove that it is complete: every grant is seen
matched and not matched, every condition and validation true, false and unknown. What is about messages alone stands in
`policies/base/tests`, which are held to the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest

from fujie.decision.decide import decide, matching_grants, outcomes
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan, Planner, rule_set, rules_of
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.decision import Decision
from fujie.model.facts import APPROVED, EXHAUSTED, USAGE, Facts, Unknown, UnknownWhy
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import CUSTOMER_ACTIONS, Action, State
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle

BASE = Path(__file__).parents[3] / "policies" / "base"
ZONE = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 20, 10, tzinfo=ZONE)
NIGHT = NOW.replace(hour=3)
SID = "sid-1"
NOT_KNOWN = Unknown(UnknownWhy.NULL)
AS_USUAL = dict.fromkeys(USAGE, State.WITHIN)

EAST = Principal("agent", roles=frozenset({"support"}), department="east", training=State.VALID)
WEST = replace(EAST, department="west")
UNTRAINED = replace(EAST, training=State.NONE)
SERVICE = replace(EAST, kind=State.SERVICE)
MARKETER = replace(EAST, roles=frozenset({"marketer"}))
OFFICER = replace(EAST, roles=frozenset({"privacy_officer"}))
CLERK = replace(EAST, roles=frozenset({"fulfilment_clerk"}))
ANALYST = replace(EAST, roles=frozenset({"fraud_analyst"}))
LAPSED_ANALYST = replace(ANALYST, training=State.LAPSED)
FINANCE = replace(EAST, roles=frozenset({"finance"}))
EXPORTER = replace(EAST, roles=frozenset({"list_exporter"}))
ROBOT_ANALYST = replace(LAPSED_ANALYST, kind=State.SERVICE)
ADULT: Mapping[str, object] = {"minor": 0, "owner_department": "east"}
MINOR: Mapping[str, object] = {"minor": 1, "owner_department": "east"}


def ask(purpose: str, basis: str, *fields: str, **more: object) -> Request:
    request = Request(
        Action.LOOKUP, purpose, basis, "crm", "customer_id", tuple(sorted(fields)), has_basis_evidence=True
    )
    return replace(request, **more)  # type: ignore[arg-type] # a table of flags


def deliveries(rows: int) -> Request:
    return ask("order_fulfilment", "contract", "phone", action=Action.EXPORT, rows=rows)


def care(*fields: str, **more: object) -> Request:
    return ask("after_sales", "contract", *fields, **more)


def care_by_consent(*fields: str, **more: object) -> Request:
    return ask("after_sales", "consent", *fields, **more)


def marketing(*fields: str, **more: object) -> Request:
    return ask("marketing", "consent", *fields, **more)


def call_backs(*fields: str, **more: object) -> Request:
    return care(*fields, action=Action.EXPORT, rows=24, **more)


def audience(*fields: str, **more: object) -> Request:
    return marketing(*fields, action=Action.EXPORT, rows=24, **more)


def cases(*fields: str, rows: int = 24, **more: object) -> Request:
    return ask("fraud_prevention", "legal_duty", *fields, action=Action.EXPORT, rows=rows, **more)


def consent(kind: str, *, explicit: bool = True, separate: bool = False, days_ago: int = 1) -> ConsentEvent:
    when = NOW - timedelta(days=days_ago)
    return ConsentEvent(
        "record-1",
        SID,
        "any",
        ConsentEventType(kind),
        when,
        when,
        "desk",
        explicit=explicit,
        separate=separate,
    )


@dataclass(frozen=True)
class Case:
    """`steps` is field to step or `withheld`; it is empty when the outcome is a refusal. `gap` lists facts made Unknown.

    `unusual` lists the facts of usage that are EXCEEDED; the others are WITHIN.
    """

    claim: str
    who: Principal
    asks: Request
    reasons: tuple[str, ...] = ()
    steps: Mapping[str, str] = field(default_factory=dict)
    consent: tuple[ConsentEvent, ...] = ()
    customer: Mapping[str, object] = field(default_factory=lambda: ADULT)
    warnings: tuple[str, ...] = ()
    at: datetime = NOW
    gap: tuple[str, ...] = ()
    opt_outs: tuple[SuppressionScope, ...] = ()
    unusual: tuple[str, ...] = ()


GIVEN = (consent("given"),)
SEPARATE = (consent("given", separate=True),)
WITHDRAWN = (consent("given", days_ago=3), consent("withdrawn"))
PHONE = {"phone": "keep(3,4)"}

CASES = (
    # Support: the department's own customers, or a ticket.
    Case("agent sees own customer", EAST, care("name", "phone", "address"), (),
         {"name": "reveal", "phone": "keep(3,4)", "address": "region(district)"}),
    Case("agent may search by phone", EAST, care("phone", key_kind="phone"), (), PHONE),
    Case("field outside the purpose is withheld", EAST, care("phone", "id_card"), (), PHONE | {"id_card": "withheld"}),
    Case("strict turns withheld into refused", EAST, care("phone", "id_card", strict=True), ("FIELD_NOT_GRANTED",)),
    Case("nothing but withheld is refused", EAST, care("plate", "birthday"), ("NO_FIELD_GRANTED",)),
    Case("customer of others is as good as none", WEST, care("phone"), ("NO_GRANT",)),
    Case("ticket opens a colleague's customer, less far", WEST, care("phone", "address", "email", has_ticket=True), (),
         PHONE | {"address": "region(city)", "email": "withheld"}),
    Case("both grants: the most open step", EAST, care("address", has_ticket=True), (), {"address": "region(district)"}),
    Case("unknown department is nobody's", EAST, care("phone"), ("NO_GRANT",), customer={"minor": 0}),
    Case("unknown department with ticket", EAST, care("phone", has_ticket=True), (), PHONE, customer={"minor": 0}),
    Case("agent has no marketing", EAST, marketing("phone"), ("NO_GRANT",), consent=GIVEN),
    Case("agent does not verify identities", EAST, ask("identity_verification", "legal_duty", "name"), ("NO_GRANT",)),
    Case("contract needs its order", EAST, care("phone", has_basis_evidence=False), ("BASIS_EVIDENCE_MISSING",)),
    Case("basis is not the caller's choice", EAST, ask("after_sales", "legal_duty", "phone"), ("BASIS_NOT_ACCEPTED",)),
    Case("untrained agent sees ordinary fields", UNTRAINED, care("phone"), (), PHONE),
    Case("untrained agent may not even ask for sensitive ones", UNTRAINED, care("phone", "id_card"),
         ("X_TRAINING_MISSING",)),
    Case("offboarded", replace(EAST, employment=State.OFFBOARDED), care("phone"), ("PRINCIPAL_OFFBOARDED",)),
    Case("suspended", replace(EAST, employment=State.SUSPENDED), care("phone"), ("PRINCIPAL_SUSPENDED",)),
    Case("no role", replace(EAST, roles=frozenset()), care("phone"), ("NO_GRANT",)),
    # Consent as the basis.
    Case("consent carries after-sales", EAST, care_by_consent("phone"), (), PHONE, consent=GIVEN),
    Case("no consent", EAST, care_by_consent("phone"), ("CONSENT_MISSING",)),
    Case("consent only asked for", EAST, care_by_consent("phone"), ("CONSENT_MISSING",), consent=(consent("requested"),)),
    Case("consent refused", EAST, care_by_consent("phone"), ("CONSENT_MISSING",), consent=(consent("refused"),)),
    Case("consent invalidated", EAST, care_by_consent("phone"), ("CONSENT_MISSING",), consent=(consent("invalidated"),)),
    Case("consent expired", EAST, care_by_consent("phone"), ("CONSENT_MISSING",), consent=(consent("given", days_ago=365),)),
    Case("consent implied", EAST, care_by_consent("phone"), ("CONSENT_MISSING",), consent=(consent("given", explicit=False),)),
    Case("consent withdrawn, and that alone is said", EAST, care_by_consent("phone"), ("CONSENT_WITHDRAWN",), consent=WITHDRAWN),
    Case("contract outlives the consent", EAST, care("phone"), (), PHONE, consent=WITHDRAWN),
    Case("consent not readable", EAST, care_by_consent("phone"), ("FACT_MISSING",) * 2, consent=GIVEN, gap=("consent.state",)),
    Case("basis not known", EAST, care("phone"), ("CONSENT_MISSING", "FACT_MISSING"), gap=("request.basis",)),
    # Correction of who is who: no field is seen.
    Case("officer corrects", OFFICER, ask("record_correction", "legal_duty", action=Action.CORRECT)),
    Case("officer corrects for that purpose alone", OFFICER, ask("marketing", "consent", action=Action.CORRECT), ("NO_GRANT",)),
    Case("correction needs its evidence", OFFICER, ask("record_correction", "legal_duty", action=Action.CORRECT, has_basis_evidence=False), ("BASIS_EVIDENCE_MISSING",)),
    # Opt-outs.
    Case("opted out beats consent", MARKETER, marketing("phone"), ("CUSTOMER_OPTED_OUT",), consent=GIVEN, opt_outs=(SuppressionScope(),)),
    Case("opted out comes first", MARKETER, marketing("phone"), ("CUSTOMER_OPTED_OUT", "CONSENT_WITHDRAWN"), consent=WITHDRAWN, opt_outs=(SuppressionScope("marketing"),)),
    Case("opted out of something else", MARKETER, marketing("phone"), (), {"phone": "keep(3,2)"}, consent=GIVEN,
         opt_outs=(SuppressionScope("after_sales"), SuppressionScope("marketing", "sms"), SuppressionScope(brand="Test"))),
    Case("opt-outs not readable", MARKETER, marketing("phone"), ("FACT_MISSING",), consent=GIVEN, gap=("suppression.in_force",)),
    Case("service outlives the opt-out", EAST, care("phone"), (), PHONE, opt_outs=(SuppressionScope(),)),
    # Marketing.
    Case("marketing without consent", MARKETER, marketing("name", "phone"), ("CONSENT_MISSING",)),
    Case("marketing with consent, number tightened", MARKETER, marketing("name", "phone", "birthday"), (),
         {"name": "keep(1,0)", "phone": "keep(3,2)", "birthday": "date_part(year)"}, consent=GIVEN),
    Case("nothing sensitive for marketing, and the rest is not refused for it", MARKETER,
         marketing("phone", "id_card", "bank_card"), (),
         {"phone": "keep(3,2)", "id_card": "withheld", "bank_card": "withheld"}, consent=GIVEN),
    Case("marketing after withdrawal", MARKETER, marketing("phone"), ("CONSENT_WITHDRAWN",), consent=WITHDRAWN),
    Case("marketing on implied consent", MARKETER, marketing("phone"), ("CONSENT_MISSING",),
         consent=(consent("given", explicit=False),)),
    Case("marketing on last year's consent", MARKETER, marketing("phone"), ("CONSENT_MISSING",),
         consent=(consent("given", days_ago=365),)),
    Case("marketing consent not readable", MARKETER, marketing("phone"), ("FACT_MISSING",) * 2, consent=GIVEN,
         gap=("consent.state",)),
    Case("marketing under contract", MARKETER, ask("marketing", "contract", "phone"),
         ("BASIS_NOT_ACCEPTED", "CONSENT_MISSING")),
    Case("marketer may not search by phone", MARKETER, marketing("phone", key_kind="phone"), ("NO_GRANT",), consent=GIVEN),
    Case("marketer has no after-sales", MARKETER, care("phone"), ("NO_GRANT",)),
    Case("no marketing to minors", MARKETER, marketing("phone"), ("X_MINOR_MARKETING", "X_MINOR_NEEDS_TICKET"),
         consent=GIVEN, customer=MINOR),
    Case("no ticket opens a minor to marketing", MARKETER, marketing("phone", has_ticket=True), ("X_MINOR_MARKETING",),
         consent=GIVEN, customer=MINOR),
    Case("unknown age is not an adult's", MARKETER, marketing("phone"), ("FACT_MISSING",) * 3, consent=GIVEN,
         customer={"owner_department": "east"}),
    # Minors.
    Case("minor without approval", EAST, care("phone"), ("X_MINOR_NEEDS_TICKET",), customer=MINOR),
    Case("minor with approval, tightened", EAST, care("name", "phone", "address", has_ticket=True), (),
         {"name": "keep(1,0)", "phone": "keep(3,2)", "address": "region(city)"}, customer=MINOR),
    Case("unknown age refuses", EAST, care("phone"), ("FACT_MISSING",) * 2, customer={"owner_department": "east"}),
    Case("unknown ticket refuses for a minor", EAST, care("phone"), ("FACT_MISSING",), customer=MINOR,
         gap=("request.has_ticket",)),
    # Fulfilment.
    Case("clerk sees where to ship", CLERK, ask("order_fulfilment", "contract", "name", "phone", "address"), (),
         {"name": "keep(1,0)", "phone": "keep(3,2)", "address": "reveal"}),
    Case("clerk has no other purpose", CLERK, care("address"), ("NO_GRANT",)),
    Case("fulfilment does not hang on consent", CLERK, ask("order_fulfilment", "consent", "address"),
         ("BASIS_NOT_ACCEPTED",), consent=GIVEN),
    # Payments.
    Case("finance sees the end of a card", FINANCE, ask("payment", "contract", "name", "bank_card"), (),
         {"name": "keep(1,0)", "bank_card": "keep(0,4)"}),
    Case("finance has no other purpose", FINANCE, care("phone"), ("NO_GRANT",)),
    # Exports: each job's own list shows less than its look-up, and more eyes the more leaves.
    Case("a short list", EXPORTER, deliveries(24), (), {"phone": "keep(3,2)"}),
    Case("a longer one needs a second person", EXPORTER, deliveries(25), ("X_EXPORT_NEEDS_APPROVAL",)),
    Case("a long one needs two", EXPORTER, deliveries(250), ("X_EXPORT_NEEDS_APPROVAL",)),
    Case("nobody takes everybody", EXPORTER, deliveries(2500), ("X_EXPORT_TOO_LARGE",)),
    Case("a size that is not known", EXPORTER, deliveries(1), ("FACT_MISSING",) * 6, gap=("request.rows",)),
    Case("exporter looks nobody up", EXPORTER, ask("order_fulfilment", "contract", "phone"), ("NO_GRANT",)),
    Case("agent lists no deliveries", EAST, deliveries(1), ("NO_GRANT",)),
    Case("agent lists own customers, showing less", EAST, call_backs("name", "phone", "address", "email"), (),
         PHONE | {"name": "keep(1,0)", "address": "withheld", "email": "withheld"}),
    Case("agent lists no customers of others", WEST, call_backs("phone"), ("NO_GRANT",)),
    Case("no ticket opens a list of others' customers", WEST, call_backs("phone", has_ticket=True), ("NO_GRANT",)),
    Case("whose customer is not known is on no list", EAST, call_backs("phone"), ("NO_GRANT",), customer={"minor": 0}),
    Case("agent lists by no phone", EAST, call_backs("phone", key_kind="phone"), ("NO_GRANT",)),
    Case("untrained agent lists nothing", UNTRAINED, call_backs("phone"), ("X_TRAINING_MISSING",)),
    Case("marketer lists who agreed", MARKETER, audience("name", "phone", "address", "birthday"), (),
         {"name": "keep(1,0)", "phone": "keep(3,2)", "address": "region(city)", "birthday": "withheld"}, consent=GIVEN),
    Case("marketer lists nobody who did not agree", MARKETER, audience("phone"), ("CONSENT_MISSING",)),
    Case("marketer lists nobody who withdrew", MARKETER, audience("phone"), ("CONSENT_WITHDRAWN",), consent=WITHDRAWN),
    Case("marketer lists nobody who opted out", MARKETER, audience("phone"), ("CUSTOMER_OPTED_OUT",), consent=GIVEN,
         opt_outs=(SuppressionScope("marketing"),)),
    Case("marketer lists by no phone", MARKETER, audience("phone", key_kind="phone"), ("NO_GRANT",), consent=GIVEN),
    Case("marketer lists for marketing alone", MARKETER, call_backs("phone"), ("NO_GRANT",)),
    Case("analyst lists cases as tokens", ANALYST, cases("name", "phone", "email"), (),
         {"name": "withheld", "phone": "token", "email": "token"}),
    Case("analyst lists by no phone", ANALYST, cases("phone", key_kind="phone"), ("NO_GRANT",)),
    Case("analyst lists cases alone", ANALYST, call_backs("phone"), ("NO_GRANT",)),
    Case("sensitive fields leave in no list alone", ANALYST, cases("phone", "bank_card"), ("X_EXPORT_SENSITIVE",)),
    Case("many sensitive ones need more eyes, and the size too", ANALYST, cases("id_card", rows=25),
         ("X_EXPORT_SENSITIVE", "X_EXPORT_NEEDS_APPROVAL")),
    Case("sensitive ones of a size that is not known", ANALYST, cases("bank_card"), ("FACT_MISSING",) * 8,
         gap=("request.rows",)),
    Case("a list of fields that are not known", ANALYST, cases("phone"), ("FACT_MISSING",) * 3,
         gap=("request.fields",)),
    Case("more than on other days stands out", EXPORTER, deliveries(24), ("X_EXPORT_STANDS_OUT",), unusual=("usage.volume",)),
    Case("more than others take stands out", EXPORTER, deliveries(24), ("X_EXPORT_STANDS_OUT",), unusual=("usage.peers",)),
    Case("an hour of no other day stands out", EXPORTER, deliveries(24), ("X_EXPORT_STANDS_OUT",), unusual=("usage.hour",)),
    Case("rows one after the other are what a list is", EXPORTER, deliveries(24), (), {"phone": "keep(3,2)"},
         unusual=("usage.sequence",)),
    Case("what a second person sees anyway asks him once", EXPORTER, deliveries(25), ("X_EXPORT_NEEDS_APPROVAL",),
         unusual=("usage.volume", "usage.peers", "usage.hour")),
    Case("a habit that is not known", EXPORTER, deliveries(24), ("FACT_MISSING",), gap=("usage.volume",)),
    Case("peers that are not known", EXPORTER, deliveries(24), ("FACT_MISSING",), gap=("usage.peers",)),
    Case("hours that are not known", EXPORTER, deliveries(24), ("FACT_MISSING",), gap=("usage.hour",)),
    Case("a look-up reads no habit", EAST, care("phone"), (), PHONE, unusual=tuple(sorted(USAGE))),
    # Sensitive fields.
    Case("analyst links by token", ANALYST, ask("fraud_prevention", "legal_duty", "id_card", "bank_card", "phone"), (),
         PHONE | {"id_card": "token", "bank_card": "token"}),
    Case("analyst has no other purpose", ANALYST, care("phone"), ("NO_GRANT",)),
    Case("sensitive field on plain consent", ANALYST, ask("fraud_prevention", "consent", "bank_card"),
         ("X_SEPARATE_CONSENT_MISSING",), consent=GIVEN),
    Case("sensitive field on separate consent", ANALYST, ask("fraud_prevention", "consent", "bank_card"), (),
         {"bank_card": "token"}, consent=SEPARATE),
    Case("separate consent not readable", ANALYST, ask("fraud_prevention", "consent", "bank_card"), ("FACT_MISSING",),
         consent=SEPARATE, gap=("consent.separate",)),
    Case("fields not known", ANALYST, ask("fraud_prevention", "legal_duty", "phone"), ("FACT_MISSING",) * 2,
         gap=("request.fields",)),
    Case("identity check shows both ends", ANALYST, ask("identity_verification", "legal_duty", "id_card", "bank_card"), (),
         {"id_card": "keep(1,1)", "bank_card": "keep(0,4)"}),
    Case("lapsed training", LAPSED_ANALYST, ask("fraud_prevention", "legal_duty", "id_card"), ("X_TRAINING_MISSING",)),
    Case("lapsed training, ordinary field", LAPSED_ANALYST, ask("fraud_prevention", "legal_duty", "phone"), (), PHONE),
    Case("a service takes no courses", ROBOT_ANALYST, ask("fraud_prevention", "legal_duty", "id_card"), (),
         {"id_card": "token"}),
    Case("training not known", ANALYST, ask("fraud_prevention", "legal_duty", "id_card"), ("FACT_MISSING",),
         gap=("principal.training",)),
    Case("kind not known", ANALYST, ask("fraud_prevention", "legal_duty", "id_card"), ("FACT_MISSING",), gap=("principal.kind",),
         warnings=("FACT_MISSING",)),
    # Hours warn, and never refuse.
    Case("night warns", EAST, care("phone"), (), PHONE, warnings=("X_UNUSUAL_HOURS",), at=NIGHT),
    Case("seven is day", EAST, care("phone"), (), PHONE, at=NOW.replace(hour=7)),
    Case("twenty-two is night", EAST, care("phone"), (), PHONE, warnings=("X_UNUSUAL_HOURS",), at=NOW.replace(hour=22)),
    Case("services work at night", SERVICE, care("phone"), (), PHONE, at=NIGHT),
    Case("unknown hour warns", EAST, care("phone"), (), PHONE, warnings=("FACT_MISSING",), gap=("time.hour",)),
)  # fmt: skip


@cache
def bundle() -> Bundle:
    return compiled({path.name: path.read_bytes() for path in BASE.glob("*.yaml")})


def compiled(files: Mapping[str, bytes]) -> Bundle:
    result = compile_bundle(files)
    assert isinstance(result, Bundle), "\n".join(map(str, result))
    return result


@cache
def planner() -> Planner:
    return Planner(bundle())


def settled(case: Case) -> tuple[Plan, Facts]:
    plan = planner().plan(case.asks, tuple(sorted(case.who.roles)))
    opt_outs = [Suppression("s-1", SID, scope, NOW, NOW, "desk") for scope in case.opt_outs]
    raw = Raw(case.who, case.consent, SID, case.customer, opt_outs)
    facts = derive(bundle(), case.asks, raw, case.at, ZONE)
    usage = AS_USUAL | dict.fromkeys(case.unusual, State.EXCEEDED)
    return plan, Facts({**facts.values, **usage, EXHAUSTED: (), **dict.fromkeys(case.gap, NOT_KNOWN)})


def decided(case: Case) -> Decision:
    plan, facts = settled(case)
    return decide(plan, case.asks, facts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim)
def test_case_comes_out_as_the_table_says(case: Case) -> None:
    decision = decided(case)
    shown = {name: "withheld" if o.withheld else str(o.step) for name, o in decision.fields.items()}
    assert (tuple(hit.code for hit in decision.reasons), shown) == (case.reasons, case.steps)
    assert tuple(hit.code for hit in decision.warnings) == case.warnings
    assert (decision.effect == "ALLOW") == (case.reasons == ())


def test_every_grant_on_customers_is_seen_matched_and_not_matched() -> None:
    seen: dict[str, set[bool]] = {}
    for case in CASES:
        plan, facts = settled(case)
        matched = {grant.name for grant in matching_grants(plan, facts)}
        for grant in bundle().grants:
            if grant.match.actions & CUSTOMER_ACTIONS - {Action.SEND}:
                seen.setdefault(grant.name, set()).add(grant.name in matched)
    assert {name for name, both in seen.items() if both != {True, False}} == set()
    assert seen


def verdicts(case: Case) -> Iterator[tuple[str, str]]:
    """Yield guard/rule and true, false or unknown. Validations of a guard whose condition is false do not count."""
    plan, facts = settled(case)
    for guard in plan.guards:
        names = [name for name, _ in guard.conditions] + [
            validation.name for validation in guard.validations
        ]
        found = outcomes(bundle().engine, rule_set(bundle().engine, rules_of(guard)), facts)
        off = False in found[: len(guard.conditions)]
        for index, (name, verdict) in enumerate(zip(names, found, strict=True)):
            if index < len(guard.conditions) or not off:
                yield (
                    f"{guard.name}/{name}",
                    "unknown" if isinstance(verdict, Unknown) else str(verdict).lower(),
                )


def test_every_rule_of_every_guard_is_seen_true_false_and_unknown() -> None:
    seen: dict[str, set[str]] = {
        f"{guard.name}/{name}": set()
        for guard in bundle().guards
        for name in (*(n for n, _ in guard.conditions), *(v.name for v in guard.validations))
        if guard.match.actions != {Action.SEND}
    }
    for case in CASES:
        for name, verdict in verdicts(case):
            seen[name].add(verdict)
    assert {name: found for name, found in seen.items() if found != {"true", "false", "unknown"}} == {}
    assert seen


def test_a_gap_in_the_facts_never_opens_anything() -> None:
    for case in CASES:
        whole = decided(case)
        for path in settled(case)[0].reads:
            gapped = decided(replace(case, gap=(*case.gap, path)))
            closed = ("ALLOW", "APPROVAL_REQUIRED", "DENY")
            assert closed.index(gapped.effect) >= closed.index(whole.effect), (case.claim, path)
            for name, outcome in gapped.fields.items():
                ladder = bundle().fields[name].ladder
                assert ladder.rank(outcome.step) >= ladder.rank(whole.fields[name].step), (case.claim, path)


ADMINISTRATION = {
    "privacy_officer": {"consent.read", "consent.record", "consent.withdraw", "suppression.add", "suppression.remove", "suppression.read", "explain", "policy.read", "principal.read", "subject_request.handle"},
    "consent_desk": {"consent.read", "consent.record", "consent.withdraw", "suppression.add", "suppression.remove", "suppression.read"},
    "administrator": {"principal.write", "principal.read", "principal.offboard", "policy.read"},
    "auditor": {"audit.read", "policy.read", "explain"},
    "compliance_officer": {"approval.read", "approval.decide", "processor.write"},
    "verification_service": set(),
    "support": set(),
    "marketer": set(),
    "fulfilment_clerk": set(),
    "fraud_analyst": set(),
    "finance": set(),
    "list_exporter": set(),
}  # fmt: skip


@pytest.mark.parametrize("role", ADMINISTRATION)
def test_role_does_exactly_its_administration(role: str) -> None:
    who = replace(EAST, roles=frozenset({role}))
    opened = {
        action.value
        for action in set(Action) - CUSTOMER_ACTIONS
        if decided(Case("", who, Request(action))).effect == "ALLOW"
    }
    assert opened == ADMINISTRATION[role]


@pytest.mark.parametrize("role", [role for role, actions in ADMINISTRATION.items() if actions])
@pytest.mark.parametrize(
    "purpose", ["marketing", "after_sales", "order_fulfilment", "payment", "legal_duty"]
)
def test_who_keeps_the_gate_looks_nobody_up(role: str, purpose: str) -> None:
    case = Case("", replace(EAST, roles=frozenset({role})), ask(purpose, "contract", "phone"))
    assert [hit.code for hit in decided(case).reasons] == ["NO_GRANT"]


def test_roles_of_the_tables_are_all_there_are() -> None:
    assert {role for grant in bundle().grants for role in grant.roles} == set(ADMINISTRATION)


def test_marketing_refusal_names_article_and_remedy_in_both_languages() -> None:
    (hit,) = decided(Case("", MARKETER, marketing("phone"))).reasons
    assert (hit.code, hit.guard) == ("CONSENT_MISSING", "marketing-needs-consent")
    assert {"PIPL-13", "AdLaw-43"} <= set(hit.basis)
    assert "营销" in hit.message.zh
    assert "marketing" in hit.message.en
    assert "告知书" in hit.remedy.zh
    assert "notice" in hit.remedy.en


@pytest.mark.parametrize("action", [Action.EXPORT, Action.SEND, Action.ERASE, Action.CORRECT])
@pytest.mark.parametrize("role", ADMINISTRATION)
def test_nobody_erases_or_corrects_for_marketing_and_marketers_alone_export_and_send(
    role: str, action: Action
) -> None:
    request = replace(marketing("phone"), action=action)
    decision = decided(Case("", replace(EAST, roles=frozenset({role})), request, consent=GIVEN))
    # Nobody has reviewed a message here: the guards on messages refuse what the grant opens.
    opened = {
        ("marketer", Action.SEND): (("sends-marketing",), "PROCESSOR_NOT_VALID"),
        ("marketer", Action.EXPORT): (("marketing-lists",), ""),
    }
    assert (decision.grants, decision.primary) == opened.get((role, action), ((), "NO_GRANT"))


EXPORT_GRANT = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: careless-export}
spec:
  match: {actions: [export]}
  roles: [marketer]
  purposes: [marketing]
  fields: {name: reveal, phone: reveal, bank_card: reveal}
"""


@pytest.mark.parametrize(
    ("who", "consented", "customer", "primary"),
    [
        (MARKETER, (), ADULT, "CONSENT_MISSING"),
        (MARKETER, WITHDRAWN, ADULT, "CONSENT_WITHDRAWN"),
        (MARKETER, GIVEN, MINOR, "X_MINOR_MARKETING"),
        (replace(MARKETER, training=State.LAPSED), GIVEN, ADULT, "X_TRAINING_MISSING"),
        (MARKETER, GIVEN, ADULT, "X_EXPORT_SENSITIVE"),
    ],
)
def test_a_careless_export_grant_meets_the_guards(
    who: Principal, consented: tuple[ConsentEvent, ...], customer: Mapping[str, object], primary: str
) -> None:
    assert carelessly_exported(who, consented, customer).primary == primary


def test_a_careless_export_grant_shows_no_more_when_everything_is_approved() -> None:
    needs = carelessly_exported(MARKETER, GIVEN, ADULT).needs
    decision = carelessly_exported(MARKETER, GIVEN, ADULT, tuple(need.key for need in needs))
    assert "careless-export" in decision.grants
    assert decision.effect == "ALLOW"
    assert str(decision.fields["phone"].step) == "keep(3,2)"
    assert decision.fields["bank_card"].withheld


def carelessly_exported(
    who: Principal,
    consented: tuple[ConsentEvent, ...],
    customer: Mapping[str, object],
    approved: tuple[str, ...] = (),
) -> Decision:
    loose = compiled(
        {path.name: path.read_bytes() for path in BASE.glob("*.yaml")} | {"own.yaml": EXPORT_GRANT}
    )
    request = audience("name", "phone", "bank_card")
    plan = Planner(loose).plan(request, ("marketer",))
    facts = derive(loose, request, Raw(who, consented, SID, customer, ()), NOW, ZONE)
    return decide(plan, request, Facts({**facts.values, **AS_USUAL, EXHAUSTED: (), APPROVED: approved}))


def test_no_grant_names_a_store() -> None:
    assert dict(bundle().stores) == {}


def test_sensitive_classes_have_a_floor_that_no_grant_gets_below() -> None:
    case = Case("", ANALYST, ask("identity_verification", "legal_duty", "id_card"))
    for name, lid in (("id_card", "keep(1,1)"), ("bank_card", "keep(6,4)")):
        assert str(bundle().fields[name].floor) == lid
    assert str(decided(case).fields["id_card"].step) == "keep(1,1)"


def test_reasons_and_guards_speak_both_languages() -> None:
    texts = [
        text
        for guard in bundle().guards
        for validation in guard.validations
        for text in (validation.hit.message, validation.hit.remedy)
    ]
    for text in texts:
        assert bool(text.zh) == bool(text.en)
    assert all(v.hit.message.zh and v.hit.basis for guard in bundle().guards for v in guard.validations)
