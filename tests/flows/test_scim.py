"""Attacks on the SCIM endpoint, and a compliance suite of others over it."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from fujie.app.provisioning import read_token, scim_routes
from fujie.app.scimsection import SCIM
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.offboarding import reinstate_principal, suspend_principal
from fujie.flows.reply import PrincipalReply
from fujie.model.errors import StartError
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import ADMINISTRATOR, State
from fujie.transport.http.public import Incident, PublicEdge, public_app
from fujie.transport.http.scim_resources import id_of
from support.house import ADMIN, House

TOKEN = "t" * 22
NOTHING = RequestContext()
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
WORK = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Port:
    """The endpoint under attack."""

    def __init__(self, house: House, tmp_path: Path, **more: Any) -> None:
        path = tmp_path / "token"
        path.write_text(TOKEN + "\n", "ascii")
        groups = {"Support": "support", "Marketing": "marketer"}
        scim = SCIM(**{"principal": "idp", "token_file": path, "groups": groups, **more})
        self.house = house
        self.incidents: list[Incident] = []
        edge = PublicEdge(house.gate, self.incidents.append)
        self.app = public_app(house.gate, scim_routes(scim, "https://f.example.com", edge), {})

    async def ask(
        self, method: str, path: str, body: object = None, token: str = TOKEN, **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=("192.0.2.7", 50_000))
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        async with httpx.AsyncClient(
            transport=transport, base_url="https://f.example.com", trust_env=False
        ) as client:
            answer = await client.request(
                method, f"/scim/v2{path}", headers=headers, content=content, **more
            )
        assert self.incidents == []
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
            assert answer.json()["status"] == str(answer.status_code)
        return answer

    async def hire(self, name: str, **more: Any) -> httpx.Response:
        return await self.ask("POST", "/Users", {"schemas": [USER], "userName": name, **more})

    async def patch(self, path: str, *operations: dict[str, Any]) -> httpx.Response:
        return await self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})

    async def found(self, name: str) -> Principal:
        found = await self.house.gate.directory.get(name)
        assert found is not None
        return found


async def provisioned(house: House) -> None:
    idp = Principal("idp", State.SERVICE, frozenset({ADMINISTRATOR}))
    assert isinstance(await upsert_principal(house.gate, ADMIN, NOTHING, idp), PrincipalReply)


@pytest.fixture
async def port(house: House, tmp_path: Path) -> Port:
    await provisioned(house)
    return Port(house, tmp_path)


def user(name: str) -> str:
    return f"/Users/{id_of(name)}"


GROUP = f"/Groups/{id_of('Support')}"


# Who comes in.


async def test_without_the_token_nothing_is_told(port: Port) -> None:
    for token in ["", "t" * 21, "t" * 23, "T" * 22, "x", "t" * 22 + " "]:
        for method, path in (
            ("GET", "/Users"),
            ("GET", "/ServiceProviderConfig"),
            ("POST", "/Users"),
            ("GET", "/x"),
        ):
            answer = await port.ask(method, path, token=token)
            assert answer.status_code in (401, 429)
    assert port.house.entries == [each for each in port.house.entries if each.principal == ADMIN.subject]


async def test_a_repeated_or_other_header_does_not_let_in(port: Port) -> None:
    transport = httpx.ASGITransport(port.app, client=("192.0.2.9", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="https://f", trust_env=False) as client:
        for headers in (
            [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
            [("authorization", f"Basic {TOKEN}")],
            [("x-authorization", f"Bearer {TOKEN}")],
            [("cookie", f"authorization=Bearer {TOKEN}")],
        ):
            assert (await client.get("/scim/v2/Users", headers=headers)).status_code == 401


async def test_who_guesses_is_slowed_down_and_the_right_token_is_not(port: Port) -> None:
    port.house.hands.stands = True
    codes = [(await port.ask("GET", "/Users", token=f"{n:022d}")).status_code for n in range(30)]
    assert codes[0] == 401
    assert codes[-1] == 429
    assert (await port.ask("GET", "/Users")).status_code == 200


@pytest.mark.parametrize("text", ["", "short", "ü" * 30, "a b" * 10, "t" * 257])
def test_a_token_that_could_be_guessed_does_not_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text, "utf-8")
    with pytest.raises(StartError) as refused:
        read_token(tmp_path / "token")
    assert refused.value.code == "SCIM_TOKEN"


async def test_without_a_grant_the_token_opens_nothing(house: House, tmp_path: Path) -> None:
    idp = Principal("idp", State.SERVICE, frozenset({"nothing"}))
    await upsert_principal(house.gate, ADMIN, NOTHING, idp)
    port = Port(house, tmp_path)
    assert (await port.hire("li.na")).status_code == 403
    assert (await port.ask("GET", "/Users")).status_code == 403
    assert (await port.ask("DELETE", user("support-agent"))).status_code == 403
    assert (await port.found("support-agent")).employment is State.ACTIVE


# People.


async def test_a_person_is_hired_moved_suspended_reinstated_and_offboarded(port: Port) -> None:
    made = await port.hire("li.na", **{WORK: {"department": "east"}})
    assert (made.status_code, made.headers["location"]) == (201, made.json()["meta"]["location"])
    assert (await port.found("li.na")) == Principal("li.na", department="east")
    moved = await port.patch(
        user("li.na"), {"op": "Replace", "path": f"{WORK}:department", "value": "west"}
    )
    assert moved.json()[WORK] == {"department": "west"}
    for operation, employment in (
        ({"op": "Replace", "path": "active", "value": "False"}, State.SUSPENDED),  # Entra
        ({"op": "replace", "value": {"active": True}}, State.ACTIVE),  # Okta
        ({"op": "replace", "value": {"active": False}}, State.SUSPENDED),
        ({"op": "Add", "path": "active", "value": "True"}, State.ACTIVE),
    ):
        assert (await port.patch(user("li.na"), operation)).status_code == 200
        assert (await port.found("li.na")).employment is employment
    assert (await port.ask("DELETE", user("li.na"))).status_code == 204
    assert (await port.found("li.na")).employment is State.OFFBOARDED
    assert (await port.ask("GET", user("li.na"))).status_code == 404
    again = await port.hire("li.na")
    assert (again.status_code, again.json()["scimType"]) == (409, "uniqueness")
    acts = [entry for entry in port.house.entries if entry.principal == "idp" and entry.kind == "admission"]
    assert len(acts) == 8  # every change has its entry, and so has the one that was refused


async def test_inactive_can_mean_offboarded(house: House, tmp_path: Path) -> None:
    await provisioned(house)
    port = Port(house, tmp_path, inactive="offboard")
    await port.hire("li.na")
    await port.patch(user("li.na"), {"op": "replace", "path": "active", "value": False})
    assert (await port.found("li.na")).employment is State.OFFBOARDED


async def test_a_name_that_is_taken_is_taken(port: Port) -> None:
    await port.hire("li.na")
    await port.patch(GROUP, {"op": "add", "path": "members", "value": [{"value": id_of("li.na")}]})
    for name in ("li.na", "support-agent", ADMIN.subject):
        before = await port.found(name)
        answer = await port.hire(name)
        assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")
        assert await port.found(name) == before
    assert (await port.hire("idp")).status_code == 403  # nobody writes himself


NAMES: tuple[Any, ...] = (
    "", " ", "a ", "a\n", "a\0", "ａdmin", "аdmin", "admіn", "li\u200bna", "li\u202ena", "ﬁ", "A\u030a", "x" * 257,
     "customer:page", "provider:x", "fujie:schedule", 7, None, ["a"],
)  # fmt: skip


async def test_a_name_that_is_not_what_it_looks_like_is_nobody(port: Port) -> None:
    for name in NAMES:
        assert (await port.hire(name)).status_code == 400, name


async def test_a_name_in_one_script_is_a_name(port: Port) -> None:
    for name in ("张三", "李娜.east", "Ольга", "o'neil", "a@b.example"):
        assert (await port.hire(name)).status_code == 201
        assert (await port.ask("GET", user(name))).json()["userName"] == name


# Promise 11.


async def test_no_attribute_gives_a_role(port: Port) -> None:
    """Mass assignment: whatever stands in a user, roles come from groups that the settings map."""
    loot: dict[str, Any] = {
        "roles": [{"value": ADMINISTRATOR}], "entitlements": [{"value": ADMINISTRATOR}], "kind": "SERVICE",
        "groups": [{"value": id_of("Support"), "display": "Support"}], "id": id_of(ADMIN.subject),
        "employment": "ACTIVE", "training": "VALID", "devices": [], "attributes": {"level": 9},
        "meta": {"resourceType": "Group"}, "userType": ADMINISTRATOR, "displayName": "administrator",
    }  # fmt: skip
    made = await port.hire("li.na", **loot)
    assert made.status_code == 201
    assert (await port.found("li.na")) == Principal("li.na")
    put = {"schemas": [USER], "userName": "li.na", **loot}
    assert (await port.ask("PUT", user("li.na"), put)).status_code == 200
    for path, value in (
        ("roles", [ADMINISTRATOR]),
        ("entitlements", [{"value": "x"}]),
        (None, loot | {"groups": []}),
    ):
        operation = {"op": "add", "value": value} | ({"path": path} if path else {})
        await port.patch(user("li.na"), operation)
    assert (await port.found("li.na")) == Principal("li.na")


async def test_it_cannot_touch_itself_or_any_service(port: Port) -> None:
    before = await port.found("idp")
    for method, body in (
        ("GET", None),
        ("PUT", {"schemas": [USER], "userName": "idp", "active": False}),
        (
            "PATCH",
            {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]},
        ),
        ("DELETE", None),
    ):
        assert (await port.ask(method, user("idp"), body)).status_code == 404
    join = {"op": "add", "path": "members", "value": [{"value": id_of("idp")}]}
    assert (await port.patch(GROUP, join)).status_code == 404
    assert await port.found("idp") == before


async def test_groups_give_and_take_their_own_role_alone(port: Port) -> None:
    await port.hire("li.na")
    record = Principal("keeper", roles=frozenset({ADMINISTRATOR, "support"}))
    await upsert_principal(port.house.gate, ADMIN, NOTHING, record)
    join = {"op": "Add", "path": "members", "value": [{"value": id_of("li.na")}]}
    answer = await port.patch(GROUP, join)
    assert {each["display"] for each in answer.json()["members"]} == {"li.na", "keeper", "support-agent"}
    assert (await port.found("li.na")).roles == {"support"}
    assert (await port.ask("GET", user("li.na"))).json()["groups"][0]["display"] == "Support"
    out = {"op": "Remove", "path": "members", "value": [{"value": id_of("keeper")}]}  # as Entra sends it
    await port.patch(GROUP, out)
    assert (await port.found("keeper")).roles == {ADMINISTRATOR}
    out = {"op": "remove", "path": f'members[value eq "{id_of("li.na")}"]'}  # as Okta sends it
    await port.patch(GROUP, out)
    assert (await port.found("li.na")).roles == frozenset()
    schemas = ["urn:ietf:params:scim:schemas:core:2.0:Group"]
    put = {"schemas": schemas, "displayName": "Support", "members": [{"value": id_of("li.na")}]}
    assert (await port.ask("PUT", GROUP, put)).status_code == 200
    assert (await port.found("li.na")).roles == {"support"}
    assert (await port.found("support-agent")).roles == frozenset()


async def test_no_group_is_made_renamed_or_removed(port: Port) -> None:
    schemas = ["urn:ietf:params:scim:schemas:core:2.0:Group"]
    for name, status in ((ADMINISTRATOR, 403), ("Administrators", 403), ("Support", 409)):
        answer = await port.ask("POST", "/Groups", {"schemas": schemas, "displayName": name})
        assert answer.status_code == status
    rename = {"op": "replace", "path": "displayName", "value": ADMINISTRATOR}
    assert (await port.patch(GROUP, rename)).status_code == 400
    assert (await port.ask("DELETE", GROUP)).status_code == 403
    assert (await port.ask("GET", f"/Groups/{id_of(ADMINISTRATOR)}")).status_code == 404
    listed = (await port.ask("GET", "/Groups")).json()
    assert [each["displayName"] for each in listed["Resources"]] == ["Marketing", "Support"]


async def test_an_unknown_member_gives_nobody_the_role(port: Port) -> None:
    await port.hire("li.na")
    both = [{"value": id_of("li.na")}, {"value": id_of("stranger")}]
    assert (await port.patch(GROUP, {"op": "add", "path": "members", "value": both})).status_code == 404
    assert (await port.found("li.na")).roles == frozenset()


PROVISIONER = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: provisioner}
spec:
  match: {actions: [principal.read, principal.write, principal.offboard]}
  roles: [provisioner]
"""


