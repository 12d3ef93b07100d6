"""The section `messaging`: what is wrong is said at load, in the words of the settings, and shows no secret."""

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fujie.adapters.clock import SystemClock
from fujie.app.messaging import Messaging
from fujie.app.problems import CannotStart, Problem
from fujie.app.providers import _tls, open_providers
from fujie.app.settings import Settings, load_settings

KEY = {"id": "k1", "file": "keys/x.key"}
ISSUER = {"iss": "https://id.example.com", "aud": "fujie", "algs": ["ES256"], "jwks": "jwks.json"}
LEAST: dict[str, Any] = {
    "identity": {"issuers": [ISSUER]},
    "keys": {"ledger_index": KEY, "token": KEY, "seal": KEY, "log": KEY},
    "ledger": {"url": "sqlite:///ledger.db"},
    "audit": {"dir": "log", "instance": "a"},
    "policy": {"paths": ["policies"]},
}
CARRIER = {"processor": "carrier", "account": "ID", "secret_file": "secret"}
ALIYUN = {"kind": "aliyun", **CARRIER}
TENCENT = {"kind": "tencent", **CARRIER, "app_id": "1400006666"}
TWILIO = {"kind": "twilio", **CARRIER, "sender": "MG1"}
TEMPLATE: dict[str, Any] = {"body": '{"to": "{phone}", "text": "{text}"}', "answer": {"accepted": ["200"]}}
HTTP = {
    "kind": "http",
    "processor": "carrier",
    "endpoint": "https://sms.example.com/send",
    "http": TEMPLATE,
}
FORM = {**TEMPLATE, "encoding": "form"}

Load = Callable[[dict[str, Any]], Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(provider: dict[str, Any]) -> Settings:
        path = tmp_path / "fujie.yaml"
        path.write_text(json.dumps({**LEAST, "messaging": {"providers": {"main": provider}}}), "utf-8")
        return load_settings(path, {})

    return loaded


def problem(load: Load, provider: dict[str, Any]) -> Problem:
    with pytest.raises(CannotStart) as refused:
        load(provider)
    [found] = refused.value.problems
    return found


@pytest.mark.parametrize(
    "provider", [ALIYUN, TENCENT, TWILIO, HTTP, {**HTTP, "http": {**FORM, "body": "to={phone}"}}]
)
def test_each_kind_loads_with_what_it_needs(load: Load, provider: dict[str, Any]) -> None:
    loaded = load({**provider, "segment_price": 45}).messaging.providers["main"]
    assert (loaded.kind, loaded.timeout_seconds, loaded.segment_price) == (provider["kind"], 4.0, 45)


@pytest.mark.parametrize(
    ("provider", "code", "said"),
    [
        ({**ALIYUN, "secret_file": None}, "SETTING_MISSING", "secret_file"),
        ({**ALIYUN, "processor": ""}, "SETTING_MISSING", "processor"),
        ({**TENCENT, "app_id": None}, "SETTING_MISSING", "app_id"),
        ({**TWILIO, "sender": None}, "SETTING_MISSING", "sender"),
        ({**HTTP, "http": None}, "SETTING_MISSING", "http"),
        ({**ALIYUN, "poll": True}, "SETTING_INVALID", "poll"),
        ({**ALIYUN, "endpoint": "http://sms.example.com"}, "SETTING_INVALID", "https"),
        ({**ALIYUN, "endpoint": "https://u:p@sms.example.com"}, "SETTING_INVALID", "user"),
        ({**ALIYUN, "endpoint": "https://sms.example.com/x"}, "SETTING_INVALID", "scheme, host and port"),
        ({**ALIYUN, "timeout_seconds": 31}, "SETTING_INVALID", "30"),
        ({**ALIYUN, "secret": "x"}, "UNKNOWN_SETTING", ""),
        ({**ALIYUN, "kind": "pigeon"}, "SETTING_INVALID", "aliyun"),
    ],
)
def test_what_does_not_fit_is_a_problem(load: Load, provider: dict[str, Any], code: str, said: str) -> None:
    found = problem(load, provider)
    assert found.code == code
    assert said in found.message
    assert found.key.startswith("messaging.providers.main")
    assert found.place


@pytest.mark.parametrize(
    ("endpoint", "template", "said"),
    [
        ("https://sms.example.com/send/{phone}", TEMPLATE, "URL"),
        ("https://sms.example.com/?to={national}", TEMPLATE, "URL"),
        ("https://sms.example.com/", {**TEMPLATE, "body": '{"to": "{phon}"}'}, "{phone}"),
        ("https://sms.example.com/", {**TEMPLATE, "body": '{"text": "{text}"}'}, "stands anywhere"),
        ("https://sms.example.com/", {**TEMPLATE, "body": "{phone}"}, "not json"),
        ("https://sms.example.com/", {**FORM, "body": "{phone}"}, "not form"),
        ("https://sms.example.com/", {**TEMPLATE, "headers": {"X-Text": "{text}"}}, "headers"),
        ("https://sms.example.com/", {**TEMPLATE, "headers": {"X-A": "a\r\nX-B: b"}}, "printable"),
    ],
)
def test_a_template_that_would_leak_or_can_not_be_filled_is_refused(
    load: Load, endpoint: str, template: dict[str, Any], said: str
) -> None:
    assert said in problem(load, {**HTTP, "endpoint": endpoint, "http": template}).message


@pytest.mark.parametrize("provider", [ALIYUN, TENCENT, TWILIO, HTTP])
def test_the_shown_section_loads_again(load: Load, provider: dict[str, Any]) -> None:
    loaded = load(provider)
    assert load(loaded.shown()["messaging"]["providers"]["main"]) == loaded


def test_an_unknown_key_is_named_with_what_was_meant(load: Load) -> None:
    found = problem(load, {**ALIYUN, "timeout_second": 3})
    assert found.remedy == "Did you mean `timeout_seconds`?"


def section(**providers: dict[str, Any]) -> Messaging:
    return Messaging.model_validate({"providers": providers})


async def test_providers_open_in_the_order_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n", "utf-8")
    own = {"secret_file": str(tmp_path / "secret")}
    opened = open_providers(
        section(b={**TWILIO, **own}, a={**ALIYUN, **own}, d=HTTP, c={**TENCENT, **own}), SystemClock()
    )
    assert [*opened] == ["b", "a", "d", "c"]
    assert [(each.name, each.processor) for each in opened.values()] == [
        (name, "carrier") for name in opened
    ]
    assert [each.needs_template for each in opened.values()] == [False, True, False, True]
    assert {each.timeout_s for each in opened.values()} == {4.0}
    assert "s3cret" not in repr(opened)
    for each in opened.values():
        await each.close()


async def test_every_secret_that_can_not_be_read_is_listed_and_none_is_shown(tmp_path: Path) -> None:
    (tmp_path / "two").write_text("one\ntwo\n", "utf-8")
    (tmp_path / "long").write_text("x" * 5000, "utf-8")
    (tmp_path / "odd").write_bytes(b"\xff")
    names = ["none", "two", "long", "odd"]
    providers = {name: {**ALIYUN, "secret_file": str(tmp_path / name)} for name in names}
    with pytest.raises(CannotStart) as refused:
        open_providers(section(**providers), SystemClock())
    assert [each.code for each in refused.value.problems] == ["PROVIDER_SECRET_UNREADABLE"] * 4
    assert not any("xxx" in each.message or "one\n" in each.message for each in refused.value.problems)


def test_no_line_to_an_smsc_writes_its_keys_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = _tls(None)
    assert not context.keylog_filename
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
