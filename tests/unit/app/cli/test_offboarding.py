"""Times of the directory's commands: with a zone, and within what a timestamp holds."""

from pathlib import Path

import pytest
import typer

from fujie.app.cli.connection import Server
from fujie.app.cli.offboarding import moment
from fujie.app.cli.output import Exit, Format

SERVER = Server("127.0.0.1:1", Path("token"), None, Format.TABLE)


@pytest.mark.parametrize(
    "text", ["lately", "2027-01-31T18:00:00", "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00"]
)
def test_a_time_that_is_none_ends_the_command(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        moment(SERVER, text, "--at")
    assert ended.value.exit_code == Exit.USAGE
    assert "--at is a time with its zone" in capsys.readouterr().err


def test_a_time_is_read_with_its_zone() -> None:
    found = moment(SERVER, "2027-01-31T18:00:00+08:00", "--at")
    assert found is not None
    assert found.ToJsonString() == "2027-01-31T10:00:00Z"
    assert moment(SERVER, "", "--at") is None
