"""The pages for employees: who is there, and what every page has. What the pages are about is in `inbox.py`.

    GET  /console/login      how to sign in         POST /console/login     a token, where no provider is configured
    GET  /console/start      to the provider        GET  /console/callback  back from it
    POST /console/logout

1. Somebody is signed in as long as his cookie says, `__Host-`, HttpOnly, Secure, SameSite=Strict; what he may is decided by
   the flows at every request, which ask the directory.
2. A form must come from our own origin (Origin, Sec-Fetch-Site), and name its session and what it is about.
3. Nothing leads anywhere but to /console: no address of a page is ever taken from a request.
4. Pages hold no script, and nothing from elsewhere; no other site can frame them; nothing is cached.
"""

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from fujie.flows.console import (
    SIGN_IN_WITHIN,
    Session,
    attempt_of,
    end_sessions,
    new_attempt,
    opened_session,
    session_of,
)
from fujie.flows.gate import Gate
from fujie.flows.reply import Refusal
from fujie.model.errors import CredentialError
from fujie.model.principal import Credential
from fujie.ports import Authenticator
from fujie.ports.signin import SignIn
from fujie.transport.http.console_words import console_words
from fujie.transport.http.public import Incident, Pace, PublicEdge, address_of, form_in
from fujie.transport.http.stepwords import step_words
from fujie.transport.http.words import language_for

MOST_FORM = 16_384
"""Bytes of a form: a token of 8,192 characters, or a comment of 500 whose bytes are written as three."""

COOKIE, ATTEMPT_COOKIE = "__Host-fujie", "__Host-fujie-signin"

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = "".join((_TEMPLATES / name).read_text("utf-8") for name in ("page.css", "console.css"))
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "x-frame-options": "DENY",
    # Not `no-referrer`, with which browsers say no origin of a form; other sites learn nothing by this one either.
    "referrer-policy": "same-origin",
}

_LANGUAGE_TAGS = {"zh": "zh-CN", "en": "en"}
_TONES = {
    **dict.fromkeys(("APPROVED", "USED", "REVIEWED"), "open"),
    **dict.fromkeys(("REJECTED", "REVOKED", "EXPIRED"), "closed"),
}
"""The class of page.css for the mark of a state of an approval; the others have none."""

_GONE = frozenset({"PRINCIPAL_UNKNOWN", "PRINCIPAL_SUSPENDED", "PRINCIPAL_OFFBOARDED"})


def visible(text: str) -> str:
    """Return a text of a stranger for a page: what can not be seen, or turns the direction of writing, as its number."""
    return "".join(each if each.isprintable() else f"\\u{{{ord(each):x}}}" for each in text)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["visible"] = visible
_ENVIRONMENT.filters["in_words"] = step_words
_ENVIRONMENT.filters["tone"] = lambda state: _TONES.get(state, "")


@dataclass(frozen=True, slots=True, repr=False)
class Door:
    """How people get in: by `sign_in`, or where that is None by a token that `authenticator` believes. `origin` is that of the
    console as browsers say it; a session lasts `lasts`."""

    authenticator: Authenticator
    sign_in: SignIn | None
    origin: str
    lasts: timedelta


Page = Callable[[Request, Session], Awaitable[Response]]


