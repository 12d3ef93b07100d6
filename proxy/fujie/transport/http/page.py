"""The customers' own page over HTTP: `flows/page.py` and `flows/restore.py` as pages that need no script.

    GET  /c/<token>            what holds            POST /c/<token>/stop      refuse, at once
    GET  /c/<token>/restore    the words             POST /c/<token>/restore   agree to them
    GET  /c/<token>/request    what it means         POST /c/<token>/request   complain, or ask for erasure

A GET changes nothing: messengers and scanners open links by themselves. A form needs no cookie: the token in its address is
what a stranger's site can not know; where the browser says where a form comes from, that is checked too. Paths in
pages are relative, so that an ingress may serve them under any prefix.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from fujie.flows.own_requests import account, open_request
from fujie.flows.page import Visit, refused_here, show, stop, visit
from fujie.flows.restore import Agreed, Obstacle, offer, restore
from fujie.model.consent import NO_NOTICE, Notice
from fujie.model.errors import RequestError, StoreError
from fujie.model.reason import LocalizedText
from fujie.model.subject_request import ANSWER_WITHIN, MOST_TEXT, RequestKind
from fujie.transport.http.public import Pace, PublicEdge, address_of, form_in
from fujie.transport.http.words import language_for, words

MOST_BODY = 4_096
"""Bytes of a form: ours have less than 500."""

MOST_WRITTEN = 16_384
"""Bytes of a form with a text in it: 1,000 characters of up to 12 bytes, since each byte is written as three."""

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "page.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""One style, by its digest; no script, no image, no frame, nothing from elsewhere."""

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_LANGUAGE_TAGS = {"zh": "zh-CN", "en": "en"}

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")
"""A token, and where it ends: phones take Chinese words that follow a link without a blank for a part of it."""


