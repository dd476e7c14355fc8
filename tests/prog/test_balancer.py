# SPDX-License-Identifier: Apache-2.0
"""Services in the kernel: numbers, backends and rings, found again after a restart."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet6 import IPv6

from sixlane.datapath.backends import Backends
from sixlane.datapath.layout import BackendState
from sixlane.datapath.rings import NOWHERE, rings_in_force
from sixlane.errors import ConfigError
from sixlane.lb import Balancer, Plan, Settings, Wanted, room_for
from sixlane.lb.observe import observe_services
from sixlane.model import LoadBalancer, Service, parse_resource
from sixlane.model.packed import unpacked_address
from sixlane.rfc.maglev import Member, table
from tests import needs
from tests.packets import ip4, tcp
from tests.services import Balanced
from tests.unit.rfc.vectors import TRANSLATOR
from tests.world import World, raise_world, tables_for

pytestmark = [pytest.mark.prog, needs.root]

SMALL = {"services": 8, "backends": 20, "ringEntries": 131072, "flows": 1024}
NOW_US = 1_800_000_000_000_000


def service(name: str, port: int, backends: list[dict[str, Any]], **spec: Any) -> Service:
    found = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "frontends": [{"address": "192.175.48.200", "port": port}],
                "backends": backends,
                **spec,
            },
        }
    )
    assert isinstance(found, Service)
    return found


def node(last: int, **more: Any) -> dict[str, Any]:
    return {"address": f"2001:db8:64:1::{last:x}", **more}


def settings(**most: int) -> Settings:
    return Settings(LoadBalancer.model_validate({"max": SMALL | most}))


class Bench:
    """Services over the data path of a world, as the agent has them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failed: dict[str, frozenset[bytes]] = {}
        self.balancer = Balancer(world.datapath)

    def restart(self) -> None:
        del self.balancer
        self.balancer = Balancer(self.world.datapath)

    def apply(self, *services: Service, now_us: int = NOW_US, **most: int) -> Plan:
        plan = self.balancer.plan(Wanted(services), settings(**most), self.failed, now_us)
        self.balancer.before_flip(plan)
        if plan.moved or plan.room:
            tables = tables_for(TRANSLATOR, self.world.wan, self.world.lan)
            self.world.datapath.commit(
                replace(tables, services=plan.services),
                service_room=plan.room,
                fill=lambda: self.balancer.fill(plan),
            )
        self.balancer.after_flip(plan)
        return plan

    def backends(self) -> dict[str, dict[str, tuple[int, str]]]:
        """Read from the kernel: id and state, by the service's name and the address."""
        maps = self.world.datapath.maps()
        seen = observe_services(self.world.datapath, Backends(maps["backends"]))
        return {
            name: {
                str(unpacked_address(naming[:16])): (
                    held.id,
                    BackendState(held.state).name.removeprefix("BACKEND_").lower(),
                )
                for naming, held in one.backends.items()
            }
            for name, one in seen.services.items()
        }

    def sent_to(self, packet: bytes) -> str:
        """The backend that gets it."""
        seen = self.world.send(packet, "xdp")
        assert seen.verdict == "redirect"
        return str(IPv6(seen.packet).dst)

    def counted(self, name: str) -> list[int]:
        """What stands in a map of counters, added up, by the id that it is of."""
        values = self.world.datapath.maps()[name].items_per_cpu()
        return [sum(sum(one) for one in on_cpus) for _, on_cpus in values]

    def ring(self, name: str) -> list[int]:
        """Read from the kernel: ids of backends."""
        maps = self.world.datapath.maps()
        id = self.balancer.observed.services[name].id
        extent, _ = rings_in_force(maps["service_rings"]).get(id, (NOWHERE, 0))
        entries = memoryview(maps["rings"].mmap(writable=False))
        return [
            struct.unpack_from("=I", entries, at * 8)[0]
            for at in range(extent.first, extent.first + extent.size)
        ]


@pytest.fixture(scope="module")
def raised() -> Iterator[Bench]:
    with raise_world(service_room=room_for(settings().balancer)) as world:
        yield Bench(world)


@pytest.fixture
def bench(raised: Bench) -> Bench:
    """Without services."""
    raised.failed = {}
    raised.apply()
    return raised


def expected_ring(ids: Mapping[str, tuple[int, str]], weights: Mapping[str, int], size: int) -> Any:
    from ipaddress import ip_address

    names = sorted(weights)
    members = [Member(ip_address(name).packed + bytes(2), weights[name]) for name in names]
    return [ids[names[owner]][0] for owner in table(members, size)]


