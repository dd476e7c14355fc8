# SPDX-License-Identifier: Apache-2.0
"""An agent and the real programs do what is documented, in whatever order things happen: changes by
the API, many at once and some of them refused, results of checks, deadlines, restarts, packets."""

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from sixlane.agent import Agent, Settings, services
from sixlane.agent.health import Report
from sixlane.api.transactions import parse_transaction
from sixlane.errors import SixlaneError
from sixlane.lb import room_for
from sixlane.model import LoadBalancer
from tests import needs
from tests.diff.balancing import Flow, Model, Place, Sign, Verdict
from tests.diff.desired import Frontend, Refused, merged
from tests.packets import ip4, ip6, tcp, udp
from tests.services import Balanced
from tests.unit.rfc.vectors import TRANSLATOR
from tests.world import Entry, Seen, raise_world

pytestmark = [pytest.mark.diff, needs.root]

EXAMPLES = int(os.environ.get("EXAMPLES", 15))
"""Of hypothesis."""

VIP4, VIP6 = "192.175.48.200", "2001:db8:48::200"
FRONTENDS: Final = {
    "dns": (Frontend(VIP4, 53, "UDP"), Frontend(VIP6, 53, "UDP"), Frontend(VIP6, 53, "TCP")),
    "web": (Frontend(VIP4, 80, "TCP"), Frontend(VIP6, 80, "TCP"), Frontend(VIP4, 443, "UDP")),
}
ENDS: Final = (
    *(end for ends in FRONTENDS.values() for end in ends),
    Frontend(VIP4, 81, "TCP"),
    Frontend(VIP6, 80, "UDP"),
)
"""Of which the last ones are nobody's."""
BACKENDS: Final = ("10.0.0.7", "10.0.0.8", "2001:db8:64:1::7", "2001:db8:64:1::8")
Traffic = list[tuple[int, tuple[Sign, ...], Entry]]
"""To which frontend, and what."""
CLIENTS4: Final = ("192.31.196.10", "192.31.196.11", "192.31.196.12")
CLIENTS6: Final = ("2001:db8:c::10", "2001:db8:c::11", "2001:db8:c::12")
PORTS: Final = (40000, 40001)
FLAGS: Final[Mapping[Sign, str]] = {"begins": "S", "goes on": "A", "ends": "FA"}
SEEDS: Final = ("known to nobody", "else")
TODAY, YEAR = datetime(2026, 7, 1, tzinfo=UTC).timestamp(), 365 * 86400.0
DEADLINES: Final = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z")
FOR_NOW = 250.0
"""Longer than what is seen once is remembered, and shorter than what goes on is."""

MAX: Final = {
    "services": 8,
    "backends": 500,  # so many that no number is given twice in an example
    "ringEntries": 1 << 17,
    "flows": 1024,
    "natFlows": 1024,
}


