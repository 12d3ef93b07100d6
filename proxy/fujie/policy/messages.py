"""Reads Sender and MessageTemplate documents: under which names messages go out, and the texts that were registered."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from fujie.model.message import CHANNEL, Ask, Category, Sender, Template
from fujie.model.notice import PrivacyNotice
from fujie.policy.catalogue import NAME
from fujie.policy.notices import VERSION
from fujie.policy.places import Located, Report
from fujie.policy.source import Fields

LINK = "link"
"""The variable of every text that fujie fills in itself: the customer's own page."""

NOTICE = "notice"
"""The variable of a template that asks for consent, in whose place the words of the notice stand."""

LANGUAGES = ("zh", "en")

LONGEST_SIGNATURE = 32
"""Code points. Alibaba takes 12, Tencent 12; an alphanumeric sender of GSM has 11."""

LONGEST_TEXT = 1_000
"""Code points of a template: some fifteen segments of Chinese, more than any provider takes."""

DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
"""A domain name in lower case, in its ASCII form (RFC 1123, RFC 5890)."""

CATEGORIES = {category.value.lower(): category for category in Category}
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_BRACKETS = frozenset("【】[]{}")


class Messages:
    """The senders and templates read so far: `senders` by signature, `templates` by id."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._places: dict[str, Located] = {}
        self._asks: list[tuple[Ask, Located]] = []
        self.senders: dict[str, Sender] = {}
        self.templates: dict[str, Template] = {}

    def read(self, kind: str, name: Located, spec: Fields) -> None:
        """Read the spec of a Sender or a MessageTemplate; of another kind nothing."""
        if kind == "Sender":
            self._sender(spec)
        elif kind == "MessageTemplate":
            self._template(name, spec)

    def _sender(self, spec: Fields) -> None:
        signature = spec.text("signature")
        providers = frozenset(item.text for item in spec.texts("providers"))
        domains = spec.texts("domains")
        for item in domains:
            if not DOMAIN.fullmatch(item.text):
                message = (
                    f"`{item.text}` is not a domain: lower case and ASCII, without scheme, port or path"
                )
                self._report.problem(item.place, "DOMAIN_INVALID", message)
        if signature is None:
            return
        self._check_signature(signature)
        self.senders[signature.text] = Sender(
            signature.text, providers, frozenset(item.text for item in domains)
        )

    def _check_signature(self, signature: Located) -> None:
        text = signature.text
        if len(text) > LONGEST_SIGNATURE or not text.isprintable() or text != text.strip():
            message = f"a signature is one line of at most {LONGEST_SIGNATURE} characters"
            self._report.problem(signature.place, "SIGNATURE_INVALID", message)
        elif not _BRACKETS.isdisjoint(text):
            message = "a signature is written without its brackets"
            self._report.problem(signature.place, "SIGNATURE_INVALID", message)
        if first := self._places.get(text):
            message = f"`{text}` also stands at {first.place.file}:{first.place.line}"
            self._report.problem(signature.place, "DUPLICATE_NAME", message)
        self._places.setdefault(text, signature)

    def _template(self, name: Located, spec: Fields) -> None:
        version, category, text = spec.text("version"), spec.text("category"), spec.text("text")
        variables = self._variables(spec)
        codes = self._codes(spec)
        if version and not VERSION.fullmatch(version.text):
            message = 'a version is one to three numbers, "2" or "2026-11-21"'
            self._report.problem(version.place, "VERSION_INVALID", message)
        if category and category.text not in CATEGORIES:
            message = f"`{category.text}` is not a category; known: {', '.join(sorted(CATEGORIES))}"
            self._report.problem(category.place, "UNKNOWN_CATEGORY", message)
        if text:
            self._check_text(text, variables, spec)
        self.templates[name.text] = Template(
            name.text,
            version.text if version else "",
            CATEGORIES.get(category.text if category else "", Category.MARKETING),
            text.text if text else "",
            variables,
            codes,
            self._ask(spec, category, text),
        )

    def finish(self, notices: Mapping[str, PrivacyNotice]) -> None:
        """Refuse templates that ask by a notice that is not there, or that is about something else."""
        for ask, place in self._asks:
            notice = notices.get(ask.notice)
            if notice is None or not notice.covers(ask.purpose, CHANNEL):
                message = f"`{ask.notice}` is no notice about `{ask.purpose}` by {CHANNEL}"
                self._report.problem(place.place, "UNKNOWN_NOTICE", message)

    def _ask(self, spec: Fields, category: Located | None, text: Located | None) -> Ask | None:
        """Return what a template asks for. To ask is no advertising (AdLaw 43), and shows the whole notice."""
        owner = spec.fields("asks", required=False)
        if owner is None:
            return None
        purpose, notice, language = owner.text("purpose"), owner.text("notice"), owner.text("language")
        owner.finish()
        if language and language.text not in LANGUAGES:
            message = f"`{language.text}` is not a language; known: {', '.join(LANGUAGES)}"
            self._report.problem(language.place, "UNKNOWN_LANGUAGE", message)
        if category and CATEGORIES.get(category.text) is not Category.TRANSACTIONAL:
            self._report.problem(
                category.place, "UNKNOWN_CATEGORY", "a template that asks for consent is transactional"
            )
        if text and text.text.count(f"{{{NOTICE}}}") != 1:
            message = f"a template that asks for consent holds {{{NOTICE}}} once"
            self._report.problem(text.place, "NOTICE_MISSING", message)
        if purpose is None or notice is None or language is None:
            return None
        ask = Ask(purpose.text, notice.text, language.text)
        self._asks.append((ask, notice))
        return ask

    def _variables(self, spec: Fields) -> Mapping[str, int]:
        owner = spec.fields("variables", required=False)
        found: dict[str, int] = {}
        for name in owner.names if owner else ():
            place = owner.key_place(name) if owner else spec.place
            found[name] = owner.integer(name, 1, 1, LONGEST_TEXT) if owner else 1
            if not NAME.fullmatch(name) or name in (LINK, NOTICE):
                message = f"`{name}` is not a name: lower_snake, at most 63, not `{LINK}` or `{NOTICE}`"
                self._report.problem(place, "NAME_INVALID", message)
        return MappingProxyType(found)

    def _codes(self, spec: Fields) -> Mapping[str, str]:
        owner = spec.fields("codes", required=False)
        return MappingProxyType(
            {name: item.text for name, item in owner.each_text().items()} if owner else {}
        )

    def _check_text(self, text: Located, variables: Mapping[str, int], spec: Fields) -> None:
        named = set(_VARIABLE.findall(text.text)) - {LINK, *((NOTICE,) if "asks" in spec else ())}
        rest = _VARIABLE.sub("", text.text)
        if len(text.text) > LONGEST_TEXT:
            message = f"a text has at most {LONGEST_TEXT} characters"
            self._report.problem(text.place, "TEXT_TOO_LONG", message)
        if "{" in rest or "}" in rest:
            self._report.problem(text.place, "TEXT_INVALID", "a brace belongs to a variable: `{name}`")
        if "【" in rest or "】" in rest:
            message = "the signature is put before the text; 【 and 】 are for it alone"
            self._report.problem(text.place, "SIGNATURE_IN_TEXT", message)
        if unknown := sorted(named - variables.keys()):
            message = f"`variables` does not say how long {', '.join(unknown)} may be"
            self._report.problem(text.place, "UNKNOWN_VARIABLE", message)
        if unused := sorted(variables.keys() - named):
            message = f"the text has no {', '.join(f'{{{name}}}' for name in unused)}"
            self._report.problem(spec.key_place("variables"), "UNUSED_VARIABLE", message)
