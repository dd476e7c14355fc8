# SPDX-License-Identifier: Apache-2.0
"""`sixlane teardown`, with an agent or without."""

from pathlib import Path

import click

from sixlane.cli import options
from sixlane.cli.command import Command
from sixlane.cli.session import Session, pass_session


@click.command(cls=Command)
@options.directories
@pass_session
def teardown(session: Session, bpffs: Path, state_dir: Path, run_dir: Path | None) -> None:
    """Remove everything from the kernel, stop DNS64, and restore what was changed.

    The agent does it; if none runs, this command does it by itself. Resources are forgotten.
    """
    from sixlane.client import Unreachable

    try:
        lost = session.client.teardown()
    except Unreachable as unreachable:
        if not unreachable.absent:
            raise
        from sixlane.agent.teardown import teardown_without_agent

        directories = options.Directories(bpffs, state_dir, run_dir or session.run_dir)
        lost = directories.alone(unreachable, teardown_without_agent)
    for one in lost:
        click.echo(f"sixlane: not restored: {one}", err=True)
    click.echo("torn down: nothing of sixlane is in force")
