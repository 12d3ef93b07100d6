"""To explain says what would open, and is right about it on the live gate."""

from dataclasses import replace
from typing import Any

from google.rpc.status_pb2 import Status

from fujie.app.demo.customers import customers
from fujie.flows.lookup import lookup
from fujie.flows.policy import explain
from fujie.flows.reply import ExplainReply, LookupReply, Refusal
from fujie.model.request import LookupAsk, RequestContext
from fujie.model.suggestion import Change, Part, Suggestions
from fujie.model.vocabulary import Effect
from fujie.transport.grpc import status, trailers
from fujie.v1.policy_service_pb2 import ExplainResponse
from support.house import House, ask, caller

OFFICER = caller("privacy-officer")
STRANGERS = next(str(row[0]) for row in customers(200) if row[-1] != "east" and not row[-2])
"""An adult whom another department serves."""


async def suggested(house: House, who: str, asked: LookupAsk) -> Suggestions:
    reply = await explain(house.gate, OFFICER, RequestContext(), asked, who)
    assert isinstance(reply, ExplainReply), reply
    return reply.explanation.suggestions


async def effect(house: House, who: str, asked: LookupAsk) -> Effect:
    reply = await lookup(house.gate, caller(who), asked, 2.0)
    return Effect.ALLOW if isinstance(reply, LookupReply) else reply.summary.effect


def with_changes(fields: tuple[str, ...], changes: tuple[Change, ...]) -> LookupAsk | None:
    """Return the look-up of `fields` with the changes made; None when they do not lie with the asker alone."""
    context: dict[str, Any] = {"evidence": ""}
    for change in changes:
        match change.part:
            case Part.TICKET:
                context["ticket"] = "T-1"
            case Part.BASIS_EVIDENCE:
                context["evidence"] = "order-7"
            case Part.BASIS:
                context |= {"basis": change.value} | ({"evidence": "order-7"} if change.evidence else {})
            case Part.FIELDS:
                fields = tuple(name for name in fields if name not in change.value.split(","))
            case _:
                return None
    return ask(*fields, **context)


async def test_what_is_suggested_opens_the_live_gate(house: House) -> None:
    fields = ("bank_card", "id_card", "name", "phone")
    opened = 0
    for basis in ("contract", "consent", "legal_duty"):
        asked = ask(*fields, basis=basis, evidence="")
        assert await effect(house, "support-agent", asked) is Effect.DENY
        for suggestion in (await suggested(house, "support-agent", asked)).open:
            context = Change(Part.BASIS, basis)
            changed = with_changes(fields, (context, *suggestion.changes))
            if changed is not None:
                assert await effect(house, "support-agent", changed) is Effect.ALLOW
                opened += 1
    assert opened >= 3


async def test_a_ticket_opens_what_a_colleague_serves(house: House) -> None:
    asked = ask("name", customer=STRANGERS)
    codes = [code.code for code in (await refusal(house, asked)).reasons]
    found = await suggested(house, "support-agent", asked)
    assert codes == ["NO_GRANT"]
    assert [one.changes for one in found.open] == [(Change(Part.TICKET),)]
    assert (
        await effect(house, "support-agent", ask("name", customer=STRANGERS, ticket="T-1")) is Effect.ALLOW
    )


async def refusal(house: House, asked: LookupAsk) -> Refusal:
    reply = await lookup(house.gate, caller("support-agent"), asked, 2.0)
    assert isinstance(reply, Refusal), reply
    return reply


async def test_nothing_more_is_read_than_for_the_look_up_itself(house: House) -> None:
    """Another purpose is told only where nothing had to be read for it; the entry names the one that was asked."""
    asked = ask("name", purpose="marketing", basis="consent", evidence="")
    before = len(house.entries)
    found = await suggested(house, "support-agent", asked)
    assert found.open == ()
    assert all(one.lacks for one in found.untold)
    assert len(house.entries) == before + 1
    assert house.entries[-1].facts["target.purpose"] == "marketing"


async def test_whoever_may_not_explain_gets_no_suggestion(house: House) -> None:
    reply = await explain(house.gate, caller("support-agent"), RequestContext(), ask("name"), "")
    assert isinstance(reply, Refusal)
    assert [reason.code for reason in reply.reasons] == ["NO_GRANT"]


async def test_a_refusal_explains_itself_to_who_may_explain_and_to_nobody_else(house: House) -> None:
    asked = ask("name", customer=STRANGERS)
    asked = replace(asked, context=replace(asked.context, explain=True))
    mine = await lookup(house.gate, OFFICER, asked, 2.0)
    theirs = await lookup(house.gate, caller("support-agent"), asked, 2.0)
    assert isinstance(mine, Refusal)
    assert isinstance(theirs, Refusal)
    assert mine.explanation is not None
    assert mine.explanation.decision.reasons == mine.reasons
    assert theirs.explanation is None
    told = [entry.facts.get("explained", False) for entry in house.entries[-2:]]
    assert told == [True, False]


async def test_an_explanation_in_a_refusal_fits_the_trailers_and_tells_what_opens_first(
    house: House,
) -> None:
    asked = ask("name", customer=STRANGERS)
    reply = await explain(house.gate, OFFICER, RequestContext(), asked, "support-agent")
    assert isinstance(reply, ExplainReply)
    refused = await refusal(house, asked)
    whole = status.refused(replace(refused, explanation=reply.explanation))
    packed = Status.FromString(dict(whole.trailing)[trailers.DETAILS_KEY])
    assert packed.ByteSize() <= status.MOST_DETAIL_BYTES
    (told,) = [
        ExplainResponse.FromString(each.value)
        for each in packed.details
        if each.Is(ExplainResponse.DESCRIPTOR)
    ]
    assert [[change.part for change in one.changes] for one in told.suggestions] == [["ticket"]]
    assert all(not rule.clauses for rule in told.rules)
