"""The section `scim`: an identity provider that hires, moves and offboards people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, Text


class SCIM(Section):
    """How an identity provider gets in, and what it may give."""

    principal: Text = Field(
        description="Service principal as whom it asks; the directory must know it, and a grant let it do `principal.read`,"
        " `principal.write` and `principal.offboard`."
    )
    token_file: Path = Field(
        description="File with its bearer token, in one line: at least 22 of ASCII letters, digits, `-` and `_`."
    )
    groups: Mapping[Text, Text] = Field(
        default={},
        description="Role that each group stands for, one each, by the group's `displayName`. No other role is ever given or"
        " taken.",
    )
    inactive: Literal["suspend", "offboard"] = Field(
        default="suspend",
        description="What `active: false` does: `suspend` can be undone, `offboard` is final. DELETE always offboards.",
    )

    @model_validator(mode="after")
    def _is_one_to_one(self) -> "SCIM":
        if len(set(self.groups.values())) != len(self.groups):
            raise PydanticCustomError("setting_invalid", "two groups stand for one role")
        return self
