# SPDX-License-Identifier: Apache-2.0
"""Each part's originals in one store: what one of them forgets, the other still knows."""

from pathlib import Path

from sixlane.agent.originals import GatewaysOriginals, PodsOriginals
from sixlane.agent.store import Store
from sixlane.nat64 import Originals


def test_two_parts_and_one_store(tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        parts: tuple[Originals, ...] = (GatewaysOriginals(store), PodsOriginals(store))
        for part, value in zip(parts, ("1", "2"), strict=True):
            part.remember("era/3/ipv6/forwarding", value)
            part.remember("era/3/ipv6/forwarding", "later")
            assert part.items() == [("era/3/ipv6/forwarding", value)]
        for part in parts:
            part.forget("era/3/ipv6/forwarding")
            assert part.items() == []
            part.remember("era/3/ipv6/forwarding", "again")
