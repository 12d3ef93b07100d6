"""The shipped policies with their tests: base alone, base with each pack, base with all of them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fujie.decision.decider import Decider
from fujie.model.policy_test import PolicyTest
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.policy.policy_tests import read_tests

POLICIES = Path(__file__).parents[2] / "policies"
PACKS = tuple(sorted(path.name for path in (POLICIES / "packs").iterdir() if path.is_dir()))


@cache
def files(packs: tuple[str, ...]) -> Mapping[str, bytes]:
    """Return base and these packs, tests included, by path below the folder of policies."""
    folders = [POLICIES / "base", *(POLICIES / "packs" / pack for pack in packs)]
    return {
        str(path.relative_to(POLICIES)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*.yaml"))
    }


@cache
def bundle(packs: tuple[str, ...]) -> Bundle:
    found = compile_bundle(files(packs))
    assert isinstance(found, Bundle), "\n".join(map(str, found))
    return found


@cache
def decider(packs: tuple[str, ...]) -> Decider:
    return Decider(bundle(packs))


@cache
def policy_tests(packs: tuple[str, ...]) -> tuple[PolicyTest, ...]:
    """Return every PolicyTest of base and these packs, read against their bundle."""
    found = read_tests(files(packs), bundle(packs))
    tests = tuple(each for each in found if isinstance(each, PolicyTest))
    assert len(tests) == len(found), "\n".join(map(str, found))
    return tests
