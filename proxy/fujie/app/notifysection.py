"""The section `notify`: where other systems are told, and by when they must have done what they are told."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, is_safe_web_address


def _url(text: str) -> str:
    if text and not is_safe_web_address(text.replace("http://", "https://", 1)):
        raise PydanticCustomError("setting_invalid", "an https address is meant, without user and fragment")
    return text


class Notify(Section):
    """How other systems are told."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        default="",
        repr=False,
        description="Address of the webhook, `https://` (`http://` for this machine only). Empty: nothing is sent, and orders"
        " wait for a person's acknowledgement.",
    )
    secret_file: Path | None = Field(
        default=None,
        description="File with the secrets that sign webhooks, `whsec_` and base64, one in each line: each signs.",
    )
    timeout_seconds: float = Field(
        default=10.0, ge=0.1, le=60.0, description="How long one attempt may take."
    )
    wipe_within_hours: int = Field(
        default=24, ge=1, le=8_760, description="By when a device of who left must be wiped."
    )
    transfer_within_hours: int = Field(
        default=72, ge=1, le=8_760, description="By when customers must be handed over."
    )
    unsafe_plaintext: bool = Field(
        default=False, description="Send webhooks to another host over plain HTTP."
    )

    @model_validator(mode="after")
    def _is_signed_and_encrypted(self) -> "Notify":
        if bool(self.url) != (self.secret_file is not None):
            raise PydanticCustomError("setting_missing", "url and secret_file belong together")
        if self.url and not (self.unsafe_plaintext or is_safe_web_address(self.url)):
            raise PydanticCustomError("setting_invalid", "url is neither https nor of this machine")
        return self
