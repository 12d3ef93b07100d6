"""Two programs that we did not write, one behind the other: our HTTP provider, Kannel, and the SMSC on npm `smpp`.

So the template of an HTTP provider is tried on a real gateway, and our cutting of texts on a third implementation, that
of a gateway in use for twenty years.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.providers.exchange import Exchange
from fujie.adapters.providers.http_template import AnswerShape, CallbackShape, HTTPTemplate, Template, flaws
from fujie.model.customer import Phone
from fujie.model.segments import parts
from fujie.ports.providers import Acceptance, Outgoing, Submission
from support.kannel import PASSWORD, USER, kannel
from support.smsc import SMSC, Event, smsc

PHONE = Phone("+8613800138000")
NO_CODING, UCS2 = "0", "2"


def _provider(port: int, coding: str, password: str = PASSWORD) -> HTTPTemplate:
    template = Template(
        f"http://127.0.0.1:{port}/cgi-bin/sendsms",
        "{text}",
        AnswerShape(accepted=("202",), refused=("403", "400"), retry=("503",)),
        CallbackShape(),
        encoding="text",
        headers=(
            ("X-Kannel-Username", USER),
            ("X-Kannel-Password", "{secret}"),
            ("X-Kannel-To", "{phone}"),
            ("X-Kannel-From", "10690000"),
            ("X-Kannel-Coding", coding),
        ),
        secret=password,
    )
    assert flaws(template) == []
    return HTTPTemplate(("kannel", "carrier"), template, Exchange(10.0), SystemClock())


@asynccontextmanager
async def _gateway(tmp_path: Path) -> AsyncIterator[tuple[SMSC, int]]:
    async with smsc() as server, kannel(server.port, tmp_path) as port:
        await server.event("bind")
        yield server, port


async def _sent(port: int, text: str, coding: str) -> Submission:
    provider = _provider(port, coding)
    [said] = await provider.submit([Outgoing("i1", PHONE, "", text)])
    await provider.close()
    return said


async def _arrived(server: SMSC, count: int) -> list[Event]:
    return [await server.event("submit") for _ in range(count)]


async def test_a_real_gateway_takes_what_the_template_says_and_passes_it_on_once(tmp_path: Path) -> None:
    async with _gateway(tmp_path) as (server, port):
        said = await _sent(port, "【符节】您的订单已发货", UCS2)
        assert said.acceptance is Acceptance.ACCEPTED
        [arrived] = await _arrived(server, 1)
        assert (arrived["to"], arrived["from"], arrived["text"]) == (
            PHONE.e164.removeprefix("+"),
            "10690000",
            "【符节】您的订单已发货",
        )
        refusing = _provider(port, UCS2, "wrong")
        [refused] = await refusing.submit([Outgoing("i2", PHONE, "", "hello")])
        await refusing.close()
        assert (refused.acceptance, refused.code) == (Acceptance.REFUSED, "403")
    assert len(server.submitted()) == 1
    assert (await _sent(port, "hello", UCS2)).acceptance is Acceptance.RETRY, "nobody is there any more"


async def test_kannel_cuts_texts_where_we_do(tmp_path: Path) -> None:
    texts = {
        "x" * 160: NO_CODING,
        "x" * 161: NO_CODING,
        "a" * 152 + "€" * 100: NO_CODING,
        "[{~}]" * 60 + "Ñ £5": NO_CODING,
        "中" * 70: UCS2,
        "中" * 71: UCS2,
        "退订回T " * 40: UCS2,
        "中" * 67 + "😀" * 30: UCS2,
    }
    async with _gateway(tmp_path) as (server, port):
        for text, coding in texts.items():
            assert (await _sent(port, text, coding)).acceptance is Acceptance.ACCEPTED
            arrived = [event["text"] for event in await _arrived(server, len(parts(text)))]
            if any(map(_is_cut_within_a_character, arrived)):
                pytest.fail("choose texts whose surrogate pairs Kannel leaves whole")
            assert arrived == list(parts(text))


async def test_where_kannel_cuts_a_character_in_two_we_do_not(tmp_path: Path) -> None:
    text = "中" * 66 + "😀" * 40
    async with _gateway(tmp_path) as (server, port):
        await _sent(port, text, UCS2)
        arrived = [event["text"] for event in await _arrived(server, 3)]
    assert any(map(_is_cut_within_a_character, arrived))
    assert not any(map(_is_cut_within_a_character, parts(text)))


def _is_cut_within_a_character(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
