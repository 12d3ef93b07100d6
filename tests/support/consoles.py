"""The console under test: a browser without scripts that keeps cookies as browsers do, and an approval that waits."""

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from starlette.types import ASGIApp

from flows.test_approvals import EYES, hire
from fujie.adapters.identity.oidc import Client, OpenIDProvider
from fujie.adapters.identity.static import UnsafeStaticTokens
from fujie.flows.gate import Gate
from fujie.ports import Authenticator
from fujie.transport.http.console import COOKIE, HEADERS, Console, Door
from fujie.transport.http.inbox import Inbox
from fujie.transport.http.public import Incident, PublicEdge, public_app
from support.exports import POLICY, exported, lists, wanting
from support.house import House
from support.oidc import CLIENT, SECRET, Provider

ORIGIN = "https://console.example.com"
FORM = re.compile(r'name="form" value="([0-9a-f]{64})"')


@dataclass
class Desk:
    """A console and what it reported."""

    gate: Gate
    app: ASGIApp
    incidents: list[Incident] = field(default_factory=list)


def desk_of(
    gate: Gate, authenticator: Authenticator, sign_in: OpenIDProvider | None = None, origin: str = ORIGIN
) -> Desk:
    incidents: list[Incident] = []
    door = Door(authenticator, sign_in, origin, timedelta(minutes=30))
    console = Console(PublicEdge(gate, incidents.append), door)
    app = public_app(gate, [*console.routes(), *Inbox(console).routes()], HEADERS)
    return Desk(gate, app, incidents)


def signing_in(gate: Gate, at: Provider, origin: str, opened: AsyncExitStack) -> OpenIDProvider:
    client = Client(at.issuer, CLIENT, SECRET, ("ES256",), "", f"{origin}/console/callback")
    provider = OpenIDProvider(client, gate.clock.monotonic, lambda issuer, code: None)
    opened.push_async_callback(provider.close)
    return provider


class Browser:
    """One browser: it keeps the cookies it is given, and says where its forms come from."""

    def __init__(self, desk: Desk, origin: str = ORIGIN) -> None:
        self._desk, self._origin = desk, origin
        self.jar: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._ask("GET", path, headers)

    async def post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        ours = {"origin": self._origin, "sec-fetch-site": "same-origin"} if headers is None else headers
        kind = {"content-type": "application/x-www-form-urlencoded"}  # browsers say so of an empty form too
        return await self._ask("POST", path, {**kind, **ours}, form)

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self._desk.app, client=("192.0.2.7", 50_000))
        cookie = {"cookie": "; ".join(f"{k}={v}" for k, v in self.jar.items())} if self.jar else {}
        async with httpx.AsyncClient(transport=transport, base_url=self._origin, trust_env=False) as client:
            answer = await client.request(method, path, headers={**headers, **cookie}, data=form)
        for said in answer.headers.get_list("set-cookie"):
            name, _, rest = said.partition("=")
            value = rest.partition(";")[0].strip('"')
            if value:
                self.jar[name] = value
            else:
                self.jar.pop(name, None)
        return answer

    async def sign_in(self, token: str) -> httpx.Response:
        """Paste a token."""
        return await self.post("/console/login", {"token": token})

    async def form(self, approval_id: str) -> str:
        """Open the page of an approval; return what its form holds."""
        page = await self.get(f"/console/approvals/{approval_id}?lang=en")
        assert page.status_code == 200, page.text
        found = FORM.search(page.text)
        return found[1] if found else ""

    async def decide(self, approval_id: str, act: str = "approve", comment: str = "") -> httpx.Response:
        """Open the page of an approval, and press a button of it."""
        form = {"form": await self.form(approval_id), "act": act, "comment": comment}
        return await self.post(f"/console/approvals/{approval_id}?lang=en", form)

    @property
    def session(self) -> str:
        return self.jar.get(COOKIE, "")


TOKENS = {"support-token-1": EYES[0].subject, "token-2": EYES[1].subject, "own": "marketer"}


def fixed_tokens() -> UnsafeStaticTokens:
    from hashlib import sha256

    return UnsafeStaticTokens({sha256(each.encode()).hexdigest(): who for each, who in TOKENS.items()})


async def staffed(house: House, *policies: bytes) -> House:
    """Return a house with compliance officers, and with lists that need them."""
    for each in EYES:
        await hire(house, each.subject, "compliance_officer")
    return lists(house, POLICY, *policies)


async def waiting(house: House, filter_: str = "", max_rows: int = 200) -> str:
    """Return the id of an approval that a marketer asked for."""
    came = await exported(house.gate, wanting(filter_, max_rows))
    assert came.refusal is not None
    assert came.refusal.approval, came.refusal
    return came.refusal.approval.removeprefix("approvals/")
