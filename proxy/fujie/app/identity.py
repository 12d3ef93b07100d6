"""The section `identity`: whose tokens and whose certificates are believed."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, Text, is_safe_web_address
from fujie.model.workload import TRUST_DOMAIN, trust_domain_of


def _key_set(place: str) -> str:
    if "://" in place and not is_safe_web_address(place):
        raise PydanticCustomError(
            "setting_invalid",
            "a path or an https address is meant, http for this machine only, without user and fragment",
        )
    return place


def _trust_domain(name: str) -> str:
    if not re.fullmatch(TRUST_DOMAIN, name):
        raise PydanticCustomError(
            "setting_invalid", "a SPIFFE trust domain is meant: a-z, 0-9, dot, dash, _"
        )
    return name


class Issuer(Section):
    """Whose tokens are believed."""

    iss: Text = Field(description="Issuer, exactly as in the token.")
    aud: Text = Field(description="Audience that the token must name.")
    algs: tuple[Text, ...] = Field(min_length=1, description="Signature algorithms that are accepted.")
    jwks: Annotated[Text, AfterValidator(_key_set)] = Field(
        description="The issuer's public keys (JWKS): a file, or an `https://` address. Read at start, followed after."
    )
    prefix: str = Field(
        default="",
        max_length=64,
        description="Put before `sub` to make the principal's id: what one issuer signs names nobody of another's.",
    )


class Spiffe(Section):
    """Whose certificates name workloads. Needs `server.tls.client_ca`."""

    trust_domain: Annotated[str, AfterValidator(_trust_domain)] = Field(
        description="Trust domain that the one URI SAN of a client certificate must be of."
    )
    may_assert: tuple[Text, ...] = Field(
        default=(), description="SPIFFE ids of the workloads that may ask on behalf of somebody else."
    )

    @model_validator(mode="after")
    def _is_of_the_domain(self) -> "Spiffe":
        for spiffe_id in self.may_assert:
            try:
                is_ours = trust_domain_of(spiffe_id) == self.trust_domain
            except ValueError:
                is_ours = False
            if not is_ours:
                raise PydanticCustomError(
                    "setting_invalid", "may_assert takes full SPIFFE ids of workloads of the trust domain"
                )
        return self


class Identity(Section):
    """Who calls. At least one of the three."""

    issuers: tuple[Issuer, ...] = Field(default=(), description="Issuers of JSON Web Tokens.")
    spiffe: Spiffe | None = Field(
        default=None, description="Workloads that prove themselves by certificates."
    )
    unsafe_static_tokens: Path | None = Field(
        default=None,
        description="YAML or JSON file, SHA-256 of a token (hex) to principal id. Such tokens never expire.",
    )

    @model_validator(mode="after")
    def _knows_somebody(self) -> "Identity":
        if not self.issuers and self.spiffe is None and self.unsafe_static_tokens is None:
            raise PydanticCustomError("identity_missing", "nobody could authenticate")
        return self
