"""Elevation: no text becomes code, nobody makes himself more, and no policy file breaks the gate."""

import itertools
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import grpc
import pytest

from abuse.methods import MAY, METHODS
from abuse.target import (
    BATCH,
    GET_PRINCIPAL,
    LIST_PRINCIPALS,
    LOOKUP,
    MERGE,
    OFFBOARD,
    RECORD,
    SHOWN,
    SPLIT,
    STAFF,
    SUPPRESSIONS,
    UPSERT,
    Target,
    ask,
    batch,
    by_id,
    consent,
    create_site,
    expect,
    hired,
    marketing,
    merge,
    row_of,
    running,
    split,
)
from e2e.server import ADMIN, Site
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1
from support.answers import WIRE_FREE

DENIED, INVALID = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND, PRECONDITION = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION

SQL = (
    "' OR '1'='1",
    "C00001' --",
    "C0000%",
    "C0000_",
    "'; DROP TABLE customer; --",
    "x' UNION SELECT * FROM customer --",
    '" OR ""="',
    "C00001\\",
    "$.id",
    "c00001",
)


@pytest.mark.parametrize("text", SQL)
def test_an_id_is_only_a_value(target: Target, text: str) -> None:
    """With a ticket the agent may see everybody: what is not found was looked for, and is no customer."""
    detail = target.refused("agent", LOOKUP, ask("phone", customer=by_id(text), ticket="T-1"))
    expect(detail, NOT_FOUND, "CUSTOMER_NOT_FOUND")
    target.new_one("DENY", "CUSTOMER_NOT_FOUND", "agent")
    assert row_of(target.site)


@pytest.mark.parametrize("text", ["C00001 ", " C00001", "C00001\u3000"])
def test_an_id_with_blanks_around_it_names_nobody(target: Target, text: str) -> None:
    """Databases compare such ids as equal; each would be a customer of its own in the ledger."""
    expect(
        target.refused("agent", LOOKUP, ask("phone", customer=by_id(text), ticket="T-1")),
        INVALID,
        "ARGUMENT_INVALID",
    )
    target.new_one("DENY", "ARGUMENT_INVALID", "agent")


@pytest.mark.parametrize("text", SQL)
def test_a_purpose_a_basis_and_a_store_are_only_names(target: Target, text: str) -> None:
    purpose = target.refused("agent", LOOKUP, ask("phone", purpose=text, ticket="T-1"))
    expect(purpose, INVALID, "UNKNOWN_PURPOSE")
    expect(target.refused("agent", LOOKUP, ask("phone", basis=text)), DENIED, "BASIS_NOT_ACCEPTED")
    store = target.refused("agent", LOOKUP, ask("phone", customer=by_id(SHOWN, text), ticket="T-1"))
    expect(store, INVALID, "UNKNOWN_STORE")
    assert [entry.effect for entry in target.new()] == ["DENY"] * 3


@pytest.mark.parametrize(
    "field",
    ["*", "phone, id_card", "phone AS name", "customer.phone", "phone--", '"phone"', "mobile", "id", "rowid", "Phone", "phоne"],
)  # fmt: skip
def test_a_field_is_only_a_name_of_the_catalogue(target: Target, field: str) -> None:
    detail = target.refused("agent", LOOKUP, ask("name", field, ticket="T-1"))
    assert detail.code is INVALID
    assert detail.reason in {"ARGUMENT_INVALID", "FIELDS_UNBOUNDED", "UNKNOWN_FIELD"}
    target.new_one("DENY", detail.reason, "agent")


