"""The resources of SCIM as fujie has them (RFC 7643): as little of a person as access needs, and no name, address or number.

What an identity provider sends beyond it is dropped. `userName` is the subject of the person's tokens, exactly: it is
compared by code points, and never changes.
"""

import base64
import binascii
import unicodedata
from typing import Annotated, Any

from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Extension,
    Filter,
    Meta,
    Mutability,
    Patch,
    Required,
    Resource,
    ResourceType,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)
from scim2_models import Reference as Link

from fujie.model.errors import RequestError
from fujie.model.principal import Principal
from fujie.model.vocabulary import State

MOST_FOUND = 1_000
"""Resources of one answer at most."""

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    comparison_key=lambda _, value: value,
)
"""What Entra and Okta need; comparison is exact."""

_SCRIPTS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC"})
"""Scripts whose letters look like each other's: a name is written in one of them (Unicode TR 39, roughly)."""

_MOST_NAME = 256


class GroupOfUser(ComplexAttribute):
    """A group that a user is in."""

    value: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    display: Annotated[str | None, Mutability.read_only] = None


class EnterpriseUser(Extension):
    """The part of the enterprise user that fujie keeps."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")

    department: Annotated[str | None, CaseExact.true] = None


class User(Resource[Any]):
    """An employee of the directory."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    external_id: Annotated[str | None, Mutability.read_only] = None
    user_name: Annotated[
        str | None, Required.true, Uniqueness.server, Mutability.immutable, CaseExact.true
    ] = None
    active: Annotated[bool | None, Required.true] = None
    groups: Annotated[list[GroupOfUser] | None, Mutability.read_only] = None


class Member(ComplexAttribute):
    """A user in a group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    display: Annotated[str | None, Mutability.read_only] = None


class Group(Resource[Any]):
    """A group that `scim.groups` maps to a role."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    external_id: Annotated[str | None, Mutability.read_only] = None
    display_name: Annotated[
        str | None, Required.true, Uniqueness.server, Mutability.immutable, CaseExact.true
    ] = None
    members: list[Member] | None = None


Person: Any = User.__class_getitem__(
    EnterpriseUser
)  # User[EnterpriseUser], for the type checker not generic
"""A user with its extension. A type that is made at run time."""

ANYTHING: Any = Person | Group
"""What a search below everything finds."""

CONFIG = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=MOST_FOUND),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=False),
    etag=ETag(supported=False),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="Bearer token",
            description="A token from the file that the setting scim.token_file names.",
            spec_uri=Link("https://www.rfc-editor.org/rfc/rfc6750"),
        )
    ],
)

PROVIDER = ScimProvider(
    models=[User, EnterpriseUser, Group],
    resource_types=[ResourceType.from_resource(Person), ResourceType.from_resource(Group)],
    config=CONFIG,
    policy=POLICY,
)


def id_of(name: str) -> str:
    """Return the id of a resource: its name in base64url, so that it is one part of a path."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def name_of(resource_id: str) -> str:
    """Return the name that an id stands for. Raises RequestError PRINCIPAL_NOT_FOUND for what no id of ours is."""
    try:
        raw = base64.b64decode(resource_id + "=" * (-len(resource_id) % 4), altchars=b"-_", validate=True)
        name = raw.decode()
    except (binascii.Error, ValueError):
        name = ""
    if not name or id_of(name) != resource_id:
        raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
    return name


def plain_name(name: str) -> str:
    """Return a `userName` that is what it looks like.

    Raises:
        RequestError: TEXT_INVALID for control and format characters, blanks around it, another form than NFKC (full-width
            letters, ligatures), and letters of several scripts that look alike.

    """
    scripts = {unicodedata.name(c, "").partition(" ")[0] for c in name if c.isalpha()} & _SCRIPTS
    is_plain = name.isprintable() and name == name.strip() and unicodedata.is_normalized("NFKC", name)
    if not (name and len(name) <= _MOST_NAME and is_plain and len(scripts) <= 1):
        raise RequestError(code="TEXT_INVALID", field="userName")
    return name


def user_of(principal: Principal, groups: dict[str, str], base: str) -> Any:
    """Return an employee as a user; `groups` are roles by group."""
    resource_id = id_of(principal.id)
    mine = [
        GroupOfUser(value=id_of(name), display=name)
        for name, role in sorted(groups.items())
        if role in principal.roles
    ]
    made = Person(
        id=resource_id,
        user_name=principal.id,
        active=principal.employment is State.ACTIVE,
        groups=mine or None,
        meta=Meta(resource_type="User", location=f"{base}/Users/{resource_id}"),
    )
    if principal.department:
        made[EnterpriseUser] = EnterpriseUser(department=principal.department)
    return made


def group_of(name: str, members: list[Principal], base: str) -> Group:
    """Return a group with its members."""
    resource_id = id_of(name)
    return Group(
        id=resource_id,
        display_name=name,
        members=[Member(value=id_of(each.id), display=each.id) for each in members] or None,
        meta=Meta(resource_type="Group", location=f"{base}/Groups/{resource_id}"),
    )
