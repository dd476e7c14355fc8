# SPDX-License-Identifier: Apache-2.0
"""The program: its commands, and the options that come before them."""

import os

import click

import sixlane
from sixlane.cli.apply import apply
from sixlane.cli.backend import backend
from sixlane.cli.bench import bench
from sixlane.cli.bib import bib
from sixlane.cli.bigtcp import bigtcp
from sixlane.cli.capture import capture
from sixlane.cli.command import Program
from sixlane.cli.completion import VARIABLE, completion
from sixlane.cli.counters import counters
from sixlane.cli.decap import decap
from sixlane.cli.delete import delete
from sixlane.cli.describe import describe
from sixlane.cli.diff import diff
from sixlane.cli.dns64 import dns64
from sixlane.cli.doctor import doctor
from sixlane.cli.eam import eam
from sixlane.cli.gateway import gateway
from sixlane.cli.get import export, get
from sixlane.cli.history import history, rollback
from sixlane.cli.monitor import monitor
from sixlane.cli.pod import pod
from sixlane.cli.prefix import prefix
from sixlane.cli.service import service
from sixlane.cli.session import DEFAULT_SOCKET, Session
from sixlane.cli.session_table import session
from sixlane.cli.status import status
from sixlane.cli.sysdump import sysdump
from sixlane.cli.teardown import teardown
from sixlane.cli.top import top
from sixlane.cli.trace import trace


@click.group(
    "sixlane",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed (diff: there is a difference), 2 wrong usage, "
    "3 agent not reachable, 4 not found, 5 refused.",
)
@click.option(
    "--socket",
    envvar="SIXLANE_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    type=click.Path(readable=False),
    help="Where the agent listens; or SIXLANE_SOCKET.",
)
@click.version_option(sixlane.__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, socket: str) -> None:
    """Rule a sixlane gateway: IPv4 at the edge of networks that have IPv6 only.

    Each command asks the agent, sixlaned, and shows its answer.
    """
    context.obj = Session(socket)
    if os.environ.get("NO_COLOR"):
        context.color = False


@cli.command()
def version() -> None:
    """Print the version of this command; sixlane status tells the agent's."""
    click.echo(f"sixlane {sixlane.__version__}")


for _command in (
    apply,
    backend,
    bench,
    bib,
    bigtcp,
    capture,
    completion,
    counters,
    decap,
    delete,
    describe,
    diff,
    dns64,
    doctor,
    eam,
    export,
    gateway,
    get,
    history,
    monitor,
    pod,
    prefix,
    rollback,
    service,
    session,
    status,
    sysdump,
    teardown,
    top,
    trace,
):
    cli.add_command(_command)


def main() -> None:
    """The entry point of the package."""
    if VARIABLE in os.environ:
        import sixlane.cli.words  # noqa: F401  click finds it by its name
    cli.main()


if __name__ == "__main__":
    main()