async def test_the_last_administrator_stays_one_whatever_it_says(house: House, tmp_path: Path) -> None:
    idp = Principal("idp", State.SERVICE, frozenset({"provisioner"}))
    await upsert_principal(house.gate, ADMIN, NOTHING, idp)
    port = Port(house.with_policy({"own.yaml": PROVISIONER}), tmp_path, groups={"Admins": ADMINISTRATOR})
    last = user(ADMIN.subject)
    inactive = {"op": "replace", "path": "active", "value": False}
    assert (await port.patch(last, inactive)).json()["detail"] == "LAST_ADMINISTRATOR"
    assert (await port.ask("DELETE", last)).json()["detail"] == "LAST_ADMINISTRATOR"
    out = {"op": "remove", "path": "members"}
    answer = await port.patch(f"/Groups/{id_of('Admins')}", out)
    assert answer.json()["detail"] == "LAST_ADMINISTRATOR"
    await port.hire("second")
    join = {"op": "add", "path": "members", "value": [{"value": id_of("second")}]}
    assert (await port.patch(f"/Groups/{id_of('Admins')}", join)).status_code == 200
    await offboard_principal(
        house.gate, ADMIN, NOTHING, "second", house.hands.now() + timedelta(days=1)
    )  # who is to leave is no other administrator
    assert (await port.ask("DELETE", last)).json()["detail"] == "LAST_ADMINISTRATOR"
    found = await port.found(ADMIN.subject)
    assert (found.employment, found.roles) == (State.ACTIVE, frozenset({ADMINISTRATOR}))


