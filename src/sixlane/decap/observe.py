# SPDX-License-Identifier: Apache-2.0
"""How a backend is, as far as a plan asks."""

from sixlane.datapath.decap import SETTINGS, Decap
from sixlane.decap.plan import LOOPBACK, Observed
from sixlane.net import address, link, netns, sysctl


def observe(device: str, decap: Decap | None) -> Observed:
    """ConfigError: there is no such device."""
    found = link.get(device)
    attached = [one.entry for one in decap.attachments() if one.device] if decap else []
    return Observed(
        found,
        link.get(LOOPBACK),
        tuple(address.list_addresses()),
        {name: read_setting(found.name, name) for name in SETTINGS},
        {name: read_setting("all", name) for name in SETTINGS},
        {one.ifindex: one.name for one in link.list_links()},
        netns.cookie(),
        decap.contents() if decap else None,
        attached[0] if attached else None,
    )


def read_setting(device: str, name: str) -> int:
    return int(sysctl.get(setting(device, name)))


def setting(device: str, name: str) -> tuple[str, ...]:
    """As `sysctl` takes it."""
    return ("net", "ipv4", "conf", device, name)
