"""Differencing: two answers about groups, one with a customer in it and one without, do not differ by that customer.

What answers about groups here: searches by four digits, what is left of the asker's own limits, lists, metrics.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

import grpc
import pytest
from google.protobuf.message import Message

from abuse.methods import about
from abuse.target import (
    BATCH,
    LIST_PRINCIPALS,
    LOOKUP,
    MISSING,
    RECORD,
    SEARCH,
    SUPPRESSIONS,
    UPSERT,
    WITHDRAW,
    Target,
    ask,
    batch,
    by_id,
    consent,
    create_site,
    expect,
    hired,
    of_another_department,
    primary,
    running,
    search,
    with_a_day_before_it,
)
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1

SHOWN_AT_MOST, DECIDED_AT_MOST = 10, 50
ATTEMPTS, ROWS = 30, 4
COUNTED = f"""\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: counted}}
spec:
  match: {{actions: [lookup], keys: [phone_last_four, customer_id]}}
  roles: [counted]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department
  fields: {{phone: "keep(3,2)"}}
  limits: {{lookups_per_minute: {ATTEMPTS}, rows_per_request: {ROWS}, distinct_customers_per_day: 3}}
"""
GROUPS = {
    "8000": (SHOWN_AT_MOST, 0),
    "8001": (SHOWN_AT_MOST, 1),
    "8002": (SHOWN_AT_MOST, DECIDED_AT_MOST - SHOWN_AT_MOST),
    "8010": (ROWS, 0),
    "8011": (ROWS, 1),
    "8020": (0, 0),
    "8021": (0, 1),
    "8022": (0, SHOWN_AT_MOST + 1),
    "8030": (SHOWN_AT_MOST + 1, 0),
    "8031": (SHOWN_AT_MOST + 1, 1),
    "8040": (0, DECIDED_AT_MOST + 1),
}
"""By last four digits: how many customers of the searchers' own department have them, and how many of another's."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("groups") / "site")
    (site.root / "policies" / "counted.yaml").write_text(COUNTED, "utf-8")
    members = [
        (f"G{digits}-{number:02}", f"15{number:05}{digits}", "east" if number < own else "north", digits)
        for digits, (own, others) in GROUPS.items()
        for number in range(own + others)
    ]
    with closing(sqlite3.connect(site.root / "crm.db")) as store, store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(customer)")]
        (like,) = store.execute("SELECT * FROM customer WHERE minor = 0 LIMIT 1").fetchall()
        first = dict(zip(columns, like, strict=True))
        for id_, mobile, department, digits in members:
            row = first | {"id": id_, "mobile": mobile, "department": department, "last_four": digits}
            store.execute(f"INSERT INTO customer VALUES ({', '.join('?' * len(row))})", list(row.values()))
    with running(site) as started:
        yield started


def hire(target: Target, name: str) -> str:
    with_a_day_before_it()
    target.call("chief", UPSERT, hired(name, "counted"))
    return name


def found(target: Target, who: str, digits: str) -> Sequence[bytes]:
    """Return what is shown of each, without what is of this one call."""
    raw = target.call(who, SEARCH, search(digits, "phone"))
    reply = customer_v1.SearchCustomersResponse.FromString(raw)
    assert reply.decision.decision_id
    return [each.customer.SerializeToString() for each in reply.customers]


def refusal(target: Target, who: str, digits: str) -> str:
    return target.refused(who, SEARCH, search(digits, "phone")).reason


# Searches.


@pytest.mark.parametrize(
    ("without", "with_"), [("8000", "8001"), ("8000", "8002"), ("8020", "8021"), ("8020", "8022")]
)
def test_a_search_finds_as_many_with_and_without_those_who_may_not_be_seen(
    target: Target, without: str, with_: str
) -> None:
    """Also at the most that it shows, where one more of his own would make it too wide."""
    assert len(found(target, "searcher", without)) == GROUPS[without][0]
    assert [entry.effect for entry in target.new()] == ["ALLOW"] * (1 + GROUPS[without][0])
    assert len(found(target, "searcher", with_)) == GROUPS[with_][0] == GROUPS[without][0]
    told_of = Counter((entry.effect, primary(entry)) for entry in target.new())
    assert told_of == {("ALLOW", ""): 1 + GROUPS[with_][0], ("DENY", "NO_GRANT"): GROUPS[with_][1]}