async def test_it_calls_no_set_time_off(port: Port) -> None:
    await port.hire("li.na")
    at = port.house.hands.now() + timedelta(days=1)
    await offboard_principal(port.house.gate, ADMIN, NOTHING, "li.na", at)
    for active in (False, True):
        put = {"schemas": [USER], "userName": "li.na", "active": active}
        assert (await port.ask("PUT", user("li.na"), put)).status_code == 200
    assert (await port.found("li.na")).offboard_at == at
    port.house.hands.time = at
    assert (await port.ask("PUT", user("li.na"), put)).status_code == 404
    assert (await port.hire("li.na")).json()["detail"] == "OFFBOARDED_STAYS"


# Lists, filters, floods.


async def test_a_filter_finds_what_it_says_and_pages_are_parts_of_a_list(port: Port) -> None:
    for n in range(5):
        await port.hire(f"person-{n}", **{WORK: {"department": "east" if n % 2 else "west"}})
    for text, count in (
        ('userName eq "person-1"', 1),
        ('userName eq "PERSON-1"', 0),
        ('userName sw "person-"', 5),
        ('userName co "son-" and active eq true', 5),
        ('userName eq "person-1" or userName eq "person-2"', 2),
        (f'{WORK}:department eq "west"', 3),
        ('not (userName sw "person-")', 6),
        ("userName pr", 11),
        ('userName eq "\\" or userName pr or \\""', 0),
        ('userName eq "\' OR 1=1 --"', 0),
        ('externalId eq "person-1"', 0),
    ):
        listed = (await port.ask("GET", "/Users", params={"filter": text})).json()
        assert listed["totalResults"] == count, text
    parts = [
        (
            await port.ask("GET", "/Users", params={"startIndex": n, "count": 3, "filter": "userName pr"})
        ).json()
        for n in (1, 4, 7, 10, 13)
    ]
    names = [each["userName"] for part in parts for each in part.get("Resources", [])]
    assert len(names) == len(set(names)) == parts[0]["totalResults"] == 11
    assert "idp" not in names


