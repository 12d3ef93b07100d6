"""The review of a campaign's text before anybody is added: what a lexicon knows of it, how long it is, what closes it.

Every variable stands as long as it may be, and the number is taken for one of `HOME`: what passes here may still be
refused for one recipient, and what is found here is found for all.
"""

from dataclasses import dataclass

from fujie.decision.admission import NOT_YET, admission
from fujie.decision.decide import decide
from fujie.decision.facts import Raw, derive
from fujie.decision.message import variables
from fujie.decision.review import Review
from fujie.decision.wording import Finding
from fujie.flows.gate import Case
from fujie.flows.recipients import sending_of
from fujie.flows.wording import Route, Wording, worded
from fujie.model.customer import StoreKey
from fujie.model.decision import ReasonHit
from fujie.model.facts import AGREEMENT, COST, SEGMENTS, Facts
from fujie.model.message import Draft, Recipient
from fujie.model.principal import Principal
from fujie.model.vocabulary import State

HOME = "CN"
"""The country whose numbers most recipients have."""

_FREE_TEXT_MOST = 20
"""Characters of a variable of a free text, which nobody bounds: a name, an order number, a date are shorter."""

_FILLER = "x"
_NOBODY = StoreKey("", "")
_AGREED = (State.VALID, State.NOT_NEEDED)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What was found: in the text, in how many parts it goes, what one message costs (thousandths of the currency of the
    settings; None: no price is known), which kinds of personal data it holds, and for what starting would be refused, or
    needs others to agree, as things are now."""

    findings: tuple[Finding, ...]
    segments: int
    cost: int | None
    personal_data: tuple[str, ...]
    problems: tuple[ReasonHit, ...]


def text_review(case: Case, wording: Wording, route: Route) -> Review:
    """Return the review of the text as it goes out by `route`. Raises RequestError for a text that can not be filled in."""
    names = variables(wording.draft, wording.template)
    longest = {name: _FILLER * (most or _FREE_TEXT_MOST) for name, most in names.items()}
    rendered = wording.sample(Recipient(_NOBODY, longest))
    provider = route.provider.name
    kind = sending_of(case.gate).kinds.get(provider, "")
    return case.decider.reviewer.review(
        rendered, wording.draft, wording.template, wording.sender, provider, HOME, kind
    )


async def facts_of(case: Case, principal: Principal, draft: Draft) -> tuple[Facts, Review]:
    """Return all that is known before any recipient is: of the asker, the text, and the processor behind the provider;
    with the review of the text.

    Raises:
        RequestError: what `worded` and `text_review` say.

    """
    wording = await worded(case, draft, in_campaign=True)
    known = [(_known(case, principal, wording, route)) for route in wording.routes]
    return next((each for each in known if each[0].get(AGREEMENT) in _AGREED), known[0])


def _known(case: Case, principal: Principal, wording: Wording, route: Route) -> tuple[Facts, Review]:
    review = text_review(case, wording, route)
    raw = Raw(
        principal,
        message=wording.told(case, route, review),
        processor=route.processor,
        is_local=route.is_local,
    )
    facts = derive(case.decider.bundle, case.request, raw, case.now, case.gate.zone)
    return Facts({**facts.values, **NOT_YET}), review


async def review_of(case: Case, principal: Principal, draft: Draft) -> Reviewed:
    """Review a draft. Raises like `facts_of`."""
    facts, review = await facts_of(case, principal, draft)
    plan = case.decider.plan(case.request, principal.roles)
    decision = decide(admission(plan, case.request, principal.roles), case.request, facts)
    segments, personal = review.facts.get(SEGMENTS), review.facts.get("message.personal_data")
    cost = facts.get(COST)
    return Reviewed(
        review.findings,
        segments if isinstance(segments, int) else 0,
        cost if isinstance(cost, int) else None,
        personal if isinstance(personal, tuple) else (),
        (*decision.reasons, *decision.warnings),
    )