class Bench:
    """An agent in a world, with the time that it takes it to be; the model beside it."""

    def __init__(self, balanced: Balanced, directory: Path) -> None:
        self.balanced, self.world = balanced, balanced.world
        self._settings = Settings(self.world.datapath.root, directory, directory)
        self.agent = Agent.open(self._settings)
        self.model = Model(TODAY)
        self.told: dict[Place, Verdict] = {}

    def begin(self, services: Sequence[dict[str, Any]]) -> None:
        """With these and nothing else."""
        self.model = Model(TODAY, seed=SEEDS[0])
        self.told = {}
        self.balanced.forget()
        self.agent.apply(parse_transaction({"put": [gateway(SEEDS[0])], "prune": True})[0])
        self.transact({"put": services})

    def edit(self, op: str, number: int, data: dict[str, Any]) -> dict[str, Any]:
        """Of a backend that is there, but for those that are put."""
        there = [(name, address) for name in FRONTENDS for address in BACKENDS]
        if op != "put":
            there = sorted(self.model.born) or there
        name, address = there[number % len(there)]
        return {"op": op, "service": name, "backend": {"address": address, **data}}

    def transact(self, asked: dict[str, Any]) -> None:
        """As a client asks for it: all of it, or nothing."""
        model = self.model
        seeds = [
            one["spec"]["loadBalancer"]["hashSeed"]
            for one in asked.get("put", ())
            if one["kind"] == "Gateway"
        ]
        before = self._kept()
        try:
            after = merged(model.services, asked)
        except Refused:
            with pytest.raises(SixlaneError):
                self.agent.apply(parse_transaction(asked)[0])
            assert self._kept() == before
            return
        self.agent.apply(parse_transaction(asked)[0])
        model.put_in_force(after, seeds[0] if seeds else model.seed)
        self.told = {place: one for place, one in self.told.items() if place in model.verdicts}

    def _kept(self) -> tuple[Any, ...]:
        """What a change that is refused leaves as it is."""
        maps = self.world.datapath.maps()
        memory = [bytes(maps[name].mmap(writable=False)) for name in ("backends", "rings")]
        rings = list(maps["service_rings"].items())
        resources = [{**one, "status": None} for one in self.agent.resources()]
        return resources, memory, rings, self.world.datapath.generation()

    def report(self, told: Mapping[Place, Verdict]) -> None:
        """As sixlane-health does."""
        tasks = self.agent.health_tasks("", 0)
        reports = []
        for task in tasks["tasks"]:
            place = task["id"].split("/")[0], task["backend"]
            if place in told:
                verdict, now = told[place], time.time()
                is_well = verdict == "well"
                reports.append(
                    Report(task["id"], verdict, now, False, 0, 1, is_well, "", 0.001, now, 1)
                )
        assert len(reports) == len(told)
        assert self.agent.take_health(tasks["version"], reports)
        self.agent.check()  # behind what it has to do by that
        self.told |= told
        self.model.verdicts |= told

    def restart(self) -> None:
        self.agent.close()
        self.agent = Agent.open(self._settings)
        self.model.restart()
        self.check()
        self.report(self.told)

    def wait(self) -> None:
        """By the data path's clock."""
        self.balanced.later(FOR_NOW)
        self.model.clock += FOR_NOW

    def later(self) -> None:
        """By the agent's clock, at which it looks now and then."""
        self.model.today += YEAR
        self.agent._on_change(set())
        self.agent.check()

    def send_many(self, traffic: Traffic) -> None:
        """To frontends that are there."""
        there = [end for one in self.model.services.values() for end in one.frontends]
        for number, signs, entry in traffic if there else ():
            for sign in signs:
                self.send(there[number % len(there)], sign, entry)

    def send(self, to: Frontend, sign: Sign, entry: Entry) -> None:
        """A packet of each flow."""
        clients = CLIENTS6 if ":" in to.address else CLIENTS4
        for client, port in itertools.product(clients, PORTS):
            flow = Flow(client, port, to)
            packet = packet_of(flow, FLAGS[sign])
            expected = self.model.send(flow, sign, len(packet))
            assert went(self.world.send(packet, entry)) == expected

    def check(self) -> None:
        """States, shares and counters, as clients of the API see them."""
        for name, service in self.model.services.items():
            states, table = self.model.states(name), self.model.table(name)
            seen = {one["address"]: one for one in self.agent.backends(name)["items"]}
            assert {address: one["status"]["state"] for address, one in seen.items()} == states
            shares = {a: table.count(a) / len(table) if table else 0 for a in service.backends}
            found = {address: one["status"]["share"] for address, one in seen.items()}
            assert found == pytest.approx(shares, abs=1e-4)
            told = self.agent.service_counters(name)
            for one in told["frontends"]:
                end = Frontend(one["address"], one["port"], one["protocol"])
                counts = self.model.counts[name, end]
                assert_counted(one, counts)
                assert one["dropped"]["packets"] == counts["dropped"]
            for one in told["backends"]:
                assert_counted(one, self.model.counts[name, one["address"]])

    def end(self) -> None:
        self.agent.teardown()
        self.agent.close()


