# SPDX-License-Identifier: Apache-2.0
"""Where an agent keeps what it needs."""

from dataclasses import dataclass
from pathlib import Path

GROUP = "sixlane"
"""Whose members may use the socket."""

SOCKET = Path("/run/sixlane/api.sock")
BPFFS = Path("/sys/fs/bpf/sixlane")
STATE_DIR = Path("/var/lib/sixlane")
RUN_DIR = Path("/run/sixlane")


@dataclass(frozen=True)
class Settings:
    """`bpffs`: the directory of the pins. `state_dir` survives a reboot, `run_dir` does not.

    `dns64_unit`: the template of systemd for resolvers; None: they are processes of ours.
    """

    bpffs: Path = BPFFS
    state_dir: Path = STATE_DIR
    run_dir: Path = RUN_DIR
    dns64_unit: str | None = None

    @property
    def store(self) -> Path:
        return self.state_dir / "store.db"

    @property
    def leases(self) -> Path:
        """Of pods."""
        return self.state_dir / "leases.db"

    @property
    def pods_bpffs(self) -> Path:
        """The directory of the pins of pods."""
        return self.bpffs.with_name(f"{self.bpffs.name}-pods")

    @property
    def lock(self) -> Path:
        """Held by the one agent of this run directory."""
        return self.run_dir / "sixlaned.lock"
