"""SMPP in the configuration: encrypted unless said otherwise, and from there to the wire."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fujie.adapters.clock import SystemClock
from fujie.app.messaging import Messaging
from fujie.app.problems import CannotStart
from fujie.app.providers import open_providers
from fujie.model.customer import Phone
from fujie.ports.providers import Acceptance, Outgoing
from support import certificates
from support.smsc import smsc

LINE: dict[str, Any] = {"host": "localhost"}
SMPP: dict[str, Any] = {
    "kind": "smpp",
    "processor": "carrier",
    "account": "fujie",
    "secret_file": "password",
    "sender": "10690000",
}


def _section(line: dict[str, Any] | None = None, **over: Any) -> Messaging:
    provider = {**SMPP, "smpp": {**LINE, **(line or {})}, **over}
    return Messaging.model_validate({"providers": {"line": provider}})


@pytest.mark.parametrize(
    "line",
    [
        {"host": "smsc.example.com"},
        {"host": "smsc.example.com", "tls": False, "unsafe_plaintext": True},
        {"host": "127.0.0.1", "tls": False},
        {"host": "::1", "tls": False, "numbers": "national", "long_texts": "payload", "window": 1000},
    ],
)
def test_a_line_is_over_tls_or_to_this_machine_or_said_to_be_unsafe(line: dict[str, Any]) -> None:
    assert _section(line).providers["line"].smpp is not None


@pytest.mark.parametrize(
    ("line", "over"),
    [
        ({"host": "smsc.example.com", "tls": False}, {}),
        ({"unsafe_plaintext": True}, {}),
        ({"tls": False, "ca": "ca.pem"}, {}),
        ({"window": 0}, {}),
        ({"numbers": "local"}, {}),
        ({"password": "secret"}, {}),
        ({}, {"account": "sixteen-chars-ab"}),
        ({}, {"sender": "twenty-one-characters"}),
        ({}, {"sender": "符节"}),
        ({}, {"sender": None}),
        ({}, {"secret_file": None}),
        ({}, {"smpp": None}),
        ({}, {"endpoint": "https://example.com"}),
        ({}, {"kind": "outbox"}),
        ({}, {"kind": "twilio"}),
    ],
)
def test_what_a_line_can_not_be_is_refused(line: dict[str, Any], over: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _section(line, **over)


def test_an_outbox_needs_a_file_and_no_processor() -> None:
    with pytest.raises(ValidationError):
        Messaging.model_validate({"providers": {"outbox": {"kind": "outbox"}}})
    Messaging.model_validate({"providers": {"outbox": {"kind": "outbox", "file": "outbox.jsonl"}}})


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda at: (at / "password").write_text("nine-char"), "PROVIDER_SECRET_UNREADABLE"),
        (lambda at: (at / "password").unlink(), "PROVIDER_SECRET_UNREADABLE"),
        (lambda at: (at / "ca.pem").write_text("no certificate"), "PROVIDER_CA_UNREADABLE"),
        (lambda at: (at / "ca.pem").unlink(), "PROVIDER_CA_UNREADABLE"),
    ],
)
async def test_what_can_not_be_read_is_said_before_the_start(
    tmp_path: Path, break_it: Callable[[Path], object], code: str
) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "ca.pem").write_bytes(certificates.authority().pem)
    break_it(tmp_path)
    section = _section({"ca": tmp_path / "ca.pem"}, secret_file=tmp_path / "password")
    with pytest.raises(CannotStart) as refused:
        open_providers(section, SystemClock())
    assert [problem.code for problem in refused.value.problems] == [code]
    assert "nine-char" not in str(refused.value.problems)


async def test_what_the_settings_say_is_what_the_smsc_hears(tmp_path: Path) -> None:
    authority = certificates.authority()
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    async with smsc(*certificates.server(authority).files(tmp_path, "smsc")) as server:
        line = {"port": server.port, "ca": tmp_path / "ca.pem", "numbers": "national"}
        provider = open_providers(_section(line, secret_file=tmp_path / "password"), SystemClock())["line"]
        while not await provider.ready(1):
            pass
        said = await provider.submit([Outgoing("i1", Phone("+8613800138000"), "符节", "hello")])
        await provider.close()
    assert (provider.name, provider.processor, said[0].acceptance) == (
        "line",
        "carrier",
        Acceptance.ACCEPTED,
    )
    bound, sent = await server.event("bind"), await server.event("submit")
    assert (bound["system_id"], bound["password"]) == ("fujie", "secret")
    assert (sent["from"], sent["to"], sent["text"]) == ("10690000", "13800138000", "【符节】hello")