@pytest.mark.parametrize("name", ["kind", "employment", "training"])
@pytest.mark.parametrize("number", [0, 4, 99, -1])
def test_an_unknown_enum_number_is_refused(target: Target, name: str, number: int) -> None:
    request = hired("somebody", "support")
    setattr(request.principal, name, number)
    expect(target.refused("chief", UPSERT, request), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", "chief")
    gone = target.refused("chief", GET_PRINCIPAL, directory_v1.GetPrincipalRequest(id="somebody"))
    expect(gone, NOT_FOUND, "PRINCIPAL_NOT_FOUND")


@pytest.mark.parametrize("number", [0, 4, 5, 99])
def test_a_consent_of_an_unknown_type_is_not_recorded(target: Target, number: int) -> None:
    request = consent(by_id("C00007"))
    request.consent.type = number  # type: ignore[assignment]  # that is the attack
    expect(target.refused("desk", RECORD, request), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", "desk")


UNKNOWN_FIELD = b"\xd2\x85\xd8\xcc\x04\x05admin"
"""Field 1234567890 with the text `admin`."""


@pytest.mark.parametrize("method", METHODS)
def test_a_field_that_this_build_does_not_know_is_refused(target: Target, method: str) -> None:
    """A newer client may mean a restriction by it: to ignore it would open more than was asked."""
    who, message = METHODS[method]
    raw = message.SerializeToString() + UNKNOWN_FIELD
    expect(target.refused(who, method, raw), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", who)


@pytest.mark.parametrize("who", STAFF)
def test_nobody_calls_what_his_role_does_not_open(target: Target, who: str) -> None:
    for method in METHODS.keys() - MAY[who]:
        target.new()
        expect(target.refused(who, method, METHODS[method][1]), DENIED, "NO_GRANT")
        target.new_one("DENY", "NO_GRANT", who)


@pytest.mark.parametrize("text", SQL)
def test_in_batches_corrections_and_lists_a_text_is_only_a_value(target: Target, text: str) -> None:
    raw = target.call("agent", BATCH, batch(by_id(SHOWN), by_id(text), ticket="T-1"))
    first, second = customer_v1.BatchLookupCustomersResponse.FromString(raw).results
    assert dict(first.customer) == {"phone": "138****1234"}
    assert [reason.code for reason in second.reasons] == ["CUSTOMER_NOT_FOUND"]
    for request in (merge(by_id(text), by_id(SHOWN)), merge(by_id(SHOWN), by_id(text))):
        expect(target.refused("officer", MERGE, request), NOT_FOUND, "CUSTOMER_NOT_FOUND")
    expect(target.refused("officer", SPLIT, split(text)), NOT_FOUND, "CUSTOMER_NOT_FOUND")
    lists = directory_v1.ListPrincipalsRequest
    for narrowed in (lists(role=text), lists(department=text)):
        listed = target.call("chief", LIST_PRINCIPALS, narrowed)
        assert not directory_v1.ListPrincipalsResponse.FromString(listed).principals
    opt_outs = consent_v1.ListSuppressionsRequest
    for closed in (opt_outs(purpose=text), opt_outs(channel=text)):
        detail = target.refused("desk", SUPPRESSIONS, closed)
        assert (detail.code, detail.reason) in {(INVALID, "UNKNOWN_PURPOSE"), (INVALID, "ARGUMENT_INVALID")}
    assert row_of(target.site)


@pytest.mark.parametrize("number", [4, 99, -1])
def test_a_list_narrowed_by_an_unknown_enum_number_is_refused(target: Target, number: int) -> None:
    for name in ("employment", "kind"):
        request = directory_v1.ListPrincipalsRequest()
        setattr(request, name, number)
        expect(target.refused("chief", LIST_PRINCIPALS, request), INVALID, "ARGUMENT_INVALID")
        target.new_one("DENY", "ARGUMENT_INVALID", "chief")


@pytest.mark.parametrize("number", [0, 4, 5, 99])
def test_a_prompt_takes_no_answer_but_yes_or_no(target: Target, number: int) -> None:
    detail = target.refused("marketer", LOOKUP, marketing("phone", customer="C00013")).detail
    assert detail
    request = consent_v1.RecordConsentRequest(prompt=detail.prompt.token, capture=WIRE_FREE)
    request.consent.type = number  # type: ignore[assignment]  # that is the attack
    expect(target.refused("marketer", RECORD, request), INVALID, "ARGUMENT_INVALID")


def test_of_a_field_that_is_sent_twice_only_the_last_counts_for_decision_and_entry_alike(
    target: Target,
) -> None:
    honest = ask("phone", purpose="after_sales").SerializeToString()
    again = customer_v1.LookupCustomerRequest(context=types_v1.RequestContext(purpose="marketing"))
    twice = honest + again.SerializeToString()
    expect(target.refused("agent", LOOKUP, twice), DENIED, "NO_GRANT")
    assert target.new_one("DENY", "NO_GRANT", "agent").purpose == "marketing"


def stored(target: Target, name: str) -> directory_v1.Principal:
    raw = target.call("chief", GET_PRINCIPAL, directory_v1.GetPrincipalRequest(id=name))
    target.new()
    return directory_v1.GetPrincipalResponse.FromString(raw).principal


def test_an_administrator_gives_himself_no_role(target: Target) -> None:
    before = stored(target, "chief")
    promoted = hired("chief", "administrator", "support", "privacy_officer")
    expect(target.refused("chief", UPSERT, promoted), DENIED, "SELF_PROMOTION")
    target.new_one("DENY", "SELF_PROMOTION", "chief")
    assert stored(target, "chief") == before
    expect(target.refused("chief", LOOKUP, ask("phone")), DENIED, "NO_GRANT")


@pytest.mark.parametrize("name", ["customer:page", "provider:aliyun", "Provider:x"])
def test_no_administrator_makes_a_principal_that_acts_as_a_customer(target: Target, name: str) -> None:
    expect(target.refused("chief", UPSERT, hired(name, "consent_desk")), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", "chief")
    missing = target.refused("chief", GET_PRINCIPAL, directory_v1.GetPrincipalRequest(id=name))
    assert missing.reason == "PRINCIPAL_NOT_FOUND"
    target.new()


@pytest.mark.parametrize("who", [name for name in STAFF if name != "chief"])
@pytest.mark.parametrize("whom", ["self", "colleague", "new"])
def test_nobody_else_writes_the_directory(target: Target, who: str, whom: str) -> None:
    name = {"self": who, "colleague": "chief", "new": "puppet"}[whom]
    for method, request in (
        (UPSERT, hired(name, "administrator")),
        (OFFBOARD, directory_v1.OffboardPrincipalRequest(id=name)),
    ):
        expect(target.refused(who, method, request), DENIED, "NO_GRANT")
        target.new_one("DENY", "NO_GRANT", who)


@pytest.mark.parametrize("whom", [ADMIN, "puppet", "chief"])
def test_the_bootstrap_administrator_is_void_as_soon_as_there_is_one(target: Target, whom: str) -> None:
    expect(target.refused(ADMIN, UPSERT, hired(whom, "administrator")), DENIED, "PRINCIPAL_UNKNOWN")
    target.new_one("DENY", "PRINCIPAL_UNKNOWN", ADMIN)
    expect(target.refused(ADMIN, LOOKUP, ask("phone")), DENIED, "PRINCIPAL_UNKNOWN")


def test_the_bootstrap_administrator_can_not_register_himself_and_sees_no_customer(tmp_path: Path) -> None:
    site = create_site(tmp_path / "site")
    site.starts = 1  # nobody is hired
    with running(site) as target:
        expect(target.refused(ADMIN, UPSERT, hired(ADMIN, "administrator")), DENIED, "SELF_PROMOTION")
        target.new_one("DENY", "SELF_PROMOTION", ADMIN)
        expect(target.refused(ADMIN, LOOKUP, ask("phone")), DENIED, "NO_GRANT")
        target.call(ADMIN, UPSERT, hired("first", "administrator"))
        expect(target.refused(ADMIN, UPSERT, hired("second", "administrator")), DENIED, "PRINCIPAL_UNKNOWN")


def test_offboarding_holds_for_the_very_next_call_and_for_every_connection(target: Target) -> None:
    target.call("chief", UPSERT, hired("leaver", "support"))
    other = target.stubs("leaver")
    with other.channel:
        other.customers.LookupCustomer(ask("phone"), timeout=30)
        target.lookup("leaver", ask("phone"))
        target.call("chief", OFFBOARD, directory_v1.OffboardPrincipalRequest(id="leaver"))
        target.new()
        expect(target.refused("leaver", LOOKUP, ask("phone")), DENIED, "PRINCIPAL_OFFBOARDED")
        target.new_one("DENY", "PRINCIPAL_OFFBOARDED", "leaver")
        with pytest.raises(grpc.RpcError):
            other.customers.LookupCustomer(ask("phone"), timeout=30)
        target.new_one("DENY", "PRINCIPAL_OFFBOARDED", "leaver")


class Load:
    """Threads that look up all the time, and what each call came to: the bundle, and what it showed or the reason."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]
        self.answers: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            call = self._target.begin(LOOKUP, ask("phone"), self._target.bearer("agent"))
            if call.exception() is None:
                reply = customer_v1.LookupCustomerResponse.FromString(call.result())
                shown = reply.customer["phone"]
                assert isinstance(shown, str)
                self.answers.append((reply.decision.bundle, shown))
            else:
                self.answers.append((str(call.exception()), "failed"))

    def wait(self, more: int) -> None:
        """Wait until so many further calls were answered, so that each thread asked anew."""
        until, least = time.monotonic() + 120, len(self.answers) + more
        while len(self.answers) < least:
            assert time.monotonic() < until
            time.sleep(0.005)


BAD = {
    "no YAML": b"\t{[",
    "not UTF-8": b"\xff\xfe\x00",
    "an unknown kind": b"apiVersion: fujie.dev/v1\nkind: Backdoor\nmetadata: {name: x}\nspec: {}\n",
    "a rule that does not type": b"apiVersion: fujie.dev/v1\nkind: Guard\nmetadata: {name: x}\nspec:\n  match: {actions: [lookup]}\n"
    b'  validations: [{name: y, expression: "consent.state == GIVNE"}]\n',
    "a second document of one name": b"apiVersion: fujie.dev/v1\nkind: Grant\nmetadata: {name: marketer}\nspec:\n"
    b"  match: {actions: [lookup]}\n  roles: [support]\n  fields: {id_card: reveal}\n",
    "a limit on nothing": b"apiVersion: fujie.dev/v1\nkind: Grant\nmetadata: {name: x}\nspec:\n  match: {actions: [lookup]}\n"
    b"  roles: [support]\n  purposes: [after_sales]\n  fields: {phone: reveal}\n  limits: {rows_per_hour: 0}\n",
    "a bomb of aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9)) for c in range(97, 105)
    ),
    "deep nesting": b"[" * 20_000,
    "a grant for a store that is not configured": b"apiVersion: fujie.dev/v1\nkind: Grant\nmetadata: {name: x}\nspec:\n"
    b"  match: {actions: [lookup], stores: [erp]}\n  roles: [support]\n  purposes: [after_sales]\n  fields: {phone: reveal}\n",
}  # fmt: skip


def wait_for(claim: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not claim():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_bad_policy_files_under_load_fail_no_call_and_the_last_good_bundle_stays(target: Target) -> None:
    digest = target.lookup("agent", ask("phone")).decision.bundle
    file = target.site.root / "policies" / "extra.yaml"
    before = reload_failures(target)
    with Load(target) as load:
        for number, content in enumerate(BAD.values(), 1):
            replaced(file, content)  # an empty file, if only for a moment, is a good one
            wait_for(lambda n=number: reload_failures(target) == before + n)  # type: ignore[misc]  # mypy: lambda default
            load.wait(6)
        loaded = len(target.server.events("policies_loaded"))
        file.unlink()
        # Else the reload of this falls into the next test, and is taken there for that of a change.
        target.server.wait_for("policies_loaded", loaded + 1)
        load.wait(6)
    assert set(load.answers) == {(digest, "138****1234")}
    assert target.server.metric("fujie_bundle_info", digest=digest) == 1
    refused = target.server.events("policies_refused")
    assert all(event["place"] for event in refused)
    assert {entry.bundle for entry in target.new()} == {digest}


def reload_failures(target: Target) -> float:
    return target.server.metric("fujie_bundle_reload_failures_total")


def replaced(file: Path, content: bytes) -> None:
    """Put a file in place whole, as an editor or a kubelet does."""
    aside = file.with_name(".new")
    aside.write_bytes(content)
    os.replace(aside, file)


def test_a_good_change_flips_every_decision_at_once(target: Target) -> None:
    """Whatever a call was decided under, its answer, its digest and its entry say the same."""
    file = target.site.root / "policies" / "grants.yaml"
    open_text = file.read_bytes()
    closed_text = open_text.replace(b'phone: "keep(3,4)"', b'phone: "keep(3,2)"', 1)
    assert open_text != closed_text
    first = target.lookup("agent", ask("phone")).decision.bundle
    target.new()
    with Load(target) as load:
        for content in itertools.islice(itertools.cycle((closed_text, open_text)), 4):
            loaded = len(target.server.events("policies_loaded"))
            replaced(file, content)
            target.server.wait_for("policies_loaded", loaded + 1)
            load.wait(12)
    found = set(load.answers)
    assert {"138****1234", "138******34"} == {shown for _, shown in found}
    assert len(found) == len({bundle for bundle, _ in found}) == 2
    assert (first, "138****1234") in found
    steps = {(entry.bundle, entry.fields["phone"]) for entry in target.new()}
    assert steps == {
        (bundle, "keep(3,4)" if shown == "138****1234" else "keep(3,2)") for bundle, shown in found
    }


def test_a_half_written_document_is_never_in_force(target: Target) -> None:
    """Two readings must agree, and half a document is none. A file cut between two documents is a sound one:
    docs/threat-model.md says to replace files whole."""
    file = target.site.root / "policies" / "grants.yaml"
    honest = file.read_bytes()
    half = honest.index(b"condition:")
    with Load(target) as load, file.open("r+b", buffering=0) as written:
        for _ in range(20):
            written.truncate(half)  # never to nothing, which would be a sound file too
            written.seek(half)
            written.write(honest[half:])
            load.wait(1)
    digests = {bundle for bundle, _ in load.answers}
    assert len(digests) == 1
    assert {"138****1234"} == {shown for _, shown in load.answers}


def test_no_policy_no_gate(tmp_path: Path) -> None:
    """All files gone while it serves: the last good bundle stays; at the next start there is none, and no server."""
    site: Site = create_site(tmp_path / "site")
    policies = site.root / "policies"
    with running(site) as target:
        policies.rename(site.root / "aside")
        target.server.wait_for("policies_refused")
        assert reload_failures(target) == 1
        assert target.lookup("agent", ask("phone")).customer["phone"] == "138****1234"
        target.server.stop()
    policies.mkdir()
    assert [problem["code"] for problem in site.refusal()] == ["POLICY_MISSING"]


def test_places_of_refused_policies_are_positions_in_files(target: Target) -> None:
    for event in target.server.events("policies_refused"):
        assert re.search(r"\.yaml(:\d+:\d+)?$", event["place"]) or event["code"] == "INTERNAL", event
