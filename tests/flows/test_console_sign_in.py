"""Attacks on signing in at a provider: a stand-in of ours that speaks OpenID Connect, and lies as it is told."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from flows.test_approvals import EYES
from fujie.app.tokens import new_signing_key
from fujie.transport.http.console import ATTEMPT_COOKIE, COOKIE
from support.consoles import ORIGIN, Browser, Desk, desk_of, fixed_tokens, signing_in, staffed
from support.house import House
from support.oidc import Provider, provider

ME = EYES[0].subject


@dataclass
class Scene:
    """A console, the provider that it trusts."""

    house: House
    desk: Desk
    at: Provider

    async def start(self) -> tuple[Browser, str]:
        """Return a browser that was sent to the provider, and where to."""
        browser = Browser(self.desk)
        sent = await browser.get("/console/start?next=https://evil.example.com")
        assert sent.status_code == 303, sent.text
        assert browser.jar[ATTEMPT_COOKIE]
        return browser, sent.headers["location"]

    async def through(self, subject: str = ME) -> tuple[Browser, int]:
        """Return a browser that went all the way, and what it was told at its end."""
        browser, address = await self.start()
        answer = await browser.get(path_of(self.at.agree(address, subject)))
        return browser, answer.status_code


def path_of(url: str) -> str:
    assert url.startswith(ORIGIN + "/console/callback?")
    return url.removeprefix(ORIGIN)


@pytest.fixture
async def scene(house: House) -> AsyncIterator[Scene]:
    house = await staffed(house)
    async with AsyncExitStack() as opened:
        at = await opened.enter_async_context(provider(house.hands.now))
        sign_in = signing_in(house.gate, at, ORIGIN, opened)
        yield Scene(house, desk_of(house.gate, fixed_tokens(), sign_in), at)


async def test_who_signs_in_is_known_and_the_attempt_is_over(scene: Scene) -> None:
    browser, status = await scene.through()
    assert status == 200
    assert browser.session
    assert ATTEMPT_COOKIE not in browser.jar
    assert ME in (await browser.get("/console?lang=en")).text
    assert (
        await Browser(scene.desk).sign_in("support-token-1")
    ).status_code == 404  # no way beside the provider


async def test_the_attempt_can_come_back_from_another_site_and_the_session_can_not(scene: Scene) -> None:
    browser = Browser(scene.desk)
    sent = await browser.get("/console/start")
    (attempt,) = sent.headers.get_list("set-cookie")
    assert "samesite=lax" in attempt.lower()
    assert "httponly" in attempt.lower()
    assert "secure" in attempt.lower()
    back = await browser.get(path_of(scene.at.agree(sent.headers["location"], ME)))
    (session,) = [c for c in back.headers.get_list("set-cookie") if c.startswith(f"{COOKIE}=")]
    assert "samesite=strict" in session.lower()
    assert 'http-equiv="refresh" content="0; url=/console?' in back.text


async def test_a_callback_counts_once_and_in_its_own_browser_alone(scene: Scene) -> None:
    browser, address = await scene.start()
    kept = browser.jar[ATTEMPT_COOKIE]
    path = path_of(scene.at.agree(address, ME))
    other, _ = await scene.start()
    for stranger in (Browser(scene.desk), other):  # without an attempt, and with another one
        assert (await stranger.get(path)).status_code == 403
        assert not stranger.session
    assert (await browser.get(path)).status_code == 200
    browser.jar.pop(COOKIE)
    assert (await browser.get(path)).status_code == 403
    browser.jar[ATTEMPT_COOKIE] = kept  # whoever has kept it: the code was exchanged
    assert (await browser.get(path)).status_code == 403
    assert not browser.session


async def test_the_attackers_own_callback_signs_nobody_else_in(scene: Scene) -> None:
    """Login CSRF: the victim's browser is sent to a callback that the attacker made."""
    _, address = await scene.start()
    path = path_of(scene.at.agree(address, EYES[1].subject))
    victim, _ = await scene.start()
    assert (await victim.get(path)).status_code == 403
    assert not victim.session


@pytest.mark.parametrize("change", ["state", "code", "iss", "twice", "error"])
async def test_a_changed_callback_is_refused(change: str, scene: Scene) -> None:
    browser, address = await scene.start()
    path = path_of(scene.at.agree(address, ME))
    said = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    query: Mapping[str, str] = {
        "state": f"code={said['code']}&state={'0' * 48}&iss={said['iss']}",
        "code": f"code=guessed&state={said['state']}",
        "iss": f"code={said['code']}&state={said['state']}&iss=https://other.example.com",
        "twice": f"code={said['code']}&state={said['state']}&state={said['state']}",
        "error": f"error=access_denied&state={said['state']}",
    }
    answer = await browser.get(f"/console/callback?{query[change]}")
    assert answer.status_code in (400, 403)
    assert not browser.session
    assert said["code"] not in answer.text


