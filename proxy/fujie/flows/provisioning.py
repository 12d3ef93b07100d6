"""What an identity provider tells us of people, through SCIM: each change goes the way that an administrator's goes.

Whoever provisions is a service of the directory: its roles and grants decide, its entries tell, and SELF_PROMOTION,
LAST_ADMINISTRATOR and OFFBOARDED_STAYS hold for it too. It sees and changes employees alone, never services. The only roles
that it gives and takes are those that `scim.groups` maps; every other role of somebody stays. It reinstates only whom it has
suspended itself: providers say `active: true` of everybody in every full sync, whatever a security officer decided.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from fujie.flows.directory import get_principal, list_principals, offboard_principal, upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.reply import PrincipalReply, PrincipalsReply, Refusal
from fujie.model.errors import RequestError
from fujie.model.page import MOST_ON_A_PAGE, Slice
from fujie.model.principal import Credential, Expected, Principal, PrincipalFilter
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State

ISSUER = "scim"
"""The issuer of the credential that the bearer token stands for."""

_TRIES = 5
"""How often a change is made anew because somebody else changed the record meanwhile."""

_NOTHING = RequestContext()

Change = Callable[[Principal], Principal]


@dataclass(frozen=True, slots=True)
class Provisioning:
    """The settings: as whom it asks, which role each group stands for (one each), and whether `active: false` offboards."""

    principal: str
    groups: Mapping[str, str]
    offboards: bool = False


class Provisioner:
    """The use cases. Each raises RequestError with the reason of a refusal; the entry of it is written by then."""

    def __init__(self, gate: Gate, settings: Provisioning) -> None:
        self._gate = gate
        self._caller = Credential(settings.principal, ISSUER)
        self._settings = settings

    async def people(self, role: str = "") -> list[Principal]:
        """Return every employee who has not left, of one role when one is given."""
        found: list[Principal] = []
        after = ""
        while True:
            part = Slice(after, MOST_ON_A_PAGE)
            asked = PrincipalFilter(role=role, kind=State.EMPLOYEE)
            reply = await list_principals(self._gate, self._caller, _NOTHING, asked, part)
            if not isinstance(reply, PrincipalsReply):
                raise _error(reply)
            found += [each for each in reply.page.rows if each.employment is not State.OFFBOARDED]
            after = reply.page.next
            if not after:
                return found

    async def person(self, principal_id: str) -> Principal:
        """Return one. Raises PRINCIPAL_NOT_FOUND also for who has left, and for a service."""
        reply = await get_principal(self._gate, self._caller, _NOTHING, principal_id)
        if not isinstance(reply, PrincipalReply):
            raise _error(reply)
        found = reply.principal
        if found.kind is not State.EMPLOYEE or found.employment is State.OFFBOARDED:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        return found

    async def hire(self, principal: Principal) -> Principal:
        """Write a new employee. Raises PRINCIPAL_CHANGED when the id is taken, OFFBOARDED_STAYS when its owner has left, and
        ARGUMENT_INVALID for the id of a workload, which a certificate alone proves."""
        if principal.id.casefold().startswith("spiffe:"):
            raise RequestError("a workload is no employee", field="userName")
        return await self._written(principal, Expected(None))

    async def change(self, principal_id: str, change: Change, *, is_inactive: bool = False) -> Principal:
        """Change the record of an employee as it is then: of what others change at the same time, nothing is lost. Who is
        said to be inactive leaves where the settings say so, also who is suspended already. Whom another suspended stays so, and
        the record that is returned says it."""
        for _ in range(_TRIES):
            known = await self.person(principal_id)
            if is_inactive and self._settings.offboards:
                await self.leave(principal_id)
                return replace(known, employment=State.OFFBOARDED, roles=frozenset(), suspended_by="")
            changed = self._still_suspended(known, change(known))
            if changed == known:
                return known
            try:
                return await self._written(changed, Expected(known))
            except RequestError as error:
                if error.code != "PRINCIPAL_CHANGED":
                    raise
        raise RequestError(code="PRINCIPAL_CHANGED", field="id")

    def _still_suspended(self, known: Principal, changed: Principal) -> Principal:
        """Return a change without the end of a suspension that is another's, or nobody knows whose."""
        is_own = known.suspended_by == self._settings.principal
        if known.employment is State.SUSPENDED and not is_own:
            return replace(changed, employment=State.SUSPENDED)
        return changed

    async def leave(self, principal_id: str) -> None:
        """Offboard an employee."""
        await self.person(principal_id)
        reply = await offboard_principal(self._gate, self._caller, _NOTHING, principal_id)
        if not isinstance(reply, PrincipalReply):
            raise _error(reply)

    async def give(self, role: str, principal_ids: Iterable[str]) -> None:
        """Give employees a role. Raises PRINCIPAL_NOT_FOUND before anybody gets it when one is unknown."""
        wanted = list(dict.fromkeys(principal_ids))
        for each in wanted:
            await self.person(each)
        for each in wanted:
            await self.change(each, lambda known: replace(known, roles=known.roles | {role}))

    async def take(self, role: str, principal_ids: Iterable[str]) -> None:
        """Take a role from employees."""
        for each in dict.fromkeys(principal_ids):
            await self.change(each, lambda known: replace(known, roles=known.roles - {role}))

    async def _written(self, principal: Principal, expected: Expected) -> Principal:
        reply = await upsert_principal(self._gate, self._caller, _NOTHING, principal, expected)
        if not isinstance(reply, PrincipalReply):
            raise _error(reply)
        return reply.principal


def _error(refusal: Refusal) -> RequestError:
    code = refusal.reasons[0].code if refusal.reasons else "INTERNAL"
    return RequestError(code=code, field=refusal.field)
