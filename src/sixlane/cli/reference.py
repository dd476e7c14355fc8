# SPDX-License-Identifier: Apache-2.0
"""What there is to tell of each command, taken from click's command tree: the one table of them."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import click

from sixlane.cli.command import Command, Example, walk


@dataclass(frozen=True)
class OptionEntry:
    """`flags`: all spellings; `value`: what stands behind them, or ""; `help`: with default."""

    flags: tuple[str, ...]
    value: str
    help: str


@dataclass(frozen=True)
class CommandEntry:
    """`name`: all its words; `usage`: what follows them."""

    name: str
    usage: str
    paragraphs: tuple[str, ...]
    options: tuple[OptionEntry, ...]
    examples: tuple[Example, ...]
    subcommands: tuple[tuple[str, str], ...]


def entries(program: click.Command, name: str) -> Iterator[CommandEntry]:
    """The program itself first, then its commands in the order of their names."""
    for path, command in walk(program, (name,)):
        yield _entry(path, command)


def _entry(path: tuple[str, ...], command: click.Command) -> CommandEntry:
    subcommands: tuple[tuple[str, str], ...] = ()
    if isinstance(command, click.Group):
        subcommands = tuple(
            (name, _paragraphs(one)[0]) for name, one in sorted(command.commands.items())
        )
    return CommandEntry(
        " ".join(path),
        _usage(command),
        _paragraphs(command),
        tuple(_option(one) for one in command.params if isinstance(one, click.Option)),
        command.examples if isinstance(command, Command) else (),
        subcommands,
    )


def _paragraphs(command: click.Command) -> tuple[str, ...]:
    """Each on one line."""
    text = inspect.cleandoc(command.help or "")
    return tuple(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _usage(command: click.Command) -> str:
    options = [one for one in command.params if isinstance(one, click.Option)]
    words = [_required(one).strip() for one in options if one.required]
    words += ["[OPTION]..."] if len(words) < len(options) else []
    words += [_argument(one) for one in command.params if isinstance(one, click.Argument)]
    words += ["COMMAND ..."] if isinstance(command, click.Group) else []
    return " ".join(words)


def _required(option: click.Option) -> str:
    again = "..." if option.multiple else ""
    return f"{option.opts[0]} {_value(option)}{again}".replace(" ...", "...")


def _argument(argument: click.Argument) -> str:
    if argument.metavar:
        return argument.metavar
    choices = argument.type.choices if isinstance(argument.type, click.Choice) else ()
    name = "|".join(map(str, choices)) or str(argument.name).upper()
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> OptionEntry:
    flags = (*option.opts, *option.secondary_opts)
    help = " ".join((option.help or "").split())
    if option.show_default and option.default is not None and not option.is_flag:
        help += f" [default: {option.default}]"
    if option.required:
        help += " [required]"
    return OptionEntry(flags, _value(option), help.strip())


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.type.name.upper()
