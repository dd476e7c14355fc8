# SPDX-License-Identifier: Apache-2.0
"""What the scripts of `sixlane completion` ask for; imported only if one of them does."""

import os
import shlex

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class


class Words(ShellComplete):
    """The words so far out of the environment; see `sixlane.cli.completion`."""

    name = "words"
    source_template = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("_SIXLANE_LINE")
        words = _split(line) if line is not None else _given_words()
        return words[1:-1], words[-1] if len(words) > 1 else ""

    def format_completion(self, item: CompletionItem) -> str:
        help = (item.help or "").partition("\n")[0]
        return f"{item.type},{item.value}\t{help}"


def _given_words() -> list[str]:
    return os.environ.get("_SIXLANE_WORDS", "").split("\n")


def _split(line: str) -> list[str]:
    """The words of a line whose last may be unfinished, or not begun."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # within quotes
        words.append(lexer.token)
        return words
    return words if line and not line[-1].isspace() else [*words, ""]


add_completion_class(Words)
