# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels, fetched once and unpacked into a cache folder.

They come from Debian 12, its security updates and its backports, whatever the machine is.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests import apt
from tests.vm.errors import Failed

SERIES = ("6.12", "6.1")
CACHE = apt.CACHE / "vm"

_SOURCES = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-backports main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)


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
        debian = apt.Apt(work, *_SOURCES)
        # Neither a cloud nor a real-time kernel, and signed.
        pattern = rf"^linux-image-{re.escape(series)}\.[0-9]+([+-][a-z0-9]+)?-amd64$"
        if (package := newest(debian.search(pattern))) is None:
            raise Failed(f"Debian has no package of Linux {series}")
        print(f"fetching {package}", flush=True)
        unpacked = debian.unpack(package)
        release = package.removeprefix("linux-image-")
        apt.run("depmod", "--basedir", unpacked, release)
        shutil.rmtree(CACHE / series, ignore_errors=True)
        unpacked.rename(CACHE / series)


def newest(found: str) -> str | None:
    """The package with the highest version in its name, of what `apt-cache search` printed."""
    names = [line.split(" ", 1)[0] for line in found.splitlines()]
    return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], default=None)
