# SPDX-License-Identifier: Apache-2.0
"""The way of health checks that go by tunnels: a device of ours that packets with a mark leave by.

A rule and a routing table lead there, and the program behind it puts each packet into the tunnel of
the backend that its mark names. Whatever comes back comes to the host by itself. The device is one
end of a veth pair, as there is no smaller one on every kernel; nothing ever comes to the other end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from sixlane.datapath import Datapath
from sixlane.datapath.layout import CheckMark
from sixlane.net import link, policy, route, sysctl
from sixlane.net.policy import Rule

DEVICE = "sixlane-checks"
_OTHER_END = "sixlane-nobody"
TABLE = 64640
_ALIAS = "sixlane health checks 1"
_EVERY_MAKE = "sixlane health checks"
_MTU = 1280  # any tunnel has room for as much, or the path is of no use to anybody
_DEFAULT: dict[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("0.0.0.0/0"),
    6: IPv6Network("::/0"),
}
_MARK, _MASK = int(CheckMark.CHECK_MARK), int(CheckMark.CHECK_MARK_MASK)


def mark_of(backend: int) -> int:
    """What a packet's mark is that is to go to a backend, by its id in the tables."""
    return _MARK | backend


@dataclass(frozen=True)
class Seen:
    """What there is of it. `device`: None: none, or one that is not whole; `strays`: there is such
    a pair all the same; `routes`: versions of IP that have theirs; `rules`: ours."""

    device: int | None = None
    strays: bool = False
    attached: bool = False
    routes: frozenset[int] = frozenset()
    rules: tuple[Rule, ...] = ()

    @property
    def is_whole(self) -> bool:
        return (
            self.device is not None
            and self.attached
            and self.routes == {4, 6}
            and sorted(rule.version for rule in self.rules) == [4, 6]
            and all((rule.mark, rule.mask) == (_MARK, _MASK) for rule in self.rules)
        )

    @property
    def is_empty(self) -> bool:
        return self == Seen()


def observe_way(datapath: Datapath | None) -> Seen:
    """In this network namespace. `datapath`: None: none is left."""
    near = link.find(DEVICE)
    rules = tuple(
        rule
        for rule in policy.policy_rules()
        if rule.protocol == policy.PROTOCOL and rule.table == TABLE
    )
    if near is None:
        return Seen(strays=link.find(_OTHER_END) is not None, rules=rules)
    whole = near.alias == _ALIAS and near.up and near.carrier
    routes = route.list_routes(table=TABLE, dev=near.ifindex) if whole else []
    return Seen(
        near.ifindex if whole else None,
        True,
        datapath is not None and datapath.checks_are_attached(),
        frozenset(one.dst.version for one in routes if one.dst in _DEFAULT.values()),
        rules,
    )


def plan_way(wanted: bool, seen: Seen) -> Sequence[str]:
    """What to do, one after the other: `remove` and `raise`. Pure."""
    if wanted == seen.is_whole and (wanted or seen.is_empty):
        return ()
    return (*(("remove",) if not seen.is_empty else ()), *(("raise",) if wanted else ()))


def apply_way(datapath: Datapath | None, steps: Sequence[str]) -> None:
    """Does what the plan says; whoever is killed on the way leaves what the next plan removes."""
    do: dict[str, Callable[[], None]] = {"remove": lambda: remove_way(datapath)}
    if datapath is not None:
        do["raise"] = lambda: _raise(datapath)
    for step in steps:
        do[step]()


def remove_way(datapath: Datapath | None = None) -> None:
    """Takes away all that there is of it in this network namespace."""
    for rule in observe_way(None).rules:
        policy.remove_rule(rule)
    for name in (DEVICE, _OTHER_END):
        found = link.find(name)
        if found is not None and (not found.alias or found.alias.startswith(_EVERY_MAKE)):
            link.delete(found.ifindex)
    if datapath is not None:
        datapath.detach_checks()


def _raise(datapath: Datapath) -> None:
    near, _ = link.create_veth(DEVICE, _OTHER_END)
    for name in (DEVICE, _OTHER_END):
        # Nobody asks for neighbours there, and nobody announces addresses.
        link.set_arp(name, False)
        sysctl.set(("net", "ipv6", "conf", name, "addr_gen_mode"), "1")
        sysctl.set(("net", "ipv6", "conf", name, "accept_ra"), "0")
        link.set_up(name)
    # What is sent there is routed once more, as if it had come in by it.
    for family in ("ipv4", "ipv6"):
        sysctl.set(("net", family, "conf", DEVICE, "forwarding"), "1")
    datapath.attach_checks(near.ifindex)
    for network in _DEFAULT.values():
        route.add(network, dev=DEVICE, table=TABLE, mtu=_MTU, proto=policy.PROTOCOL)
    for version in _DEFAULT:
        policy.add_rule(_MARK, TABLE, mask=_MASK, version=version, protocol=policy.PROTOCOL)
    link.set_alias(DEVICE, _ALIAS)  # last: all of it is there
