"""Attacks on what other systems are told: receivers that hang, redirect, fail and lie, and forged acknowledgements."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from fujie.adapters.webhooks import Acknowledgement, Webhook, signature
from fujie.app.notifying import GIVE_UP, LONGEST_S, Notifying, pause_s
from fujie.flows.gate import Gate
from fujie.flows.notifications import ANSWER_WITHIN, acknowledge_notification, answer_token
from fujie.flows.reply import NotificationReply, Refusal
from fujie.model.notification import Notification
from fujie.model.request import RequestContext
from fujie.transport.http.answers import answer_route
from fujie.transport.http.public import Incident, PublicEdge, public_app
from support.house import ADMIN, House, caller

SECRET = b"k" * 32
OK, REDIRECT, BROKEN = (
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
)


class Receiver:
    """A receiver of webhooks whose answers a test writes; None is a silence that lasts."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answer: bytes | None = OK
        self.url = ""
        self.asked = asyncio.Event()

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, _, value in lines}
        self.heard.append((headers, await reader.readexactly(int(headers["content-length"]))))
        self.asked.set()
        if self.answer is None:
            await reader.read()  # until the other end gives up
        else:
            writer.write(self.answer)
        writer.close()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.heard]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.hear, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


def order(house: House, n: int = 1, due: bool = True) -> Notification:
    now = house.gate.clock.now()
    return Notification(
        id=f"{n:032x}", kind="principal.wipe_devices", subject="li.na", payload={"device": "d"}, created_at=now,
        due_at=now + timedelta(hours=1) if due else None,
    )  # fmt: skip


@asynccontextmanager
async def sender(house: House, receiver: Receiver, timeout_s: float = 5.0) -> AsyncIterator[Notifying]:
    webhook = Webhook(receiver.url, (SECRET,), timeout_s)

    def answer(told: Notification) -> Acknowledgement:
        return Acknowledgement("https://f.example.com", answer_token(house.gate.tokeniser, told.id))

    yield Notifying(house.ledger.notifications, webhook, answer, house.gate.clock, timeout_s)
    await webhook.close()


async def test_what_is_told_is_signed_once_taken_and_never_told_again(
    house: House, receiver: Receiver
) -> None:
    await house.ledger.notifications.notify(order(house))
    async with sender(house, receiver) as sending:
        assert await sending.step()
        house.hands.time += timedelta(days=1)
        assert not await sending.step()
    [(headers, body)] = receiver.heard
    expected = signature((SECRET,), headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected
    said = json.loads(body)["data"]
    assert said["acknowledge"]["token"] == answer_token(house.gate.tokeniser, said["id"])


@pytest.mark.parametrize("kind", ["silence", "redirect", "broken", "closed"])
async def test_whoever_does_not_take_it_hears_it_again_later_under_the_same_id(
    house: House, receiver: Receiver, kind: str
) -> None:
    first_s = 0.5 if kind == "silence" else 30.0
    async with (
        receiving() as elsewhere,
        sender(house, receiver, first_s) as hasty,
        sender(house, receiver, 30.0) as sending,
    ):
        answers = {
            "silence": None,
            "redirect": REDIRECT % elsewhere.url.encode(),
            "broken": BROKEN,
            "closed": b"",
        }
        receiver.answer = answers[kind]
        await house.ledger.notifications.notify(order(house))
        assert await hasty.step()
        assert not await sending.step()  # not before its time
        receiver.answer = OK
        house.hands.time += timedelta(seconds=pause_s(1))
        assert await sending.step()
        assert receiver.ids == [order(house).id] * 2
        assert elsewhere.heard == []  # a redirect moves nothing
        [told] = await house.ledger.notifications.about("li.na")
        assert told.sent_at is not None


def test_the_pauses_double_up_to_an_hour() -> None:
    pauses = [pause_s(n) for n in range(1, 2_000)]
    assert pauses[:3] == [5.0, 10.0, 20.0]
    assert max(pauses) == LONGEST_S == pauses[-1]


async def test_what_nobody_must_answer_is_given_up_and_an_order_never(
    house: House, receiver: Receiver
) -> None:
    receiver.answer = BROKEN
    await house.ledger.notifications.notify(order(house, 1))
    await house.ledger.notifications.notify(order(house, 2, due=False))
    house.hands.time += GIVE_UP
    async with sender(house, receiver) as sending:
        assert await sending.step()
        house.hands.time += timedelta(days=365)
        assert await sending.step()
    assert sorted(receiver.ids) == [order(house, 1).id] * 2 + [order(house, 2).id]


async def test_several_senders_tell_each_once(house: House, receiver: Receiver) -> None:
    for n in range(30):
        await house.ledger.notifications.notify(order(house, n))
    async with sender(house, receiver) as one, sender(house, receiver) as other:
        while any(await asyncio.gather(one.step(), other.step())):
            pass
    assert sorted(receiver.ids) == [order(house, n).id for n in range(30)]


async def test_a_sender_that_dies_leaves_its_part_to_another(house: House, receiver: Receiver) -> None:
    receiver.answer = None
    await house.ledger.notifications.notify(order(house))
    async with sender(house, receiver, 30.0) as dying, sender(house, receiver) as other:
        step = asyncio.ensure_future(dying.step())
        await receiver.asked.wait()
        step.cancel()
        await asyncio.wait({step})
        assert not await other.step()
        house.hands.time += timedelta(seconds=41)
        receiver.answer = OK
        assert await other.step()
    assert receiver.ids == [order(house).id] * 2


# The word of a receiver.

Post = Callable[[str, object], Awaitable[int]]


@pytest.fixture
def post(house: House) -> Post:
    incidents: list[Incident] = []
    app = public_app(house.gate, [answer_route(PublicEdge(house.gate, incidents.append))], {})

    async def ask(path: str, body: object) -> int:
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="https://f", trust_env=False) as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answered = await client.post(f"/notifications/{path}/acknowledge", content=content)
        assert incidents == []
        return answered.status_code

    return ask


