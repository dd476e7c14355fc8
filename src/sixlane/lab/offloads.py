# SPDX-License-Identifier: Apache-2.0
"""What veth pairs need around a gateway that works at the XDP hook.

A frame that a local socket sends over veth carries a checksum that is left for hardware to finish.
XDP cannot see that, and what it redirects then has a wrong one. And a frame redirected to a veth
arrives only if the other end polls, which GRO makes it do.
"""

from sixlane.lab.place import Place
from sixlane.lab.topology import LAB
from sixlane.net import ethtool, netns

GATEWAY = "gw"


def suit_xdp(place: Place) -> None:
    """Checksums finished by every sender, GRO on at the devices that face the gateway's."""
    for link, end in LAB.ends():
        if end.host == GATEWAY:
            continue
        features = {"tx-checksum-ip-generic": False}
        if GATEWAY in (link.left.host, link.right.host):
            features["rx-gro"] = True
        with netns.inside(place.namespace(end.host)):
            ethtool.set_features(end.device, features)
