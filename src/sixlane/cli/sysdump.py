# SPDX-License-Identifier: Apache-2.0
"""`sixlane sysdump`: all that helps to find a fault on another machine, in one file."""

import time
from pathlib import Path

import click

from sixlane.cli import options
from sixlane.cli.command import Command
from sixlane.cli.session import Session, pass_session


@click.command(
    cls=Command, examples=[("sixlane sysdump -o /tmp/edge.tar.gz", "a file to send along")]
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.tar.gz",
    help="Where to write it.  [default: sixlane-sysdump-TIME.tar.gz, here]",
)
@options.directories
@pass_session
def sysdump(
    session: Session, target: Path | None, bpffs: Path, state_dir: Path, run_dir: Path | None
) -> None:
    """Gather what helps to find a fault into one file; works without an agent, too.

    The file holds addresses and names of this network, and no secrets.
    """
    from sixlane.cli.gather import write

    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = target or Path(f"sixlane-sysdump-{stamp}.tar.gz")
    directories = options.Directories(bpffs, state_dir, run_dir or session.run_dir)
    count, lacking = write(session.client, directories, target, f"sixlane-sysdump-{stamp}")
    for line in lacking:
        click.echo(f"sixlane: not in it: {line}", err=True)
    click.echo(f"{target}: {count} files; it holds addresses and names, and no secrets")
