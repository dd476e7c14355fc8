# SPDX-License-Identifier: Apache-2.0
"""BPF programs of the tests' own, compiled where a test needs them."""

import subprocess
from pathlib import Path

_COMMAND = ["clang", "-g", "-O2", "-Wall", "-Werror", "--target=bpf", "-mcpu=v3"]


def compile_bpf(source: Path, directory: Path, *includes: Path) -> Path:
    """The object file, made in `directory`. `includes`: where its headers are."""
    compiled = directory / source.with_suffix(".o").name
    headers = subprocess.run(
        ["gcc", "-print-multiarch"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(
        [
            *_COMMAND,
            *(f"-I{one}" for one in includes),
            f"-I/usr/include/{headers}",
            "-c",
            "-o",
            compiled,
            source,
        ],
        check=True,
    )
    return compiled
