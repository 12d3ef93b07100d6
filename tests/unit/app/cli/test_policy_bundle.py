"""`fujie policy keygen, build, sign, verify, diff, push`: the same bytes each time, and nothing given out by mistake."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fujie.app.cli import build
from fujie.policy.archive import read
from support.releases import BASE, bundle, grant, policies

AT = ("--created", "2026-01-02T03:04:05Z")
GUARD = (
    b"apiVersion: fujie.dev/v1\nkind: Guard\nmetadata: {name: g}\n"
    b"spec: {match: {actions: [lookup]}, validations: [{name: v, expression: request.strict}]}\n"
)
TEST = b"apiVersion: fujie.dev/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec: {}\n"


@dataclass
class Ended:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def codes(self) -> list[str]:
        return [problem["code"] for problem in self.json["problems"]]


def policy(*arguments: str | Path, env: dict[str, str] | None = None) -> Ended:
    line = ["policy", *(str(each) for each in arguments), "--output", "json"]
    done = CliRunner().invoke(build(), line, env={"SOURCE_DATE_EPOCH": "", **(env or {})})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    home = tmp_path / "site"
    home.mkdir()
    (home / "base.yaml").write_bytes(BASE)
    (home / "grants.yaml").write_bytes(grant("a"))
    (home / "tests.yaml").write_bytes(TEST)
    return home


@pytest.fixture
def made(site: Path) -> Path:
    out = site.parent / "site.fujie"
    assert policy("build", site, "-o", out, "--revision", "1", *AT).exit_code == 0
    return out


def keygen(directory: Path, name: str) -> tuple[Path, str]:
    shown = policy("keygen", name, directory).json
    return Path(shown["file"]), shown["trusted_key"]


def test_the_same_policies_give_the_same_bytes_in_whatever_order_they_lie(
    site: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "site"
    other.mkdir(parents=True)
    for path in sorted(site.iterdir(), reverse=True):
        shutil.copy(path, other / path.name)
    outs = [tmp_path / name for name in ("1.fujie", "2.fujie")]
    for directory, out in zip((site, other), outs, strict=True):
        assert (
            policy("build", directory, "-o", out, "--revision", "3", "--builder", "ci", *AT).exit_code == 0
        )
    assert outs[0].read_bytes() == outs[1].read_bytes()
    archive = read(outs[0].read_bytes())
    assert dict(archive.files) == {"site/base.yaml": BASE, "site/grants.yaml": grant("a")}, "no tests"
    assert (archive.manifest.revision, archive.manifest.provenance) == (3, {"builder": "ci"})


def test_the_date_is_said_or_that_of_the_source_and_never_now(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.fujie"
    line = ("build", site, "-o", out, "--revision", "1")
    assert policy(*line).codes == ["BUNDLE_UNDATED"]
    assert policy(*line, env={"SOURCE_DATE_EPOCH": "0"}).json["created"] == "1970-01-01T00:00:00+00:00"
    for bad in ("x", "1e9", "9" * 30):
        assert policy(*line, env={"SOURCE_DATE_EPOCH": bad}).exit_code == 2


def test_a_checkout_gives_commit_branch_date_and_whether_it_was_as_committed(site: Path) -> None:
    def git(*arguments: str) -> str:
        named = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        done = subprocess.run(
            ["git", "-C", str(site), *named, *arguments],
            capture_output=True, check=True, text=True, timeout=60,
            env={"GIT_COMMITTER_DATE": "2026-03-04T05:06:07Z", "GIT_AUTHOR_DATE": "2026-03-04T05:06:07Z", "HOME": str(site)},
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=trunk")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "HEAD")
    out = site.parent / "out.fujie"
    shown = policy("build", site, "-o", out, "--revision", "1").json
    assert shown["created"] == "2026-03-04T05:06:07+00:00"
    assert shown["provenance"] == {"branch": "trunk", "commit": commit, "state": "committed"}
    (site / "grants.yaml").write_bytes(grant("b"))
    shown = policy("build", site, "-o", out, "--revision", "2").json
    assert shown["provenance"]["state"] == "modified"


def test_policies_with_mistakes_and_tests_among_them_make_no_bundle(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.fujie"
    line = ("build", site, "-o", out, "--revision", "1", *AT)
    (site / "grants.yaml").write_bytes(grant("a") + b"---\n" + TEST)
    assert policy(*line).codes == ["TEST_AMONG_POLICIES"]
    (site / "grants.yaml").write_bytes(
        GUARD.replace(b"Guard", b"PolicyTest")
    )  # passed over, it would close nothing
    assert set(policy(*line).codes) == {"UNKNOWN_KEY"}
    (site / "grants.yaml").write_bytes(b"kind: [\n")
    assert policy(*line).exit_code == 5
    (site / "grants.yaml").rename(site / "bad\u202ename.yaml")
    (site / "bad\u202ename.yaml").write_bytes(grant("a"))
    assert policy(*line).codes == ["BUNDLE_INVALID"]
    assert not out.exists()


@pytest.mark.parametrize("revision", ["0", "-1", "1.5", str(2**53), "x"])
def test_a_revision_is_a_positive_whole_number(revision: str, site: Path) -> None:
    out = site.parent / "out.fujie"
    assert policy("build", site, "-o", out, "--revision", revision, *AT).exit_code == 2


def test_two_people_sign_and_both_are_needed(made: Path, tmp_path: Path) -> None:
    (alice, trusted_alice), (bob, trusted_bob) = (
        keygen(tmp_path / "keys", name) for name in ("alice", "bob")
    )
    _, trusted_eve = keygen(tmp_path / "keys", "eve")
    both = ("--trusted-key", trusted_alice, "--trusted-key", trusted_bob)
    assert policy("verify", made, *both).codes == ["BUNDLE_SIGNERS_MISSING"]
    assert policy("sign", made, "--key", alice).json["key"] == trusted_alice
    assert policy("sign", made, "--key", alice).json["signatures"] == 1, "twice is once"
    assert policy("verify", made, *both).json["signers"] == ["alice"]
    assert policy("verify", made, *both, "--signatures", "2").codes == ["BUNDLE_SIGNERS_MISSING"]
    assert policy("sign", made, "--key", bob).json["signatures"] == 2
    assert policy("verify", made, *both, "--signatures", "2").json["signers"] == ["alice", "bob"]
    assert policy("verify", made, "--trusted-key", trusted_eve).codes == ["BUNDLE_SIGNERS_MISSING"]
    assert policy("verify", made, *both[:2] * 2, "--signatures", "2").codes == ["BUNDLE_SIGNERS_MISSING"]


def test_one_key_under_two_names_is_not_two_people(made: Path, tmp_path: Path) -> None:
    alice, trusted = keygen(tmp_path / "keys", "alice")
    again = policy("sign", made, "--key", alice, "--name", "bob").json["key"]
    policy("sign", made, "--key", alice)
    refused = policy("verify", made, "--trusted-key", trusted, "--trusted-key", again, "--signatures", "2")
    assert refused.exit_code == 2
    assert json.loads(refused.stderr)["code"] == "KEY_TWICE"


def test_a_key_is_never_overwritten_and_its_secret_never_shown(tmp_path: Path) -> None:
    file, _ = keygen(tmp_path, "alice@example.com")
    secret = file.read_text().strip()
    again = policy("keygen", "alice@example.com", tmp_path)
    assert again.codes == ["KEY_EXISTS"]
    assert secret not in again.stdout + again.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    for name in ("", "a b", "../a", "a+b", ".a", "x" * 65):
        assert policy("keygen", name, tmp_path).exit_code == 2, name


def test_an_altered_bundle_is_neither_signed_nor_verified(made: Path, tmp_path: Path) -> None:
    alice, trusted = keygen(tmp_path / "keys", "alice")
    content = made.read_bytes().replace(b"name: reveal", b"name: token ")
    made.write_bytes(content)
    assert policy("sign", made, "--key", alice).codes == ["BUNDLE_INVALID"]
    assert made.read_bytes() == content
    assert policy("verify", made, "--trusted-key", trusted).codes == ["BUNDLE_INVALID"]
    assert policy("verify", tmp_path / "none", "--trusted-key", trusted).exit_code == 3


def test_an_ended_bundle_is_not_verified(site: Path, tmp_path: Path) -> None:
    alice, trusted = keygen(tmp_path / "keys", "alice")
    out = tmp_path / "out.fujie"
    policy("build", site, "-o", out, "--revision", "1", *AT, "--expires", "2026-01-02T03:04:06Z")
    policy("sign", out, "--key", alice)
    assert policy("verify", out, "--trusted-key", trusted).codes == ["BUNDLE_EXPIRED"]


def test_diff_says_what_changed_and_not_how_it_is_written(made: Path, site: Path) -> None:
    written = b"# moved and reformatted\n" + grant("a").replace(b"[lookup]", b'\n      - "lookup"\n    ')
    (site / "grants.yaml").rename(site / "elsewhere.yml")
    (site / "elsewhere.yml").write_bytes(
        written.replace(b"{actions: \n", b"\n    actions:\n").replace(b", stores: [crm]}", b"stores: [crm]")
    )
    assert policy("diff", made, site).json == {"changes": []}
    (site / "elsewhere.yml").write_bytes(grant("a", store="erp") + b"---\n" + grant("b"))
    changes = policy("diff", made, site).json["changes"]
    assert [(each["what"], each["kind"], each["name"]) for each in changes] == [
        ("changed", "Grant", "a"),
        ("added", "Grant", "b"),
    ]
    assert "-    - crm\n+    - erp" in changes[0]["diff"]
    removed = policy("diff", site, made).json["changes"]
    assert [each["what"] for each in removed] == ["changed", "removed"]


def test_diff_reads_as_strictly_as_the_loader(made: Path, site: Path) -> None:
    (site / "grants.yaml").write_bytes(b"kind: &a Grant\nmetadata: {name: *a}\n")
    assert "YAML_REFUSED" in policy("diff", made, site).codes


@dataclass
class Shelf:
    """A web server that keeps one bundle, and honours conditions as RFC 9110 section 13 says."""

    content: bytes | None = None
    tag: str = '"0"'
    says: int = 0
    """Status of every answer; 0 for the true one."""
    raced: bytes | None = None
    """What somebody else puts there between look and write."""
    heads: list[dict[str, str]] = field(default_factory=list)

    def answer(self, method: str, head: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.heads.append(head)
        if self.says:
            return self.says, b""
        if method == "GET":
            return (200, self.content) if self.content is not None else (404, b"")
        if self.raced is not None:
            self.content, self.tag = self.raced, '"raced"'
        is_met = (
            head.get("If-Match") == self.tag
            if self.content is not None
            else head.get("If-None-Match") == "*"
        )
        if not is_met:
            return 412, b""
        self.content, self.tag = body, self.tag[:-1] + '1"'
        return 204, b""


@contextmanager
def serving(shelf: Shelf) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply("GET", b"")

        def do_PUT(self) -> None:
            self.reply("PUT", self.rfile.read(int(self.headers["Content-Length"])))

        def reply(self, method: str, body: bytes) -> None:
            tag = shelf.tag
            status, content = shelf.answer(method, dict(self.headers), body)
            self.send_response(status)
            if tag:
                self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}/site.fujie"
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "site.fujie"
    path.write_bytes(bundle(5).encoded)
    return path


def test_a_push_goes_where_nothing_is_and_over_what_is_older(out: Path, tmp_path: Path) -> None:
    shelf, token = Shelf(), tmp_path / "token"
    token.write_text("t0ken")
    with serving(shelf) as url:
        assert policy("push", out, url, "--token-file", token).json["changed"]
        assert shelf.content == out.read_bytes()
        assert not policy("push", out, url).json["changed"]
        out.write_bytes(bundle(6).encoded)
        assert policy("push", out, url).json["changed"]
    assert shelf.content == bundle(6).encoded
    assert shelf.heads[0]["Authorization"] == "Bearer t0ken"


REFUSED: dict[str, tuple[Shelf, str]] = {
    "a newer one is there": (Shelf(bundle(6).encoded), "BUNDLE_OLDER"),
    "another of the revision is there": (Shelf(bundle(5, policies("b")).encoded), "BUNDLE_REVISION_REUSED"),
    "something else is there": (Shelf(b"<html>"), "BUNDLE_INVALID"),
    "somebody was faster": (Shelf(bundle(4).encoded, raced=bundle(6).encoded), "PUSH_CONFLICT"),
    "somebody was the first": (Shelf(raced=bundle(6).encoded), "PUSH_CONFLICT"),
    "no tag": (Shelf(bundle(4).encoded, tag=""), "ETAG_MISSING"),
    "a weak tag": (Shelf(bundle(4).encoded, tag='W/"4"'), "ETAG_MISSING"),
    "an error": (Shelf(says=500), "PUSH_FAILED"),
    "no right": (Shelf(says=403), "PUSH_FAILED"),
    "a redirect": (Shelf(says=307), "PUSH_FAILED"),
}


@pytest.mark.parametrize(("shelf", "code"), REFUSED.values(), ids=REFUSED)
def test_a_push_that_could_undo_somebody_elses_is_refused(shelf: Shelf, code: str, out: Path) -> None:
    before = shelf.raced or shelf.content
    with serving(shelf) as url:
        assert policy("push", out, url).codes == [code]
    assert shelf.content == before


def test_another_signature_is_pushed_under_the_same_revision(out: Path) -> None:
    shelf = Shelf(bundle(5, signers=[]).encoded)
    with serving(shelf) as url:
        assert policy("push", out, url).json["changed"]
    assert shelf.content == out.read_bytes()


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "ftp://example.com", "https://u:p@example.com/x", "x"]
)
def test_a_push_in_plain_text_or_with_a_password_in_the_address_is_refused(url: str, out: Path) -> None:
    refused = policy("push", out, url)
    assert refused.exit_code == 2
    assert "u:p" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("out", ["", ".", "/", "site"])
def test_a_directory_is_no_place_for_a_bundle_and_nothing_is_left_beside_it(
    out: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.parent)
    ended = policy("build", site, "-o", out, "--revision", "1", *AT)
    assert (ended.exit_code, json.loads(ended.stderr)["code"]) == (1, "UNWRITABLE")
    assert [path.name for path in site.parent.iterdir()] == ["site"]


def test_two_keys_under_one_name_are_refused_as_the_settings_do(made: Path, tmp_path: Path) -> None:
    (_, first), (_, second) = (keygen(tmp_path / str(number), "alice") for number in range(2))
    ended = policy("verify", made, "--trusted-key", first, "--trusted-key", second)
    assert (ended.exit_code, json.loads(ended.stderr)["code"]) == (2, "KEY_TWICE")


def test_a_path_that_can_not_even_be_looked_at_is_named_with_a_reason(site: Path, tmp_path: Path) -> None:
    """`Path.is_file` raises for a name too long, or a directory that nobody may search."""
    odd = tmp_path / ("a" * 300)
    built = policy("build", site, "--out", odd, "--revision", "1", *AT)
    assert (built.exit_code, json.loads(built.stderr)["code"]) == (1, "UNWRITABLE")
    lines: tuple[list[str | Path], ...] = (
        ["diff", odd, site],
        ["diff", site, odd],
        ["replay", "--log", tmp_path, "--bundle", odd],
        ["replay", "--log", tmp_path, "--bundle", site, "--recorded", odd],
    )
    for line in lines:
        ended = policy(*line)
        assert (ended.exit_code, ended.codes) == (5, ["POLICY_UNREADABLE"])
