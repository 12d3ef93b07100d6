"""On behalf of somebody: only by trusted workloads, only for whom the directory knows, never to gain power."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fujie.flows.consent import ConsentQuery, get_consent, withdraw_consent
from fujie.flows.directory import get_principal, offboard_principal, upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.lookup import lookup
from fujie.flows.policy import explain, get_bundle
from fujie.flows.refuse import refuse_input
from fujie.flows.reply import ConsentReply, ExplainReply, LookupReply, PrincipalReply, Refusal
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import StoreKey
from fujie.model.errors import RequestError
from fujie.model.principal import Credential, Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action, State
from support.house import ADMIN, BOOTSTRAP, House, ask

CRM = "spiffe://example.com/ns/crm/sa/web"
WORKLOAD = Credential(CRM, "", CRM)
OTHER = Credential("spiffe://example.com/ns/bi/sa/job", "", "spiffe://example.com/ns/bi/sa/job")
WITH_TOKEN = Credential("marketer", "https://id.example.com", CRM)
KEY = StoreKey("crm", "C00001")
AGENT = "support-agent"
OFFICER = Credential("privacy-officer", "test")


@pytest.fixture
def trusting(house: House) -> House:
    return replace(house, gate=replace(house.gate, may_assert=frozenset({CRM})))


def said() -> ConsentEvent:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return ConsentEvent("", "", "marketing", ConsentEventType.WITHDRAWN, moment, moment, "", channel="any")


def code(reply: object) -> str:
    """Return the primary reason of a refusal, empty for a reply."""
    return reply.reasons[0].code if isinstance(reply, Refusal) else ""


async def hired(house: House, name: str, employment: State = State.ACTIVE, *roles: str) -> None:
    kind = State.SERVICE if name.startswith("spiffe:") else State.EMPLOYEE
    principal = Principal(name, kind, frozenset(roles), "east", employment, State.VALID)
    assert isinstance(
        await upsert_principal(house.gate, ADMIN, RequestContext(), principal), PrincipalReply
    )
    house.log.leaves.clear()


async def test_a_trusted_workload_asks_with_the_rights_of_the_person(trusting: House) -> None:
    reply = await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of=AGENT), 1.0)
    assert isinstance(reply, LookupReply)
    [entry] = trusting.entries
    assert (entry.principal, entry.on_behalf_of, entry.effect) == (CRM, AGENT, "ALLOW")
    assert entry.facts["principal.roles"] == ("support",)


async def test_that_it_was_delegated_is_a_fact(trusting: House) -> None:
    guard = b"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: in-person}
spec:
  match: {actions: [lookup]}
  validations:
    - {name: in_person, expression: "!request.delegated", reason: GUARD_REFUSED}
"""
    strict = trusting.with_policy({"in-person.yaml": guard})
    assert (
        code(await lookup(strict.gate, WORKLOAD, ask("phone", on_behalf_of=AGENT), 1.0)) == "GUARD_REFUSED"
    )
    assert strict.entries[-1].facts["request.delegated"] is True
    assert code(await lookup(strict.gate, Credential(AGENT, "test"), ask("phone"), 1.0)) == ""


@pytest.mark.parametrize(
    "caller",
    [
        OTHER,
        WITH_TOKEN,
        Credential(AGENT, "test"),
        Credential(CRM, "https://id.example.com"),
        Credential(CRM, "https://id.example.com", CRM),
        Credential(CRM, ""),
        Credential("spiffe://example.com/ns/crm/sa/web2", "", "spiffe://example.com/ns/crm/sa/web2"),
    ],
    ids=["another workload", "a token beside", "a token", "a token that says so", "that and a certificate",
         "no certificate", "an id that begins like it"],
)  # fmt: skip
@pytest.mark.parametrize("whom", [AGENT, "administrator", "stranger"])
async def test_nobody_else_may_assert_anybody(caller: Credential, whom: str, trusting: House) -> None:
    for asked in (AGENT, whom):
        refusal = await lookup(trusting.gate, caller, ask("phone", on_behalf_of=asked), 1.0)
        assert code(refusal) == "DELEGATION_REFUSED"
    assert {entry.on_behalf_of for entry in trusting.entries} == {"?"}
    assert {entry.principal for entry in trusting.entries} == {caller.subject}


async def test_whom_the_directory_does_not_know_is_nobody_and_is_not_written_down(trusting: House) -> None:
    look_alike = AGENT.replace("a", "\u0430")  # Cyrillic
    for whom in ("13800138000", BOOTSTRAP.subject, AGENT.upper(), AGENT + " ", " ", look_alike):
        refusal = await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of=whom), 1.0)
        assert code(refusal) == "PRINCIPAL_UNKNOWN"
    assert {entry.on_behalf_of for entry in trusting.entries} == {"?"}
    assert not any(b"13800138000" in leaf for leaf in trusting.log.leaves)


