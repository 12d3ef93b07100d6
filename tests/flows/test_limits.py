"""Attacks on limits: probing for free, repeating, batching, racing, and finding out about customers by what a limit says."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from fujie.audit.errors import LogUnavailable
from fujie.flows.aliases import Merge, merge_customers
from fujie.flows.batch import batch_lookup
from fujie.flows.consent import record_consent, withdraw_consent
from fujie.flows.directory import upsert_principal
from fujie.flows.lookup import lookup
from fujie.flows.policy import explain
from fujie.flows.reply import BatchReply, ExplainReply, LookupReply, Refusal
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError
from fujie.model.limit import Charge, Reservation
from fujie.model.principal import Principal
from fujie.model.request import BatchAsk, LookupAsk, RequestContext
from fujie.model.usage import Look
from fujie.model.vocabulary import State
from support.answers import answer
from support.house import ADMIN, House, RecordingLog, ask, caller
from support.identities import EVERYTHING
from support.stores import Spy

WHO = "nobody-in-particular"
"""His role has no grant but the one under test."""


def grant(limits: str, condition: str = "", name: str = "limited", fields: str = "{phone: token}") -> str:
    return f"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: {name}}}
spec:
  match: {{actions: [lookup], keys: [customer_id, phone]}}
  roles: [nothing]
  purposes: [after_sales]
  {f"condition: {condition}" if condition else ""}
  fields: {fields}
  limits: {limits}
"""


def guard(limits: str) -> str:
    return f"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {{name: cap}}
spec:
  match: {{actions: [lookup]}}
  limits: {limits}
