"""The section `keys`."""

from pathlib import Path

from pydantic import Field

from fujie.app.section import Section


class KeyFile(Section):
    """One key: a file of `fujie keys init`, and the id that is written beside what it made."""

    id: str = Field(pattern="^[a-z0-9]{1,16}$", description="1 to 16 of a-z and 0-9.")
    file: Path = Field(description="32 bytes, base64, one line.")


class Keys(Section):
    """The keys. The ledger remembers what they must be (KEY_MISMATCH)."""

    ledger_index: KeyFile = Field(description="Finds customers in the ledger by phone or id.")
    store_index: KeyFile | None = Field(
        default=None, description="For stores that hold keyed digests of numbers."
    )
    token: KeyFile = Field(description="Makes the pseudonyms of the step `token`.")
    seal: KeyFile = Field(description="Wraps the customers' data keys.")
    log: KeyFile = Field(description="Signs the checkpoints of the log.")
