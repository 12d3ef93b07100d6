"""Signed policies under the gate: the last good bundle stays whatever its source does, and no older one comes back."""

import asyncio
import itertools
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.bundlestate import BundleState
from fujie.app.policies import AWAY, announce, follow
from fujie.app.policysource import BundleFile, Found, Source
from fujie.app.problems import CannotStart, Problem
from fujie.app.signedbundle import Trust
from fujie.app.signedpolicies import SignedPolicies
from fujie.audit.checkpoint import Signer
from fujie.policy.archive import Archive, Manifest, build
from support.releases import ALICE, BOB, EVE, MADE, bundle, grant, policies

CRM = {"crm": frozenset[str]()}
NOW = MADE + timedelta(days=1)


class Site:
    """A place that holds a bundle, a state directory, and the time."""

    def __init__(self, root: Path) -> None:
        self.path, self.state = root / "bundle.fujie", root / "state"
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def put(self, archive: Archive | bytes) -> None:
        content = archive if isinstance(archive, bytes) else archive.encoded
        new = self.path.with_name("new")
        new.write_bytes(content)
        new.replace(self.path)

    def start(
        self,
        source: Source | None = None,
        *,
        needed: int = 1,
        signers: tuple[Signer, ...] = (ALICE, BOB),
        may_go_back: bool = False,
    ) -> SignedPolicies:
        trust = Trust.of([signer.verifier.vkey for signer in signers], needed)
        state = BundleState(self.state, may_go_back=may_go_back)
        return SignedPolicies(source or BundleFile(self.path), trust, state, CRM, self.now)


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fujie.app.policysource.SETTLE_S", 0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.put(bundle(5))
    return made


def codes(act: Callable[[], object]) -> list[str]:
    with pytest.raises(CannotStart) as refused:
        act()
    return [problem.code for problem in refused.value.problems]


def revision(policies: SignedPolicies) -> int:
    release = policies.current.bundle.release
    return release.revision if release else 0


def take(policies: SignedPolicies) -> int:
    """Look, and take over what there is; return its revision."""
    decider = policies.changed()
    assert decider is not None
    policies.current = decider
    return revision(policies)


def test_a_newer_bundle_follows_and_the_same_one_is_not_compiled_again(site: Site) -> None:
    policies = site.start()
    assert policies.changed() is None
    site.put(bundle(9))
    assert take(policies) == 9
    assert policies.changed() is None
    assert policies.in_order


BAD: dict[str, tuple[Archive | bytes, str]] = {
    "unsigned": (bundle(6, signers=[]), "BUNDLE_SIGNERS_MISSING"),
    "signed by nobody we trust": (bundle(6, signers=[EVE]), "BUNDLE_SIGNERS_MISSING"),
    "tampered": (bundle(6).encoded.replace(b"name: reveal", b"name: token "), "BUNDLE_INVALID"),
    "cut off": (bundle(6).encoded[:-1], "BUNDLE_INVALID"),
    "empty": (b"", "BUNDLE_INVALID"),
    "a page": (b"<html>", "BUNDLE_INVALID"),
    "ended": (bundle(6, expires=NOW), "BUNDLE_EXPIRED"),
    "older": (bundle(4), "BUNDLE_OLDER"),
    "of the same revision": (bundle(5, policies("b")), "BUNDLE_REVISION_REUSED"),
    "of another store": (bundle(6, {**policies(), "x.yaml": grant("x", store="erp")}), "UNKNOWN_STORE"),
}


@pytest.mark.parametrize(("bad", "code"), BAD.values(), ids=BAD)
def test_a_bad_bundle_is_refused_once_and_the_last_good_one_stays_across_a_restart(
    bad: Archive | bytes, code: str, site: Site
) -> None:
    policies = site.start()
    site.put(bad)
    assert codes(policies.changed) == [code]
    assert policies.changed() is None, "said once"
    assert (revision(policies), policies.in_order) == (5, False)
    again = site.start()
    assert (revision(again), again.in_order) == (5, False)
    assert codes(again.changed) == [code], "said by the new process too"
    site.put(bundle(7))
    assert take(again) == 7
    assert again.in_order


def test_the_good_bundle_back_in_its_place_is_in_order(site: Site) -> None:
    policies = site.start()
    site.put(bundle(4))
    codes(policies.changed)
    site.put(bundle(5))
    assert take(policies) == 5
    assert policies.in_order


