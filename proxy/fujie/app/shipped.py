"""Where the shipped policies lie: inside an installed package, or beside the sources of a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_policies() -> Path:
    """Return the directory that holds `base/` and `packs/`."""
    installed = _PACKAGE / "policies"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "policies"
