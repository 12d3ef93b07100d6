"""Every worker sends what other systems are to be told: at least once, under one id, each attempt later than the one before.

The workers of all sidecars share what waits through the ledger; who takes one has it for a while. Nothing here ever ends by
an error: it is logged by its code, and tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from fujie.adapters.ledger.notifications import SQLNotifications
from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.logs import log_event
from fujie.app.problems import Collector
from fujie.app.settings import Settings
from fujie.app.wire import OpenGate
from fujie.flows.notifications import answer_token
from fujie.model.errors import FujieError
from fujie.model.notification import Notification
from fujie.ports import Clock

if TYPE_CHECKING:  # an HTTP client (60 ms), for who is told anything
    from fujie.adapters.webhooks import Acknowledgement, Webhook

IDLE_S = 0.5
"""How soon a notification is noticed; one look is one read of an index."""

MOST = 16
"""Notifications that one worker has at a time."""

MARGIN_S = 10.0
"""How much longer than an attempt its lease is: the clocks of hosts differ, and the ledger may be slow to hear of it."""

FIRST_S, LONGEST_S = 5.0, 3_600.0
"""The pause after the first attempt, doubled by each further one, up to an hour."""

GIVE_UP = timedelta(days=7)
"""After which what nobody must answer is given up: by then nobody waits for it. An order is tried for ever."""

STANDING_S = 10.0
"""How often the metrics are read."""

_LONGEST_PAUSE_S = 30.0


def pause_s(attempts: int) -> float:
    """Return how long to wait after so many attempts in vain."""
    return min(LONGEST_S, FIRST_S * 2.0 ** min(attempts - 1, 16))


class Notifying:
    """The sender of one worker. Without a `webhook` it only counts what waits for people."""

    def __init__(
        self,
        notifications: SQLNotifications,
        webhook: "Webhook | None",
        answer: "Callable[[Notification], Acknowledgement | None]",
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._notifications = notifications
        self._webhook = webhook
        self._answer = answer
        self._clock = clock
        self._lease_s = timeout_s + MARGIN_S

    async def run(self) -> None:
        """Send what waits, for ever."""
        pause = IDLE_S
        while True:
            try:
                has_sent = await self.step()
                pause = IDLE_S
            except FujieError as error:
                _failed(error)
                has_sent, pause = False, min(2 * pause, _LONGEST_PAUSE_S)
            if not has_sent:
                await asyncio.sleep(pause)

    async def step(self) -> bool:
        """Try what is due; return whether there was any. Raises LedgerError: then another worker tries it again."""
        if self._webhook is None:
            return False
        taken = await self._notifications.take(self._clock.now(), self._lease_s, MOST)
        await asyncio.gather(*(self._try(self._webhook, each) for each in taken))
        return bool(taken)

    async def follow(self, metrics: PrometheusMetrics) -> None:
        """Let the metrics follow how notifications stand, for ever; what can not be read stays as it was."""
        while True:
            try:
                metrics.notifying(await self._notifications.standing(self._clock.now()))
            except FujieError as error:
                _failed(error)
            await asyncio.sleep(STANDING_S)

    async def _try(self, webhook: "Webhook", taken: Notification) -> None:
        now = self._clock.now()
        if await webhook.send(taken, self._answer(taken), now):
            await self._notifications.sent(taken, self._clock.now())
            return
        is_over = taken.due_at is None and now >= taken.created_at + GIVE_UP
        again = None if is_over else now + timedelta(seconds=pause_s(taken.attempts))
        await self._notifications.failed(taken, again)
        log_event(
            "notification_failed",
            logging.WARNING,
            id=taken.id,
            kind=taken.kind,
            attempts=taken.attempts,
            given_up=is_over,
        )


def notifying_of(settings: Settings, gate: OpenGate, clock: Clock) -> Notifying:
    """Return the sender that the settings describe. Raises CannotStart with NOTIFY_SECRET."""
    notify, base, tokeniser = settings.notify, settings.server.public_base, gate.front.gate.tokeniser
    webhook, found = None, Collector()
    if notify.url and notify.secret_file:
        from fujie.adapters.webhooks import Webhook, read_secrets

        secrets = found.take(read_secrets, notify.secret_file)
        webhook = Webhook(notify.url, secrets or (), notify.timeout_seconds)
    found.finish()

    def answer(told: Notification) -> "Acknowledgement | None":
        from fujie.adapters.webhooks import Acknowledgement

        if told.due_at is None:
            return None
        url = f"{base}/notifications/{told.id}/acknowledge" if base else ""
        return Acknowledgement(url, answer_token(tokeniser, told.id))

    return Notifying(gate.ledger.notifications, webhook, answer, clock, notify.timeout_seconds)


def _failed(error: FujieError) -> None:
    log_event("notifying_failed", logging.WARNING, code=error.code, error=type(error).__name__)
