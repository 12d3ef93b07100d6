"""Opens the SCIM endpoint on the public port, where the settings say so. Needs the extras `console` and `scim`."""

import hashlib
import re
from pathlib import Path

from starlette.routing import BaseRoute

from fujie.app.scimsection import SCIM
from fujie.flows.provisioning import Provisioner, Provisioning
from fujie.model.errors import StartError
from fujie.transport.http.public import PublicEdge
from fujie.transport.http.scim import Door, Scim, slowed

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,256}")
"""22 characters of base64url hold 128 random bits."""


def scim_routes(scim: SCIM, public_url: str, edge: PublicEdge) -> list[BaseRoute]:
    """Return the routes. Raises StartError SCIM_TOKEN."""
    gate = edge.gate
    use = Provisioning(scim.principal, scim.groups, offboards=scim.inactive == "offboard")
    door = Door(
        read_token(scim.token_file), f"{public_url}/scim/v2", scim.groups, slowed(gate.clock.monotonic)
    )
    return Scim(edge, Provisioner(gate, use), door).routes()


def read_token(path: Path) -> bytes:
    """Return the SHA-256 of the bearer token in a file. Raises StartError SCIM_TOKEN."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeError):
        token = ""
    if not _TOKEN.fullmatch(token):
        raise StartError(
            "SCIM_TOKEN",
            f"{path}: not 22 to 256 of ASCII letters, digits, dash and underscore",
            "Write 16 random bytes as base64url into it, and check path and mode.",
        )
    return hashlib.sha256(token.encode()).digest()
