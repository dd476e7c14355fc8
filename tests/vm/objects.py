# SPDX-License-Identifier: Apache-2.0
"""The data path, built by each compiler, and how a command in a guest gets one of them."""

import subprocess
from pathlib import Path

from tests.vm.errors import Failed

ROOT = Path(__file__).parents[2]
COMPILERS = ("clang", "clang-19")  # Debian 12's own, and a newer one that it has as well

_BUILD = ROOT / "bpf" / "build"
_BUILD_S = 300.0


def build(compiler: str) -> None:
    """Compiles what is not current. Failed if it does not compile, with what the compiler says."""
    command = ["make", "--silent", "--directory=bpf", f"CLANG={compiler}"]
    try:
        subprocess.run(
            [*command, f"BUILD=build/{compiler}"], cwd=ROOT, check=True, timeout=_BUILD_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Failed(
            f"{compiler} does not build the data path (packaging/install-deps vm)"
        ) from error


def with_objects(compiler: str, argv: list[str]) -> list[str]:
    """The command, for which this compiler's objects lie where those of `make bpf` are looked for.

    It has mounts of its own, so that it alone sees them there.
    """
    script = 'mount --bind "$0/$1" "$0" && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(_BUILD), compiler, *argv]
