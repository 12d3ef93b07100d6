"""Keys over time: rotation, withdrawal, issuers that fall silent, and storms of invented key ids."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.identity import follow
from fujie.adapters.identity.follow import LEAST_GAP_S
from fujie.adapters.identity.jwt import MOST_REMEMBERED_S, TokenAuthenticator
from fujie.adapters.identity.keyset import Issuer
from fujie.app.tokens import mint, new_signing_key
from fujie.model.errors import CredentialError, StartError
from support.proof import prove

NOW = datetime(2026, 5, 4, tzinfo=UTC)
ISS, OTHER_ISS = "https://id.example.com", "https://id.example.org"
OLD, NEW = new_signing_key(), new_signing_key()
REFRESH_S = 300.0


def keys(*pairs: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"keys": [key for _, jwks in pairs for key in jwks["keys"]]}


def token(pair: tuple[str, Mapping[str, Any]], iss: str = ISS, kid: str = "", ttl_s: int = 86_400) -> str:
    claims = {"iss": iss, "aud": "fujie", "sub": "li.na"}
    return mint(pair[0], claims, kid or pair[1]["keys"][0]["kid"], ttl_s, NOW)


@dataclass
class Endpoint:
    """An issuer's endpoint: what it publishes, whether it answers, how often it was asked."""

    published: Any
    fails: bool = False
    asked: int = 0
    held: threading.Event | None = None

    def __call__(self) -> Mapping[str, Any]:
        self.asked += 1
        if self.held is not None:
            self.held.wait(30)
        if self.fails:
            raise StartError("JWKS_UNREADABLE", "down")
        published: Mapping[str, Any] = self.published
        return published


@dataclass
class Followed:
    endpoint: Endpoint
    time_s: float = 0.0
    told: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        issuer = Issuer(ISS, "fujie", ("ES256",), self.endpoint.published, self.endpoint, REFRESH_S)
        self.authenticator = TokenAuthenticator(
            [issuer], lambda: self.time_s, lambda iss, code: self.told.append((iss, code))
        )

    async def code(self, raw: str, now: datetime = NOW) -> str:
        """Return how a token is refused, empty when it is good."""
        try:
            await self.authenticator.verify(raw, now)
        except CredentialError as error:
            return error.code
        return ""

    async def settled(self) -> None:
        """Let a reading that was started end."""
        reading = self.authenticator._trusted[ISS]._reading
        if reading is not None:
            with suppress(StartError):
                await reading

    async def turn(self, seconds: float) -> None:
        """Let time pass, with a call that notices it."""
        self.time_s += seconds
        await self.code("a.b.c")
        await self.code(token(OLD))
        await self.settled()


def following(published: Any = None, **more: Any) -> Followed:
    return Followed(Endpoint(published or keys(OLD), **more))


async def test_a_new_key_is_found_by_the_first_token_that_names_it() -> None:
    followed = following()
    followed.endpoint.published = keys(OLD, NEW)
    followed.time_s = LEAST_GAP_S
    assert [await followed.code(token(NEW)), await followed.code(token(OLD))] == ["", ""]
    assert followed.endpoint.asked == 1


async def test_a_thousand_unknown_key_ids_fetch_once() -> None:
    followed = following()
    followed.time_s = LEAST_GAP_S
    forged = [token(OLD, kid=f"k{n}") for n in range(1_000)]
    codes = await asyncio.gather(*(followed.code(raw) for raw in forged))
    assert set(codes) == {"TOKEN_INVALID"}
    assert followed.endpoint.asked == 1
    followed.time_s += LEAST_GAP_S - 0.1
    for raw in forged:
        assert await followed.code(raw) == "TOKEN_INVALID"
    assert followed.endpoint.asked == 1
    followed.time_s += 0.1
    await asyncio.gather(*(followed.code(raw) for raw in forged))
    assert followed.endpoint.asked == 2
    assert await followed.code(token(OLD)) == ""


async def test_right_after_the_start_no_key_id_fetches() -> None:
    followed = following()
    assert await followed.code(token(NEW)) == "TOKEN_INVALID"
    assert followed.endpoint.asked == 0


