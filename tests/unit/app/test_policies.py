"""Policy files: one generation at a time, taken whole or not at all, and the last good one stays."""

import asyncio
import gc
import os
import shutil
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.policies import PolicyFiles, announce, compiled, follow, giving_way, read_files, unmapped
from fujie.app.problems import CannotStart
from fujie.policy.source import MAX_FILE_BYTES

HEAD = "apiVersion: fujie.dev/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
CATALOG = HEAD.format(kind="FieldCatalog", name="base") + (
    "  classes: {person_name: {level: 2}}\n  fields: {name: {class: person_name}}\n"
    "  attributes: {customer: {minor: {type: bool}, vip: {type: bool}}}\n"
)
PURPOSES = HEAD.format(kind="Purposes", name="base") + (
    "  purposes:\n    - {id: care, label: {zh: 服务, en: Care}, bases: {contract: {}}}\n"
)
BROKEN = "kind: [\n"


def grant(name: str, store: str = "crm", condition: str = "true") -> str:
    return HEAD.format(kind="Grant", name=name) + (
        f"  match: {{actions: [lookup], stores: [{store}]}}\n  roles: [support]\n  purposes: [care]\n"
        f"  condition: '{condition}'\n  fields: {{name: reveal}}\n"
    )


CRM = {"crm": frozenset({"minor"})}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    home = tmp_path / "policies"
    home.mkdir()
    (home / "base.yaml").write_text(f"{CATALOG}---\n{PURPOSES}", "utf-8")
    (home / "grant.yaml").write_text(grant("a"), "utf-8")
    return home


def problems(load: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(CannotStart) as refused:
        load()
    return [(problem.code, problem.place) for problem in refused.value.problems]


def test_files_below_every_path_are_read_and_hidden_ones_are_not(directory: Path) -> None:
    (directory / "pack").mkdir()
    (directory / "pack" / "more.yml").write_text("# nothing yet", "utf-8")
    (directory / ".swp.yaml").write_text(BROKEN, "utf-8")
    (directory / "..2026").mkdir()
    (directory / "..2026" / "old.yaml").write_text(BROKEN, "utf-8")
    (directory / "notes.txt").write_text(BROKEN, "utf-8")
    single = directory.parent / "single"
    single.write_text("# nothing yet", "utf-8")
    names = [str(directory / name) for name in ("base.yaml", "grant.yaml", "pack/more.yml")]
    assert list(read_files([directory, single])) == [*names, str(single)]


def mount(volume: Path, generation: str, files: dict[str, str]) -> None:
    """Swap in a generation as the kubelet does: a new directory, then one rename of the link `..data`."""
    home = volume / f"..{generation}"
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, "utf-8")
        top = volume / name.split("/", 1)[0]
        if not top.is_symlink():
            top.symlink_to(Path("..data", top.name))
    (volume / "..data_tmp").symlink_to(home.name)
    (volume / "..data_tmp").rename(volume / "..data")


