"""What every customer store must do (`ports.CustomerStore`), run against each database."""

import asyncio
import string
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores.blindindex import last_four_digest, phone_digest
from fujie.adapters.stores.columns import LONGEST
from fujie.adapters.stores.statement import WIDTH
from fujie.adapters.stores.store import SQLStore, open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import StartError, StoreError
from fujie.model.phone import normalise
from fujie.model.predicate import Column, Comparison, Operator
from fujie.model.record import Fetched, open_for_masking
from fujie.ports.stores import Scan
from support.databases import InPostgreSQL, Place, place_of

Open = Callable[..., Awaitable[SQLStore]]

NOTHING: frozenset[str] = frozenset()
KEY = b"k" * 32
COLUMNS = "phone VARCHAR(40), name VARCHAR(100), minor INTEGER, department VARCHAR(40), note VARCHAR(100)"
SCHEMA = (
    f"CREATE TABLE customers (id VARCHAR(40) PRIMARY KEY, {COLUMNS})",
    "CREATE INDEX by_phone ON customers (phone)",
    """INSERT INTO customers VALUES
    ('C-1', '+8613800138000', '欧阳 一', 0, 'east', NULL),
    ('C-2', '+8613900139000', '王 二', 1, 'west', 'x'),
    ('C-3', '+8613900139000', '李 三', NULL, NULL, 'y'),
    ('C-4', '+8613900139000', '赵 四', NULL, NULL, 'z'),
    ('C-5', NULL, '钱 五', 0, '', ''),
    ('C-6', 'ask me', '孙 六', 0, 'east', '0')""",
)
MAPPED: dict[str, Any] = {
    "table": "customers", "customer_id": "id", "phone": "phone",
    "fields": {"name": "name", "phone": "phone", "note": "note"},
    "attributes": {"minor": "minor", "owner_department": "department"},
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path) as place:
        yield place


@pytest.fixture
async def opened(place: Place) -> AsyncIterator[Open]:
    stores: list[SQLStore] = []

    async def opened(*script: str, **changes: Any) -> SQLStore:
        place.run(*(script or SCHEMA))
        mapped = {"name": "crm", "url": place.url, **MAPPED, **changes}
        stores.append(await open_store(StoreTable(**mapped), SystemClock()))
        return stores[-1]

    yield opened
    for store in stores:
        await store.close()


def only(place: Place, *kinds: str) -> None:
    if place.kind not in kinds:
        pytest.skip(f"{place.kind} has no such thing")


def inserted(
    customer_id: str, phone: str, *, id_type: str = "VARCHAR(40)", phone_type: str = "VARCHAR(40)"
) -> list[str]:
    return [
        f"CREATE TABLE customers (id {id_type}, {COLUMNS.replace('phone VARCHAR(40)', f'phone {phone_type}')})",
        f"INSERT INTO customers (id, phone) VALUES ({customer_id}, {phone})",
    ]


async def fetch(store: SQLStore, ref: CustomerRef, timeout_s: float = 5.0) -> list[Fetched]:
    return list(await store.fetch(ref, store.fields, store.attributes, timeout_s))


def values(row: Fetched) -> Mapping[str, object]:
    return open_for_masking(row.record)


async def ids(store: SQLStore, ref: CustomerRef) -> list[str]:
    return [row.key.customer_id for row in await fetch(store, ref)]


def key(customer_id: str) -> StoreKey:
    return StoreKey("crm", customer_id)


# What is found.


@pytest.mark.parametrize("ref", [key("C-1"), Phone("+8613800138000")])
async def test_a_customer_comes_with_fields_attributes_and_number(opened: Open, ref: CustomerRef) -> None:
    [row] = await fetch(await opened(), ref)
    assert row.key == key("C-1")
    assert values(row) == {"name": "欧阳 一", "phone": "+8613800138000", "note": None}
    assert row.attributes == {"minor": 0, "owner_department": "east"}
    assert row.phone == "+8613800138000"


async def test_only_what_was_asked_for_comes(opened: Open) -> None:
    store = await opened()
    [row] = await store.fetch(key("C-1"), frozenset({"name"}), frozenset({"minor"}), 1.0)
    assert (values(row), row.attributes) == ({"name": "欧阳 一"}, {"minor": 0})
    [row] = await store.fetch(key("C-1"), NOTHING, NOTHING, 1.0)
    assert (values(row), row.attributes, row.phone) == ({}, {}, "+8613800138000")


async def test_what_is_not_mapped_is_an_error(opened: Open) -> None:
    store = await opened()
    for fields, attributes in ((frozenset({"id"}), NOTHING), (NOTHING, frozenset({"department"}))):
        with pytest.raises(StoreError):
            await store.fetch(key("C-1"), fields, attributes, 1.0)


async def test_the_store_tells_what_it_maps(opened: Open) -> None:
    store = await opened()
    assert store.fields == {"name", "phone", "note"}
    assert store.attributes == {"minor", "owner_department"}


async def test_a_shared_number_shows_two_rows_and_never_more(opened: Open) -> None:
    found = await fetch(await opened(), Phone("+8613900139000"))
    assert len(found) == 2
    assert {row.phone for row in found} == {"+8613900139000"}


async def test_a_row_whose_number_is_none_has_no_number(opened: Open) -> None:
    store = await opened()
    assert [(await fetch(store, key(c)))[0].phone for c in ("C-5", "C-6")] == ["", ""]


async def test_strangers_are_not_found(opened: Open) -> None:
    store = await opened()
    odd = (
        "", "C-7", "c-1", "C-1 ", " C-1", "C%", "%", "C-_", "*", "' OR '1'='1", "C-1'--", '"', "x' UNION SELECT 1,2,3,4,5,6 --",
        "C-1\0", "?", ":key0", "NULL", "0", "\\", "C-1\\", "%s", "$1", "\ud800", "Ｃ-1", "C-１",
    )  # fmt: skip
    for customer_id in odd:
        assert await fetch(store, key(customer_id)) == []
    for phone in ("+8613800138001", "%", "", "' OR '1'='1", "ask me;"):
        assert await fetch(store, Phone(phone)) == []
    assert await ids(store, key("C-1")) == ["C-1"]


async def test_a_row_under_another_number_than_the_one_asked_is_never_returned(opened: Open) -> None:
    with pytest.raises(StoreError):
        await fetch(await opened(), Phone("ask me"))


