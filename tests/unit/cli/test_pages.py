# SPDX-License-Identifier: Apache-2.0
"""Man pages, reference and completion scripts: current, complete, and readable by their readers."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from sixlane.cli.command import Command, walk
from sixlane.cli.main import cli
from sixlane.cli.man import program_page
from sixlane.cli.pages import _ROOT, pages
from sixlane.cli.reference import entries

_NAMES = [" ".join(path) for path, _ in walk(cli, ("sixlane",))]


def test_what_is_committed_is_what_the_commands_say() -> None:
    stale = [str(path) for path, text in pages().items() if (_ROOT / path).read_text() != text]
    assert stale == [], "run python -m sixlane.cli.pages"


def test_every_command_and_option_is_in_every_page() -> None:
    made = {path.name: text for path, text in pages().items()}
    man = made["sixlane.1"].replace("\\-", "-")
    for path, command in walk(cli, ("sixlane",)):
        name = " ".join(path)
        assert f"## {name}\n" in made["commands.md"]
        assert name == "sixlane" or f".SS {name}\n" in man
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[-1]}" in made["commands.md"]
                assert f"\\fB{option.opts[-1]}\\fR" in man


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
@pytest.mark.parametrize("path", sorted(Path(_ROOT, "docs/man").glob("*.[18]")), ids=str)
def test_groff_reads_man_pages_without_a_warning(path: Path) -> None:
    done = _groff(path.read_text())
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout or path.suffix == ".8"


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_text_means_nothing_to_roff() -> None:
    awkward = Command("odd", help=".SH is \\fB no 'heading\n\n'br -- nor \\(bu this")
    done = _groff(program_page([*entries(awkward, "odd"), *entries(awkward, "odd one")]))
    assert done.stderr == ""
    assert ".SH is \\fB no 'heading" in done.stdout
    assert "'br -- nor \\(bu this" in done.stdout


def test_there_is_help_for_every_command_and_option() -> None:
    for path, command in walk(cli, ("sixlane",)):
        assert command.help, path
        assert re.match(r"[A-Z].*\.", command.help), path
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (path, option.opts)


def test_examples_are_commands_that_exist() -> None:
    """With options that they have: each is parsed, and none is run."""
    for path, command in walk(cli, ("sixlane",)):
        for line, meaning in getattr(command, "examples", ()):
            assert meaning, path
            for part in re.split(r" \|\|? | > |\$\(", line.removeprefix('eval "')):
                words = _words(part)
                if words[:1] == ["sixlane"]:
                    _parse(words[1:])


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:  # it ends within the quotes that it was cut out of
        return part.rstrip('")').split()


def test_examples_name_reasons_that_there_are() -> None:
    from sixlane.datapath.layout import Reason

    lines = [
        line
        for _, command in walk(cli, ("sixlane",))
        for line, _ in getattr(command, "examples", ())
    ]
    named = {one for line in lines for one in re.findall(r"--reason (\S+)", line)}
    assert named
    assert {f"DROP_{one.upper()}" for one in named} <= {one.name for one in Reason}


def _parse(words: list[str]) -> None:
    context = cli.make_context("sixlane", list(words))
    command: click.Command = cli
    rest = words
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context(str(name), list(rest), parent=context)


def _groff(text: str) -> "subprocess.CompletedProcess[str]":
    argv = ["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u"]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
