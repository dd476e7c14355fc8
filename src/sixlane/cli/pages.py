# SPDX-License-Identifier: Apache-2.0
"""Writes what is made from the command table: man pages, reference, completion scripts.

python -m sixlane.cli.pages [--check]
"""

import sys
from pathlib import Path

from sixlane.api.main import main as daemon
from sixlane.cli import man, markdown
from sixlane.cli.completion import SCRIPTS
from sixlane.cli.main import cli
from sixlane.cli.reference import entries

_ROOT = Path(__file__).parents[3]
_SCRIPTS = {"bash": "sixlane.bash", "zsh": "_sixlane", "fish": "sixlane.fish"}


def pages() -> dict[Path, str]:
    """Paths from the top of the tree, and what stands there."""
    program, service = list(entries(cli, "sixlane")), list(entries(daemon, "sixlaned"))
    made = {
        Path("docs/man/sixlane.1"): man.program_page(program),
        Path("docs/man/sixlaned.8"): man.daemon_page(service[0]),
        Path("docs/reference/commands.md"): markdown.page(program, service[0]),
    }
    for shell, name in _SCRIPTS.items():
        made[Path("packaging/completion", name)] = SCRIPTS[shell]
    return made


def main() -> int:
    """Write them; with --check only say which are not as they should be."""
    stale = 0
    for path, text in pages().items():
        place = _ROOT / path
        if place.exists() and place.read_text() == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{path} is not current: python -m sixlane.cli.pages", file=sys.stderr)
            stale = 1
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            print(f"wrote {path}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