async def test_a_key_of_another_store_finds_nobody_here(opened: Open) -> None:
    assert await fetch(await opened(), StoreKey("shop", "C-1")) == []


async def test_without_a_phone_column_no_number_finds_anybody(opened: Open) -> None:
    store = await opened(phone=None)
    assert await fetch(store, Phone("+8613800138000")) == []
    [row] = await fetch(store, key("C-1"))
    assert row.phone == ""


# One person, one key.

ID_TYPES = {
    "integer": (
        "INTEGER",
        "7",
        "7",
        ["07", "7.0", " 7", "7 ", "+7", "7e0", "0x7", "٧", "seven", "-7", "99999999999999999999"],
    ),
    "bigint": ("BIGINT", str(2**63 - 1), str(2**63 - 1), [str(2**63 - 2), str(2**63), f"{2**63 - 1}.0"]),
    "decimal": ("NUMERIC(20, 0)", "7", "7", ["07", "7.0", "7e0", "NaN", "Infinity", "1_0"]),
    "char": ("CHAR(8)", "'ab'", "ab", ["AB", "ab ", " ab", "ab      ", "ａｂ", "áb", ""]),
    "varchar": ("VARCHAR(8)", "'ab'", "ab", ["AB", "Ab", "ab ", "ab\0", "a", "abc", "\ud800"]),
    "spaces": ("VARCHAR(8)", "'ab '", "ab ", ["ab", "ab  "]),
    "text 0": ("VARCHAR(8)", "'0'", "0", ["abc", "00", "0.0", "", "false"]),
    "long": ("TEXT", "'客户😀'", "客户😀", ["客户", "客户?", "客户😁"]),
}


@pytest.mark.parametrize(("column", "stored", "right", "asked"), ID_TYPES.values(), ids=ID_TYPES)
async def test_a_second_spelling_of_an_id_finds_nobody(
    place: Place, opened: Open, column: str, stored: str, right: str, asked: list[str]
) -> None:
    store = await opened(*inserted(stored, "'+8613800138000'", id_type=column))
    assert await ids(store, key(right)) == [right]
    assert await ids(store, Phone("+8613800138000")) == [right]
    for spelling in asked:
        assert await fetch(store, key(spelling)) == []


FOLDING = {
    "sqlite nocase": ("sqlite", "TEXT COLLATE NOCASE"),
    "sqlite rtrim": ("sqlite", "TEXT COLLATE RTRIM"),
    "postgresql nondeterministic": ("postgresql", "TEXT COLLATE folding"),
    "postgresql citext": ("postgresql", "citext"),
    "postgresql domain": ("postgresql", "folded"),
    "mariadb general": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_general_ci"),
    "mariadb unicode": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_unicode_520_ci"),
    "mariadb padded bin": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_bin"),
    "mariadb utf8mb3": ("mariadb", "VARCHAR(40) CHARACTER SET utf8mb3"),
    "mariadb latin1": ("mariadb", "VARCHAR(40) CHARACTER SET latin1"),
    "mariadb gbk": ("mariadb", "VARCHAR(40) CHARACTER SET gbk"),
}
ICU = "CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
CITEXT = (  # what the extension is made of, in SQL: it is not part of every PostgreSQL
    "CREATE TYPE citext",
    "CREATE FUNCTION ci_in(cstring) RETURNS citext AS 'textin' LANGUAGE internal IMMUTABLE STRICT",
    "CREATE FUNCTION ci_out(citext) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT",
    "CREATE TYPE citext (INPUT = ci_in, OUTPUT = ci_out, LIKE = text, CATEGORY = 'S')",
    "CREATE CAST (citext AS text) WITHOUT FUNCTION AS IMPLICIT",
    "CREATE CAST (text AS citext) WITHOUT FUNCTION AS ASSIGNMENT",
    "CREATE FUNCTION ci_eq(citext, citext) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT lower($1::text) = lower($2::text)'",
    "CREATE OPERATOR = (LEFTARG = citext, RIGHTARG = citext, PROCEDURE = ci_eq)",
    "CREATE DOMAIN folded AS citext CHECK (VALUE <> NULL::text)",
)


@pytest.mark.parametrize(("kind", "column"), FOLDING.values(), ids=FOLDING)
async def test_of_ids_that_a_collation_takes_for_one_exactly_the_asked_is_found(
    place: Place, opened: Open, kind: str, column: str
) -> None:
    only(place, kind)
    twins = [
        "ab",
        "AB",
        "Ab",
        "aB",
        "ab ",
        "AB  ",
        "áb",
    ]  # more than two, and the asked one not among the first
    script = [f"CREATE TABLE customers (id {column}, {COLUMNS})"]
    script += [f"INSERT INTO customers (id) VALUES ('{each}')" for each in twins]
    if "folding" in column:
        try:
            place.run(ICU)
        except asyncpg.FeatureNotSupportedError:
            pytest.skip("THIS PostgreSQL HAS NO ICU: nondeterministic collations are not proven")
    store = await opened(*(CITEXT if kind == "postgresql" else ()), *script)
    for each in twins:
        assert await ids(store, key(each)) == [each]
    for stranger in ("ab   ", "A B", "aḃ", "ＡＢ", "客", "😀"):
        assert await fetch(store, key(stranger)) == []


ENCODED = {
    "EUC_CN": ("客・1", "欧阳", ["é1", "😀", "ß", "镕基", "阿·力"]),
    "EUC_JP": ("客ー1", "渡邉", ["é한", "😀", "镕基", "阿力한"]),
    "EUC_KR": ("客·1", "김철수", ["é1", "😀", "镕基", "똠방"]),
    "EUC_TW": ("客1", "歐陽", ["é1", "😀", "镕基"]),
    "WIN1258": ("é1", "Nguyên", ["客1", "😀", "Ж"]),
    "LATIN1": ("é1", "José", ["客1", "€", "😀"]),
    "KOI8R": ("ключ1", "Анна", ["客1", "é1", "😀"]),
    "SQL_ASCII": ("客1", "José", ["é1", "😀"]),
}
"""An id and a name that a database of this encoding holds, and ids that it can not hold, or (SQL_ASCII, which holds any bytes)
does not."""


