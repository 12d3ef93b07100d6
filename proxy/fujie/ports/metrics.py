"""What flows report as they go."""

from typing import Protocol


class Metrics(Protocol):
    """What flows report; label sets are bounded by the bundle."""

    def decided(self, action: str, effect: str, reason: str) -> None:
        """Count one decision by its primary reason."""
        ...

    def stage(self, name: str, seconds: float) -> None:
        """Observe how long one stage of a flow took."""
        ...

    def submitted(self, provider: str, what: str) -> None:
        """Count what a provider said to one message (`ports.providers.Acceptance`)."""
        ...

    def exported(self, end: str, released: int, withheld: int) -> None:
        """Count an export that ended (`flows.export`): COMPLETE, CANCELLED or a reason code, the rows that left, and those
        that guards refused."""
        ...

    def broke_glass(self, action: str) -> None:
        """Count what went ahead before anybody agreed (`flows.agreement`)."""
        ...

    def received(self, provider: str, what: str) -> None:
        """Count what came from a provider: a receipt, a reply, a block, or what could not be read (`flows.receipts`)."""
        ...
