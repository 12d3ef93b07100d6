"""What the URL of a PostgreSQL ledger may say; it never says a password to anybody."""

from pathlib import Path

import pytest
from asyncpg import InterfaceError, InternalClientError, connect_utils
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.ledger.server import URL_ALONE, ServerAccess, is_server, server_of
from fujie.model.errors import StartError

SECRET = "hunter2-canary"
DISTANT = (
    "db.example.com",
    "10.0.0.5",
    "[2001:db8::1]",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "0.0.0.0",
    "1",
)
LOCAL = ("localhost", "127.0.0.1", "127.0.0.1:5433", "[::1]", "[::1]:5433", "%2Frun%2Fpostgresql")


def refusal(url: str, access: ServerAccess = URL_ALONE) -> str:
    with pytest.raises(StartError) as refused:
        server_of(url, access)
    assert SECRET not in f"{refused.value!r} {refused.value} {refused.value.remedy}"
    return refused.value.code


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
def test_both_schemes_are_one_server(scheme: str) -> None:
    url = f"{scheme}://gate:{SECRET}@db.example.com:5433/fujie?sslmode=verify-full&sslrootcert=ca.pem"
    assert is_server(url)
    found = server_of(url, URL_ALONE)
    assert found.dsn == url.replace("+asyncpg", "")
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "url",
    ["postgres://u@h/d", "postgresql+psycopg://u@h/d", "POSTGRESQL://u@h/d", "sqlite:///a", "mysql://u@h/d", "", "postgresql"],
)  # fmt: skip
def test_other_schemes_are_no_server(url: str) -> None:
    assert not is_server(url)


@pytest.mark.parametrize(
    "rest",
    [
        "/d", "localhost/d", "u@localhost", "u@localhost/", "u@/d", "@localhost/d", f":{SECRET}@localhost/d", "u@localhost/d#f",
        "u@localhost/d?options=-c%20synchronous_commit%3Doff", "u@localhost/d?statement_timeout=0", "u@localhost/d?target_session_attrs=any",
        f"u@localhost/d?password={SECRET}", f"u@localhost/d?passfile={SECRET}", "u@localhost/d?service=x", "u@localhost/d?user=v", "u@localhost/d?dbname=x",
        "u@localhost/d?sslmode=require&sslmode=disable", "u@localhost/d?sslmode", "u@[::1/d",
    ],
)  # fmt: skip
def test_an_address_is_complete_and_says_no_more_than_it_may(rest: str) -> None:
    assert refusal(f"postgresql://{rest}") == "LEDGER_UNSUPPORTED"


@pytest.mark.parametrize("host", DISTANT)
@pytest.mark.parametrize(
    "mode",
    [
        "",
        "?sslmode=disable",
        "?sslmode=allow",
        "?sslmode=prefer",
        "?sslmode=",
        "?sslmode=REQUIRE",
        "?sslmode=x",
    ],
)
def test_another_host_is_not_reached_without_demanding_tls(host: str, mode: str) -> None:
    url = f"postgresql://u:{SECRET}@{host}/d{mode}"
    assert refusal(url) == "LEDGER_PLAINTEXT"
    assert server_of(url, ServerAccess(unsafe_plaintext=True)).dsn == url


@pytest.mark.parametrize("host", [*DISTANT, *LOCAL])
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_with_tls_every_host_is_reached(host: str, mode: str) -> None:
    server_of(f"postgresql://u@{host}/d?sslmode={mode}", URL_ALONE)


@pytest.mark.parametrize("host", LOCAL)
def test_this_host_needs_no_tls(host: str) -> None:
    server_of(f"postgresql://u@{host}/d", URL_ALONE)
    server_of(f"postgresql://u@/d?host={host}", URL_ALONE)


@pytest.mark.parametrize(
    "rest",
    ["localhost,db.example.com/d", "db.example.com,localhost/d", "localhost/d?host=db.example.com", "/d?host=/run/x,db.example.com", "/d?host=db.example.com",
     "x@db.example.com/d", "localhost@db.example.com/d", "localhost%2Cdb.example.com/d", "localhost:5432,db.example.com:5432/d"],
)  # fmt: skip
def test_no_spelling_hides_another_host_behind_this_one(rest: str) -> None:
    assert refusal(f"postgresql://u:{SECRET}@{rest}") in {"LEDGER_PLAINTEXT", "LEDGER_UNSUPPORTED"}


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_text_is_a_server_or_a_refusal(rest: str, query: str) -> None:
    for url in (
        f"postgresql://{rest}",
        f"postgresql://u@{rest}/d?{query}",
        f"postgresql://u@localhost/d?{query}",
    ):
        try:
            server_of(url, URL_ALONE)
        except StartError as refused:
            assert refused.code in {"LEDGER_PLAINTEXT", "LEDGER_UNSUPPORTED"}  # noqa: PT017 - either may happen


_PIECES = st.sampled_from(
    ["localhost", "db.example.com", "127.0.0.1", "10.0.0.5", "[::1]", "%2Ftmp", "/tmp", "u", ":", "@", ",", "%2C", "%40", ":5432", "", "%", "[", "]", "?host=", "&", "port=1", "#"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=8).map("".join), st.lists(_PIECES, max_size=6).map("".join))
def test_the_driver_finds_no_host_that_was_not_seen(authority: str, query: str) -> None:
    """What is let through without TLS leads the driver's own parser to this host only."""
    try:
        found = server_of(f"postgresql://u@{authority}/d?host={query}", URL_ALONE)
    except StartError:
        return
    unset = dict.fromkeys(
        ("host", "port", "user", "password", "passfile", "database", "service", "servicefile", "direct_tls", "server_settings",
         "target_session_attrs", "krbsrvname", "gsslib"),
    )  # fmt: skip
    try:
        parse = vars(connect_utils)["_parse_connect_dsn_and_args"]  # private: its verdict is what counts
        addresses, _ = parse(dsn=found.dsn, ssl="disable", **unset)
    except (ValueError, InterfaceError, InternalClientError):
        return
    for address in addresses:
        host = address if isinstance(address, str) else address[0]
        assert host.startswith("/") or host in {"localhost", "127.0.0.1", "::1"}


def test_the_primary_is_asked_for() -> None:
    arguments = server_of("postgresql://u@localhost/d", URL_ALONE).connection()
    assert arguments == {"dsn": "postgresql://u@localhost/d", "target_session_attrs": "read-write"}


@pytest.mark.parametrize(
    ("content", "expected"), [("secret\n", "secret"), ("secret", "secret"), (" s p \n", " s p ")]
)
def test_a_password_is_the_line_of_its_file(tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    found = server_of("postgresql://u@localhost/d", ServerAccess(file))
    assert found.connection()["password"] == expected
    assert expected not in repr(found)


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\0b", b"\xff", None])
def test_what_is_no_password_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    assert refusal("postgresql://u@localhost/d", ServerAccess(file)) == "LEDGER_PASSWORD_UNREADABLE"


def test_two_passwords_contradict_each_other(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    assert refusal(f"postgresql://u:{SECRET}@localhost/d", ServerAccess(file)) == "LEDGER_UNSUPPORTED"
