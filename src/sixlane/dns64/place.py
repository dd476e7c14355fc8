# SPDX-License-Identifier: Apache-2.0
"""Where the files of the resolvers are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """The directories of the agent. Each resolver has one of its own below both."""

    run_dir: Path
    state_dir: Path

    @property
    def all_run(self) -> Path:
        return self.run_dir / "dns64"

    @property
    def all_state(self) -> Path:
        return self.state_dir / "dns64"

    def configuration(self, name: str) -> Path:
        """named.conf; root's, and what names the process on its command line."""
        return self.all_run / name / "named.conf"

    def state(self, name: str) -> Path:
        """The only directory that named writes to: keys of the DNS root, and its log."""
        return self.all_state / name

    def log(self, name: str) -> Path:
        return self.state(name) / "named.log"