CHANGES: Mapping[str, Mapping[str, Any]] = {
    "another audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "several audiences, no party": {"aud": ["fujie-console", "another-client"]},
    "another party": {"azp": "another-client"},
    "another issuer": {"iss": "https://other.example.com"},
    "another nonce": {"nonce": "0" * 48},
    "no nonce": {"nonce": None},
    "a nonce that is none": {"nonce": 7},
    "over": {"exp": 1},
    "no end": {"exp": None},
    "nobody": {"sub": " "},
    "a workload": {"sub": "spiffe://example.com/ns/crm/sa/web"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
async def test_an_id_token_that_is_not_ours_signs_nobody_in(
    changes: Mapping[str, Any], scene: Scene
) -> None:
    scene.at.changes = dict(changes)
    browser, status = await scene.through()
    assert status == 403
    assert not browser.session


def part(said: object) -> str:
    return urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()


def unsigned(claims: dict[str, Any]) -> str:
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def by_another_key(claims: dict[str, Any]) -> str:
    pem, jwks = new_signing_key()
    return jwt.encode(claims, pem, "ES256", headers={"kid": jwks["keys"][0]["kid"]})


def under_the_same_id(claims: dict[str, Any], kid: str) -> str:
    return jwt.encode(claims, new_signing_key()[0], "ES256", headers={"kid": kid})


FORGERIES: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "alg none": unsigned,
    "HS256 with the secret of the client": lambda claims: jwt.encode(claims, "s" * 32, "HS256"),
    "another key": by_another_key,
    "nonsense": lambda _: "nonsense",
    "a key of its own": lambda claims: jwt.encode(
        claims, new_signing_key()[0], "ES256", headers={"jwk": new_signing_key()[1]["keys"][0]}
    ),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_id_token_signs_nobody_in(
    forge: Callable[[dict[str, Any]], str], scene: Scene
) -> None:
    scene.at.forge = forge
    browser, status = await scene.through()
    assert status == 403
    assert not browser.session


async def test_the_public_key_is_no_secret_and_no_other_key_has_its_id(scene: Scene) -> None:
    _, jwks = scene.at.key
    kid = jwks["keys"][0]["kid"]
    secret = json.dumps(jwks["keys"][0]).encode()
    header, claims = part({"alg": "HS256", "kid": kid}), {"sub": ME}
    for forge in (
        lambda said: under_the_same_id(said, kid),
        lambda said: jwt.api_jws.encode(
            json.dumps({**said, **claims}).encode(), secret, "HS256", headers={"kid": kid}
        ),
        lambda said: f"{header}.{part(said)}.AAAA",
    ):
        scene.at.forge = forge
        browser, status = await scene.through()
        assert status == 403
        assert not browser.session


async def test_an_id_token_of_an_earlier_attempt_is_refused(scene: Scene) -> None:
    kept: list[str] = []

    def keeping(claims: dict[str, Any]) -> str:
        kept.append(scene.at.signed(claims))
        return kept[-1]

    scene.at.forge = keeping
    assert (await scene.through())[1] == 200
    scene.at.forge = lambda _: kept[0]
    browser, status = await scene.through()
    assert status == 403
    assert not browser.session


async def test_an_attempt_ends_by_itself(scene: Scene) -> None:
    browser, address = await scene.start()
    path = path_of(scene.at.agree(address, ME))
    scene.house.hands.time += timedelta(minutes=11)
    assert (await browser.get(path)).status_code == 403
    assert scene.at.exchanged == 0


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://other.example.com"}, {"token_endpoint": "file:///etc/passwd"}, {"jwks_uri": None},
     {"authorization_endpoint": "javascript:alert(1)"}],
    ids=["another-issuer", "a-file", "no-keys", "a-script"],
)  # fmt: skip
async def test_a_provider_that_is_not_what_it_says_signs_nobody_in(
    document: dict[str, Any], scene: Scene
) -> None:
    scene.at.document = document
    browser = Browser(scene.desk)
    answer = await browser.get("/console/start")
    assert answer.status_code == 403
    assert "location" not in answer.headers
    scene.at.document = {}
    assert (await scene.through())[1] == 200  # nothing of it was kept
    assert [each.where for each in scene.desk.incidents] == ["console/sign-in"]
