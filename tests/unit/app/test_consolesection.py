"""The settings of the console: what would open it to the network, or to nobody, is refused at start."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fujie.app.console import open_console
from fujie.app.settings import Settings
from fujie.model.errors import CredentialError, StartError
from unit.app.test_settings import Load, codes, load

__all__ = ["load"]

URL = "https://console.example.com"
PROVIDER = {"issuer": "https://idp.example.com", "client_id": "fujie"}


@pytest.mark.parametrize(
    ("server", "console", "code", "key"),
    [
        ({"console_listen": "127.0.0.1:0"}, {}, "SETTING_MISSING", "console.url"),
        ({"console_listen": "0.0.0.0:0"}, {"url": URL}, "PUBLIC_PLAINTEXT", "server"),
        ({}, {"url": "http://console.example.com"}, "SETTING_INVALID", "console.url"),
        ({}, {"url": f"{URL}?x=1"}, "SETTING_INVALID", "console.url"),
        ({}, {"url": URL, "session_minutes": 481}, "SETTING_INVALID", "console.session_minutes"),
        (
            {},
            {"oidc": {**PROVIDER, "issuer": "http://a.example.com"}},
            "SETTING_INVALID",
            "console.oidc.issuer",
        ),
        ({}, {"oidc": {**PROVIDER, "algs": []}}, "SETTING_INVALID", "console.oidc.algs"),
        ({}, {"oidc": {"issuer": URL}}, "SETTING_MISSING", "console.oidc.client_id"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    server: dict[str, Any], console: dict[str, Any], code: str, key: str, load: Load
) -> None:
    assert codes(lambda: load({"server": server, "console": console})) == {(code, key)}


class Nobody:
    """Authenticates nobody."""

    async def verify(self, token: str, now: object) -> Any:
        raise CredentialError(token)


@pytest.mark.parametrize("content", [None, "", " \n", "é"])
async def test_a_client_without_its_secret_does_not_start(
    content: str | None, load: Load, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content, "utf-8")
    oidc = {**PROVIDER, "client_secret_file": str(secret)}
    settings: Settings = load(
        {"server": {"console_listen": "127.0.0.1:0"}, "console": {"url": URL, "oidc": oidc}}
    )
    async with AsyncExitStack() as opened:
        with pytest.raises(StartError) as refused:
            await open_console(settings, None, Nobody(), opened)  # type: ignore[arg-type]  # it comes to none
    assert refused.value.code == "CLIENT_SECRET_UNREADABLE"
