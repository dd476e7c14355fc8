# SPDX-License-Identifier: Apache-2.0
"""`sixlane bib`: bindings of stateful NAT64 (the BIB of RFC 6146)."""

from typing import Any

import click

from sixlane.cli import long, options
from sixlane.cli.command import Group
from sixlane.cli.long import Column
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session
from sixlane.cli.wanted import binding_filters, limit

_KEYS = ("protocol", "inside", "insidePort", "pool", "poolPort", "sessions", "static")
_COLUMNS = (
    Column("PROTOCOL", lambda one: one["protocol"]),
    Column("INSIDE", lambda one: long.ends(one, "inside")),
    Column("POOL4", lambda one: long.ends(one, "pool")),
    Column("SESSIONS", lambda one: one["sessions"], right=True),
    Column("KIND", lambda one: "static" if one["static"] else "dynamic"),
)


@click.group(cls=Group)
def bib() -> None:
    """Show the bindings of stateful NAT64."""


@bib.command(
    "list",
    examples=[
        ("sixlane bib list --pool 192.31.197.8 --port 4711", "whose port was this"),
        ("sixlane bib list -o csv", "all, for a spreadsheet"),
    ],
)
@binding_filters
@limit
@options.with_list_output
@pass_session
def list_(session: Session, limit: int | None, out: Output, **wanted: Any) -> None:
    """Show bindings of inside addresses and ports to those of pool4.

    SESSIONS are those that live. A dynamic binding goes with its last one.
    """
    rows = session.client.bindings(**wanted, limit=limit)
    long.show(out, rows, _COLUMNS, _KEYS, "no bindings")
