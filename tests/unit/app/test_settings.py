"""Settings: nothing unknown, nothing contradictory, every problem at once. Run this file to write docs/settings.md anew."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.app.problems import CannotStart, Problem
from fujie.app.settings import Settings, is_loopback, load_settings, settings_table, split_address
from fujie.audit.checkpoint import parse_vkey

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
KEY = {"id": "k1", "file": "keys/x.key"}
ISSUER = {"iss": "https://id.example.com", "aud": "fujie", "algs": ["ES256"], "jwks": "jwks.json"}
STORE = {"url": "sqlite:///crm.db", "table": "customer", "customer_id": "id"}
LEAST: dict[str, Any] = {
    "identity": {"issuers": [ISSUER]},
    "keys": {"ledger_index": KEY, "token": KEY, "seal": KEY, "log": KEY},
    "ledger": {"url": "sqlite:///ledger.db"},
    "audit": {"dir": "log", "instance": "a"},
    "policy": {"paths": ["policies"]},
}
TLS = {"certificate": "tls.crt", "private_key": "tls.key"}

KEY_SET = "identity.issuers.0.jwks"

Load = Callable[..., Settings]


def spiffe(trust_domain: str, *may_assert: str) -> dict[str, Any]:
    """Return a complete configuration of mutual TLS."""
    known = {"trust_domain": trust_domain, "may_assert": list(may_assert)}
    return {"server": {"tls": {**TLS, "client_ca": "ca.crt"}}, "identity": {"spiffe": known}}


def jwks(place: str) -> dict[str, Any]:
    return {"identity": {"issuers": [{**ISSUER, "jwks": place}]}}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(over: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        path = tmp_path / "fujie.yaml"
        path.write_text(json.dumps({**LEAST, **(over or {})}), "utf-8")
        return load_settings(path, environ or {})

    return loaded


def problems(load: Callable[[], Settings]) -> tuple[Problem, ...]:
    with pytest.raises(CannotStart) as refused:
        load()
    return refused.value.problems


def codes(load: Callable[[], Settings]) -> set[tuple[str, str]]:
    return {(problem.code, problem.key) for problem in problems(load)}


def test_the_least_configuration_serves_on_loopback_without_stores(load: Load) -> None:
    loaded = load()
    assert (loaded.server.listen, loaded.server.http_listen, loaded.server.metrics_listen) == (
        "127.0.0.1:7443",
        "127.0.0.1:7080",
        "127.0.0.1:9464",
    )
    assert loaded.policy.zone == "Asia/Shanghai"
    assert not loaded.stores
    assert not any(loaded.unsafe.values())


ALICE = "alice+4c944c93+AdmRMIEpqyq/1MrzwJXYWYwWCpVavRJfBqWZhk0QVl3n"
BOB = "bob+f51775dc+ASTz+qLtRwByBfxFwKmA+uL8qXU26WwgfCBeLdVxCo5l"
ALICE_AGAIN = parse_vkey(ALICE).named("alice2").vkey
SIGNED = {"bundle": "site.fujie", "trusted_keys": [ALICE, BOB], "state_dir": "state"}


def policy(**over: Any) -> dict[str, Any]:
    """Return the settings of a signed bundle, with changes; None leaves one out."""
    merged = {**SIGNED, **over}
    return {"policy": {name: setting for name, setting in merged.items() if setting is not None}}


REFUSED: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "policies from nowhere": ({"policy": {}}, {("SETTING_MISSING", "policy.paths")}),
    "files and a bundle": (
        policy(paths=["p"]),
        {("SETTING_INVALID", "policy"), ("POLICY_SOURCE", "policy.bundle")},
    ),
    "two bundles": (policy(url="https://h/x"), {("POLICY_SOURCE", "policy.url")}),
    "a bundle that nobody need sign": (policy(trusted_keys=None), {("SETTING_INVALID", "policy")}),
    "a bundle of nobody": (policy(trusted_keys=[]), {("SETTING_INVALID", "policy")}),
    "no signature needed": (policy(signatures=0), {("SETTING_INVALID", "policy.signatures")}),
    "more signatures than people": (policy(signatures=3), {("SETTING_INVALID", "policy")}),
    "one key under two names": (policy(trusted_keys=[ALICE, ALICE_AGAIN]), {("SETTING_INVALID", "policy")}),
    "one key twice": (policy(trusted_keys=[ALICE, ALICE]), {("SETTING_INVALID", "policy")}),
    "a key with another id": (
        policy(trusted_keys=[BOB.replace("f51775dc", "f51775dd")]),
        {("SETTING_INVALID", "policy.trusted_keys.0")},
    ),
    "a bundle without state": (policy(state_dir=None), {("SETTING_INVALID", "policy")}),
    "four eyes on plain files": (
        {"policy": {"paths": ["p"], "signatures": 2}},
        {("SETTING_INVALID", "policy")},
    ),
    "keys for plain files": (
        {"policy": {"paths": ["p"], "trusted_keys": [ALICE]}},
        {("SETTING_INVALID", "policy")},
    ),
    "a downgrade of plain files": (
        {"policy": {"paths": ["p"], "unsafe_downgrade": True}},
        {("SETTING_INVALID", "policy")},
    ),
    "two shadows": (
        policy(shadow=["next"], shadow_bundle="next.fujie"),
        {("SETTING_INVALID", "policy")},
    ),
    "a signed shadow of nobody": (
        {"policy": {"paths": ["p"], "shadow_bundle": "next.fujie"}},
        {("SETTING_INVALID", "policy")},
    ),
    "a bundle in plain text": (
        policy(bundle=None, url="http://example.com/x"),
        {("SETTING_INVALID", "policy.url")},
    ),
    "a password in an address": (
        policy(bundle=None, url="https://u:p@example.com/x"),
        {("SETTING_INVALID", "policy.url")},
    ),
    "webhooks that nobody signs": (
        {"notify": {"url": "https://h.example.com/x"}},
        {("SETTING_MISSING", "notify")},
    ),
    "a secret for no webhook": ({"notify": {"secret_file": "s"}}, {("SETTING_MISSING", "notify")}),
    "webhooks in plain text": (
        {"notify": {"url": "http://h.example.com/x", "secret_file": "s"}},
        {("SETTING_INVALID", "notify")},
    ),
    "webhooks to somewhere else than it looks": (
        {"notify": {"url": "https://good@bad.example.com/x", "secret_file": "s"}},
        {("SETTING_INVALID", "notify.url")},
    ),
    "webhooks to a file": (
        {"notify": {"url": "file:///etc/passwd", "secret_file": "s"}},
        {("SETTING_INVALID", "notify.url")},
    ),
    "SCIM without a port": (
        {"scim": {"principal": "idp", "token_file": "t"}},
        {("SETTING_MISSING", "server.public_listen")},
    ),
    "two groups of one role": (
        {
            "scim": {"principal": "idp", "token_file": "t", "groups": {"A": "a", "B": "a"}},
            "server": {"public_listen": "127.0.0.1:0", "public_url": "https://f.example.com"},
        },
        {("SETTING_INVALID", "scim")},
    ),
    "a token for a file": (policy(token_file="t"), {("SETTING_INVALID", "policy")}),
    "unknown section": ({"sever": {}}, {("UNKNOWN_SETTING", "sever")}),
    "unknown key": ({"server": {"drain": 1}}, {("UNKNOWN_SETTING", "server.drain")}),
    "unknown key of a store": (
        {"stores": {"crm": {**STORE, "tabel": "x"}}},
        {("UNKNOWN_SETTING", "stores.crm.tabel")},
    ),
    "plain text beyond loopback": (
        {"server": {"listen": "0.0.0.0:7443"}},
        {("LISTEN_PLAINTEXT", "server")},
    ),
    "a name that may resolve to anything": (
        {"server": {"listen": "localhost.example.com:7443"}},
        {("LISTEN_PLAINTEXT", "server")},
    ),
    "TLS and plain text": (
        {"server": {"tls": TLS, "unsafe_plaintext": True}},
        {("TLS_AND_PLAINTEXT", "server")},
    ),
    "half a certificate": (
        {"server": {"tls": {"certificate": "tls.crt"}}},
        {("SETTING_MISSING", "server.tls.private_key")},
    ),
    "no port": ({"server": {"http_listen": "127.0.0.1"}}, {("SETTING_INVALID", "server.http_listen")}),
    "a port that does not exist": (
        {"server": {"listen": "127.0.0.1:65536"}},
        {("SETTING_INVALID", "server.listen")},
    ),
    "bare IPv6": ({"server": {"listen": "::1:7443"}}, {("SETTING_INVALID", "server.listen")}),
    "a password for a file": (
        {"ledger": {"url": "sqlite:///ledger.db", "password_file": "password"}},
        {("SETTING_INVALID", "ledger")},
    ),
    "plain text for a file": (
        {"ledger": {"url": "sqlite:///ledger.db", "unsafe_plaintext": True}},
        {("SETTING_INVALID", "ledger")},
    ),
    "no workers": ({"server": {"workers": 0}}, {("SETTING_INVALID", "server.workers")}),
    "more workers than anybody has CPUs for": (
        {"server": {"workers": 65}},
        {("SETTING_INVALID", "server.workers")},
    ),
    "connections that may not live": (
        {"server": {"connection_age_seconds": 0}},
        {("SETTING_INVALID", "server.connection_age_seconds")},
    ),
    "nobody could authenticate": ({"identity": {"issuers": []}}, {("IDENTITY_MISSING", "identity")}),
    "an issuer without algorithms": (
        {"identity": {"issuers": [{**ISSUER, "algs": []}]}},
        {("SETTING_INVALID", "identity.issuers.0.algs")},
    ),
    "workloads without certificates": (
        {"identity": {"issuers": [ISSUER], "spiffe": {"trust_domain": "example.com"}}},
        {("MTLS_INCOMPLETE", "identity.spiffe")},
    ),
    "certificates without a trust domain": (
        {"server": {"tls": {**TLS, "client_ca": "ca.crt"}}},
        {("MTLS_INCOMPLETE", "server.tls.client_ca")},
    ),
    "delegation beside its place": (
        {"identity": {"issuers": [ISSUER], "may_assert": ["a"], "mtls": True}},
        {("UNKNOWN_SETTING", "identity.may_assert"), ("UNKNOWN_SETTING", "identity.mtls")},
    ),
    "a trust domain with a scheme": (
        spiffe("spiffe://example.com"),
        {("SETTING_INVALID", "identity.spiffe.trust_domain")},
    ),
    "a trust domain in capitals": (
        spiffe("Example.com"),
        {("SETTING_INVALID", "identity.spiffe.trust_domain")},
    ),
    "a trust domain with a port": (
        spiffe("example.com:443"),
        {("SETTING_INVALID", "identity.spiffe.trust_domain")},
    ),
    "a trusted workload by its path": (
        spiffe("example.com", "/crm"),
        {("SETTING_INVALID", "identity.spiffe")},
    ),
    "a trusted workload of another domain": (
        spiffe("example.com", "spiffe://example.org/crm"),
        {("SETTING_INVALID", "identity.spiffe")},
    ),
    "a whole trust domain that is trusted": (
        spiffe("example.com", "spiffe://example.com/"),
        {("SETTING_INVALID", "identity.spiffe")},
    ),
    "a pattern of trusted workloads": (
        spiffe("example.com", "spiffe://example.com/*"),
        {("SETTING_INVALID", "identity.spiffe")},
    ),
    "keys over plain HTTP": (jwks("http://id.example.com/jwks"), {("SETTING_INVALID", KEY_SET)}),
    "keys over plain HTTP from what only begins like this machine": (
        jwks("http://127.0.0.1.example.com/jwks"),
        {("SETTING_INVALID", KEY_SET)},
    ),
    "keys from a user at this machine": (
        jwks("http://localhost@id.example.com/"),
        {("SETTING_INVALID", KEY_SET)},
    ),
    "keys with a password in the address": (
        jwks("https://user:secret@id.example.com/"),
        {("SETTING_INVALID", KEY_SET)},
    ),
    "keys from a file address": (jwks("file:///etc/passwd"), {("SETTING_INVALID", KEY_SET)}),
    "keys from a host without a name": (jwks("https:///jwks"), {("SETTING_INVALID", KEY_SET)}),
    "keys from a port that does not exist": (
        jwks("https://id.example.com:99999/jwks"),
        {("SETTING_INVALID", KEY_SET)},
    ),
    "keys from an address of two lines": (
        jwks("https://id.example.com/\r\nHost: x"),
        {("SETTING_INVALID", KEY_SET)},
    ),
    "digests of phones without their key": (
        {"stores": {"crm": {**STORE, "phone": {"hmac_column": "h"}}}},
        {("SETTING_MISSING", "keys.store_index")},
    ),
    "digests of last digits without their key": (
        {"stores": {"crm": {**STORE, "phone": {"column": "p", "last_four_hmac_column": "h"}}}},
        {("SETTING_MISSING", "keys.store_index")},
    ),
    "phones in no column": (
        {"stores": {"crm": {**STORE, "phone": {"format": "national", "last_four_column": "l"}}}},
        {("SETTING_MISSING", "stores.crm.phone")},
    ),
    "last digits in two columns": (
        {
            "keys": {**LEAST["keys"], "store_index": KEY},
            "stores": {
                "crm": {
                    **STORE,
                    "phone": {"column": "p", "last_four_column": "a", "last_four_hmac_column": "b"},
                }
            },
        },
        {("SETTING_INVALID", "stores.crm.phone")},
    ),
    "a store without connections": (
        {"stores": {"crm": {**STORE, "connections": 0}}},
        {("SETTING_INVALID", "stores.crm.connections")},
    ),
    "a store that no variable can name": (
        {"stores": {"My-CRM": STORE}},
        {("SETTING_INVALID", "stores.My-CRM")},
    ),
    "an instance that leaves its directory": (
        {"audit": {"dir": "log", "instance": "../b"}},
        {("SETTING_INVALID", "audit.instance")},
    ),
    "a zone that nobody lives in": (
        {"policy": {"paths": ["p"], "zone": "Mars/Base"}},
        {("SETTING_INVALID", "policy.zone")},
    ),
    "a zone that is a path": (
        {"policy": {"paths": ["p"], "zone": "../../etc/passwd"}},
        {("SETTING_INVALID", "policy.zone")},
    ),
    "no policies": ({"policy": {"paths": []}}, {("SETTING_INVALID", "policy.paths")}),
    "a key id that tokens can not hold": (
        {"keys": {**LEAST["keys"], "token": {**KEY, "id": "K_1"}}},
        {("SETTING_INVALID", "keys.token.id")},
    ),
    "a missing key": (
        {"keys": {"token": KEY, "seal": KEY, "log": KEY}},
        {("SETTING_MISSING", "keys.ledger_index")},
    ),
    "a nameless administrator": (
        {"bootstrap": {"admins": [""]}},
        {("SETTING_INVALID", "bootstrap.admins.0")},
    ),
    "a number for a name": (
        {"audit": {"dir": "log", "instance": 7}},
        {("SETTING_INVALID", "audit.instance")},
    ),
}


@pytest.mark.parametrize(("over", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_at_start(load: Load, over: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert codes(lambda: load(over)) == expected


@pytest.mark.parametrize(
    "server",
    [
        {"listen": "[::1]:7443"},
        {"listen": "localhost:0"},
        {"listen": "127.8.8.8:7443"},
        {"listen": "0.0.0.0:7443", "tls": TLS},
        {"listen": "0.0.0.0:7443", "unsafe_plaintext": True},
        {"http_listen": "0.0.0.0:7080", "metrics_listen": "0.0.0.0:9464"},
    ],
)
def test_accepted(load: Load, server: dict[str, Any]) -> None:
    assert load({"server": server}).server.listen == server.get("listen", "127.0.0.1:7443")


def test_all_problems_are_listed_at_once_each_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "fujie.yaml"
    path.write_text(
        "server:\n  listen: 0.0.0.0:7443\n  workers: 300\n  drian_seconds: 4\n"
        "identity: {}\nledger: {url: 'sqlite:///l.db'}\npolicy:\n  zone: Mars\n"
        "audit: {dir: a, instance: b}\naudit: {dir: a, instance: c}\n",
        "utf-8",
    )
    environ = {"FUJIE__SERVER__REFLECTION": "perhaps", "FUJIE__BOOTSTRAP__ADMIN": "a", "FUJIE__A____B": ""}
    found = {p.key or p.place: p for p in problems(lambda: load_settings(path, environ))}
    assert {key: problem.code for key, problem in found.items()} == {
        "server.workers": "SETTING_INVALID",
        "server.drian_seconds": "UNKNOWN_SETTING",
        "server.reflection": "SETTING_INVALID",
        "identity": "IDENTITY_MISSING",
        "bootstrap.admin": "UNKNOWN_SETTING",
        "keys": "SETTING_MISSING",
        "policy.paths": "SETTING_MISSING",
        "policy.zone": "SETTING_INVALID",
        "audit": "DUPLICATE_KEY",
        "FUJIE__A____B": "SETTING_INVALID",
    }
    assert found["server.drian_seconds"].place == f"{path}:4:3"
    assert found["server.drian_seconds"].remedy == "Did you mean `drain_seconds`?"
    assert found["bootstrap.admin"].place == "FUJIE__BOOTSTRAP__ADMIN"
    assert found["policy.paths"].place == f"{path}:7:1"
    assert found["audit"].place == f"{path}:10:1"
    assert all(problem.message for problem in found.values())


def test_variables_lie_over_the_file(load: Load) -> None:
    environ = {
        "FUJIE__LEDGER__URL": "sqlite:////elsewhere/ledger.db",
        "FUJIE__STORES__CRM__URL": "sqlite:////elsewhere/crm.db",
        "FUJIE__SERVER__LISTEN": "[::1]:1",
        "FUJIE__SERVER__REFLECTION": "true",
        "FUJIE__SERVER__DRAIN_SECONDS": "7",
        "FUJIE__BOOTSTRAP__ADMINS": '["alice", "bob"]',
        "FUJIE__POLICY__PATHS": '["a", "b"]',
        "FUJIE_SERVER_PORT": "made by Kubernetes for a Service",
        "PATH": "/bin",
    }
    loaded = load({"stores": {"crm": {"table": "t", "customer_id": "id"}}}, environ)
    assert loaded.ledger.url == "sqlite:////elsewhere/ledger.db"
    assert loaded.stores["crm"].url == "sqlite:////elsewhere/crm.db"
    assert loaded.server.listen == "[::1]:1"
    assert loaded.server.reflection is True
    assert loaded.server.drain_seconds == 7
    assert loaded.bootstrap.admins == ("alice", "bob")
    assert loaded.policy.paths == (Path("a"), Path("b"))


def test_a_variable_may_stand_where_the_file_has_nonsense(load: Load) -> None:
    assert load({"ledger": "text"}, {"FUJIE__LEDGER__URL": "sqlite:///x"}).ledger.url == "sqlite:///x"


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"server: [", "CONFIG_INVALID", ":1:10"),
        (b"- a\n", "CONFIG_INVALID", ""),
        (b"just text", "CONFIG_INVALID", ""),
        (b"a: 1\n---\nb: 2\n", "CONFIG_INVALID", ":2:1"),
        (b"a: !!python/object/apply:os.system ['true']\n", "CONFIG_INVALID", ":1:4"),
        (b"\xff\xfe\x00", "CONFIG_INVALID", ""),
        (b"a: 2026-13-45\n", "CONFIG_INVALID", ""),
        (b"a: \x00", "CONFIG_INVALID", ""),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: bytes, code: str, place: str) -> None:
    path = tmp_path / "fujie.yaml"
    path.write_bytes(content)
    (problem,) = problems(lambda: load_settings(path, {}))
    assert (problem.code, problem.place) == (code, f"{path}{place}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (problem,) = problems(lambda: load_settings(tmp_path / "none.yaml", {}))
    assert (problem.code, problem.place) == ("CONFIG_UNREADABLE", str(tmp_path / "none.yaml"))


def test_an_empty_file_lacks_every_section(tmp_path: Path) -> None:
    path = tmp_path / "fujie.yaml"
    path.write_text("", "utf-8")
    assert codes(lambda: load_settings(path, {})) == {
        ("SETTING_MISSING", section) for section in ("identity", "keys", "ledger", "audit", "policy")
    }


SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    "url",
    [f"postgresql://u:{SECRET}@db/fujie", f"mysql://db/x?user=u&password={SECRET}", f"u:{SECRET}@nonsense"],
)
def test_no_password_is_in_repr_or_shown(load: Load, url: str) -> None:
    loaded = load({"ledger": {"url": url}, "stores": {"crm": {**STORE, "url": url, "replicas": [url]}}})
    for text in (repr(loaded), str(loaded), json.dumps(loaded.shown()), repr(loaded.stores["crm"])):
        assert SECRET not in text
    assert loaded.ledger.url == url


@settings(max_examples=60)
@given(section=st.sampled_from([*LEAST, "server", "stores"]), junk=st.sampled_from(
    [SECRET, [SECRET], {"x": SECRET}, {"url": [SECRET]}, {"crm": {"url": {"a": SECRET}}}, {"issuers": SECRET},
     {"listen": SECRET}, {"instance": SECRET * 9}, {"zone": SECRET}, {"log": {"id": SECRET, "file": [SECRET]}}]
))  # fmt: skip
def test_what_is_refused_is_never_quoted(load: Load, section: str, junk: object) -> None:
    with pytest.raises(CannotStart) as refused:
        load({section: junk})
    said = [(problem.message, problem.remedy, problem.key) for problem in refused.value.problems]
    assert SECRET not in json.dumps(said)
    assert SECRET not in str(refused.value)


def test_settings_do_not_change_after_loading(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().server.listen = "0.0.0.0:1"


@pytest.mark.parametrize(
    "place",
    [
        "jwks.json",
        "/etc/fujie/jwks.json",
        "https://id.example.com/.well-known/jwks.json?v=1",
        "https://id.example.com:8443/jwks",
        "http://127.0.0.1:8080/jwks",
        "http://[::1]/jwks",
        "http://localhost/jwks",
    ],
)
def test_keys_come_from_a_file_or_a_safe_address(place: str, load: Load) -> None:
    assert load(jwks(place)).identity.issuers[0].jwks == place


def test_workloads_alone_can_be_all_who_call(load: Load) -> None:
    loaded = load(spiffe("example.com", "spiffe://example.com/ns/crm/sa/web"))
    assert loaded.identity.spiffe is not None
    assert loaded.identity.spiffe.may_assert == ("spiffe://example.com/ns/crm/sa/web",)
    assert not any(loaded.unsafe.values())


def test_a_signed_bundle_comes_from_a_file_or_an_address(load: Load) -> None:
    assert load(policy(signatures=2)).policy.follow_seconds == 2
    over = policy(
        bundle=None, url="https://policies.example.com/site.fujie", token_file="token", poll_seconds=60
    )
    assert load(over).policy.follow_seconds == 60
    assert load(policy(unsafe_downgrade=True)).unsafe["policy.unsafe_downgrade"]


def test_unsafe_settings_are_named(load: Load) -> None:
    over = {
        "server": {"unsafe_plaintext": True, "unsafe_public_plaintext": False},
        "ledger": {"url": "postgresql://gate@db/fujie", "unsafe_plaintext": True},
        "identity": {"unsafe_static_tokens": "tokens.yaml"},
        "stores": {"crm": {**STORE, "unsafe_plaintext": True}, "shop": STORE},
    }
    assert load(over).unsafe == {
        "server.unsafe_plaintext": True,
        "server.unsafe_public_plaintext": False,
        "ledger.unsafe_plaintext": True,
        "notify.unsafe_plaintext": False,
        "policy.unsafe_downgrade": False,
        "identity.unsafe_static_tokens": True,
        "stores.crm.unsafe_plaintext": True,
        "stores.shop.unsafe_plaintext": False,
    }


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_is_none(text: str) -> None:
    host, port = split_address(text)
    assert (host, port) == ("", -1) or int(text.rpartition(":")[2]) == port
    assert not is_loopback(text) or host


def test_the_page_of_settings_is_that_of_the_code() -> None:
    assert PAGE.read_text("utf-8") == page(), "run this file to write the page anew"


def test_the_shown_configuration_loads_again(load: Load, tmp_path: Path) -> None:
    loaded = load({"stores": {"crm": {**STORE, "phone": {"column": "p"}}}, "server": {"tls": TLS}})
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(loaded.shown()), "utf-8")
    assert load_settings(path, {}) == loaded


def page() -> str:
    return f"""# Settings

One YAML file, `fujie serve --config fujie.yaml`. A variable `FUJIE__SECTION__KEY` lies over it
(`FUJIE__STORES__CRM__URL` sets `stores.crm.url`; lists and objects are JSON). Unknown keys, keys that stand twice and
contradictions are refused at start, all of them at once; `fujie config check` says the same without starting anything,
`fujie config show` prints what is in force. Paths are relative to the working directory. What is required inside an
optional section (`server.tls`, `keys.store_index`, `stores.<name>.phone`) is required when the section is there. This
table is generated from the code and compared by a test.

{settings_table()}"""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
