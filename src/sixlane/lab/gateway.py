# SPDX-License-Identifier: Apache-2.0
"""A gateway of the lab, through sixlane's own commands: sixlaned in its namespace, sixlane from
here. Which one is the place's to say.

The agent starts as `nsenter --net` starts programs, in the gateway's network namespace only:
`ip netns exec` would hide /sys/fs/bpf, where it pins what has to outlive it.
"""

import json
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixlane.errors import SixlaneError
from sixlane.lab import offloads, programs
from sixlane.lab.place import Place
from sixlane.lab.programs import Ran
from sixlane.lab.session import Narrator
from sixlane.net import netns

EDGE = Path(__file__).with_name("edge.yaml")
_READY = "ready: the API listens"
_START_S = 120.0  # in an emulated machine
_DEVICE_LINE = re.compile(r"^( *)- name: (?:wan0|lan0|net0)\b.*$", re.MULTILINE)
_DROP = "drop_"


@dataclass(frozen=True)
class Counts:
    """Packets that the gateway translated in either direction, balanced, and dropped, by reason."""

    forwarded_46: int
    forwarded_64: int
    balanced: int
    drops: dict[str, int]

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.forwarded_46 + other.forwarded_46,
            self.forwarded_64 + other.forwarded_64,
            self.balanced + other.balanced,
            dict(Counter(self.drops) + Counter(other.drops)),
        )

    def __sub__(self, before: "Counts") -> "Counts":
        drops = {
            reason: count - before.drops.get(reason, 0) for reason, count in self.drops.items()
        }
        return Counts(
            self.forwarded_46 - before.forwarded_46,
            self.forwarded_64 - before.forwarded_64,
            self.balanced - before.balanced,
            {reason: count for reason, count in drops.items() if count},
        )


def start(place: Place, narrator: Narrator) -> int:
    """Start sixlaned in its namespace; its process id once its API listens."""
    argv = [
        program("sixlaned"),
        f"--socket={place.socket}",
        f"--bpffs={place.bpffs}",
        f"--state-dir={place.agent_state_dir}",
        f"--run-dir={place.agent_run_dir}",
    ]
    namespace = place.namespace(place.gateway)
    narrator.command(shlex.join(["nsenter", f"--net={netns.DIRECTORY / namespace}", *argv]))
    return programs.start(
        argv,
        log=place.log(f"{place.gateway}-sixlaned"),
        ready=_READY,
        namespace=namespace,
        timeout=_START_S,
    )


def start_health(place: Place, narrator: Narrator) -> int:
    """Start sixlane-health beside the agent; its process id once both know each other."""
    argv = [sys.executable, "-m", "sixlane.health.main", f"--socket={place.socket}"]
    namespace = place.namespace(place.gateway)
    narrator.command(shlex.join(["nsenter", f"--net={netns.DIRECTORY / namespace}", *argv]))
    log = place.log(f"{place.gateway}-health")
    return programs.start(argv, log=log, ready="in touch with the agent", namespace=namespace)


def apply_edge(place: Place, attach: str, narrator: Narrator) -> None:
    """Suit the hosts to the way in which the devices are to be attached, and apply edge.yaml."""
    if attach.startswith("xdp"):
        offloads.suit_xdp(place)
    apply_file(place, EDGE, attach, narrator)


def apply_file(place: Place, file: Path, attach: str, narrator: Narrator) -> None:
    """Apply a file of the lab, with its devices attached in that way."""
    if attach != "auto":
        file = _with_attach(place, file, attach)
    _need_success(show(place, narrator, "apply", "-f", str(file)))
    _need_success(show(place, narrator, "status"))


def attached_file(place: Place, file: Path) -> Path:
    """Where a file of the lab lies as it was applied, which says how its devices are attached."""
    return place.run_dir / place.gateway / file.name


def command(place: Place, *arguments: str) -> list[str]:
    """`sixlane` with these arguments, for this lab's agent."""
    return [program("sixlane"), "--socket", str(place.socket), *arguments]


def run(place: Place, *arguments: str) -> Ran:
    """Run `sixlane` to its end, whatever its exit status."""
    return programs.run_here(command(place, *arguments))


def agent(place: Place) -> int:
    """The process id of the agent that runs, or ran last."""
    return int((place.agent_run_dir / "sixlaned.lock").read_text())


def show(place: Place, narrator: Narrator, *arguments: str) -> Ran:
    """Run `sixlane` to its end, whatever its exit status, and show both."""
    return _shown(command(place, *arguments), narrator)


def tear_down(place: Place) -> Ran:
    """`sixlane teardown`, in the gateway's namespace: it does the work itself if no agent runs."""
    paths = [
        f"--bpffs={place.bpffs}",
        f"--state-dir={place.agent_state_dir}",
        f"--run-dir={place.agent_run_dir}",
    ]
    with netns.inside(place.namespace(place.gateway)):
        return run(place, "teardown", *paths)


def read(place: Place, *arguments: str) -> dict[str, Any]:
    """What `sixlane` tells as JSON; it has to succeed."""
    ran = _need_success(run(place, *arguments, "-o", "json"))
    found = json.loads(ran.out)
    assert isinstance(found, dict)
    return found


def read_status(place: Place) -> dict[str, Any]:
    """What `sixlane status` tells."""
    return read(place, "status")


def generation(place: Place) -> int:
    """How often the tables were flipped."""
    return int(read_status(place)["gateway"]["generation"])


def read_counts(place: Place) -> Counts:
    """What `sixlane counters` tells."""
    reasons = read(place, "counters")["reasons"]
    packets = {reason: int(count["packets"]) for reason, count in reasons.items()}
    return Counts(
        packets["forward_46"],
        packets["forward_64"],
        packets["forward_service"] + packets["forward_reply"],
        {
            reason.removeprefix(_DROP).replace("_", " "): count
            for reason, count in packets.items()
            if reason.startswith(_DROP)
        },
    )


def show_counters(place: Place, narrator: Narrator) -> None:
    """All counters that are not zero, for whoever looks for the cause of a failure."""
    show(place, narrator, "counters")


def take_down(place: Place) -> None:
    """Remove all that sixlane made outside of its namespace, with no help of its own."""
    slow_path = f"{place.bpffs.name}-slow"
    netns.remove(slow_path, missing_ok=True)
    shutil.rmtree(place.bpffs, ignore_errors=True)


def _with_attach(place: Place, file: Path, attach: str) -> Path:
    path = attached_file(place, file)
    text = _DEVICE_LINE.sub(rf"\g<0>\n\1  attach: {attach}", file.read_text())
    path.write_text(text)
    return path


def _shown(argv: Sequence[str], narrator: Narrator) -> Ran:
    narrator.command(shlex.join(argv))
    ran = programs.run_here(argv)
    narrator.output(ran.text)
    return ran


def _need_success(ran: Ran) -> Ran:
    if ran.status != 0:
        raise SixlaneError(f"{ran.command}: exit status {ran.status}: {ran.text}")
    return ran


def program(name: str) -> str:
    """The installed command beside this Python, else the one on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name
