"""The signed bundle of a shadow: checked like one in force, asked about, and never obeyed."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fujie.app.policysection import Policy
from fujie.app.problems import CannotStart
from fujie.app.shadow import ShadowSource, shadow_policies
from fujie.policy.archive import Archive
from support.releases import ALICE, EVE, MADE, bundle, grant, policies

CRM = {"crm": frozenset[str]()}
NOW = MADE + timedelta(days=1)


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fujie.app.policysource.SETTLE_S", 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "next.fujie"
    path.write_bytes(bundle(5).encoded)
    return path


def shadow_of(file: Path, now: datetime = NOW) -> ShadowSource:
    policy = Policy(paths=(Path("p"),), shadow_bundle=file, trusted_keys=(ALICE.verifier.vkey,))
    return shadow_policies(policy, CRM, lambda: now)


def test_a_signed_shadow_is_loaded_once_and_follows_its_file_in_both_directions(file: Path) -> None:
    shadow = shadow_of(file)
    first = shadow.changed()
    assert first is not None
    assert shadow.changed() is None
    for revision in (9, 4):  # an older one too: it is only asked
        file.write_bytes(bundle(revision).encoded)
        found = shadow.changed()
        assert found is not None
        assert found.bundle.release is not None
        assert found.bundle.release.revision == revision


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (bundle(6, signers=[EVE]), "BUNDLE_SIGNERS_MISSING"),
        (bundle(6, expires=NOW), "BUNDLE_EXPIRED"),
        (bundle(6).encoded.replace(b"name: reveal", b"name: token "), "BUNDLE_INVALID"),
        (bundle(6, {**policies(), "x.yaml": grant("x", store="erp")}), "UNKNOWN_STORE"),
    ],
)
def test_a_bad_shadow_is_refused_once_and_a_good_one_is_taken_after_it(
    file: Path, archive: Archive | bytes, code: str
) -> None:
    shadow = shadow_of(file)
    file.write_bytes(archive if isinstance(archive, bytes) else archive.encoded)
    with pytest.raises(CannotStart) as refused:
        shadow.changed()
    assert [problem.code for problem in refused.value.problems] == [code]
    assert shadow.changed() is None
    file.write_bytes(bundle(7).encoded)
    assert shadow.changed() is not None


def test_a_shadow_that_is_away_is_said_and_looked_for_again(file: Path) -> None:
    shadow = shadow_of(file)
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(CannotStart):
        shadow.changed()
    file.write_bytes(content)
    assert shadow.changed() is not None
