# SPDX-License-Identifier: Apache-2.0
"""Where kernel objects keep their names while no agent runs.

    PINS/maps-<layout>/<map>            all maps, of one layout of the shared structs
    PINS/programs-<build>/<program>     programs of one build; an upgrade puts the next beside it
    PINS/links/<mode>-<ifindex>         what is attached where

bpffs forbids dots in names, so devices go by their index.
"""

import hashlib
import shutil
from pathlib import Path

from sixlane.bpf.probe import bpffs_mounted, mount_bpffs
from sixlane.datapath import layout
from sixlane.errors import KernelError, NotSupported


class Pins:
    """The directories below `root`, which must lie in a bpffs (see `open`)."""

    def __init__(self, root: Path, build: str) -> None:
        self.root = root
        self.maps = root / f"maps-{layout.DIGEST}"
        self.programs = root / f"programs-{build}"
        self.links = root / "links"

    @classmethod
    def open(cls, root: Path, build: str) -> "Pins":
        """Makes the directories, and mounts a bpffs on the parent of `root` if there is none."""
        if not bpffs_mounted(root.parent):
            try:
                mount_bpffs(root.parent)
            except KernelError as error:
                raise NotSupported(
                    f"a bpffs at {root.parent}", f"mount -t bpf bpf {root.parent}"
                ) from error
        pins = cls(root, build)
        for directory in (pins.maps, pins.programs, pins.links):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return pins

    def other_layouts(self) -> list[Path]:
        """Map directories of another layout that hold maps."""
        return [
            path for path in self.root.glob("maps-*") if path != self.maps and any(path.iterdir())
        ]

    def remove_other_programs(self) -> None:
        """Forgets the programs of other builds; what is attached lives on by its link."""
        for path in self.root.glob("programs-*"):
            if path != self.programs:
                shutil.rmtree(path)


def build_id(*parts: bytes) -> str:
    """A name for the programs that come of these bytes: the object file and its constants."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
