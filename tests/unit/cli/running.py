# SPDX-License-Identifier: Apache-2.0
"""The command, in this process, against an agent over a real socket."""

from pathlib import Path

import yaml
from click.testing import CliRunner

from sixlane.cli.main import cli

FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED = 1, 2, 3, 4, 5


class Sixlane:
    """Runs `sixlane` for the agent at one socket, from a directory for its files."""

    def __init__(self, socket: Path, directory: Path) -> None:
        self.socket = socket
        self.directory = directory
        self.stderr = ""

    def __call__(
        self, *argv: str, stdin: str = "", code: int = 0, env: dict[str, str] | None = None
    ) -> str:
        """What it prints on stdout; on stderr if it fails, which must be one line."""
        result = CliRunner(env={"SIXLANE_SOCKET": str(self.socket), **(env or {})}).invoke(
            cli, argv, input=stdin
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        self.stderr = result.stderr
        if code == 0 or (code == FAILED and not result.stderr):
            return result.stdout
        assert result.stderr.startswith("sixlane"), result.stderr
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    def file(self, *resources: object, name: str = "edge.yaml") -> str:
        """Its path."""
        path = self.directory / name
        path.write_text(yaml.safe_dump_all(resources, sort_keys=False))
        return str(path)
