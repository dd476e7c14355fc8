# SPDX-License-Identifier: Apache-2.0
"""Which devices an uplink sends by, and how much all of them can do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.agent.big_tcp import NodeSizes
from sixlane.agent.originals import PodsOriginals
from sixlane.agent.store import Store
from sixlane.net import gso
from sixlane.pods.big_tcp import Bound, End


def sized(ifindex: int, name: str, maximum: int = gso.LARGEST, **related: int) -> gso.Sized:
    sizes = gso.Sizes(*(gso.ORDINARY,) * 4, maximum)
    has = {"peer": None, "master": None, "lower": None, **related}
    return gso.Sized(ifindex, name, has["peer"], 1500, sizes, has["master"], has["lower"])


DEVICES = [
    sized(1, "lo"),
    sized(2, "eth0", 131_072, master=4),
    sized(3, "eth1", 100_000, master=4),
    sized(4, "bond0", 131_072),
    sized(5, "vlan5", lower=4),
    sized(6, "veth0", peer=7),
    sized(7, "veth1", peer=6),
]


@pytest.fixture
def sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeSizes]:
    monkeypatch.setattr(gso, "list_sized", lambda: DEVICES)
    with Store(tmp_path / "store.db") as store:
        yield NodeSizes(PodsOriginals(store))


def named(ends: list[End]) -> dict[str, tuple[str, Bound | None]]:
    return {one.name: (one.role, one.below) for one in ends}


def test_a_vlan_on_a_bond(sizes: NodeSizes) -> None:
    least = Bound(100_000, "eth1")
    assert named(sizes.observe([5], [])) == {
        "vlan5": ("uplink", least),
        "bond0": ("lower", least),
        "eth0": ("lower", None),
        "eth1": ("lower", None),
    }


def test_an_uplink_below_an_uplink_is_one(sizes: NodeSizes) -> None:
    assert {name: role for name, (role, _) in named(sizes.observe([5, 4], [])).items()} == {
        "vlan5": "uplink",
        "bond0": "uplink",
        "eth0": "lower",
        "eth1": "lower",
    }


def test_the_other_end_of_a_pair_is_not_below(sizes: NodeSizes) -> None:
    assert named(sizes.observe([6, 99], [])) == {"veth0": ("uplink", None)}