"""


def under(house: House, *documents: str) -> House:
    return house.with_policy({"limits.yaml": "\n---\n".join(documents).encode()})


def number(n: int) -> LookupAsk:
    return ask("phone", customer=f"C{n:05}")


NOBODY = ask("phone", customer="C99999")


async def said(house: House, *asks: LookupAsk, who: str = WHO) -> list[str]:
    """Return the primary reason of each answer, empty when it was let through."""
    replies = [await lookup(house.gate, caller(who), each, 2.0) for each in asks]
    return [reply.reasons[0].code if isinstance(reply, Refusal) else "" for reply in replies]


FULL = "LIMIT_EXCEEDED"


async def test_rows_of_an_hour_are_given_and_then_no_more_whoever_the_customer_is(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 2}"))
    assert await said(limited, number(1), number(1), number(1)) == ["", "", FULL]
    spy = Spy(house.gate.stores["crm"])
    blind = replace(limited, gate=replace(limited.gate, stores={"crm": spy}))
    replies = [await lookup(blind.gate, caller(WHO), each, 2.0) for each in (number(2), NOBODY)]
    reasons = [repr(each.reasons) for each in replies if isinstance(each, Refusal)]
    assert reasons == [reasons[0]] * 2
    assert spy.fields_asked == []  # refused before the customer was looked at
    house.hands.time += timedelta(minutes=62)
    assert await said(limited, number(1)) == [""]


async def test_what_the_policy_refuses_uses_up_no_rows(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 1}"))
    refused = [NOBODY, ask("phone", basis="consent"), ask("birthday"), ask("phone", purpose="marketing")]
    assert "" not in await said(limited, *refused)
    assert await said(limited, number(1), number(1)) == ["", FULL]


async def test_every_attempt_counts_also_one_that_finds_nobody(house: House) -> None:
    limited = under(house, grant("{lookups_per_minute: 3}"))
    assert await said(limited, NOBODY, ask("phone", basis="consent"), NOBODY) == [
        "CUSTOMER_NOT_FOUND", "CONSENT_MISSING", "CUSTOMER_NOT_FOUND",
    ]  # fmt: skip
    assert await said(limited, number(1), NOBODY) == [FULL, FULL]
    house.hands.time += timedelta(seconds=62)
    assert await said(limited, number(1)) == [""]


async def test_who_has_no_grant_never_learns_of_a_limit(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 1}"), guard("{rows_per_hour: 1}"))
    assert await said(limited, number(1), number(1)) == ["", FULL]
    assert await said(limited, number(1), NOBODY, who="administrator") == ["NO_GRANT", "NO_GRANT"]


async def test_distinct_customers_of_a_day_leave_the_door_open_to_those_who_were_counted(
    house: House,
) -> None:
    limited = under(house, grant("{distinct_customers_per_day: 2}"))
    asks = [number(n) for n in (1, 2, 1, 3, 2)]
    assert await said(limited, *asks, NOBODY) == ["", "", "", FULL, "", FULL]
    house.hands.time += timedelta(hours=14)  # past midnight in Shanghai, not in UTC
    assert await said(limited, number(3)) == [""]


async def test_one_whose_condition_reads_the_customer_says_the_same_for_all_when_it_is_used_up(
    house: House,
) -> None:
    mine = "principal.department == customer.owner_department"
    limited = under(house, grant("{rows_per_hour: 1}", condition=mine))
    codes = dict(zip(range(1, 30), await said(limited, *map(number, range(1, 30))), strict=True))
    assert list(codes.values()).count("") == 1
    assert {code for n, code in codes.items() if n > min(n for n, code in codes.items() if not code)} == {
        FULL
    }
    assert await said(limited, NOBODY) == [FULL]


async def test_the_lowest_guard_holds_for_all_grants_together(house: House) -> None:
    limited = under(
        house,
        grant("{rows_per_hour: 9}"),
        grant("{rows_per_hour: 9}", name="second", fields="{name: token}"),
        guard("{rows_per_hour: 3}"),
    )
    assert await said(limited, ask("phone"), ask("name"), ask("phone"), ask("name")) == ["", "", "", FULL]


async def test_when_one_grant_is_used_up_the_next_one_carries_on_with_its_own_step(house: House) -> None:
    limited = under(
        house,
        grant("{rows_per_hour: 1}"),
        grant("{rows_per_hour: 1}", name="second", fields='{phone: "keep(3,4)"}'),
    )
    assert await said(limited, number(1), number(1)) == ["", FULL]  # both were charged by the first


async def test_two_principals_do_not_share_a_limit(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 1}"))
    other = Principal("another", roles=frozenset({"nothing"}), department="east", training=State.VALID)
    await upsert_principal(house.gate, ADMIN, RequestContext(), other)
    assert await said(limited, number(1), number(1)) == ["", FULL]
    assert await said(limited, number(1), number(1), who="another") == ["", FULL]


async def test_a_repeated_request_id_is_no_way_around(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 2}"))
    same = ask("phone", request_id="r-1")
    assert await said(limited, same, same, same) == ["", "", FULL]


async def test_calls_at_the_same_time_get_what_the_limit_has_and_the_entries_say_why(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 5, lookups_per_minute: 12}"))
    replies = await asyncio.gather(
        *(lookup(limited.gate, caller(WHO), number(n), 2.0) for n in range(1, 31))
    )
    assert sum(isinstance(reply, LookupReply) for reply in replies) == 5
    entries = house.entries
    assert len(entries) == 30
    for entry in entries:
        used_up = entry.facts["limits.exhausted"]
        assert isinstance(used_up, tuple | list)
        assert list(used_up) == (["grant:limited"] if entry.reasons == (FULL,) else [])


@pytest.mark.parametrize(("count", "through"), [(3, 3), (4, 0)])
async def test_a_batch_is_counted_row_by_row_and_measured_whole(
    house: House, count: int, through: int
) -> None:
    limited = under(house, grant("{rows_per_request: 3, rows_per_hour: 5}"))
    customers = tuple(StoreKey("crm", f"C{n:05}") for n in range(1, count + 1))
    batch = BatchAsk(customers, "crm", number(1).context, ("phone",))

    async def through_of() -> int:
        reply = await batch_lookup(limited.gate, caller(WHO), batch, 2.0)
        return (
            sum(isinstance(each, LookupReply) for each in reply.answers)
            if isinstance(reply, BatchReply)
            else 0
        )

    assert await through_of() == through
    if through:
        assert await through_of() == 2  # the hour has no more


async def test_another_limit_of_a_reloaded_policy_holds_at_once(house: House) -> None:
    assert await said(under(house, grant("{rows_per_hour: 2}")), number(1), number(1)) == ["", ""]
    assert await said(under(house, grant("{rows_per_hour: 3}")), number(1), number(1)) == ["", FULL]
    assert await said(under(house, grant("{rows_per_hour: 1}")), number(1)) == [FULL]
    renamed = under(house, grant("{rows_per_hour: 1}", name="renamed"))
    assert await said(renamed, number(1), number(1)) == ["", FULL]  # another rule, another counter


async def test_what_was_reserved_stays_taken_when_the_log_fails(house: House) -> None:
    class Broken(RecordingLog):
        async def append(self, leaf: bytes) -> int:
            raise LogUnavailable("no disk")

    limited = under(house, grant("{rows_per_hour: 1}"))
    broken = replace(limited, gate=replace(limited.gate, log=Broken(house.gate.log)))
    with pytest.raises(LogUnavailable):
        await lookup(broken.gate, caller(WHO), number(1), 2.0)
    assert await said(limited, number(1)) == [FULL]


@pytest.mark.parametrize(
    "limits", ["{rows_per_hour: 9}", "{lookups_per_minute: 9}", "{distinct_customers_per_day: 9}"]
)
async def test_without_the_ledger_nothing_leaves(
    house: House, limits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reserve(reservation: Reservation) -> frozenset[Charge]:
        raise LedgerError("gone")

    limited = under(house, grant(limits))
    monkeypatch.setattr(house.ledger, "reserve", reserve)
    assert await said(limited, number(1)) == ["LEDGER_UNAVAILABLE"]


@pytest.mark.parametrize("ending", ["withdrawn", "opted out", "merged"])
async def test_what_is_said_while_a_limit_is_reserved_holds_for_the_look_up_that_waits(
    house: House, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a ledger that is slow to write would let a consent open after its withdrawal was acknowledged."""
    one, two = StoreKey("crm", "C00001"), StoreKey("crm", "C00002")
    desk = caller("consent-desk")
    await record_consent(house.gate, desk, RequestContext(), answer(house.gate, one))
    reserve, draft = house.ledger.reserve, answer(house.gate, one).draft

    async def slowly(reservation: Reservation) -> frozenset[Charge]:
        if reservation.charges and not closed:
            match ending:
                case "withdrawn":
                    closed.append(await withdraw_consent(house.gate, desk, one, RequestContext(), draft))
                case "opted out":
                    closed.append(
                        await add_suppression(house.gate, desk, RequestContext(), OptOut(one, EVERYTHING))
                    )
                case _:
                    await withdraw_consent(house.gate, desk, two, RequestContext(), draft)
                    context = RequestContext("", "record_correction", "legal_duty", "request-1")
                    officer = caller("privacy-officer")
                    closed.append(
                        await merge_customers(house.gate, officer, context, Merge(one, two, "form-1"))
                    )
        return await reserve(reservation)

    closed: list[object] = []
    monkeypatch.setattr(house.ledger, "reserve", slowly)
    asked = ask("phone", purpose="marketing", basis="consent", evidence="")
    expected = "CUSTOMER_OPTED_OUT" if ending == "opted out" else "CONSENT_WITHDRAWN"
    assert await said(house, asked, who="marketer") == [expected]
    assert not isinstance(closed[0], Refusal)
    assert house.entries[-1].effect == "DENY"


