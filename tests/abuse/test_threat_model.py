"""The threat model names tests that exist, and no attack is left out of it by file."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "threat-model.md").read_text("utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_it_names_exists() -> None:
    assert NAMED
    missing = [
        f"{file}::{name}"
        for file, name in NAMED
        if not re.search(rf"def {name}\(", (TESTS / file).read_text("utf-8"))
    ]
    assert missing == []


def test_every_attack_of_this_directory_is_in_it() -> None:
    named = {name for _, name in NAMED}
    ours = {
        name
        for file in Path(__file__).parent.glob("test_*.py")
        if file.name != Path(__file__).name
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text("utf-8"), re.MULTILINE)
    }
    assert sorted(ours - named - FOUNDATIONS) == []


def test_each_of_the_thirty_cases_is_attacked() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", PAGE.partition("## Thirty cases")[2], re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 31))
    assert [number for number, _, tests in rows if "::test_" not in tests] == []


FOUNDATIONS = {
    "test_the_server_still_stands",
    "test_an_untouched_site_starts_again_and_verifies",
    "test_the_search_for_many_finds_each_in_every_spelling",
}
"""What the attacks rest on."""
