# SPDX-License-Identifier: Apache-2.0
"""Debian's archive, whatever the machine is: apt with lists of its own, so that the machine's
sources and packages stay as they are; and where what was fetched is kept."""

import os
import subprocess
from pathlib import Path

from tests.vm.errors import Failed

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixlane"

_RUN_S = 600.0  # for one call of a program
_KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Apt:
    """apt with all of its state in the directory `work`. `sources`: lines as "deb URI suite main",
    without options."""

    def __init__(self, work: Path, *sources: str) -> None:
        self._work = work
        listed = work / "sources.list"
        lines = (line.replace(" ", f" [signed-by={_KEY}] ", 1) for line in sources)
        listed.write_text("".join(f"{line}\n" for line in lines))
        (work / "lists" / "partial").mkdir(parents=True)
        settings = {
            "Dir::Etc::sourcelist": listed,
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": work / "lists",
            "Dir::Cache": work,
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "root",
        }
        self._options = [f"--option={key}={value}" for key, value in settings.items()]
        run("apt-get", *self._options, "--quiet=2", "update")

    def search(self, pattern: str) -> str:
        """What `apt-cache search` prints of the packages with such names."""
        return run("apt-cache", *self._options, "search", "--names-only", pattern)

    def unpack(self, package: str) -> Path:
        """A directory with the files of a binary package."""
        run("apt-get", *self._options, "--quiet=2", "download", package, cwd=self._work)
        [archive] = self._work.glob("*.deb")
        unpacked = self._work / "unpacked"
        run("dpkg-deb", "--extract", archive, unpacked)
        return unpacked

    def unpack_source(self, package: str) -> Path:
        """A directory with the source of a package as its authors have it, without Debian's
        changes."""
        wanted = ("source", "--download-only", "--tar-only", package)
        run("apt-get", *self._options, "--quiet=2", *wanted, cwd=self._work)
        [archive] = self._work.glob("*.orig.tar.*")
        unpacked = self._work / "unpacked"
        unpacked.mkdir()
        run("tar", "--extract", "--strip-components=1", "--file", archive, cwd=unpacked)
        return unpacked


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    """What a program prints. Failed, with what it complains of, if it fails or is not there."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, timeout=_RUN_S, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{argv[0]}: {error} (packaging/install-deps)") from error
    if done.returncode != 0:
        raise Failed(f"{argv[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