@pytest.fixture
def encoded(place: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    only(place, "postgresql")
    name, encoding = f"{InPostgreSQL.kind}_{request.param.lower()}", request.param
    place.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    yield InPostgreSQL(name)
    place.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("encoded", "known"), list(ENCODED.items()), indirect=["encoded"], ids=list(ENCODED)
)
async def test_in_a_database_of_another_encoding_who_can_not_be_written_is_a_stranger_and_no_failure(
    encoded: Place, opened: Open, known: tuple[str, str, list[str]]
) -> None:
    """One such id would fail a whole batch, and whoever asks for it could make alarms."""
    here, name, nobodies = known
    encoded.run(
        "CREATE TABLE customers (id VARCHAR(40) PRIMARY KEY, phone VARCHAR(40), name VARCHAR(40))",
        f"INSERT INTO customers VALUES ('{here}', '+8613800138000', '{name}')",
    )
    store = await opened("SELECT 1", url=encoded.url, fields={"name": "name"}, attributes={})
    [row] = await fetch(store, key(here))
    assert values(row) == {"name": name}
    assert await ids(store, Phone("+8613800138000")) == [here]
    for stranger in nobodies:
        assert await fetch(store, key(stranger)) == []
    found = await store.fetch_many([*map(key, nobodies), key(here)], NOTHING, 5.0)
    assert [each.key for each in found] == [key(here)]
    for asked, constant, passes in (
        *((Operator.EQ, each, False) for each in nobodies),
        (Operator.NE, nobodies[0], True),
        (Operator.EQ, name, True),
        (Operator.NE, name, False),
        (Operator.GT, "A", True),
    ):
        wanted = Scan(store.fields, NOTHING, Comparison(Column("name"), asked, constant))
        async with store.scan(wanted, 5.0) as batches:
            rows = [row.key async for batch in batches for row in batch]
        assert rows == ([key(here)] if passes else [])


@pytest.mark.parametrize("encoded", ["EUC_JP"], indirect=True)
async def test_a_row_that_no_utf8_can_write_is_a_failure_and_no_stranger(
    encoded: Place, opened: Open
) -> None:
    encoded.run(
        "CREATE TABLE customers (id VARCHAR(40) PRIMARY KEY, name VARCHAR(40))",
        "INSERT INTO customers VALUES ('客', convert_from('\\xa9a1', 'EUC_JP')), ('a', 'x')",
    )
    store = await opened(
        "SELECT 1", url=encoded.url, phone=None, fields={"name": "name"}, attributes={"name": "name"}
    )
    assert await ids(store, key("a")) == ["a"]
    with pytest.raises(StoreError):
        await fetch(store, key("客"))
    for asked in (["客", "a"], ["客", "😀"]):
        with pytest.raises(StoreError):
            await store.fetch_many([*map(key, asked)], frozenset({"name"}), 5.0)


async def test_a_uuid_has_one_spelling(place: Place, opened: Open) -> None:
    only(place, "postgresql", "mariadb")
    right = "123e4567-e89b-12d3-a456-426655440000"
    store = await opened(*inserted(f"'{right}'", "NULL", id_type="UUID"))
    assert await ids(store, key(right)) == [right]
    for spelling in (
        right.upper(),
        right.replace("-", ""),
        f"{{{right}}}",
        f"urn:uuid:{right}",
        right[:-1],
        "",
    ):
        assert await fetch(store, key(spelling)) == []


async def test_zeros_that_a_column_shows_are_not_part_of_an_id(place: Place, opened: Open) -> None:
    only(place, "mariadb")
    store = await opened(*inserted("7", "'+8613800138000'", id_type="INT(8) ZEROFILL"))
    assert await ids(store, key("7")) == await ids(store, Phone("+8613800138000")) == ["7"]
    assert await fetch(store, key("00000007")) == []


@pytest.mark.parametrize("stored", ["NULL", "''"])
async def test_a_row_that_cannot_be_named_is_an_error(opened: Open, stored: str) -> None:
    store = await opened(*inserted(stored, "'+8613800138000'"))
    with pytest.raises(StoreError):
        await fetch(store, Phone("+8613800138000"))


# Phone numbers.

WRITTEN = (
    "13800138000",
    "+86 138 0013 8000",
    "0086-138-0013-8000",
    "tel:+8613800138000",
    "１３８００１３８０００",
    "(+86)13800138000",
    "8613800138000",
)


@pytest.mark.parametrize(
    ("phone_format", "phone_type", "stored"),
    [
        (PhoneFormat.E164, "VARCHAR(40)", "'+8613800138000'"),
        (PhoneFormat.NATIONAL, "VARCHAR(40)", "'13800138000'"),
        (PhoneFormat.NATIONAL, "CHAR(20)", "'13800138000'"),
        (PhoneFormat.NATIONAL, "BIGINT", "13800138000"),
        (PhoneFormat.NATIONAL, "NUMERIC(20, 0)", "13800138000"),
        (PhoneFormat.NATIONAL, "BIGINT", "8613800138000"),
        (PhoneFormat.E164, "BIGINT", "8613800138000"),
        (PhoneFormat.NATIONAL, "VARCHAR(40)", "'+8613800138000'"),
        (PhoneFormat.NATIONAL, "VARCHAR(40)", "'8613800138000'"),
    ],
)
async def test_every_way_to_write_a_number_finds_its_row(
    opened: Open, phone_format: PhoneFormat, phone_type: str, stored: str
) -> None:
    store = await opened(*inserted("'C-1'", stored, phone_type=phone_type), phone_format=phone_format)
    for asked in WRITTEN:
        [row] = await fetch(store, Phone(normalise(asked)))
        assert (row.key, row.phone) == (key("C-1"), "+8613800138000")
    assert await fetch(store, Phone("+8613800138001")) == []
    assert await fetch(store, Phone("' OR 1=1 --")) == []


async def test_digits_of_a_foreign_number_are_not_read_as_a_chinese_one(place: Place, opened: Open) -> None:
    only(place, "postgresql", "mariadb")
    store = await opened(*inserted("'us'", "12025550143", phone_type="BIGINT"))
    [row] = await fetch(store, Phone("+12025550143"))
    assert row.phone == "+12025550143"


@pytest.mark.parametrize("stored", ["02112345678", "2112345678", "+862112345678", "862112345678"])
async def test_a_landline_is_found_with_and_without_its_trunk_zero(opened: Open, stored: str) -> None:
    store = await opened(*inserted("'C-1'", f"'{stored}'"), phone_format=PhoneFormat.NATIONAL)
    [row] = await fetch(store, Phone(normalise("021-1234 5678")))
    assert row.phone == "+862112345678"


