# SPDX-License-Identifier: Apache-2.0
"""The demo's second act: two gateways of one arm, and what they balance. Data, nothing else.

                  gw1   gw2                 web: three backends that answer the visitor themselves
                    \\   /                   (direct server return), with weights 2:1:1
    visitor -------- ecmp -+- back1..3
                           '- cluster1..2   clusters: what is called by IPv4, and translated (nat),
                                            with weights 3:1

ecmp spreads flows to web's addresses over both gateways, by their ports. What has to come back
through the gateway that it came through, to the clusters, it sends to gw2 alone.
"""

from collections.abc import Iterator

from sixlane.lab.topology import End, Family, Host, Link, Route, Topology

VISITOR, ROUTER = "visitor", "ecmp"
GATEWAYS = ("gw1", "gw2")
BACKENDS = {"back1": 2, "back2": 1, "back3": 1}
CLUSTERS = {"cluster1": 3, "cluster2": 1}
"""And their weights, as in balance.yaml."""

VISITOR4 = "192.31.196.10"
WEB4, WEB6 = "192.175.48.200", "2001:db8:48::200"
CLUSTERS4 = "192.175.48.201"
MAPPED = "64:ff9b::/96"
DEVICE = "net0"


def address4(host: str) -> str:
    """Of a gateway or a backend."""
    return _address4(host, 7)


def address6(host: str) -> str:
    """Of a gateway, a backend or a cluster."""
    return _address6(host, 7)


def _address4(host: str, interface: int) -> str:
    return f"10.{_SITES[host[:-1]]}.{host[-1]}.{interface}"


def _address6(host: str, interface: int) -> str:
    return f"2001:db8:64:{_SITES[host[:-1]]}{host[-1]}::{interface}"


_SITES = {"gw": 1, "back": 2, "cluster": 3}


def _hosts() -> Iterator[Host]:
    yield Host(
        VISITOR,
        "a client of both families",
        Family.BOTH,
        routes=(Route("default", "192.31.196.9"), Route("default", "2001:db8:c::1")),
    )
    (gw1, one), (gw2, two) = ((address4(name), address6(name)) for name in GATEWAYS)
    yield Host(
        ROUTER,
        "a router that spreads flows over two gateways",
        Family.BOTH,
        router=True,
        routes=(
            Route(f"{WEB4}/32", gw1, gw2),
            Route(f"{WEB6}/128", one, two),
            Route(f"{CLUSTERS4}/32", gw2),
            Route(MAPPED, two),
        ),
    )
    for name in GATEWAYS:
        yield Host(name, "a gateway: sixlane", Family.BOTH, router=True, routes=_defaults(name))
    for name in BACKENDS:
        yield Host(name, "serves web's page", Family.BOTH, routes=_defaults(name))
    for name in CLUSTERS:
        yield Host(name, "a cluster behind a VIP", Family.IPV6, routes=_defaults(name)[1:])


def _defaults(host: str) -> tuple[Route, ...]:
    return Route("default", _address4(host, 1)), Route("default", _address6(host, 1))


def _links() -> Iterator[Link]:
    yield Link(
        End(ROUTER, VISITOR, ("192.31.196.9/30", "2001:db8:c::1/64")),
        End(VISITOR, "eth0", (f"{VISITOR4}/30", "2001:db8:c::10/64")),
    )
    for name in (*GATEWAYS, *BACKENDS, *CLUSTERS):
        device = DEVICE if name in GATEWAYS else "eth0"
        near, far = [f"{_address6(name, 1)}/64"], [f"{address6(name)}/64"]
        if name not in CLUSTERS:
            near.append(f"{_address4(name, 1)}/24")
            far.append(f"{address4(name)}/24")
        yield Link(End(ROUTER, name, tuple(near)), End(name, device, tuple(far)))


BALANCED = Topology(hosts=tuple(_hosts()), links=tuple(_links()))
