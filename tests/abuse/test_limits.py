"""Limits: who has used one up learns nothing of any customer by it, in whatever way he asks."""

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message

from abuse.target import (
    BATCH,
    LOOKUP,
    MISSING,
    SEARCH,
    SHOWN,
    UPSERT,
    WITHDRAW,
    Target,
    ask,
    batch,
    by_id,
    create_site,
    expect,
    hired,
    of_another_department,
    primary,
    row_of,
    running,
    search,
    seen_of,
    told,
    with_a_day_before_it,
)
from fujie.app.client import read_refusal
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import types_pb2 as types_v1

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

LIMITED = """\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: {role}}}
spec:
  match: {{actions: [lookup], keys: [customer_id, phone, phone_last_four]}}
  roles: [{role}]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department
  fields: {{phone: "keep(3,4)"}}
  limits: {{{limit}: {most}}}
"""

ROLES = {"hourly": ("rows_per_hour", 2), "daily": ("distinct_customers_per_day", 1)}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("limits") / "site")
    rules = [LIMITED.format(role=role, limit=limit, most=most) for role, (limit, most) in ROLES.items()]
    (site.root / "policies" / "limited.yaml").write_text("---\n".join(rules), "utf-8")
    with running(site) as started:
        yield started


@pytest.fixture
def spent(target: Target, request: pytest.FixtureRequest) -> str:
    """Somebody who has used up the limit of the role that the test names."""
    with_a_day_before_it()
    role = request.node.callspec.params["role"]
    who = f"{role}-{request.node.originalname}"
    target.call("chief", UPSERT, hired(who, role))
    for _ in range(ROLES[role][1]):
        assert target.lookup(who, ask("phone")).customer["phone"] == "138****1234"
    target.new()
    return who


def everybody(target: Target) -> list[types_v1.CustomerRef]:
    """His own that were not shown, of others, absent, withdrawn; by id and by number."""
    other = of_another_department(target)
    number = row_of(target.site, other)[2]
    withdrawn = by_id("C00011")
    target.call(
        "desk", WITHDRAW, consent_v1.WithdrawConsentRequest(customer=withdrawn, purpose="after_sales")
    )
    refs = [by_id(name) for name in ("C00002", "C00003", other, MISSING)]
    return [*refs, withdrawn, *(types_v1.CustomerRef(phone=each) for each in (number, "13900000000"))]


def answered(target: Target, who: str, method: str, request: Message) -> tuple[object, ...]:
    error = target.failure(who, method, request)
    expect(read_refusal(error), EXHAUSTED, "LIMIT_EXCEEDED")
    return seen_of(error, read_refusal(error).decision_id)


@pytest.mark.parametrize("role", ROLES)
def test_a_limit_that_is_used_up_is_told_in_the_same_bytes_whoever_the_customer_is(
    target: Target, spent: str, role: str
) -> None:
    refs = everybody(target)
    target.new()
    assert len({answered(target, spent, LOOKUP, ask("phone", customer=ref)) for ref in refs}) == 1
    found = target.new()
    assert [(entry.effect, primary(entry)) for entry in found] == [("DENY", "LIMIT_EXCEEDED")] * len(refs)
    # The log says which limit it was, though nobody else does.
    assert {str(entry.facts["limits.exhausted"]) for entry in found} == {str((f"grant:{role}",))}


@pytest.mark.parametrize("role", ROLES)
def test_a_batch_and_a_search_are_no_way_around_a_limit_and_tell_no_more(
    target: Target, spent: str, role: str
) -> None:
    refs = everybody(target)
    numbers = [row_of(target.site, name)[2] for name in ("C00002", of_another_department(target))]
    if role == "hourly":  # closed for whomever he asks: the whole call is refused, or every row of it is
        assert all(not shows(target, spent, [ref]) for ref in refs)
    assert not shows(target, spent, refs)
    for digits in (numbers[0][-4:], numbers[1][-4:], "0000"):
        try:
            raw = target.call(spent, SEARCH, search(digits, "phone"))
        except grpc.RpcError as error:
            expect(read_refusal(error), EXHAUSTED, "LIMIT_EXCEEDED")
        else:
            assert not customer_v1.SearchCustomersResponse.FromString(raw).customers


def shows(target: Target, who: str, refs: list[types_v1.CustomerRef]) -> bool:
    """Ask for all at once; every answer must be the same. Tell whether anybody was shown."""
    try:
        raw = target.call(who, BATCH, batch(*refs))
    except grpc.RpcError as error:
        expect(read_refusal(error), EXHAUSTED, "LIMIT_EXCEEDED")
        return False
    results = customer_v1.BatchLookupCustomersResponse.FromString(raw).results
    for result in results:
        result.index, result.decision.decision_id = 0, ""
    ((reasons, fields),) = {
        (tuple(reason.code for reason in result.reasons), tuple(result.customer.fields))
        for result in results
    }
    assert (reasons, fields) == (("LIMIT_EXCEEDED",), ())
    assert len({result.SerializeToString() for result in results}) == 1
    return bool(fields)


@pytest.mark.parametrize("role", ["daily"])
def test_who_was_counted_today_stays_open_and_nobody_else(target: Target, spent: str, role: str) -> None:
    for ref in (by_id(SHOWN), types_v1.CustomerRef(phone="13800131234")):
        assert target.lookup(spent, ask("phone", customer=ref)).customer["phone"] == "138****1234"
    answered(target, spent, LOOKUP, ask("phone", customer=by_id("C00002")))


@pytest.mark.parametrize("role", ROLES)
def test_nobody_is_let_in_by_another_spelling_of_his_own_name_or_by_asking_again(
    target: Target, spent: str, role: str
) -> None:
    for changed in (
        ask("phone", customer=by_id("C00002"), request_id="r-1"),
        ask("phone", customer=by_id("C00002"), request_id="r-2", ticket="T-1"),
        ask("phone", customer=by_id("C00002"), basis_evidence="order-8"),
    ):
        answered(target, spent, LOOKUP, changed)
    target.call("chief", UPSERT, hired(spent, role, "another-role"))  # a new record is the same principal
    answered(target, spent, LOOKUP, ask("phone", customer=by_id("C00002")))


def test_who_has_no_grant_is_never_told_of_a_limit(target: Target) -> None:
    assert len({told(target, "nobody", ask("phone", customer=ref)) for ref in everybody(target)}) == 1


def test_the_server_still_stands(target: Target) -> None:
    target.stands()