async def test_a_foreign_number_does_not_find_the_chinese_one_with_its_digits(opened: Open) -> None:
    store = await opened(
        *inserted("'cn'", "'2025550143'"),
        "INSERT INTO customers (id, phone) VALUES ('us', '+12025550143')",
        phone_format=PhoneFormat.NATIONAL,
    )
    assert await ids(store, Phone("+12025550143")) == ["us"]
    assert await ids(store, Phone(normalise("2025550143"))) == ["cn"]


async def test_two_spellings_of_one_number_are_ambiguous(opened: Open) -> None:
    store = await opened(
        *inserted("'a'", "'13800138000'"),
        "INSERT INTO customers (id, phone) VALUES ('b', '+8613800138000')",
        phone_format=PhoneFormat.NATIONAL,
    )
    assert sorted(await ids(store, Phone("+8613800138000"))) == ["a", "b"]


# Numbers by their digest.

DIGESTS = (
    "CREATE TABLE customers (id VARCHAR(40), phone VARCHAR(40), idx CHAR(64), last4 VARCHAR(4), last4_idx VARCHAR(64))",
    "CREATE INDEX by_idx ON customers (idx)",
    *(
        f"INSERT INTO customers VALUES ('{n}', {number}, '{phone_digest(KEY, e164)}', '{e164[-4:]}', '{last_four_digest(KEY, e164[-4:])}')"
        for n, number, e164 in (
            ("a", "'13800138000'", "+8613800138000"),
            ("b", "NULL", "+8613900138000"),
            ("c", "'13700130042'", "+8613700130042"),
            ("d", "'13600136000'", "+8613500135000"),  # an index that nobody kept up
        )
    ),
)
NATIONAL: dict[str, Any] = {
    "phone_format": PhoneFormat.NATIONAL, "phone_hmac": "idx", "index_key": KEY, "fields": {"phone": "phone"}, "attributes": {},
}  # fmt: skip


async def test_a_number_is_found_by_its_digest_alone(opened: Open) -> None:
    store = await opened(*DIGESTS, **{**NATIONAL, "phone": None})
    for number, customer_id in (("+8613800138000", "a"), ("+8613900138000", "b"), ("+8613500135000", "d")):
        [row] = await fetch(store, Phone(number))
        assert (row.key.customer_id, row.phone) == (customer_id, number)
    for stranger in ("+8613800138001", "13800138000", "", phone_digest(KEY, "+8613800138000")):
        assert await fetch(store, Phone(stranger)) == []
    [row] = await fetch(store, key("a"))
    assert row.phone == ""


async def test_with_another_key_no_digest_is_found(opened: Open) -> None:
    store = await opened(*DIGESTS, **{**NATIONAL, "index_key": b"x" * 32})
    assert await fetch(store, Phone("+8613800138000")) == []


async def test_a_digest_in_capitals_is_none(place: Place, opened: Open) -> None:
    store = await opened(*DIGESTS, "UPDATE customers SET idx = upper(idx)", **NATIONAL)
    assert await fetch(store, Phone("+8613800138000")) == []


async def test_a_number_beside_its_digest_must_be_that_number(opened: Open) -> None:
    store = await opened(*DIGESTS, **NATIONAL)
    [row] = await fetch(store, Phone("+8613800138000"))
    assert (row.key.customer_id, row.phone, values(row)) == (
        "a",
        "+8613800138000",
        {"phone": "13800138000"},
    )
    for number in ("+8613500135000", "+8613900138000"):
        with pytest.raises(StoreError) as failed:
            await fetch(store, Phone(number))
        assert number[-8:] not in str(failed.value)


# Search by last four digits.

SEARCH = [
    {"last_four": "last4"},
    {"last_four_hmac": "last4_idx"},
    {"last_four_hmac": "last4_idx", "phone": None},
]


@pytest.mark.parametrize("changes", SEARCH, ids=str)
async def test_a_search_finds_who_has_the_digits_by_customer_id(
    opened: Open, changes: dict[str, Any]
) -> None:
    store = await opened(*DIGESTS, **{**NATIONAL, **changes})
    assert store.can_search

    async def found(digits: str, most: int = 10) -> list[str]:
        rows = await store.search(digits, store.fields, NOTHING, most, 5.0)
        return [row.key.customer_id for row in rows]

    assert await found("8000") == ["a", "b"]
    assert await found("8000", 1) == ["a", "b"]  # one more than the most: too many
    assert await found("0042") == ["c"]
    assert await found("8000", 0) == []
    for odd in (
        "42",
        "0042 ",
        "00 42",
        "%",
        "____",
        "８０００",
        "+042",
        "13800138000",
        "",
        "' OR",
        "8000\n",
        "٨٠٠٠",
    ):
        assert await found(odd) == []


async def test_a_search_shows_one_more_than_the_most_and_never_all(opened: Open) -> None:
    many = [f"INSERT INTO customers (id, last4) VALUES ('m{n}', '7777')" for n in range(9, 0, -1)]
    store = await opened(*DIGESTS, *many, **{**NATIONAL, "last_four": "last4"})
    rows = await store.search("7777", NOTHING, NOTHING, 3, 5.0)
    assert [row.key.customer_id for row in rows] == ["m1", "m2", "m3", "m4"]


async def test_a_row_whose_number_ends_otherwise_is_an_error(opened: Open) -> None:
    store = await opened(*DIGESTS, **{**NATIONAL, "last_four": "last4"})
    with pytest.raises(StoreError):
        await store.search("5000", NOTHING, NOTHING, 3, 5.0)


async def test_a_store_without_the_column_finds_nobody(opened: Open) -> None:
    store = await opened()
    assert not store.can_search
    assert await store.search("8000", store.fields, NOTHING, 10, 5.0) == ()


# Many at once.

ODD_KEYS = (
    "C-1", "C-5", "C-6", "", "C-7", "c-1", "C-1 ", " C-1", "C%", "' OR '1'='1", "C-1'--", "C-1\0", "?", ":key0", "NULL", "0", "\\",
    "%s", "$1", "\ud800", "Ｃ-1", "C-１",
)  # fmt: skip


Told = tuple[StoreKey, Mapping[str, object], Mapping[str, object], str]


def in_order(rows: Sequence[Fetched]) -> list[Told]:
    told = ((row.key, values(row), row.attributes, row.phone) for row in rows)
    return sorted(told, key=lambda row: row[0].customer_id)


