# SPDX-License-Identifier: Apache-2.0
"""Pods of a node, made by the CNI plugin, and their ways past the node's stack."""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sixlane.lab import cluster, gateway, pages
from sixlane.lab.session import Seen, Session, StepFailedError
from sixlane.lab.steps import reach, web
from sixlane.lab.topology import WELL_KNOWN, embed

_USUAL_BYTES = 1 << 16
_SIZES = re.compile(r"\b(g[sr]o_max_size) (\d+)")


def attached(session: Session) -> Seen:
    """Twice for one of them: a runtime may ask again."""
    for name in (*cluster.PODS, cluster.PODS[0]):
        cluster.attach(session.place, session.narrator, name)
    found = cluster.pods(session.place)
    if set(found) != set(cluster.PODS) or not all(one["ready"] for one in found.values()):
        raise StepFailedError(f"the pods are not {', '.join(cluster.PODS)}, and ready")
    return Seen(", ".join(f"{name} {_address(session, name)}" for name in cluster.PODS))


def devices(session: Session) -> Seen:
    """What their interfaces are, and how long packets may be in there: BIG TCP or not."""
    node = session.place.at(cluster.NODE)
    gateway.show(node, session.narrator, "pod", "list", "-o", "wide")
    gateway.show(node, session.narrator, "bigtcp", "status")
    told = []
    for name, pod in sorted(cluster.pods(session.place).items()):
        ran = session.run_ok(name, ["ip", "-d", "link", "show", "dev", "eth0"])
        sizes = dict(_SIZES.findall(ran.out))
        most = min(map(int, sizes.values()), default=0)
        session.need(most > _USUAL_BYTES, "no packets of more than 64 KiB", ran)
        told.append(f"{name} {pod['device']}, packets of up to {most:,} bytes")
    return Seen("; ".join(told))


def ping_pod(session: Session) -> Seen:
    with _past_the_stack(session, "local"):
        return reach.ping(session, "job", _address(session, "web"))


def ping_site(session: Session) -> Seen:
    with _past_the_stack(session, "out", "in"):
        return reach.ping(session, "job", cluster.SITE6)


def page_of_pod(session: Session) -> Seen:
    page = web.fetch(session, "job", f"http://[{_address(session, 'web')}]/")
    web.check_page(session, page, pages.GREETING6, source=_address(session, "job"))
    return Seen(f"the page of the other pod; it saw {web.source_of(page)}", web.round_trip_ms(page))


def page_by_translator(session: Session) -> Seen:
    """To the server of IPv4 a pod is what its second address stands for."""
    egress = ipaddress.IPv6Address(cluster.pods(session.place)["job"]["egress"])
    outside = str(ipaddress.IPv4Address(int(egress) - int(WELL_KNOWN[0])))
    page = web.fetch(session, "job", f"http://[{embed(cluster.SITE4)}]/")
    web.check_page(session, page, pages.GREETING4, source=outside)
    return Seen(f"the IPv4-only page; it saw {outside}", web.round_trip_ms(page))


def _address(session: Session, name: str) -> str:
    """The pod's own."""
    return str(cluster.pods(session.place)[name]["addresses"][0])


@contextmanager
def _past_the_stack(session: Session, *ways: str) -> Iterator[None]:
    """Some packet of the block is redirected in each of these ways."""
    before = {way: cluster.redirected(session.place, way) for way in ways}
    yield
    for way, count in before.items():
        if cluster.redirected(session.place, way) <= count:
            raise StepFailedError(f"no packet went past the node's stack ({way})")