def test_a_service_gets_a_ring_of_its_backends(bench: Bench) -> None:
    bench.apply(service("web", 80, [node(1), node(2, weight=3), node(3, weight=0)]))
    ids = bench.backends()["web"]
    assert {address: state for address, (_, state) in ids.items()} == {
        "2001:db8:64:1::1": "active",
        "2001:db8:64:1::2": "active",
        "2001:db8:64:1::3": "active",
    }
    assert 0 not in [id for id, _ in ids.values()]
    weights = {"2001:db8:64:1::1": 1, "2001:db8:64:1::2": 3}
    # 300 entries at least for three backends: 509 is the first of the usual primes
    assert bench.ring("web") == expected_ring(ids, weights, 509)


def test_another_weight_is_another_ring_and_no_flip(bench: Bench) -> None:
    other = service("dns", 53, [node(9)])
    bench.apply(service("web", 80, [node(1), node(2)]), other)
    ids, before = bench.backends(), bench.world.datapath.generation()
    stays = bench.balancer.observed.services["dns"]
    plan = bench.apply(service("web", 80, [node(1, weight=2), node(2)]), other)
    assert [one.name for one in plan.changes] == ["web"]
    assert bench.world.datapath.generation() == before
    assert bench.backends() == ids
    assert bench.balancer.observed.services["dns"] is stays
    weights = {"2001:db8:64:1::1": 2, "2001:db8:64:1::2": 1}
    assert bench.ring("web") == expected_ring(ids["web"], weights, 251)


def test_states(bench: Bench) -> None:
    nodes = [node(1), node(2, state="terminating"), node(3, state="maintenance"), node(4)]
    web = service("web", 80, nodes)
    bench.apply(web)
    bench.failed = {"web": frozenset({web.spec.backends.rows[3][:18]})}
    before = bench.world.datapath.generation()
    bench.apply(web)
    ids = bench.backends()["web"]
    assert [state for _, (_, state) in sorted(ids.items())] == [
        "active",
        "terminating",
        "maintenance",
        "quarantined",
    ]
    assert bench.world.datapath.generation() == before
    assert set(bench.ring("web")) == {ids["2001:db8:64:1::1"][0]}


def test_deadline_of_a_drain(bench: Bench) -> None:
    until = {"state": "terminating", "drainUntil": "2027-01-15T08:00:00Z"}  # NOW_US
    web = service("web", 80, [node(1), node(2, **until)])
    bench.apply(web, now_us=NOW_US - 1)
    assert bench.backends()["web"]["2001:db8:64:1::2"][1] == "terminating"
    assert bench.balancer.plan(Wanted([web]), settings(), {}, NOW_US - 1).changes == ()
    assert bench.balancer.until_us() == NOW_US
    bench.apply(web, now_us=NOW_US)
    assert bench.backends()["web"]["2001:db8:64:1::2"][1] == "quarantined"


def test_nobody_is_there(bench: Bench) -> None:
    gone = [node(1, weight=0), node(2, state="terminating"), node(3, state="maintenance")]
    bench.apply(service("web", 80, gone))
    assert bench.ring("web") == []
    bench.apply(service("web", 80, gone, whenAllDown="terminating"))
    ids = bench.backends()["web"]
    assert set(bench.ring("web")) == {ids["2001:db8:64:1::2"][0]}
    bench.apply(service("web", 80, []))
    assert bench.ring("web") == []
    assert bench.backends()["web"] == {}


def test_numbers_come_back(bench: Bench) -> None:
    """More services and backends than there is room for, one after the other."""
    for turn in range(30):
        bench.apply(service(f"s{turn}", 80, [node(turn * 4 + at) for at in range(4)]))
    assert list(bench.backends()) == ["s29"]
    assert len(bench.backends()["s29"]) == 4
    held = [id for one in bench.backends().values() for id, _ in one.values()]
    assert max(held) <= 40


