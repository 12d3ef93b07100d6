"""Differencing of exports: no sequence of them tells who was left out, where he stands, or how many they are.

Stores that differ only by customers whom the asker may not list must answer alike, whatever is asked one after the other:
with filters that overlap, with one row more each time, chunk by chunk, gone on with, at the end of a limit, to approvers.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import grpc
import pytest

from abuse.target import (
    APPROVALS,
    EXPORT,
    GET_APPROVAL,
    UPSERT,
    Target,
    ask,
    create_site,
    expect,
    hired,
    running,
)
from fujie.app.client import RefusalDetail, read_refusal
from fujie.model.export import CHUNK
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1

LIMIT, FILE = 30, 2_000
POLICY = f"""\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: listers}}
spec:
  match: {{actions: [export], keys: [customer_id]}}
  roles: [lister, limited]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department
  fields: {{customer_no: reveal, name: reveal, gender: reveal, phone: "keep(3,4)"}}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {{name: nobody-under-age}}
spec:
  match: {{actions: [export]}}
  validations: [{{name: adult, expression: "!customer.minor"}}]
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {{name: thirty-a-month}}
spec:
  match: {{actions: [export]}}
  matchConditions: [{{name: limited, expression: "'limited' in principal.roles"}}]
  limits: {{distinct_customers_per_month: {LIMIT}}}
---
apiVersion: fujie.dev/v1
kind: Params
metadata: {{name: listers}}
spec:
  guards:
    exports-need-four-eyes: {{one_approval_from: 2001, two_approvals_from: 2500, never_from: 10000}}
    exports-by-one-add-up: {{one_approval_from: 1}}
    exports-by-two-add-up: {{two_approvals_from: 1}}
    exports-that-stand-out: {{one_approval_from: 1}}
