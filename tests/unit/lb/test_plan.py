# SPDX-License-Identifier: Apache-2.0
"""What services need of the kernel, and that a change is about what it names."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from sixlane.datapath.rings import Gaps
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.services import Services
from sixlane.errors import ConfigError
from sixlane.lb.apply import _Left, _note
from sixlane.lb.observe import Observed, numbers_beside
from sixlane.lb.plan import Plan, Settings, Wanted, plan_services, room_for
from sixlane.lb.status import standing_of
from sixlane.model import LoadBalancer, ResourceError, Service, parse_resource
from sixlane.model.segments import Segments

NOW_US = 1_800_000_000_000_000
NAT: dict[str, Any] = {"mode": "nat", "sourcePool": ["10.1.0.8/30", "2001:db8:f::/124"]}


def settings(local: Iterable[str] = (), mapped_by: int | None = None, **more: Any) -> Settings:
    most = {"services": 6, "backends": 24, "ringEntries": 131072, "flows": 1024}
    balancer = LoadBalancer.model_validate({"max": most, **more})
    return Settings(balancer, frozenset(map(ip_address, local)), mapped_by)


def service(name: str, nodes: Collection[int] = (1, 2), port: int = 80, **spec: Any) -> Service:
    found = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "frontends": [{"address": "192.175.48.200", "port": port}],
                "backends": [{"address": f"2001:db8::{at}"} for at in nodes],
                **spec,
            },
        }
    )
    assert isinstance(found, Service)
    return found


class Kernel:
    """As `Balancer` keeps it, and no maps: plans come true by themselves."""

    def __init__(self, room: ServiceRoom | None = None) -> None:
        room = room or room_for(settings().balancer)
        self.observed = Observed(room, {}, numbers_beside(room, ()))
        self.tables: Services | None = None
        self.failed: dict[str, frozenset[bytes]] = {}
        self.settings: Settings | None = settings()

    def plan(self, *services: Service, gone: set[str] | None = None, now_us: int = NOW_US) -> Plan:
        wanted = Wanted(services, gone)
        return plan_services(wanted, self.settings, self.observed, self.tables, self.failed, now_us)

    def apply(self, *services: Service, gone: set[str] | None = None) -> Plan:
        plan = self.plan(*services, gone=gone)
        left = _Left()
        _note(plan.observed, plan, left)
        self.observed, self.tables = plan.observed, plan.services
        for id in left.backends:
            self.observed.numbers.backends.give(id)
        for ring in left.rings:
            self.observed.numbers.gaps.give(ring)
        return plan

    def restart(self) -> None:
        """What the kernel has, and nothing of what it was planned from."""
        there = {name: replace(one, goal=None) for name, one in self.observed.services.items()}
        room = self.observed.room
        self.observed = Observed(room, there, numbers_beside(room, there.values()))
        self.tables = None


def names(plan: Plan) -> list[str]:
    return [one.name for one in plan.changes]


def test_a_new_service() -> None:
    plan = Kernel().plan(service("web"))
    (change,) = plan.changes
    assert (change.name, change.after.id, change.counters) == ("web", 1, (1,))
    assert [held.id for _, held in change.put] == [1, 2]
    assert change.ring is not None
    assert change.ring.extent == change.after.ring == (0, 251)
    assert list(change.ring.backends) == [1, 2]
    assert plan.moved and not plan.empty and plan.room is None
    assert plan.services is not None
    assert [one.name for one in plan.services.entries] == ["web"]
    assert plan.summary() == ["balance web: 2 of 2 backends get flows"]


def test_nothing_changes() -> None:
    kernel = Kernel()
    kernel.apply(service("web"), service("dns", port=53))
    plan = kernel.plan(service("web"), service("dns", port=53))
    assert (plan.changes, plan.moved, plan.empty, plan.summary()) == ((), False, True, [])
    assert plan.services is kernel.tables


def test_a_change_plans_what_it_names() -> None:
    kernel = Kernel()
    kernel.apply(service("web"), service("dns", port=53))
    dns = kernel.observed.services["dns"]
    heavier = [{"address": "2001:db8::1", "weight": 5}, {"address": "2001:db8::2"}]
    plan = kernel.apply(service("web", backends=heavier), gone=set())
    assert names(plan) == ["web"] and not plan.moved
    assert plan.changes[0].ring is not None and not plan.changes[0].put
    assert kernel.observed.services["dns"] is dns
    plan = kernel.apply(gone={"web"})
    assert (plan.gone, plan.changes, plan.moved) == (("web",), (), True)
    assert kernel.observed.services == {"dns": dns}
    assert kernel.plan(gone={"never"}).empty


@pytest.mark.parametrize(
    "spec",
    [
        {"sessionAffinity": "ClientIP"},
        {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
        {"frontends": [{"address": "192.175.48.200", "port": 81}]},
        NAT,
    ],
)
def test_settings_are_a_flip_and_no_ring(spec: dict[str, Any]) -> None:
    kernel = Kernel()
    kernel.apply(service("web"))
    plan = kernel.apply(service("web", **spec))
    assert plan.moved and plan.changes[0].ring is None and not plan.changes[0].put
    assert plan.summary() == ["balance web: 2 of 2 backends get flows"]


def test_another_announcement_is_no_matter_of_the_tables() -> None:
    kernel = Kernel()
    kernel.apply(service("web"), service("dns", port=53, announce="l2"))
    plan = kernel.plan(service("web", announce="l2"), service("dns", port=53, announce="l2"))
    (change,) = plan.changes
    assert (change.name, change.announces, change.moves, plan.empty) == ("web", True, False, True)
    kernel.apply(service("web", announce="l2"), gone=set())
    (change,) = kernel.plan(service("web", (1,), announce="l2"), gone=set()).changes
    assert not change.announces


def test_what_the_gateway_says_is_a_flip() -> None:
    kernel = Kernel()
    kernel.apply(service("web"))
    for one in (settings(["192.175.48.200"]), settings(hashSeed="other")):
        kernel.settings = one
        plan = kernel.apply(service("web"))
        assert plan.moved and not plan.changes
    assert not kernel.plan(service("web")).moved


def test_a_backend_of_nat_is_in_the_tables() -> None:
    kernel = Kernel()
    kernel.apply(service("web", **NAT))
    assert kernel.apply(service("web", (1, 2, 3), **NAT)).moved
    assert not kernel.apply(service("web", (3, 2, 1), **NAT)).moved


def test_clients_are_mapped_by_the_prefix_of_now() -> None:
    backends = [{"address": "2001:db8::1"}]
    web = service("web", mode="nat", source="mapped", backends=backends)
    kernel = Kernel()
    kernel.settings = settings(mapped_by=3)
    plan = kernel.apply(web)
    assert plan.services is not None and plan.services.entries[0].mapped_by == 3
    kernel.settings = settings(mapped_by=5)
    plan = kernel.apply(web)
    assert plan.services is not None and plan.services.entries[0].mapped_by == 5


def test_segments_that_fit_the_devices_of_now() -> None:
    """IPv6 header 40, TCP header 20, a jumbo header that may be counted in 8."""
    asked = {"auto": "auto", "number": 1360, "open": None}
    services = [
        service(name, port=port, maxSegmentSize=size, **NAT)
        for port, (name, size) in enumerate(asked.items(), 80)
    ]
    kernel = Kernel()
    for within, sizes in (
        (Segments.within(1500), {"auto": 1432, "number": 1360, "open": 0}),
        (Segments.within(1400), {"auto": 1332, "number": 1360, "open": 0}),
        (Segments.within(1500, big_tcp=True), {"auto": 1432, "number": 1360, "open": 1432}),
    ):
        kernel.settings = replace(settings(), segments=within)
        plan = kernel.apply(*services, service("dsr", port=79))
        assert plan.services is not None
        assert {one.name: one.max_segment_bytes for one in plan.services.entries} == {
            **sizes,
            "dsr": 0,
        }
        assert not kernel.plan(*services, service("dsr", port=79)).changes


def test_source_pool_is_one_range_of_each_family() -> None:
    pool = ["10.1.0.12/30", "10.1.0.8/30", "2001:db8:f::/124"]
    plan = Kernel().plan(service("web", mode="nat", sourcePool=pool))
    assert plan.services is not None
    (entry,) = plan.services.entries
    assert entry.pool4 is not None and entry.pool6 is not None
    assert (entry.pool4.first, entry.pool4.count) == (IPv4Address("10.1.0.8"), 8)
    assert (entry.pool6.first, entry.pool6.count) == (ip_address("2001:db8:f::"), 16)
    apart = ["10.1.0.8/30", "10.1.0.16/30", "2001:db8:f::/124"]
    with pytest.raises(ResourceError, match="gap") as error:
        Kernel().plan(service("web", mode="nat", sourcePool=apart))
    assert error.value.path == ("spec", "sourcePool", 1)


def test_without_a_gateway_there_are_none() -> None:
    kernel = Kernel()
    kernel.apply(service("web"), service("dns", port=53))
    kernel.settings = None
    plan = kernel.apply(service("web"), service("dns", port=53))
    assert (plan.services, set(plan.gone), plan.moved) == (None, {"web", "dns"}, True)
    assert kernel.observed.services == {}
    assert kernel.plan(service("web")).empty


def test_checks() -> None:
    kernel = Kernel()
    web = service("web")
    kernel.apply(web)
    rows = web.spec.backends.rows
    kernel.failed = {"web": frozenset({rows[0][:18]})}
    plan = kernel.apply(web)
    assert names(plan) == ["web"] and not plan.moved
    assert [held.id for held in plan.changes[0].states] == [1]
    assert plan.changes[0].ring is not None and list(plan.changes[0].ring.backends) == [2]
    assert standing_of(kernel.observed.services["web"]).reason == "ChecksFail"
    assert kernel.plan(web).changes == ()
    kernel.failed = {}
    assert kernel.apply(web).changes[0].ring is not None
    assert standing_of(kernel.observed.services["web"]).well


def test_a_deadline() -> None:
    nodes = [{"address": "2001:db8::1"}, {"address": "2001:db8::2", "state": "terminating"}]
    nodes[1]["drainUntil"] = "2027-01-15T08:00:01Z"  # a second after NOW_US
    web = service("web", backends=nodes)
    kernel = Kernel()
    kernel.apply(web)
    assert not kernel.plan(web, now_us=NOW_US + 999_999).changes
    (change,) = kernel.plan(web, now_us=NOW_US + 1_000_000).changes
    assert [(held.id, held.state.name) for held in change.states] == [(2, "BACKEND_QUARANTINED")]


def test_a_ring_of_other_numbers_is_another_ring() -> None:
    """Whatever somebody has left there."""
    kernel = Kernel()
    kernel.apply(service("web"))
    kernel.restart()
    web = kernel.observed.services["web"]
    others = {name: held._replace(id=held.id + 10) for name, held in web.backends.items()}
    kernel.observed.services["web"] = replace(web, backends=others)
    (change,) = kernel.plan(service("web")).changes
    assert change.ring is not None and list(change.ring.backends) == [11, 12]


def test_no_room() -> None:
    kernel = Kernel()
    kernel.apply(service("web", range(1, 13)), service("dns", range(1, 13), port=53))
    # 24 and as many once more, so that new ones can be there before old ones go
    kernel.plan(service("web", range(21, 33)), service("dns", range(21, 33), port=53))
    with pytest.raises(ConfigError, match="no room for more backends"):
        kernel.plan(service("more", range(1, 26), port=54), gone=set())
    many = [service(f"s{at}", (), port=at + 1) for at in range(7)]
    with pytest.raises(ConfigError, match="no room for more services"):
        kernel.plan(*many)


def test_other_sizes() -> None:
    kernel = Kernel()
    kernel.apply(service("web"), service("dns", port=53))
    ids = {name: one.id for name, one in kernel.observed.services.items()}
    kernel.settings = Settings(LoadBalancer())
    plan = kernel.apply(service("web"), service("dns", port=53), gone=set())
    assert plan.room == room_for(LoadBalancer())
    assert sorted(names(plan)) == ["dns", "web"]
    assert all(len(one.put) == 2 and one.ring and not one.counters for one in plan.changes)
    assert {name: one.id for name, one in kernel.observed.services.items()} == ids


def test_fewer_numbers() -> None:
    """Who has one that is too large gets another, or goes."""
    kernel = Kernel()
    kernel.apply(*(service(name, port=ord(name)) for name in "abcdef"))
    last = LoadBalancer.model_validate({"max": {"services": 2, "backends": 8, "flows": 1024}})
    kernel.settings = Settings(last)
    plan = kernel.apply(service("a", port=97), service("f", port=102))
    assert plan.room is not None and plan.gone == tuple("bcde")
    assert {name: one.id for name, one in kernel.observed.services.items()} == {"a": 1, "f": 2}


def test_a_restart_makes_nothing_anew() -> None:
    kernel = Kernel()
    services = [service("web"), service("dns", (), port=53), service("api", (4, 5), port=8)]
    kernel.apply(*services)
    before = kernel.tables
    kernel.restart()
    plan = kernel.apply(*reversed(services))
    assert plan.empty and plan.moved  # nobody knows yet that the tables are the same
    assert plan.services == before


def check(kernel: Kernel, services: Sequence[Service]) -> None:
    """Nothing has two owners, and what is nobody's is free."""
    present = kernel.observed.services
    assert present.keys() == {one.name for one in services}
    room, numbers = kernel.observed.room, kernel.observed.numbers
    for used, ids, most in (
        ([one.id for one in present.values()], numbers.services, room.services),
        (
            [held.id for one in present.values() for held in one.backends.values()],
            numbers.backends,
            room.backends,
        ),
        (
            [id for one in present.values() for id in one.frontends.values()],
            numbers.frontends,
            room.frontends,
        ),
    ):
        assert sorted([*used, *ids.free()]) == list(range(1, most + 1))
    rings = [one.ring for one in present.values() if one.ring.size]
    assert numbers.gaps._gaps == Gaps(rings, room.ring_entries)._gaps
    for one in services:
        assert len(present[one.name].backends) == len(one.spec.backends)
        assert (present[one.name].ring.size > 0) == bool(one.spec.backends)


@pytest.mark.parametrize("seed", range(20))
def test_a_random_life(seed: int) -> None:
    chance = random.Random(seed)
    kernel, there = Kernel(), dict[str, Service]()
    for _ in range(60):
        name = chance.choice("abcd")
        nodes = chance.sample(range(1, 9), chance.randrange(7))
        affinity = chance.choice(["None", "ClientIP"])
        ports = chance.sample(range(ord(name) * 4, ord(name) * 4 + 4), chance.randrange(1, 4))
        ends = [{"address": "192.175.48.200", "port": port} for port in ports]
        changed = service(name, nodes, frontends=ends, sessionAffinity=affinity)
        match chance.randrange(5):
            case 0 if name in there:
                del there[name]
                kernel.apply(gone={name})
            case 1:
                kernel.restart()
                kernel.apply(*there.values())
            case 2:
                there[name] = changed
                kernel.apply(*there.values())
            case _:
                there[name] = changed
                kernel.apply(changed, gone=set())
        check(kernel, list(there.values()))
        assert kernel.plan(*there.values()).empty
