"""What is said, under whose name, and through whom: a draft resolved against policy, settings and register."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fujie.decision.message import Rendered, render
from fujie.decision.review import Review
from fujie.flows.asking import Asking, spelled
from fujie.flows.gate import Case, Gate
from fujie.flows.recipients import sending_of
from fujie.model.errors import RequestError
from fujie.model.facts import COST, SEGMENTS, FactValue, Known
from fujie.model.message import Draft, Recipient, Sender, Template
from fujie.model.processor import Processor
from fujie.ports.providers import Provider

LINK = "{link}"

_TOKEN_BYTES = 16
_LONG = "A" * 22
"""Stands for a token while a message is judged: base64url of 16 bytes, so that length and segments are right."""


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """One provider, and the company behind it: None, where it is not registered or needs none."""

    provider: Provider
    processor: Processor | None

    @property
    def is_local(self) -> bool:
        """Tell whether nothing leaves this machine, so that nobody has to have agreed to anything."""
        return not self.provider.processor


@dataclass(frozen=True, slots=True, repr=False)
class Wording:
    """A draft with what it names. `routes` are the providers that may carry it, the preferred first; never empty."""

    draft: Draft
    template: Template | None
    sender: Sender | None
    routes: tuple[Route, ...]
    page_url: str
    in_campaign: bool
    asked: Asking | None = None

    @property
    def facts(self) -> Mapping[str, Known]:
        """What the policy sees of the message beside its text."""
        return {"message.in_campaign": self.in_campaign, "message.asks": self.asked is not None}

    def told(self, case: Case, route: Route, review: Review) -> Mapping[str, FactValue]:
        """Return the facts of the message as it goes out by `route`: what its review found, what it costs, and what is known
        beside its text."""
        price, parts = sending_of(case.gate).prices.get(route.provider.name), review.facts[SEGMENTS]
        cost = {COST: price * parts} if price is not None and isinstance(parts, int) else {}
        return {**review.facts, **self.facts, **cost}

    def sample(self, recipient: Recipient) -> Rendered:
        """Return the message to `recipient` with a link of the right length that leads nowhere. Raises RequestError
        TEMPLATE_PARAMS."""
        return self._rendered(recipient, _LONG)

    def final(self, recipient: Recipient, token: str) -> Rendered:
        """Return the message as it goes out. Raises like `sample`."""
        return self._rendered(recipient, token)

    @property
    def has_link(self) -> bool:
        """Tell whether every message leads to a page of its own."""
        return LINK in (self.template.text if self.template else self.draft.text)

    def _rendered(self, recipient: Recipient, token: str) -> Rendered:
        link = self.page_url + token if self.has_link else ""
        return render(self.draft, self.template, recipient.params, link)

    def code(self, route: Route) -> str:
        """Return the template's code at a provider; empty for free text."""
        return self.template.codes.get(route.provider.name, "") if self.template else ""


async def worded(case: Case, draft: Draft, *, in_campaign: bool) -> Wording:
    """Resolve a draft; `in_campaign` tells whether it is one of many.

    Raises:
        RequestError: MESSAGING_OFF, UNKNOWN_TEMPLATE, UNKNOWN_PROVIDER, TEMPLATE_NEEDED, TEMPLATE_PARAMS for a link where
            customers have no page, ARGUMENT_INVALID for a template of another category, NOTICE_MISMATCH for one that asks
            in the words of a notice that is not in force.

    """
    sending, bundle = sending_of(case.gate), case.decider.bundle
    if not sending.providers:
        raise RequestError(code="MESSAGING_OFF")
    template = bundle.templates.get(draft.template) if draft.template else None
    if draft.template and template is None:
        raise RequestError(code="UNKNOWN_TEMPLATE", field="template.id")
    if template is not None and template.category is not draft.category:
        raise RequestError("the template is of another category", field="category")
    sender, asked = bundle.senders.get(draft.signature), None
    if template is not None and template.asks is not None:
        template, asked = await spelled(case, template, template.asks)
    wording = Wording(draft, template, sender, (), sending.page_url, in_campaign, asked)
    if wording.has_link and not sending.page_url:
        raise RequestError("customers have no page to link to", code="TEMPLATE_PARAMS")
    if draft.provider and draft.provider not in sending.providers:
        raise RequestError(code="UNKNOWN_PROVIDER", field="provider")
    named = [sending.providers[draft.provider]] if draft.provider else list(sending.providers.values())
    codes = template.codes if template else {}
    able = [each for each in named if not each.needs_template or each.name in codes]
    if not able:
        raise RequestError(code="TEMPLATE_NEEDED", field="template")
    registered = [
        each for each in able if sender and (not sender.providers or each.name in sender.providers)
    ]
    routes = [
        Route(each, await sending.processors.processor(each.processor) if each.processor else None)
        for each in registered or able
    ]
    return replace(wording, routes=tuple(routes))


def new_token(gate: Gate) -> str:
    """Return the token of a new link: 128 random bits, and nothing that says whose it is."""
    drawn = (gate.ids.nonce() + gate.ids.nonce())[:_TOKEN_BYTES]
    return base64.urlsafe_b64encode(drawn).decode().rstrip("=")


def digest_of(token: str) -> bytes:
    """Return what the ledger knows a token by."""
    return hashlib.sha256(token.encode()).digest()
