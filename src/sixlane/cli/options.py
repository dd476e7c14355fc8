# SPDX-License-Identifier: Apache-2.0
"""Options and arguments that many commands have, each told in one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sixlane.cli import completing
from sixlane.cli.kinds import KindType, NameArgument
from sixlane.cli.output import FORMATS, LIST_FORMATS, Format, Output

if TYPE_CHECKING:
    from sixlane.agent.settings import Settings
    from sixlane.client import Unreachable

_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any])
Decorator = Callable[[_Command], _Command]


def several(*decorators: Decorator[Any]) -> Decorator[Any]:
    """One decorator that is all of them, in this order."""

    def decorate(command: Any) -> Any:
        for one in reversed(decorators):
            command = one(command)
        return command

    return decorate


def _output(formats: Sequence[Format]) -> Decorator[Any]:
    """-o and --no-headers; the command gets an `Output` as `out`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(
            "-o",
            "--output",
            "format",
            type=click.Choice(formats),
            default="table",
            show_default=True,
            help="How to show the result.",
        )
        @click.option("--no-headers", is_flag=True, help="Tables without their first line.")
        @wraps(command)
        def with_out(*args: Any, format: Any, no_headers: bool, **more: Any) -> Any:
            return command(*args, out=Output(format, not no_headers), **more)

        return with_out

    return decorate


with_output = _output(FORMATS)
with_list_output = _output(LIST_FORMATS)


def files(*, required: bool) -> Decorator[Any]:
    """-f, as `files`."""
    return click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        required=required,
        metavar="FILE",
        type=click.Path(allow_dash=True),
        help="YAML or JSON file, directory of such files, or - for standard input; repeatable.",
    )


dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")

prune = click.option(
    "--prune", is_flag=True, help="Delete every resource that the files do not name."
)

missing_ok = click.option(
    "--ignore-not-found", is_flag=True, help="It is no failure if there is nothing to delete."
)

wait = click.option("--wait", is_flag=True, help="Return when all of it is in force and well.")

timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait waits.",
)

gateway = click.option(
    "-g",
    "--gateway",
    metavar="NAME",
    shell_complete=completing.names_of("Gateway"),
    help="The Gateway; not needed if there is but one.",
)


def _directory(name: str, default: str | None, note: str = "") -> Decorator[Any]:
    return click.option(
        name,
        type=click.Path(path_type=Path, file_okay=False),
        default=default,
        show_default=default is not None,
        help=f"As the agent had it; used if no agent runs.{note}",
    )


@dataclass(frozen=True)
class Directories:
    """Where an agent has, or had, its things."""

    bpffs: Path
    state_dir: Path
    run_dir: Path

    def alone(self, unreachable: "Unreachable", work: "Callable[[Settings], _T]") -> _T:
        """Do it in the agent's place. `unreachable`: how it was found that there is none; raised
        again if there is one after all, that listens elsewhere.
        """
        from sixlane.agent.lock import Held
        from sixlane.agent.settings import Settings

        bpffs, state_dir = self.bpffs.absolute(), self.state_dir.absolute()
        try:
            return work(Settings(bpffs, state_dir, self.run_dir.absolute()))
        except Held as held:
            raise type(unreachable)(
                f"{held.message}, but {unreachable.message}", "name its socket with --socket"
            ) from None


directories = several(
    _directory("--bpffs", "/sys/fs/bpf/sixlane"),
    _directory("--state-dir", "/var/lib/sixlane"),
    _directory("--run-dir", None, "  [default: where the socket is]"),
)

kind = click.argument("kind", type=KindType())
optional_kind = click.argument("kind", type=KindType(), required=False)


def name(kind: str | None = None, *, required: bool = True) -> Decorator[Any]:
    """The argument NAME of a resource: of that kind, or of the one that `kind` has named."""
    return click.argument(
        "name", cls=NameArgument, required=required, shell_complete=completing.names_of(kind)
    )
