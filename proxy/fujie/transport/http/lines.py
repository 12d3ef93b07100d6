"""Where one provider calls us; apart from the callbacks themselves, so that settings need no web framework."""

import ipaddress
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Line:
    """`secret` is a part of the path. `networks` empty: from anywhere, which only a signature makes sound."""

    secret: str = field(repr=False)
    networks: tuple[Network, ...] = ()