async def one_by_one(store: SQLStore, keys: Sequence[StoreKey]) -> list[Told]:
    rows = [
        row
        for each in dict.fromkeys(keys)
        for row in await store.fetch(each, NOTHING, store.attributes, 5.0)
    ]
    return in_order(rows)


async def at_once(store: SQLStore, keys: Sequence[StoreKey]) -> list[Told]:
    return in_order(await store.fetch_many(keys, store.attributes, 5.0))


async def test_many_at_once_are_what_each_is_alone(opened: Open) -> None:
    store = await opened()
    keys = [*map(key, ODD_KEYS), StoreKey("shop", "C-2"), key("C-1")]
    found = await at_once(store, keys)
    assert found == await one_by_one(store, keys)
    assert [row[0] for row in found] == [key("C-1"), key("C-5"), key("C-6")]
    assert [row[3] for row in found] == ["+8613800138000", "", ""]
    assert found[0][1:3] == ({}, {"minor": 0, "owner_department": "east"})
    assert await at_once(store, []) == await at_once(store, [StoreKey("shop", "C-1")]) == []


@pytest.mark.parametrize("count", [1, 2, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH + 3])
async def test_however_many_are_asked_each_that_is_there_comes_once(opened: Open, count: int) -> None:
    rows = ", ".join(f"('n{n}')" for n in range(count))
    store = await opened(*SCHEMA, f"INSERT INTO customers (id) VALUES {rows}")
    keys = [key(f"n{n}") for n in range(0, 2 * count, 2)]
    found = await store.fetch_many(keys, NOTHING, 5.0)
    assert sorted(row.key.customer_id for row in found) == sorted(f"n{n}" for n in range(0, count, 2))
    assert len(store._statements) <= 2  # one for many, one for what is left alone


@pytest.mark.parametrize(("column", "stored", "right", "asked"), ID_TYPES.values(), ids=ID_TYPES)
async def test_many_at_once_find_nobody_by_a_second_spelling(
    opened: Open, column: str, stored: str, right: str, asked: list[str]
) -> None:
    store = await opened(*inserted(stored, "'+8613800138000'", id_type=column))
    keys = [key(each) for each in (*asked, right, *asked)]
    assert [row[0] for row in await at_once(store, keys)] == [key(right)]
    assert await at_once(store, keys[: len(asked)]) == []


@pytest.mark.parametrize(("kind", "column"), FOLDING.values(), ids=FOLDING)
async def test_of_many_ids_that_a_collation_takes_for_one_exactly_the_asked_are_found(
    place: Place, opened: Open, kind: str, column: str
) -> None:
    only(place, kind)
    twins = ["ab", "AB", "Ab", "aB", "ab ", "AB  ", "áb"]
    if "folding" in column:
        try:
            place.run(ICU)
        except asyncpg.FeatureNotSupportedError:
            pytest.skip("THIS PostgreSQL HAS NO ICU: nondeterministic collations are not proven")
    script = [f"INSERT INTO customers (id) VALUES ('{each}')" for each in twins]
    store = await opened(
        *(CITEXT if kind == "postgresql" else ()),
        f"CREATE TABLE customers (id {column}, {COLUMNS})",
        *script,
    )
    for asked in (twins[1:3], twins[::2], [*twins, "ab   ", "A B", "ＡＢ", "客", "😀"], ["aḃ", "A B"]):
        keys = list(map(key, asked))
        found = await at_once(store, keys)
        assert found == await one_by_one(store, keys)
        assert {row[0] for row in found} == {key(each) for each in asked if each in twins}


async def test_an_id_in_many_rows_keeps_nobody_else_out(opened: Open) -> None:
    crowd = ", ".join(["('again')"] * (3 * WIDTH))
    store = await opened(
        f"CREATE TABLE customers (id VARCHAR(40), {COLUMNS})",
        f"INSERT INTO customers (id) VALUES {crowd}",
        "INSERT INTO customers (id) VALUES ('twice'), ('twice'), ('twice'), ('alone')",
    )
    for asked in (["again", "twice", "alone"], ["twice", "alone"]):
        keys = list(map(key, asked))
        found = await at_once(store, keys)
        assert found == await one_by_one(store, keys)
        assert [row[0].customer_id for row in found] == sorted(
            ["alone", "twice", "twice", *["again"] * 2 * ("again" in asked)]
        )


async def test_many_at_once_read_only_the_attributes_that_are_asked_for(opened: Open) -> None:
    store = await opened()
    rows = await store.fetch_many([key("C-1"), key("C-2")], frozenset({"minor"}), 5.0)
    assert [row[2] for row in in_order(rows)] == [{"minor": 0}, {"minor": 1}]
    with pytest.raises(StoreError):
        await store.fetch_many([key("C-1")], frozenset({"department"}), 5.0)


async def test_many_at_once_fail_as_one_does(place: Place, opened: Open) -> None:
    store = await opened()
    keys = [key("C-1"), key("C-2")]
    with pytest.raises(StoreError) as failed:
        await store.fetch_many(keys, NOTHING, 0.0)
    assert failed.value.code == "STORE_TIMEOUT"
    with place.locked("customers"), pytest.raises(StoreError) as failed:
        await store.fetch_many(keys, NOTHING, 0.3)
    assert failed.value.code == "STORE_TIMEOUT"
    place.run("DROP TABLE customers")
    with pytest.raises(StoreError) as failed:
        await store.fetch_many(keys, NOTHING, 5.0)
    assert (failed.value.code, "C-1" in str(failed.value)) == ("STORE_UNAVAILABLE", False)
    await store.close()
    with pytest.raises(StoreError):
        await store.fetch_many(keys, NOTHING, 5.0)


# Odd values.


