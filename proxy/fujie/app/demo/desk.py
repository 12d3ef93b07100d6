"""What somebody does at a desk in the demo: the real command line, and what the log says of it afterwards."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import grpc

from fujie.app.client import read_refusal
from fujie.app.demo.campaign import entries
from fujie.app.demo.cast import ADMIN, MARKETER, Connections
from fujie.app.demo.site import Site
from fujie.audit.entry import Entry, EntryKind
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import directory_service_pb2 as directory_v1

DEVICE = "notebook-17"
"""The managed device of the marketer."""

FILE = "list.fjx"
"""The leased file that he makes."""

Ended = subprocess.CompletedProcess[str]


class Desk:
    """The command line, in the site's directory."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def fujie(self, who: str, *arguments: str, talks: bool = False) -> Ended:
        """Run a command as somebody; with `talks` what it shows while it runs is seen."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("FUJIE")}
        own = {"FUJIE_ADDRESS": self.site.grpc, "FUJIE_TOKEN_FILE": str(self.site.tokens[who].absolute())}
        return subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "fujie", *arguments],
            stdout=subprocess.PIPE,
            stderr=None if talks else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=self.site.root,
            env={**plain, **own},
            check=False,
        )

    def ended(self, name: str) -> Entry | None:
        """Return the outcome entry of an export."""
        found = (each for each in entries(self.site) if each.kind is EntryKind.OUTCOME)
        return next((e for e in found if e.facts.get("export.id") == name.removeprefix("exports/")), None)


def approves(connections: Connections, who: str, approval: str) -> str:
    """Agree as somebody; return what was said to it."""
    try:
        connections[who].approvals.Approve(approval_v1.ApproveRequest(name=approval))
    except grpc.RpcError as error:
        refusal = read_refusal(error)
        return f"{refusal.reason}  {refusal.message} {refusal.message_zh}"
    return "agreed"


def registered(connections: Connections, *roles: str) -> None:
    """Write the marketer's record, with these roles."""
    principal = directory_v1.Principal(
        id=MARKETER, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=roles, department="east",
        employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
        devices=[DEVICE],
    )  # fmt: skip
    connections[ADMIN].directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))


def lines_of(text: str) -> Sequence[str]:
    """Return the lines of what a command said, without blanks around; one empty line for nothing."""
    return [line.strip() for line in text.splitlines()] or [""]


def fields_of(text: str) -> Mapping[str, str]:
    """Return what a command said of one thing, by name."""
    return {name: value.strip() for name, _, value in (line.partition(" ") for line in lines_of(text))}
