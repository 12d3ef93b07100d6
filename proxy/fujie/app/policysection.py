"""The section `policy`: where the policies in force come from, and who must have signed them."""

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, Text, is_safe_web_address


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise PydanticCustomError("setting_invalid", "a zone of the IANA database is meant") from None
    return text


def _web_address(text: str) -> str:
    if not is_safe_web_address(text):
        raise PydanticCustomError(
            "setting_invalid",
            "an https address is meant, http for this machine only, without user and fragment",
        )
    return text


def _vkey(text: str) -> str:
    from fujie.audit.checkpoint import parse_vkey
    from fujie.audit.errors import CheckpointInvalid

    try:
        parse_vkey(text)
    except CheckpointInvalid:
        raise PydanticCustomError(
            "setting_invalid", "a public key as `fujie policy keygen` prints it is meant"
        ) from None
    return text


SOURCES = ("paths", "bundle", "url")
"""Exactly one of them is set; `settings.load_settings` sees to it, beside whatever else is wrong."""


class Policy(Section):
    """The policies in force: plain files (`paths`), or a signed bundle (`bundle`, `url`)."""

    paths: tuple[Path, ...] | None = Field(
        default=None,
        min_length=1,
        description="Files, or directories of `*.yaml`, `*.yml`. Exactly one of `paths`, `bundle` and `url` is needed.",
    )
    bundle: Path | None = Field(
        default=None, description="Signed bundle, a file of `fujie policy build` and `sign`."
    )
    url: Annotated[Text, AfterValidator(_web_address)] | None = Field(
        default=None,
        description="`https://` address of a signed bundle. No redirect is followed; no secret belongs into it.",
    )
    token_file: Path | None = Field(
        default=None, description="File with the bearer token for `url`, in one line."
    )
    trusted_keys: tuple[Annotated[str, AfterValidator(_vkey)], ...] = Field(
        default=(),
        description="Public keys of those who may sign bundles, as `fujie policy keygen` prints them.",
    )
    signatures: int = Field(
        default=1, ge=1, le=64, description="How many of `trusted_keys` must have signed a bundle."
    )
    state_dir: Path | None = Field(
        default=None,
        description="Directory that keeps the last good bundle, for starts without its source and against older ones."
        " Needed for `bundle` and `url`.",
    )
    shadow: tuple[Path, ...] = Field(
        default=(),
        description="Policies that are asked about every request and never obeyed: files, or directories. Differences are"
        " counted in metrics; what is wrong with them stops nothing.",
    )
    shadow_bundle: Path | None = Field(
        default=None, description="The same from a signed bundle, a file. At most one of the three shadows."
    )
    shadow_url: Annotated[Text, AfterValidator(_web_address)] | None = Field(
        default=None,
        description="The same from the `https://` address of a signed bundle; `token_file` is sent there too.",
    )
    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="Asia/Shanghai", description="Zone in which `time.hour` and `time.weekday` are read."
    )
    reload_seconds: float = Field(default=2, ge=0.05, description="How often the files are compared.")
    poll_seconds: float = Field(
        default=30, ge=1, le=86_400, description="How often `url` is asked, give or take a tenth."
    )
    unsafe_downgrade: bool = Field(
        default=False,
        description="Take a bundle whose revision is not above the last one that was in force.",
    )

    @model_validator(mode="after")
    def _is_signed_or_plain(self) -> "Policy":
        is_shadow_signed = bool(self.shadow_bundle or self.shadow_url)
        if self.paths is not None:
            if self.state_dir or self.unsafe_downgrade:
                raise PydanticCustomError(
                    "setting_invalid", "state_dir and unsafe_downgrade are for signed bundles"
                )
            if (self.trusted_keys or self.signatures != 1) and not is_shadow_signed:
                raise PydanticCustomError(
                    "setting_invalid", "trusted_keys and signatures are for signed bundles"
                )
        elif (self.bundle or self.url) and (self.state_dir is None or not self.trusted_keys):
            raise PydanticCustomError("setting_invalid", "a signed bundle needs state_dir and trusted_keys")
        if self.token_file is not None and self.url is None and self.shadow_url is None:
            raise PydanticCustomError("setting_invalid", "token_file is for url and shadow_url")
        return self

    @model_validator(mode="after")
    def _has_one_shadow(self) -> "Policy":
        if sum(map(bool, (self.shadow, self.shadow_bundle, self.shadow_url))) > 1:
            raise PydanticCustomError(
                "setting_invalid", "at most one of shadow, shadow_bundle and shadow_url is meant"
            )
        if (self.shadow_bundle or self.shadow_url) and not self.trusted_keys:
            raise PydanticCustomError("setting_invalid", "a signed shadow needs trusted_keys")
        return self

    @model_validator(mode="after")
    def _has_enough_signers(self) -> "Policy":
        from fujie.audit.checkpoint import parse_vkey

        keys = [parse_vkey(text) for text in self.trusted_keys]
        if len({key.name for key in keys}) != len(keys) or len({key.public for key in keys}) != len(keys):
            raise PydanticCustomError(
                "setting_invalid", "two of trusted_keys share a name or a key: one person could sign twice"
            )
        if keys and self.signatures > len(keys):
            raise PydanticCustomError("setting_invalid", "signatures is more than there are trusted_keys")
        return self

    @property
    def follow_seconds(self) -> float:
        """How often the source is looked at."""
        return self.poll_seconds if self.url is not None else self.reload_seconds

    @property
    def has_shadow(self) -> bool:
        """Whether other policies are asked as well."""
        return bool(self.shadow or self.shadow_bundle or self.shadow_url)

    @property
    def shadow_follow_seconds(self) -> float:
        """How often the source of the shadow is looked at."""
        return self.poll_seconds if self.shadow_url is not None else self.reload_seconds
