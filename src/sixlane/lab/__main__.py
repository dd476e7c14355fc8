# SPDX-License-Identifier: Apache-2.0
"""`python -m sixlane.lab demo|up|down`: show everything, only raise the lab, remove it."""

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from sixlane.errors import SixlaneError
from sixlane.lab import demo
from sixlane.lab.place import DEFAULT_PREFIX, Place

_FAILED = 1
_INTERRUPTED = 130

Command = TypeVar("Command", bound=Callable[..., object])


def _prefix(command: Command) -> Command:
    return click.option(
        "--prefix",
        default=DEFAULT_PREFIX,
        show_default=True,
        help="What the names of the lab's network namespaces begin with.",
    )(command)


def _attach(command: Command) -> Command:
    return click.option(
        "--attach",
        type=click.Choice(["auto", "tc", "xdp", "xdp-generic"]),
        default="auto",
        show_default=True,
        help="How the gateway's devices are attached.",
    )(command)


@click.group()
def commands() -> None:
    """A small internet in network namespaces, with sixlane as its gateway."""


@commands.command("demo")
@_prefix
@_attach
@click.option("--keep", is_flag=True, help="Leave the lab up, and say how to enter its hosts.")
@click.option("--pods", is_flag=True, help="Show the pods of a node alone.")
def _demo(prefix: str, attach: str, keep: bool, pods: bool) -> None:
    """Raise the lab, show step by step what works, remove the lab."""
    held = demo.run(Place(prefix), keep=keep, attach=attach, pods_only=pods)
    sys.exit(0 if held else _FAILED)


@commands.command("up")
@_prefix
@_attach
def _up(prefix: str, attach: str) -> None:
    """Raise the lab and leave it up."""
    demo.up(Place(prefix), attach=attach)


@commands.command("down")
@_prefix
def _down(prefix: str) -> None:
    """Remove the lab, and whatever a run that was killed left of it."""
    demo.down(Place(prefix))


def main() -> None:
    try:
        commands(standalone_mode=False)
    except SixlaneError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(_FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("lab: interrupted; everything was removed", file=sys.stderr)
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