async def test_only_a_key_id_of_a_configured_issuer_and_a_pinned_algorithm_fetches() -> None:
    followed = following()
    followed.time_s = LEAST_GAP_S
    for raw in (token(NEW, iss=OTHER_ISS), "a.b.c", token(OLD) + "x", token(OLD, ttl_s=-60)):
        assert await followed.code(raw) != ""
    assert followed.endpoint.asked == 0


async def test_a_withdrawn_key_stops_working_with_tokens_that_were_verified_before() -> None:
    followed = following(keys(OLD, NEW))
    remembered = token(OLD)
    assert await followed.code(remembered) == ""
    followed.endpoint.published = keys(NEW)
    await followed.turn(REFRESH_S)
    assert [await followed.code(remembered), await followed.code(token(OLD, ttl_s=60))] == [
        "TOKEN_INVALID"
    ] * 2
    assert await followed.code(token(NEW)) == ""


async def test_a_key_that_was_replaced_under_its_id_stops_working() -> None:
    followed = following()
    remembered = token(OLD)
    assert await followed.code(remembered) == ""
    kid = OLD[1]["keys"][0]["kid"]
    followed.endpoint.published = {"keys": [{**NEW[1]["keys"][0], "kid": kid}]}
    await followed.turn(REFRESH_S)
    assert await followed.code(remembered) == "TOKEN_INVALID"
    assert await followed.code(token(NEW, kid=kid)) == ""


async def test_after_a_long_silence_the_first_call_waits_for_the_keys_of_now() -> None:
    followed = following(keys(OLD, NEW))
    remembered = token(OLD)
    assert await followed.code(remembered) == ""
    followed.endpoint.published = keys(NEW)
    followed.time_s = 2 * REFRESH_S
    assert await followed.code(remembered) == "TOKEN_INVALID"


async def test_a_refresh_holds_no_call_up() -> None:
    followed = following(held=threading.Event())
    raw = token(OLD)
    assert await followed.code(raw) == ""
    followed.time_s = REFRESH_S
    assert [await followed.code(raw), await followed.code(token(OLD, ttl_s=60))] == ["", ""]
    held = followed.endpoint.held
    assert held is not None
    held.set()
    await followed.settled()
    assert followed.endpoint.asked == 1


async def test_a_call_waits_for_a_key_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "WAIT_S", 0.01)
    followed = following(held=threading.Event())
    followed.time_s = LEAST_GAP_S
    assert await followed.code(token(NEW)) == "TOKEN_INVALID"
    assert await followed.code(token(OLD)) == ""
    held = followed.endpoint.held
    assert held is not None
    held.set()
    await followed.settled()


async def test_the_last_good_keys_stay_while_the_issuer_is_silent_and_it_is_told_once() -> None:
    followed = following()
    followed.endpoint.fails = True
    for _ in range(5):
        await followed.turn(REFRESH_S)
        assert await followed.code(token(OLD)) == ""
    assert followed.told == [(ISS, "JWKS_UNREADABLE")]
    followed.endpoint.fails = False
    followed.endpoint.published = keys(NEW)
    await followed.turn(LEAST_GAP_S)
    assert followed.told == [(ISS, "JWKS_UNREADABLE"), (ISS, "")]
    assert [await followed.code(token(OLD)), await followed.code(token(NEW))] == ["TOKEN_INVALID", ""]


BAD: dict[str, Any] = {
    "no key": {"keys": []},
    "nothing": {},
    "keys of another algorithm": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]},
    "a symmetric key beside": {"keys": [*keys(OLD)["keys"], {"kty": "oct", "k": "c2VjcmV0"}]},
    "a private key": {"keys": [{**keys(OLD)["keys"][0], "d": "c2VjcmV0"}]},
    "one id twice": {
        "keys": [keys(OLD)["keys"][0], {**keys(NEW)["keys"][0], "kid": OLD[1]["keys"][0]["kid"]}]
    },
    "an id that is a number": {"keys": [{**keys(NEW)["keys"][0], "kid": 7}]},
    "a broken key": {"keys": [{**keys(NEW)["keys"][0], "x": "AAAA"}]},
}


