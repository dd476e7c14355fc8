# SPDX-License-Identifier: Apache-2.0
"""One lab, from nothing to forwarding and back to nothing."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sixlane.errors import SixlaneError
from sixlane.lab import balance, cluster, gateway, programs, raising, servers
from sixlane.lab.place import Place
from sixlane.lab.session import Narrator, Silent

# The programs that the lab and its steps run, and Debian's packages that have them.
PROGRAMS = {
    "curl": "curl",
    "dig": "bind9-dnsutils",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "named": "bind9",
    "nstat": "iproute2",
    "ping": "iputils-ping",
    "ss": "iproute2",
    "traceroute": "traceroute",
}


def need_programs() -> None:
    """Raises `SixlaneError` if programs are missing that the lab and its steps run."""
    path = programs.PATH
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        packages = " ".join(sorted({PROGRAMS[program] for program in missing}))
        raise SixlaneError(f"cannot find {', '.join(missing)}", f"apt-get install {packages}")


@contextlib.contextmanager
def held(place: Place) -> Iterator[None]:
    """Nobody else raises or removes this lab meanwhile. Raises `SixlaneError` if somebody does."""
    if os.geteuid() != 0:
        raise SixlaneError("the lab makes network namespaces, which only root may", "try sudo")
    with contextlib.ExitStack() as stack:
        while True:
            lock = stack.enter_context(place.lock.open("a"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SixlaneError(
                    f"the lab {place.prefix} is in use by another process",
                    "wait for it, or choose another --prefix",
                ) from None
            if _is_file_of(lock.fileno(), place.lock):  # else its holder of before removed it
                break
        stack.callback(place.lock.unlink)
        yield


def _is_file_of(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def raise_lab(place: Place, attach: str = "auto", narrator: Narrator | None = None) -> None:
    """Everything up and serving, the gateway's devices attached as `attach` says.

    What an earlier run left behind is removed first.
    """
    need_programs()
    take_down(place)
    raising.raise_hosts(place)
    servers.start_all(place)
    gateway.start(place, narrator or Silent())
    gateway.apply_edge(place, attach, narrator or Silent())


def take_down(place: Place) -> None:
    """Remove whatever there is of this lab, all acts; fine if there is nothing."""
    cluster.take_down(place)
    balance.take_down(place)
    raising.take_down_hosts(place)
    gateway.take_down(place)
    for directory in (place.run_dir, place.nameserver_dir):
        shutil.rmtree(directory, ignore_errors=True)
