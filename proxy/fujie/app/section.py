"""What every section of the configuration has, and the types that several of them use."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """What every section has: no unknown keys, no change after loading, no input in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Text = Annotated[str, Field(min_length=1)]


def is_loopback_host(host: str) -> bool:
    """Tell whether a host, an address without brackets or `localhost`, is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_web_address(text: str) -> bool:
    """Tell whether an address is https (http for this machine only), without user and fragment, in plain ASCII."""
    try:
        parts = urlsplit(text)
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and is_loopback_host(parts.hostname or "")
        )
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and "#" not in text and parts.port != 0
    except ValueError:  # a port that is none
        return False
    return is_safe and is_plain and text.isascii() and text.isprintable() and " " not in text