def token(gate: Gate, n: int = 1) -> dict[str, str]:
    return {"token": answer_token(gate.tokeniser, f"{n:032x}")}


async def test_the_token_of_an_order_acknowledges_it_and_a_replay_changes_nothing(
    house: House, post: Post
) -> None:
    await house.ledger.notifications.notify(order(house))
    assert await post(order(house).id, token(house.gate)) == 204
    [told] = await house.ledger.notifications.about("li.na")
    assert told.acknowledged_by == "fujie:webhook"
    [entry] = house.entries
    assert (entry.principal, entry.facts["notification.id"]) == ("fujie:webhook", told.id)
    house.hands.time += timedelta(days=1)
    assert await post(order(house).id, token(house.gate)) == 204
    assert await house.ledger.notifications.about("li.na") == [told]
    assert len(house.entries) == 1


async def test_a_forged_foreign_late_or_senseless_token_acknowledges_nothing(
    house: House, post: Post
) -> None:
    for n, due in ((1, True), (2, True), (3, False)):
        await house.ledger.notifications.notify(order(house, n, due))
    one = order(house).id
    right = token(house.gate)["token"]
    for path, body, status in (
        (one, {"token": right[:-1] + ("A" if right[-1] != "A" else "B")}, 404),
        (one, {"token": right + "A"}, 404),
        (one, {"token": ""}, 404),
        (one, {"token": "é\udcff"}, 404),
        (one, token(house.gate, 2), 404),
        (order(house, 3).id, token(house.gate, 3), 404),  # asks for no answer
        ("f" * 32, {"token": answer_token(house.gate.tokeniser, "f" * 32)}, 404),
        (one, {}, 400),
        (one, [right], 400),
        (one, {"token": 7}, 400),
        (one, b"[" * 500, 400),
        (one, b"\xff", 400),
        (one, b" " * 2_000, 413),
    ):
        assert await post(path, body) == status, (path, body)
    house.hands.time += ANSWER_WITHIN
    assert await post(one, token(house.gate)) == 404
    assert house.entries == []
    assert all(each.acknowledged_at is None for each in await house.ledger.notifications.about("li.na"))


async def test_a_person_acknowledges_with_a_grant_and_not_what_is_about_himself(house: House) -> None:
    await house.ledger.notifications.notify(order(house))
    answers = [
        await acknowledge_notification(house.gate, who, RequestContext(), which)
        for who, which in (
            (caller("support-agent"), order(house).id),
            (ADMIN, "unknown"),
            (ADMIN, order(house).id),
        )
    ]
    refusals = [each.reasons[0].code for each in answers if isinstance(each, Refusal)]
    assert refusals == ["NO_GRANT", "NOTIFICATION_NOT_FOUND"]
    assert isinstance(answers[2], NotificationReply)
    assert answers[2].notification.acknowledged_by == ADMIN.subject