@pytest.mark.parametrize(
    ("employment", "expected"),
    [(State.SUSPENDED, "PRINCIPAL_SUSPENDED"), (State.OFFBOARDED, "PRINCIPAL_OFFBOARDED")],
)
async def test_neither_a_person_nor_a_workload_that_has_left_opens_anything(
    employment: State, expected: str, trusting: House
) -> None:
    await hired(trusting, "leaver", employment, "support")
    assert code(await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of="leaver"), 1.0)) == expected
    await hired(trusting, CRM, State.ACTIVE)
    assert code(await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of=AGENT), 1.0)) == ""
    await hired(trusting, CRM, employment)
    assert code(await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of=AGENT), 1.0)) == expected


async def test_a_person_who_is_offboarded_is_out_at_the_very_next_delegated_call(trusting: House) -> None:
    asked = ask("phone", on_behalf_of=AGENT)
    assert code(await lookup(trusting.gate, WORKLOAD, asked, 1.0)) == ""
    await offboard_principal(trusting.gate, ADMIN, RequestContext(), AGENT)
    assert code(await lookup(trusting.gate, WORKLOAD, asked, 1.0)) == "PRINCIPAL_OFFBOARDED"


async def test_a_workload_of_the_directory_asks_for_itself_with_its_own_rights_only(
    trusting: House,
) -> None:
    assert code(await lookup(trusting.gate, WORKLOAD, ask("phone"), 1.0)) == "PRINCIPAL_UNKNOWN"
    await hired(trusting, CRM, State.ACTIVE, "support")
    assert code(await lookup(trusting.gate, WORKLOAD, ask("phone"), 1.0)) == ""
    assert code(
        await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of="nobody-in-particular"), 1.0)
    ) == ("NO_GRANT")
    assert [(entry.principal, entry.on_behalf_of) for entry in trusting.entries] == [
        (CRM, ""),
        (CRM, "nobody-in-particular"),
    ]


Act = Callable[[Gate, RequestContext], Awaitable[object]]
NEVER: dict[str, Act] = {
    "write": lambda gate, context: upsert_principal(gate, WORKLOAD, context, Principal("friend")),
    "write oneself": lambda gate, context: upsert_principal(
        gate, WORKLOAD, context, Principal(CRM, State.SERVICE, frozenset({"administrator"}))
    ),
    "offboard": lambda gate, context: offboard_principal(gate, WORKLOAD, context, AGENT),
}


@pytest.mark.parametrize("act", NEVER.values(), ids=NEVER)
async def test_nobody_promotes_himself_through_a_workload(act: Act, trusting: House) -> None:
    assert (
        code(await act(trusting.gate, RequestContext(on_behalf_of="administrator"))) == "DELEGATION_REFUSED"
    )
    assert await trusting.gate.directory.get("friend") is None
    assert await trusting.gate.directory.get(CRM) is None
    agent = await trusting.gate.directory.get(AGENT)
    assert agent is not None
    assert agent.employment is State.ACTIVE


async def test_a_delegated_call_is_never_a_bootstrap_administrator(trusting: House) -> None:
    class Empty:
        """A directory as it is at the very start: it knows nobody, so that `bootstrap.admins` are alive."""

        async def get(self, _principal_id: str) -> None:
            return None

        async def has_administrator(self) -> bool:
            return False

    fresh = replace(trusting.gate, directory=Empty(), admins=frozenset({BOOTSTRAP.subject, CRM}))  # type: ignore[arg-type]  # as empty as a new one
    asked = RequestContext(on_behalf_of=BOOTSTRAP.subject)
    assert code(await get_bundle(fresh, WORKLOAD, asked)) == "PRINCIPAL_UNKNOWN"
    assert code(await get_bundle(fresh, BOOTSTRAP, RequestContext())) == ""


@pytest.mark.parametrize("whom", [CRM, OTHER.subject, OTHER.subject.replace("spiffe", "Spiffe")])
async def test_nobody_stands_in_for_a_workload_not_even_itself(whom: str, trusting: House) -> None:
    await hired(trusting, whom, State.ACTIVE, "support", "administrator")
    assert code(await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of=whom), 1.0)) == (
        "DELEGATION_REFUSED"
    )
    assert [(entry.principal, entry.on_behalf_of) for entry in trusting.entries] == [(CRM, "?")]


async def test_whoever_is_asserted_may_read_what_he_may_read(trusting: House) -> None:
    asked = RequestContext(on_behalf_of="administrator")
    assert code(await get_bundle(trusting.gate, WORKLOAD, asked)) == ""
    assert code(await get_principal(trusting.gate, WORKLOAD, asked, AGENT)) == ""
    assert code(await get_bundle(trusting.gate, WORKLOAD, RequestContext(on_behalf_of=AGENT))) == "NO_GRANT"