@pytest.mark.parametrize(("bad", "code"), BAD.values(), ids=BAD)
def test_a_first_start_without_a_good_bundle_is_refused(
    bad: Archive | bytes, code: str, tmp_path: Path
) -> None:
    fresh = Site(tmp_path)
    fresh.put(bad)
    if code in ("BUNDLE_OLDER", "BUNDLE_REVISION_REUSED"):
        assert fresh.start().in_order  # nothing was in force before
    else:
        assert codes(fresh.start) == [code]
        assert not any(fresh.state.iterdir()), "what is not good is not kept"


def test_a_rollback_is_refused_after_a_restart_and_after_another_worker_went_ahead(site: Site) -> None:
    slow, fast = site.start(), site.start()
    site.put(bundle(8))
    assert take(fast) == 8
    site.put(bundle(6))
    assert codes(slow.changed) == ["BUNDLE_OLDER"], (
        "it is newer than this worker's and older than the server's"
    )
    assert revision(slow) == 5
    again = site.start()
    assert revision(again) == 8
    assert codes(again.changed) == ["BUNDLE_OLDER"]


def test_another_signature_on_the_bundle_in_force_is_no_other_bundle(site: Site) -> None:
    policies = site.start()
    site.put(bundle(5, signers=[ALICE, BOB]))
    assert take(policies) == 5
    assert policies.current.bundle.release is not None
    assert policies.current.bundle.release.signers == ("alice", "bob")


def test_an_older_bundle_comes_back_only_by_the_unsafe_setting(site: Site) -> None:
    site.start()
    site.put(bundle(3))
    assert revision(site.start()) == 5
    assert revision(site.start(may_go_back=True)) == 3
    assert revision(site.start()) == 3, "and is then the one that nothing may be older than"


def test_what_is_kept_is_verified_again(site: Site) -> None:
    site.start(needed=1)
    site.path.unlink()
    assert revision(site.start()) == 5
    refused = ["POLICY_UNREADABLE", "BUNDLE_SIGNERS_MISSING"]
    assert codes(lambda: site.start(needed=2)) == refused
    assert codes(lambda: site.start(signers=(BOB, EVE))) == refused
    kept = site.state / "last.fujie"
    content = kept.read_bytes()
    for place in range(0, len(content), 41):
        kept.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CannotStart):
            site.start()
    kept.write_bytes(content)
    assert revision(site.start()) == 5


def test_a_kept_bundle_that_can_not_be_read_closes_since_nothing_says_what_is_older(site: Site) -> None:
    policies = site.start()
    (site.state / "last.fujie").write_bytes(b"")
    assert codes(site.start) == ["POLICY_STATE_INVALID", "BUNDLE_INVALID"]
    site.put(bundle(6))
    assert codes(policies.changed) == ["POLICY_STATE_INVALID"]
    assert revision(policies) == 5
    assert revision(site.start(may_go_back=True)) == 6
    assert take(policies) == 6, "tried again, since nothing is wrong with the bundle"


def test_who_loses_the_kept_bundle_while_it_runs_takes_no_older_one(site: Site) -> None:
    policies_ = site.start()
    (site.state / "last.fujie").unlink()
    site.put(bundle(4))
    assert codes(policies_.changed) == ["BUNDLE_OLDER"]
    site.put(bundle(5, policies("b")))
    assert codes(policies_.changed) == ["BUNDLE_REVISION_REUSED"]
    site.put(bundle(6))
    assert take(policies_) == 6
    assert BundleState(site.state).last() == bundle(6).encoded


def test_a_good_bundle_that_a_clock_running_ahead_refused_is_taken_when_the_clock_is_right(
    site: Site,
) -> None:
    policies_ = site.start()
    site.put(bundle(6, expires=NOW + timedelta(days=5)))
    site.time = NOW + timedelta(days=10)
    assert codes(policies_.changed) == ["BUNDLE_EXPIRED"]
    assert policies_.changed() is None, "said once"
    site.time = NOW
    assert take(policies_) == 6


