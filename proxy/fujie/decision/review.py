"""What a message says, as facts for the policy: words of lexicons, links, refusal wording, personal data, length.

The review refuses nothing; guards do. What it could not look at is left out of the facts, so that it is Unknown and a rule
that reads it refuses: nobody looked is not nothing found.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fujie.decision.findings import NotLooked, find_personal
from fujie.decision.folding import fold
from fujie.decision.links import judged, links
from fujie.decision.message import Rendered
from fujie.decision.variables import fit
from fujie.decision.wording import Finding, Words
from fujie.model.data_class import DataClass
from fujie.model.facts import FactValue
from fujie.model.message import Draft, Sender, Template
from fujie.model.segments import segments
from fujie.model.vocabulary import State
from fujie.policy.bundle import Lexicon, Severity

REFUSALS: Final = tuple(
    dict.fromkeys(
        fold(form).compact
        for form in (
            # Aliyun, Tencent and Huawei end every marketing text with the first; Qiniu documents 回T and 回TD. Read 2026-11.
            *("拒收请回复R", "回T退订", "回TD退订"),
            # The same in other words, as carriers use them. Not from a document.
            *("拒收回复R", "拒收请回R", "拒收回R", "退订回T", "退订回TD", "退订回N", "退订请回复TD", "退订请回复T", "退订回复TD"),
            *("退订回复T", "退订回R", "退订请回复R", "退订回复R", "回复T退订", "回复TD退订", "回复R退订", "回N退订", "回R退订"),
            *("回复R拒收", "回R拒收", "回T拒收", "拒收回T", "拒收请回复T"),
            # Stop words of Twilio, read 2026-11, in the sentence that its guide for senders shows.
            *("reply STOP", "reply STOP to unsubscribe", "reply STOP to opt out", "reply STOP to opt-out", "reply STOP to end"),
            *("reply STOP to stop", "reply STOP to cancel", "reply STOP to quit", "text STOP to unsubscribe", "text STOP to opt out"),
            *("text STOP to end", "text STOP to stop", "text STOP to cancel", "STOP to opt out", "STOP to unsubscribe"),
            *("STOP to end", "STOP to stop", "STOP to cancel", "STOP to quit", "STOP2END", "txt STOP to end"),
        )
    )
)  # fmt: skip
"""How a message says at its end that it can be refused, folded."""

_MOST_TEXTS = 1_024
"""Texts whose findings are kept, least recently used first out; 1 MB of texts at most."""


@dataclass(frozen=True, slots=True)
class Review:
    """What the review of one message found, and the facts that it established."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, FactValue]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a text says whoever sends it. `personal` None: nobody looked."""

    findings: tuple[Finding, ...]
    hosts: tuple[str, ...]
    has_refusal: bool
    has_brackets: bool
    personal: tuple[str, ...] | None


class Reviewer:
    """Reviews messages by the lexicons of one bundle. Texts that come again are answered from memory; not thread-safe."""

    def __init__(self, lexicons: Iterable[Lexicon]) -> None:
        known = tuple(lexicons)
        self._words = Words(known) if known else None
        self._looked: OrderedDict[tuple[object, ...], _Looked] = OrderedDict()

    def review(
        self,
        rendered: Rendered,
        draft: Draft,
        template: Template | None,
        sender: Sender | None,
        provider: str,
        country: str,
        kind: str = "",
    ) -> Review:
        """Return what a message says that goes through `provider`, of this `kind` (empty: the name), to `country`.

        `sender` is the one of the bundle for the draft's signature, if any. The customer's own page (`{link}`) is a listed link.
        Linear in the text.
        """
        looked = self._look(rendered)
        signed = f"【{draft.signature}】{rendered.text}" if draft.signature else rendered.text
        links_to = judged(looked.hosts, sender.domains if sender else frozenset())
        facts: dict[str, FactValue] = {
            "message.category": State(draft.category.value),
            "message.provider": provider,
            "message.is_template": template is not None,
            "message.segments": segments(signed, country),
            "message.has_signature": bool(draft.signature) and not looked.has_brackets,
            "message.signature_registered": _is_registered(draft, sender, provider),
            "message.has_refusal": looked.has_refusal,
            "message.links": State.LISTED if links_to is State.NONE and _has_page(rendered) else links_to,
        }
        if self._words is not None:
            facts["message.findings"] = _categories(looked.findings, Severity.DENY)
            facts["message.concerns"] = _categories(looked.findings, Severity.WARN)
        if looked.personal is not None:
            facts["message.personal_data"] = looked.personal
        fits = fit(kind or provider, template, rendered.params)
        if fits is not None:
            facts["message.variables_fit"] = fits
        return Review(looked.findings, facts)

    def _look(self, rendered: Rendered) -> _Looked:
        key = (rendered.bare, rendered.filled)
        looked = self._looked.get(key)
        if looked is not None:
            self._looked.move_to_end(key)
            return looked
        folded = fold(rendered.bare)
        looked = _Looked(
            findings=self._words.find(folded) if self._words is not None else (),
            hosts=links(rendered.bare),
            has_refusal=folded.compact.endswith(REFUSALS),
            has_brackets="【" in rendered.bare or "】" in rendered.bare,
            personal=_personal(rendered),
        )
        if len(self._looked) >= _MOST_TEXTS:
            self._looked.popitem(last=False)
        self._looked[key] = looked
        return looked


def _personal(rendered: Rendered) -> tuple[str, ...] | None:
    """Return what kinds of personal data stand in the text; the name in a variable is the recipient's own."""
    found = find_personal(rendered.bare)
    if isinstance(found, NotLooked):
        return None
    return tuple(
        sorted(
            {
                each.data_class.value
                for each in found
                if each.data_class is not DataClass.PERSON_NAME
                or not any(start <= each.start and each.end <= end for start, end in rendered.filled)
            }
        )
    )


def _is_registered(draft: Draft, sender: Sender | None, provider: str) -> bool:
    if sender is None or sender.signature != draft.signature:
        return False
    return not sender.providers or provider in sender.providers


def _has_page(rendered: Rendered) -> bool:
    return rendered.bare != rendered.text


def _categories(findings: tuple[Finding, ...], severity: Severity) -> tuple[str, ...]:
    return tuple(sorted({each.category for each in findings if each.severity is severity}))
