"""Names of workloads: SPIFFE ids, read strictly (SPIFFE-ID specification, sections 2.1 to 2.4)."""

import re
from typing import Final

TRUST_DOMAIN: Final = r"[a-z0-9._-]{1,255}"
"""Section 2.1: lower case, no port, no user. The specification caps it at 255 bytes."""

MOST_ID_CHARS: Final = 2_048
"""Section 2.3: every implementation takes ids up to this length and none needs to take longer ones."""

# A path is needed: an id without one names the trust domain itself, never a workload (X.509-SVID,
# section 2). Nothing is decoded and nothing folded, so that every workload has exactly one spelling.
_ID = re.compile(rf"spiffe://({TRUST_DOMAIN})((?:/[A-Za-z0-9._-]+)+)")
_RELATIVE = frozenset({".", ".."})


def trust_domain_of(spiffe_id: str) -> str:
    """Return the trust domain of a workload's SPIFFE id.

    Raises:
        ValueError: it is no well-formed id of a workload. The text holds nothing of it.

    """
    parts = _ID.fullmatch(spiffe_id)
    if parts is None or len(spiffe_id) > MOST_ID_CHARS or _RELATIVE & set(parts[2].split("/")):
        raise ValueError("not the SPIFFE id of a workload")
    return parts[1]
