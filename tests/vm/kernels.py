# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels, fetched once and unpacked into a cache folder.

They come from Debian 12, its security updates and its backports, whatever the machine is: apt runs
with lists of its own, so that the machine's sources and packages stay as they are.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm.errors import Failed

SERIES = ("6.12", "6.1")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixlane" / "vm"

_FETCH_S = 600.0  # for one call of apt
_SOURCES = """\
deb [signed-by={key}] http://deb.debian.org/debian bookworm main
deb [signed-by={key}] http://deb.debian.org/debian bookworm-backports main
deb [signed-by={key}] http://deb.debian.org/debian-security bookworm-security main
"""
_KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel; `directory` holds boot/ and lib/modules/ of its package."""

    series: str
    directory: Path

    @property
    def release(self) -> str:
        """As `uname -r` will say it."""
        return self.modules.name

    @property
    def image(self) -> Path:
        return self.directory / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        return next((self.directory / "lib" / "modules").iterdir())


def get(series: str) -> Kernel:
    """The kernel in the cache, or else the newest one that Debian has. Failed if there is none."""
    directory = CACHE / series
    if not directory.is_dir():
        fetch(series)
    return Kernel(series, directory)


def fetch(series: str) -> None:
    """Puts the newest kernel of the series into the cache, in place of what is there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        apt = _Apt(work)
        package = apt.newest(series)
        print(f"fetching {package}", flush=True)
        unpacked = apt.unpack(package)
        release = package.removeprefix("linux-image-")
        _run("depmod", "--basedir", unpacked, release)
        shutil.rmtree(CACHE / series, ignore_errors=True)
        unpacked.rename(CACHE / series)


class _Apt:
    """apt with all of its state in the directory `work`."""

    def __init__(self, work: Path) -> None:
        self._work = work
        sources = work / "sources.list"
        sources.write_text(_SOURCES.format(key=_KEY))
        (work / "lists" / "partial").mkdir(parents=True)
        settings = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": work / "lists",
            "Dir::Cache": work,
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "root",
        }
        self._options = [f"--option={key}={value}" for key, value in settings.items()]
        _run("apt-get", *self._options, "--quiet=2", "update")

    def newest(self, series: str) -> str:
        """The name of the package: neither a cloud nor a real-time kernel, and signed."""
        pattern = rf"^linux-image-{re.escape(series)}\.[0-9]+([+-][a-z0-9]+)?-amd64$"
        found = _run("apt-cache", *self._options, "search", "--names-only", pattern)
        names = [line.split(" ", 1)[0] for line in found.splitlines()]
        if not names:
            raise Failed(f"Debian has no package of Linux {series}")
        return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def unpack(self, package: str) -> Path:
        _run("apt-get", *self._options, "--quiet=2", "download", package, cwd=self._work)
        [archive] = self._work.glob("*.deb")
        unpacked = self._work / "unpacked"
        _run("dpkg-deb", "--extract", archive, unpacked)
        return unpacked


def _run(*argv: str | Path, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, timeout=_FETCH_S, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{argv[0]}: {error} (packaging/install-deps vm)") from error
    if done.returncode != 0:
        raise Failed(f"{argv[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