"""
ADULTS, FEW, MINORS = CHUNK + 20, 60, 700
STORES = {"full": MINORS, "lean": 0, "thirteen": 13, "seventeen": 17, "three": 3}
"""How many customers of each store may be on no list; the others are the same in all of a size."""
LARGE = ("full", "lean")

FILTERS = (
    "", 'gender = "F"', 'NOT gender = "F"', 'gender = "F" OR gender = "M"', 'customer_no > "L00300"',
    'customer_no > "L00300" AND gender = "M"', 'name:*', 'name = "nobody"', 'customer_no = "L00301"',
)  # fmt: skip


class Came(NamedTuple):
    """What an export answered, without what is of this one call: chunks as they came, and the end."""

    parts: tuple[tuple[int, int, bytes], ...]
    rows: int
    withheld: dict[str, int]
    tokens: tuple[str, ...]
    refusal: RefusalDetail | None

    @property
    def seen(self) -> tuple[object, ...]:
        return (
            self.parts,
            self.rows,
            self.withheld,
            self.refusal and (self.refusal.code, self.refusal.reason),
        )


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("lists") / "site")
    (site.root / "policies" / "listers.yaml").write_text(POLICY, "utf-8")
    stores = site.values["stores"]
    for name, minors in STORES.items():
        path = site.root / f"{name}.db"
        path.write_bytes((site.root / "crm.db").read_bytes())
        fill(path, ADULTS if name in LARGE else FEW, minors)
        stores[name] = {**stores["crm"], "url": f"sqlite:///{path}"}
    site.write()
    with running(site) as started:
        for who, role in (
            ("lister", "lister"),
            ("other", "lister"),
            ("limited", "limited"),
            ("spent", "limited"),
        ):
            started.call("chief", UPSERT, hired(who, role))
        yield started


def fill(path: Any, grown: int, minors: int) -> None:
    """Fill a store with adults, and with minors in the gaps between them, from the first one on."""
    with closing(sqlite3.connect(path)) as store, store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(customer)")]
        first = dict(zip(columns, store.execute("SELECT * FROM customer LIMIT 1").fetchone(), strict=True))
        store.execute("DELETE FROM customer")
        adults = [(f"L{n:05}", 0, n) for n in range(grown)]
        young = [(f"L{n % grown:05}-{n // grown}", 1, grown + n) for n in range(minors)]
        for id_, minor, n in (*adults, *young):
            row = first | {
                "id": id_, "minor": minor, "department": "east", "mobile": f"138{n:08}",
                "gender": "F" if n % 2 else "M", "last_four": f"{n:04}"[-4:],
            }  # fmt: skip
            store.execute(f"INSERT INTO customer VALUES ({', '.join('?' * len(row))})", list(row.values()))


def export(
    target: Target, store: str, filter_: str = "", who: str = "lister", rows: int = FILE, **more: Any
) -> Came:
    asked = ask("customer_no", "name", "gender", "phone")
    request = customer_v1.ExportCustomersRequest(
        store=store, filter=filter_, context=asked.context, read_mask=asked.read_mask, max_rows=rows,
        format=customer_v1.EXPORT_FORMAT_JSON_LINES, **more,
    )  # fmt: skip
    stub: Any = target.channel.unary_stream(EXPORT)
    parts: list[tuple[int, int, bytes]] = []
    tokens: list[str] = []
    tail, refusal = customer_v1.ExportTrailer(), None
    try:
        for raw in stub(request.SerializeToString(), metadata=target.bearer(who), timeout=30):
            answer = customer_v1.ExportCustomersResponse.FromString(raw)
            if answer.HasField("chunk"):
                chunk = answer.chunk
                parts.append((chunk.number, chunk.rows, chunk.data))
                tokens.append(chunk.resume_token)
            elif answer.HasField("trailer"):
                tail = answer.trailer
    except grpc.RpcError as error:
        refusal = read_refusal(error)
    return Came(
        tuple(parts), tail.rows, {each.reason: each.rows for each in tail.withheld}, tuple(tokens), refusal
    )


@pytest.mark.parametrize("filter_", FILTERS)
def test_every_chunk_is_alike_with_and_without_those_who_may_not_be_listed(
    target: Target, filter_: str
) -> None:
    """Their numbers, their sizes, their bytes: 700 more or less of whom nobody leaves."""
    full, lean = export(target, "full", filter_), export(target, "lean", filter_)
    assert full.refusal is None
    assert full.parts == lean.parts
    assert [rows for _, rows, _ in full.parts[:-1]] == [CHUNK] * (len(full.parts) - 1)
    assert {len(token) for token in full.tokens} == {len(token) for token in lean.tokens}
    if filter_:
        assert full.withheld == lean.withheld == {}


def test_one_row_more_each_time_tells_of_nobody_between_two_rows(target: Target) -> None:
    """A sum of those who were refused, taken at two places, would say how many stand between them, and in the end who."""
    for rows in (1, 2, 3, 40, 41, CHUNK - 1, CHUNK, CHUNK + 1, ADULTS - 1):
        full, lean = export(target, "full", rows=rows), export(target, "lean", rows=rows)
        assert full.rows == rows
        assert full.seen == lean.seen


def test_counts_of_the_refused_are_rounded_and_small_ones_are_not_told(target: Target) -> None:
    assert list(export(target, "thirteen").withheld.values()) == [10]
    assert list(export(target, "seventeen").withheld.values()) == [10]
    assert list(export(target, "three").withheld.values()) == [0]
    assert list(export(target, "full").withheld.values()) == [MINORS]
    assert export(target, "lean").withheld == {}


def test_what_went_on_behind_a_chunk_tells_no_more(target: Target) -> None:
    full, lean = export(target, "full"), export(target, "lean")
    rest = [
        export(target, store, resume_token=came.tokens[0])
        for store, came in (("full", full), ("lean", lean))
    ]
    assert rest[0].seen == rest[1].seen
    assert rest[0].withheld == {}, "of a part of the store no count is told"
    assert rest[0].parts[0][1:] == full.parts[1][1:]


@pytest.mark.parametrize(
    "changes",
    [
        {"who": "other"},
        {"store": "lean"},
        {"filter_": 'customer_no > "L00300"'},
        {"rows": FILE - 1},
        {"strict": True},
        {"resume_token": ""},
    ],
    ids=["another-asker", "another-store", "another-filter", "one-row-less", "strict", "forged"],
)
def test_a_token_goes_on_with_its_own_request_alone(target: Target, changes: dict[str, Any]) -> None:
    """Else a filter could be changed in the middle, and the rest of one list be held against another."""
    token = export(target, "full").tokens[0]
    asked: dict[str, Any] = {"store": "full", "resume_token": token, **changes}
    if not asked["resume_token"]:
        asked["resume_token"] = token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB")
    came = export(target, asked.pop("store"), **asked)
    assert came.refusal is not None
    expect(came.refusal, grpc.StatusCode.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID")
    assert came.parts == ()


def test_a_limit_takes_as_much_whoever_was_left_out_and_then_answers_no_filter(target: Target) -> None:
    """Who has used it up can not go on asking whether anybody passes: the end would tell, and cost nothing."""
    for who, store in (("limited", "full"), ("spent", "lean")):
        assert export(target, store, who=who, rows=LIMIT - 5).rows == LIMIT - 5
        came = export(target, store, 'customer_no > "L00100"', who=who)
        assert sum(rows for _, rows, _ in came.parts) == 5
        assert came.refusal is not None
        expect(came.refusal, grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    answers = [export(target, store, each, who="limited").seen for each in FILTERS for store in STORES]
    assert len(answers) == len(FILTERS) * len(STORES)
    assert all(
        each == ((), 0, {}, (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")) for each in answers
    )


def test_approvers_are_told_one_of_the_two_tens_around_each_number_of_both_stores(target: Target) -> None:
    found: list[tuple[str, Any]] = []
    for store in ("full", "lean"):
        for filter_ in ('customer_no < "L00303"', 'customer_no < "L00304"', 'customer_no < "L00005"'):
            came = export(target, store, filter_, rows=FILE + 1)
            assert came.refusal is not None
            assert came.refusal.code is grpc.StatusCode.FAILED_PRECONDITION
            listed = approval_v1.ListApprovalsResponse.FromString(
                target.call("compliance", APPROVALS, approval_v1.ListApprovalsRequest())
            )
            (name,) = {each.name for each in listed.approvals} - {name for name, _ in found}
            asked = approval_v1.GetApprovalRequest(name=name, with_preview=True)
            reply = approval_v1.GetApprovalResponse.FromString(
                target.call("compliance", GET_APPROVAL, asked)
            )
            found.append((name, reply.preview.found))
    told = [each for _, each in found]
    for each, rows in zip(told, (303, 304, 5) * 2, strict=True):
        of_consents = [consent.rows for consent in each.consents]
        assert {each.rows, sum(of_consents)} <= {rows // 10 * 10, rows // 10 * 10 + 10}
        assert of_consents.count(0) >= len(of_consents) - 1  # all of one state
    assert not any(each.partial for each in told)


def test_nobody_is_told_anything_of_a_store_in_which_he_may_list_nobody(target: Target) -> None:
    answers = [export(target, store, each, who="nobody").seen for store in STORES for each in FILTERS]
    assert all(each == ((), 0, {}, (grpc.StatusCode.PERMISSION_DENIED, "NO_GRANT")) for each in answers)
