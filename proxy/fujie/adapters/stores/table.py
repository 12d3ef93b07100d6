"""How a store is configured: one table or view, and which column holds what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name


class PhoneFormat(StrEnum):
    """How the store writes phone numbers: `+8613800138000`, or as dialled within China (`13800138000`)."""

    E164 = "e164"
    NATIONAL = "national"


@dataclass(frozen=True, slots=True)
class StoreTable:
    """One store. Names of tables and columns come from here alone, and are always quoted.

    `table` may be `schema.table`. `fields` and `attributes` map the catalogue's names to columns. In
    the format `national` a number outside China is still looked up as E.164.

    `phone` holds the number itself, `phone_hmac` its keyed digest (`blindindex`); with both, rows are
    found by the digest and `phone` is what they must then hold. `last_four` and `last_four_hmac` are
    the same for the last four digits, which `search` goes by. `index_key` is the `store_index` key, at
    least where there is a column of digests.
    """

    name: str
    url: str = field(repr=False)  # it may hold a password
    table: str
    customer_id: str
    phone: str | None = None
    phone_format: PhoneFormat = PhoneFormat.E164
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    phone_hmac: str | None = None
    last_four: str | None = None
    last_four_hmac: str | None = None
    index_key: bytes = field(default=b"", repr=False)
    password_file: Path | None = None
    replicas: tuple[str, ...] = field(default=(), repr=False)
    connections: int = 8
    is_plaintext: bool = False
    """No TLS whatever the host: the setting `unsafe_plaintext`."""

    @property
    def table_name(self) -> str:
        """`table` without its schema."""
        return self.table.rpartition(".")[2]

    @property
    def schema(self) -> str | None:
        """The schema of `table`, if it names one."""
        return self.table.rpartition(".")[0] or None

    @property
    def phone_key(self) -> str | None:
        """The column that a number finds rows by."""
        return self.phone_hmac or self.phone

    @property
    def search_key(self) -> str | None:
        """The column that the last four digits find rows by."""
        return self.last_four_hmac or self.last_four

    @property
    def digest_columns(self) -> frozenset[str]:
        """Columns that must hold text: digests, and digits whose leading zeros count."""
        return frozenset(n for n in (self.phone_hmac, self.last_four, self.last_four_hmac) if n is not None)

    @property
    def key_columns(self) -> frozenset[str]:
        """Columns that rows are found by, or that name the customer."""
        return (
            self.digest_columns | {self.customer_id} | ({self.phone} if self.phone is not None else set())
        )

    @property
    def columns(self) -> frozenset[str]:
        """Every column that is mapped."""
        return self.key_columns | frozenset([*self.fields.values(), *self.attributes.values()])

    def from_clause(self) -> sa.TableClause:
        """Return the table with its mapped columns, typeless: a driver's values come back as they are."""
        columns: list[sa.ColumnClause[object]] = [
            sa.column(quoted_name(n, quote=True)) for n in sorted(self.columns)
        ]
        schema = None if self.schema is None else quoted_name(self.schema, quote=True)
        return sa.table(quoted_name(self.table_name, quote=True), *columns, schema=schema)


def spellings(phone_e164: str, phone_format: PhoneFormat) -> tuple[str, ...]:
    """Return the texts under which a store of this format holds a number; as an IN list they use its index.

    Only Chinese numbers have national forms here: the national digits of another country's number
    would be read as somebody else's Chinese number. The length depends on the format alone.
    """
    if phone_format is PhoneFormat.E164:
        return (phone_e164,)
    if not phone_e164.startswith("+86"):
        return (phone_e164,) * 4
    digits = phone_e164.removeprefix("+86")
    return (phone_e164, f"86{digits}", digits, f"0{digits}")
