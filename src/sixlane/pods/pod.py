# SPDX-License-Identifier: Apache-2.0
"""What the parts of pod networking tell each other of a pod."""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from sixlane.model.addresses import AnyAddress

DeviceKind = Literal["veth", "netkit", "netkit-l2"]
"""`netkit` carries packets without a link header (L3)."""

DeviceChoice = Literal["auto"] | DeviceKind
"""`auto`: netkit where the kernel has it, else veth."""


class Attachment(NamedTuple):
    """What CNI names an interface of a container by (spec 1.1, section 2)."""

    container_id: str
    ifname: str

    def __str__(self) -> str:
        return f"{self.ifname} of {self.container_id}"

    @property
    def host_device(self) -> str:
        """The name of its end on the host: 13 characters, the same each time."""
        # No NUL is in either of them, so no two attachments are hashed alike.
        text = f"{self.container_id}\0{self.ifname}"
        return "sl" + sha256(text.encode()).hexdigest()[:11]


class PodName(NamedTuple):
    """What Kubernetes calls a pod; `uid` may be empty."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Asked:
    """What an ADD wants. What is None, or empty, is as the `Network` has it.

    `netns`: the path of the container's network namespace. `fixed`: addresses that the pod must
    have, one of each family at most. `configuration`: the name of the runtime's network
    configuration.
    """

    attachment: Attachment
    netns: str
    pod: PodName | None = None
    pool: str | None = None
    fixed: tuple[AnyAddress, ...] = ()
    device: DeviceChoice | None = None
    mtu: int | None = None
    configuration: str = ""


class Usual(NamedTuple):
    """What this machine takes where `auto` or nothing was said: of devices, and of MTUs."""

    device: DeviceKind
    mtu: int


@dataclass(frozen=True)
class Lease:
    """What an attachment has, from its ADD to its DEL.

    `addresses`: the pod's own, one of each family of its pool, IPv6 first. `egress`: the one that
    stands for an IPv4 address (RFC 6052), by which it reaches the IPv4 world without sessions.
    `ready`: its device has been made, and packets go. `configuration`: by whose name it was asked
    for.
    """

    attachment: Attachment
    netns: str
    pod: PodName | None
    pool: str
    addresses: tuple[IPv4Address | IPv6Address, ...]
    egress: IPv6Address | None
    device: DeviceKind
    host_device: str
    mtu: int
    ready: bool
    configuration: str = ""

    @property
    def all_addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return (*self.addresses, *((self.egress,) if self.egress else ()))