class TestConsent:
    async def test_the_person_is_the_actor_and_the_workload_the_principal(self, trusting: House) -> None:
        asked = RequestContext(on_behalf_of="consent-desk")
        reply = await withdraw_consent(trusting.gate, WORKLOAD, KEY, asked, said())
        assert isinstance(reply, ConsentReply)
        assert reply.event.actor == "consent-desk"
        assert [(e.principal, e.on_behalf_of) for e in trusting.entries] == [(CRM, "consent-desk")] * 2
        assert code(await get_consent(trusting.gate, WORKLOAD, ConsentQuery(KEY, asked, "marketing"))) == ""

    async def test_a_request_id_is_of_the_person_however_he_calls(self, trusting: House) -> None:
        """Else the ids of two persons behind one workload would meet."""
        ours = RequestContext(request_id="r-1", on_behalf_of="consent-desk")
        first = await withdraw_consent(trusting.gate, WORKLOAD, KEY, ours, said())
        again = await withdraw_consent(
            trusting.gate, Credential("consent-desk", "test"), KEY, replace(ours, on_behalf_of=""), said()
        )
        assert isinstance(first, ConsentReply)
        assert isinstance(again, ConsentReply)
        assert first.event == again.event
        await hired(trusting, "second-desk", State.ACTIVE, "consent_desk")
        theirs = replace(ours, on_behalf_of="second-desk")
        other = await withdraw_consent(trusting.gate, WORKLOAD, StoreKey("crm", "C00002"), theirs, said())
        assert isinstance(other, ConsentReply)
        reused = await withdraw_consent(trusting.gate, WORKLOAD, StoreKey("crm", "C00002"), ours, said())
        assert code(reused) == "REQUEST_ID_REUSED"


class TestExplain:
    async def test_explaining_for_somebody_else_is_not_asking_for_him(self, trusting: House) -> None:
        reply = await explain(trusting.gate, OFFICER, RequestContext(), ask("phone"), AGENT)
        assert isinstance(reply, ExplainReply)
        assert reply.explanation.decision.effect.value == "ALLOW"
        assert trusting.entries[-1].on_behalf_of == ""

    async def test_a_delegated_look_up_is_explained_for_the_person(self, trusting: House) -> None:
        asked = ask("phone", on_behalf_of=AGENT)
        for whom in ("", AGENT):
            reply = await explain(trusting.gate, OFFICER, RequestContext(), asked, whom)
            assert isinstance(reply, ExplainReply)
            assert reply.explanation.decision.effect.value == "ALLOW"
            assert trusting.entries[-1].facts["target.principal"] == AGENT
        contradiction = await explain(trusting.gate, OFFICER, RequestContext(), asked, "marketer")
        assert code(contradiction) == "ARGUMENT_INVALID"

    async def test_without_a_name_it_is_explained_for_the_person_who_asks(self, trusting: House) -> None:
        context = RequestContext(on_behalf_of="privacy-officer")
        reply = await explain(trusting.gate, WORKLOAD, context, ask("phone"), "")
        assert isinstance(reply, ExplainReply)
        assert trusting.entries[-1].facts["target.principal"] == "privacy-officer"


async def test_a_trusted_workload_is_told_what_is_wrong_with_its_request_and_others_are_not(
    trusting: House,
) -> None:
    wrong = RequestError(code="PHONE_INVALID", field="customer.phone")
    told = await refuse_input(trusting.gate, WORKLOAD, Action.LOOKUP, wrong)
    assert (code(told), told.field) == ("PHONE_INVALID", "customer.phone")
    for caller in (OTHER, Credential(CRM, "https://id.example.com", CRM)):
        told = await refuse_input(trusting.gate, caller, Action.LOOKUP, wrong)
        assert (code(told), told.field) == ("PRINCIPAL_UNKNOWN", "")
    await hired(trusting, CRM, State.ACTIVE)
    assert code(await refuse_input(trusting.gate, WORKLOAD, Action.LOOKUP, wrong)) == "PHONE_INVALID"
    await hired(trusting, CRM, State.SUSPENDED)
    assert code(await refuse_input(trusting.gate, WORKLOAD, Action.LOOKUP, wrong)) == "PRINCIPAL_SUSPENDED"


async def test_the_entry_names_the_workload_through_which_a_token_came(house: House) -> None:
    through = Credential(AGENT, "https://id.example.com", CRM)
    assert code(await lookup(house.gate, through, ask("phone"), 1.0)) == ""
    [entry] = house.entries
    assert (entry.principal, entry.on_behalf_of, entry.facts["caller.workload"]) == (AGENT, "", CRM)


async def test_a_store_that_fails_leaves_an_entry_that_names_the_person(trusting: House) -> None:
    refusal = await lookup(trusting.gate, WORKLOAD, ask("phone", on_behalf_of=AGENT), 0.0)
    assert code(refusal) == "STORE_TIMEOUT"
    assert (trusting.entries[-1].principal, trusting.entries[-1].on_behalf_of) == (CRM, AGENT)
