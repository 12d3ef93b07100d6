"""The section `console`: the pages of `server.console_listen`, for employees."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, Text, is_safe_web_address


def _address(text: str) -> str:
    if text and (not is_safe_web_address(text) or "?" in text):
        raise PydanticCustomError(
            "setting_invalid", "an https address is meant, http for this machine only, without query"
        )
    return text


WebAddress = Annotated[Text, AfterValidator(_address)]


class SignIn(Section):
    """The OpenID Connect provider at which employees sign in (authorization code with PKCE)."""

    issuer: WebAddress = Field(
        description="Issuer, exactly as in its tokens; its addresses are read from"
        " `/.well-known/openid-configuration` beneath it, when somebody signs in."
    )
    client_id: Text = Field(
        description="What the provider knows the console as; the audience of its ID tokens."
    )
    client_secret_file: Path | None = Field(
        default=None, description="File with the client's secret, in one line. None for a public client."
    )
    algs: tuple[Text, ...] = Field(
        default=("RS256",), min_length=1, description="Signature algorithms of ID tokens that are accepted."
    )
    prefix: str = Field(
        default="",
        max_length=64,
        description="Put before `sub` to make the principal's id, as in `identity.issuers[]`.",
    )


class Console(Section):
    """The pages for employees. Needs `server.console_listen`."""

    url: Annotated[str, AfterValidator(_address)] = Field(
        default="",
        description="`https://` address under which browsers reach `console_listen`, without path. The provider must"
        " know `<url>/console/callback` as the redirect address.",
    )
    oidc: SignIn | None = Field(
        default=None,
        description="Where employees sign in. Without it they paste a token of `identity.issuers`.",
    )
    session_minutes: int = Field(
        default=30, ge=1, le=480, description="How long somebody stays signed in, whatever he does."
    )
