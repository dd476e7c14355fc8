# SPDX-License-Identifier: Apache-2.0
"""The reference of all commands, as Markdown."""

from collections.abc import Iterable, Iterator, Sequence

from sixlane.cli.errors import EXIT_CODES
from sixlane.cli.reference import CommandEntry, OptionEntry

_INTRODUCTION = """\
# Commands

Made from the commands themselves by `python -m sixlane.cli.pages`: change them, not this page.
The same stands in `man sixlane`, `man sixlaned`, and in `--help` of each command.

Results go to stdout, and everything else to stderr. A failure is one line: what, where, and in
brackets how to mend it. `-o json`, `yaml` and `ndjson` are for programs, as is `csv` of long lists:
they hold everything, and their keys stay. Tables are for people. Colours appear on terminals only,
and never if `NO_COLOR` is set.
"""


def page(program: Sequence[CommandEntry], daemon: CommandEntry) -> str:
    lines = [_INTRODUCTION, "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    for entry in (*program, daemon):
        lines += ["", *_section(entry)]
    return "\n".join(lines) + "\n"


def _section(entry: CommandEntry) -> Iterator[str]:
    yield f"## {entry.name}"
    yield ""
    yield from ("```", f"{entry.name} {entry.usage}".rstrip(), "```", "")
    yield from _apart(entry.paragraphs)
    if entry.subcommands:
        yield from ("", "| command | |", "|---|---|")
        for name, summary in entry.subcommands:
            anchor = f"{entry.name} {name}".replace(" ", "-")
            yield f"| [`{name}`](#{anchor}) | {_cell(summary)} |"
    if entry.options:
        yield from ("", "| option | |", "|---|---|")
        yield from (_option(option) for option in entry.options)
    if entry.examples:
        yield from ("", "```sh")
        for line, meaning in entry.examples:
            yield f"{line}  # {meaning}"
        yield "```"


def _option(option: OptionEntry) -> str:
    value = f" {option.value}" if option.value else ""
    flags = ", ".join(f"`{flag}`" for flag in option.flags[:-1])
    last = f"`{option.flags[-1]}{value}`".replace("|", "\\|")
    return f"| {flags + ', ' if flags else ''}{last} | {_cell(option.help)} |"


def _apart(paragraphs: Iterable[str]) -> Iterator[str]:
    for index, paragraph in enumerate(paragraphs):
        if index:
            yield ""
        yield paragraph


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
