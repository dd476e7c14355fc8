# SPDX-License-Identifier: Apache-2.0
"""`sixlane delete`."""

from typing import TYPE_CHECKING

import click

from sixlane.cli import completing, options
from sixlane.cli.command import Command
from sixlane.cli.kinds import KindType, NameArgument
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client import Client
    from sixlane.client.types import Reference


@click.command(
    cls=Command,
    examples=[
        ("sixlane delete dns64 cluster", "one resource"),
        ("sixlane delete -f edge.yaml", "whatever the file names"),
    ],
)
@click.argument("kind", type=KindType(), required=False)
@click.argument(
    "names",
    cls=NameArgument,
    nargs=-1,
    metavar="[NAME]...",
    shell_complete=completing.names_of(),
)
@options.files(required=False)
@options.missing_ok
@options.dry_run
@options.with_output
@pass_session
def delete(
    session: Session,
    kind: str | None,
    names: tuple[str, ...],
    files: tuple[str, ...],
    ignore_not_found: bool,
    dry_run: bool,
    out: Output,
) -> None:
    """Take resources away: those that files name, or KIND NAME. All of them, or none."""
    from sixlane.cli import applied

    if bool(files) == bool(kind) or bool(kind) != bool(names):
        raise click.UsageError("give either -f FILE, or KIND and NAME")
    wanted = _of_files(files) if files else _named(str(kind), names)
    if ignore_not_found:
        wanted = _present(session.client, wanted)
    answer = session.client.transaction(delete=wanted, dry_run=dry_run)
    applied.report(out, answer)


def _named(kind: str, names: tuple[str, ...]) -> "list[Reference]":
    return [{"kind": kind, "name": name} for name in names]


def _of_files(files: tuple[str, ...]) -> "list[Reference]":
    from sixlane.cli import documents
    from sixlane.sources.files import read

    return documents.references(read(files))


def _present(client: "Client", wanted: "list[Reference]") -> "list[Reference]":
    there = {(one["kind"], one["metadata"]["name"]) for one in client.resources()["items"]}
    return [one for one in wanted if (one["kind"], one["name"]) in there]
