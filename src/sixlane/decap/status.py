# SPDX-License-Identifier: Apache-2.0
"""What a backend is set up as, and what came of packets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sixlane.datapath.counters import Counter
from sixlane.datapath.decap import Contents, opened
from sixlane.errors import ConfigError
from sixlane.net import address, link, netns


@dataclass(frozen=True)
class Status:
    """`device`: its name, "" if it is gone. `entry`: None if nothing of ours runs on it. `absent`:
    VIPs that no device has. `counters`: by what became of packets."""

    contents: Contents
    device: str
    entry: str | None
    absent: tuple[str, ...]
    counters: Mapping[str, Counter]

    @property
    def well(self) -> bool:
        """Whether packets get where they should."""
        return self.entry is not None and not self.absent


def status(root: Path) -> Status | None:
    """None: nothing is set up. ConfigError: in another network namespace."""
    with opened(root) as decap:
        contents = decap.contents() if decap else None
        if decap is None or contents is None:
            return None
        if contents.namespace != netns.cookie():
            raise ConfigError(
                f"what is pinned in {root} belongs to another network namespace", "ask there"
            )
        devices = {one.ifindex: one.name for one in link.list_links()}
        there = {one.interface.ip for one in address.list_addresses()}
        entries = [one.entry for one in decap.attachments() if one.device]
        return Status(
            contents,
            devices.get(contents.ifindex, ""),
            entries[0] if entries else None,
            tuple(str(vip) for vip in contents.vips if vip not in there),
            decap.counters(),
        )