async def test_explaining_takes_nothing_and_says_what_is_used_up(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 1, lookups_per_minute: 3}"))

    async def outcomes() -> Sequence[str]:
        reply = await explain(limited.gate, caller("privacy-officer"), RequestContext(), number(1), WHO)
        assert isinstance(reply, ExplainReply)
        return [rule.outcome for rule in reply.explanation.rules if rule.name == "limited"]

    assert [await outcomes() for _ in range(5)] == [["matched"]] * 5
    assert await said(limited, number(1)) == [""]
    assert await outcomes() == ["limit used up"]
    assert await said(limited, number(1)) == [FULL]


SEQUENCE = """
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: no-sequence}
spec:
  match: {actions: [lookup]}
  validations: [{name: calm, expression: "usage.sequence == WITHIN && usage.volume == WITHIN"}]
"""


async def test_who_goes_through_the_numbers_is_noticed_whoever_answers(house: House) -> None:
    limited = under(house, grant("{rows_per_hour: 99}"), SEQUENCE)
    unknown = [ask("phone", customer=f"C9{n:04}") for n in range(21)]
    assert set(await said(limited, *unknown, number(1))) == {"CUSTOMER_NOT_FOUND", ""}
    await house.ledger._observer.catch_up()
    assert await said(limited, number(150)) == ["GUARD_REFUSED"]
    assert house.entries[-1].facts["usage.sequence"] == "EXCEEDED"
    house.hands.time += timedelta(minutes=62)
    assert await said(limited, number(150)) == [""]


async def test_without_a_rule_that_reads_it_nobody_is_watched(house: House) -> None:
    await said(under(house, grant("{rows_per_hour: 99}")), number(1), number(2))
    await house.ledger._observer.catch_up()
    habits = await house.ledger.habits(
        Look(principal=WHO, now=house.hands.now(), day=house.hands.now().date(), ref=StoreKey("crm", "C"))
    )
    assert (habits.hits, dict(habits.customers)) == (0, {})
