# SPDX-License-Identifier: Apache-2.0
"""The commands. Each asks the agent and shows its answer."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import sixlane
from sixlane.cli.client import Client
from sixlane.cli.errors import exit_code
from sixlane.cli.output import FORMATS, Format, Output
from sixlane.errors import SixlaneError

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULT_SOCKET = "/run/sixlane/api.sock"
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


def main() -> None:
    """The program: errors of ours become one line and an exit code."""
    try:
        cli(prog_name="sixlane")
    except SixlaneError as error:
        click.echo(f"sixlane: {error}", err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # `sixlane counters | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    envvar="SIXLANE_SOCKET",
    default=_DEFAULT_SOCKET,
    show_default=True,
    help="Where the agent listens; SIXLANE_SOCKET.",
)
@click.version_option(sixlane.__version__)
@click.pass_context
def cli(context: click.Context, socket: str) -> None:
    """One data plane for IPv6-only clusters with IPv4 at the edge.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 agent not reachable, 5 refused.
    """
    context.obj = socket


def _with_output(command: _Command) -> _Command:
    command = click.option("--no-headers", is_flag=True, help="Tables without their first line.")(
        command
    )
    return click.option(
        "-o",
        "--output",
        "format",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to show the result.",
    )(command)


@cli.command()
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    required=True,
    help="YAML or JSON file, directory of such files, or - for standard input; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_with_output
@click.pass_obj
def apply(
    socket: str, files: tuple[str, ...], dry_run: bool, format: Format, no_headers: bool
) -> None:
    """Put resources in force: all of them, or none."""
    from sixlane.cli.apply import apply_files
    from sixlane.cli.show import show_applied

    out = Output(format, not no_headers)
    applied = apply_files(Client(socket), files, dry_run=dry_run)
    if not out.data(applied):
        show_applied(out, applied)


@cli.command()
@_with_output
@click.pass_obj
def status(socket: str, format: Format, no_headers: bool) -> None:
    """Show what is in force, and what is out of order."""
    from sixlane.cli.show import show_status

    out = Output(format, not no_headers)
    answer: dict[str, Any] = Client(socket).get("/v1/status")
    if not out.data(answer):
        show_status(out, answer)


@cli.command()
@_with_output
@click.pass_obj
def counters(socket: str, format: Format, no_headers: bool) -> None:
    """Show packets and bytes by reason and by prefix."""
    from sixlane.cli.show import show_counters

    out = Output(format, not no_headers)
    answer: dict[str, Any] = Client(socket).get("/v1/counters")
    if not out.data(answer):
        show_counters(out, answer)


@cli.command()
@click.option(
    "--bpffs",
    type=_DIRECTORY,
    default=Path("/sys/fs/bpf/sixlane"),
    show_default=True,
    help="As the agent had it; used if no agent runs.",
)
@click.option(
    "--state-dir",
    type=_DIRECTORY,
    default=Path("/var/lib/sixlane"),
    show_default=True,
    help="As the agent had it; used if no agent runs.",
)
@click.option(
    "--run-dir",
    type=_DIRECTORY,
    default=None,
    help="As the agent had it; used if no agent runs.  [default: where the socket is]",
)
@click.pass_obj
def teardown(socket: str, bpffs: Path, state_dir: Path, run_dir: Path | None) -> None:
    """Remove everything from the kernel, stop DNS64, and restore what was changed.

    The agent does it; if none runs, this command does it by itself.
    """
    from sixlane.cli.teardown import teardown as tear_down

    place = run_dir if run_dir is not None else Path(socket).parent
    paths = (path.absolute() for path in (bpffs, state_dir, place))
    for lost in tear_down(Client(socket), *paths):
        click.echo(f"sixlane: not restored: {lost}", err=True)
    click.echo("torn down: nothing of sixlane is in force")


if __name__ == "__main__":
    main()
