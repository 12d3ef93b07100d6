"""How many messages of a campaign are in each state: exact, since whatever moves a message counts it in its transaction."""

from collections import Counter

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.model.message import MessageState

_COUNT = sa.text(
    "INSERT INTO campaign_count (campaign_id, state, reason, count) VALUES (:campaign_id, :state, :reason, :n)"
    " ON CONFLICT (campaign_id, state, reason) DO UPDATE SET count = campaign_count.count + excluded.count"
)

_WITH_REASON = frozenset({MessageState.REFUSED.value, MessageState.FAILED.value})


class Moves:
    """What one transaction moves. A message that is sent alone (`campaign_id` None) is counted nowhere."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, str, str]]()

    def add(self, campaign_id: str | None, state: str, reason: str = "", n: int = 1) -> None:
        """Count `n` more in a state; fewer when `n` is negative."""
        if campaign_id is not None:
            self._counts[campaign_id, state, reason if state in _WITH_REASON else ""] += n

    def store(self, connection: Connection) -> None:
        """Write the counts, as the last thing of the transaction."""
        rows = [
            {"campaign_id": campaign_id, "state": state, "reason": reason, "n": n}
            for (campaign_id, state, reason), n in sorted(self._counts.items())
            if n
        ]
        if rows:
            connection.execute(_COUNT, rows)