@pytest.mark.parametrize("published", BAD.values(), ids=BAD)
async def test_a_set_that_cannot_be_trusted_is_refused_as_a_whole(published: Any) -> None:
    followed = following()
    followed.endpoint.published = published
    await followed.turn(REFRESH_S)
    assert [await followed.code(token(OLD)), await followed.code(token(NEW))] == ["", "TOKEN_INVALID"]
    assert followed.told == [(ISS, "ISSUER_INVALID")]


async def test_one_id_at_two_issuers_names_two_keys() -> None:
    theirs = {"keys": [{**NEW[1]["keys"][0], "kid": "k"}]}
    ours = {"keys": [{**OLD[1]["keys"][0], "kid": "k"}]}
    issuers = [Issuer(ISS, "fujie", ("ES256",), ours), Issuer(OTHER_ISS, "fujie", ("ES256",), theirs)]
    both = TokenAuthenticator(issuers, lambda: 0.0, lambda iss, code: None)
    for iss, good, bad in ((ISS, OLD, NEW), (OTHER_ISS, NEW, OLD)):
        assert prove(both, token(good, iss, "k"), NOW).issuer == iss
        with pytest.raises(CredentialError):
            prove(both, token(bad, iss, "k"), NOW)


async def test_a_remembered_token_waits_for_nothing() -> None:
    followed = following()
    raw = token(OLD)
    assert prove(followed.authenticator, raw, NOW) is prove(followed.authenticator, raw, NOW)


async def test_a_token_that_lives_for_years_is_verified_anew_every_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed = following()
    raw = token(OLD, ttl_s=10**9)
    checked: list[str] = []
    check = TokenAuthenticator._check

    async def counted(self: TokenAuthenticator, given: str, at: float) -> Any:
        checked.append(given)
        return await check(self, given, at)

    monkeypatch.setattr(TokenAuthenticator, "_check", counted)
    for seconds, times in ((0, 1), (MOST_REMEMBERED_S - 1, 1), (MOST_REMEMBERED_S, 2), (0, 3)):
        assert (
            await followed.code(raw, NOW + timedelta(seconds=seconds)) == ""
        )  # the last: the clock goes back
        assert len(checked) == times


async def test_closing_ends_a_reading_that_runs() -> None:
    followed = following(held=threading.Event())
    followed.time_s = REFRESH_S
    assert await followed.code(token(OLD)) == ""
    await followed.authenticator.close()
    held = followed.endpoint.held
    assert held is not None
    held.set()
    assert followed.told == []


Step = Callable[[Followed], None]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["old", "new", "both", "broken", "silent"]),
            st.sampled_from([0.0, 1.0, LEAST_GAP_S, REFRESH_S, 2 * REFRESH_S]),
        ),
        max_size=8,
    )
)
def test_whatever_an_issuer_does_a_token_is_good_exactly_by_the_last_good_set(
    steps: list[tuple[str, float]],
) -> None:
    published = {"old": keys(OLD), "new": keys(NEW), "both": keys(OLD, NEW), "broken": {"keys": []}}

    async def run() -> None:
        followed = following(keys(OLD, NEW))
        tokens = {"old": token(OLD), "new": token(NEW)}
        for state, seconds in steps:
            followed.endpoint.fails = state == "silent"
            if state != "silent":
                followed.endpoint.published = published[state]
            followed.time_s += seconds
            for raw in tokens.values():  # one of these notices the time, a second pass sees what came of it
                await followed.code(raw)
            await followed.settled()
            in_force = followed.authenticator._trusted[ISS]._jwks
            for name, raw in tokens.items():
                is_in_force = published[name]["keys"][0] in in_force["keys"]
                assert (await followed.code(raw) == "") is is_in_force
            if seconds >= REFRESH_S and state not in ("broken", "silent"):
                assert in_force == published[state]
        await followed.authenticator.close()

    asyncio.run(run())
