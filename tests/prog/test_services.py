# SPDX-License-Identifier: Apache-2.0
"""Services in the kernel's tables are those that were asked for."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.bpf import Map
from sixlane.datapath import Datapath
from sixlane.datapath.commit import SLOTS, gateway_in_force, number_of, slot_key
from sixlane.datapath.layout import GatewayFlag
from sixlane.datapath.services import FrontendEntry, ServiceEntry, Services
from tests import needs
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


def inside(datapath: Datapath, name: str) -> dict[bytes, bytes]:
    """What is in force."""
    slot = slot_key(datapath.generation() % SLOTS)
    with Map.from_id(number_of(datapath.maps()[name].lookup(slot))) as inner:
        return dict(inner.items())


def test_tables_in_force_are_those_that_were_asked_for(world: World) -> None:
    services = Services((WEB, DNS), local=frozenset({VIP4}))
    commit(world, services)
    rows = services.frontend_rows()
    keys = [rows.keys[at : at + 24] for at in range(0, len(rows.keys), 24)]
    values = [rows.values[at : at + 16] for at in range(0, len(rows.values), 16)]
    assert inside(world.datapath, "frontends") == dict(zip(keys, values, strict=True))
    assert len(keys) == 5, "three ends of two addresses"
    assert b"".join(inside(world.datapath, "service_bits").values()) == rows.bits
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
    assert inside(world.datapath, "frontends") == {}


def test_only_what_changes_is_written(world: World) -> None:
    services = Services((WEB, DNS))
    commit(world, None)
    assert commit(world, services) == {
        "frontends": 5,
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
