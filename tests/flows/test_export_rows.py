"""Rows of an export, decided a batch at a time: what several share is never what only looks the same."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations, product
from typing import Any

import pytest

from fujie.audit.entry import EntryKind
from fujie.decision.decide import decide
from fujie.decision.facts import Raw, with_customer
from fujie.decision.filter_text import parse_filter
from fujie.decision.mask import mask
from fujie.flows.export_rows import Matter, judge_rows, matter_of, shown_rows
from fujie.flows.export_start import request_of
from fujie.flows.gate import open_case
from fujie.model.consent import ConsentEventType
from fujie.model.customer import Phone, StoreKey
from fujie.model.record import Fetched, FieldTreatment, SealedRecord, open_for_masking
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import Effect
from support.exports import LARGE, ME, POLICY, exported, lists, wanting
from support.house import House
from support.identities import consent_event, opt_out

# Equal in twos and threes, of other types, and one that no dictionary takes.
_COLUMNS: tuple[Any, ...] = (False, 0, 0.0, "0", True, 1, 1.0, None, [1])


def _row(number: int, minor: object) -> Fetched:
    columns = {"minor": minor, "owner_department": "east"}
    return Fetched(StoreKey("crm", f"X{number}"), SealedRecord({}), columns)


async def _matter(house: House) -> Matter:
    asked = wanting()
    case = open_case(house.gate, ME, asked.context, request_of(house.gate, asked))
    principal = await house.gate.directory.get(case.asker)
    assert principal is not None
    matter = await matter_of(case, principal)
    assert isinstance(matter, Matter)
    return matter


async def test_columns_that_are_equal_and_not_the_same_are_judged_apart(house: House) -> None:
    house = lists(house)
    rows = [_row(number, minor) for number, minor in enumerate(_COLUMNS)]
    alone = []
    for row in rows:
        (judged,) = await judge_rows(await _matter(house), [row])
        alone.append(judged)
    assert {each.facts.get("customer.minor") for each in alone} >= {True, False}
    for order in (*permutations(range(4)), tuple(range(9)), tuple(reversed(range(9)))):
        together = await judge_rows(await _matter(house), [rows[n] for n in order])
        for n, judged in zip(order, together, strict=True):
            assert judged.facts.get("customer.minor") == alone[n].facts.get("customer.minor")
            assert judged.decision == alone[n].decision


_SAYS = ("", "given", "withdrawn", "no", "no marketing", "number", "unknown")
_NAMES = ("王小明", "A B", "", None, 7)


async def _people(house: House) -> list[Fetched]:
    """Return rows of every kind of customer: what they said under which alias, their columns, the shape of their fields."""
    rows, now = [], house.hands.now()
    for n, (says, minor, east) in enumerate(product(_SAYS, (False, True, 0, None, "x"), (True, False))):
        key, phone = StoreKey("crm", f"X{n}"), Phone(f"+86139{n:08}")
        fields = {
            "customer_no": f"X{n}",
            "gender": "FM"[n % 2],
            "name": _NAMES[n % 5],
            "phone": f"139{n:08}",
        }
        department = "east" if east else "west"
        rows.append(
            Fetched(key, SealedRecord(fields), {"minor": minor, "owner_department": department}, phone.e164)
        )
        if says != "unknown":
            sid = (await house.ledger.enrol((key, phone), now)).sid
            if says == "number":
                sid = (await house.ledger.number(phone, now)).sid
                await house.ledger.add_suppression(opt_out(sid, now), "", "")
            elif says in ("given", "withdrawn"):
                kind = ConsentEventType(says)
                event = consent_event(sid, kind, now - timedelta(days=1), now)
                await house.ledger.record_consent(replace(event, purpose="after_sales"), "", "")
            elif says.startswith("no"):
                scope = SuppressionScope(says.removeprefix("no").strip())
                await house.ledger.add_suppression(opt_out(sid, now, scope), "", "")
    return rows


@pytest.mark.parametrize("filter_", ["", "gender = F"])
async def test_rows_together_are_decided_and_shown_as_each_is_by_the_slow_way(
    house: House, filter_: str
) -> None:
    house = lists(house)
    rows = await _people(house)
    matter = await _matter(house)
    case, plan = matter.case, matter.plan
    wanted = parse_filter(filter_, plan.bundle.fields)
    effects = set()
    for order in (rows, rows[::-1]):
        judged = await judge_rows(matter, order)
        shown = await shown_rows(matter, judged, wanted)
        for row, each, cells in zip(order, judged, shown, strict=True):
            told = (
                await house.ledger.outbox.survey(
                    "crm",
                    [(row.key.customer_id, row.phone)],
                    case.request.purpose,
                    case.now,
                    enrol=False,
                    sent=False,
                )
            ).recalled(0)
            raw = Raw(matter.principal, told.events, told.identity.sid, row.attributes, told.suppressions)
            facts = with_customer(plan.bundle, case.request, matter.asker, raw, case.now)
            decision = decide(plan, case.request, facts)
            assert (each.row, each.sid, each.facts, each.decision) == (
                row,
                told.identity.sid,
                facts,
                decision,
            )
            effects.add((decision.effect, decision.primary))
            if decision.effect is not Effect.ALLOW or (
                filter_ and open_for_masking(row.record)["gender"] != "F"
            ):
                assert cells is None
            elif each.sid or filter_:
                fields = plan.bundle.fields
                treatments = {
                    name: FieldTreatment(outcome.step, fields[name].data_class)
                    for name, outcome in decision.fields.items()
                }
                alone = mask(row.record, treatments, house.gate.tokeniser.of(each.sid))
                assert cells == tuple(alone[name] for name in case.request.fields)
            else:
                assert cells == (), "nobody sees him before he is enrolled, and judged again"
    assert len(effects) >= 5, "not every kind of decision was made"


async def test_each_entry_says_of_everybody_it_names_how_his_own_fields_left(house: House) -> None:
    """Also where a fact that no entry shows open (a minor) is all that differs: the shipped guard masks more of his."""
    at = lists(house, POLICY.replace(b"customer.minor", b"false"), LARGE)
    context = replace(wanting().context, ticket="T-1")
    came = await exported(at.gate, wanting(context=context))
    said = {
        sid: entry.fields for entry in at.entries if entry.kind == EntryKind.RELEASE for sid in entry.sids
    }
    whole = set()
    for row in came.rows:
        identity = await at.ledger.find([StoreKey("crm", row["customer_no"])])
        assert identity is not None
        is_whole = "*" not in row["name"]
        assert said[identity.sid]["name"] == ("reveal" if is_whole else "keep(1,0)")
        whole.add(is_whole)
    assert whole == {True, False}
    assert len(said) == len(came.rows)
