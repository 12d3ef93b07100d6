"""Every method that the server has: the rows of all services, collected."""

from typing import Any, Final

from fujie.transport.grpc import (
    approvals,
    consent_evidence,
    corrections,
    lists,
    lookups,
    services,
    suppressions,
)
from fujie.transport.grpc.services import Method

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (
    *services.METHODS,
    *lookups.METHODS,
    *consent_evidence.METHODS,
    *suppressions.METHODS,
    *corrections.METHODS,
    *lists.METHODS,
    *approvals.METHODS,
)
"""Each row is checked by its own types where it stands; this tuple only collects."""