def test_a_number_that_is_given_again_brings_no_flows_along(bench: Bench) -> None:
    """Flows of a backend that has gone do not come to whoever has its number now."""
    bench.apply(service("web", 80, [node(0), node(1)]))
    number, _ = bench.backends()["web"]["2001:db8:64:1::1"]
    calls = [bytes(ip4(dst="192.175.48.200") / tcp(sport=40000 + n)) for n in range(32)]
    first = [bench.sent_to(call) for call in calls]
    bench.world.later(16)
    last = 2
    while bench.backends()["web"].get(f"2001:db8:64:1::{last:x}", (0,))[0] != number:
        last += 1
        bench.apply(service("web", 80, [node(0), node(last)]))
        assert last < 200, "the number does not come back"
    of_it = [call for call, who in zip(calls, first, strict=True) if who.endswith("::1")]
    now = [bench.sent_to(call) for call in of_it]
    Balanced(bench.world, TRANSLATOR).forget()
    assert now == [bench.sent_to(call) for call in of_it], "where the ring leads"
    assert len(set(now)) == 2, "without that there is nothing to be seen"


def test_counters_of_somebody_before_begin_anew(bench: Bench) -> None:
    """After a restart nobody knows which frontends' numbers were somebody's: the lowest are given
    again. Those of backends have all been given again once there were more than there are."""
    bench.restart()
    bench.apply(service("web", 80, [node(1), node(2)]))
    for n in range(16):
        bench.sent_to(bytes(ip4(dst="192.175.48.200") / tcp(sport=40000 + n)))
    assert any(bench.counted("frontend_stats")) and any(bench.counted("backend_stats"))
    bench.apply()
    bench.restart()
    for last in range(3, 60):
        bench.apply(service("web", 80, [node(last)]))
    present = bench.balancer.observed.services["web"]
    assert not any(bench.counted("frontend_stats")[id] for id in present.frontends.values())
    assert not any(bench.counted("backend_stats"))


def test_a_restart_finds_everything_again(bench: Bench) -> None:
    ends = [{"address": "192.175.48.200", "port": 81}, {"address": "2001:db8:64::200", "port": 81}]
    services = (
        service("a", 80, [node(1), node(2)]),
        service("b", 1, [node(1), node(3, weight=0)], frontends=ends),
    )
    bench.apply(service("before", 1000, [node(7)]))  # so that numbers are not the first ones
    bench.apply(*services)
    known, generation = bench.balancer.observed, bench.world.datapath.generation()
    bench.restart()
    plan = bench.balancer.plan(Wanted(services), settings(), {}, NOW_US)
    assert plan.empty
    bench.apply(*services)
    for name, one in known.services.items():
        assert replace(bench.balancer.observed.services[name], goal=None) == replace(one, goal=None)
    assert bench.world.datapath.generation() in (generation, generation + 1)


def test_what_a_kill_left_is_taken_away(bench: Bench) -> None:
    """Backends and a ring of a service that the tables do not name."""
    web = service("web", 80, [node(1)])
    plan = bench.balancer.plan(Wanted((web, service("dns", 53, [node(5)]))), settings(), {}, NOW_US)
    bench.balancer.before_flip(plan)
    bench.restart()
    strays = bench.balancer.observed.strays
    assert sorted(len(one.backends) for one in strays) == [1, 1]
    assert all(one.ring.size == 251 for one in strays)
    bench.apply(web)
    bench.restart()
    assert bench.balancer.observed.strays == ()
    assert list(bench.backends()) == ["web"]


def test_another_size_of_the_tables() -> None:
    services = (service("a", 80, [node(1), node(2)]), service("b", 53, [node(3)]))
    with raise_world() as world:
        bench = Bench(world)
        assert bench.apply(*services).room == room_for(settings().balancer)
        ids = {name: one.id for name, one in bench.balancer.observed.services.items()}
        rings = {name: bench.ring(name) for name in ids}
        assert bench.apply(*services, backends=30).room is not None
        assert world.datapath.service_room().backends == 60  # and as many that replace them
        assert {name: one.id for name, one in bench.balancer.observed.services.items()} == ids
        held = {id: name for name, one in bench.backends().items() for id, _ in one.values()}
        for name, ring in rings.items():
            now = bench.ring(name)
            assert len(now) == len(ring)
            assert {held[id] for id in now} == {name}


def test_no_room(bench: Bench) -> None:
    web = service("web", 80, [node(at) for at in range(30)])
    bench.apply(web)
    before = bench.backends()
    with pytest.raises(ConfigError, match="no room for more backends"):
        bench.apply(web, service("dns", 53, [node(at) for at in range(11)]))
    with pytest.raises(ConfigError, match="no place for 131,071 entries"):
        bench.apply(service("web", 80, [node(1)], tableSize=131071))
    assert bench.backends() == before
    bench.apply(web)
