# SPDX-License-Identifier: Apache-2.0
"""Services in a world of one packet at a time, put into the tables without a plan."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from sixlane.datapath import layout
from sixlane.datapath.commit import slot_key
from sixlane.datapath.layout import BackendState
from sixlane.datapath.rooms import ServiceRoom
from sixlane.datapath.services import ServiceEntry, Services
from sixlane.model.packed import packed_address
from sixlane.rfc.rfc7915 import Translator
from tests.world import World, raise_world, tables_for

Address = IPv4Address | IPv6Address

_ROOM = ServiceRoom(
    services=16, backends=64, frontends=64, ring_entries=4096, flows=1024, nat_flows=256
)


@dataclass
class Balanced:
    """A world with services. Backends have the ids that a test gives them."""

    world: World
    translator: Translator

    def commit(self, *entries: ServiceEntry, slow: int = 0, **given: object) -> None:
        """`slow`: the device that the slow path is to come back by."""
        tables = tables_for(self.translator, self.world.wan, self.world.lan)
        if slow and tables.slow:
            tables = replace(tables, slow=replace(tables.slow, ifindex=slow))
        services = replace(Services(entries), **given)  # type: ignore[arg-type]
        self.world.commit(replace(tables, services=services))

    def backend(
        self,
        id: int,
        address: Address,
        service: int = 1,
        port: int = 0,
        state: BackendState = BackendState.BACKEND_ACTIVE,
    ) -> None:
        packed = layout.Addr.from_buffer_copy(packed_address(address))
        record = layout.Backend(packed, service, port, state)
        self.world.datapath.maps()["backends"].update(slot_key(id), bytes(record))

    def ring(self, ids: Sequence[int], service: int = 1) -> None:
        """Whom new flows of a service go to, in equal shares; nobody if there are none."""
        maps, first = self.world.datapath.maps(), service * 128
        for at in range(len(ids)):
            maps["rings"].update(slot_key(first + at), slot_key(ids[at]))
        place = layout.ServiceRing(first << 32 | len(ids), 1)
        maps["service_rings"].update(slot_key(service), bytes(place))

    def later(self, seconds: float) -> None:
        self.world.later(seconds)

    def forget(self) -> None:
        """As if no flow had ever come."""
        maps = self.world.datapath.maps()
        for name in ("flow_cache", "nat_flows", "flows_in", "flows_back"):
            for key, value in list(maps[name].items()):
                if any(value):
                    maps[name].update(key, bytes(len(value)))
        maps["flow_slots"].update(bytes(4), bytes(layout.Slots()))
        maps["flow_sweeps"].update(bytes(4), bytes(layout.Sweeping()))

    def flows(self) -> list[layout.NatFlow]:
        """Those that are translated, dead ones that nobody has taken out among them."""
        rows = self.world.datapath.maps()["nat_flows"].items()
        found = [layout.NatFlow.from_buffer_copy(value) for _, value in rows]
        return [flow for flow in found if flow.word]

    def cells(self) -> list[int]:
        """All that is remembered of flows, as it lies there."""
        rows = self.world.datapath.maps()["flow_cache"].items()
        return [
            cell
            for _, value in rows
            for cell in layout.FlowSet.from_buffer_copy(value).cells
            if cell
        ]

    def frontend_count(self, id: int) -> tuple[int, int, int]:
        """Packets forwarded, packets dropped, new flows."""
        found = [
            layout.FrontendCounter.from_buffer_copy(value)
            for value in self._per_cpu("frontend_stats", id)
        ]
        return (
            sum(one.forwarded.pkts for one in found),
            sum(one.dropped.pkts for one in found),
            sum(one.flows for one in found),
        )

    def backend_count(self, id: int) -> tuple[int, int, int]:
        """Packets, bytes, new flows."""
        found = [
            layout.BackendCounter.from_buffer_copy(value)
            for value in self._per_cpu("backend_stats", id)
        ]
        return (
            sum(one.forwarded.pkts for one in found),
            sum(one.forwarded.bytes for one in found),
            sum(one.flows for one in found),
        )

    def _per_cpu(self, name: str, id: int) -> Sequence[bytes]:
        wanted = slot_key(id)
        return next(
            values
            for key, values in self.world.datapath.maps()[name].items_per_cpu()
            if key == wanted
        )


@contextmanager
def raise_balanced(translator: Translator, flows: int = 256) -> Iterator[Balanced]:
    """`flows`: that are translated, at a time."""
    with raise_world(service_room=replace(_ROOM, nat_flows=flows)) as world:
        yield Balanced(world, translator)