class Console:
    """What every page of the console has."""

    def __init__(self, edge: PublicEdge, door: Door) -> None:
        self.gate: Gate = edge.gate
        self._edge = edge
        self._door = door
        self._paces = Pace(5.0, 200.0, edge.gate.clock.monotonic)
        self._sign_ins = Pace(0.2, 20.0, edge.gate.clock.monotonic)

    def routes(self) -> list[Route]:
        """Return the routes by which people come and go."""
        return [
            self.route("/login", "GET", self._login),
            self.route("/login", "POST", self._enter),
            self.route("/start", "GET", self._start),
            self.route("/callback", "GET", self._callback),
            self.route("/logout", "POST", self._leave),
        ]

    def route(self, path: str, method: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
        """Return one route under /console: paced, and a POST only from our own pages."""

        async def checked(request: Request) -> Response:
            if not self._paces.allows(address_of(request)):
                return failed(request, 429)
            if method == "POST" and not self._is_own_form(request):
                return failed(request, 400)
            return await answer(request)

        endpoint = self._edge.around(f"console{path}", checked, failed)
        return Route(f"/console{path}", endpoint, methods=[method])

    def for_people(self, path: str, method: str, page: Page) -> Route:
        """Return a route for who is signed in; anybody else is asked to."""

        async def known(request: Request) -> Response:
            session = await session_of(self.gate, request.cookies.get(COOKIE, ""))
            if session is None:
                return to("/console/login", request)
            return await page(request, session)

        return self.route(path, method, known)

    async def _login(self, request: Request) -> Response:
        return rendered(
            request, "console_login.html", 200, by_provider=self._door.sign_in is not None, code=""
        )

    async def _enter(self, request: Request) -> Response:
        """Take a token, where no provider is configured."""
        if self._door.sign_in is not None:
            return failed(request, 404)
        token = (await form_in(request, MOST_FORM)).get("token", "").strip()
        if not self._sign_ins.allows(address_of(request)):
            return failed(request, 429)
        now = self.gate.clock.now()
        try:
            credential = await self._door.authenticator.verify(token, now)
        except CredentialError as error:
            return self._refused(request, error)
        return await self._entered(request, credential, _end_of(token))

    async def _start(self, request: Request) -> Response:
        """Lead to the provider. Changes nothing but the cookie of the attempt."""
        sign_in = self._door.sign_in
        if sign_in is None:
            return to("/console/login", request)
        if not self._sign_ins.allows(address_of(request)):
            return failed(request, 429)
        attempt, cookie = new_attempt(self.gate)
        try:
            address = await sign_in.address(attempt)
        except CredentialError as error:
            return self._refused(request, error)
        response = RedirectResponse(address, 303)
        # Lax: it has to come with the browser's way back from another site.
        age = int(SIGN_IN_WITHIN.total_seconds())
        response.set_cookie(ATTEMPT_COOKIE, cookie, max_age=age, secure=True, httponly=True, samesite="lax")
        return response

    async def _callback(self, request: Request) -> Response:
        """Take who comes back from the provider, once and only in the browser that went there."""
        sign_in, query = self._door.sign_in, request.query_params
        if sign_in is None:
            return failed(request, 404)
        if len(query.multi_items()) != len(query):
            return failed(request, 400)
        cookie = request.cookies.get(ATTEMPT_COOKIE, "")
        attempt = attempt_of(self.gate, cookie, query.get("state", ""))
        if attempt is None or not query.get("code"):
            return self._refused(request, CredentialError("no attempt of this browser"))
        try:
            now = self.gate.clock.now()
            credential = await sign_in.finish(query["code"], query.get("iss", ""), attempt, now)
        except CredentialError as error:
            return self._refused(request, error)
        return await self._entered(request, credential, None)

    async def _leave(self, request: Request) -> Response:
        """End every session of who is signed in."""
        if (session := await session_of(self.gate, request.cookies.get(COOKIE, ""))) is not None:
            await end_sessions(self.gate, session)
        response = to("/console/login", request)
        _forget(response, COOKIE)
        return response

    async def _entered(self, request: Request, credential: Credential, ends: datetime | None) -> Response:
        """Begin a session: a new one, whatever cookie the browser had. The page leads on by itself, since a browser that
        another site sent here would not show a strict cookie after a redirect."""
        until = self.gate.clock.now() + self._door.lasts
        until = min(until, ends) if ends is not None else until
        cookie = await opened_session(self.gate, credential, until)
        response = rendered(request, "console_entered.html", 200)
        response.set_cookie(COOKIE, cookie, secure=True, httponly=True, samesite="strict")
        _forget(response, ATTEMPT_COOKIE)
        return response

    def _refused(self, request: Request, error: CredentialError) -> Response:
        """Say that nobody was signed in, and to who runs the server that somebody was not."""
        self._edge.report(
            Incident(self.gate.ids.new_id(), "console/sign-in", error.code, type(error).__name__)
        )
        by_provider = self._door.sign_in is not None
        response = rendered(request, "console_login.html", 403, by_provider=by_provider, code=error.code)
        _forget(response, ATTEMPT_COOKIE)
        return response

    def _is_own_form(self, request: Request) -> bool:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        site = request.headers.get("sec-fetch-site", "same-origin")
        is_ours = request.headers.get("origin", "") == self._door.origin and site == "same-origin"
        return is_ours and kind == "application/x-www-form-urlencoded"

    def when(self, request: Request) -> Callable[[datetime], str]:
        """Return how times are written: in the zone of the settings, to the minute."""
        between = " " if language_of(request) == "zh" else ", "
        return lambda moment: f"{moment.astimezone(self.gate.zone):%Y-%m-%d{between}%H:%M}"

    def refused(self, request: Request, refusal: Refusal) -> Response:
        """Return the page of a refusal: its first reason, in words. Who is not employed any more is signed out."""
        reason = refusal.reasons[0]
        status = 404 if reason.code == "APPROVAL_NOT_FOUND" else 403
        response = rendered(
            request, "console_problem.html", status, key="refused", reason=reason, back="/console"
        )
        if reason.code in _GONE:
            _forget(response, COOKIE)
        return response


def rendered(request: Request, template: str, status: int, **values: Any) -> Response:
    """Return a page."""
    language = language_of(request)
    other = "en" if language == "zh" else "zh"
    text = _ENVIRONMENT.get_template(template).render(
        w=console_words(language),
        language=language,
        tag=_LANGUAGE_TAGS[language],
        other=other,
        other_query=urlencode({**request.query_params, "lang": other}) if _is_plain(request) else "",
        style=Markup(_STYLE),  # noqa: S704 - files of ours, whose digest the policy names
        lang_query=urlencode({"lang": language}),
        **values,
    )
    return HTMLResponse(text, status)


def failed(request: Request, status: int) -> Response:
    """Return the page of an error: it says what to do, and nothing about the request."""
    said = {403: 400, 408: 400, 413: 400}.get(status, status)
    return rendered(request, "console_problem.html", status, key=str(said), reason=None, back="/console")


def to(path: str, request: Request, **said: str) -> Response:
    """Return the way to a page of ours."""
    return RedirectResponse(f"{path}?{urlencode({**said, 'lang': language_of(request)})}", 303)


def language_of(request: Request) -> str:
    """Return the language in which somebody is answered."""
    return language_for(request.query_params.get("lang", ""), request.headers.get("accept-language", ""))


def origin_of_url(url: str) -> str:
    """Return what browsers say as the origin of pages at an address."""
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}[parts.scheme]
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if parts.port in (None, usual) else f":{parts.port}")


def _is_plain(request: Request) -> bool:
    """Tell whether the same address in another language is a page: not where a code or a form came."""
    return request.method == "GET" and request.url.path != "/console/callback"


def _forget(response: Response, name: str) -> None:
    response.delete_cookie(name, secure=True, httponly=True, samesite="strict")


def _end_of(token: str) -> datetime | None:
    """Return when a verified token ends; None for one that does not say."""
    try:
        part = token.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"]
        return datetime.fromtimestamp(float(ends), tz=UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None
