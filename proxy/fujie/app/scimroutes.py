"""The routes of SCIM for who configured it, without its imports for everybody else."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fujie.app.scimsection import SCIM
from fujie.model.errors import StartError


def opened_by(scim: SCIM | None, public_url: str) -> Callable[[Any], Sequence[Any]]:
    """Return what makes the routes of SCIM for an edge; none where there is no such section. Raises StartError EXTRA_MISSING."""
    if scim is None:
        return lambda _: ()
    try:
        from fujie.app.provisioning import scim_routes  # 200 ms of imports, for who needs it
    except ModuleNotFoundError:
        raise StartError(
            "EXTRA_MISSING",
            "scim: the packages of the extra `scim` are not installed",
            "Install it: pip install 'fujie[console,scim]'.",
        ) from None
    return partial(scim_routes, scim, public_url)
