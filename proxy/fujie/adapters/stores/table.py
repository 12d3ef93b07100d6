"""How a store is configured: one table or view, and which column holds what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
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
    """

    name: str
    url: str = field(repr=False)  # it may hold a password
    table: str
    customer_id: str
    phone: str | None = None
    phone_format: PhoneFormat = PhoneFormat.E164
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def table_name(self) -> str:
        """`table` without its schema."""
        return self.table.rpartition(".")[2]

    @property
    def schema(self) -> str | None:
        """The schema of `table`, if it names one."""
        return self.table.rpartition(".")[0] or None

    @property
    def columns(self) -> frozenset[str]:
        """Every column that is mapped."""
        keys = [self.customer_id] if self.phone is None else [self.customer_id, self.phone]
        return frozenset([*keys, *self.fields.values(), *self.attributes.values()])

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
