# SPDX-License-Identifier: Apache-2.0
"""Services as the bytes that the data path reads."""

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from sixlane.datapath import layout
from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.layout import FlowState, ServiceFlag
from sixlane.datapath.services import (
    NO_SERVICES,
    FrontendEntry,
    Pool,
    ServiceEntry,
    Services,
    bit_of,
    flow_words,
    put_services,
    ticks_of,
)
from sixlane.model.addresses import AnyAddress
from sixlane.model.packed import packed_address

VIP4, VIP6 = IPv4Address("192.175.48.200"), IPv6Address("2001:db8:64::200")
TCP, UDP = 6, 17


def frontends(*ends: tuple[AnyAddress, int, int, int]) -> tuple[FrontendEntry, ...]:
    return tuple(FrontendEntry(*end) for end in ends)


WEB = ServiceEntry("web", 3, frontends((VIP4, 80, TCP, 1), (VIP6, 80, TCP, 2)))
DNS = ServiceEntry("dns", 1, frontends((VIP4, 53, UDP, 7)))


def test_frontends_and_their_addresses() -> None:
    services = Services((WEB, DNS), local=frozenset({VIP6, IPv4Address("193.0.14.1")}))
    mapped = bytes.fromhex("00000000000000000000ffffc0af30c8")
    own = bytes.fromhex("20010db8006400000000000000000200")
    assert {row.key: row[1:] for row in services.frontend_rows()} == {
        mapped + bytes.fromhex("005006"): (3, 1, 0, 0),
        own + bytes.fromhex("005006"): (3, 2, 0, 0),
        mapped + bytes.fromhex("003511"): (1, 7, 0, 0),
        mapped + bytes(3): (0, 0, 0, 0),
        own + bytes(3): (0, 0, 1, 0),
    }


def test_services_are_in_the_place_of_their_id() -> None:
    size = 128
    found = Services((WEB, DNS)).service_rows()
    assert len(found) == 4 * size
    names = [found[at * size + 64 :][:64].rstrip(b"\0") for at in range(4)]
    assert names == [b"", b"dns", b"", b"web"]