def test_a_state_directory_that_takes_nothing_keeps_the_bundle_before(site: Site) -> None:
    policies = site.start()
    shutil.rmtree(site.state)
    site.state.write_text("a file")
    site.put(bundle(6))
    assert codes(policies.changed) == ["POLICY_STATE_UNUSABLE"]
    assert revision(policies) == 5
    assert codes(site.start) == ["POLICY_STATE_UNUSABLE"]
    site.state.unlink()
    site.state.mkdir()
    assert take(policies) == 6


def test_a_bundle_that_ends_closes_the_gate_at_that_instant(site: Site) -> None:
    site.put(bundle(6, expires=NOW + timedelta(hours=1)))
    policies = site.start()
    assert (len(policies.current.bundle.grants), policies.is_expired) == (1, False)
    site.time = NOW + timedelta(hours=1)
    assert (len(policies.current.bundle.grants), policies.is_expired) == (0, True)
    assert not policies.in_order
    site.path.unlink()
    assert codes(site.start) == ["POLICY_UNREADABLE", "BUNDLE_EXPIRED"]
    site.put(bundle(7))
    assert take(policies) == 7
    assert (len(policies.current.bundle.grants), policies.is_expired) == (1, False)


def test_a_file_swapped_as_the_kubelet_does_is_followed(site: Site, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for generation, archive in ((1, bundle(6)), (2, bundle(7))):
        (volume / f"..{generation}").mkdir(parents=True)
        (volume / f"..{generation}" / "bundle.fujie").write_bytes(archive.encoded)
    (volume / "..data").symlink_to("..1")
    (volume / "bundle.fujie").symlink_to("..data/bundle.fujie")
    policies = site.start(BundleFile(volume / "bundle.fujie"))
    (volume / "..tmp").symlink_to("..2")
    (volume / "..tmp").rename(volume / "..data")
    shutil.rmtree(volume / "..1")
    assert take(policies) == 7


def test_a_file_that_is_still_being_copied_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bundle(6).encoded
    policies = site.start()
    written = itertools.chain((len(whole) // 2, len(whole) - 1), itertools.repeat(len(whole)))
    site.path.write_bytes(b"")
    monkeypatch.setattr(
        "fujie.app.policysource.time.sleep", lambda _s: site.path.write_bytes(whole[: next(written)])
    )
    assert take(policies) == 6


class Web:
    """What an address holds, as a source; `says` decides over every answer."""

    def __init__(self, says: Callable[[str], Found]) -> None:
        self.says = says
        self.tags: list[str] = []

    def __call__(self, tag: str) -> Found:
        self.tags.append(tag)
        return self.says(tag)


def whole(archive: Archive, tag: str = "") -> Callable[[str], Found]:
    return lambda _tag: Found(archive.encoded, tag)


def test_only_what_is_in_force_is_asked_for_conditionally(site: Site) -> None:
    web = Web(whole(bundle(5), '"5"'))
    policies = site.start(web)
    web.says = lambda tag: Found(None, tag)
    assert policies.changed() is None
    web.says = whole(bundle(6, signers=[]), '"6"')
    assert codes(policies.changed) == ["BUNDLE_SIGNERS_MISSING"]
    web.says = whole(bundle(7), '"7"')
    assert take(policies) == 7
    policies.changed()
    assert web.tags == ["", '"5"', '"5"', '"5"', '"7"'], "what was refused is never taken for unchanged"


def test_a_bad_bundle_that_is_taken_back_leaves_everything_in_order(site: Site) -> None:
    web = Web(whole(bundle(5), '"5"'))
    policies = site.start(web)
    web.says = whole(bundle(4), '"4"')
    codes(policies.changed)
    web.says = lambda tag: Found(None, tag)
    assert policies.changed() is None
    assert policies.in_order
    web.says = whole(bundle(4), '"4"')
    assert codes(policies.changed) == ["BUNDLE_OLDER"], "said again, since it was away in between"


def test_a_source_that_is_away_is_said_once_and_changes_nothing(site: Site) -> None:
    web = Web(whole(bundle(5), '"5"'))
    policies = site.start(web)
    site.path = site.path.with_name("none")
    away = BundleFile(site.path)
    web.says = away
    assert codes(policies.changed) == ["POLICY_UNREADABLE"]
    for _ in range(20):
        assert policies.changed() is None
    assert (revision(policies), policies.in_order) == (5, False)
    web.says = lambda tag: Found(None, tag)
    assert policies.changed() is None
    assert policies.in_order


async def test_many_reloads_during_many_calls_change_every_call_at_once(site: Site) -> None:
    """A call takes `current` once: grants and revision of what it took always belong together."""
    serving, metrics, now = site.start(), PrometheusMetrics("0", "engine"), asyncio.Event()
    announce(serving, metrics)
    following = asyncio.create_task(follow(serving, metrics, 3600, now))
    torn, stop = [], threading.Event()

    def call() -> None:
        while not stop.is_set():
            taken = serving.current.bundle
            release = taken.release
            names = [grant.name for grant in taken.grants]
            if release is None or names not in ([f"g{release.revision}"], ["a"]):
                torn.append(names)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for each in callers:
        each.start()
    try:
        async with asyncio.timeout(60):
            for number in range(6, 12):
                site.put(bundle(number, policies(f"g{number}")))
                now.set()
                while revision(serving) != number:  # noqa: ASYNC110 - what is waited for sets no event
                    await asyncio.sleep(0.01)
    finally:
        stop.set()
        for each in callers:
            each.join()
        following.cancel()
        await asyncio.wait([following])
    assert torn == []
    assert metrics.registry.get_sample_value("fujie_bundle_revision") == 11
    assert metrics.registry.get_sample_value("fujie_bundle_reload_failures_total") == 0


async def test_a_start_with_the_kept_bundle_says_at_once_why(site: Site) -> None:
    site.start()
    site.put(bundle(4))
    behind, metrics = site.start(), PrometheusMetrics("0", "engine")
    announce(behind, metrics)
    assert metrics.registry.get_sample_value("fujie_bundle_last_check_timestamp_seconds") == 0
    following = asyncio.create_task(follow(behind, metrics, 3600, asyncio.Event()))
    async with asyncio.timeout(60):
        while not metrics.registry.get_sample_value("fujie_bundle_reload_failures_total"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert behind.is_refused
    following.cancel()
    await asyncio.wait([following])


async def test_a_source_that_is_away_counts_as_no_refusal(site: Site) -> None:
    web = Web(whole(bundle(5), '"5"'))
    gone, metrics, now = site.start(web), PrometheusMetrics("0", "engine"), asyncio.Event()
    asked = threading.Event()

    def away(_tag: str) -> Found:
        asked.set()
        raise CannotStart([Problem(AWAY, "answered 500")])

    web.says = away
    following = asyncio.create_task(follow(gone, metrics, 3600, now))
    now.set()
    async with asyncio.timeout(60):
        while gone.in_order:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.wait([following])
    assert asked.is_set()
    assert not gone.is_refused
    assert metrics.registry.get_sample_value("fujie_bundle_reload_failures_total") == 0


def test_a_compiler_that_fails_by_itself_is_asked_once_per_bundle(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = site.start()
    site.put(bundle(6))

    def fails(files: object) -> None:
        raise RecursionError

    with monkeypatch.context() as patch:
        patch.setattr("fujie.app.policies.compile_bundle", fails)
        with pytest.raises(RecursionError):
            policies.changed()
        assert policies.changed() is None
    assert (revision(policies), policies.in_order) == (5, False)
    site.put(bundle(7))
    assert take(policies) == 7


def test_two_workers_that_keep_at_once_leave_the_newest(site: Site) -> None:
    state = BundleState(site.state)
    archives = [bundle(number, signers=[ALICE]) for number in range(1, 9)]
    refused: list[str] = []

    def keep(archive: Archive) -> None:
        try:
            state.keep(archive)
        except CannotStart as error:
            refused.append(error.problems[0].code)

    threads = [threading.Thread(target=keep, args=[archive]) for archive in reversed(archives)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert state.last() == archives[-1].encoded
    assert set(refused) <= {"BUNDLE_OLDER"}


def test_the_kept_bundle_is_for_its_owner_alone(site: Site) -> None:
    site.start()
    kept = site.state / "last.fujie"
    assert (kept.stat().st_mode & 0o777, site.state.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in site.state.iterdir()] == ["last.fujie"]


def test_a_bundle_that_says_another_digest_is_refused(site: Site) -> None:
    policies_ = site.start()
    lied = build(Manifest("sha256:" + "0" * 64, 6, MADE), policies())
    site.put(replace(lied, lines=(ALICE.endorse(lied.note),)))
    assert codes(policies_.changed) == ["BUNDLE_DIGEST_DIFFERS"]
