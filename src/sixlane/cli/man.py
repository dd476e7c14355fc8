# SPDX-License-Identifier: Apache-2.0
"""Man pages in roff's man macros (man(7))."""

import textwrap
from collections.abc import Sequence

import sixlane
from sixlane.cli.command import Example
from sixlane.cli.errors import EXIT_CODES
from sixlane.cli.reference import CommandEntry, OptionEntry

_FILES = (
    ("/run/sixlane/api.sock", "Where the agent listens."),
    ("/var/lib/sixlane/store.db", "Resources, their history, and what the machine was set to."),
    ("/sys/fs/bpf/sixlane/", "Programs and tables in force; they stay without an agent."),
    ("/etc/sixlane/", "A place for resource files; sixlane apply \\-f /etc/sixlane/."),
)
_OUTPUT = (
    "Results go to standard output, everything else to standard error. A failure is one line: "
    "what, where, and in brackets how to mend it.",
    "Most commands take -o. The formats json, yaml and ndjson are for programs, as is csv of long "
    "lists: they hold everything, and their keys stay. The formats table and wide are for people.",
)
_ENVIRONMENT = (
    ("SIXLANE_SOCKET", "Where the agent listens, if --socket does not say it."),
    ("NO_COLOR", "If set and not empty: no colours on terminals either."),
)


def program_page(entries: Sequence[CommandEntry]) -> str:
    """sixlane(1): the program first in `entries`, then its commands."""
    program, *commands = entries
    page = _Roff("SIXLANE", 1)
    page.section("NAME")
    page.line("sixlane \\- " + _text(_clause(program.paragraphs[0])))
    page.section("SYNOPSIS")
    page.synopsis(program)
    page.section("DESCRIPTION")
    page.paragraphs(program.paragraphs)
    page.section("OPTIONS")
    page.options(program.options)
    page.section("COMMANDS")
    for entry in commands:
        page.command(entry)
    page.section("OUTPUT")
    page.paragraphs(_OUTPUT)
    page.section("EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        page.term(str(code), meaning)
    page.section("ENVIRONMENT")
    for name, meaning in _ENVIRONMENT:
        page.term(name, meaning)
    page.files()
    page.see_also("sixlaned", 8)
    return page.text()


def daemon_page(entry: CommandEntry) -> str:
    """sixlaned(8)."""
    page = _Roff("SIXLANED", 8)
    page.section("NAME")
    page.line("sixlaned \\- " + _text(_clause(entry.paragraphs[0])))
    page.section("SYNOPSIS")
    page.synopsis(entry)
    page.section("DESCRIPTION")
    page.paragraphs(entry.paragraphs)
    page.section("OPTIONS")
    page.options(entry.options)
    page.files()
    page.see_also("sixlane", 1)
    return page.text()


class _Roff:
    """Collects the lines of one page."""

    def __init__(self, title: str, section: int) -> None:
        self._lines = [
            '.\\" SPDX-License-Identifier: Apache-2.0',
            '.\\" Made from the commands themselves by: python -m sixlane.cli.pages',
            f'.TH {title} {section} "" "sixlane {sixlane.__version__}"',
            ".nh",
            ".ad l",
        ]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def line(self, text: str) -> None:
        self._lines.append(text)

    def section(self, name: str) -> None:
        self._lines.append(f".SH {name}")

    def synopsis(self, entry: CommandEntry) -> None:
        self._lines += [f".B {_text(entry.name)}", _wrapped(entry.usage) or "[OPTION]..."]

    def paragraphs(self, paragraphs: Sequence[str]) -> None:
        for index, paragraph in enumerate(paragraphs):
            if index:
                self._lines.append(".PP")
            self._lines.append(_wrapped(paragraph))

    def term(self, term: str, meaning: str) -> None:
        self._lines += [".TP", f".B {_text(term)}", _wrapped(meaning)]

    def options(self, options: Sequence[OptionEntry]) -> None:
        for option in options:
            flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in option.flags)
            value = f" \\fI{_text(option.value)}\\fR" if option.value else ""
            self._lines += [".TP", flags + value, _wrapped(option.help)]

    def command(self, entry: CommandEntry) -> None:
        self._lines += [f".SS {_text(entry.name)}"]
        usage = f" {_text(entry.usage)}" if entry.usage else ""
        self._lines += [f"\\fB{_text(entry.name)}\\fR{usage}"]
        self._lines += [".PP"]
        self.paragraphs(entry.paragraphs)
        self.options(entry.options)
        if entry.examples:
            self.examples(entry.examples)

    def examples(self, examples: Sequence[Example]) -> None:
        for line, meaning in examples:
            self._lines += [".PP", _wrapped(meaning[:1].upper() + meaning[1:] + ":")]
            self._lines += [".RS 4", ".EX", _text(line), ".EE", ".RE"]

    def files(self) -> None:
        self.section("FILES")
        for path, meaning in _FILES:
            self._lines += [".TP", f".I {_text(path)}", meaning]

    def see_also(self, name: str, section: int) -> None:
        self.section("SEE ALSO")
        self._lines.append(f".BR {name} ({section})")


def _clause(sentence: str) -> str:
    """As man pages name things: the first sentence, no capital, no full stop."""
    first = sentence.partition(". ")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _wrapped(text: str) -> str:
    """Lines of a readable length; roff fills them anyway."""
    lines = textwrap.wrap(text, 80, break_long_words=False, break_on_hyphens=False)
    return "\n".join(_text(line) for line in lines)


def _text(text: str) -> str:
    """Nothing in it means anything to roff, and each hyphen is the one that is typed."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
