# SPDX-License-Identifier: Apache-2.0
"""`trace` of packets to a frontend: which service, and which of its backends."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from sixlane.datapath.services import FrontendEntry, ServiceEntry
from tests import needs, translated
from tests.packets import ip4, tcp
from tests.prog.test_trace import Tracer, begin
from tests.services import Balanced, raise_balanced
from tests.world import Entry

pytestmark = [pytest.mark.prog, needs.root, pytest.mark.parametrize("entry", ["xdp", "tc"])]

VIP = "192.175.48.200"
FLOW = f"192.31.196.10:5000 -> {VIP}:80 tcp flags=A"
WEB = ServiceEntry("web", 1, (FrontendEntry(IPv4Address(VIP), 80, 6, 1),))


@pytest.fixture(scope="module")
def raised() -> Iterator[Balanced]:
    with raise_balanced(translated.TRANSLATOR) as balanced:
        begin(balanced.world.datapath)
        yield balanced


@pytest.fixture
def lb(raised: Balanced) -> Balanced:
    raised.forget()
    raised.backend(1, IPv6Address("2001:db8:64:1::7"))
    raised.backend(2, IPv4Address("10.0.0.2"))
    raised.ring([1])
    raised.commit(WEB)
    return raised


def counted(lb: Balanced) -> object:
    return lb.frontend_count(1), lb.backend_count(1), lb.cells()


def test_who_gets_it(lb: Balanced, entry: Entry) -> None:
    ask = Tracer(lb.world, entry)
    before = counted(lb)
    told = ask(FLOW)
    assert counted(lb) == before, "asking changes nothing"
    assert (told["verdict"], told["reasons"]) == ("sent", ["forward_service"])
    assert "is called at a frontend of service web" in told["steps"]
    assert "goes to backend 2001:db8:64:1::7, as its Maglev table has it" in told["steps"]
    tunnel = next(step for step in told["steps"] if step.startswith("leaves in a tunnel"))
    assert tunnel.startswith("leaves in a tunnel from 100::") and tunnel.endswith(
        " to 2001:db8:64:1::7"
    )
    assert not any("becomes" in step for step in told["steps"])

    for _ in range(2):
        lb.world.send(bytes(ip4(src="192.31.196.10", dst=VIP) / tcp(sport=5000, flags="A")), entry)
    lb.ring([2])
    steps = ask(FLOW)["steps"]
    assert "goes to backend 2001:db8:64:1::7, as its flow did before" in steps
    other = ask(FLOW.replace(":5000", ":5001"))["steps"]
    assert "goes to backend 10.0.0.2, as its Maglev table has it" in other


def test_nobody_does(lb: Balanced, entry: Entry) -> None:
    lb.ring([])
    told = Tracer(lb.world, entry)(FLOW)
    assert told["reasons"][0] == "drop_no_backend"
    assert "is called at a frontend of service web" in told["steps"]
    assert "no backend was chosen" in told["steps"]
    told = Tracer(lb.world, entry)(FLOW.replace(":80 ", ":81 "))
    assert told["reasons"][0] == "drop_no_frontend"
    assert not any("service web" in step for step in told["steps"])


def test_a_service_that_is_translated(lb: Balanced, entry: Entry) -> None:
    translated.settle(lb)
    lb.ring([translated.IDS[4]])
    told = Tracer(lb.world, entry)(f"192.31.196.10:5000 -> {translated.VIPS[4]}:80 tcp flags=S")
    port = translated.BACKEND_PORT
    assert f"goes to backend 10.0.0.1:{port}, as its Maglev table has it" in told["steps"]
    assert told["after"]["fields"]["destination"] == "10.0.0.1"
    assert "destination port 80 becomes 8080" in told["steps"]
