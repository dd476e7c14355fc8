# SPDX-License-Identifier: Apache-2.0
"""Services whose backends are checked: whether they are, and whether answers to checks arrive."""

import errno
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from functools import cache
from ipaddress import IPv4Address

from sixlane.agent.doctor.check import Check, Finding, Subject
from sixlane.agent.targets import target_of
from sixlane.model import Service
from sixlane.model.addresses import AnyAddress
from sixlane.nat64.settings import EVERY, Setting, read_setting
from sixlane.net import address, link, route

_TOLD = 3  # names in a line
_START = "systemctl enable --now sixlane-health, or sixlane-health &; journalctl -u sixlane-health"
_PRIVILEGE = (
    "sixlane-health needs CAP_NET_RAW (before Linux 5.17 CAP_NET_ADMIN, too), as its unit gives it"
)
_RP_FILTER = Setting("ipv4", "rp_filter")


def _checked(subject: Subject) -> list[Service]:
    return [one for one in subject.services if one.spec.health_check is not None]


def _running(subject: Subject) -> Iterator[Finding]:
    names = [one.name for one in _checked(subject)]
    health = subject.health
    if not names:
        yield Finding("ok", "no Service has checks")
    elif health is None:
        what = f"whether {_listed(names)} can be checked cannot be known: no agent runs"
        yield Finding("warning", what, "systemctl start sixlaned, or sixlaned")
    elif health.running is None:
        yield Finding("ok", f"{_listed(names)}: not in force")
    elif not health.running:
        what = f"sixlane-health has not been heard of, and {_listed(names)} are not checked"
        yield Finding("problem", what)
    else:
        yield Finding("ok", f"sixlane-health runs, for {_listed(names)}")


def _made(subject: Subject) -> Iterator[Finding]:
    """It tells of each check that it could not make, and why: for as long as it is there."""
    health = subject.health
    if health is None or not health.running:
        yield Finding("ok", "nobody checks")
        return
    lacking: dict[str, dict[str, None]] = defaultdict(dict)
    for name, backends in health.backends.items():
        for one in backends.values():
            if not one.is_made:
                lacking[one.result][name] = None
    for result, names in lacking.items():
        refused = os.strerror(errno.EPERM).lower() in result.lower()
        what = f"backends of {_listed(list(names))}: {result}"
        yield Finding("problem", what, _PRIVILEGE if refused else "")
    if not lacking:
        yield Finding("ok", "no check lacks anything on this machine")


def _answers(subject: Subject) -> Iterator[Finding]:
    """They come from the frontend, by the link of the backend, and go up the kernel's stack: the
    one place where a packet of a Service meets its reverse path filter. IPv6 has none."""
    held = [one.interface.ip for one in address.list_addresses()]
    takes, lookup = cache(route.takes), cache(route.lookup)
    dropped: dict[tuple[IPv4Address, int], dict[str, None]] = defaultdict(dict)
    for service in _checked(subject):
        for asked, backend in _asked(service, frozenset(held)):
            there = lookup(backend)
            own = _own(there, held) if there else None
            if there is None or there.ifindex is None or own is None:
                continue
            if not takes(asked, own, there.ifindex):
                dropped[asked, there.ifindex][service.name] = None
    for (asked, ifindex), names in dropped.items():
        device = link.name_of(ifindex)
        value = max(read_setting(one, _RP_FILTER) or "0" for one in (ifindex, EVERY))
        what = f"device {device}: rp_filter {value} drops answers to checks from {asked}"
        yield Finding("problem", f"{what}, for {_listed(list(names))}", _loosened(asked, device))
    if not dropped:
        yield Finding("ok", "no answers to checks are dropped by rp_filter")


def _asked(service: Service, local: Set[AnyAddress]) -> Iterable[tuple[IPv4Address, AnyAddress]]:
    """Of each check, who is asked, and the backend to which that leads: for those of IPv4. By a
    tunnel it is the frontend, else the backend itself, whose answers come by the way to it."""
    for row in service.spec.backends.rows:
        target = target_of(service, row, 0, local)
        if isinstance(target.address, IPv4Address):
            yield target.address, target.backend


def _own(way: route.Route, held: Iterable[AnyAddress]) -> IPv4Address | None:
    """Where answers are sent to: whence the machine sends to the backend."""
    if isinstance(way.source, IPv4Address):
        return way.source
    mine = (one for one in held if isinstance(one, IPv4Address) and not one.is_loopback)
    return next(mine, None)


def _loosened(asked: IPv4Address, device: str) -> str:
    """The loose filter wants a route, wherever it leads."""
    if route.lookup(asked) is not None:
        return f"sysctl -w net.ipv4.conf.{device}.rp_filter=2"
    every = "sysctl -w net.ipv4.conf.all.rp_filter=0"
    return f"{every} net.ipv4.conf.{device}.rp_filter=0, as there is no route to {asked}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"Service{'s' if len(names) > 1 else ''} {', '.join(names[:_TOLD])}{more}"


CHECKS = (
    Check(
        "health",
        "sixlane-health has been heard of, where Services have a `healthCheck`",
        "backends stay as they were last seen, well or not, and new ones get no flows",
        _START,
        _running,
    ),
    Check(
        "health-checks",
        "sixlane-health has what it needs to make all checks: CAP_NET_RAW for echo requests and "
        "for what goes by tunnels; sockets, memory",
        "as if nobody checked these backends",
        "what it lacks is told; ulimit -n, or LimitNOFILE in its unit, for files",
        _made,
    ),
    Check(
        "health-answers",
        "the reverse path filter lets answers to checks by, with `mode: dsr` and a frontend of "
        "IPv4: they come from its address, by the device that leads to the backend. Nothing else "
        "of a Service meets that filter here; on backends, `sixlane decap up` sees to it",
        "all such checks fail: their backends are quarantined",
        "sysctl -w net.ipv4.conf.DEVICE.rp_filter=2; 0 where no route leads to the frontend, as "
        "with `announce: route`",
        _answers,
    ),
)
