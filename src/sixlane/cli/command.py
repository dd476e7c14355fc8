# SPDX-License-Identifier: Apache-2.0
"""Commands as this program has them: with examples, and with errors of one line.

What click knows of a command is all there is to know: help, completion, man pages and the
reference are made from it.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import click

from sixlane.errors import SixlaneError

Example = tuple[str, str]  # a command line, and what it does

_INTERRUPTED = 130
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Command(click.Command):
    """A command with examples."""

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line, meaning in self.examples:
                    formatter.write_text(f"# {meaning}")
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Group(click.Group):
    """Commands under one word; says which was meant by one that is mistyped."""

    command_class = Command
    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """With the whole first sentence of each."""
        rows = [(name, summary(command)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if ctx.resilient_parsing or word.startswith("-") or self.get_command(ctx, word):
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no such command: {word}{_likely(word, self.commands)}", ctx)


class Program(Group):
    """The whole: every failure ends in one line on stderr and an exit code of its own."""

    group_class = Group  # type: ignore[assignment]

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **more: Any,
    ) -> NoReturn:
        try:
            code = super().main(args, prog_name or "sixlane", **more, standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = error.exit_code
        except click.ClickException as error:
            click.echo(_usage_line(error), err=True)
            code = error.exit_code
        except click.Abort:
            code = _INTERRUPTED
        except SixlaneError as error:
            from sixlane.cli.errors import exit_code

            click.echo(f"sixlane: {error}", err=True)
            code = exit_code(error)
        except BrokenPipeError:  # `sixlane counters | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def summary(command: click.Command) -> str:
    """The first sentence of its help."""
    return command.get_short_help_str(limit=1000)


def walk(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all that are under it, with the words that name them; in order of names."""
    yield path, command
    if isinstance(command, click.Group):
        for name, one in sorted(command.commands.items()):
            yield from walk(one, (*path, name))


def _usage_line(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "sixlane"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{path}: {message[:1].lower()}{message[1:]} (see {path} --help)"


def _likely(word: str, known: Sequence[str] | Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), sorted(known), n=1)
    return f", did you mean {near[0]}?" if near else ""
