# SPDX-License-Identifier: Apache-2.0
"""netperf and netserver: the machine's own, or else built once from Debian 13's source.

Debian 12 has none, and Debian 13's binary wants a newer C library.
"""

import shutil
import tempfile
from pathlib import Path

from tests import apt

PROGRAMS = ("netperf", "netserver")
_CACHE = apt.CACHE / "netperf"
_SOURCE = "deb-src http://deb.debian.org/debian trixie main"
# It is older than compilers that want each function declared and each variable defined once.
_FLAGS = "CFLAGS=-O2 -w -fcommon -D_GNU_SOURCE"


def get() -> dict[str, Path]:
    """The path of each of `PROGRAMS`. Failed if there are none, and none can be built."""
    found = {name: shutil.which(name) for name in PROGRAMS}
    if all(found.values()):
        return {name: Path(str(path)) for name, path in found.items()}
    if not _CACHE.is_dir():
        _build()
    return {name: _CACHE / name for name in PROGRAMS}


def _build() -> None:
    _CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE.parent) as name:
        source = apt.Apt(Path(name), _SOURCE).unpack_source("netperf")
        print("building netperf", flush=True)
        apt.run("autoreconf", "--force", "--install", "-I", "src/missing/m4", cwd=source)
        apt.run("./configure", "--quiet", _FLAGS, cwd=source)
        apt.run("make", "--directory=src", *PROGRAMS, cwd=source)
        made = Path(name) / "made"
        made.mkdir()
        for program in PROGRAMS:
            (source / "src" / program).rename(made / program)
        made.rename(_CACHE)


if __name__ == "__main__":
    for program in get().values():
        print(program)
