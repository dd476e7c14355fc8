# SPDX-License-Identifier: Apache-2.0
"""named as a process: start one that outlives us, find it again, end it.

A named of ours is known by `-c CONFIGURATION` on its command line, which says more than a pid file:
it holds after a crash at any point, and never means a stranger.
"""

import contextlib
import itertools
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
from pathlib import Path

from sixlane.dns64.unit import unit_of
from sixlane.errors import KernelError, NotSupported, SixlaneError

USER = "bind"
_ALSO_LOOK_IN = "/usr/sbin:/sbin:/usr/local/sbin"
_PATIENCE_S = 5.0
_APPARMOR_PROFILES = Path("/sys/kernel/security/apparmor/profiles")

_started: dict[int, subprocess.Popen[bytes]] = {}
"""Those that are children of ours: they stay in the process table until we ask for their status."""


def program(name: str) -> str:
    """Where BIND's program `name` is. Raises `NotSupported` with what to install."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), _ALSO_LOOK_IN])
    found = shutil.which(name, path=path)
    if found is None:
        raise NotSupported(f"{name} of BIND 9, which DNS64 needs", "apt install bind9 bind9-utils")
    return found


def start(configuration: Path, user: str | None) -> int:
    """Start named in a session of its own; its pid. It may yet fail to begin its work."""
    argv = [program("named"), "-f", "-c", str(configuration)]
    if user is not None:
        argv += ["-u", user]
    try:
        process = subprocess.Popen(
            [*_unconfined(), *argv],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise KernelError(error.errno or 0, f"start {argv[0]}") from error
    _started[process.pid] = process
    return process.pid


def find(configuration: Path, likely: int | None = None) -> int | None:
    """The pid of the named that runs with this configuration file; `likely` is looked at first."""
    if likely is not None and _is_named(str(likely), configuration):
        return likely
    _reap()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _is_named(entry, configuration):
            return int(entry)
    return None


def is_here(pid: int) -> bool:
    """Whether a process is in our network namespace. Units of ours are, as we are one as well."""
    if unit_of(pid) is not None:
        return True
    try:
        theirs, ours = os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/thread-self/ns/net")
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def user_of(pid: int) -> str:
    """The name of the user that a process runs as; "" if it has ended."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return ""
    except KeyError:
        return str(uid)


def reload(pid: int) -> None:
    """Have named read its configuration again."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)


def stop(pid: int) -> None:
    """End a named: ask, then kill; returns when it has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                signal.pidfd_send_signal(fd, sign)
            except ProcessLookupError:
                pass
            except PermissionError as error:  # an agent that leaves signals to systemd
                what = f"end named (pid {pid}), which runs outside of systemd"
                raise KernelError(error.errno or 0, what, f"kill {pid}") from error
            if select.select([fd], [], [], _PATIENCE_S)[0]:
                return
    finally:
        os.close(fd)
        _reap()
    raise SixlaneError(f"named (pid {pid}) does not end", "see `ps` for what it waits for")


def has_ended(pid: int) -> bool:
    _reap()
    return not Path("/proc", str(pid)).exists()


def unprivileged_user(*directories: Path) -> tuple[str | None, str]:
    """Who named can run as: BIND's user, or None (root) and why not.

    That user must exist and be able to enter the directories.
    """
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        return None, f"there is no user {USER}"
    for directory in directories:
        for each in (directory, *directory.parents):
            if each.exists() and not _may_enter(each, account):
                return None, f"user {USER} cannot enter {each}"
    return USER, ""


def _may_enter(directory: Path, account: pwd.struct_passwd) -> bool:
    found = directory.stat()
    if found.st_uid == account.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.pw_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _is_named(pid: str, configuration: Path) -> bool:
    try:
        argv = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if os.path.basename(argv[0]) != b"named":  # also b"": it has ended, and waits to be reaped
        return False
    wanted = os.fsencode(configuration)
    return (b"-c", wanted) in itertools.pairwise(argv)


def _reap() -> None:
    for pid, process in list(_started.items()):
        if process.poll() is not None:
            del _started[pid]


def _unconfined() -> list[str]:
    """Debian's AppArmor profile lets named read and write in BIND's own directories only.

    Where it is loaded, named is started outside of it; it is unprivileged, and writes to one
    directory of ours.
    """
    try:
        profiles = _APPARMOR_PROFILES.read_text()
    except OSError:
        return []
    names = {line.rsplit(" (", 1)[0] for line in profiles.splitlines() if "(enforce)" in line}
    wrapper = shutil.which("aa-exec")
    if wrapper is None or not names & {"named", "/usr/sbin/named"}:
        return []
    return [wrapper, "-p", "unconfined", "--"]
