# SPDX-License-Identifier: Apache-2.0
"""How others find the addresses of pool4 and of services, which are on no device: by ARP and
neighbour discovery, or by a routing daemon.

Nothing of this decides what becomes of packets to them: those are translated or balanced as they
come in, and not routed here. What is ours has a protocol number of its own, and is told by it.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from sixlane.errors import KernelError, SixlaneError
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.nat64.announced import NOTHING, PROTOCOL, Announced, observe_announced
from sixlane.nat64.asked import Ask, listed, shown
from sixlane.nat64.devices import Trouble
from sixlane.nat64.observe import Device
from sixlane.nat64.originals import Originals, restore_beside, set_beside
from sixlane.nat64.settings import EVERY, PROXY_DELAY4, PROXY_DELAY6, PROXY_NDP
from sixlane.nat64.slowpath import NEAR
from sixlane.net import arp, link, nd, neigh, route

NOT_ANNOUNCED = "NotAnnounced"
_PROTOCOLS = {4: "ARP", 6: "neighbour discovery"}
_SETTINGS = {4: {PROXY_DELAY4: "0"}, 6: {PROXY_DELAY6: "0", PROXY_NDP: "1"}}
"""Of a device that answers, by version of IP."""
_TOLD = 20  # changes that are told one by one


@dataclass(frozen=True)
class Announcement:
    """What is asked for, each once. `l2` and `route`: networks, in none of both; `unmet`: asked for
    as `route` by one, and as `l2` by another; `devices`: that the Gateway uses."""

    l2: tuple[AnyNetwork, ...] = ()
    route: tuple[AnyNetwork, ...] = ()
    unmet: tuple[AnyNetwork, ...] = ()
    devices: tuple[Device, ...] = ()

    @classmethod
    def of(cls, asks: Iterable[Ask], devices: Iterable[Device]) -> "Announcement":
        ways: dict[str, dict[AnyNetwork, None]] = {"l2": {}, "route": {}}
        for way, network in asks:
            ways[way][network] = None
        l2, routed = ways["l2"], ways["route"]
        return cls(
            tuple(l2),
            tuple(network for network in routed if network not in l2),
            tuple(network for network in routed if network in l2),
            tuple(devices),
        )

    def answering(self, version: int) -> list[Device]:
        """Where the link is answered in a version of IP."""
        if all(network.version != version for network in self.l2):
            return []
        return [
            device
            for device in self.devices
            if any(held.version == version for held in device.addresses)
        ]

    def made(self, near: int | None) -> Announced:
        """As the kernel shows it. `near`: index of our end of the slow path, None: not there yet.

        The kernel answers ARP for what it forwards to another device. So there has to be a route
        to one, and ours leads to where nobody answers: to the slow path's.
        """
        place = near or -1
        answering = {version: self.answering(version) for version in _PROTOCOLS}
        return Announced(
            frozenset([(one, place) for one in self.l2] + [(one, None) for one in self.route]),
            frozenset(
                (device.ifindex, address)
                for network in self.l2
                for device in answering[network.version]
                for address in network
            ),
        )

    def changes(self, seen: Announced, near: int | None) -> list[str]:
        """What is to be announced that is not, and the other way round: a line each, if those are
        not too many."""
        lines = list(self._changes(seen, near))
        if len(lines) > _TOLD:
            return [f"announce anew: {len(lines)} addresses and networks"]
        return lines

    def _changes(self, seen: Announced, near: int | None) -> Iterator[str]:
        wanted = self.made(near)
        silent = {address for _, address in wanted.proxies - seen.proxies}
        names = {
            version: ", ".join(device.name for device in self.answering(version)) or "no device"
            for version in _PROTOCOLS
        }
        for network in self.l2:
            version = network.version
            part = not silent.isdisjoint(network) or (version == 6 and seen.mute)
            if part or (network, near or -1) not in seen.routes:
                yield f"announce {shown(network)}: {_PROTOCOLS[version]} on {names[version]}"
        for network in self.route:
            if (network, None) not in seen.routes:
                yield f"announce {shown(network)}: a route"
        gone = {network for network, _ in seen.routes} - {*self.l2, *self.route}
        for network in sorted(gone, key=_order):
            yield f"announce {shown(network)} no longer"


NO_ANNOUNCEMENT = Announcement()


@dataclass(frozen=True)
class Unannounced:
    """What is not, as a whole or in part, and why. `where`: such as " on wan0"."""

    asks: frozenset[Ask]
    why: str
    where: str = ""

    def told(self, asks: Set[Ask] | None = None) -> str | None:
        """Of these, in a line; `asks`: None: of all. None: they are no matter of it."""
        networks = {network for _, network in (self.asks if asks is None else self.asks & asks)}
        if not networks:
            return None
        verb = "are" if len(networks) > 1 else "is"
        named = listed(sorted(networks, key=_order))
        return f"{named} {verb} not announced{self.where}: {self.why}"


@dataclass(frozen=True)
class Outcome:
    """What is there afterwards; `missing`: of what was asked for; `troubles`: with what is there
    and should not be."""

    announced: Announced = NOTHING
    missing: tuple[Unannounced, ...] = ()
    troubles: tuple[Trouble, ...] = ()


NO_OUTCOME = Outcome()


def announce(wanted: Announcement, originals: Originals) -> Outcome:
    """Makes it so.

    Each address that the link begins to be answered for is announced there once.
    """
    near = link.find(NEAR)
    goal, seen = wanted.made(near.ifindex if near else None), observe_announced()
    missing = list(_impossible(wanted))
    troubles = [Trouble("", NOT_ANNOUNCED, problem) for problem in _withdraw(seen, goal)]
    refused: set[AnyNetwork] = set()
    for network, ifindex in sorted(goal.routes - seen.routes, key=lambda one: _order(one[0])):
        try:
            kind = route.UNREACHABLE if ifindex is None else route.UNICAST
            route.add(network, dev=ifindex, kind=kind, proto=PROTOCOL, look=False)
        except SixlaneError as error:
            refused.add(network)
            ask = Ask("route" if ifindex is None else "l2", network)
            missing.append(Unannounced(frozenset([ask]), _why(error)))
    for version in _PROTOCOLS:
        devices = wanted.answering(version)
        for device in devices:
            missing += _answer(device, version, wanted, goal, seen, originals)
        used = [device.ifindex for device in devices]
        for setting in _SETTINGS[version]:
            every = [EVERY] if used else []
            for line in restore_beside(originals, setting, [*used, *every]):
                troubles.append(Trouble("", "NotPutBack", line))
    now = observe_announced()
    lost = {one for one, _ in goal.routes - now.routes} - refused
    if lost:
        missing.append(Unannounced(_asks(wanted, lost), "its route is not there"))
    return Outcome(now, tuple(missing), tuple(troubles))


def withdraw(originals: Originals) -> list[str]:
    """Takes all of it away; what could not be put back, one line each."""
    lost = list(_withdraw(observe_announced(), NOTHING))
    for settings in _SETTINGS.values():
        for setting in settings:
            lost += restore_beside(originals, setting, ())
    return lost


def _impossible(wanted: Announcement) -> Iterator[Unannounced]:
    for version in _PROTOCOLS:
        networks = [network for network in wanted.l2 if network.version == version]
        if networks and not wanted.answering(version):
            asks = frozenset(Ask("l2", network) for network in networks)
            yield Unannounced(asks, f"no device has an IPv{version} address")
    if wanted.unmet:
        asks = frozenset(Ask("route", network) for network in wanted.unmet)
        yield Unannounced(asks, "l2 is asked for as well", " by a route")


def _answer(
    device: Device,
    version: int,
    wanted: Announcement,
    goal: Announced,
    seen: Announced,
    originals: Originals,
) -> Iterator[Unannounced]:
    """ARP, or neighbour discovery, on one device."""
    silent = [
        address
        for ifindex, address in goal.proxies - seen.proxies
        if ifindex == device.ifindex and address.version == version
    ]
    try:
        for setting, value in _SETTINGS[version].items():
            set_beside(originals, device.ifindex, setting, value)
        if version == 6:
            # A host that sees whether its neighbour is still there asks at the address itself, and
            # then the kernel looks at no other.
            set_beside(originals, EVERY, PROXY_NDP, "1")
        if silent:  # first: if it fails, they are seen to be missing, told of and tried again
            _tell_link(device, silent)
            neigh.add_proxies(device.ifindex, silent, PROTOCOL)
    except SixlaneError as error:
        networks = {one for one in wanted.l2 if one.version == version}
        if silent:
            networks = {one for one in networks if not set(silent).isdisjoint(one)}
        yield Unannounced(_asks(wanted, networks), str(error), f" on {device.name}")


def _tell_link(device: Device, addresses: Sequence[AnyAddress]) -> None:
    of4 = [address for address in addresses if isinstance(address, IPv4Address)]
    of6 = [address for address in addresses if isinstance(address, IPv6Address)]
    if of4:
        arp.announce(device.ifindex, device.mac, of4)
    if of6:
        nd.advertise(device.ifindex, device.mac, of6)


def _asks(wanted: Announcement, networks: Set[AnyNetwork]) -> frozenset[Ask]:
    return frozenset(
        [Ask("l2", one) for one in wanted.l2 if one in networks]
        + [Ask("route", one) for one in wanted.route if one in networks]
    )


def _withdraw(seen: Announced, goal: Announced) -> Iterator[str]:
    """What is no longer wanted; what cannot be removed, one line each."""
    for ifindex, address in seen.proxies - goal.proxies:
        yield from _gone(partial(neigh.remove_proxy, ifindex, address))
    for network, _ in seen.routes - goal.routes:
        yield from _gone(partial(route.remove, network, proto=PROTOCOL, look=False))


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


def _order(network: AnyNetwork) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen
