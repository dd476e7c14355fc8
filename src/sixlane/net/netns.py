# SPDX-License-Identifier: Apache-2.0
"""Named network namespaces, the same that `ip netns` knows: mounts under /run/netns.

Only the network namespace changes hands here, never the mount namespace: inside, /sys/fs/bpf and
its pins stay in sight (`ip netns exec` hides them), and /sys/class/net shows the devices of where
the process was started.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from sixlane.errors import ConfigError, KernelError, SixlaneError

Result = TypeVar("Result")

DIRECTORY = Path("/run/netns")
_HERE = "/proc/thread-self/ns/net"

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2
_EINVAL = 22
_SO_NETNS_COOKIE = 71

_libc = ctypes.CDLL(None, use_errno=True)


def create(name: str) -> None:
    """Make the namespace `name`, empty but for a loopback device that is down, as `ip netns add`.

    Raises `ConfigError` if there is one of this name, `KernelError` if the kernel refuses.
    """
    path = _path(name)
    _prepare_directory()
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    except FileExistsError:
        raise ConfigError(
            f"network namespace {name} exists already", "choose another name, or remove it"
        ) from None
    except OSError as error:
        raise KernelError(error.errno or 0, f"make {path}") from error
    try:
        with _thread_stays_where_it_was():
            _call("unshare", ctypes.c_int(_CLONE_NEWNET), what=f"make network namespace {name}")
            _mount(_HERE, path, _MS_BIND, f"name network namespace {name}")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def remove(name: str, *, missing_ok: bool = False) -> None:
    """Take the name away. The namespace itself goes when its last process and socket has gone.

    Raises `ConfigError` if there is none of this name, unless `missing_ok`.
    """
    path = _path(name)
    with contextlib.suppress(KernelError):  # not mounted: a name that was left half made
        _call("umount2", _bytes(path), ctypes.c_int(_MNT_DETACH), what=f"unmount {path}")
    try:
        path.unlink()
    except FileNotFoundError:
        if not missing_ok:
            raise _missing(name) from None
    except OSError as error:
        raise KernelError(error.errno or 0, f"remove network namespace {name}") from error


def exists(name: str) -> bool:
    """Whether there is a namespace of this name."""
    return _path(name).exists()


def names() -> list[str]:
    """The names of all named namespaces, sorted."""
    try:
        return sorted(os.listdir(DIRECTORY))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def inside(name: str | None) -> Iterator[None]:
    """Move the calling thread, and no other, into the namespace `name` for the `with` block.

    Sockets, netlink, BPF device look-ups, /proc/sys/net and processes started in the block belong
    to that namespace. None stays where the thread is. Do not `await` in the block (whatever else
    the thread runs is moved too), and start no lasting thread in it: it would stay in there.
    """
    if name is None:
        yield
        return
    with _thread_stays_where_it_was():
        fd = open_fd(name)
        try:
            _setns(fd, f"enter network namespace {name}")
        finally:
            os.close(fd)
        yield


@contextlib.contextmanager
def inside_path(path: str) -> Iterator[None]:
    """As `inside`, for a namespace that is not named but has a path, as runtimes tell of those of
    containers. Raises `ConfigError` if there is none."""
    with _thread_stays_where_it_was():
        fd = open_path(path)
        try:
            _setns(fd, f"enter network namespace {path}")
        finally:
            os.close(fd)
        yield


def open_path(path: str) -> int:
    """A file descriptor of the namespace at `path`, which the caller closes; `ConfigError` if there
    is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"there is no network namespace at {path}") from None
    except OSError as error:
        raise KernelError(error.errno or 0, f"open {path}") from error


def in_new(job: Callable[[], Result]) -> Result:
    """What `job` returns in a namespace without a name, which ends with it.

    For probes: whatever it makes there, goes with the namespace. It runs in a thread of its own.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            _call("unshare", ctypes.c_int(_CLONE_NEWNET), what="make a network namespace")
            outcome.set_result(job())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="probe")
    thread.start()
    thread.join()
    return outcome.result()


def cookie() -> int:
    """A number that the calling thread's namespace alone has until the machine starts again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)


