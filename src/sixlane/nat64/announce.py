# SPDX-License-Identifier: Apache-2.0
"""How others find the addresses of pool4, which are on no device: by ARP, or by a routing daemon.

Nothing of this decides what becomes of packets to them: those are translated as they come in, and
not routed here. What is ours has a protocol number of its own, and is told by it.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from sixlane.errors import KernelError, SixlaneError
from sixlane.model import Pool4
from sixlane.nat64.announced import NOTHING, PROTOCOL, Announced, observe_announced
from sixlane.nat64.devices import Trouble
from sixlane.nat64.observe import Device
from sixlane.nat64.originals import Originals, restore_beside, set_beside
from sixlane.nat64.settings import PROXY_DELAY
from sixlane.nat64.slowpath import NEAR
from sixlane.net import arp, link, neigh, route

NOT_ANNOUNCED = "NotAnnounced"


@dataclass(frozen=True)
class Announcement:
    """What a Gateway asks for. `l2` and `route`: networks; `devices`: where ARP is answered."""

    l2: tuple[IPv4Network, ...] = ()
    route: tuple[IPv4Network, ...] = ()
    devices: tuple[Device, ...] = ()

    @classmethod
    def of(cls, pools: Sequence[Pool4], devices: Iterable[Device]) -> "Announcement":
        """`devices`: those that the Gateway uses."""
        l2 = tuple(network for pool in pools if pool.announce == "l2" for network in pool.ipv4)
        return cls(
            l2,
            tuple(network for pool in pools if pool.announce == "route" for network in pool.ipv4),
            tuple(one for one in devices if l2 and _has_ipv4(one)),
        )

    def made(self, near: int | None) -> Announced:
        """As the kernel shows it. `near`: index of our end of the slow path, None: not there yet.

        The kernel answers ARP for what it forwards to another device. So there has to be a route
        to one, and ours leads to where nobody answers: to the slow path's.
        """
        place = near or -1
        return Announced(
            frozenset([(one, place) for one in self.l2] + [(one, None) for one in self.route]),
            frozenset(
                (device.ifindex, address)
                for device in self.devices
                for network in self.l2
                for address in network
            ),
        )

    def changes(self, seen: Announced, near: int | None) -> Iterator[str]:
        """What is to be announced that is not, and the other way round: a line each."""
        wanted = self.made(near)
        silent = wanted.proxies - seen.proxies
        names = ", ".join(device.name for device in self.devices) or "no device"
        for network in self.l2:
            part = any(address in network for _, address in silent)
            if part or (network, near or -1) not in seen.routes:
                yield f"announce {network}: ARP on {names}"
        for network in self.route:
            if (network, None) not in seen.routes:
                yield f"announce {network}: a route"
        kept = {*self.l2, *self.route}
        for network in sorted({network for network, _ in seen.routes} - kept):
            yield f"announce {network} no longer"


NO_ANNOUNCEMENT = Announcement()


def announce(wanted: Announcement, originals: Originals) -> tuple[Announced, list[Trouble]]:
    """Makes it so; what is there afterwards, and what could not be.

    Each address that ARP begins to be answered for is announced once on the link.
    """
    near = link.find(NEAR)
    goal, seen = wanted.made(near.ifindex if near else None), observe_announced()
    troubles = [
        Trouble("", NOT_ANNOUNCED, f"{network} is not announced: no device has an IPv4 address")
        for network in wanted.l2
        if not wanted.devices
    ]
    for problem in _withdraw(seen, goal):
        troubles.append(Trouble("", NOT_ANNOUNCED, problem))
    for network, ifindex in sorted(goal.routes - seen.routes, key=str):
        try:
            kind = route.UNREACHABLE if ifindex is None else route.UNICAST
            route.add(network, dev=ifindex, kind=kind, proto=PROTOCOL)
        except SixlaneError as error:
            what = f"{network} is not announced: {_why(error)}"
            troubles.append(Trouble("", NOT_ANNOUNCED, what))
    for device in wanted.devices:
        troubles += _answer(device, goal, seen, originals)
    used = [device.ifindex for device in wanted.devices]
    for line in restore_beside(originals, PROXY_DELAY, used):
        troubles.append(Trouble("", "NotPutBack", line))
    return observe_announced(), troubles


def withdraw(originals: Originals) -> list[str]:
    """Takes all of it away; what could not be put back, one line each."""
    lost = _withdraw(observe_announced(), NOTHING)
    return [*lost, *restore_beside(originals, PROXY_DELAY, ())]


def _answer(
    device: Device, goal: Announced, seen: Announced, originals: Originals
) -> Iterator[Trouble]:
    """ARP on one device."""
    silent = sorted(
        address for ifindex, address in goal.proxies - seen.proxies if ifindex == device.ifindex
    )
    try:
        set_beside(originals, device.ifindex, PROXY_DELAY, "0")
        if silent:  # first: if it fails, they are seen to be missing, told of and tried again
            arp.announce(device.ifindex, device.mac, silent)
        for address in silent:
            neigh.add_proxy(device.ifindex, address, PROTOCOL)
    except SixlaneError as error:
        yield Trouble("", NOT_ANNOUNCED, f"pool4 is not announced on {device.name}: {error}")


def _withdraw(seen: Announced, goal: Announced) -> Iterator[str]:
    """What is no longer wanted; what cannot be removed, one line each."""
    for ifindex, address in sorted(seen.proxies - goal.proxies):
        yield from _gone(partial(neigh.remove_proxy, ifindex, address))
    for network, _ in sorted(seen.routes - goal.routes, key=str):
        yield from _gone(partial(route.remove, network, proto=PROTOCOL))


def _gone(remove: Callable[[], None]) -> Iterator[str]:
    """Somebody else, or the end of the device, may have been faster."""
    try:
        remove()
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH, errno.ENODEV):
            yield str(error)


def _why(error: SixlaneError) -> str:
    taken = isinstance(error, KernelError) and error.errno == errno.EEXIST
    return "somebody else has a route to it" if taken else str(error)


def _has_ipv4(device: Device) -> bool:
    return any(isinstance(held, IPv4Address) for held in device.addresses)
