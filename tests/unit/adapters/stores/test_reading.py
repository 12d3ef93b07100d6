"""What many rows mean, looked at by column, is what each row means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.stores.columns import LONGEST
from fujie.adapters.stores.reading import Reading
from fujie.adapters.stores.sqlite import SQLiteColumns
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StoreError
from fujie.model.record import Fetched, open_for_masking

TABLE = StoreTable(
    name="crm", url="sqlite:///nowhere.db", table="customers", customer_id="id", phone="phone",
    fields={"name": "name"}, attributes={"minor": "minor", "owner_department": "department"},
)  # fmt: skip
READING = Reading(
    TABLE,
    SQLiteColumns(TABLE, is_ordered=True, is_utf8=True),
    frozenset(TABLE.fields),
    frozenset(TABLE.attributes),
)
_PLAIN = st.tuples(
    st.sampled_from(("C-1", "C-2", "客户")),
    st.sampled_from(("13800138000", "+8613900139000")),
    st.sampled_from((0, 1)),
    st.sampled_from(("east", "west", None)),
    st.sampled_from(("王小明", "", "x" * 20_000)),
)
_ODD = st.tuples(
    st.sampled_from(("C-1", 7, "", None, "a\ufffd")),
    st.sampled_from(("13800138000", 13800138000, "138 0013 8000", "no number", "", None, b"x")),
    st.sampled_from((False, 0, 0.0, "0", True, 1, 1.0, None)),
    st.sampled_from(("east", None, b"east", 1)),
    st.sampled_from(("王小明", None, "x" * (LONGEST + 1), b"x" * (LONGEST + 1))),
)


def told(found: list[Fetched]) -> list[Any]:
    """Return all that rows say, with the type of each attribute: 1 and True are equal and not the same."""
    return [
        (
            row.key,
            row.phone,
            [(*each, type(each[1])) for each in row.attributes.items()],
            open_for_masking(row.record),
        )
        for row in found
    ]


def each_alone(rows: list[Any]) -> list[Any] | None:
    try:
        return told([READING.row(row) for row in rows])
    except StoreError:
        return None


@given(
    st.one_of(
        st.lists(_PLAIN, max_size=8),
        st.lists(_ODD, max_size=5),
        st.lists(st.one_of(_PLAIN, _ODD), max_size=4),
    )
)
def test_many_rows_mean_what_each_of_them_means(rows: list[Any]) -> None:
    expected = each_alone(rows)
    if expected is None:
        with pytest.raises(StoreError):
            READING.batch(rows)
    else:
        assert told(READING.batch(rows)) == expected


def test_rows_with_the_same_attributes_share_them_and_no_others_do() -> None:
    rows = [(f"C-{n}", "13800138000", n % 2, "east", "") for n in range(4)]
    first, second, third, _ = [row.attributes for row in READING.batch(rows)]
    assert first is third
    assert first is not second