async def test_values_of_every_type_come_in_a_form_that_masks_know(place: Place, opened: Open) -> None:
    from datetime import date, datetime
    from decimal import Decimal

    only(place, "postgresql", "mariadb")
    blob = {"postgresql": r"'\x00ff'", "mariadb": "x'00ff'"}[place.kind]
    blob_type = {"postgresql": "BYTEA", "mariadb": "BLOB"}[place.kind]
    types = {
        "i": ("BIGINT", str(-(2**63)), -(2**63)), "s": ("SMALLINT", "-1", -1), "d": ("DECIMAL(9, 2)", "1.50", Decimal("1.50")),
        "f": ("DOUBLE PRECISION", "1.5", 1.5), "day": ("DATE", "'2026-02-28'", date(2026, 2, 28)),
        "at": ("TIMESTAMP", "'2026-02-28 01:02:03'", datetime(2026, 2, 28, 1, 2, 3)),  # noqa: DTZ001 - so it is stored
        "u": ("UUID", "'123e4567-e89b-12d3-a456-426655440000'", "123e4567-e89b-12d3-a456-426655440000"),
        "j": ("JSON", """'{"a": [1]}'""", '{"a": [1]}'), "b": (blob_type, blob, b"\x00\xff"),
        "t": ("TEXT", "'😀 \u00e9'", "😀 \u00e9"), "none": ("TEXT", "NULL", None), "z": ("TEXT", "''", ""),
    }  # fmt: skip
    columns = ", ".join(f"{name} {each[0]}" for name, each in types.items())
    literals = ", ".join(each[1] for each in types.values())
    store = await opened(
        f"CREATE TABLE customers (id INTEGER PRIMARY KEY, {columns})",
        f"INSERT INTO customers VALUES (1, {literals})",
        phone=None, fields={name: name for name in types}, attributes={name: name for name in types},
    )  # fmt: skip
    [row] = await fetch(store, key("1"))
    expected = {name: each[2] for name, each in types.items()}
    assert values(row) == row.attributes == expected
    assert {name: type(value) for name, value in values(row).items()} == {
        n: type(v) for n, v in expected.items()
    }


async def test_types_without_an_equal_come_as_text(place: Place, opened: Open) -> None:
    only(place, "postgresql")
    store = await opened(
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE TABLE customers (id TEXT, a TEXT[], m mood, n INET, r INT4RANGE, v INTERVAL, j JSONB, c mood[])",
        "INSERT INTO customers VALUES ('1', '{a,b}', 'fine', '::1', '[1,2)', '1 day', '{\"a\": 1}', '{fine}')",
        phone=None, fields={name: name for name in "amnrvjc"}, attributes={},
    )  # fmt: skip
    [row] = await fetch(store, key("1"))
    assert values(row) == {
        "a": "{a,b}", "m": "fine", "n": "::1/128", "r": "[1,2)", "v": "1 day", "j": '{"a": 1}', "c": "{fine}",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["text", "bytes", "json", "key"])
async def test_a_value_beyond_the_longest_is_an_error_and_is_never_read_whole(
    place: Place, opened: Open, kind: str
) -> None:
    types = {
        "sqlite": {"text": "TEXT", "bytes": "BLOB", "json": "TEXT", "key": "TEXT"},
        "postgresql": {"text": "TEXT", "bytes": "BYTEA", "json": "JSONB", "key": "TEXT"},
        "mariadb": {"text": "LONGTEXT", "bytes": "LONGBLOB", "json": "JSON", "key": "LONGTEXT"},
    }[place.kind]
    column = {"key": "id"}.get(kind, "big")
    place.run(
        f"CREATE TABLE customers (id {types['key']}, phone VARCHAR(40), big {types[kind]}, other TEXT)"
    )

    def big(length: int) -> str:
        text = f"'{'x' * length}'"
        if kind == "json":
            return f"""'"{"x" * (length - 2)}"'"""
        return (
            f"decode(repeat('00', {length}), 'hex')"
            if (kind, place.kind) == ("bytes", "postgresql")
            else text
        )

    for length in (LONGEST, LONGEST + 1, 3 * LONGEST):
        here = {"id": "'C-1'", "big": "NULL", column: big(length)}
        store = await opened(
            "DELETE FROM customers",
            f"INSERT INTO customers VALUES ({here['id']}, '+8613800138000', {here['big']}, 'o')",
            fields={"big": "big"}, attributes={"o": "other"},
        )  # fmt: skip
        [row] = (
            await store.fetch(Phone("+8613800138000"), NOTHING, frozenset({"o"}), 5.0)
            if kind != "key"
            else [None]
        )
        assert row is None or row.attributes == {"o": "o"}  # who does not ask for it does not mind it
        if length <= LONGEST:
            assert len(await fetch(store, Phone("+8613800138000"))) == 1
        else:
            with pytest.raises(StoreError, match="more than"):
                await fetch(store, Phone("+8613800138000"))


async def test_long_texts_are_measured_in_bytes(opened: Open) -> None:
    store = await opened(
        "CREATE TABLE customers (id VARCHAR(40), big TEXT)",
        f"INSERT INTO customers VALUES ('in', '{'客' * (LONGEST // 3 - 1)}')",
        phone=None, fields={"big": "big"}, attributes={},
    )  # fmt: skip
    assert len(await fetch(store, key("in"))) == 1


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufffd"), min_size=1, max_size=30)


@settings(max_examples=8)
@given(
    stored=st.lists(TEXTS, min_size=1, max_size=6, unique=True),
    asked=st.lists(TEXTS, max_size=6),
    value=TEXTS,
)
def test_what_went_in_comes_out_under_exactly_its_key(
    place: Place, stored: list[str], asked: list[str], value: str
) -> None:
    def literal(text: str) -> str:
        if place.kind == "mariadb":
            return f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)"
        if place.kind == "postgresql":
            return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"
        return f"CAST(x'{text.encode().hex()}' AS TEXT)"

    place.run(
        "DROP TABLE IF EXISTS customers",
        "CREATE TABLE customers (id VARCHAR(100), value VARCHAR(100))",
        *(f"INSERT INTO customers VALUES ({literal(each)}, {literal(value)})" for each in stored),
    )

    async def run() -> None:
        table = StoreTable("crm", place.url, "customers", "id", fields={"value": "value"})
        store = await open_store(table, SystemClock())
        for each in stored:
            [row] = await fetch(store, key(each))
            assert (row.key.customer_id, values(row)) == (each, {"value": value})
        for each in set(asked) - set(stored):
            assert await fetch(store, key(each)) == []
        together = await store.fetch_many([key(each) for each in [*asked, *stored]], NOTHING, 5.0)
        assert sorted(row.key.customer_id for row in together) == sorted(stored)
        await store.close()

    asyncio.run(run())


# Names.

HOSTILE = (
    'x"; DROP TABLE customers; --', "x' OR '1'='1", "select", "a b", "100%", "a:b", "?", "[x]", "`x`", "客户号", "a.b", "x--",
    "%(id)s", "{x}", "$1", "\\", "C0", "%s", "Key0",
)  # fmt: skip


