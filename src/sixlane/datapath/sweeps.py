# SPDX-License-Identifier: Apache-2.0
"""What a sweep of the session tables leaves to whoever asked for it: packets that time alone has
sent (RFC 6146 3.5.2.2)."""

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import NamedTuple

from sixlane.datapath import layout


class Probe(NamedTuple):
    """Ends of the segment by which a node inside is asked whether it still has a connection: from
    the node outside as it is called inside."""

    source: IPv6Address
    source_port: int
    destination: IPv6Address
    destination_port: int


class Swept(NamedTuple):
    """`ended`: how many sessions were taken out; `probes`: to be sent, for those in TRANS now."""

    ended: int
    probes: Sequence[Probe]


NOTHING_SWEPT = Swept(0, ())


def probe_of(told: layout.Probe) -> Probe:
    """What the data path says of it."""
    return Probe(_address(told.src), told.src_port, _address(told.dst), told.dst_port)


def _address(addr: layout.Addr) -> IPv6Address:
    return IPv6Address(int(addr.hi) << 64 | int(addr.lo))
