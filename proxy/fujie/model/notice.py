"""Notices: the exact words that a customer is shown before consent counts (PIPL 14, 17, 23, 29)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from fujie.model.reason import LocalizedText
from fujie.model.vocabulary import ANY_CHANNEL

CONTROLLER = "{controller}"
"""The one placeholder of a notice: the name of the personal information handler (PIPL 17)."""

NOTICE = "{notice}"
"""The one placeholder of a remedy: id and version of the notice in force for the purpose of the request, or the purpose
where it has none."""

CHANNELS = frozenset({"sms", "voice", "email", "wechat", ANY_CHANNEL})
"""Closed, because a withdrawal for a misspelt channel would hold for nothing."""


@dataclass(frozen=True, slots=True)
class PrivacyNotice:
    """One version of a notice. `id` and `version` name it for ever: other content needs another version.

    `explicit` and `separate` tell which kind of consent it asks for, `data_classes`, `recipients` and `storage`
    what is consented to. `withdrawal` says how to withdraw, and is part of `text`.
    """

    id: str
    version: str
    purposes: frozenset[str]
    text: LocalizedText
    withdrawal: LocalizedText
    channels: frozenset[str] = frozenset({ANY_CHANNEL})
    explicit: bool = False
    separate: bool = False
    data_classes: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()

    def covers(self, purpose: str, channel: str) -> bool:
        """Tell whether consent for `purpose` on `channel` can rest on this notice."""
        return purpose in self.purposes and not self.channels.isdisjoint({channel, ANY_CHANNEL})

    def shown(self, controller: str) -> "PrivacyNotice":
        """Return the notice as customers see it, the controller's name in place: only that has a digest."""
        zh, en = (text.replace(CONTROLLER, controller) for text in (self.text.zh, self.text.en))
        return replace(self, text=LocalizedText(zh, en))

    @property
    def texts(self) -> Mapping[str, str]:
        """Language (`zh`, `en`) to text."""
        return MappingProxyType({"zh": self.text.zh, "en": self.text.en})

    def digest(self, language: str) -> str:
        """Return the digest of the text in `language` (BCP 47, `zh-CN` for example); empty when there is none."""
        text = self.texts.get(language_of(language), "")
        return digest_of(text) if text else ""


def language_of(tag: str) -> str:
    """Return the primary subtag of a BCP 47 tag, which is what texts are kept by."""
    return tag.partition("-")[0].lower()


def digest_of(text: str) -> str:
    """Return the digest of a text as shown: SHA-256 of its UTF-8, hex."""
    return hashlib.sha256(text.encode()).hexdigest()