async def test_any_column_name_is_only_a_name(place: Place, opened: Open) -> None:
    for column in HOSTILE:
        store = await opened(
            "DROP TABLE IF EXISTS customers",
            f"CREATE TABLE customers ({place.quoted(column)} VARCHAR(40) PRIMARY KEY, other VARCHAR(40))",
            "INSERT INTO customers VALUES ('C-1', 'o'), ('C-2', 'p')",
            customer_id=column, phone=None, fields={"id": column, "o": "other"}, attributes={"a": column},
        )  # fmt: skip
        [row] = await fetch(store, key("C-1"))
        assert (values(row), row.attributes) == ({"id": "C-1", "o": "o"}, {"a": "C-1"})
        changes: dict[str, Any] = {"fields": {}, "attributes": {}, "customer_id": "other"}
        by_phone = await opened("SELECT 1", phone=column, last_four=column, **changes)
        assert await fetch(by_phone, Phone("+8613800138000")) == []
        assert list(await by_phone.search("1234", NOTHING, NOTHING, 5, 5.0)) == []
        by_digest = await opened("SELECT 1", phone=None, phone_hmac=column, index_key=KEY, **changes)
        assert await fetch(by_digest, Phone("+8613800138000")) == []


async def test_any_table_name_is_only_a_name(place: Place, opened: Open) -> None:
    schema = {
        "sqlite": "main",
        "postgresql": "public",
        "mariadb": place.url.partition("@/")[2].partition("?")[0],
    }[place.kind]
    for table in HOSTILE:
        if "." in table:
            continue
        quoted = place.quoted(table)
        script = (
            f"CREATE TABLE {quoted} (id VARCHAR(40) PRIMARY KEY)",
            f"INSERT INTO {quoted} VALUES ('C-1')",
        )
        for name in (table, f"{schema}.{table}"):
            store = await opened(*script, table=name, phone=None, fields={"i": "id"}, attributes={})
            assert await ids(store, key("C-1")) == ["C-1"]
            script = ("SELECT 1", "SELECT 1")


async def test_a_schema_with_an_odd_name_is_only_a_name(place: Place, opened: Open) -> None:
    only(place, "postgresql")
    script = (
        'DROP SCHEMA IF EXISTS "S; 1" CASCADE',
        'CREATE SCHEMA "S; 1"',
        'CREATE TABLE "S; 1".customers (id TEXT)',
        """INSERT INTO "S; 1".customers VALUES ('C-1')""",
    )
    store = await opened(*SCHEMA, *script, table="S; 1.customers", phone=None, fields={}, attributes={})
    assert await ids(store, key("C-1")) == ["C-1"]
    assert await ids(store, key("C-2")) == []


async def test_a_view_is_as_good_as_a_table(opened: Open) -> None:
    view = "CREATE VIEW adults AS SELECT id, phone, upper(name) AS name, minor, department, note FROM customers WHERE minor = 0"
    store = await opened(*SCHEMA, view, table="adults")
    assert await ids(store, Phone("+8613800138000")) == ["C-1"]
    assert await fetch(store, key("C-2")) == []


# The start.


async def test_every_mismatch_is_named_at_once(opened: Open) -> None:
    with pytest.raises(StartError) as refused:
        await opened(
            customer_id="Id",
            phone="mobile",
            fields={"name": "name", "x": "nmae"},
            attributes={"minor": "minor", "y": "dept"},
            last_four="l4",
        )
    assert refused.value.code == "STORE_MISMATCH"
    lines = str(refused.value).splitlines()
    assert [line.split("column ")[1] for line in lines] == ["'Id'", "'dept'", "'l4'", "'mobile'", "'nmae'"]


async def test_a_table_that_is_not_there_is_named(opened: Open) -> None:
    await opened()
    for table in (
        "customer",
        "Customers ",
        "main.customer",
        "other.customers",
        "",
        "sqlite_master; --",
        "a" * 99,
    ):
        with pytest.raises(StartError) as refused:
            await opened("SELECT 1", table=table)
        assert refused.value.code == "STORE_MISMATCH"


async def test_a_column_that_can_hold_no_key_is_named_at_the_start(place: Place, opened: Open) -> None:
    only(place, "postgresql", "mariadb")
    columns = "id DATE, phone FLOAT, idx INTEGER, l4 INTEGER"
    with pytest.raises(StartError) as refused:
        await opened(
            f"CREATE TABLE customers ({columns})",
            phone_hmac="idx", last_four="l4", index_key=KEY, fields={}, attributes={},
        )  # fmt: skip
    assert [line.split("column ")[1].split()[0] for line in str(refused.value).splitlines()] == [
        "'id'",
        "'phone'",
        "'idx'",
        "'l4'",
    ]


async def test_a_store_that_may_not_be_read_stops_the_start(place: Place, opened: Open) -> None:
    only(place, "postgresql")
    role = f"stranger{place.url.rpartition('_')[2].partition('?')[0]}"
    place.run(f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role} LOGIN")
    with pytest.raises(StartError, match="InsufficientPrivilegeError"):
        await opened(*SCHEMA, url=place.url.replace("postgres@", f"{role}@"))
    place.run(f"DROP ROLE {role}")


# Faults.


RENAMED = ("id", "phone", "name", "minor", "idx", "last4")
"""A column of each kind: the key, the number, a field, an attribute, and both indexes of numbers."""