def open_fd(name: str | None) -> int:
    """A file descriptor of the namespace `name`; None: of the one the calling thread is in.

    The caller closes it.
    """
    path = _HERE if name is None else str(_path(name))
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _missing(str(name)) from None
    except OSError as error:
        raise KernelError(error.errno or 0, f"open {path}") from error


def popen(name: str | None, argv: Sequence[str], **kw: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen(argv, **kw)` in the namespace `name`, in a session of its own.

    The process id is that of the program itself (no wrapper), and its session is what
    `os.killpg(process.pid, ...)` ends together with its children. Raises `ConfigError` if the
    program is not to be found.
    """
    kw.setdefault("start_new_session", True)
    try:
        with inside(name):
            return subprocess.Popen(list(argv), **kw)
    except FileNotFoundError as error:
        raise ConfigError(f"cannot run {argv[0]}: {error.strerror}", "is it installed?") from error
    except PermissionError as error:
        raise ConfigError(f"cannot run {argv[0]}: {error.strerror}") from error


def run(
    name: str | None,
    argv: Sequence[str],
    *,
    input: str | None = None,
    timeout: float = 30.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program in the namespace `name` to its end; its output as text.

    Raises `SixlaneError` with its last line on stderr if it fails (unless `check` is off), or if
    it has not ended after `timeout` seconds; then the program and its children are killed.
    """
    process = popen(
        name,
        argv,
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    command = " ".join(argv)
    with process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise SixlaneError(f"{command}: not done after {timeout:g} s") from None
            raise
    if check and process.returncode:
        said = (err.strip() or out.strip()).splitlines()[-1:] or [""]
        raise SixlaneError(f"{command}: exit code {process.returncode}: {said[0]}")
    return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


def pids(name: str) -> list[int]:
    """The processes that live in the namespace `name`, in rising order, as `ip netns pids`."""
    try:
        wanted = os.stat(_path(name))
    except FileNotFoundError:
        raise _missing(name) from None
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked
            seen = os.stat(f"/proc/{entry}/ns/net")
            if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(entry))
    return sorted(found)


def _path(name: str) -> Path:
    if not name or "/" in name or "\0" in name or name in (".", "..") or len(name) > 255:
        raise ConfigError(f"{name!r} is no name for a network namespace")
    return DIRECTORY / name


def _missing(name: str) -> ConfigError:
    known = ", ".join(names()[:8])
    return ConfigError(
        f"no network namespace {name}", f"there are: {known}" if known else "there are none"
    )


def _prepare_directory() -> None:
    """/run/netns as `ip netns` wants it: a shared mount, so that removals reach all mount trees."""
    try:
        DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(error.errno or 0, f"make {DIRECTORY}") from error
    what = f"mount {DIRECTORY}"
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would mount it twice
        try:
            _mount("", DIRECTORY, _MS_SHARED | _MS_REC, what)
        except KernelError as error:
            if error.errno != _EINVAL:  # EINVAL: it is no mount yet
                raise
            _mount(DIRECTORY, DIRECTORY, _MS_BIND | _MS_REC, what)
            _mount("", DIRECTORY, _MS_SHARED | _MS_REC, what)
    finally:
        os.close(lock)


@contextlib.contextmanager
def _thread_stays_where_it_was() -> Iterator[None]:
    home = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _setns(home, "return to the network namespace of before")
        finally:
            os.close(home)


def _setns(fd: int, what: str) -> None:
    _call("setns", ctypes.c_int(fd), ctypes.c_int(_CLONE_NEWNET), what=what)


def _mount(source: str | Path, target: Path, flags: int, what: str) -> None:
    arguments = (_bytes(source), _bytes(target), b"none", ctypes.c_ulong(flags), None)
    _call("mount", *arguments, what=what)


def _bytes(path: str | Path) -> bytes:
    return os.fsencode(path)


def _call(function: str, *arguments: Any, what: str) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        hint = "this needs root (CAP_SYS_ADMIN)" if number == 1 else ""
        raise KernelError(number, what, hint)
