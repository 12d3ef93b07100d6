"""SCIM 2.0 under `/scim/v2` (RFC 7644): an identity provider hires, moves, suspends and offboards people.

1. The bearer token, compared in constant time, before anything else is read; who guesses is slowed down.
2. The body, bounded in bytes, depth and operations; what it says is checked by the schemas that we publish.
3. The change, as any administrator's (`flows/provisioning.py`). 4. An error in the shape of RFC 7644 section 3.12.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from scim2_models import (
    Context,
    Error,
    SCIMException,
    TooManyException,
    UniquenessException,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from fujie.flows.provisioning import Provisioner
from fujie.model.errors import RequestError
from fujie.model.principal import Principal
from fujie.model.vocabulary import State
from fujie.transport.http.public import Pace, PublicEdge, address_of, status_of
from fujie.transport.http.scim_resources import (
    ANYTHING,
    POLICY,
    PROVIDER,
    Group,
    Person,
    group_of,
    name_of,
    plain_name,
    user_of,
)
from fujie.transport.http.scim_text import (
    MOST_MEMBERS,
    Asked,
    active_of,
    answer,
    as_said,
    department_of,
    dumped,
    failed,
    filter_of,
    members_of,
    one_of,
    page,
    patch_of,
    said_in,
    search_in,
    told_error,
    told_resource,
    unfiltered,
)

_REALM = {"www-authenticate": 'Bearer realm="scim"'}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_UNIQUE = frozenset({"PRINCIPAL_CHANGED", "OFFBOARDED_STAYS"})

Act = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, repr=False)
class Door:
    """Who may come in, and where everything is. `token_digest` is the SHA-256 of the bearer token, `base` the address of
    `/scim/v2` as clients know it, `groups` are roles by group."""

    token_digest: bytes
    base: str
    groups: Mapping[str, str]
    failures: Pace = field(repr=False)

    def lets_in(self, request: Request) -> bool:
        """Tell whether the request has the token: once, and nothing beside it."""
        given = request.headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(digest, self.token_digest) and scheme.lower() == "bearer"


def slowed(monotonic: Callable[[], float]) -> Pace:
    """Return how often one address may come with a wrong token: 20 times at once, then every second."""
    return Pace(1.0, 20.0, monotonic)


class Scim:
    """The endpoint of one worker."""

    def __init__(self, edge: PublicEdge, provisioner: Provisioner, door: Door) -> None:
        self._edge = edge
        self._use = provisioner
        self._door = door
        self._groups = dict(door.groups)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of everything below `/scim/v2`."""
        acts: dict[str, dict[str, Act]] = {
            "/ServiceProviderConfig": {"GET": self._config},
            "/ResourceTypes": {"GET": self._types},
            "/ResourceTypes/{id}": {"GET": self._type},
            "/Schemas": {"GET": self._schemas},
            "/Schemas/{id}": {"GET": self._schema},
            "/.search": {"POST": self._search_all},
            "/Users/.search": {"POST": self._search_users},
            "/Groups/.search": {"POST": self._search_groups},
            "/Users": {"GET": self._list_users, "POST": self._hire},
            "/Users/{id}": {
                "GET": self._user,
                "PUT": self._replace_user,
                "PATCH": self._patch_user,
                "DELETE": self._leave,
            },
            "/Groups": {"GET": self._list_groups, "POST": self._refuse_group},
            "/Groups/{id}": {
                "GET": self._group,
                "PUT": self._replace_group,
                "PATCH": self._patch_group,
                "DELETE": self._refuse_group,
            },
            "/{path:path}": {},
        }
        routes = [Route(path, self._guarded(each), methods=_METHODS) for path, each in acts.items()]
        return [Mount("/scim/v2", routes=routes)]

    def _guarded(self, acts: Mapping[str, Act]) -> Act:
        """Return an endpoint that acts by method, behind the token."""

        async def run(request: Request) -> Response:
            address = address_of(request)
            if not self._door.lets_in(request):
                is_slowed = not self._door.failures.allows(address)
                return failed(429 if is_slowed else 401, "", "", {} if is_slowed else _REALM)
            act = acts.get(request.method)
            if act is None:
                return failed(405 if acts else 404, "", "")
            try:
                return await act(request)
            except ValidationError as error:
                return told_error(Error.from_validation_errors(error)[0])
            except SCIMException as error:
                return told_error(error.to_error())
            except RequestError as error:
                status, code = status_of(error)
                return failed(status, code, "uniqueness" if code in _UNIQUE else "")
            except RecursionError:
                return failed(400, "too deep", "invalidSyntax")

        return self._edge.around("scim", run, lambda _, status: failed(status, "", ""))

    # What the service is.

    async def _config(self, _: Request) -> Response:
        assert PROVIDER.config is not None
        return answer(PROVIDER.config.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))

    async def _types(self, request: Request) -> Response:
        return unfiltered(request, [dumped(each) for each in PROVIDER.resource_types])

    async def _type(self, request: Request) -> Response:
        return one_of(request, {str(each.id): dumped(each) for each in PROVIDER.resource_types})

    async def _schemas(self, request: Request) -> Response:
        return unfiltered(request, [dumped(each) for each in PROVIDER.schemas])

    async def _schema(self, request: Request) -> Response:
        return one_of(request, {str(each.id): dumped(each) for each in PROVIDER.schemas})

    # Users.

    async def _list_users(self, request: Request) -> Response:
        return await self._users(request.query_params)

    async def _search_users(self, request: Request) -> Response:
        return await self._users(await search_in(request))

    async def _users(self, asked: Asked) -> Response:
        wanted = filter_of(asked, Person)
        return await asyncio.to_thread(page, asked, await self._everybody(), wanted, Person)

    async def _everybody(self) -> list[Any]:
        return [user_of(each, self._groups, self._door.base) for each in await self._use.people()]

    async def _search_all(self, request: Request) -> Response:
        asked = await search_in(request)
        wanted = filter_of(asked, ANYTHING)
        found = [*await self._everybody(), *await self._all_groups(asked)]
        return await asyncio.to_thread(page, asked, found, wanted, ANYTHING)

    async def _user(self, request: Request) -> Response:
        found = await self._use.person(name_of(request.path_params["id"]))
        return self._told_user(request, found)

    async def _hire(self, request: Request) -> Response:
        said = Person.model_validate(
            {"active": True, **await said_in(request)},
            scim_ctx=Context.RESOURCE_CREATION_REQUEST,
            scim_policy=POLICY,
        )
        new = Principal(
            plain_name(said.user_name),
            department=department_of(said),
            employment=State.SUSPENDED if said.active is False else State.ACTIVE,
        )
        return self._told_user(request, await self._use.hire(new), 201)

    async def _replace_user(self, request: Request) -> Response:
        name = name_of(request.path_params["id"])
        known = user_of(await self._use.person(name), self._groups, self._door.base)
        body = await said_in(request)
        said, other = (
            Person.model_validate(
                {"active": default, **body},
                scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST,
                scim_policy=POLICY,
            )
            for default in (True, False)
        )
        said.replace(known)  # refuses another userName
        return await self._changed(request, name, said, active=active_of(said, other))

    async def _patch_user(self, request: Request) -> Response:
        name = name_of(request.path_params["id"])
        patch = patch_of(await said_in(request), Person)
        before = user_of(await self._use.person(name), self._groups, self._door.base)
        said, other = before.model_copy(deep=True), before.model_copy(deep=True)
        for user, default in ((said, True), (other, False)):
            user.active = default
            await asyncio.to_thread(patch.patch, user, POLICY)
        return await self._changed(request, name, said, before, active=active_of(said, other))

    async def _changed(
        self, request: Request, name: str, said: Any, before: Any = None, *, active: bool | None
    ) -> Response:
        change = as_said(said, before, active=active)
        changed = await self._use.change(name, change, is_inactive=active is False)
        return self._told_user(request, changed)

    async def _leave(self, request: Request) -> Response:
        await self._use.leave(name_of(request.path_params["id"]))
        return Response(status_code=204)

    def _told_user(self, request: Request, principal: Principal, status: int = 200) -> Response:
        user = user_of(principal, self._groups, self._door.base)
        return told_resource(request, user, Person, status)

    # Groups.

    async def _list_groups(self, request: Request) -> Response:
        return await self._told_groups(request.query_params)

    async def _search_groups(self, request: Request) -> Response:
        return await self._told_groups(await search_in(request))

    async def _told_groups(self, asked: Asked) -> Response:
        wanted = filter_of(asked, Group)
        return await asyncio.to_thread(page, asked, await self._all_groups(asked), wanted, Group)

    async def _all_groups(self, asked: Asked) -> list[Group]:
        without = "members" in asked.get("excludedAttributes", "")
        return [await self._found(name, without_members=without) for name in sorted(self._groups)]

    async def _group(self, request: Request) -> Response:
        return told_resource(request, await self._found(self._named(request)), Group)

    async def _replace_group(self, request: Request) -> Response:
        name = self._named(request)
        known = await self._found(name)
        said = Group.model_validate(
            await said_in(request), scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY
        )
        said.replace(known)
        return await self._membership(request, name, known, said)

    async def _patch_group(self, request: Request) -> Response:
        name = self._named(request)
        patch = patch_of(await said_in(request), Group)
        known = await self._found(name)
        changed = known.model_copy(deep=True)
        await asyncio.to_thread(patch.patch, changed, POLICY)
        return await self._membership(request, name, known, changed)

    async def _membership(self, request: Request, name: str, before: Group, after: Group) -> Response:
        had, has = members_of(before), members_of(after)
        if len(had ^ has) > MOST_MEMBERS:
            raise TooManyException
        role = self._groups[name]
        await self._use.take(role, sorted(had - has))
        await self._use.give(role, sorted(has - had))
        return told_resource(request, await self._found(name), Group)

    async def _refuse_group(self, request: Request) -> Response:
        """Only the settings make and unmake groups: a group is a role."""
        if request.method == "POST":
            said = Group.model_validate(
                await said_in(request), scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY
            )
            if said.display_name in self._groups:
                raise UniquenessException
        else:
            self._named(request)
        return failed(403, "the setting scim.groups says which groups there are", "")

    async def _found(self, name: str, *, without_members: bool = False) -> Group:
        people = [] if without_members else await self._use.people(self._groups[name])
        return group_of(name, people, self._door.base)

    def _named(self, request: Request) -> str:
        name = name_of(request.path_params["id"])
        if name not in self._groups:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        return name
