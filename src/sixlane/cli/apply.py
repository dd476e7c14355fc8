# SPDX-License-Identifier: Apache-2.0
"""`sixlane apply`."""

import click

from sixlane.cli import options
from sixlane.cli.command import Command
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session


@click.command(
    cls=Command,
    examples=[
        ("sixlane apply -f edge.yaml --dry-run", "say what would be done"),
        ("sixlane apply -f /etc/sixlane/ --prune --wait", "this directory, and nothing else"),
        ("sixlane export | sixlane apply -f -", "changes nothing"),
    ],
)
@options.files(required=True)
@options.prune
@options.wait
@options.timeout
@options.dry_run
@options.with_output
@pass_session
def apply(
    session: Session,
    files: tuple[str, ...],
    prune: bool,
    wait: bool,
    timeout: float,
    dry_run: bool,
    out: Output,
) -> None:
    """Put resources in force: all of them, or none.

    The documents of all files are one transaction. A mistake is told with file and line.
    A metadata.resourceVersion in a document must be the present one.
    """
    from sixlane.cli import applied, documents
    from sixlane.sources.files import read

    answer = documents.put(session.client, read(files), prune=prune, dry_run=dry_run)
    applied.report(out, answer)
    if wait and not dry_run:
        applied.wait_ready(session.client, answer, timeout)
