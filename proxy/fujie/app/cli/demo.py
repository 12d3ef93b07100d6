"""`fujie demo`: the main job, for real, as a story."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from fujie.app.cli.campaign_progress import settled, watching
from fujie.app.cli.messages import plain
from fujie.app.cli.output import Format

if TYPE_CHECKING:  # the story imports grpc, which --help need not wait for
    from fujie.app.demo.cast import Scene
    from fujie.v1 import messaging_service_pb2 as messaging_v1

_INDENT = " " * 5
_EVERY = 1_000
_NIGHT = (
    "It is night in China, and marketing waits for the morning: the demo's copy of the guard is opened."
    " 现为中国夜间，营销短信本应推迟；演示已放开其策略副本中的时段限制。"
)


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where the site is made; what was there is removed.")
    ] = Path(".demo"),
    *,
    keep_serving: Annotated[
        bool, typer.Option("--keep-serving", help="Stay up after the story, to be called.")
    ] = False,
) -> None:
    """Make a store of 10,000 synthetic customers, start the server, and watch the gate work: look-ups, consents, a
    campaign of 5,000 messages that go into a file and nowhere else, and an export whose maker leaves.

    Leaves the whole site behind: configuration, keys, tokens, policies, log and store. Exit code 0
    when every scene came out as expected, 1 otherwise.
    """
    from fujie.app.demo.campaign import let_send
    from fujie.app.demo.cast import ROLES
    from fujie.app.demo.server import ServerFailed, running
    from fujie.app.demo.site import create_site, is_served
    from fujie.app.demo.story import scenes

    console = Console(highlight=False, soft_wrap=True)
    directory = directory.absolute()
    if directory.exists() and not (directory / "fujie.yaml").exists() and any(directory.iterdir()):
        _stop(f"{directory} is not empty and not a demo; choose another --dir")
    if is_served(directory):
        _stop(f"{directory} is being served; stop that server, or choose another --dir")
    now = datetime.now(UTC)
    site = create_site(directory, tuple(ROLES), now)
    is_night = let_send(site, now)
    console.print(
        Text.assemble(
            ("fujie 符节", "bold"),
            f"  a gate for personal data · 10,000 synthetic customers in {_short(site.root)}",
        )
    )
    if is_night:
        console.print(Text(_NIGHT))
    good = True
    try:
        with running(site, site.root / "server.log"), tempfile.TemporaryDirectory() as scratch:
            for number, scene in enumerate(
                scenes(site, Path(scratch) / "copy", partial(_watching, console)), 1
            ):
                _show(console, number, scene)
                good = good and scene.good
            if keep_serving:
                _invite(console, site.grpc, _short(site.root))
                _wait()
    except ServerFailed as failure:
        Console(stderr=True).print(Text(f"the server did not start:\n{failure}"))
        raise typer.Exit(1) from None
    if not keep_serving:
        console.print(
            f"All of it lies in {_short(site.root)}; `fujie demo --keep-serving` stays up to be called."
        )
    raise typer.Exit(0 if good else 1)


def _stop(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(Text(message))
    raise typer.Exit(2)


def _show(console: Console, number: int, scene: "Scene") -> None:
    head = Text.assemble(
        (f"{number:>2}  ", "dim"), (scene.who, "bold cyan"), f"  {scene.asks}", (f"  {scene.zh}", "dim")
    )
    console.print(head)
    mark, style = ("✓ ", "green") if scene.opened else ("✗ ", "yellow")
    for line in scene.answers:
        console.print(Text.assemble(_INDENT, (mark, style), line))
        mark = "  "
    if not scene.good:
        console.print(Text(f"{_INDENT}this is not what the demo expects", style="bold red"))


@contextmanager
def _watching(console: Console) -> "Iterator[Callable[[messaging_v1.Campaign], None]]":
    """Show a campaign as `fujie campaign watch` does: a bar; in a pipe a line for every thousand."""
    told = -_EVERY

    def line(campaign: "messaging_v1.Campaign") -> None:
        nonlocal told
        done = settled(plain(campaign))
        if done >= told + _EVERY or done == campaign.recipients:
            told = done - done % _EVERY
            console.print(Text(f"{_INDENT}  {done:,} of {campaign.recipients:,}"))

    if not console.is_terminal:
        yield line
        return
    with watching(Format.TABLE) as shown:
        yield lambda campaign: shown(plain(campaign))


def _invite(console: Console, address: str, root: str) -> None:
    console.print(
        Text(
            f"""
Serving on {address} until Ctrl-C. From another shell:

  fujie lookup C00001 --store crm --fields name,phone --purpose after_sales --basis contract \\
    --basis-evidence order-7 --address {address} --token-file {root}/tokens/support-agent.jwt

  grpcurl -plaintext -H "authorization: Bearer $(cat {root}/tokens/support-agent.jwt)" -d '{{
    "customer": {{"store_key": {{"store": "crm", "customer_id": "C00001"}}}}, "read_mask": "name,phone",
    "context": {{"purpose": "after_sales", "basis": "contract", "basis_evidence": "order-7"}}}}' \\
    {address} fujie.v1.CustomerDataService/LookupCustomer

Edit {root}/policies: a good bundle is in force within three seconds, a bad one is refused whole."""
        )
    )


def _wait() -> None:
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    signal.sigwait(stop)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
