# SPDX-License-Identifier: Apache-2.0
"""A systemd of the test's own, with the units of sixlane in it and a gateway's two devices."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.agents import eventually

ROOT = Path(__file__).parents[2]
_BOOT = Path(__file__).with_name("boot.sh")
_PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE_S = 60.0

_DEVICES = """
for device in wan0 lan0; do
    ip link add $device type veth peer name peer-$device
    ip link set $device up
    ip link set peer-$device up
done
ip link set lo up
ip address add 192.31.196.1/24 dev wan0
ip -6 address add 2001:db8:64::1/64 dev lan0 nodad
"""


class Machine:
    """`pid`: of its PID 1, as we see it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def run(self, script: str, *, check: bool = True, stdin: str = "") -> str:
        """What a shell script in there prints, on stdout and stderr."""
        spaces = ("mount", "pid", "net", "uts", "ipc", "cgroup", "root", "wd")
        enter = ["nsenter", f"--target={self.pid}", *(f"--{space}" for space in spaces)]
        done = subprocess.run(
            [*enter, "env", "-i", f"PATH={_PATH}", "bash", "-c", script],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{script}: {done.stdout}"
        return done.stdout.strip()

    def start_agent(self) -> None:
        failed = self.run(
            "systemctl start sixlaned.service 2>&1 || journalctl --no-pager --lines 20"
        )
        assert failed == "", failed

    def show(self, unit: str, setting: str) -> str:
        return self.run(f"systemctl show --property={setting} --value {unit}")

    def is_active(self, unit: str) -> bool:
        return self.run(f"systemctl is-active {unit}", check=False) == "active"

    def main_pid(self, unit: str) -> int:
        """0: it does not run."""
        return int(self.show(unit, "MainPID"))

    def drop_in(self, **settings: object) -> None:
        """Settings of sixlaned.service, until the next call, from its next start on."""
        lines = "".join(f"{key}={value}\n" for key, value in settings.items())
        self.run(
            "mkdir -p /run/systemd/system/sixlaned.service.d;"
            "cat > /run/systemd/system/sixlaned.service.d/test.conf; systemctl daemon-reload",
            stdin=f"[Service]\n{lines}",
        )

    def write(self, path: str, text: str) -> None:
        self.run(f"cat > {path}", stdin=text)


@contextlib.contextmanager
def machine(work: Path) -> Iterator[Machine]:
    """A booted machine. Skips where namespaces or file systems for it are missing."""
    group = _cgroup2() / f"sixlane-test-{os.getpid()}"
    group.mkdir()
    argv = [str(_BOOT), str(group), str(work), str(ROOT), sys.executable]
    boot = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        booted = Machine(_child_of(boot))
        # "degraded": something of this machine that has nothing to do with us does not start.
        up = ("running", "degraded")
        assert eventually(lambda: _state(booted) in up, _PATIENCE_S), _state(booted)
        booted.run(_DEVICES)
        yield booted
    finally:
        with contextlib.suppress(ProcessLookupError, IndexError, AssertionError):
            os.kill(_child_of(boot), signal.SIGKILL)
        boot.kill()
        boot.wait()
        assert boot.stdout is not None
        boot.stdout.close()
        _remove(group)


def _cgroup2() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    pytest.skip("no cgroup v2 tree here")


def _child_of(boot: "subprocess.Popen[str]") -> int:
    children = Path(f"/proc/{boot.pid}/task/{boot.pid}/children")
    assert eventually(lambda: bool(children.read_text().split()) or boot.poll() is not None)
    if boot.poll() is not None:
        pytest.skip("systemd does not boot here: namespaces or overlayfs are missing")
    return int(children.read_text().split()[0])


def _state(booted: Machine) -> str:
    return booted.run("systemctl is-system-running", check=False)


def _remove(group: Path) -> None:
    """Empty by now, but the kernel may still be at it."""
    for path in sorted(group.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        if path.is_dir():
            assert eventually(lambda path=path: _rmdir(path))  # type: ignore[misc]
    assert eventually(lambda: _rmdir(group))


def _rmdir(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
