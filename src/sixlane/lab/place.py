# SPDX-License-Identifier: Apache-2.0
"""Where one lab lives: every name and path that it uses, all derived from its prefix.

Two labs with different prefixes share nothing, so tests run beside a demo that was left up.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from sixlane.errors import ConfigError

DEFAULT_PREFIX = "sl-"
GATEWAY = "gw"
_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,14}-")


@dataclass(frozen=True)
class Place:
    """Names and paths of the lab whose namespaces begin with `prefix` (it ends in a dash).

    `gateway`: the host whose agent is meant.
    """

    prefix: str = DEFAULT_PREFIX
    gateway: str = GATEWAY

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigError(
                f"--prefix {self.prefix}: not a prefix for namespaces",
                "at most 16 of a-z, 0-9 and dashes, the last one a dash",
            )

    @property
    def name(self) -> str:
        """The directory name that stands for this lab below /run and /sys/fs/bpf."""
        if self.prefix == DEFAULT_PREFIX:
            return "sixlane-lab"
        return f"sixlane-lab-{self.prefix.rstrip('-')}"

    def namespace(self, host: str) -> str:
        """The network namespace of a host of the topology."""
        return self.prefix + host

    @property
    def run_dir(self) -> Path:
        """Logs, and what the lab's programs write while they run."""
        return Path("/run") / self.name

    @property
    def lock(self) -> Path:
        """Held by whoever raises or uses this lab; outside of `run_dir`, which comes and goes."""
        return Path("/run") / f"{self.name}.lock"

    def at(self, gateway: str) -> "Place":
        """The same lab, for whoever talks to another one of its gateways."""
        return replace(self, gateway=gateway)

    @property
    def bpffs(self) -> Path:
        """Where the gateway pins its maps, programs and links."""
        return self.pins("" if self.gateway == GATEWAY else self.gateway)

    def pins(self, host: str) -> Path:
        """Where a host that has no agent pins its own."""
        return Path("/sys/fs/bpf") / "-".join(filter(None, (self.name, host)))

    @property
    def agent_run_dir(self) -> Path:
        return self.run_dir / self.gateway / "sixlane"

    @property
    def agent_state_dir(self) -> Path:
        return self.run_dir / self.gateway / "state"

    @property
    def socket(self) -> Path:
        """The agent's API."""
        return self.agent_run_dir / "api.sock"

    @property
    def nameserver_dir(self) -> Path:
        """named's files. Debian's AppArmor profile lets it write nowhere but below here."""
        return Path("/var/cache/bind") / self.name

    def resolv_conf(self, host: str) -> Path:
        """What `ip netns exec` shows to programs on that host as /etc/resolv.conf."""
        return Path("/etc/netns") / self.namespace(host) / "resolv.conf"

    def log(self, name: str) -> Path:
        return self.run_dir / "log" / f"{name}.log"
