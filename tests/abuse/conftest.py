"""One server for each module: attacks on one leave the others alone."""

from collections.abc import Iterator

import pytest

from abuse.target import Target, create_site, running


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running(create_site(tmp_path_factory.mktemp("abuse") / "site")) as started:
        yield started


@pytest.fixture(autouse=True)
def _only_new_entries(request: pytest.FixtureRequest) -> None:
    """Let every attack start with nothing unseen in the log."""
    if "target" in request.fixturenames:
        found: Target = request.getfixturevalue("target")
        found.new()
