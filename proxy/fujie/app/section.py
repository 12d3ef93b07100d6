"""What every section of the configuration has, and the types that several of them use."""

import ipaddress
from typing import Annotated

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
