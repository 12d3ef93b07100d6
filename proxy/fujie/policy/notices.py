"""Reads Notice documents: what customers are told before they consent.

A notice says at least how to withdraw (PIPL 17): its `withdrawal` must stand in its text, word for word. It is
kept short: a refusal carries it in the trailers of a call, and people read it.
"""

import re

from fujie.model.data_class import DataClass
from fujie.model.notice import CHANNELS, CONTROLLER, PrivacyNotice
from fujie.model.vocabulary import ANY_CHANNEL, Basis
from fujie.policy.catalogue import Catalogue, read_localized
from fujie.policy.places import Located, Place, Report
from fujie.policy.source import Fields

MOST_BYTES = 1_900
"""UTF-8 bytes of both texts together: with the name of the controller (up to 256 bytes, twice or more), reasons
and token they must fit the trailers of a refusal, of which clients drop a call beyond 8 KiB."""

VERSION = re.compile(r"[0-9]{1,8}([.-][0-9]{1,8}){0,2}")


class Notices:
    """The notices read so far. For one purpose and channel there is one."""

    def __init__(self, report: Report, catalogue: Catalogue) -> None:
        self._report = report
        self._catalogue = catalogue
        self._scopes: dict[tuple[str, str], Place] = {}
        self.found: dict[str, PrivacyNotice] = {}

    def read(self, name: Located, spec: Fields) -> None:
        """Read the spec of the Notice called `name`."""
        version = spec.text("version")
        purposes = spec.texts("purposes", required=True)
        channels = spec.texts("channels")
        text = read_localized(spec, "text", self._report, required=True, filled=frozenset({CONTROLLER}))
        withdrawal = read_localized(spec, "withdrawal", self._report, required=True)
        notice = PrivacyNotice(
            id=name.text,
            version=version.text if version else "",
            purposes=frozenset(item.text for item in purposes),
            text=text,
            withdrawal=withdrawal,
            channels=frozenset(item.text for item in channels) or frozenset({ANY_CHANNEL}),
            explicit=spec.flag("explicit"),
            separate=spec.flag("separate"),
            data_classes=self._known(spec, "data_classes"),
            recipients=tuple(item.text for item in spec.texts("recipients")),
            storage=tuple(item.text for item in spec.texts("storage")),
        )
        if version and not VERSION.fullmatch(version.text):
            self._report.problem(
                version.place, "VERSION_INVALID", 'a version is one to three numbers, "2" or "2026-11-21"'
            )
        for channel in channels:
            if channel.text not in CHANNELS:
                known = ", ".join(sorted(CHANNELS))
                self._report.problem(
                    channel.place, "UNKNOWN_CHANNEL", f"`{channel.text}` is not a channel; known: {known}"
                )
        for purpose in purposes:
            self._check_purpose(purpose, notice)
        self._check_text(notice, spec)
        self.found[notice.id] = notice

    def _known(self, spec: Fields, key: str) -> tuple[str, ...]:
        items = spec.texts(key)
        for item in items:
            if item.text not in set(DataClass):
                self._report.problem(
                    item.place,
                    "UNKNOWN_CLASS",
                    f"`{item.text}` is not a data class; known: {', '.join(DataClass)}",
                )
        return tuple(item.text for item in items)

    def _check_purpose(self, item: Located, notice: PrivacyNotice) -> None:
        purpose = self._catalogue.purposes.get(item.text)
        if purpose is None:
            self._report.problem(
                item.place, "UNKNOWN_PURPOSE", f"no Purposes document defines `{item.text}`"
            )
        elif Basis.CONSENT not in purpose.bases:
            self._report.problem(
                item.place, "CONSENT_NOT_ACCEPTED", f"`{item.text}` does not accept consent as its basis"
            )
        for channel in sorted(notice.channels):
            first = self._scopes.setdefault((item.text, channel), item.place)
            if first is not item.place:
                self._report.problem(
                    item.place,
                    "DUPLICATE_NOTICE",
                    f"`{item.text}` ({channel}) has another notice at {first.file}:{first.line}",
                )

    def _check_text(self, notice: PrivacyNotice, spec: Fields) -> None:
        place = spec.key_place("text")
        both = ((notice.text.zh, notice.withdrawal.zh), (notice.text.en, notice.withdrawal.en))
        for text, withdrawal in both:
            if text and CONTROLLER not in text:
                self._report.problem(
                    place,
                    "CONTROLLER_NOT_NAMED",
                    f"the text names the handler: write {CONTROLLER} (PIPL 17)",
                )
            if withdrawal not in text:
                self._report.problem(
                    spec.key_place("withdrawal"),
                    "WITHDRAWAL_NOT_SAID",
                    "how to withdraw stands in the text, in the same words (PIPL 17)",
                )
        if sum(len(text.encode()) for text, _ in both) > MOST_BYTES:
            self._report.problem(
                place, "NOTICE_TOO_LONG", f"both texts together have at most {MOST_BYTES} bytes of UTF-8"
            )
