"""What is decided of a campaign before any recipient is known is what no recipient could change."""

from zoneinfo import ZoneInfo

from fujie.decision.admission import ANY_PROVIDER, admission, is_granted
from fujie.decision.decide import decide
from fujie.decision.decider import Decider
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan
from fujie.model.facts import Facts
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, State
from support.house import bundle_of
from support.outboxes import NOW

ROLES = frozenset({"caller_up"})  # whom no grant of base opens anything to
REQUEST = Request(Action.SEND, "marketing", "consent", rows=10)


def grant(more: str = "", match: str = "") -> str:
    return f"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: sends}}
spec:
  match: {{actions: [send]{match}}}
  roles: [caller_up]
  purposes: [marketing]
{more}"""


def guard(validation: str) -> str:
    return f"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {{name: closes}}
spec:
  match: {{actions: [send]}}
  validations: [{validation}]
"""


def planned(policy: str, request: Request = REQUEST) -> tuple[Plan, Facts]:
    decider = Decider(bundle_of({"sends.yaml": policy.encode()}))
    principal = Principal("m", roles=ROLES, training=State.VALID)
    plan = admission(decider.plan(request, ROLES), request, ROLES)
    facts = derive(plan.bundle, request, Raw(principal), NOW, ZoneInfo("Asia/Shanghai"))
    return plan, Facts({**facts.values, **ANY_PROVIDER})


def test_a_grant_counts_whatever_stores_and_keys_it_names() -> None:
    assert is_granted(*planned(grant(match=", stores: [crm], keys: [phone]")))


def test_a_condition_about_the_recipient_may_still_be_true_and_one_about_the_asker_is_decided() -> None:
    assert is_granted(*planned(grant("  condition: customer.owner_department == principal.department\n")))
    assert not is_granted(*planned(grant('  condition: principal.department == "nowhere"\n')))


def test_another_purpose_and_other_roles_open_nothing() -> None:
    other = Request(Action.SEND, "after_sales", "contract", has_basis_evidence=True)
    assert not is_granted(*planned(grant(), other))
    plan, facts = planned(grant())
    nobody = admission(plan, Request(Action.SEND, "marketing"), frozenset({"nothing"}))
    assert not is_granted(nobody, facts)


def test_a_guard_that_reads_the_recipient_waits_for_one() -> None:
    late = planned(
        grant() + guard("{name: given, expression: consent.state == GIVEN, reason: CONSENT_MISSING}")
    )
    assert all(not each.validations for each in late[0].guards if each.name == "closes")


def test_a_guard_about_how_many_holds_now() -> None:
    policy = grant() + guard("{name: few, expression: request.rows <= 5, reason: CONSENT_MISSING}")
    plan, facts = planned(policy)
    told = {hit.guard for hit in decide(plan, REQUEST, facts).reasons}
    assert "closes" in told
    small = Request(Action.SEND, "marketing", "consent", rows=5)
    plan, facts = planned(policy, small)
    assert "closes" not in {hit.guard for hit in decide(plan, small, facts).reasons}


def test_what_only_defers_keeps_no_campaign_from_starting() -> None:
    policy = (
        grant()
        + guard("{name: by-day, expression: time.hour > 24, outcome: defer, reason: X_LATER}")
        + """
---
apiVersion: fujie.dev/v1
kind: Reasons
metadata: {name: later}
spec:
  reasons: [{code: X_LATER, priority: 600, message: {en: later, zh: later}}]
"""
    )
    plan, _ = planned(policy)
    assert all(not each.validations for each in plan.guards if each.name == "closes")
