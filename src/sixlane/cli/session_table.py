# SPDX-License-Identifier: Apache-2.0
"""`sixlane session`: the session table of stateful NAT64 (RFC 6146)."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import long, looks, options
from sixlane.cli.command import Group
from sixlane.cli.long import Column
from sixlane.cli.output import Bad, Output
from sixlane.cli.session import Session, pass_session
from sixlane.cli.wanted import client_filters, limit, session_filters
from sixlane.errors import SixlaneError

if TYPE_CHECKING:
    from sixlane.client.types import RefusedSession, Use

_KEYS = (
    "protocol",
    "inside",
    "insidePort",
    "pool",
    "poolPort",
    "remote",
    "remotePort",
    "prefix",
    "state",
    "remainingSeconds",
)
_COLUMNS = (
    Column("PROTOCOL", lambda one: one["protocol"]),
    Column("INSIDE", lambda one: long.ends(one, "inside")),
    Column("POOL4", lambda one: long.ends(one, "pool")),
    Column("REMOTE", lambda one: _remote(one)),
    Column("PREFIX", lambda one: one["prefix"] or "-", wide=True),
    Column("STATE", lambda one: one["state"]),
    Column("REMAINING", lambda one: f"{one['remainingSeconds']:.0f} s", right=True),
)
_ALMOST_FULL = 0.9
_RESULTS = ("made", "present", "notPool4", "notPool6", "conflict", "limited", "noRoom")
_CARRIED = 2  # the first of these
_TOLD = 10


@click.group(cls=Group)
def session() -> None:
    """Show the sessions of stateful NAT64, and who has them; carry them to another gateway."""


@session.command(
    "list",
    examples=[
        ("sixlane session list --inside 2001:db8:64:1::/64 --protocol tcp", "of one node's pods"),
        ("sixlane session list --state v6-init --remote 192.31.196.53", "who gets no answer there"),
        ("sixlane session list -o ndjson", "all, for programs"),
    ],
)
@session_filters
@limit
@options.with_list_output
@pass_session
def list_(session: Session, limit: int | None, out: Output, **wanted: Any) -> None:
    """Show sessions that live, with the time that each has left without another packet.

    Packets go on meanwhile: what begins or ends while the list is read may be in it or not.
    """
    rows = session.client.sessions(**wanted, limit=limit)
    long.show(out, rows, _COLUMNS, _KEYS, "no sessions")


@session.command(
    "count", examples=[("sixlane session count --remote 192.31.196.0/24", "those to one network")]
)
@session_filters
@options.with_list_output
@pass_session
def count(session: Session, out: Output, **wanted: Any) -> None:
    """Count sessions that live, by protocol and state; show how full the tables are.

    With -o wide also the ports and blocks of each address of pool4. Tables also hold what has ended
    and is not swept yet. CSV is of the sessions alone.
    """
    answer = session.client.session_count(**wanted)
    kinds = answer["sessions"]
    if out.format == "csv":
        long.show_csv([kinds], ("protocol", "state", "sessions"), out.headers)
        return
    if out.data(answer):
        return
    rows: list[tuple[object, ...]] = [
        (one["protocol"], one["state"], one["sessions"]) for one in kinds
    ]
    if rows:
        rows.append(("all", "", sum(one["sessions"] for one in kinds)))
    out.table(("PROTOCOL", "STATE", "SESSIONS"), rows)
    if not rows:
        out.lines("no sessions")
    out.table(
        ("TABLE", "USED", "ROOM", "FILL"),
        [(name, use["used"], use["room"], _fill(use)) for name, use in answer["tables"].items()],
    )
    if out.wide:
        out.table(
            ("POOL4", "OF", "USED", "ROOM", "FILL"),
            [
                (one["address"], of, use["used"], use["room"], _fill(use))
                for one in answer["pool4"]
                for of, use in [*one["ports"].items(), ("blocks", one["blocks"])]
            ],
        )


@session.command(
    examples=[
        ("sixlane session top", "until interrupted, once a second"),
        ("sixlane session top --once --by ports -o json", "one look, for programs"),
    ]
)
@client_filters
@click.option(
    "--by",
    type=click.Choice(["sessions", "ports"]),
    default="sessions",
    show_default=True,
    help="What stands first: most sessions, or most ports.",
)
@looks.how_often
@click.option("--once", is_flag=True, help="The same as --count 1.")
@looks.how_many
@options.with_list_output
@pass_session
def top(
    session: Session,
    by: str,
    interval: float,
    count: int | None,
    once: bool,
    lines: int,
    out: Output,
    **wanted: Any,
) -> None:
    """Show the clients that have the most sessions or ports.

    A client is whoever shares the first bits of an address. What has ended counts until it is
    swept, which takes ten seconds.
    """
    if once and count is not None:
        raise click.UsageError("either --once or --count")
    count = 1 if once else count
    order = "sessions" if by == "sessions" else "bindings"
    seen = 0
    while count is None or seen < count:
        if seen:
            time.sleep(interval)
        with session.client.clients(**wanted, limit=lines, order=order) as rows:
            clients = list(rows)
        looks.clear_screen(out)
        _show_clients(out, clients, first=not seen)
        seen += 1


@session.command(
    examples=[
        ("sixlane session export edge.sessions", "to a file, for root alone"),
        ("sixlane session export | ssh edge2 sixlane session import", "to another gateway"),
    ]
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@pass_session
def export(session: Session, file: Path) -> None:
    """Write all sessions, for another gateway to import.

    FILE gets an object a line; left out or -, standard output does. Packets go on meanwhile: what
    begins or ends while sessions are written may be among them or not.

    SYNs from outside that wait for one from inside, and fragments that wait for others, are not
    carried. Static bindings are configuration, and are not carried either; sessions on them are.
    """
    from sixlane.cli import carrying

    with session.client.export_sessions() as rows, carrying.written(file) as to:
        count = carrying.write(to, rows.lines())
    click.echo(f"{count} sessions", err=True)


@session.command(
    "import",
    examples=[
        ("sixlane session import --dry-run edge.sessions", "is the file whole, and well-formed?"),
        ("sixlane session import edge.sessions", "again does no harm"),
    ],
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@click.option("--dry-run", is_flag=True, help="Look at the file alone, and do nothing.")
@options.with_output
@pass_session
def import_(session: Session, file: Path, dry_run: bool, out: Output) -> None:
    """Make the sessions of another gateway here, with the same addresses and ports of pool4.

    FILE is what session export wrote; left out or -, standard input is. It is looked at as a whole
    first: if a line is malformed, nothing is made. A session that is there already stays as it is,
    and nobody's session is ended for another. Each has the time that it had left, at most its
    lifetime here. Fails if any session was not carried, and says why:

    \b
    notPool4  clients like that one do not get its address, or its port, here
    notPool6  there is no such prefix here
    conflict  an end of it is bound to another one, or its port's block is another client's
    limited   its client has all the blocks or sessions that it may have
    noRoom    a table is full
    """
    from sixlane.cli import carrying

    counts, refused = Counter[str](), list["RefusedSession"]()
    with carrying.opened(file) as read:
        for batch in carrying.batches(read):
            session.client.import_sessions(batch.lines, first_line=batch.first_line, dry_run=True)
        for batch in carrying.batches(read) if not dry_run else ():
            told = session.client.import_sessions(batch.lines, first_line=batch.first_line)
            refused += told["refused"]
            counts.update({key: value for key, value in told.items() if key != "refused"})
    _show_imported(out, counts, refused[:_TOLD])


def _show_imported(out: Output, counts: Mapping[str, int], refused: "list[RefusedSession]") -> None:
    data = {name: counts.get(name, 0) for name in _RESULTS} | {"refused": refused}
    if not out.data(data):
        rows = [(name, counts[name]) for name in _RESULTS if counts.get(name)]
        out.table(("RESULT", "SESSIONS"), rows)
        if not rows:
            out.lines("no sessions")
    left = {name: counts[name] for name in _RESULTS[_CARRIED:] if counts.get(name)}
    if left:
        what = ", ".join(f"{number} {name}" for name, number in left.items())
        one = refused[0]
        first = f"the first: line {one['line']}, {one['result']}"
        raise SixlaneError(f"{sum(left.values())} sessions were not carried: {what}", first)


def _show_clients(out: Output, clients: list[Any], *, first: bool) -> None:
    if out.format == "csv":
        keys = ("prefix", "pool", "address", "blocks", "bindings", "sessions")
        long.show_csv([clients], keys, out.headers and first)
        return
    if out.data({"items": clients}, clients):
        return
    wide = ("BLOCKS",) if out.wide else ()
    out.table(
        ("CLIENT", "POOL", "ADDRESS", "SESSIONS", "PORTS", *wide),
        [
            (
                one["prefix"],
                one["pool"],
                one["address"],
                one["sessions"],
                one["bindings"],
                *([" ".join(one["blocks"])] if out.wide else []),
            )
            for one in clients
        ],
    )
    if not clients:
        out.lines("no clients")


def _remote(one: Mapping[str, Any]) -> str:
    """Of ICMP queries there is no port at that end."""
    return str(one["remote"]) if one["protocol"] == "icmp" else long.ends(one, "remote")


def _fill(use: "Use") -> str:
    share = use["used"] / use["room"] if use["room"] else 0.0
    text = f"{share:.1%}"
    return Bad(text) if share > _ALMOST_FULL else text
