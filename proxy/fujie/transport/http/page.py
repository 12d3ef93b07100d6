"""The customers' own page over HTTP: `flows/page.py` and `flows/restore.py` as pages that need no script.

    GET  /c/<token>            what holds            POST /c/<token>/stop      refuse, at once
    GET  /c/<token>/restore    the words             POST /c/<token>/restore   agree to them

A GET changes nothing: messengers and scanners open links by themselves. A form needs no cookie: the token in its address is
what a stranger's site can not know; where the browser says where a form comes from, that is checked too. Paths in
pages are relative, so that an ingress may serve them under any prefix.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from fujie.flows.page import Visit, show, stop, visit
from fujie.flows.restore import Agreed, Obstacle, offer, restore
from fujie.model.consent import NO_NOTICE, Notice
from fujie.model.errors import RequestError
from fujie.model.reason import LocalizedText
from fujie.transport.http.public import Pace, PublicEdge, address_of, body_of
from fujie.transport.http.words import language_for, words

MOST_BODY = 4_096
"""Bytes of a form: ours have less than 500."""

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
            self._route("/restore", "GET", self._offer),
            self._route("/restore", "POST", self._restore),
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
            return await answer(request, await visit(self._gate, token))

        endpoint = self._edge.around(f"page{path}", paced, _failed)
        return Route(f"/c/{{token}}{path}", endpoint, methods=[method])

    async def _show(self, request: Request, visited: Visit) -> Response:
        page = await show(self._gate, visited, request.query_params.get("receipt", ""))
        url = (self._page_url or f"{request.base_url}c/") + request.path_params["token"]
        code = segno.make(url, error="m").svg_inline(omitsize=True, border=2)
        return self._rendered(
            request,
            "page.html",
            page=page,
            is_pending=request.query_params.get("pending") == "1",
            qr=Markup(code),  # noqa: S704 - SVG that segno made of our own address; nothing of a stranger's is in it
            zone=str(self._gate.zone),
        )

    async def _stop(self, request: Request, visited: Visit) -> Response:
        form = await _form(request)
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

    async def _offer(self, request: Request, visited: Visit) -> Response:
        everything = request.query_params.get("of") == "everything"
        offered = await offer(self._gate, visited, everything=everything)
        if offered.obstacle is Obstacle.NONE and not offered.ends and offered.notice is None:
            return _back(request)  # there is nothing to take back
        language = _language(request)
        purpose = self._gate.policies.current.bundle.purposes.get(visited.link.purpose)
        return self._rendered(
            request,
            "restore.html",
            offer=offered,
            everything=everything,
            label=purpose.label if purpose else LocalizedText(visited.link.purpose, visited.link.purpose),
            text=offered.notice.texts[language] if offered.notice else "",
            digest=offered.notice.digest(language) if offered.notice else "",
            signature=visited.link.signature,
        )

    async def _restore(self, request: Request, visited: Visit) -> Response:
        form = await _form(request)
        tag = _LANGUAGE_TAGS.get(form.get("language", ""), "")
        notice = Notice(form.get("notice", ""), form.get("version", ""), tag, form.get("digest", ""))
        agreed = Agreed(
            form.get("form", ""),
            form.get("seen", ""),
            notice if notice.id else NO_NOTICE,
            form.get("of", "") == "everything",
        )
        return _back(request, receipt=await restore(self._gate, visited, agreed))

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
        language, zone = _language(request), self._gate.zone

        def when(moment: datetime) -> str:
            local = moment.astimezone(zone)
            if language == "zh":
                return f"{local.year}年{local.month}月{local.day}日 {local:%H:%M}"
            return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"

        return when


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
    response = _rendered(request, "problem.html", status, key=str(said))
    if status in (429, 503):
        response.headers["retry-after"] = "60"
    return response


def _language(request: Request) -> str:
    return language_for(request.query_params.get("lang", ""), request.headers.get("accept-language", ""))


def _back(request: Request, **said: str) -> Response:
    """Return the way to the page itself: what came by POST is not sent again by a reload."""
    query = urlencode({**said, "lang": _language(request)})
    return RedirectResponse(f"../{request.path_params['token']}?{query}", 303)


async def _form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, each given once. Raises RequestError ARGUMENT_INVALID."""
    body = await body_of(request, MOST_BODY)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=12, errors="strict")
    except ValueError:
        raise RequestError("no form", field="body") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise RequestError("a field is given twice", field="body")
    return form
