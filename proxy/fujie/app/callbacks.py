"""The parts of the section `messaging` about what comes back: where providers call us, and what a "stop" closes."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.problems import Collector
from fujie.app.section import Section, Text
from fujie.model.errors import StartError
from fujie.transport.http.lines import Line

_SECRET = re.compile(r"[A-Za-z0-9_-]{22,128}")
"""22 characters of base64url hold 128 random bits."""


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise PydanticCustomError(
            "setting_invalid", "an address or a network such as 192.0.2.0/24 is meant"
        ) from None
    return text


NetworkText = Annotated[str, AfterValidator(_network)]


class Callback(Section):
    """Where one provider calls us: `<server.public_url>/callbacks/<provider>/<secret>`."""

    secret_file: Path = Field(
        description="File with the secret part of the path, in one line: at least 22 of ASCII letters, digits, `-` and `_`."
    )
    networks: tuple[NetworkText, ...] = Field(
        default=(),
        description="Networks that the provider calls from; empty: any. Most providers sign nothing, so name theirs.",
    )


class Confirming(Section):
    """The text that confirms a customer's "stop"."""

    signature: Text = Field(description="Signature of the text, one of the policies' senders.")
    zh: str = Field(default="", description="Template for numbers of China, Hong Kong, Macao and Taiwan.")
    en: str = Field(
        default="", description="Template for all others; where one of the two is missing the other serves."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "Confirming":
        if not self.zh and not self.en:
            raise PydanticCustomError("setting_missing", "confirm needs zh or en")
        return self


class Replies(Section):
    """What a customer's "stop" closes."""

    purposes: tuple[Text, ...] = Field(
        default=("marketing",),
        min_length=1,
        description="Purposes that it closes, on every channel. Where the policies have none of them, it closes all SMS.",
    )
    by_signature: bool = Field(
        default=False,
        description="Close only for the signature that was replied to, where the provider tells it; else for all.",
    )
    confirm: Confirming | None = Field(
        default=None,
        description="The text that confirms it once, through the same provider; without it nothing does.",
    )


def read_lines(callbacks: Mapping[str, Callback]) -> Mapping[str, Line]:
    """Return where providers call, by name. Raises CannotStart with every secret that can not be read, or be guessed."""
    found = Collector()
    lines = {name: found.take(_line, each) for name, each in callbacks.items()}
    found.finish()
    return {name: line for name, line in lines.items() if line is not None}


def callback_urls(public_url: str, lines: Mapping[str, Line]) -> Mapping[str, str]:
    """Return the address under which each provider calls us, secret included; nothing without `public_url`."""
    if not public_url:
        return {}
    return {name: f"{public_url}/callbacks/{name}/{line.secret}" for name, line in lines.items()}


def _line(callback: Callback) -> Line:
    path = callback.secret_file
    try:
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeError):
        raise StartError("CALLBACK_SECRET", f"{path}: can not be read", "Check path and mode.") from None
    if not _SECRET.fullmatch(secret):
        raise StartError(
            "CALLBACK_SECRET",
            f"{path}: not 22 to 128 of ASCII letters, digits, dash and underscore",
            "Write 16 random bytes as base64url into it.",
        )
    return Line(secret, tuple(ipaddress.ip_network(each) for each in callback.networks))
