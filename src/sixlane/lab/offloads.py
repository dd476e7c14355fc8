# SPDX-License-Identifier: Apache-2.0
"""What veth pairs need around a gateway that works at the XDP hook.

A frame that a local socket sends over veth carries a checksum that is left for hardware to finish.
XDP cannot see that, and what it redirects then has a wrong one. And a frame redirected to a veth
arrives only if the other end polls, which GRO makes it do.
"""

from collections.abc import Collection

from sixlane.lab.place import GATEWAY, Place
from sixlane.lab.topology import LAB, Topology
from sixlane.net import ethtool, netns


def suit_xdp(
    place: Place, topology: Topology = LAB, gateways: Collection[str] = (GATEWAY,)
) -> None:
    """Checksums finished by every sender, GRO on at the devices that face a gateway's."""
    for link, end in topology.ends():
        if end.host in gateways:
            continue
        features = {"tx-checksum-ip-generic": False}
        if {link.left.host, link.right.host} & {*gateways}:
            features["rx-gro"] = True
        with netns.inside(place.namespace(end.host)):
            ethtool.set_features(end.device, features)
