# SPDX-License-Identifier: Apache-2.0
"""Digests of the maps' layouts, and the names in their types."""

from sixlane.bpf import Btf
from sixlane.bpf.btf import Enum, Struct
from sixlane.datapath import layout
from sixlane.datapath.objects import UPLINK, object_path

TABLES = {name for name, one in layout.MAPS.items() if one.inner} | {"generation"}


def test_maps_of_one_generation_go_together() -> None:
    assert len({layout.DIGESTS[name] for name in TABLES}) == 1
    alone = [name for name in layout.DIGESTS if name not in TABLES]
    assert not {layout.DIGESTS[name] for name in alone} & {layout.DIGESTS["generation"]}


def test_the_types_of_the_maps_tell_all_that_another_version_looks_up() -> None:
    """See older.py: these names are the promise to all versions to come."""
    types = Btf.from_file(object_path(UPLINK))
    reasons = {one.name for one in types.find(Enum, "reason").values}
    assert reasons == set(layout.Reason.__members__)
    directions = [one.name for one in types.find(Enum, "direction").values]
    assert directions == ["DIRECTION_46", "DIRECTION_64", "DIRECTION_COUNT"]
    protocols = [one.name for one in types.find(Enum, "protocol").values]
    assert protocols == [*(f"PROTOCOL_{one}" for one in ("OTHER", "TCP", "UDP", "ICMP", "COUNT"))]
    for name, fields in (
        ("gateway", {"prefix_count", "prefixes", "names"}),
        ("prefix", {"id"}),
        ("label", {"text"}),
        ("counter", {"pkts", "bytes"}),
        ("past_reason", {"reason", "map"}),
        ("prefix_counter", {"reasons"}),
        ("past_prefix", {"prefix", "direction", "protocol", "reason", "map"}),
    ):
        assert fields <= {member.name for member in types.find(Struct, name).members}, name