NO_FILTERS = ["userName", "userName eq", 'userName xx "a"', "(" * 500 + "userName pr" + ")" * 500, "not " * 100 + "(a pr)",
     'userName eq "' + "a" * 2_000 + '"', "userName eq 'a'", 'userName eq "a" ; drop table', "[" * 30, "\0", "userName[" * 5]  # fmt: skip


async def test_a_filter_that_is_none_is_told_so_and_costs_nothing(port: Port) -> None:
    for text in NO_FILTERS:
        answer = await port.ask("GET", "/Users", params={"filter": text})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")


BOMBS = [
        (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b"\xff\xfe", 400), (b"[" * 50_000, 400),
        (b'{"a":' * 50_000, 400), (b"{}", 400), (b" " * (1 << 19), 413),
        (json.dumps({"schemas": [PATCH], "Operations": [{"op": "add", "path": "active", "value": True}] * 101}).encode(), 400),
        (json.dumps({"schemas": [PATCH], "Operations": {"op": "add"}}).encode(), 400),
        (json.dumps({"schemas": [PATCH], "Operations": ["add"]}).encode(), 400),
        (json.dumps({"schemas": [PATCH], "Operations": [{"op": "drop", "path": "active"}]}).encode(), 400),
        (json.dumps({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "userName", "value": "root"}]}).encode(), 400),
        (json.dumps({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": {"a": 1}}]}).encode(), 400),
        (json.dumps({"schemas": [PATCH], "Operations": [{"op": "remove"}]}).encode(), 400),
    ]  # fmt: skip


async def test_a_bomb_changes_nothing(port: Port) -> None:
    before = await port.found("support-agent")
    for body, status in BOMBS:
        assert (await port.ask("PATCH", user("support-agent"), body)).status_code == status
        assert await port.found("support-agent") == before


async def test_one_request_changes_a_bounded_number_of_members(port: Port) -> None:
    many = [{"value": id_of(f"p{n}")} for n in range(1_001)]
    answer = await port.patch(GROUP, {"op": "add", "path": "members", "value": many})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "tooMany")


async def test_an_id_that_is_none_is_nobody(port: Port) -> None:
    for path in [
        "/Users/x!",
        "/Users/%00",
        "/Users/..%2f..",
        "/Users/" + "A" * 2_000,
        "/Users/bGkubmE=",
        "/x",
    ]:
        assert (await port.ask("GET", path)).status_code == 404


async def test_nothing_comes_back_that_somebody_else_took_meanwhile(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update that was read before a role was taken must not write the role back."""
    await port.hire("li.na")
    await port.patch(GROUP, {"op": "add", "path": "members", "value": [{"value": id_of("li.na")}]})
    directory = port.house.gate.directory
    inner: Callable[..., Any] = directory.upsert
    taken: list[bool] = []

    async def overtaken(principal: Principal, now: Any, expected: Any = None) -> Principal:
        if not taken:
            taken.append(True)
            await inner(Principal("li.na"), now)
        written: Principal = await inner(principal, now, expected)
        return written

    monkeypatch.setattr(directory, "upsert", overtaken)
    move = {"op": "replace", "path": f"{WORK}:department", "value": "west"}
    assert (await port.patch(user("li.na"), move)).status_code == 200
    assert await port.found("li.na") == Principal("li.na", department="west")


async def test_what_entra_sends_beyond_our_schema_is_dropped(port: Port) -> None:
    made = await port.hire(
        "li.na", externalId="x-7", displayName="L", emails=[{"value": "l@example.com", "type": "work"}], active=True
    )  # fmt: skip
    assert made.status_code == 201
    assert made.json().keys() == {"schemas", "id", "meta", "userName", "active"}
    for path, value in (
        ("externalId", "x-8"),
        ('emails[type eq "work"].value', "m@example.com"),
        ("name.givenName", "N"),
    ):
        answer = await port.patch(user("li.na"), {"op": "Replace", "path": path, "value": value})
        assert answer.status_code == 200, path


async def test_attributes_are_told_as_asked(port: Port) -> None:
    await port.hire("li.na")
    few = await port.ask("GET", user("li.na"), params={"attributes": "userName"})
    assert few.json().keys() == {"schemas", "id", "userName"}
    without = await port.ask("GET", GROUP, params={"excludedAttributes": "members"})
    assert "members" not in without.json()


async def test_the_compliance_suite_of_others_finds_nothing(port: Port) -> None:
    # Here, since it takes two seconds to import, in each process of the suite.
    from scim2_client import BaseSyncSCIMClient
    from scim2_tester import Status, check_server

    loop = asyncio.get_running_loop()

    class Suite(BaseSyncSCIMClient):
        """The suite's client, in a thread of its own: what it asks is asked on the loop of the gate."""

        def request(self, method: str, url: str, **more: Any) -> Any:
            path = f"/{url.lstrip('/')}".removeprefix("/scim/v2")
            asked = port.ask(method, path, more.get("json"), params=more.get("params"))
            return asyncio.run_coroutine_threadsafe(asked, loop).result(60)

        def _parse_json(self, response: Any) -> Any:
            return response.json()

        def _stays_under_base_url(self, endpoint: str) -> bool:
            return True

    results = await asyncio.to_thread(check_server, Suite(), resource_types=["User"])
    bad = [(each.title, each.reason) for each in results if each.status in (Status.ERROR, Status.CRITICAL)]
    assert bad == []
    assert sum(each.status is Status.SUCCESS for each in results) > 20
    assert port.incidents == []


# What somebody else decided.


async def test_who_says_nothing_of_active_reinstates_nobody(port: Port) -> None:
    """A security officer suspended somebody; the provider's next full update, which does not say `active`, changes it not."""
    await port.hire("li.na")
    await suspend_principal(port.house.gate, ADMIN, NOTHING, "li.na")
    put = {"schemas": [USER], "userName": "li.na", WORK: {"department": "west"}}
    assert (await port.ask("PUT", user("li.na"), put)).json()["active"] is False
    move = {"op": "replace", "path": f"{WORK}:department", "value": "south"}
    assert (await port.patch(user("li.na"), move)).json()["active"] is False
    found = await port.found("li.na")
    assert (found.employment, found.department) == (State.SUSPENDED, "south")


async def say(port: Port, way: str, *, active: bool, department: str = "") -> httpx.Response:
    """Say `active` as a full sync does (PUT), as Okta (PATCH without a path) or as Entra (PATCH with one, as a text)."""
    work = {WORK: {"department": department}} if department else {}
    if way == "PUT":
        return await port.ask(
            "PUT", user("li.na"), {"schemas": [USER], "userName": "li.na", "active": active, **work}
        )
    operations: list[dict[str, Any]] = [
        {"op": "replace", "value": {"active": active}}
        if way == "Okta"
        else {"op": "Replace", "path": "active", "value": str(active)}
    ]
    if department:
        operations.append({"op": "replace", "path": f"{WORK}:department", "value": department})
    return await port.patch(user("li.na"), *operations)


async def suspended_by(port: Port) -> tuple[State, str]:
    found = await port.found("li.na")
    return found.employment, found.suspended_by


WAYS = pytest.mark.parametrize("way", ["PUT", "Okta", "Entra"])


@WAYS
async def test_no_sync_reinstates_whom_an_officer_suspended_and_the_rest_of_it_is_done(
    port: Port, way: str
) -> None:
    await port.hire("li.na", **{WORK: {"department": "east"}})
    await suspend_principal(port.house.gate, ADMIN, NOTHING, "li.na")
    entries = len(port.house.entries)
    for department in ("west", "south"):
        answer = await say(port, way, active=True, department=department)
        told = answer.json()
        assert (answer.status_code, told["active"], told[WORK]) == (200, False, {"department": department})
    again = await say(port, way, active=True)
    assert (again.status_code, again.json()["active"]) == (200, False)
    assert await suspended_by(port) == (State.SUSPENDED, ADMIN.subject)
    assert (await port.ask("GET", user("li.na"))).json()["active"] is False
    written = [
        each.facts["target.employment"] for each in port.house.entries[entries:] if each.kind == "admission"
    ]
    assert set(written) == {"SUSPENDED"}
    join = {"op": "add", "path": "members", "value": [{"value": id_of("li.na")}]}
    await port.patch(GROUP, join)
    assert await suspended_by(port) == (State.SUSPENDED, ADMIN.subject)
    await reinstate_principal(port.house.gate, ADMIN, NOTHING, "li.na")
    assert await suspended_by(port) == (State.ACTIVE, "")
    assert (await port.found("li.na")).roles == {"support"}


@WAYS
async def test_the_providers_own_suspension_is_lifted_by_it_and_by_a_person(port: Port, way: str) -> None:
    await port.hire("li.na", active=False)
    for _ in range(2):
        assert await suspended_by(port) == (State.SUSPENDED, "idp")
        moved = await say(
            port, way, active=False, department="west"
        )  # what else changes takes it over from nobody
        assert moved.json()["active"] is False
        assert await suspended_by(port) == (State.SUSPENDED, "idp")
        assert (await say(port, way, active=True)).json()["active"] is True
        assert await suspended_by(port) == (State.ACTIVE, "")
        await say(port, way, active=False)
    await reinstate_principal(port.house.gate, ADMIN, NOTHING, "li.na")
    assert await suspended_by(port) == (State.ACTIVE, "")


@pytest.mark.parametrize("officer_first", [True, False])
@pytest.mark.parametrize("writes_record", [True, False])
async def test_of_two_suspensions_the_officers_counts_in_either_order(
    port: Port, *, officer_first: bool, writes_record: bool
) -> None:
    gate = port.house.gate
    await port.hire("li.na")

    async def officer() -> None:
        record = Principal("li.na", employment=State.SUSPENDED, suspended_by="idp")  # believed by nobody
        if writes_record:
            await upsert_principal(gate, ADMIN, NOTHING, record)
        else:
            await suspend_principal(gate, ADMIN, NOTHING, "li.na")

    for way in ("PUT", "Okta", "Entra"):
        if officer_first:
            await officer()
        await say(port, way, active=False)
        if not officer_first:
            await officer()
        assert (await say(port, way, active=True)).json()["active"] is False
        assert await suspended_by(port) == (State.SUSPENDED, ADMIN.subject)
        await reinstate_principal(gate, ADMIN, NOTHING, "li.na")


async def test_nobody_knows_whose_suspension_and_no_other_providers_is_lifted(port: Port) -> None:
    await port.hire("li.na")
    for whose in ("", "another-idp", "IDP"):
        suspended = Principal("li.na", employment=State.SUSPENDED, suspended_by=whose)
        await port.house.gate.directory.upsert(suspended, port.house.hands.now())
        assert (await say(port, "PUT", active=True, department="west")).json()["active"] is False
        assert await suspended_by(port) == (State.SUSPENDED, whose)
    await upsert_principal(port.house.gate, ADMIN, NOTHING, Principal("li.na"))
    assert await suspended_by(port) == (State.ACTIVE, "")


async def test_an_officer_who_suspends_between_reading_and_writing_is_not_overtaken(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    await port.hire("li.na", active=False)
    directory = port.house.gate.directory
    inner: Callable[..., Any] = directory.upsert
    came: list[bool] = []

    async def overtaken(principal: Principal, now: Any, expected: Any = None) -> Principal:
        if not came:
            came.append(True)
            await suspend_principal(port.house.gate, ADMIN, NOTHING, "li.na")
        written: Principal = await inner(principal, now, expected)
        return written

    monkeypatch.setattr(directory, "upsert", overtaken)
    assert (await say(port, "PUT", active=True)).json()["active"] is False
    assert came == [True]
    assert await suspended_by(port) == (State.SUSPENDED, ADMIN.subject)


@pytest.mark.parametrize("is_put", [False, True])
async def test_inactive_offboards_also_who_was_suspended_before(
    house: House, tmp_path: Path, is_put: bool
) -> None:
    """Else the keys of his files and the data on his devices would outlive him."""
    await provisioned(house)
    port = Port(house, tmp_path, inactive="offboard")
    await port.hire("li.na")
    await suspend_principal(house.gate, ADMIN, NOTHING, "li.na")
    put = {"schemas": [USER], "userName": "li.na"}
    await port.ask("PUT", user("li.na"), put)
    assert (await port.found("li.na")).employment is State.SUSPENDED
    if is_put:
        await port.ask("PUT", user("li.na"), {**put, "active": False})
    else:
        await port.patch(user("li.na"), {"op": "replace", "value": {"active": "False"}})
    assert (await port.found("li.na")).employment is State.OFFBOARDED


async def test_no_employee_has_the_id_of_a_workload(port: Port) -> None:
    """Its certificate alone would prove it, and the groups of the provider would give it roles."""
    for name in ("spiffe://example.org/crm", "SPIFFE://example.org/crm"):
        assert (await port.hire(name)).status_code == 400


async def test_a_name_that_stands_twice_is_understood_by_nobody(port: Port) -> None:
    await port.hire("li.na")
    for pair in ('"active":false,"active":true', '"active":false,"Active":true'):
        body = f'{{"schemas":["{USER}"],"userName":"li.na",{pair}}}'.encode()
        assert (await port.ask("PUT", user("li.na"), body)).status_code == 400
        patch = f'{{"schemas":["{PATCH}"],"Operations":[{{"op":"replace","value":{{{pair}}}}}]}}'.encode()
        assert (await port.ask("PATCH", user("li.na"), patch)).status_code == 400


async def test_what_the_configuration_says_is_not_there_is_not_there(port: Port) -> None:
    """Clients that batch, sort or hold versions against each other look there first; one that does not look is not misled."""
    said = (await port.ask("GET", "/ServiceProviderConfig")).json()
    assert {part for part in ("bulk", "sort", "etag", "changePassword") if said[part]["supported"]} == set()
    assert (said["patch"]["supported"], said["filter"]["supported"]) == (True, True)
    for name in ("li.na", "wu.di"):
        hired = await port.hire(name)
        assert "etag" not in hired.headers
        assert "version" not in hired.json()["meta"]
    bulk = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": []}
    assert (await port.ask("POST", "/Bulk", bulk)).status_code == 404
    order = [
        [each["userName"] for each in (await port.ask("GET", "/Users", params=asked)).json()["Resources"]]
        for asked in ({}, {"sortBy": "userName", "sortOrder": "descending"})
    ]
    assert order[0] == order[1], "ignored, as RFC 7644, 3.4.2.3, has it of whoever does not sort"
