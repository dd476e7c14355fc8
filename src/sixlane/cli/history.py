# SPDX-License-Identifier: Apache-2.0
"""`sixlane history` and `sixlane rollback`."""

import click

from sixlane.cli import applied, completing, options
from sixlane.cli.command import Command
from sixlane.cli.output import Output
from sixlane.cli.session import Session, pass_session

_LINES = 2  # of a revision's changes; -o wide shows all


@click.command(cls=Command)
@options.with_output
@pass_session
def history(session: Session, out: Output) -> None:
    """Show what was changed, and when; newest first."""
    revisions = session.client.history()
    if out.data(revisions, revisions):
        return
    rows = [(one["revision"], one["time"], _summary(one["summary"], out.wide)) for one in revisions]
    out.table(("REVISION", "TIME", "CHANGES"), rows)
    if not rows:
        out.lines("nothing was changed yet")


def _summary(lines: list[str], whole: bool) -> str:
    shown = lines if whole or len(lines) <= _LINES else lines[:_LINES]
    more = f" and {len(lines) - len(shown)} more" if len(shown) < len(lines) else ""
    return "; ".join(shown) + more or "-"


@click.command(
    cls=Command,
    examples=[
        ("sixlane rollback --dry-run", "what it would change"),
        ("sixlane rollback --to 17", "everything as it was in revision 17"),
    ],
)
@click.option(
    "--to",
    "revision",
    type=click.IntRange(min=0),
    metavar="REVISION",
    shell_complete=completing.revisions,
    help="As sixlane history tells it.  [default: the one before the present one]",
)
@options.wait
@options.timeout
@options.dry_run
@options.with_output
@pass_session
def rollback(
    session: Session,
    revision: int | None,
    wait: bool,
    timeout: float,
    dry_run: bool,
    out: Output,
) -> None:
    """Bring all resources back to what they were in an earlier revision.

    This makes a new revision, so that it can be taken back in the same way.
    """
    answer = session.client.rollback(revision, dry_run=dry_run)
    applied.report(out, answer)
    if wait and not dry_run:
        applied.wait_ready(session.client, answer, timeout)