def test_a_swapped_config_map_is_noticed_also_below_a_linked_directory(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    files = {"base.yaml": f"{CATALOG}---\n{PURPOSES}", "pack/grant.yaml": grant("a")}
    mount(volume, "1", files)
    policies = PolicyFiles([volume], CRM)
    assert policies.changed() is None
    mount(volume, "2", {**files, "pack/grant.yaml": grant("b")})
    shutil.rmtree(volume / "..1")
    changed = policies.changed()
    assert changed is not None
    assert [each.name for each in changed.bundle.grants] == ["b"]


def test_links_in_a_circle_are_walked_once(directory: Path) -> None:
    (directory / "loop").symlink_to(directory)
    assert len(read_files([directory])) == 2


def test_paths_without_policies_are_all_named(directory: Path) -> None:
    empty = directory.parent / "empty"
    empty.mkdir()
    none = directory.parent / "none"
    assert problems(lambda: PolicyFiles([directory, empty, none], CRM)) == [
        ("POLICY_MISSING", str(empty)),
        ("POLICY_UNREADABLE", str(none)),
    ]


def test_every_problem_of_every_file_is_listed_with_its_place(directory: Path) -> None:
    (directory / "bad.yaml").write_text(BROKEN, "utf-8")
    (directory / "grant.yaml").write_text(grant("a", condition="customer.minr"), "utf-8")
    found = problems(lambda: PolicyFiles([directory], CRM))
    assert {place.rpartition("/")[2].split(":")[0] for _, place in found} == {"bad.yaml", "grant.yaml"}


def test_a_store_that_is_not_configured_is_a_problem_at_the_rule(directory: Path) -> None:
    (directory / "grant.yaml").write_text(grant("a", store="erp"), "utf-8")
    ((code, place),) = problems(lambda: PolicyFiles([directory], CRM))
    assert code == "UNKNOWN_STORE"
    assert place.startswith(f"{directory.name}/grant.yaml:")  # no path of this machine, which clients see


def test_attributes_that_rules_read_and_no_store_maps_are_named(directory: Path) -> None:
    (directory / "grant.yaml").write_text(grant("a", condition="customer.minor || customer.vip"), "utf-8")
    assert unmapped(PolicyFiles([directory], CRM).current.bundle, CRM) == ["customer.vip"]


def test_the_same_files_are_compiled_once_and_bad_ones_are_told_once(directory: Path) -> None:
    policies = PolicyFiles([directory], CRM)
    first = policies.current
    assert policies.changed() is None
    (directory / "grant.yaml").write_text(BROKEN, "utf-8")
    problems(policies.changed)
    assert policies.changed() is None
    shutil.rmtree(directory)
    assert problems(policies.changed) == [("POLICY_UNREADABLE", str(directory))]
    assert policies.changed() is None
    assert policies.current is first


async def passed(says: Callable[[], bool]) -> None:
    """Wait until it is so; the suite's own limit ends what never comes."""
    async with asyncio.timeout(60):
        while not says():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(
    policies: PolicyFiles, metrics: PrometheusMetrics, every_s: float, now: asyncio.Event
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(follow(policies, metrics, every_s, now))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def counted(metrics: PrometheusMetrics, name: str) -> float:
    value = metrics._registry.get_sample_value(name)
    assert value is not None
    return value


REFUSALS = "fujie_bundle_reload_failures_total"


def replace_grant(directory: Path, text: str) -> None:
    """Put another file in place whole: who follows may look between the truncating and the writing of one."""
    beside = directory / "grant.new"
    beside.write_text(text, "utf-8")
    beside.replace(directory / "grant.yaml")


async def test_a_bad_bundle_keeps_the_last_good_one_and_a_good_one_follows(directory: Path) -> None:
    policies, metrics = PolicyFiles([directory], CRM), PrometheusMetrics("0", "engine")
    first = policies.current
    announce(policies, metrics)
    async with following(policies, metrics, 0.02, asyncio.Event()) as task:
        replace_grant(directory, BROKEN)
        await passed(lambda: counted(metrics, REFUSALS) == 1 and policies.is_refused)
        assert policies.current is first
        replace_grant(directory, grant("b"))
        await passed(lambda: policies.current is not first)
        assert [each.name for each in policies.current.bundle.grants] == ["b"]
        assert not policies.is_refused
        shutil.copytree(directory, directory.with_name("kept"))
        shutil.rmtree(directory)
        await passed(lambda: counted(metrics, REFUSALS) == 2 and policies.is_refused)
        shutil.move(directory.with_name("kept"), directory)
        await passed(lambda: not policies.is_refused)  # nothing new, and nothing wrong any more
        assert not task.done()


async def test_when_the_files_were_last_in_order_is_shown_and_stands_still_while_they_are_not(
    directory: Path,
) -> None:
    policies, metrics, now = (
        PolicyFiles([directory], CRM),
        PrometheusMetrics("0", "engine"),
        asyncio.Event(),
    )
    announce(policies, metrics)
    checked = "fujie_bundle_last_check_timestamp_seconds"
    async with following(policies, metrics, 0.02, now):
        started = counted(metrics, checked)
        await passed(lambda: counted(metrics, checked) > started)
        replace_grant(directory, BROKEN)
        await passed(lambda: counted(metrics, REFUSALS) == 1)
        stands = counted(metrics, checked)
        for _ in range(3):
            now.set()
            await passed(lambda: not now.is_set())
        assert not policies.in_order
        assert counted(metrics, checked) == stands
        replace_grant(directory, grant("b"))
        await passed(lambda: counted(metrics, checked) > stands)
    assert policies.in_order


def test_compiling_gives_way_and_leaves_the_interpreter_as_it_was() -> None:
    before, during = sys.getswitchinterval(), []

    def compile_badly() -> None:
        with giving_way():
            during.append((sys.getswitchinterval() < before, gc.isenabled()))
            raise RecursionError

    with pytest.raises(RecursionError):
        compile_badly()
    assert during == [(True, False)]
    assert (sys.getswitchinterval(), gc.isenabled()) == (before, True)


def test_a_bundle_that_was_replaced_is_freed_without_a_collection(directory: Path) -> None:
    """What `giving_way` rests on: it freezes what was made, and nobody would collect a circle."""
    policies = PolicyFiles([directory], CRM)
    gone = weakref.ref(policies.current.bundle.engine)
    (directory / "grant.yaml").write_text(grant("b"), "utf-8")
    changed = policies.changed()
    assert changed is not None
    with giving_way():
        policies.current = changed
        assert gone() is None


async def test_asking_reloads_at_once(directory: Path) -> None:
    policies, now = PolicyFiles([directory], CRM), asyncio.Event()
    first = policies.current
    async with following(policies, PrometheusMetrics("0", "engine"), 3600, now):
        replace_grant(directory, grant("b"))
        now.set()
        await passed(lambda: policies.current is not first)


async def test_a_compiler_that_fails_by_itself_stops_neither_the_gate_nor_the_watch(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies, metrics = PolicyFiles([directory], CRM), PrometheusMetrics("0", "engine")
    first = policies.current

    def fails(files: object) -> None:
        raise RecursionError("13800138000")

    async with following(policies, metrics, 0.02, asyncio.Event()) as task:
        with monkeypatch.context() as patch:
            patch.setattr("fujie.app.policies.compile_bundle", fails)
            replace_grant(directory, grant("b"))
            await passed(lambda: counted(metrics, REFUSALS) == 1)
        assert policies.current is first
        assert not task.done()
        replace_grant(directory, grant("c"))
        await passed(lambda: policies.current is not first)


def test_an_empty_file_is_a_half_written_one(directory: Path) -> None:
    policies = PolicyFiles([directory], CRM)
    (directory / "grant.yaml").write_bytes(b"")  # what an editor leaves between truncating and writing
    assert [code for code, _ in problems(policies.changed)] == ["POLICY_EMPTY"]
    assert policies.changed() is None, "said once"


def test_a_pipe_is_refused_and_not_waited_for(directory: Path) -> None:
    os.mkfifo(directory / "pipe.yaml")
    with pytest.raises(CannotStart) as refusal:
        read_files([directory])
    assert [(problem.code, problem.message) for problem in refusal.value.problems] == [
        ("POLICY_UNREADABLE", "not a regular file")
    ]


def test_no_more_of_a_huge_file_is_read_than_shows_that_it_is_too_large(directory: Path) -> None:
    with (directory / "huge.yaml").open("wb") as huge:
        huge.truncate(2**40)  # a hole: it takes no room on the disk
    files = read_files([directory])
    assert len(files[str(directory / "huge.yaml")]) == MAX_FILE_BYTES + 1
    with pytest.raises(CannotStart) as refusal:
        compiled(files)
    assert {problem.code for problem in refusal.value.problems} == {"FILE_TOO_LARGE"}