class CustomerPage:
    """The endpoints. `page_url` is what the token follows in a link, as customers call it; empty: as it was called."""

    def __init__(self, edge: PublicEdge, page_url: str) -> None:
        monotonic = edge.gate.clock.monotonic
        self._edge = edge
        self._gate = edge.gate
        self._page_url = page_url
        # Carriers put thousands behind one address, so its pace is for machines; nobody clicks a link thirty times.
        self._by_address = Pace(5.0, 200.0, monotonic)
        self._by_token = Pace(0.5, 30.0, monotonic)

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        return [
            self._route("", "GET", self._show),
            self._route("/stop", "POST", self._stop),
            self._route("/stop", "GET", self._again),
            self._route("/restore", "GET", self._offer),
            self._route("/restore", "POST", self._restore),
            self._route("/request", "GET", self._ask),
            self._route("/request", "POST", self._request),
        ]

    def _route(
        self, path: str, method: str, answer: Callable[[Request, Visit], Awaitable[Response]]
    ) -> Route:
        async def paced(request: Request) -> Response:
            token = request.path_params["token"]
            if not (self._by_address.allows(address_of(request)) and self._by_token.allows(token)):
                return _failed(request, 429)
            if method == "POST" and not self._is_own_form(request):
                return _failed(request, 400)
            if not path and (found := _TOKEN.match(token)) and found[0] != token:
                return RedirectResponse(found[0], 303)
            return await answer(request, await visit(self._gate, token))

        endpoint = self._edge.around(f"page{path}", paced, _failed)
        return Route(f"/c/{{token}}{path}", endpoint, methods=[method])

    async def _show(self, request: Request, visited: Visit) -> Response:
        receipt = request.query_params.get("receipt", "")
        try:
            page = await show(self._gate, visited, receipt)
            told = await account(self._gate, visited)
        except StoreError as error:
            self._edge.tell("page", error)
            return await self._refusing(request, visited, receipt)
        url = (self._page_url or f"{request.base_url}c/") + request.path_params["token"]
        code = segno.make(url, error="m").svg_inline(omitsize=True, border=2)
        return self._rendered(
            request,
            "page.html",
            page=page,
            standing={each.kind.value: each for each in told.standing},
            taken=next((each for each in told.standing if each.id == receipt), None),
            disclosures=told.disclosures,
            label_of=self._label,
            day=self._day(request),
            is_pending=request.query_params.get("pending") == "1",
            qr=Markup(code),  # noqa: S704 - SVG that segno made of our own address; nothing of a stranger's is in it
            zone=str(self._gate.zone),
        )

    async def _refusing(self, request: Request, visited: Visit, receipt: str) -> Response:
        """Return what is left of the page while a store is away: nobody has to wait for it to say no."""
        values = {
            "form": self._gate.ids.new_id(),
            "receipt": await refused_here(self._gate, visited, receipt),
            "label": self._label(visited.link.purpose),
            "signature": visited.link.signature,
        }
        response = _rendered(request, "away.html", 503, **values)
        response.headers["retry-after"] = "60"
        return response

    async def _stop(self, request: Request, visited: Visit) -> Response:
        form = await form_in(request, MOST_BODY)
        of = form.get("of", "")
        if of not in ("purpose", "everything"):
            raise RequestError("say what is refused", field="of")
        try:
            given = await stop(self._gate, visited, form.get("form", ""), everything=of == "everything")
        except RequestError as error:
            if error.code != "OPT_OUT_PENDING":
                raise
            return _back(request, pending="1")
        return _back(request, receipt=given.suppression_id)

    async def _again(self, request: Request, _: Visit) -> Response:
        """Lead back who opens the address of a form that failed."""
        return _back(request)

    async def _offer(self, request: Request, visited: Visit) -> Response:
        everything = request.query_params.get("of") == "everything"
        offered = await offer(self._gate, visited, everything=everything)
        if offered.obstacle is Obstacle.NONE and not offered.ends and offered.notice is None:
            return _back(request)  # there is nothing to take back
        language = _language(request)
        return self._rendered(
            request,
            "restore.html",
            offer=offered,
            everything=everything,
            label=self._label(visited.link.purpose),
            text=offered.notice.texts[language] if offered.notice else "",
            digest=offered.notice.digest(language) if offered.notice else "",
            signature=visited.link.signature,
        )

    async def _restore(self, request: Request, visited: Visit) -> Response:
        form = await form_in(request, MOST_BODY)
        tag = _LANGUAGE_TAGS.get(form.get("language", ""), "")
        notice = Notice(form.get("notice", ""), form.get("version", ""), tag, form.get("digest", ""))
        agreed = Agreed(
            form.get("form", ""),
            form.get("seen", ""),
            notice if notice.id else NO_NOTICE,
            form.get("of", "") == "everything",
        )
        return _back(request, receipt=await restore(self._gate, visited, agreed))

    async def _ask(self, request: Request, visited: Visit) -> Response:
        if "of" not in request.query_params:  # the address of a form that failed
            return _back(request)
        kind = _kind(request.query_params["of"])
        told = await account(self._gate, visited)
        if any(each.kind is kind for each in told.standing):
            return _back(request)  # the page shows it
        return self._rendered(
            request,
            "request.html",
            kind=kind.value,
            form=self._gate.ids.new_id(),
            days=ANSWER_WITHIN.days,
            most=MOST_TEXT,
            signature=visited.link.signature,
        )

    async def _request(self, request: Request, visited: Visit) -> Response:
        form = await form_in(request, MOST_WRITTEN)
        kind = _kind(form.get("of", ""))
        opened = await open_request(self._gate, visited, form.get("form", ""), kind, form.get("text", ""))
        return _back(request, receipt=opened.id)

    def _label(self, purpose_id: str) -> LocalizedText:
        purpose = self._gate.policies.current.bundle.purposes.get(purpose_id)
        return purpose.label if purpose else LocalizedText(purpose_id, purpose_id)

    def _is_own_form(self, request: Request) -> bool:
        """Tell whether a form may come from our own page. With `no-referrer` browsers say `null` of our pages too."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return False
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        origin = request.headers.get("origin", "null")
        ours = urlsplit(self._page_url) if self._page_url else request.url
        return origin in ("null", f"{ours.scheme}://{ours.netloc}")

    def _rendered(self, request: Request, template: str, **values: Any) -> Response:
        return _rendered(request, template, 200, when=self._when(request), **values)

    def _when(self, request: Request) -> Callable[[datetime], str]:
        """Return how times are written: in the zone of the settings, to the minute."""
        day, zone = self._day(request), self._gate.zone
        between = " " if _language(request) == "zh" else ", "

        def when(moment: datetime) -> str:
            local = moment.astimezone(zone)
            return f"{day(local)}{between}{local:%H:%M}"

        return when

    def _day(self, request: Request) -> Callable[[date], str]:
        """Return how days are written."""
        is_chinese = _language(request) == "zh"

        def day(of: date) -> str:
            if is_chinese:
                return f"{of.year}年{of.month}月{of.day}日"
            return f"{of.day} {_MONTHS[of.month - 1]} {of.year}"

        return day


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _rendered(request: Request, template: str, status: int, **values: Any) -> Response:
    language = _language(request)
    other = "en" if language == "zh" else "zh"
    query = {**request.query_params, "lang": other}
    text = _ENVIRONMENT.get_template(template).render(
        w=words(language),
        language=language,
        tag=_LANGUAGE_TAGS[language],
        other=other,
        other_query=urlencode(query) if request.method == "GET" else "",
        style=Markup(_STYLE),  # noqa: S704 - a file of ours, whose digest the policy names
        token=request.path_params["token"],
        lang_query=urlencode({"lang": language}),
        **values,
    )
    return HTMLResponse(text, status)


def _failed(request: Request, status: int) -> Response:
    """Return the page of an error: it says what to do, and nothing about the request."""
    said = {403: 400, 408: 400, 413: 400}.get(status, status)
    token = request.path_params["token"]
    up = "" if request.url.path.endswith(f"/{token}") else "../"
    back = f"{up}{token}" if said != 404 and _TOKEN.fullmatch(token) else ""
    response = _rendered(request, "problem.html", status, key=str(said), back=back)
    if status in (429, 503):
        response.headers["retry-after"] = "60"
    return response


def _language(request: Request) -> str:
    return language_for(request.query_params.get("lang", ""), request.headers.get("accept-language", ""))


def _back(request: Request, **said: str) -> Response:
    """Return the way to the page itself: what came by POST is not sent again by a reload."""
    query = urlencode({**said, "lang": _language(request)})
    return RedirectResponse(f"../{request.path_params['token']}?{query}", 303)


def _kind(word: str) -> RequestKind:
    kinds = {"complaint": RequestKind.COMPLAINT, "erasure": RequestKind.ERASURE}
    if word not in kinds:
        raise RequestError("say what is asked for", field="of")
    return kinds[word]
