# SPDX-License-Identifier: Apache-2.0
"""A data path with one fault planted, in a directory of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutants.planted import Mutant

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "bpf"


class Unusable(Exception):
    """The mutant proves nothing: its text is not there, or it does not build or load."""


def plant(text: str, mutant: Mutant) -> str:
    """The text with the fault. Unusable if its place is not there, or more than once."""
    found = text.count(mutant.old)
    if found != 1:
        raise Unusable(f"{mutant.file} has its text {found} times")
    return text.replace(mutant.old, mutant.new)


def source_of(mutant: Mutant) -> Path:
    """The file that it changes, from the top of bpf/."""
    return Path(os.path.normpath(Path("sixlane") / mutant.file))


def build(mutant: Mutant | None, directory: Path) -> Path:
    """Builds bpf/, with the fault if there is one, below `directory`; returns where the objects
    are. Unusable if the compiler or the kernel refuses them."""
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("build"), dirs_exist_ok=True)
    if mutant:
        path = directory / source_of(mutant)
        path.write_text(plant(path.read_text(), mutant))
    made = subprocess.run(
        ["make", "--silent", "-C", directory], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Unusable(f"does not build: {_first_error(made.stderr)}")
    loaded = subprocess.run(
        [sys.executable, "-m", "sixlane.datapath.sizes"],
        env=environment(directory / "build"),
        capture_output=True,
        text=True,
        check=False,
    )
    if loaded.returncode:
        raise Unusable(f"does not load: {loaded.stderr.strip().splitlines()[-1]}")
    return directory / "build"


def environment(objects: Path) -> dict[str, str]:
    return os.environ | {"SIXLANE_OBJECTS": str(objects)}


def _first_error(text: str) -> str:
    return next((line for line in text.splitlines() if "error:" in line), text.strip())