def assert_counted(found: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    for key in ("packets", "bytes", "newFlows"):
        assert found[key] == counts[key], key


def packet_of(flow: Flow, flags: str) -> bytes:
    to = flow.frontend
    ends = {"src": flow.client, "dst": to.address}
    header = ip6(**ends) if ":" in to.address else ip4(**ends)
    ports: dict[str, Any] = {"sport": flow.port, "dport": to.port}
    upper = tcp(flags=flags, **ports) if to.protocol == "TCP" else udp(**ports)
    return bytes(header / upper)


def went(seen: Seen) -> str:
    """As `Model.send` says it."""
    if seen.verdict != "redirect":
        return {"pass": "passed"}.get(seen.verdict, seen.verdict)
    outer = IPv6(seen.packet) if seen.packet[0] >> 4 == 6 else IP(seen.packet)
    is_tunnel = isinstance(outer.payload, IP | IPv6)
    return str(outer.dst) if is_tunnel else "refused"


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "sixlane.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def gateway(seed: str) -> dict[str, Any]:
    spec = {
        "devices": [{"name": name, "attach": "tc"} for name in ("wan0", "lan0")],
        "prefixes": [],
        "icmpErrors": {"rate": 1_000_000},
        "loadBalancer": {"hashSeed": seed, "max": MAX},
    }
    return resource("Gateway", "edge", spec)


# ---- what can be asked for ----


def either(*more: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly nothing."""
    return st.one_of(st.just({}), st.just({}), st.sampled_from(more))


def joined(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {k: v for one in found for k, v in one.items()})


def service(name: str, beside: Sequence[Frontend], spec: dict[str, Any]) -> dict[str, Any]:
    ends = dict.fromkeys((*FRONTENDS[name], *beside))
    return resource("Service", name, {"frontends": [end._asdict() for end in ends], **spec})


BY_CLIENT: Final = {"sessionAffinity": "ClientIP"}
NOTHING: Final[dict[str, Any]] = {}
WEIGHTS: Final = ({"weight": 0}, {"weight": 1}, {"weight": 2}, {"weight": 7})
STATES: Final[tuple[dict[str, Any], ...]] = (
    {"state": "terminating"},
    {"state": "maintenance"},
    *({"state": "terminating", "drainUntil": until} for until in DEADLINES),
)
BACKEND = joined(either(*WEIGHTS), either(*STATES))
SPEC = joined(
    st.dictionaries(st.sampled_from(BACKENDS), BACKEND, min_size=2).map(
        lambda found: {"backends": [{"address": one, **more} for one, more in found.items()]}
    ),
    either({"whenAllDown": "terminating"}),
    either(BY_CLIENT, {**BY_CLIENT, "sessionAffinityTimeoutSeconds": 200}),
    either({"healthCheck": {"type": "tcp"}}),
    either({"tableSize": 251}, {"tableSize": 509}),
)
ALONE = {name: st.builds(service, st.just(name), st.just(()), SPEC) for name in FRONTENDS}
NAME = st.sampled_from(sorted(FRONTENDS))
SERVICE = st.builds(
    service,
    NAME,
    st.sampled_from(((), (), (), *((end,) for ends in FRONTENDS.values() for end in ends))),
    SPEC,
)
GATEWAY = st.sampled_from(SEEDS).map(gateway)
GONE = NAME.map(lambda name: {"kind": "Service", "name": name})

NUMBER = st.integers(0, 7)
Edit = tuple[str, int, dict[str, Any]]
ADDED = st.tuples(st.just("put"), NUMBER, BACKEND)
CHANGED = st.tuples(
    st.just("patch"),
    NUMBER,
    st.one_of(
        st.sampled_from(WEIGHTS),
        st.sampled_from(STATES).map(lambda state: {"drainUntil": None, **state}),
        st.just({"state": None, "drainUntil": None}),
    ),
)
REMOVED = st.tuples(st.just("delete"), NUMBER, st.just(NOTHING))
WRONG = st.tuples(
    st.just("patch"),
    NUMBER,
    st.sampled_from(
        (
            {"weight": 1001},
            {"state": None, "drainUntil": DEADLINES[0]},
            {"address": "10.0.0.99"},
        )
    ),
)
EDITS = st.lists(st.one_of(ADDED, CHANGED, CHANGED, REMOVED), min_size=1, max_size=4)
VERDICT: st.SearchStrategy[Verdict] = st.sampled_from(("well", "well", "quarantined"))
ENTRY: st.SearchStrategy[Entry] = st.sampled_from(("xdp", "tc"))
SIGNS: st.SearchStrategy[tuple[Sign, ...]] = st.sampled_from(
    (("begins",), ("goes on",), ("begins", "goes on"), ("goes on", "goes on"), ("ends",))
)
TRAFFIC = st.lists(st.tuples(NUMBER, SIGNS, ENTRY), max_size=2)


def machine(bench: Bench) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        @initialize(web=ALONE["web"], dns=ALONE["dns"])
        def begin(self, web: dict[str, Any], dns: dict[str, Any]) -> None:
            bench.begin([web, dns])

        @rule(edit=CHANGED, traffic=TRAFFIC)
        def edit(self, edit: Edit, traffic: Traffic) -> None:
            bench.transact({"backends": [bench.edit(*edit)]})
            bench.send_many(traffic)

        @rule(edits=EDITS, wrong=st.lists(WRONG, max_size=1), traffic=TRAFFIC)
        def edit_many(self, edits: list[Edit], wrong: list[Edit], traffic: Traffic) -> None:
            bench.transact({"backends": [bench.edit(*one) for one in (*edits, *wrong)]})
            bench.send_many(traffic)

        @rule(
            put=st.lists(st.one_of(GATEWAY, SERVICE), max_size=2),
            gone=st.one_of(st.just(()), st.just(()), st.tuples(GONE)),
            edits=EDITS,
            traffic=TRAFFIC,
        )
        def change(
            self, put: list[Any], gone: tuple[Any, ...], edits: list[Edit], traffic: Traffic
        ) -> None:
            backends = [bench.edit(*one) for one in edits]
            bench.transact({"put": put, "delete": gone, "backends": backends})
            bench.send_many(traffic)

        @rule(number=NUMBER, verdict=VERDICT, traffic=TRAFFIC)
        def check(self, number: int, verdict: Verdict, traffic: Traffic) -> None:
            """One, or all."""
            checked = sorted(bench.model.verdicts)
            bench.report(dict.fromkeys(checked[number : number + 1] or checked, verdict))
            bench.send_many(traffic)

        @rule(what=st.sampled_from(("wait", "wait", "restart", "later")), traffic=TRAFFIC)
        def happens(self, what: str, traffic: Traffic) -> None:
            getattr(bench, what)()
            bench.send_many(traffic)

        @rule(end=st.sampled_from(ENDS), sign=st.sampled_from(sorted(FLAGS)), entry=ENTRY)
        def send_anywhere(self, end: Frontend, sign: Sign, entry: Entry) -> None:
            bench.send(end, sign, entry)

        @invariant()
        def is_as_documented(self) -> None:
            bench.check()

    return Machine


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    room = room_for(LoadBalancer.model_validate({"max": MAX}))
    with raise_world(service_room=room) as world, pytest.MonkeyPatch.context() as patch:
        bench = Bench(Balanced(world, TRANSLATOR), tmp_path)
        patch.setattr(services, "_now_us", lambda: round(bench.model.today * 1e6))
        try:
            yield bench
        finally:
            bench.end()


@pytest.mark.timeout(900)  # what fails is made smaller for five minutes at most
def test_whatever_happens(bench: Bench) -> None:
    run_state_machine_as_test(
        machine(bench),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
