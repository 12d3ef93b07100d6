"""A store of synthetic customers, the same on every machine. Nobody in it exists.

Every value is made by rule from the customer's number: names from lists of characters, numbers with
valid prefixes and check digits, addresses at streets of one invented pattern.
"""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_COMPOUND = ("欧阳", "司马", "上官", "诸葛")
_GIVEN = "安博晨达恩芳广涵嘉凯乐明宁平青然思天文欣雅泽"
_PREFIXES = ("130", "131", "135", "136", "137", "138", "139", "150", "151", "158", "159", "186", "188")
_REGIONS = (
    ("110105", "北京市朝阳区", "京A"),
    ("310115", "上海市浦东新区", "沪A"),
    ("440305", "广东省深圳市南山区", "粤B"),
    ("330106", "浙江省杭州市西湖区", "浙A"),
    ("510107", "四川省成都市武侯区", "川A"),
)
_DEPARTMENTS = ("east", "north", "south")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_CHECK = "10X98765432"

_TABLE = """
CREATE TABLE customer (
  id TEXT PRIMARY KEY, full_name TEXT, mobile TEXT, id_number TEXT, card_number TEXT, email TEXT,
  address TEXT, birthday TEXT, plate TEXT, gender TEXT, minor INTEGER, department TEXT
)
"""
_INSERT = "INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

SHOWN = "C00001"
"""The customer that the demo asks about: 138 0013 1234, an adult of the department `east`."""

Row = tuple[str | int, ...]


def create_store(path: Path, count: int = 10_000) -> None:
    """Write a SQLite file with `count` customers; an existing file is replaced. About 0.2 s for 10,000."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(_TABLE)
        connection.executemany(_INSERT, customers(count))
        connection.execute("CREATE UNIQUE INDEX customer_mobile ON customer (mobile)")
    connection.close()


def customers(count: int) -> Iterator[Row]:
    """Yield rows in the order of the table's columns; the same for the same `count` and for every larger one."""
    for number in range(1, count + 1):
        yield _customer(number)


def _customer(number: int) -> Row:
    chance = random.Random(number)  # noqa: S311 - reproducible by intent, nothing secret
    surname = chance.choice(_COMPOUND) if number % 50 == 0 else chance.choice(_SURNAMES)
    given = "".join(chance.choice(_GIVEN) for _ in range(chance.choice((1, 2, 2))))
    area, region, plate = chance.choice(_REGIONS)
    year = chance.randint(2012, 2016) if number % 20 == 0 else chance.randint(1955, 2004)
    birthday = f"{year}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    # The last seven digits are the number itself times a prime: no two customers share a phone.
    mobile = "13800131234" if number == 1 else f"{chance.choice(_PREFIXES)}{number * 7919 % 100_000_000:08}"
    gender = chance.choice("MF")
    serial = chance.randint(0, 499) * 2 + (gender == "M")
    return (
        f"C{number:05}",
        surname + given,
        mobile,
        _with_check(f"{area}{birthday.replace('-', '')}{serial:03}"),
        _with_luhn(f"622202{chance.randint(0, 10**12 - 1):012}"),
        f"customer{number}@example.com",
        f"{region}样例路{chance.randint(1, 300)}号{chance.randint(1, 30)}单元",
        birthday,
        f"{plate}·{chance.randint(0, 99_999):05}",
        gender,
        int(number % 20 == 0),
        "east" if number == 1 else chance.choice(_DEPARTMENTS),
    )


def _with_check(digits: str) -> str:
    return digits + _CHECK[sum(int(d) * w for d, w in zip(digits, _WEIGHTS, strict=True)) % 11]


def _with_luhn(digits: str) -> str:
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return digits + str(-sum(d // 10 + d % 10 for d in doubled) % 10)
