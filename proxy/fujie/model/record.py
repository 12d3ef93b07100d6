"""The fetched customer record, sealed until it is masked.

A store returns a `SealedRecord`; only `decision/mask.py` may call `open_for_masking` (the architecture test
says so), so no log line, error, metric or reply can carry a raw value by accident. What a decision reads
about a customer travels beside the record as attributes, never inside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, final

from fujie.model.customer import StoreKey
from fujie.model.data_class import DataClass
from fujie.model.step import Step


@dataclass(frozen=True, slots=True)
class FieldTreatment:
    """How one field leaves: the step the decision settled on, and the class that says what the step means."""

    step: Step
    data_class: DataClass


@final
class SealedRecord:
    """One customer's raw field values, by field name, that nothing but `mask` reads.

    It is made of a mapping, which it copies, or of names and as many values. It prints as its number of fields only, and
    can not be iterated, compared by content, copied or pickled. It guards against accidents, not against code that means
    to get in.
    """

    __slots__ = ("_names", "_values")

    def __init__(
        self, fields: Mapping[str, object] | tuple[str, ...], values: tuple[object, ...] = ()
    ) -> None:
        if isinstance(fields, tuple):
            self._names, self._values = fields, values
        else:
            self._names, self._values = tuple(fields), tuple(fields.values())

    def __repr__(self) -> str:
        return f"<SealedRecord of {len(self._values)} fields>"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        raise TypeError("a sealed record is neither copied nor pickled")


class Fetched(NamedTuple):
    """One row of a store: the sealed fields that were asked for, and the attributes for facts.

    `phone` is the row's own number in E.164 where the store maps one and it normalises, else empty:
    it finds what the ledger knows of the same person under the number. `attributes` holds raw
    values of the columns that were asked for; a column that is not mapped is absent.
    """

    key: StoreKey
    record: SealedRecord
    attributes: Mapping[str, object]
    phone: str = ""

    def __repr__(self) -> str:
        return "Fetched(...)"


def open_for_masking(record: SealedRecord) -> Mapping[str, object]:
    """Return the raw values. For `decision/mask.py` alone."""
    return dict(zip(record._names, record._values, strict=True))  # noqa: SLF001 - this is the one door


def open_columns_for_masking(
    records: Sequence[SealedRecord], absent: object
) -> Mapping[str, Sequence[object]]:
    """Return the raw values of many records by field, with `absent` where a record has none. For `decision/mask.py` alone."""
    # The rows of one scan have one tuple of names.
    if len({id(record._names) for record in records}) == 1:  # noqa: SLF001 - the same door, for many at once
        columns = zip(*[record._values for record in records], strict=True)  # noqa: SLF001
        return dict(zip(records[0]._names, columns, strict=True))  # noqa: SLF001
    opened = [dict(zip(each._names, each._values, strict=True)) for each in records]  # noqa: SLF001
    names = dict.fromkeys([name for each in opened for name in each])
    return {name: [each.get(name, absent) for each in opened] for name in names}
