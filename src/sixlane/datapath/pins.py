# SPDX-License-Identifier: Apache-2.0
"""Where kernel objects keep their names while no agent runs.

    PINS/maps/<map>-<digest>            each map under its layout (layout.DIGESTS)
    PINS/programs-<build>/<program>     programs of one build; an upgrade puts the next beside it
    PINS/links/<mode>-<ifindex>         what is attached where

bpffs forbids dots in names, so devices go by their index.
"""

import hashlib
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from sixlane.bpf import Map
from sixlane.bpf.probe import bpffs_mounted, mount_bpffs
from sixlane.datapath import layout
from sixlane.errors import KernelError, NotSupported

_COUNTERS = {"counters", "prefix_counters"}

OWN = frozenset({"visits", "capture_rules", "capture_works", "captures"})
"""Note pads: each object has its own, which ends with it."""

PINNED = tuple(name for name in layout.MAPS if name not in OWN)
"""Maps that outlive the programs."""

Group = Mapping[str, Path]
"""Maps that are adopted together or not at all: their pins by their names."""


class Pins:
    """The directories below `root`, which must lie in a bpffs (see `open`)."""

    def __init__(self, root: Path, build: str) -> None:
        self.root = root
        self.maps = root / "maps"
        self.programs = root / f"programs-{build}"
        self.links = root / "links"

    @classmethod
    def open(cls, root: Path, build: str) -> "Pins":
        """Makes the directories, and mounts a bpffs on the parent of `root` if there is none."""
        have_bpffs(root)
        pins = cls(root, build)
        for directory in (pins.maps, pins.programs, pins.links):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return pins

    def map(self, name: str) -> Path:
        """Where a map of our layout is pinned."""
        return self.maps / f"{name}-{layout.DIGESTS[name]}"

    def others(self) -> list[Group]:
        """What is pinned of other layouts."""
        return [group for digest, group in self._groups().items() if digest not in _OURS]

    def remove_unused(self, used: Collection[int]) -> None:
        """Removes what can be of no use: half a group, and, if attached programs use any map at
        all, the groups that they do not; `used` are the ids of the maps that they do.

        Such a group is what an upgrade left that was cut short: half made, or no longer current.
        Counters are never out of date: they stay until they are taken over.
        """
        for digest, group in self._groups().items():
            whole = digest not in _OURS or group.keys() == _OURS[digest]
            unused = used and not _COUNTERS & group.keys() and _ids(group).isdisjoint(used)
            if not whole or unused:
                _remove(group)

    def remove_others(self) -> None:
        """Forgets maps of other layouts and programs of other builds; what is attached lives on
        by its link."""
        for group in self.others():
            _remove(group)
        for path in self.root.glob("programs-*"):
            if path != self.programs:
                shutil.rmtree(path)

    def _groups(self) -> dict[str, Group]:
        """All pinned maps by their digests. Early versions had a directory for each layout of
        everything: maps-<digest>."""
        groups: dict[str, dict[str, Path]] = {}
        for path in sorted(self.maps.iterdir()):
            name, _, digest = path.name.rpartition("-")
            groups.setdefault(digest, {})[name] = path
        for directory in self.root.glob("maps-*"):
            groups[directory.name] = {path.name: path for path in directory.iterdir()}
        return dict(groups)


def have_bpffs(root: Path) -> None:
    """Mounts a bpffs on the parent of `root` if there is none. NotSupported if that fails."""
    if bpffs_mounted(root.parent):
        return
    try:
        mount_bpffs(root.parent)
    except KernelError as error:
        raise NotSupported(
            f"a bpffs at {root.parent}",
            "mount -t bpf bpf /sys/fs/bpf, or have --bpffs name a directory in one",
        ) from error


def namespace_name(root: Path) -> str:
    """The slow path's network namespace that belongs to the pins in `root`."""
    return f"{root.name}-slow"


def build_id(*parts: bytes) -> str:
    """A name for the programs that come of these bytes: the object file and its constants."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _names_by_digest() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for name, digest in layout.DIGESTS.items():
        names.setdefault(digest, set()).add(name)
    return names


_OURS = _names_by_digest()


def _ids(group: Group) -> set[int]:
    found = set()
    for path in group.values():
        with Map.from_pin(path) as pinned:
            found.add(pinned.info.id)
    return found


def _remove(group: Group) -> None:
    for path in group.values():
        path.unlink()
        if path.parent.name != "maps" and not any(path.parent.iterdir()):
            path.parent.rmdir()
