# SPDX-License-Identifier: Apache-2.0
"""Services in the kernel's tables are those that were asked for."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.bpf import Map
from sixlane.datapath import Datapath
from sixlane.datapath.commit import SLOTS, gateway_in_force, number_of, slot_key
from sixlane.datapath.frontends import rows_in
from sixlane.datapath.layout import FrontendSet, GatewayFlag
from sixlane.datapath.services import FrontendEntry, ServiceEntry, Services
from tests import needs
from tests.packets import ip6, tcp, udp
from tests.unit.rfc.vectors import TRANSLATOR
from tests.world import World, tables_for

pytestmark = [pytest.mark.prog, needs.root]

VIP4, VIP6 = IPv4Address("192.175.48.200"), IPv6Address("2001:db8:64::200")
WEB = ServiceEntry("web", 1, (FrontendEntry(VIP4, 80, 6, 1), FrontendEntry(VIP6, 80, 6, 2)))
DNS = ServiceEntry(
    "dns", 2, (FrontendEntry(VIP4, 53, 17, 3),), source_ranges=(IPv6Network("2001:db8::/32"),)
)
ALL = {"frontends", "service_bits", "services"}


def commit(world: World, services: Services | None) -> dict[str, int]:
    tables = tables_for(TRANSLATOR, world.wan, world.lan)
    written = world.commit(replace(tables, services=services)).elements
    return {name: count for name, count in written.items() if name in {*ALL, "service_sources"}}


def inner(datapath: Datapath, name: str) -> Map:
    """That is in force."""
    slot = slot_key(datapath.generation() % SLOTS)
    return Map.from_id(number_of(datapath.maps()[name].lookup(slot)))


def inside(datapath: Datapath, name: str) -> dict[bytes, bytes]:
    with inner(datapath, name) as map:
        return dict(map.items())


def test_tables_in_force_are_those_that_were_asked_for(world: World) -> None:
    services = Services((WEB, DNS), local=frozenset({VIP4}))
    commit(world, services)
    rows, tables = services.frontend_rows(), services.frontend_tables()
    assert b"".join(inside(world.datapath, "frontends").values()) == tables.sets
    with inner(world.datapath, "frontends") as frontends:
        assert sorted(rows_in(frontends)) == sorted(rows)
    assert len(rows) == 5, "three ends of two addresses"
    assert b"".join(inside(world.datapath, "service_bits").values()) == tables.bits
    assert b"".join(inside(world.datapath, "services").values()) == services.service_rows()
    found = inside(world.datapath, "service_sources")
    assert found == dict(zip(*([one] for one in DNS.sources), strict=True))
    gateway = gateway_in_force(world.datapath.maps())
    assert gateway is not None
    assert gateway.flags & GatewayFlag.GATEWAY_SERVICES
    commit(world, None)
    gateway = gateway_in_force(world.datapath.maps())
    assert gateway is not None
    assert not gateway.flags & GatewayFlag.GATEWAY_SERVICES
    with inner(world.datapath, "frontends") as frontends:
        assert not list(rows_in(frontends))


def test_only_what_changes_is_written(world: World) -> None:
    services = Services((WEB, DNS))
    commit(world, None)
    assert commit(world, services) == {
        "frontends": 8,
        "service_bits": 1,
        "services": 3,
        "service_sources": 1,
    }
    assert commit(world, services) == {}
    assert commit(world, replace(services, seed="another")) == {}
    moved = replace(WEB, affinity_seconds=60)
    assert commit(world, Services((moved, DNS))).keys() == ALL
    wider = replace(DNS, source_ranges=(*(DNS.source_ranges or ()), IPv4Network("10.0.0.0/8")))
    assert commit(world, Services((moved, wider))) == {"service_sources": 2}
    assert commit(world, None).keys() == {*ALL, "service_sources"}


def test_each_of_many_is_found(world: World) -> None:
    """By packets; some are in their second set."""
    ends = [
        FrontendEntry(VIP6 + at // 100, 80 + at % 100, (6, 17)[at % 2], 1 + at)
        for at in range(1_000)
    ]
    services = Services(
        tuple(ServiceEntry(f"s{at}", 1 + at, (end,)) for at, end in enumerate(ends))
    )
    commit(world, services)
    sets = services.frontend_tables().sets
    assert any(
        FrontendSet.from_buffer_copy(sets, at).ways[0].elsewhere for at in range(0, len(sets), 64)
    )
    world.counted()
    for end in ends:
        upper = tcp(dport=end.port) if end.protocol == 6 else udp(dport=end.port)
        world.send(bytes(ip6(dst=str(end.address)) / upper), "xdp")
    counted = world.counted()
    assert counted.pop("drop_no_backend") == len(ends)
    assert counted.keys() <= {"icmp_error_sent", "icmp_error_limited"}


def test_the_other_protocol_finds_nobody(world: World) -> None:
    """A single end has two sets; of one port in eight both protocols have the same one."""
    for port in range(80, 112):
        end = FrontendEntry(VIP6, port, 6, 1)
        commit(world, Services((ServiceEntry("web", 1, (end,)),)))
        seen = world.run(bytes(ip6(dst=str(VIP6)) / udp(dport=port)), "xdp")
        assert "drop_no_frontend" in seen.reasons, (port, seen.reasons)
