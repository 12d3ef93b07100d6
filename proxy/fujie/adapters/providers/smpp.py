"""SMPP 3.4: a line of our own to an SMSC, over which messages go out and receipts and replies come in.

Every process has its own session, bound as transceiver as long as somebody asks (`ready`, `poll`). A submit_sm is
written once, on the session that was there when it was submitted, and never again: SMPP knows no idempotence. What an
SMSC says late, after `submit` has given up, comes as a receipt.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Literal

from aiosmpplib import SubmitSm

from fujie.adapters.providers.fields import other_reading
from fujie.adapters.providers.smpp_link import Account, Answer, Link, NotBound, NotSent, bind
from fujie.adapters.providers.smpp_wire import (
    DELIVER_SM,
    NOT_NOW,
    OK,
    THROTTLED,
    Address,
    Delivered,
    delivered,
    message_id,
    status_name,
    submissions,
)
from fujie.model import phone as phones
from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.model.message import MessageState
from fujie.ports import Clock
from fujie.ports.providers import (
    Acceptance,
    Callback,
    Called,
    Outgoing,
    Receipt,
    Reply,
    Submission,
    Unresolved,
)

_BOUND_S = 0.5
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 30.0
_MOST_WAITING = 10_000
"""Receipts and replies that wait for `poll`; the SMSC is asked to bring further ones later."""

_INTERNATIONAL, _NATIONAL, _ISDN = 1, 2, 1
_BLACKLISTED = "BLACK"
"""Part of the states by which Chinese gateways say that a number is on a list of who opted out (`MBBLACK`)."""


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """How messages go over the line.

    `source` is the number or name that customers see, `numbers` how theirs are written: `national` is for Chinese
    numbers (138...), others stay international (8613..., without the plus). `window` is how many submit_sm may wait for
    their answer. With `is_payload` a long text goes in one message_payload.
    """

    account: Account
    source: Address
    numbers: Literal["international", "national"] = "international"
    window: int = 10
    timeout_s: float = 10.0
    is_payload: bool = False


class SMPP:
    """An SMSC as `ports.providers.Provider`."""

    def __init__(self, name: str, processor: str, line: Line, clock: Clock) -> None:
        self.name = name
        self.processor = processor
        self.most = line.window
        self.needs_template = False
        self.timeout_s = line.timeout_s
        self._line = line
        self._clock = clock
        self._link: Link | None = None
        self._bound = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._window = asyncio.Semaphore(line.window)
        self._references = cycle(range(256))
        self._receipts: list[Receipt] = []
        self._replies: list[Reply] = []
        self._unanswered: list[tuple[Link, int]] = []
        self._handed: list[tuple[Link, int]] = []
        self._skipped = 0

    async def ready(self, count: int) -> bool:  # noqa: ARG002 - `most` is the window
        """Tell whether the session is bound; waits half a second for it."""
        self._keep_bound()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bound.wait(), _BOUND_S)
        return self._bound.is_set()

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Write each message once, and wait for the answers.

        RETRY: no session, throttled, or not written in time. UNKNOWN: written, and not answered, or the line was lost;
        or not all parts were taken: the others are out. The id is that of the last part, which has the receipt.
        """
        link, until = self._link, asyncio.get_running_loop().time() + self._line.timeout_s
        if link is None:
            return [Submission(Acceptance.RETRY, code="CONNECT")] * len(messages)
        return await asyncio.gather(*(self._send(link, message, until) for message in messages))

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:  # noqa: ARG002 - needs an id
        """Return None: query_sm asks by an id, and what is UNKNOWN has none."""
        return None

    async def poll(self) -> Called:
        """Return what came in since the last time. The SMSC is told that we have the replies of the last time, and the receipts
        of who opted out, so it brings them again (replies as new ones) when this process dies before it asks again."""
        self._keep_bound()
        for link, sequence in self._handed:
            link.respond(DELIVER_SM, sequence)
        self._handed, self._unanswered = self._unanswered, []
        called = Called(self._receipts, self._replies, self._skipped)
        self._receipts, self._replies, self._skipped = [], [], 0
        return called

    def callback(self, call: Callback) -> Called:  # noqa: ARG002 - there is none
        """Refuse: an SMSC comes over its line."""
        raise RequestError(code="CALLBACK_REFUSED")

    async def close(self) -> None:
        """Unbind and end the session."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        if self._link is not None:
            await self._link.close()

    def _keep_bound(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.create_task(  # noqa: TID251 - kept; `close` ends it
                self._bind_again_and_again()
            )

    async def _bind_again_and_again(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                self._link = await bind(self._line.account, self._deliver)
            except NotBound as error:
                logging.getLogger("fujie").warning(
                    "smpp_not_bound", extra={"key": self.name, "code": error.code}
                )
            else:
                pause_s = _FIRST_PAUSE_S
                self._bound.set()
                await asyncio.shield(self._link.gone)
                self._bound.clear()
                link, self._link = self._link, None
                await link.close()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    async def _send(self, link: Link, message: Outgoing, until: float) -> Submission:
        text = f"【{message.signature}】{message.text}" if message.signature else message.text
        try:
            pdus = submissions(
                text,
                self._line.source,
                self._address(message.phone),
                next(self._references),
                is_payload=self._line.is_payload,
            )
        except ValueError:
            return Submission(Acceptance.REFUSED, code="PARTS")
        # The first part goes alone: refused or throttled, it leaves nothing behind.
        first = await self._exchange(link, pdus[0], until, message.intent_id if len(pdus) == 1 else "")
        if first.acceptance is not Acceptance.ACCEPTED or len(pdus) == 1:
            return first
        others = await asyncio.gather(*(self._exchange(link, pdu, until) for pdu in pdus[1:]))
        for other in others:
            if other.acceptance is not Acceptance.ACCEPTED:
                return Submission(Acceptance.UNKNOWN, code=other.code)
        return others[-1]

    async def _exchange(self, link: Link, pdu: SubmitSm, until: float, intent_id: str = "") -> Submission:
        """Write one PDU and return what its answer says. `intent_id`: whose receipt a late answer is."""
        answer: asyncio.Future[Answer | None] | None = None
        try:
            async with asyncio.timeout_at(until), self._window:
                if asyncio.get_running_loop().time() >= until:
                    raise TimeoutError
                answer = link.request(pdu)
                return _submission(await asyncio.shield(answer))
        except NotSent:
            return Submission(Acceptance.RETRY, code="CONNECT")
        except TimeoutError:
            if answer is None:
                return Submission(Acceptance.RETRY, code="TIMEOUT")
            if link.is_stuck():
                link.abort()  # else it could go out after everybody was told that nothing more will
            elif intent_id:
                answer.add_done_callback(partial(self._late, intent_id))
            return Submission(Acceptance.UNKNOWN, code="TIMEOUT")

    def _late(self, intent_id: str, answer: "asyncio.Future[Answer | None]") -> None:
        if answer.cancelled():
            return
        said = _submission(answer.result())
        state = {Acceptance.ACCEPTED: MessageState.SUBMITTED, Acceptance.UNKNOWN: None}.get(
            said.acceptance, MessageState.FAILED
        )
        if state is not None:
            self._receipts.append(
                Receipt(self.name, state, said.provider_message_id, intent_id=intent_id, code=said.code)
            )

    def _deliver(self, link: Link, sequence: int, body: bytes) -> None:
        if len(self._receipts) + len(self._replies) >= _MOST_WAITING:
            link.respond(DELIVER_SM, sequence, NOT_NOW)
            return
        said = delivered(body)
        if said is not None and said.state is not None:
            receipt = self._receipt(said, said.state)
            self._receipts.append(receipt)
            if receipt.is_opted_out:
                self._unanswered.append((link, sequence))
            else:
                link.respond(DELIVER_SM, sequence)
            return
        reply = self._reply(said) if said is not None else None
        if reply is not None:
            self._replies.append(reply)
            self._unanswered.append((link, sequence))
            return
        self._skipped += 1
        link.respond(DELIVER_SM, sequence)

    def _receipt(self, said: Delivered, state: MessageState) -> Receipt:
        phone = _phone(said.source)
        is_opted_out = phone is not None and _BLACKLISTED in said.code
        return Receipt(
            self.name,
            state,
            said.message_id,
            phone,
            code=said.code,
            is_opted_out=is_opted_out,
            also=_other(said.source),
        )

    def _reply(self, said: Delivered) -> Reply | None:
        phone = _phone(said.source)
        if phone is None:
            return None
        also = _other(said.source)
        return Reply(self.name, secrets.token_hex(16), phone, said.text, self._clock.now(), also=also)

    def _address(self, phone: Phone) -> Address:
        if self._line.numbers == "national" and phone.e164.startswith("+86"):
            return Address(phone.e164.removeprefix("+86"), _NATIONAL, _ISDN)
        return Address(phone.e164.removeprefix("+"), _INTERNATIONAL, _ISDN)


def _phone(source: Address) -> Phone | None:
    digits = source.number.removeprefix("+")
    is_international = source.ton == _INTERNATIONAL or source.number.startswith("+")
    # Carriers call national numbers international too, and then no plan of numbers has them.
    for form in (f"+{digits}", digits) if is_international else (digits, f"+{digits}"):
        with suppress(phones.NotAPhoneNumber):
            return Phone(phones.normalise(form))
    return None


def _other(source: Address) -> Phone | None:
    """Return the other number that the digits may mean, where the SMSC does not say of which kind they are."""
    return None if source.ton in (_INTERNATIONAL, _NATIONAL) else other_reading(source.number)


def _submission(answer: Answer | None) -> Submission:
    if answer is None:
        return Submission(Acceptance.UNKNOWN, code="ANSWER")
    if answer.status == OK:
        return Submission(Acceptance.ACCEPTED, message_id(answer.body))
    throttled = answer.status in THROTTLED
    return Submission(
        Acceptance.RETRY if throttled else Acceptance.REFUSED, code=status_name(answer.status)
    )