def test_a_search_is_too_wide_by_his_own_customers_and_by_a_crowd_alone(target: Target) -> None:
    for digits in ("8030", "8031", "8040"):
        expect(
            target.refused("searcher", SEARCH, search(digits)),
            grpc.StatusCode.FAILED_PRECONDITION,
            "SEARCH_TOO_WIDE",
        )
        shown = [entry for entry in target.new() if entry.kind == "decision" and entry.effect == "ALLOW"]
        assert shown == []


def test_the_rows_of_one_call_count_whom_he_may_see_and_nobody_else(target: Target) -> None:
    who = hire(target, "row-counter")
    assert found(target, who, "8020") == found(target, who, "8022") == []
    assert len(found(target, hire(target, "row-counter-2"), "8010")) == 3  # as many as a day lets him see
    assert len(found(target, hire(target, "row-counter-3"), "8011")) == 3
    assert refusal(target, who, "8000") == refusal(target, who, "8001") == "LIMIT_EXCEEDED"


# What is left of his own limits.


def left(target: Target, who: str) -> int:
    """Return how many attempts are left to him; uses them up."""
    nobody = ask("phone", customer=by_id(MISSING))
    for count in range(ATTEMPTS + 1):
        if target.refused(who, LOOKUP, nobody).reason == "LIMIT_EXCEEDED":
            return count
    raise AssertionError("no limit")


def test_what_is_left_of_a_limit_does_not_tell_who_was_in_the_group(target: Target) -> None:
    """Searches and batches with somebody of others in them take as much as those in which he is nobody."""
    hidden = of_another_department(target)
    ways: dict[str, list[Message]] = {
        "a search": [search(digits, "phone") for digits in ("8020", "8021", "8022")],
        "a batch": [batch(by_id(each), by_id(MISSING)) for each in (MISSING, hidden, "G8021-00")],
    }
    for way, asked in ways.items():
        rest = []
        for number, request in enumerate(asked):
            who = hire(target, f"{way.split()[-1]}-{number}")
            for _ in range(3):
                target.call(who, SEARCH if "search" in way else BATCH, request)
            target.new()
            rest.append(left(target, who))
        assert len(set(rest)) == 1, (way, rest)
        assert rest[0] > 0


# Lists.


def test_the_list_of_principals_does_not_change_with_what_happens_to_customers(target: Target) -> None:
    def listed() -> bytes:
        raw = target.call("chief", LIST_PRINCIPALS, directory_v1.ListPrincipalsRequest(page_size=500))
        reply = directory_v1.ListPrincipalsResponse.FromString(raw)
        reply.ClearField("decision")
        return reply.SerializeToString()

    before = listed()
    target.call("desk", RECORD, consent(by_id("C00004")))
    target.call("desk", WITHDRAW, about(WITHDRAW, by_id("C00004")))
    target.lookup("agent", ask("phone"))
    assert before == listed()


def test_a_list_of_opt_outs_tells_nobody_who_has_none_from_nobody_at_all(target: Target) -> None:
    def listed(customer_id: str) -> bytes:
        request = consent_v1.ListSuppressionsRequest(customer=by_id(customer_id))
        reply = consent_v1.ListSuppressionsResponse.FromString(target.call("desk", SUPPRESSIONS, request))
        reply.ClearField("decision")
        return reply.SerializeToString()

    assert listed("C00002") == listed(of_another_department(target)) == listed(MISSING) == b""


# Metrics.


def counts(target: Target) -> dict[str, float]:
    """Return every number of the metrics that is a count of something, not a time."""
    counted = r"^(fujie_(?:decisions_total|stage_seconds_count|log_entries)(?:\{.*\})?) (\S+)$"
    found = re.findall(counted, target.server.metrics(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_metrics_before_and_after_a_call_without_a_grant_differ_alike_whoever_the_customer_is(
    target: Target,
) -> None:
    differences = []
    target.call("desk", RECORD, consent(by_id("C00006")))
    for name in ("C00002", "C00006", of_another_department(target), MISSING):
        before = counts(target)
        assert target.refused("nobody", LOOKUP, ask("phone", customer=by_id(name))).reason == "NO_GRANT"
        after = counts(target)
        differences.append({key: after[key] - before.get(key, 0) for key in after})
    assert all(each == differences[0] for each in differences)
    assert sum(differences[0].values())
