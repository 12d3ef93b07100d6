"""`fujie demo`: the main job, for real, on one screen."""

import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:  # the story imports grpc, which --help need not wait for
    from fujie.app.demo.story import Scene

_INDENT = " " * 5


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where the site is made; what was there is removed.")
    ] = Path(".demo"),
    *,
    keep_serving: Annotated[
        bool, typer.Option("--keep-serving", help="Stay up after the story, to be called.")
    ] = False,
) -> None:
    """Make a store of 10,000 synthetic customers, start the server, and watch the gate work.

    Leaves the whole site behind: configuration, keys, tokens, policies, log and store. Exit code 0
    when every scene came out as expected, 1 otherwise.
    """
    from fujie.app.demo.server import ServerFailed, running
    from fujie.app.demo.site import create_site, is_served
    from fujie.app.demo.story import ROLES, scenes

    console = Console(highlight=False, soft_wrap=True)
    directory = directory.absolute()
    if directory.exists() and not (directory / "fujie.yaml").exists() and any(directory.iterdir()):
        _stop(f"{directory} is not empty and not a demo; choose another --dir")
    if is_served(directory):
        _stop(f"{directory} is being served; stop that server, or choose another --dir")
    site = create_site(directory, tuple(ROLES), datetime.now(UTC))
    console.print(
        Text.assemble(
            ("fujie 符节", "bold"),
            f"  a gate for personal data · 10,000 synthetic customers in {_short(site.root)}",
        )
    )
    good = True
    try:
        with running(site, site.root / "server.log"), tempfile.TemporaryDirectory() as scratch:
            for number, scene in enumerate(scenes(site, Path(scratch) / "copy"), 1):
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
    head = Text.assemble((f"{number:>2}  ", "dim"), (scene.who, "bold cyan"), f"  {scene.asks}")
    console.print(head)
    mark, style = ("✓ ", "green") if scene.opened else ("✗ ", "yellow")
    for line in scene.answers:
        console.print(Text.assemble(_INDENT, (mark, style), line))
        mark = "  "
    if not scene.good:
        console.print(Text(f"{_INDENT}this is not what the demo expects", style="bold red"))


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
