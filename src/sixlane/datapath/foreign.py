# SPDX-License-Identifier: Apache-2.0
"""Programs of others on a device: they see its packets before ours do, or in their place."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sixlane.bpf import AttachType, Program, attached_programs, probe, xdp_program
from sixlane.datapath.attach import FILTER, OF_PODS
from sixlane.errors import KernelError
from sixlane.net import clsact

_TCX = {"tcx ingress": AttachType.TCX_INGRESS, "tcx egress": AttachType.TCX_EGRESS}
_DIRECTIONS: tuple[clsact.Direction, ...] = ("ingress", "egress")


@dataclass(frozen=True)
class Foreign:
    """`hook`: "xdp", "tcx ingress", "tcx egress", "tc ingress", "tc egress"."""

    hook: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.hook})"


def foreign_programs(ifindex: int, ours: Collection[int]) -> list[Foreign]:
    """`ours`: the ids of our programs on the device."""
    return [*_programs(ifindex, ours), *_filters(ifindex)]


def _programs(ifindex: int, ours: Collection[int]) -> Iterator[Foreign]:
    found = [("xdp", xdp_program(ifindex))]
    if probe.has_tcx():
        found += [
            (hook, id) for hook, kind in _TCX.items() for id in attached_programs(ifindex, kind)
        ]
    for hook, id in found:
        if id and id not in ours and (name := _name(id)) not in OF_PODS:
            yield Foreign(hook, name)


def _filters(ifindex: int) -> Iterator[Foreign]:
    if not clsact.has_qdisc(ifindex):
        return
    for direction in _DIRECTIONS:
        for found in clsact.list_filters(ifindex, direction):
            if found.name not in (FILTER, *OF_PODS):
                yield Foreign(f"tc {direction}", found.name or found.kind)


def _name(id: int) -> str:
    try:
        with Program.from_id(id) as program:
            return program.name or f"program {id}"
    except KernelError:  # gone since
        return f"program {id}"
