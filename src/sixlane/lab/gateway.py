# SPDX-License-Identifier: Apache-2.0
"""The lab's gateway, through sixlane's own commands: sixlaned in gw's namespace, sixlane from here.

The agent starts as `nsenter --net` starts programs, in gw's network namespace and nowhere else:
`ip netns exec` would hide /sys/fs/bpf, where it pins what has to outlive it.
"""

import json
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sixlane.errors import SixlaneError
from sixlane.lab import offloads, programs
from sixlane.lab.place import Place
from sixlane.lab.programs import Ran
from sixlane.lab.session import Narrator
from sixlane.net import netns

HOST = offloads.GATEWAY
LOG = "sixlaned"
_READY = "ready"
_XDP = ("xdp", "xdp-generic")


@dataclass(frozen=True)
class Counts:
    """Packets that the gateway translated, and those that it dropped, by reason."""

    forwarded: int
    drops: dict[str, int]

    def __sub__(self, before: "Counts") -> "Counts":
        drops = {
            reason: count - before.drops.get(reason, 0) for reason, count in self.drops.items()
        }
        return Counts(
            self.forwarded - before.forwarded,
            {reason: count for reason, count in drops.items() if count},
        )


def start(place: Place, narrator: Narrator) -> int:
    """Start sixlaned in gw's namespace; its process id once its API answers."""
    argv = [
        _program("sixlaned"),
        f"--socket={place.socket}",
        f"--bpffs={place.bpffs}",
        f"--state-dir={place.agent_state_dir}",
        f"--run-dir={place.agent_run_dir}",
    ]
    namespace = place.namespace(HOST)
    narrator.command(shlex.join(["nsenter", f"--net={netns.DIRECTORY / namespace}", *argv]))
    return programs.launch(place, namespace, LOG, argv, ready=_READY)
