# SPDX-License-Identifier: Apache-2.0
"""What `sixlane sysdump` gathers: from the agent, from programs, and from files."""

import io
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sixlane
from sixlane.agent.home import inside_home
from sixlane.cli.doctor import examine
from sixlane.cli.options import Directories
from sixlane.cli.views import desired
from sixlane.client import Client
from sixlane.errors import SixlaneError
from sixlane.sources.dump import dump

_Entry = tuple[str, Callable[[], bytes]]  # a name, and how what stands there is made

_PATIENCE_S = 15
_LARGEST_BYTES = 16 << 20

_README = """\
sixlane {version}, {time}

agent/    what the agent told, as JSON; metrics in Prometheus' format; resources.yaml is
          what `sixlane apply -f` takes
system/   what programs of this machine told: each file begins with the command line
files/    files of this machine

It holds addresses, names and rules of this network, and the last messages of sixlaned. It holds
no secrets: sixlane has none, and neither keys nor passwords are read.
"""

# In the agent's network namespace, where it can be entered. A program that is not there is noted.
_PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("uname", "-a"),
    ("uptime",),
    ("ip", "-details", "-statistics", "link"),
    ("ip", "address"),
    ("ip", "-4", "route", "show", "table", "all"),
    ("ip", "-6", "route", "show", "table", "all"),
    ("ip", "-4", "rule"),
    ("ip", "-6", "rule"),
    ("ip", "neighbour"),
    ("ip", "netns"),
    ("tc", "-statistics", "qdisc"),
    ("bpftool", "prog", "show"),
    ("bpftool", "map", "show"),
    ("bpftool", "link", "show"),
    ("bpftool", "net", "show"),
    ("bpftool", "feature", "probe", "kernel"),
    ("nft", "list", "ruleset"),
    ("ss", "--all", "--numeric", "--processes"),
    ("sysctl", "-a", "--pattern", r"^net\.(ipv4|ipv6)\.(conf|ip_forward|icmp)|^net\.core\.bpf"),
    ("journalctl", "--unit=sixlaned*", "--lines=5000", "--no-pager"),
    ("dmesg",),
    ("find", "/sys/fs/bpf", "-ls"),
)
_FILES = ("/etc/os-release", "/proc/cmdline", "/proc/meminfo", "/proc/softirqs")


def write(
    client: Client, directories: Directories, target: Path, top: str
) -> tuple[int, list[str]]:
    """The number of files, and what could not be had: one line for each reason."""
    lacking: dict[str, list[str]] = {}
    count = 0
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, make in _contents(client, directories):
                content = _made(name, make, lacking)
                if content is not None:
                    _add(archive, f"{top}/{name}", content)
                    count += 1
    except OSError as error:
        raise SixlaneError(f"cannot write: {target}: {error.strerror or error}") from None
    return count, [f"{_and_more(names)}: {why}" for why, names in lacking.items()]


def _made(name: str, make: Callable[[], bytes], lacking: dict[str, list[str]]) -> bytes | None:
    try:
        return make()[:_LARGEST_BYTES]
    except SixlaneError as error:
        lacking.setdefault(str(error), []).append(name)
    except OSError as error:
        lacking.setdefault(error.strerror or str(error), []).append(name)
    return None


def _and_more(names: list[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mtime = int(time.time())
    archive.addfile(member, io.BytesIO(content))


def _contents(client: Client, directories: Directories) -> Iterator[_Entry]:
    """Names, and how their contents are made, when their turn has come."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    readme = _README.format(version=sixlane.__version__, time=now)
    yield "README", readme.encode
    yield from _of_agent(client, directories)
    for argv in _PROGRAMS:
        words = re.sub("[^a-z0-9]+", "-", " ".join(argv))[:40].strip("-")
        yield f"system/{words}", partial(_told_by, argv, directories.run_dir)
    for path in _FILES:
        yield f"files{path}", Path(path).read_bytes


def _of_agent(client: Client, directories: Directories) -> Iterator[_Entry]:
    def json_of(ask: Callable[[], Any]) -> Callable[[], bytes]:
        return lambda: json.dumps(ask(), indent=2, ensure_ascii=False).encode()

    yield "agent/status.json", json_of(client.status)
    yield "agent/resources.json", json_of(client.resources)
    yield "agent/resources.yaml", lambda: _resources_as_yaml(client)
    yield "agent/history.json", json_of(client.history)
    yield "agent/counters.json", json_of(client.counters)
    yield "agent/doctor.json", json_of(lambda: examine(client, directories))
    yield "agent/metrics.txt", lambda: client.metrics().encode()


def _resources_as_yaml(client: Client) -> bytes:
    items = client.resources()["items"]
    return "---\n".join(dump(desired(view)) for view in items).encode()


def _told_by(argv: tuple[str, ...], run_dir: Path) -> bytes:
    """The command line and what it printed, with its end if that was a failure."""
    try:
        with inside_home(run_dir):
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_PATIENCE_S,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise SixlaneError(f"no end after {_PATIENCE_S} s: {' '.join(argv)}") from None
    end = f"\n(exit status {done.returncode})\n".encode() if done.returncode else b""
    return f"$ {' '.join(argv)}\n".encode() + done.stdout + end
