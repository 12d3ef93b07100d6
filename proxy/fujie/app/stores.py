"""The sections of `stores`: where customer records are, and which column holds what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fujie.app.section import Section, Text


class Phone(Section):
    """How a store holds phone numbers: at least one of `column` and `hmac_column`."""

    column: Text | None = Field(default=None, description="Column of the number.")
    format: Literal["e164", "national"] = Field(
        default="e164", description="`+8613800138000` or `13800138000`."
    )
    hmac_column: Text | None = Field(
        default=None,
        description="Column of the number's digest under `keys.store_index`; rows are then found by it.",
    )
    last_four_column: Text | None = Field(
        default=None, description="Column of the number's last four digits, for searches."
    )
    last_four_hmac_column: Text | None = Field(
        default=None, description="Column of their digest instead, under `keys.store_index`."
    )

    @model_validator(mode="after")
    def _is_one_way(self) -> "Phone":
        if self.column is None and self.hmac_column is None:
            raise PydanticCustomError("setting_missing", "column or hmac_column is needed")
        if self.last_four_column is not None and self.last_four_hmac_column is not None:
            raise PydanticCustomError(
                "setting_invalid", "last_four_column and last_four_hmac_column are both given"
            )
        return self


class Store(Section):
    """A place that holds customer records: one table or view."""

    url: Text = Field(
        repr=False,
        description="`sqlite:///path`, `postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem`,"
        " or the same with `mysql` or `mariadb`.",
    )
    password_file: Path | None = Field(
        default=None, description="File with the password of the database user, in one line."
    )
    replicas: tuple[Text, ...] = Field(
        default=(),
        repr=False,
        description="Addresses that are read in turn before `url`, which stands in where one fails.",
    )
    connections: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Connections of one process to each address for look-ups, at most; exports have up to 4 more,"
        " never more than this. For SQLite the long look-ups at a time.",
    )
    unsafe_plaintext: bool = Field(
        default=False, description="Reach a database on another host without demanding TLS."
    )
    table: Text = Field(description="Table or view, `schema.table` if need be.")
    customer_id: Text = Field(description="Column of the customer's id.")
    phone: Phone | None = Field(default=None, description="Without it the store is not found by phone.")
    fields: Mapping[str, Text] = Field(default={}, description="Field of the catalogue to column.")
    attributes: Mapping[str, Text] = Field(
        default={}, description="Customer attribute of the catalogue to column."
    )