@pytest.mark.parametrize("column", RENAMED)
async def test_a_column_that_was_renamed_fails_whoever_reads_it_and_nobody_else(
    place: Place, opened: Open, column: str
) -> None:
    """SQLite takes an unknown name in quotes for a text, `"minor"` for 'minor', unless its table stands before it."""
    indexed = [
        "ALTER TABLE customers ADD COLUMN idx CHAR(64)",
        "ALTER TABLE customers ADD COLUMN last4 VARCHAR(4)",
        f"UPDATE customers SET last4 = '8000', idx = '{phone_digest(KEY, '+8613800138000')}' WHERE id = 'C-1'",
    ]
    store = await opened(
        *SCHEMA, *indexed, phone_hmac="idx", index_key=KEY, last_four="last4",
        fields={"name": "name"}, attributes={"minor": "minor"},
    )  # fmt: skip
    field, attribute = frozenset({"name"}), frozenset({"minor"})

    async def scanned() -> Sequence[Fetched]:
        async with store.scan(Scan(fields=field, attributes=attribute), 5.0) as batches:
            return [row async for batch in batches for row in batch]

    asking: dict[str, tuple[Callable[[], Awaitable[Sequence[object]]], set[str]]] = {
        "key": (lambda: store.fetch(key("C-1"), NOTHING, NOTHING, 5.0), {"id", "phone"}),
        "number": (lambda: store.fetch(Phone("+8613800138000"), NOTHING, NOTHING, 5.0), {"id", "phone", "idx"}),
        "field": (lambda: store.fetch(key("C-1"), field, NOTHING, 5.0), {"id", "phone", "name"}),
        "attribute": (lambda: store.fetch(key("C-1"), NOTHING, attribute, 5.0), {"id", "phone", "minor"}),
        "many": (lambda: store.fetch_many([key("C-1"), key("C-2")], attribute, 5.0), {"id", "phone", "minor"}),
        "values": (lambda: store.fetch_values(["C-1", "C-2"], attribute, 5.0), {"id", "phone", "minor"}),
        "search": (lambda: store.search("8000", NOTHING, NOTHING, 5, 5.0), {"id", "phone", "last4"}),
        "scan": (scanned, {"id", "phone", "name", "minor"}),
    }  # fmt: skip
    found = {name: len(await ask()) for name, (ask, _) in asking.items()}
    assert all(found.values())
    place.run(f"ALTER TABLE customers RENAME COLUMN {column} TO was_{column}")
    for name, (ask, reads) in asking.items():
        if column in reads:
            with pytest.raises(StoreError) as failed:
                await ask()
            assert failed.value.code == "STORE_UNAVAILABLE", name
            assert "C-1" not in str(failed.value)
        else:
            assert len(await ask()) == found[name], name
    place.run(f"ALTER TABLE customers RENAME COLUMN was_{column} TO {column}")
    assert {name: len(await ask()) for name, (ask, _) in asking.items()} == found


async def test_a_table_that_is_dropped_fails_and_tells_nothing(place: Place, opened: Open) -> None:
    store = await opened()
    assert await ids(store, key("C-1")) == ["C-1"]
    place.run("DROP TABLE customers")
    with pytest.raises(StoreError) as failed:
        await fetch(store, key("C-1"))
    assert failed.value.code == "STORE_UNAVAILABLE"
    assert "C-1" not in str(failed.value)
    assert failed.value.__suppress_context__
    place.run(*SCHEMA)
    assert await ids(store, key("C-1")) == ["C-1"]


async def test_columns_may_change_their_order_and_types_while_the_store_is_open(
    place: Place, opened: Open
) -> None:
    store = await opened()
    await fetch(store, key("C-1"))
    place.run("ALTER TABLE customers ADD COLUMN extra VARCHAR(9)", "ALTER TABLE customers DROP COLUMN minor",
              "ALTER TABLE customers ADD COLUMN minor VARCHAR(9) DEFAULT 'm'")  # fmt: skip
    [row] = await fetch(store, key("C-1"))
    assert row.attributes == {"minor": "m", "owner_department": "east"}


async def test_a_locked_store_times_out_and_recovers(place: Place, opened: Open) -> None:
    store = await opened(connections=2)
    with place.locked("customers"):
        calls = [fetch(store, key("C-1"), 0.3) for _ in range(20)]
        async with asyncio.timeout(20):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert {getattr(result, "code", "found") for result in results} == {"STORE_TIMEOUT"}
        waiting = asyncio.ensure_future(fetch(store, key("C-1"), 20.0))
        await asyncio.sleep(0)
    assert len(await waiting) == 1
    assert await asyncio.gather(*(ids(store, key("C-2")) for _ in range(20))) == [["C-2"]] * 20


async def test_a_caller_who_goes_away_leaves_the_store_whole(place: Place, opened: Open) -> None:
    store = await opened(connections=2)
    with place.locked("customers"):
        for _ in range(5):
            call = asyncio.ensure_future(fetch(store, key("C-1"), 20.0))
            await asyncio.sleep(0.02)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
    async with asyncio.timeout(20):
        assert await asyncio.gather(*(ids(store, key("C-1")) for _ in range(8))) == [["C-1"]] * 8


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_no_time_left_is_a_timeout(opened: Open, timeout_s: float) -> None:
    store = await opened(last_four="note")
    for call in (fetch(store, key("C-1"), timeout_s), store.search("1234", NOTHING, NOTHING, 1, timeout_s)):
        with pytest.raises(StoreError) as failed:
            await call
        assert failed.value.code == "STORE_TIMEOUT"


async def test_a_closed_store_answers_with_its_own_error(opened: Open) -> None:
    store = await opened()
    await fetch(store, key("C-1"))
    await store.close()
    with pytest.raises(StoreError):
        await fetch(store, key("C-1"))


async def test_the_store_is_never_written(place: Place, opened: Open) -> None:
    if place.kind == "mariadb":
        place.run(f"GRANT ALL ON {place.run('SELECT DATABASE()')[0][0]}.* TO 'reader'@'localhost'")
    store = await opened()
    await fetch(store, key("C-1"))
    for statement in (
        "DELETE FROM customers",
        "UPDATE customers SET name = 'x'",
        "CREATE TABLE more (id INTEGER)",
    ):
        with pytest.raises(StoreError):
            await store._source.rows(statement, (), SystemClock().monotonic() + 5)
    assert values((await fetch(store, key("C-1")))[0])["name"] == "欧阳 一"


async def test_what_somebody_commits_is_seen_at_once(place: Place, opened: Open) -> None:
    store = await opened()
    for name in string.ascii_lowercase[:5]:
        place.run(f"UPDATE customers SET name = '{name}' WHERE id = 'C-1'")
        assert values((await fetch(store, key("C-1")))[0])["name"] == name


async def test_ever_new_sets_of_fields_do_not_pile_up(opened: Open) -> None:
    columns = [f"f{n}" for n in range(11)]
    store = await opened(
        f"CREATE TABLE customers (id VARCHAR(9) PRIMARY KEY, {', '.join(f'{name} INTEGER' for name in columns)})",
        "INSERT INTO customers (id, f3) VALUES ('C-1', 3)",
        phone=None, fields={name: name for name in columns}, attributes={},
    )  # fmt: skip
    for bits in range(700):
        asked = frozenset(name for n, name in enumerate(columns) if bits >> n & 1)
        [row] = await store.fetch(key("C-1"), asked, NOTHING, 5.0)
        assert values(row) == {name: 3 if name == "f3" else None for name in asked}
    assert len(store._statements) <= 512
