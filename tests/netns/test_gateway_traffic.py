# SPDX-License-Identifier: Apache-2.0
"""Real traffic through the gateway, for each way in which its devices may be attached."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sixlane.lab import gateway
from sixlane.lab.place import GATEWAY
from sixlane.lab.session import Session
from sixlane.lab.steps import STEPS, Step, pool4, sizes, speed, web
from sixlane.lab.topology import ETHERNET_MTU, POD_IPV4, SERVICE4, WEB4, embed
from sixlane.net import link, netns
from tests.netns.labs import needs_lab

pytestmark = needs_lab

MEGABYTES = 1_000_000
# Streams are for the demo: transfers below say more, as they look at what arrives. The step that
# ends the agent has a lab of its own, in test_gateway_lifecycle.py.
NOT_HERE = (speed.stream_46, speed.stream_64, speed.big_tcp_64, pool4.download_outlives_agent)
STEPS_HERE = [step for step in STEPS if step.take not in NOT_HERE]
_SHORT_MTU = 1300


@pytest.mark.parametrize("step", STEPS_HERE, ids=lambda step: step.take.__name__)
def test_step_of_the_demo(translating: Session, step: Step) -> None:
    step.take(translating)


def test_devices_are_attached_as_asked(
    translating: Session, request: pytest.FixtureRequest
) -> None:
    asked = request.node.callspec.params["translating"]
    devices = gateway.read_status(translating.place)["gateway"]["devices"]
    attached = {device["name"]: device["attached"] for device in devices}
    allowed = {"tc": {"tcx", "clsact"}, "xdp": {"xdp"}, "xdp-generic": {"xdp-generic"}}
    assert attached.keys() == {"wan0", "lan0"}
    assert set(attached.values()) <= allowed[asked]


def test_first_packet_waits_for_its_neighbour(translating: Session) -> None:
    """Nothing is lost, and no error sent, while a next hop is being resolved."""
    for family in ("-4", "-6"):
        translating.run_ok(GATEWAY, ["ip", family, "neigh", "flush", "all"])
    before = gateway.read_counts(translating.place)
    page = web.fetch(translating, "client", f"http://{SERVICE4}/")
    assert web.round_trip_ms(page) < 900  # a SYN is sent again after a second
    assert (gateway.read_counts(translating.place) - before).drops == {}


@pytest.mark.parametrize(
    ("host", "url"),
    [("client", f"http://{SERVICE4}"), ("pod2", f"http://[{embed(WEB4)}]")],
    ids=["46", "64"],
)
def test_transfers_arrive_whole(translating: Session, host: str, url: str) -> None:
    before = gateway.read_counts(translating.place)
    web.upload(translating, host, f"{url}/", 8 * MEGABYTES)
    web.download(translating, host, url, 8 * MEGABYTES)
    assert (gateway.read_counts(translating.place) - before).drops.keys() <= {"too big"}


def test_pod_behind_both_smaller_links(translating: Session) -> None:
    url = f"http://[{embed(WEB4)}]"
    web.upload(translating, "pod3", f"{url}/", MEGABYTES)
    web.download(translating, "pod3", url, MEGABYTES)


def test_gateway_tells_of_its_own_smaller_link_46(translating: Session) -> None:
    pod = POD_IPV4["pod2"]
    with _shorter(translating, "lan0", "leaf", "up0"):
        size = _SHORT_MTU - sizes.GROWTH
        sizes.need_too_big(translating, "client", pod, packet=ETHERNET_MTU, mtu=size)
        web.upload(translating, "client", f"http://{SERVICE4}/", MEGABYTES)
        assert sizes.learned_mtu(translating, "client", SERVICE4) == size


def test_gateway_tells_of_its_own_smaller_link_64(translating: Session) -> None:
    web4 = embed(WEB4)
    with _shorter(translating, "wan0", "inet", "gw"):
        web.upload(translating, "pod2", f"http://[{web4}]/", MEGABYTES)
        learned = sizes.learned_mtu(translating, "pod2", web4)
        assert learned == _SHORT_MTU + sizes.GROWTH


@contextmanager
def _shorter(session: Session, device: str, peer: str, peer_device: str) -> Iterator[None]:
    """The gateway's link is of 1300 bytes for the block; hosts forget what they learned."""
    ends = ((GATEWAY, device), (peer, peer_device))
    _set_mtu(session, ends, _SHORT_MTU)
    try:
        yield
    finally:
        _set_mtu(session, ends, ETHERNET_MTU)


def _set_mtu(session: Session, ends: tuple[tuple[str, str], ...], mtu: int) -> None:
    for host, device in ends:
        with netns.inside(session.place.namespace(host)):
            link.set_mtu(device, mtu)
    for host, family in (("client", "-4"), ("pod2", "-6")):
        session.run_ok(host, ["ip", family, "route", "flush", "cache"])
