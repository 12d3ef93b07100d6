"""Whether an opt-out closes: the widest match wins, and no time or consent can outweigh it."""

from collections.abc import Iterable

from fujie.model.suppression import Suppression, SuppressionScope


def suppressed(
    suppressions: Iterable[Suppression], purpose: str, channel: str = "", brand: str = ""
) -> bool:
    """Tell whether an opt-out that was not lifted closes `purpose` under `channel` and `brand`.

    `suppressions` are those of every sid of the person. An empty `channel` or `brand` asks for something
    that is not narrowed to one, a look-up: only opt-outs from all channels, or all brands, close that.
    """
    return any(each.lifted is None and covers(each.scope, purpose, channel, brand) for each in suppressions)


def covers(scope: SuppressionScope, purpose: str, channel: str, brand: str) -> bool:
    """Tell whether every part of the scope is empty (all) or says the same."""
    return scope.purpose in ("", purpose) and scope.channel in ("", channel) and scope.brand in ("", brand)
