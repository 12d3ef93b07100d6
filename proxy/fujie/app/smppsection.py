"""The section of an SMPP provider: where its SMSC is, and how numbers and texts go over the line."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, Text, is_loopback_host


class SMPPLine(Section):
    """An SMSC. Every worker binds to it as a transceiver of its own."""

    host: Text = Field(description="Host of the SMSC; over TLS its certificate is checked against it.")
    port: int = Field(default=2775, ge=1, le=65_535, description="Its port.")
    tls: bool = Field(default=True, description="Bind over TLS.")
    ca: Path | None = Field(
        default=None, description="PEM file with the CAs of the SMSC; without it those of the system."
    )
    unsafe_plaintext: bool = Field(
        default=False,
        description="Reach an SMSC on another host without TLS: numbers and texts cross the network.",
    )
    system_type: str = Field(
        default="", max_length=12, pattern=r"^[!-~]*$", description="system_type of the bind."
    )
    numbers: Literal["international", "national"] = Field(
        default="international",
        description="How Chinese numbers are written: `8613800138000` or `13800138000`; others are international.",
    )
    long_texts: Literal["parts", "payload"] = Field(
        default="parts",
        description="Whether a long text goes in parts, joined by a header, or in one message_payload.",
    )
    window: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="How many messages may wait for their answer; the most of one submission.",
    )

    @model_validator(mode="after")
    def _is_encrypted(self) -> "SMPPLine":
        if self.tls and self.unsafe_plaintext:
            raise PydanticCustomError("tls_and_plaintext", "tls and unsafe_plaintext are both given")
        if not (self.tls or self.unsafe_plaintext or is_loopback_host(self.host)):
            raise PydanticCustomError("setting_invalid", "host is not loopback and there is no tls")
        if self.ca and not self.tls:
            raise PydanticCustomError("setting_invalid", "ca is for tls")
        return self


def check_account(system_id: str, sender: str) -> None:
    """Refuse what SMPP 3.4 has no room for. Raises PydanticCustomError."""
    for name, text, most in (("account", system_id, 15), ("sender", sender, 20)):
        if len(text) > most or not (text.isascii() and text.isprintable()):
            raise PydanticCustomError("setting_invalid", f"{name} is at most {most} characters of ASCII")
