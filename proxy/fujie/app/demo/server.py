"""The real server as a real process."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from fujie.app.demo.site import Site, is_served

_START_S = 30.0
_STOP_S = 15.0


class ServerFailed(Exception):
    """The server did not become ready. The text is the end of its log."""


@contextmanager
def running(site: Site, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start `fujie serve` for `site` and stop it at the end; its output goes to `log`.

    Raises:
        ServerFailed: it ended, or was not ready within 30 s.

    """
    with log.open("wb") as output:
        command = [sys.executable, "-m", "fujie", "serve", "--config", str(site.config)]
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)  # noqa: S603 - our own module
        try:
            _wait_until_ready(site, process, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def get(address: str, path: str) -> str:
    """Return the body of `http://address/path`; empty when there is no good answer."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as response:
            body: bytes = response.read()
    except (urllib.error.URLError, OSError):
        return ""
    return body.decode()


def _wait_until_ready(site: Site, process: subprocess.Popen[bytes], log: Path) -> None:
    until = monotonic() + _START_S
    # Who started another server here meanwhile would answer for this one, which is still about to fail.
    while not (is_served(site.root) and get(site.http, "/readyz")):
        if process.poll() is not None or monotonic() > until:
            raise ServerFailed("\n".join(log.read_text("utf-8", "replace").splitlines()[-20:]))
        sleep(0.05)
