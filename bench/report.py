# SPDX-License-Identifier: Apache-2.0
"""All that was measured as a file, with what it depends on."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import sixlane
from bench.rows import Row

_FORMAT = 1  # as sixlane bench compare reads it


def write(path: Path, rows: Sequence[Row], settings: Mapping[str, str]) -> None:
    """As JSON. A file that is there is replaced whole."""
    data = {
        "format": _FORMAT,
        "about": about() | {"settings": dict(settings)},
        "rows": [asdict(row) for row in rows],
    }
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(data, indent=1) + "\n")
    fresh.replace(path)


def about() -> dict[str, object]:
    """Machine, kernel and versions."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "kernel": os.uname().release,
        "versions": {
            "sixlane": sixlane.__version__,
            "commit": _line("git", "describe", "--always", "--dirty"),
            "clang": _line("clang", "--version"),
            "python": platform.python_version(),
            "iperf3": _line("iperf3", "--version"),
            "nft": _line("nft", "--version"),
        },
    }


def _machine() -> dict[str, object]:
    info = Path("/proc/cpuinfo").read_text()
    model = next((one for one in info.splitlines() if one.startswith("model name")), "")
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "cpu": model.partition(":")[2].strip() or platform.machine(),
        "cpus": os.cpu_count(),
        "memoryKib": int(memory),
    }


def _line(*command: str) -> str:
    """The first line that a program prints; "" if it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0]
