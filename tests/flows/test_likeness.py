"""What like entries share is made once, and never tells of one asker, request or place what is true of another."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.canon import canonical
from fujie.flows import evidence, likeness
from fujie.flows.lookup import lookup
from fujie.flows.reply import LookupReply
from support.house import House, ask, caller


async def test_like_look_ups_differ_in_what_is_their_own_alone(house: House) -> None:
    asked = ask("name", "phone")
    for _ in range(2):
        assert isinstance(await lookup(house.gate, caller("support-agent"), asked, 2.0), LookupReply)
    first, second = house.entries[-2:]
    assert replace(first, uid="", time="", decision_id="", sealed={}) == replace(
        second, uid="", time="", decision_id="", sealed={}
    )
    assert (first.uid, first.decision_id) != (second.uid, second.decision_id)


@pytest.mark.parametrize("most", [1, 1024])
async def test_every_entry_tells_its_own_asker_request_and_way(
    house: House, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "_MOST", most)
    agent = caller("support-agent")
    asks = [
        ask("phone"),
        ask("name"),
        replace(ask("phone"), strict=True),
        replace(ask("phone"), store="no-such-store"),
    ]
    ways = [agent, replace(agent, workload="spiffe://example.com/crm"), caller("marketer")]
    for _ in range(2):
        for asked in asks:
            for way in ways:
                await lookup(house.gate, way, asked, 2.0)
                entry = house.entries[-1]
                assert entry.principal == way.subject
                assert entry.facts.get("caller.workload", "") == way.workload
                known = "crm" if asked.store == "crm" else likeness.UNKNOWN
                assert entry.store == known
                said: dict[str, Any] = {
                    "action": "lookup", "purpose": "after_sales", "basis": "contract", "store": known, "key": "customer_id",
                    "fields": list(asked.fields), "strict": asked.strict, "basis_evidence": True,
                    "ticket": bool(asked.context.ticket), "prompt": False, "principal": way.subject, "on_behalf_of": "",
                    "sids": list(entry.sids),
                }  # fmt: skip
                assert entry.request_digest == hashlib.sha256(rfc8785.dumps(said)).hexdigest()
    assert len(likeness._KEPT) <= most


ODD = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
) | st.sampled_from(["sid_0", 'a"b', "a\\", "\x7f", "é", "ａ", "٣", "a-b", ""])


@given(st.lists(ODD, max_size=3).map(tuple))
def test_sids_are_written_as_the_canonical_form_has_them(sids: tuple[str, ...]) -> None:
    assert likeness._named(sids) == canonical({"sids": sids})[1:-1]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2254, 12, 31)))  # noqa: DTZ001 - in UTC below
def test_a_moment_is_written_to_its_microsecond(moment: datetime) -> None:
    for now in (moment.replace(tzinfo=UTC), moment.replace(tzinfo=UTC) + timedelta(microseconds=1)):
        assert evidence._written(now) == now.isoformat(timespec="microseconds").replace("+00:00", "Z")