def test_settings_of_a_service() -> None:
    entry = replace(
        WEB,
        nat=True,
        affinity_seconds=100,
        source_ranges=(),
        pool4=Pool(IPv4Address("10.1.0.8"), 4),
        pool6=Pool(IPv6Address("2001:db8:f::"), 256),
        max_segment_bytes=1360,
    )
    service = layout.Service.from_buffer_copy(entry.record)
    assert service.flags == (
        ServiceFlag.SERVICE_NAT | ServiceFlag.SERVICE_AFFINITY | ServiceFlag.SERVICE_RESTRICTED
    )
    # A tick is 1,024 jiffies, and what is begun counts.
    assert service.affinity_ticks == -(-100 * jiffies_per_second() // 1024)
    assert (service.pool4_count, service.pool6_count) == (4, 256)
    assert bytes(service.pool4) == bytes.fromhex("00000000000000000000ffff0a010008")
    assert bytes(service.pool6) == bytes.fromhex("20010db8000f00000000000000000000")
    assert service.max_segment_bytes == 1360
    mapped = layout.Service.from_buffer_copy(replace(WEB, nat=True, mapped_by=5).record)
    assert mapped.flags == ServiceFlag.SERVICE_NAT | ServiceFlag.SERVICE_MAPPED
    assert mapped.prefix == 5


def test_a_name_that_is_too_long_is_a_defect() -> None:
    assert replace(WEB, name="a" * 64).record.endswith(b"a" * 64)
    with pytest.raises(ValueError, match="65 bytes"):
        _ = replace(WEB, name="a" * 65).record


def test_the_filter_knows_what_is_called_and_nat() -> None:
    pool = Pool(IPv4Address("10.1.0.255"), 2)
    backends = (IPv6Address("2001:db8:1::7"), IPv4Address("10.9.9.9"))
    nat = replace(DNS, id=2, nat=True, pool4=pool, nat_backends=backends)
    services = Services((WEB, nat))
    known = {packed_address(ip_address(text)) for text in (VIP4, VIP6, *backends)}
    known |= {packed_address(ip_address("10.1.0.255")), packed_address(ip_address("10.1.1.0"))}
    expected = [0] * services.bits_words
    for address in known:
        word, bit = bit_of(address, services.bits_words)
        expected[word] |= 1 << bit
    bits = services.frontend_tables().bits
    assert list(struct.unpack(f"<{services.bits_words}Q", bits)) == expected
    assert services.bits_words == 2, "six addresses, 16 bits each, in words of 64"
    assert sum(word.bit_count() for word in expected) == 6, "take others: two share a bit"


@pytest.mark.parametrize(("addresses", "words"), [(0, 1), (1, 1), (4, 1), (5, 2), (9, 4), (17, 8)])
def test_size_of_the_filter(addresses: int, words: int) -> None:
    """16 bits an address at least, words in a power of two."""
    ends = [(VIP4 + at, 80, TCP, at + 1) for at in range(addresses)]
    assert Services((replace(WEB, frontends=frontends(*ends)),)).bits_words == words
    assert len(Services((replace(WEB, frontends=frontends(*ends)),)).frontend_tables().bits) == (
        8 * words
    )


def let_in(entry: ServiceEntry, client: str) -> bool:
    """Longest match, as the trie does it, over bits in network order."""
    keys, values = entry.sources
    asked = entry.id.to_bytes(4) + packed_address(ip_address(client))
    best, answer = -1, False
    for at in range(len(keys) // 24):
        (bits,) = struct.unpack_from("<I", keys, at * 24)
        there = int.from_bytes(keys[at * 24 + 4 : at * 24 + 24])
        if bits > best and (there ^ int.from_bytes(asked)) >> (160 - bits) == 0:
            best, answer = bits, values[at * 4] == 1
    return answer


@pytest.mark.parametrize(
    ("ranges", "inside", "outside"),
    [
        (["10.0.0.0/8"], ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "::a00:1"]),
        (["0.0.0.0/0"], ["8.8.8.8"], ["2001:db8::1"]),
        (["::/0"], ["2001:db8::1", "::1"], ["8.8.8.8"]),
        (["::/0", "10.0.0.0/8"], ["2001:db8::1", "10.1.2.3"], ["8.8.8.8"]),
        (["::/0", "0.0.0.0/0"], ["2001:db8::1", "8.8.8.8"], []),
        (["2001:db8::/32"], ["2001:db8:ffff::1"], ["2001:db9::", "32.1.13.184"]),
        ([], [], ["10.0.0.1", "2001:db8::1"]),
    ],
)
def test_sources(ranges: list[str], inside: list[str], outside: list[str]) -> None:
    entry = replace(WEB, source_ranges=tuple(map(ip_network, ranges)))
    assert [one for one in (*inside, *outside) if let_in(entry, one)] == inside


def test_sources_of_another_service() -> None:
    keys, values = replace(WEB, id=0x01020304, source_ranges=(IPv4Network("9.0.0.0/8"),)).sources
    # 32 bits of the service, 96 before IPv4, 8 of the range
    assert keys == struct.pack("<I", 136) + bytes.fromhex("01020304" + "00" * 10 + "ffff09000000")
    assert values == struct.pack("<I", 1)


def test_what_has_a_limit_in_ticks() -> None:
    hz = jiffies_per_second()
    assert ticks_of(0) == 0
    assert ticks_of(1) == -(-hz // 1024)
    assert ticks_of(1024) == hz
    assert ticks_of(10**9) == 4094, "an age of 4,095 can be told from it"


def test_what_all_services_share() -> None:
    gateway = layout.Gateway()
    services = Services(
        (WEB, replace(DNS, affinity_seconds=10240)),
        IPv4Network("198.18.0.0/15"),
        IPv6Network("100::/64"),
        "a seed",
        {FlowState.FLOW_TCP: 2048, FlowState.FLOW_UDP: 1024},
    )
    put_services(gateway, services)
    hz = jiffies_per_second()
    assert gateway.flow_ticks[FlowState.FLOW_TCP] == min(2 * hz, 4094)
    assert gateway.flow_ticks[FlowState.FLOW_UDP] == hz
    assert gateway.flow_ticks[FlowState.FLOW_CLIENT] == min(10 * hz, 4094)
    assert gateway.service_bits_mask == services.bits_words - 1
    assert bytes(gateway.tunnel4.addr) == bytes.fromhex("00000000000000000000ffffc6120000")
    assert bytes(gateway.tunnel4.host_mask) == bytes.fromhex("0000000000000000000000000001ffff")
    assert bytes(gateway.tunnel6.addr) == bytes.fromhex("01000000000000000000000000000000")
    assert bytes(gateway.tunnel6.host_mask) == bytes.fromhex("0000000000000000ffffffffffffffff")
    assert list(gateway.flow_words) == flow_words("a seed")
    assert flow_words("a seed") != flow_words("another")
    assert len(set(flow_words("a seed"))) == 10


def test_digests_name_contents() -> None:
    """What is in a table tells, and nothing else does."""
    base = Services((WEB, DNS))
    moved = (
        replace(WEB, id=4),
        replace(WEB, name="app"),
        replace(WEB, frontends=WEB.frontends[:1]),
        replace(WEB, frontends=(replace(WEB.frontends[0], id=9), *WEB.frontends[1:])),
        replace(WEB, affinity_seconds=60),
        replace(WEB, nat=True, pool4=Pool(IPv4Address("10.0.0.1"), 1)),
        replace(WEB, nat_backends=(VIP6 + 1,)),
    )
    found = [Services((one, DNS)).digest for one in moved]
    assert len({base.digest, NO_SERVICES.digest, *found}) == 2 + len(moved)
    assert replace(base, local=frozenset({VIP4})).digest != base.digest
    assert replace(base, local=frozenset({VIP4 + 1})).digest == base.digest
    assert Services((replace(WEB), replace(DNS))).digest == base.digest
    assert replace(base, seed="another").digest == base.digest
    restricted = Services((replace(WEB, source_ranges=(IPv4Network("9.0.0.0/8"),)), DNS))
    assert restricted.sources_digest != base.sources_digest == NO_SERVICES.sources_digest
