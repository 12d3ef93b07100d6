"""Stand-ins for providers: HTTP servers on loopback that speak the shapes which the vendors document, written by us.

They are not the vendors' software: what the official SDKs send, and take for an answer, is compared in the tests that use them.
A stand-in counts what it was asked to send, and misbehaves as it is told.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

ACCEPT, DROP, HANG, DRIP, GIANT, CUT = "accept", "drop", "hang", "drip", "giant", "cut"
"""Answer as the vendor does; take it and say nothing; keep the line open; a byte now and then, for ever; more than
anybody reads; half an answer."""


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> Mapping[str, str]:
        both = f"{urlsplit(self.target).query}&{self.body.decode()}"
        return {name: values[0] for name, values in parse_qs(both, keep_blank_values=True).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Shape(Protocol):
    """How a vendor reads and answers. Codes: of a limit on calls, of a refusal, of who opted out (empty: none)."""

    throttled: str
    refused: str
    opted_out: str

    def numbers(self, seen: Seen) -> Sequence[str]:
        """Return the numbers, in E.164."""
        ...

    def answer(self, seen: Seen, codes: Mapping[str, str]) -> tuple[int, object]:
        """Return status and JSON; `codes` says of a number why it is refused."""
        ...


@dataclass
class StandIn:
    """A running one. `codes` are of numbers, `*` of all; `raw` is said instead of an answer."""

    shape: Shape
    how: str = ACCEPT
    codes: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""
    endpoint: str = ""
    seen: list[Seen] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def numbers(self) -> list[str]:
        """Every number that it was asked to send to, once for each time."""
        return [number for each in self.seen for number in self.shape.numbers(each)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while seen := await _request(reader):
                self.seen.append(seen)
                self.met.set()
                await self._reply(seen, writer)
                if self.how != ACCEPT:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return  # the client went away, as it may
        finally:
            writer.close()

    async def _reply(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        codes = {number: self.codes.get("*", "") for number in self.shape.numbers(seen)} | self.codes
        status, body = self.shape.answer(seen, codes)
        whole = self.raw or _answer(status, json.dumps(body).encode())
        match self.how:
            case "accept":
                writer.write(whole)
            case "hang":
                await asyncio.sleep(3600)
            case "cut":
                writer.write(whole[: len(whole) // 2])
            case "giant":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
                while True:
                    writer.write(b" " * 65_536)
                    await writer.drain()
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.02)
        await writer.drain()


@asynccontextmanager
async def standing_in(shape: Shape, tls: ssl.SSLContext | None = None) -> AsyncIterator[StandIn]:
    """Listen on loopback."""
    stand_in = StandIn(shape)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await stand_in.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    stand_in.endpoint = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield stand_in
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def _request(reader: asyncio.StreamReader) -> Seen | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body)


def _answer(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _e164(number: str) -> str:
    is_mainland = len(number) == 11 and "13" <= number[:2] <= "19"
    return number if number.startswith("+") else f"+86{number}" if is_mainland else f"+{number}"


class AliyunShape:
    """Dysmsapi: one Code for all numbers of a call."""

    throttled, refused, opted_out = "Throttling.User", "isv.SMS_TEMPLATE_ILLEGAL", ""

    def __init__(self) -> None:
        self.details: list[Mapping[str, object]] = []

    def numbers(self, seen: Seen) -> Sequence[str]:
        if seen.headers["x-acs-action"] == "QuerySendDetails":
            return ()
        alone = seen.form.get("PhoneNumbers", "")
        return [
            _e164(each)
            for each in (alone.split(",") if alone else json.loads(seen.form["PhoneNumberJson"]))
        ]

    def answer(self, seen: Seen, codes: Mapping[str, str]) -> tuple[int, object]:
        if seen.headers["x-acs-action"] == "QuerySendDetails":
            return 200, {"Code": "OK", "SmsSendDetailDTOs": {"SmsSendDetailDTO": self.details}}
        code = next((codes[each] for each in self.numbers(seen) if codes[each]), "")
        if code.startswith("Throttling"):
            return 400, {"Code": code, "Message": "m", "RequestId": "R"}
        return 200, {"Code": code or "OK", "Message": "m", "RequestId": "R"} | (
            {} if code else {"BizId": "9^0"}
        )


class TencentShape:
    """SMS 2021-01-11: a Code for each number."""

    throttled = "RequestLimitExceeded"
    refused = "FailedOperation.TemplateUnapprovedOrNotExist"
    opted_out = "FailedOperation.PhoneNumberInBlacklist"

    def __init__(self) -> None:
        self.pulled: dict[str, list[Mapping[str, object]]] = {}

    def numbers(self, seen: Seen) -> Sequence[str]:
        return list(seen.json.get("PhoneNumberSet", ()))

    def answer(self, seen: Seen, codes: Mapping[str, str]) -> tuple[int, object]:
        action = seen.headers["x-tc-action"]
        if action != "SendSms":
            name = action.removesuffix("ByPhoneNumber") + "Set"
            return 200, {"Response": {name: self.pulled.get(name, []), "RequestId": "R"}}
        if codes.get("*") == self.throttled:
            return 200, {"Response": {"Error": {"Code": self.throttled, "Message": "m"}, "RequestId": "R"}}
        said = [
            {
                "SerialNo": "" if codes[each] else f"2019:-{place}",
                "PhoneNumber": each,
                "Fee": 1,
                "SessionContext": seen.json["SessionContext"],
                "Code": codes[each] or "Ok",
                "Message": "m",
                "IsoCode": "CN",
            }
            for place, each in enumerate(self.numbers(seen))
        ]
        return 200, {"Response": {"SendStatusSet": said, "RequestId": "R"}}


class TwilioShape:
    """Messages: one recipient for each call."""

    throttled, refused, opted_out = "20429", "21211", "21610"

    def __init__(self) -> None:
        self.message: Mapping[str, object] = {}

    def numbers(self, seen: Seen) -> Sequence[str]:
        return [seen.form["To"]] if seen.method == "POST" else ()

    def answer(self, seen: Seen, codes: Mapping[str, str]) -> tuple[int, object]:
        if seen.method == "GET":
            return 200, self.message
        code = codes[seen.form["To"]]
        if code:
            status = 429 if code == self.throttled else 400
            return status, {"code": int(code), "message": "m", "more_info": "u", "status": status}
        return 201, {"sid": f"SM{len(seen.body):032x}", "status": "queued", "error_code": None}


class PlainShape:
    """Some company's own interface, as `http_template` is told of it in the tests."""

    throttled, refused, opted_out = "busy", "no", "stop"

    def numbers(self, seen: Seen) -> Sequence[str]:
        return [seen.json["to"]]

    def answer(self, seen: Seen, codes: Mapping[str, str]) -> tuple[int, object]:
        code = codes[seen.json["to"]]
        return 200, {"result": {"code": code or "ok", "ids": ["m-1"]}}
