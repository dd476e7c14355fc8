# SPDX-License-Identifier: Apache-2.0
"""What is planned for a Gateway, without a kernel."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from sixlane.datapath import Attachment, SlowPath, Tables, ranges, sources
from sixlane.datapath.layout import Limit, RangeWord
from sixlane.errors import ConfigError
from sixlane.model import Gateway, parse_resource
from sixlane.model.gateway import MAX_POOL_RANGES
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.plan import plan_gateway, plan_segments

SLOW = SlowPath(9, b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")


def gateway(**spec: Any) -> Gateway:
    default = {
        "devices": [{"name": "wan0"}, {"name": "lan0"}],
        "prefixes": [
            {"name": "services", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]},
            {"name": "own", "prefix": "2001:db8:1::/48", "ipv4": ["198.51.100.0/24"]},
        ],
    }
    parsed = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": "edge"},
            "spec": default | spec,
        }
    )
    assert isinstance(parsed, Gateway)
    return parsed


def device(name: str, ifindex: int, *addresses: str, kind: str = "", mtu: int = 1500) -> Device:
    mac = bytes([2, 0, 0, 0, 1, ifindex])
    held = tuple(map(ip_address, addresses))
    return Device(name, ifindex, kind, name != "tun0", mac, mtu, True, held)


def observed(*devices: Device, **more: Any) -> Observed:
    found = devices or (
        device("wan0", 2, "192.175.48.1", "192.31.196.1"),
        device("lan0", 3, "2001:db8::1"),
    )
    return replace(Observed({one.name: one for one in found}, (), SLOW, 0, None, {}, None), **more)


def word(plan: Any, address: str) -> int:
    return ranges.look_up(plan.tables.ranges.build(), int(IPv4Address(address)))


def served_by(plan: Any, address: str) -> str | None:
    index = word(plan, address) & RangeWord.RANGE_SERVED_MASK
    return plan.tables.prefixes[index - 1].name if index else None


def test_prefixes_go_by_falling_length() -> None:
    plan = plan_gateway(gateway(), observed())
    assert plan.tables is not None
    assert [entry.name for entry in plan.tables.prefixes] == ["services", "own"]
    assert served_by(plan, "192.175.48.127") == "services"
    assert served_by(plan, "192.175.48.128") is None
    assert served_by(plan, "198.51.100.0") == "own"


def test_the_gateways_own_addresses_are_never_translated() -> None:
    plan = plan_gateway(gateway(), observed())
    assert served_by(plan, "192.175.48.1") is None
    assert served_by(plan, "192.175.48.2") == "services"


@pytest.mark.conformance(67)
def test_addresses_that_are_not_global() -> None:
    plan = plan_gateway(gateway(), observed())
    for address, is_global in {
        "9.255.255.255": True,
        "10.0.0.0": False,
        "192.0.0.8": False,
        "192.0.0.9": True,
        "192.0.0.10": True,
        "192.0.0.11": False,
        "192.31.196.1": True,
        "203.0.113.1": False,
        "255.255.255.255": False,
    }.items():
        assert (not word(plan, address) & RangeWord.RANGE_NOT_GLOBAL) is is_global, address


def test_mappings_are_served_unless_they_are_remote() -> None:
    prefix = {
        "name": "services",
        "prefix": "64:ff9b::/96",
        "ipv4": [],
        "eam": [
            {"ipv4": "192.175.49.1/32", "ipv6": "2001:db8:2::1/128"},
            {"ipv4": "192.175.49.2/32", "ipv6": "2001:db8:2::2/128", "remote": True},
        ],
    }
    plan = plan_gateway(gateway(prefixes=[prefix]), observed())
    assert served_by(plan, "192.175.49.1") == "services"
    assert served_by(plan, "192.175.49.2") is None


def test_each_prefix_has_its_own_sources() -> None:
    prefixes = [
        {"name": name, "prefix": "64:ff9b::/96", "ipv4": [ipv4]}
        | ({} if let_in is None else {"loadBalancerSourceRanges": let_in})
        for name, ipv4, let_in in (
            ("a", "192.175.48.0/25", ["8.0.0.0/8", "9.0.0.0/8"]),
            ("b", "192.175.48.128/25", ["9.0.0.0/8"]),
            ("c", "192.175.49.0/24", []),
            ("d", "192.175.50.0/24", None),
        )
    ]
    plan = plan_gateway(gateway(prefixes=prefixes), observed())
    assert plan.tables is not None
    tries = {one.name: one.sources.build() for one in plan.tables.prefixes if one.sources}
    assert list(tries) == ["a", "b", "c"]

    def let_in_by(address: str) -> list[str]:
        number = int(IPv4Address(address))
        return [name for name, nodes in tries.items() if sources.look_up(nodes, number)]

    assert let_in_by("8.1.2.3") == ["a"]
    assert let_in_by("9.1.2.3") == ["a", "b"]
    assert let_in_by("7.255.255.255") == []


def test_a_digest_is_of_what_its_table_is_made_of() -> None:
    def tables(sources: list[str], ipv4: str, eam: str) -> Any:
        one = {
            "name": "services",
            "prefix": "64:ff9b::/96",
            "ipv4": [ipv4],
            "loadBalancerSourceRanges": sources,
            "eam": [{"ipv4": "192.175.49.1", "ipv6": eam, "remote": True}],
        }
        return plan_gateway(gateway(prefixes=[one]), observed()).tables

    def digests(tables: Any) -> list[int]:
        return [
            tables.ranges.digest,
            tables.eam.digest,
            tables.prefixes[0].sources.digest,
            tables.digest,
        ]

    first = digests(tables(["8.0.0.0/8"], "192.175.48.0/25", "2001:db8::1"))
    assert digests(tables(["8.0.0.0/8"], "192.175.48.0/25", "2001:db8::1")) == first
    for other, changed in (
        (tables(["8.0.0.0/9"], "192.175.48.0/25", "2001:db8::1"), [False, False, True, True]),
        (tables(["8.0.0.0/8"], "192.175.48.0/24", "2001:db8::1"), [True, False, False, True]),
        (tables(["8.0.0.0/8"], "192.175.48.0/25", "2001:db8::2"), [True, True, False, True]),
    ):
        assert [a != b for a, b in zip(digests(other), first, strict=True)] == changed


def test_counters_stay_with_names() -> None:
    plan = plan_gateway(gateway(), observed(prefix_ids={"own": 0, "gone": 1}))
    assert plan.tables is not None
    assert {entry.name: entry.id for entry in plan.tables.prefixes} == {"own": 0, "services": 1}


def test_errors_come_from_the_first_address_of_the_devices() -> None:
    plan = plan_gateway(gateway(), observed())
    assert plan.tables is not None
    assert plan.tables.icmp_source4 == IPv4Address("192.175.48.1")
    assert plan.tables.icmp_source6 == IPv6Address("2001:db8::1")


def test_or_from_the_one_that_is_given() -> None:
    plan = plan_gateway(gateway(icmpSource={"ipv4": "192.31.196.1"}), observed())
    assert plan.tables is not None
    assert plan.tables.icmp_source4 == IPv4Address("192.31.196.1")


@pytest.mark.conformance(24)
@pytest.mark.parametrize(("wanted", "mtu", "effective"), [(1280, 1500, 1280), (9000, 1500, 1500)])
def test_lowest_ipv6_mtu_is_no_more_than_the_devices(wanted: int, mtu: int, effective: int) -> None:
    devices = (device("wan0", 2, mtu=mtu), device("lan0", 3, mtu=9000))
    plan = plan_gateway(gateway(lowestIPv6MTU=wanted), observed(*devices))
    assert plan.tables is not None
    assert plan.tables.lowest_ipv6_mtu_bytes == effective


@pytest.mark.parametrize(
    ("kind", "wanted", "entry", "fallback"),
    [
        ("", "auto", "xdp", True),
        ("veth", "auto", "tc", False),
        ("bridge", "auto", "tc", False),
        ("veth", "xdp", "xdp", False),
        ("", "xdp-generic", "xdp-generic", False),
    ],
)
def test_how_a_device_is_attached(kind: str, wanted: str, entry: str, fallback: bool) -> None:
    one = gateway(devices=[{"name": "wan0", "attach": wanted}])
    (attach,) = plan_gateway(one, observed(device("wan0", 2, kind=kind))).attach
    assert (attach.device.name, attach.entry, attach.fallback) == ("wan0", entry, fallback)


def test_addresses_of_other_devices_are_the_gateways_own_too() -> None:
    loopback = device("lo", 1, "192.175.48.53")
    devices = (device("wan0", 2), device("lan0", 3), loopback)
    plan = plan_gateway(gateway(), observed(*devices))
    assert plan.tables is not None
    assert served_by(plan, "192.175.48.53") is None
    assert plan.tables.icmp_source4 is None


def test_more_lengths_of_mappings_than_the_data_path_asks_for() -> None:
    eam = [
        {"ipv4": f"192.175.48.{number}/32", "ipv6": f"2001:db8:{number:x}::/{64 + number}"}
        for number in range(1, 40)
    ]
    prefix = {"name": "one", "prefix": "64:ff9b::/96", "eam": eam}
    with pytest.raises(ConfigError, match="ipv6 prefixes of 39 different lengths"):
        plan_gateway(gateway(prefixes=[prefix]), observed())


def test_what_is_in_force_is_left_alone() -> None:
    first = plan_gateway(gateway(), observed())
    assert first.tables is not None
    attachments = (Attachment("wan0", 2, "xdp", 1), Attachment("lan0", 3, "xdp", 1))
    again = observed(
        attachments=attachments,
        digest=replace(first.tables, slow=SLOW).digest,
        prefix_ids={"services": 0, "own": 1},
    )
    plan = plan_gateway(gateway(), again)
    assert plan.empty
    assert plan.summary() == []


def test_a_device_that_fell_back_to_tc_is_left_alone() -> None:
    there = (Attachment("wan0", 2, "tcx", 1), Attachment("lan0", 3, "clsact", 1))
    plan = plan_gateway(gateway(), observed(attachments=there))
    assert not plan.attach
    assert not plan.detach


def test_another_mode_is_attached_anew() -> None:
    there = (Attachment("wan0", 2, "xdp", 1),)
    one = gateway(devices=[{"name": "wan0", "attach": "tc"}])
    plan = plan_gateway(one, observed(device("wan0", 2), attachments=there))
    assert plan.detach == there
    assert [attach.entry for attach in plan.attach] == ["tc"]


def test_what_is_no_longer_wanted_or_there_is_detached() -> None:
    there = (Attachment("lan0", 3, "xdp", 1), Attachment("", 17, "xdp", 1))
    one = gateway(devices=[{"name": "wan0"}])
    plan = plan_gateway(one, observed(attachments=there))
    assert set(plan.detach) == set(there)


def test_a_gateway_without_prefixes_translates_nothing() -> None:
    plan = plan_gateway(gateway(prefixes=[], loadBalancer={}), observed())
    assert plan.tables is not None and not plan.tables.prefixes
    assert [one.device.name for one in plan.attach] == ["wan0", "lan0"]
    assert word(plan, "192.175.48.10") & RangeWord.RANGE_SERVED_MASK == 0


def test_no_gateway() -> None:
    there = (Attachment("wan0", 2, "xdp", 1),)
    plan = plan_gateway(None, observed(attachments=there, digest=5))
    assert (plan.tables, plan.detach, plan.flip) == (None, there, True)


def test_next_hops_are_not_remembered_where_rules_decide() -> None:
    plan = plan_gateway(gateway(), observed(more_than_destination="a rule by source"))
    assert plan.tables is not None
    assert not plan.tables.next_hop_cache


def test_a_missing_device_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no device lan0.*there are: eth0, wan0"):
        plan_gateway(gateway(), observed(device("wan0", 2), device("eth0", 3)))


def test_a_device_that_is_not_ethernet() -> None:
    one = gateway(devices=[{"name": "tun0"}])
    with pytest.raises(ConfigError, match="tun0 is not an Ethernet device"):
        plan_gateway(one, observed(device("tun0", 4)))


# ---- what the RFCs leave open ----


def tables(*devices: Device, **spec: Any) -> Tables:
    found = plan_gateway(gateway(**spec), observed(*devices)).tables
    assert found is not None
    return found


def clamps(size: int | str | None, *devices: Device) -> list[int]:
    """Of a prefix with this maxSegmentSize, and of one that has none."""
    prefixes = [
        {"name": "one", "prefix": "64:ff9b::/96", "ipv4": [], "maxSegmentSize": size},
        {"name": "two", "prefix": "2001:db8:1::/48", "ipv4": []},
    ]
    return [entry.max_segment_bytes for entry in tables(*devices, prefixes=prefixes).prefixes]


def links(mtu: int, *, big_tcp: bool = False) -> tuple[Device, Device]:
    """One of 9,000 bytes, and one that is narrower."""
    narrow = replace(device("lan0", 3, mtu=mtu), big_tcp=big_tcp)
    return device("wan0", 2, mtu=9000), narrow


def test_defaults_ask_for_nothing() -> None:
    found = tables()
    assert (found.tos, found.traffic_class, found.udp_compute) == (None, None, False)
    assert (found.hairpin, list(found.icmp_pool), found.icmp_origin) == ("simple", [], True)
    assert [entry.max_segment_bytes for entry in found.prefixes] == [0, 0]
    assert found.native_max_segment_bytes == 0


@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_fixed_class_is_that_of_the_other_family(value: int) -> None:
    """0 is a value, and not "as it is"."""
    found = tables(tos=value)
    assert (found.tos, found.traffic_class) == (value, None)
    found = tables(trafficClass=value)
    assert (found.tos, found.traffic_class) == (None, value)
    assert tables(tos="copy").digest == tables().digest != tables(tos=0).digest


@pytest.mark.conformance(71)
@pytest.mark.parametrize(
    ("word", "rule"), [("simple", "simple"), ("intrinsic", "intrinsic"), ("off", None)]
)
def test_hairpins(word: str, rule: str | None) -> None:
    assert tables(hairpin=word).hairpin == rule


@pytest.mark.parametrize(("word", "computes"), [("drop", False), ("compute", True)])
def test_datagrams_without_a_checksum(word: str, computes: bool) -> None:
    assert tables(udpZeroChecksum=word).udp_compute is computes


@pytest.mark.conformance(57)
def test_the_rate_of_errors_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded up: who asks for few does not get none."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    rates = {0: 0, 1: 1, 4: 1, 5: 2, 1_000_000: 250_000, "unlimited": None}
    for rate, each in rates.items():
        assert tables(icmpErrors={"rate": rate}).icmp_errors_per_second == each, rate
    unlimited, none = (tables(icmpErrors={"rate": rate}).digest for rate in ("unlimited", 0))
    assert unlimited != none


@pytest.mark.conformance(59)
def test_the_pool_of_sources() -> None:
    pool = {"ipv4": ["192.31.196.8/30", "192.31.196.12", "192.175.48.200"], "origin": False}
    found = tables(icmpPool=pool)
    assert list(found.icmp_pool) == [
        (IPv4Address("192.31.196.8"), 5),
        (IPv4Address("192.175.48.200"), 1),
    ], "in order, and what touches is one"
    assert not found.icmp_origin


def test_the_model_takes_as_many_ranges_as_there_is_room_for() -> None:
    assert MAX_POOL_RANGES == Limit.MAX_ICMP_POOL
    full = {"ipv4": [f"192.175.{n}.0/24" for n in range(0, 2 * MAX_POOL_RANGES, 2)]}
    assert len(tables(icmpPool=full).icmp_pool) == MAX_POOL_RANGES


def test_segments_as_large_as_asked() -> None:
    assert clamps(None, *links(1500)) == [0, 0]
    assert clamps(1300, *links(1500)) == [1300, 0]
    assert clamps(65495, *links(1500)) == [65495, 0], "it is for the operator to say"


def test_segments_that_fit_the_narrowest_device() -> None:
    """IPv6 header 40, TCP header 20, a jumbo header that may be counted in 8."""
    assert clamps("auto", *links(1500)) == [1500 - 40 - 20 - 8, 0]
    assert clamps("auto", *links(1280)) == [1212, 0]


@pytest.mark.parametrize(
    ("mtu", "bytes"), [(68, 88), (155, 88), (156, 88), (157, 89), (65563, 65495), (200_000, 65495)]
)
def test_auto_is_a_size_that_could_be_asked_for(mtu: int, bytes: int) -> None:
    both = device("wan0", 2, mtu=mtu), device("lan0", 3, mtu=mtu)
    assert clamps("auto", *both)[0] == bytes


@pytest.mark.parametrize("big_tcp", [False, True])
@pytest.mark.parametrize("size", [None, "auto", 1300])
def test_segments_of_services_are_those_of_a_prefix(size: Any, big_tcp: bool) -> None:
    devices = links(1400, big_tcp=big_tcp)
    more = device("eth0", 4, mtu=1280)  # of the machine, and not of the Gateway
    segments = plan_segments(gateway(), observed(*devices, more))
    assert segments.of(size) == clamps(size, *devices)[0]
    with pytest.raises(ConfigError, match="no device lan0"):
        plan_segments(gateway(), observed(devices[0]))


def test_with_big_tcp_all_segments_leave_room_for_its_header() -> None:
    assert clamps(None, *links(1500, big_tcp=True)) == [1432, 1432]
    assert clamps(1460, *links(1500, big_tcp=True)) == [1460, 1432], "unless told otherwise"
    assert tables(*links(1500, big_tcp=True)).native_max_segment_bytes == 1432
