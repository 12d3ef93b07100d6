"""Answers of the server as commands print them."""

import re
from collections.abc import Sequence
from typing import Any

import typer

from fujie.app.cli.output import Format, cell, show

_PREFIX = re.compile(
    "^(PRINCIPAL_KIND|EMPLOYMENT|TRAINING|CONSENT_EVENT_TYPE|MESSAGE_STATE|MESSAGE_CATEGORY"
    "|SUBJECT_REQUEST_(KIND|STATE|OUTCOME)|REPLY_OUTCOME)_"
)


def plain(message: Any) -> dict[str, Any]:
    """Return a message as JSON has it, under the names of the proto files."""
    from google.protobuf import json_format

    told: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return told


def shown(message: Any, output: Format) -> dict[str, Any]:
    """Return the fields of a message; for people without the prefixes that protobuf's enumerations need."""
    told = plain(message)
    if output is Format.JSON:
        return told
    return {name: _named(value) for name, value in told.items() if value not in ({}, [])}


def show_page(output: Format, reply: Any, rows: str, columns: Sequence[str]) -> None:
    """Print one page of a list: as JSON whole, or as a table and, on stderr, where the next page starts."""
    told = [plain(row) for row in getattr(reply, rows)]
    more = {"next_page_token": reply.next_page_token} if reply.next_page_token else {}
    cells = [tuple(_named(row.get(column, "")) for column in columns) for row in told]
    show(output, {rows: told, **more}, columns, cells)
    if more and output is Format.TABLE:
        typer.echo(f"more: --page-token {reply.next_page_token}", err=True)


def _named(value: Any) -> str:
    return _PREFIX.sub("", cell(value))
