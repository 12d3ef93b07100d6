"""What SCIM says and is told: bodies, filters, pages and errors (RFC 7644), each bounded before it is understood."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from scim2_models import (
    Context,
    Error,
    InvalidFilterException,
    InvalidSyntaxException,
    InvalidValueException,
    ListResponse,
    PatchOp,
    ResponseParameters,
    ScimFilter,
    TooManyException,
)
from starlette.requests import Request
from starlette.responses import Response

from fujie.model.principal import Principal
from fujie.model.vocabulary import State
from fujie.transport.http.public import body_of
from fujie.transport.http.scim_resources import MOST_FOUND, POLICY, EnterpriseUser, Group, name_of

MOST_BODY = 1 << 18
"""Bytes of one body: a group of 1,000 members has 60,000."""

MOST_OPERATIONS, MOST_MEMBERS = 100, 1_000
"""Of one PATCH, and members that it names: each operation is applied to the whole group, each member has two entries."""

MOST_FILTER, MOST_NESTED = 1_000, 20
"""Characters of a filter, and how deep its brackets may go."""

USUAL_COUNT = 100
Asked = Mapping[str, str]
"""The parameters of a list, of its address or of a POST to `.search`."""

_TYPE = "application/scim+json"


def active_of(one: Any, other: Any) -> bool | None:
    """Return what was said of `active`, by what was made of a user who was active and of one who was not; None: nothing.
    Who says nothing of it neither suspends anybody nor reinstates whom others suspended."""
    return bool(one.active) if one.active == other.active else None


def as_said(said: Any, before: Any = None, *, active: bool | None) -> Callable[[Principal], Principal]:
    """Return the change of a record that a user asks for; with `before`, of the rest only what differs from it."""

    def change(known: Principal) -> Principal:
        changed = known
        if active is not None and active != (known.employment is State.ACTIVE):
            changed = replace(changed, employment=State.ACTIVE if active else State.SUSPENDED)
        if before is None or department_of(said) != department_of(before):
            changed = replace(changed, department=department_of(said))
        return changed

    return change


def department_of(user: Any) -> str:
    """Return the department that a user names. Raises InvalidValueException."""
    extension = user[EnterpriseUser]
    department = (extension.department if extension else None) or ""
    if len(department) > 128 or not department.isprintable():
        raise InvalidValueException(detail="department")
    return str(department)


def members_of(group: Group) -> frozenset[str]:
    """Return whom a group names. Raises RequestError PRINCIPAL_NOT_FOUND for what no id of ours is."""
    return frozenset(name_of(each.value) for each in group.members or () if each.value)


async def said_in(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body, without what fujie keeps of nobody. Raises SCIMException."""
    try:
        said = json.loads(await body_of(request, MOST_BODY), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise InvalidSyntaxException from None
    if not isinstance(said, dict):
        raise InvalidSyntaxException
    return {name: value for name, value in said.items() if name.lower() != "externalid"}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names stand once, whatever their case (RFC 7643 section 2.1): who checks a body before us could
    believe the other one. Raises ValueError."""
    if len({name.lower() for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is given twice")
    return dict(pairs)


async def search_in(request: Request) -> Asked:
    """Return the parameters of a search by POST (RFC 7644 section 3.4.3). Raises SCIMException."""
    said = await said_in(request)
    lists = {name: said.get(name) or () for name in ("attributes", "excludedAttributes")}
    if not all(
        isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
        for names in lists.values()
    ):
        raise InvalidSyntaxException
    plain = {
        name: str(said[name]) for name in ("filter", "startIndex", "count") if said.get(name) is not None
    }
    return plain | {name: ",".join(names) for name, names in lists.items()}


def patch_of(said: dict[str, Any], model: Any) -> Any:
    """Return the operations of a PATCH. Raises SCIMException or ValidationError."""
    name = next((name for name in said if name.lower() == "operations"), "Operations")
    given = said.get(name)
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise InvalidSyntaxException
    if len(given) > MOST_OPERATIONS:
        raise TooManyException
    kept = [each for each in map(_ours, given) if each is not None]
    if given and not kept:
        kept = [{"op": "add", "value": {}}]
    return PatchOp[model].model_validate(
        {**said, name: kept}, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=POLICY
    )


def _ours(operation: dict[str, Any]) -> dict[str, Any] | None:
    """Return an operation without `externalId`, which Entra sends with every change; None when that is all of it."""
    path, value = operation.get("path"), operation.get("value")
    if isinstance(path, str) and path.lower() == "externalid":
        return None
    if not path and isinstance(value, dict):
        return {**operation, "value": {n: v for n, v in value.items() if n.lower() != "externalid"}}
    return operation


def filter_of(asked: Asked, model: Any) -> Any:
    """Return the filter of a list, None without one. Raises InvalidFilterException."""
    text = asked.get("filter", "")
    if not text:
        return None
    if (
        len(text) > MOST_FILTER
        or max(text.count("("), text.count("["), text.lower().count("not")) > MOST_NESTED
    ):
        raise InvalidFilterException
    return ScimFilter[model](text)


def page(asked: Asked, resources: list[Any], wanted: Any, model: Any) -> Response:
    """Return the part of a list that is asked for (RFC 7644 section 3.4.2.4)."""
    with POLICY:
        found = [each for each in resources if wanted is None or wanted.match(each)]
    start = max(1, _number(asked, "startIndex", 1))
    count = min(MOST_FOUND, max(0, _number(asked, "count", USUAL_COUNT)))
    part = found[start - 1 : start - 1 + count]
    listed = ListResponse[model](
        total_results=len(found), start_index=start, items_per_page=len(part), resources=part
    )
    return answer(
        listed.model_dump(
            scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=_parameters(asked, model)
        )
    )


def _number(asked: Asked, name: str, default: int) -> int:
    text = asked.get(name, "")
    if not text:
        return default
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) < 10):
        raise InvalidValueException(detail=name)
    return int(text)


def _parameters(asked: Asked, model: Any) -> Any:
    """Return which attributes are asked for. Raises ValidationError."""
    given = {name: asked[name] for name in ("attributes", "excludedAttributes") if asked.get(name)}
    return ResponseParameters[model].model_validate(given)


def told_resource(request: Request, resource: Any, model: Any, status: int = 200) -> Response:
    """Return a resource with the attributes that are asked for. Raises ValidationError."""
    context = Context.RESOURCE_CREATION_RESPONSE if status == 201 else Context.RESOURCE_QUERY_RESPONSE
    said = resource.model_dump(
        scim_ctx=context, response_parameters=_parameters(request.query_params, model)
    )
    return answer(said, status, {"location": str(resource.meta.location)})


def dumped(resource: Any) -> dict[str, Any]:
    """Return a resource as it is answered."""
    said: dict[str, Any] = resource.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    return said


def unfiltered(request: Request, resources: list[dict[str, Any]]) -> Response:
    """Return a whole list of what the service is; a filter on it is forbidden (RFC 7644 section 4)."""
    if "filter" in request.query_params:
        return failed(403, "", "")
    said = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": len(resources),
        "itemsPerPage": len(resources),
        "startIndex": 1,
        "Resources": resources,
    }
    return answer(said)


def one_of(request: Request, known: Mapping[str, dict[str, Any]]) -> Response:
    """Return one resource of what the service is."""
    found = known.get(request.path_params["id"])
    return failed(404, "", "") if found is None else answer(found)


def answer(said: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON of SCIM."""
    return Response(json.dumps(said).encode(), status, dict(headers or {}), _TYPE)


def told_error(error: Error) -> Response:
    """Return an error as the library found it."""
    return failed(error.status or 400, error.detail or "", error.scim_type or "")


def failed(status: int, detail: str, scim_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error (RFC 7644 section 3.12)."""
    error = Error(status=status, detail=detail or None, scim_type=scim_type or None)
    return answer(error.model_dump(), status, headers)
