# SPDX-License-Identifier: Apache-2.0
"""What a backend does with one packet: taken out of its tunnel, let by, or dropped, and counted."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from scapy.layers.inet import TCP, fragment
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, GRE
from scapy.packet import Packet, Raw

from sixlane.bpf import Object, RunFlag, SkBuff
from sixlane.datapath.decap import Contents, Decap, load
from tests import needs
from tests.packets import ip4, ip6, ping4, ping6, tcp, udp

pytestmark = [pytest.mark.prog, needs.root, needs.bpf]

Entry = Literal["xdp", "tc"]
ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
FAMILIES = pytest.mark.parametrize(("outer", "inner"), [(4, 4), (4, 6), (6, 4), (6, 6)])
INNER = pytest.mark.parametrize("inner", [4, 6])

OWN = {4: "192.0.2.7", 6: "2001:db8:1::7"}
VIP = {4: "192.175.48.200", 6: "2001:db8:64::200"}
GATEWAY = {4: "198.18.77.1", 6: "100::77:1"}
CLIENT = {4: "203.0.113.5", 6: "2001:db8:c::5"}
TUNNELS = {4: 4, 6: 41}  # IANA's numbers of what is inside
TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
MACS = bytes.fromhex("02aa00000001 02bb00000001")

VERDICTS = {"xdp": {1: "drop", 2: "pass"}, "tc": {2: "drop", 0xFFFFFFFF: "pass"}}


@dataclass(frozen=True)
class Seen:
    """`counted`: packets and bytes by what came of them, of this run."""

    verdict: str
    frame: bytes
    counted: dict[str, tuple[int, int]]


class Backend:
    """The programs over their tables, attached to nothing."""

    def __init__(self, decap: Decap, loaded: Object) -> None:
        self.decap = decap
        self._loaded = loaded

    def run(self, frame: bytes, entry: Entry, flags: int = 0, gso_bytes: int = 0) -> Seen:
        before = self.decap.counters()
        context = bytes(SkBuff(gso_size=gso_bytes, gso_segs=2)) if gso_bytes else None
        done = self._loaded.programs[f"decap_{entry}"].run(frame, context, flags=flags)
        counted = {
            name: (now.packets - before[name].packets, now.bytes - before[name].bytes)
            for name, now in self.decap.counters().items()
            if now != before[name]
        }
        return Seen(VERDICTS[entry][done.retval], bytes(done.data), counted)

    def answer(self, packet: Packet) -> bytes:
        frame = link_header(packet) + bytes(packet)
        done = self._loaded.programs["decap_answer"].run(frame)
        assert VERDICTS["tc"][done.retval] == "pass"
        return bytes(done.data)[14:]


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    root = Path(f"/sys/fs/bpf/decap-{os.getpid()}")
    try:
        with load(root) as (decap, loaded):
            decap.write(contents())
            yield Backend(decap, loaded)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def contents(**more: Any) -> Contents:
    fields: dict[str, Any] = {
        "ifindex": 1,
        "namespace": 1,
        "addresses": frozenset(map(ip_address, OWN.values())),
        "vips": {ip_address(vip): False for vip in VIP.values()},
        "sources": frozenset(map(ip_network, ("198.18.0.0/15", "100::/64"))),
        "max_segments": {4: 1420, 6: 1400},
    }
    return Contents(**(fields | more))


def call(version: int, **fields: Any) -> Packet:
    """From a client to a VIP."""
    header = ip4 if version == 4 else ip6
    return header(**({"src": CLIENT[version], "dst": VIP[version]} | fields))


def around(outer: int, inner: int, **fields: Any) -> Packet:
    """The outer header, of IPv4 with DF as a gateway sends it."""
    fields = {"src": GATEWAY[outer], "dst": OWN[outer]} | fields
    if outer == 4:
        return ip4(**({"proto": TUNNELS[inner]} | fields))
    return ip6(**({"nh": TUNNELS[inner]} | fields))


def version_of(packet: bytes) -> int:
    return packet[0] >> 4


def link_header(packet: Any) -> bytes:
    return MACS + TYPES[version_of(bytes(packet))]


def framed(*headers: Any) -> bytes:
    """One behind the other: scapy would set fields of one by the next."""
    packet = b"".join(map(bytes, headers))
    return link_header(packet) + packet


def wrapped(outer: int, inner: Any, **fields: Any) -> bytes:
    """The frame of a tunnelled packet, whose lengths are right unless they are given."""
    inside = bytes(inner)
    header = around(outer, version_of(inside), **fields)
    return framed(header / Raw(inside))


# ---- taken out ----


@ENTRIES
@FAMILIES
def test_the_outer_header_goes(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    for size in (0, 1, 1000):
        packet = bytes(call(inner) / udp(size))
        seen = backend.run(wrapped(outer, packet), entry)
        assert seen.verdict == "pass"
        assert seen.frame == MACS + TYPES[inner] + packet
        assert seen.counted == {"done": (1, len(packet))}


@FAMILIES
@pytest.mark.parametrize("tags", [b"\x81\x00\x60\x07", b"\x88\xa8\x20\x09\x81\x00\x60\x07"])
def test_vlan_tags_stay(backend: Backend, outer: int, inner: int, tags: bytes) -> None:
    packet = bytes(call(inner) / udp())
    frame = wrapped(outer, packet)
    seen = backend.run(frame[:12] + tags + frame[12:], "xdp")
    assert seen.frame == MACS + tags + TYPES[inner] + packet


@ENTRIES
@INNER
def test_options_of_the_outer_header_go_with_it(backend: Backend, entry: Entry, inner: int) -> None:
    for options in (b"\x01" * 4, b"\x01" * 40):
        packet = bytes(call(inner) / udp())
        seen = backend.run(wrapped(4, packet, options=options), entry)
        assert seen.frame == MACS + TYPES[inner] + packet


@ENTRIES
@FAMILIES
def test_padding_of_short_frames_is_the_stacks(
    backend: Backend, entry: Entry, outer: int, inner: int
) -> None:
    packet = bytes(call(inner) / udp(0))
    seen = backend.run(wrapped(outer, packet) + bytes(6), entry)
    assert seen.frame == MACS + TYPES[inner] + packet + bytes(6)
    assert seen.counted == {"done": (1, len(packet))}


@ENTRIES
@FAMILIES
def test_a_header_alone_is_a_packet(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    packet = bytes(call(4, proto=59) if inner == 4 else call(6, nh=59))
    assert backend.run(wrapped(outer, packet), entry).counted == {"done": (1, len(packet))}


@FAMILIES
@pytest.mark.parametrize("ecn", [0x2E, 0x2D])
def test_the_sum_that_the_nic_made_stays_true(
    backend: Backend, outer: int, inner: int, ecn: int
) -> None:
    """CHECKSUM_COMPLETE: the kernel adds up the bytes and compares, after the program as before.
    The second time, the packet's ECN changes."""
    packet = call(inner, **traffic(inner, 0x2E)) / tcp(700)
    frame = wrapped(outer, packet, **traffic(outer, ecn))
    seen = backend.run(frame, "tc", flags=RunFlag.SKB_CHECKSUM_COMPLETE)
    assert seen.frame == backend.run(frame, "xdp").frame


# ---- congestion ----


def traffic(version: int, octet: int) -> dict[str, int]:
    return {"tos": octet} if version == 4 else {"tc": octet}


NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3
MERGED = {  # RFC 6040, figure 4: by what is inside, for 0 to 3 outside; None: dropped
    NOT_ECT: (NOT_ECT, NOT_ECT, NOT_ECT, None),
    ECT_0: (ECT_0, ECT_1, ECT_0, CE),
    ECT_1: (ECT_1, ECT_1, ECT_1, CE),
    CE: (CE, CE, CE, CE),
}


@ENTRIES
@FAMILIES
def test_congestion_on_the_way_is_told(
    backend: Backend, entry: Entry, outer: int, inner: int
) -> None:
    """The rest of the octet is the inner packet's own."""
    for inside, outside in product(MERGED, range(4)):
        packet = call(inner, **traffic(inner, 0xA8 | inside)) / udp()
        seen = backend.run(wrapped(outer, packet, **traffic(outer, 0x54 | outside)), entry)
        merged = MERGED[inside][outside]
        if merged is None:
            assert (seen.verdict, list(seen.counted)) == ("drop", ["drop_congested"])
        else:
            expected = call(inner, **traffic(inner, 0xA8 | merged)) / udp()
            # scapy has summed the header up again
            assert seen.frame[14:] == bytes(expected), (inside, outside)


@FAMILIES
def test_the_kernel_keeps_the_outer_header(backend: Backend, outer: int, inner: int) -> None:
    """Of a packet of segments of no kind that it knows, as it does of fraglist GRO."""
    packet = bytes(call(inner) / tcp(200))
    seen = backend.run(wrapped(outer, packet), "tc", gso_bytes=100)
    assert (seen.verdict, seen.counted) == ("drop", {"drop_resize_failed": (1, len(packet))})


# ---- let by ----


def let_by(seen: Seen, frame: bytes) -> bool:
    return (seen.verdict, seen.frame, seen.counted) == ("pass", frame, {})


@ENTRIES
@FAMILIES
@pytest.mark.parametrize(
    "fields",
    [
        {"dst": {4: "192.0.2.8", 6: "2001:db8:1::8"}},
        {"dst": VIP},
        {4: {"proto": 47}, 6: {"nh": 47}},
        {4: {"proto": 5}, 6: {"nh": 5}},
    ],
    ids=["another-address", "a-vip", "gre", "another-protocol"],
)
def test_other_tunnels_are_left_alone(
    backend: Backend, entry: Entry, outer: int, inner: int, fields: dict[Any, Any]
) -> None:
    more = fields[outer] if outer in fields else {name: by[outer] for name, by in fields.items()}
    frame = wrapped(outer, call(inner) / udp(), **more)
    assert let_by(backend.run(frame, entry), frame)


@ENTRIES
def test_what_is_in_no_tunnel_is_left_alone(backend: Backend, entry: Entry) -> None:
    for packet in (
        call(4) / udp(),
        call(6) / tcp(),
        ip4(dst=OWN[4]) / ping4(),
        ip6(dst=OWN[6]) / ping6(),
        ip4(dst=OWN[4]) / GRE() / call(4) / udp(),
    ):
        frame = framed(packet)
        assert let_by(backend.run(frame, entry), frame)
    arp = MACS + b"\x08\x06" + bytes(ARP(pdst=VIP[4]))
    assert let_by(backend.run(arp, entry), arp)


@ENTRIES
@INNER
def test_extension_headers_outside_are_no_gateways(
    backend: Backend, entry: Entry, inner: int
) -> None:
    packet = bytes(call(inner) / udp())
    header = around(6, inner, nh=60) / IPv6ExtHdrDestOpt(nh=TUNNELS[inner]) / Raw(packet)
    frame = framed(header)
    assert let_by(backend.run(frame, entry), frame)
    piece = around(6, inner, nh=44) / IPv6ExtHdrFragment(nh=TUNNELS[inner], m=1) / Raw(packet)
    frame = framed(piece)
    assert let_by(backend.run(frame, entry), frame)


@pytest.mark.parametrize(("outer", "most"), [(4, 19), (6, 39)])
def test_half_an_outer_header_is_left_alone(backend: Backend, outer: int, most: int) -> None:
    """By XDP alone: no test run of tc takes it."""
    frame = wrapped(outer, call(4) / udp())[: 14 + most]
    assert let_by(backend.run(frame, "xdp"), frame)


@ENTRIES
@FAMILIES
def test_another_vip_is_left_alone_and_counted(
    backend: Backend, entry: Entry, outer: int, inner: int
) -> None:
    other = {4: "192.175.48.201", 6: "2001:db8:64::201"}[inner]
    packet = bytes(call(inner, dst=other) / udp())
    frame = wrapped(outer, packet)
    seen = backend.run(frame, entry)
    assert (seen.verdict, seen.frame) == ("pass", frame)
    assert seen.counted == {"pass_not_served": (1, len(packet))}
    strange = wrapped(outer, packet, src=CLIENT[outer])
    assert let_by(backend.run(strange, entry), strange)


# ---- no open door ----


SOURCES = {
    4: {
        "198.17.255.255": False,
        "198.18.0.0": True,
        "198.19.255.255": True,
        "198.20.0.0": False,
        "203.0.113.5": False,
    },
    6: {
        "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": False,
        "100::": True,
        "100::ffff:ffff:ffff:ffff": True,
        "100:0:0:1::": False,
        "::ffff:198.18.0.1": False,
        "::198.18.0.1": False,
    },
}


@ENTRIES
@FAMILIES
def test_only_gateways_may_send(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    packet = bytes(call(inner) / udp())
    for source, taken in SOURCES[outer].items():
        seen = backend.run(wrapped(outer, packet, src=source), entry)
        if taken:
            assert seen.frame == MACS + TYPES[inner] + packet, source
        else:
            assert seen.verdict == "drop", source
            assert seen.counted == {"drop_source": (1, len(packet))}, source


@ENTRIES
def test_ipv4_in_disguise_is_nobodys(backend: Backend, entry: Entry) -> None:
    """::ffff:a.b.c.d on the wire is not a.b.c.d, which the tables know by that name."""
    frame = wrapped(6, call(4) / udp(), dst=f"::ffff:{OWN[4]}")
    assert let_by(backend.run(frame, entry), frame)
    frame = wrapped(6, call(6, dst=f"::ffff:{VIP[4]}") / udp())
    seen = backend.run(frame, entry)
    assert (seen.verdict, seen.frame, list(seen.counted)) == ("pass", frame, ["pass_not_served"])


@ENTRIES
@FAMILIES
@pytest.mark.parametrize("nested", [4, 41, 1, 58])
def test_tunnels_in_tunnels(
    backend: Backend, entry: Entry, outer: int, inner: int, nested: int
) -> None:
    within = bytes(call(6 if nested == 41 else 4) / udp())
    fields = {"proto": nested} if inner == 4 else {"nh": nested}
    packet = bytes(call(inner, **fields) / Raw(within))
    seen = backend.run(wrapped(outer, packet), entry)
    if nested in (4, 41):
        assert (seen.verdict, seen.counted) == ("drop", {"drop_nested": (1, len(packet))})
    else:
        assert (seen.verdict, seen.counted) == ("pass", {"done": (1, len(packet))})


# ---- broken ----


def dropped(backend: Backend, entry: Entry, frame: bytes) -> str:
    """The one reason for it."""
    seen = backend.run(frame, entry)
    assert seen.verdict == "drop"
    ((reason, (packets, size)),) = seen.counted.items()
    assert packets == 1
    assert size < 1 << 16
    return reason


@ENTRIES
@FAMILIES
def test_longer_than_its_frame(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    frame = wrapped(outer, call(inner) / udp())
    assert backend.run(frame, entry).verdict == "pass"
    assert dropped(backend, entry, frame[:-1]) == "drop_truncated"
    strange = wrapped(outer, call(inner) / udp(), src=CLIENT[outer])[:-1]
    assert let_by(backend.run(strange, entry), strange)  # whose it is cannot be seen


@ENTRIES
@FAMILIES
def test_longer_than_its_tunnel(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    """What follows in the frame is not the packet's."""
    packet = bytes(call(inner) / udp())
    shorter = {"len": 20 + len(packet) - 1} if outer == 4 else {"plen": len(packet) - 1}
    assert dropped(backend, entry, wrapped(outer, packet, **shorter)) == "drop_truncated"


@ENTRIES
@FAMILIES
def test_half_an_inner_header(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    """With the frame's end, and with what lies behind it in the frame."""
    header = 20 if inner == 4 else 40
    packet = bytes(call(inner, proto=59) if inner == 4 else call(inner, nh=59))
    assert len(packet) == header
    assert dropped(backend, entry, wrapped(outer, packet[:-1])) == "drop_truncated"
    shorter = {"len": 20 + header - 1} if outer == 4 else {"plen": header - 1}
    assert dropped(backend, entry, wrapped(outer, packet, **shorter)) == "drop_truncated"


@ENTRIES
@FAMILIES
def test_the_version_inside(backend: Backend, entry: Entry, outer: int, inner: int) -> None:
    packet = bytes(call(inner) / udp())
    for version in range(16):
        inside = bytes((version << 4 | packet[0] & 0xF,)) + packet[1:]
        frame = framed(around(outer, inner) / Raw(inside))
        if version != inner:
            assert dropped(backend, entry, frame) == "drop_malformed", version


@ENTRIES
@pytest.mark.parametrize("outer", [4, 6])
def test_lengths_of_the_header_inside(backend: Backend, entry: Entry, outer: int) -> None:
    short = call(4, ihl=4) / udp()
    assert dropped(backend, entry, wrapped(outer, short)) == "drop_malformed"
    less = call(4, len=19) / udp()
    assert dropped(backend, entry, wrapped(outer, less)) == "drop_malformed"
    least = backend.run(wrapped(outer, call(4, len=20) / udp()), entry)
    assert list(least.counted) == ["done"]


@ENTRIES
@INNER
def test_lengths_of_the_header_outside(backend: Backend, entry: Entry, inner: int) -> None:
    packet = bytes(call(inner) / udp())
    assert dropped(backend, entry, wrapped(4, packet, len=19)) == "drop_malformed"
    frame = wrapped(4, packet, ihl=4)
    assert let_by(backend.run(frame, entry), frame)  # no header at all: the stack drops it


@ENTRIES
@INNER
@pytest.mark.parametrize("options", [b"", b"\x01" * 4])
def test_the_outer_checksum(backend: Backend, entry: Entry, inner: int, options: bytes) -> None:
    def wrong(source: str) -> bytes:
        right = wrapped(4, call(inner) / udp(), options=options, src=source)
        return right[:24] + bytes((right[24] ^ 1,)) + right[25:]

    assert dropped(backend, entry, wrong(GATEWAY[4])) == "drop_checksum"
    strange = wrong(CLIENT[4])
    assert let_by(backend.run(strange, entry), strange)


@ENTRIES
@INNER
def test_pieces_of_the_outer_packet(backend: Backend, entry: Entry, inner: int) -> None:
    packet = bytes(call(inner) / udp(1000))
    whole = around(4, inner, flags=0) / Raw(packet)
    first, last = fragment(whole, 600)
    assert dropped(backend, entry, framed(first)) == "drop_fragment"
    assert dropped(backend, entry, framed(last)) == "drop_fragment"
    strange = framed(*fragment(around(4, inner, flags=0, src=CLIENT[4]) / Raw(packet), 600)[:1])
    assert let_by(backend.run(strange, entry), strange)


@ENTRIES
@FAMILIES
def test_pieces_inside_are_the_stacks(
    backend: Backend, entry: Entry, outer: int, inner: int
) -> None:
    """They have the VIP as their destination, each of them."""
    if inner == 4:
        packet: Packet = call(4, flags="MF", frag=100, proto=17) / Raw(b"x" * 80)
    else:
        packet = call(6, nh=44) / IPv6ExtHdrFragment(nh=17, offset=100, m=1) / Raw(b"x" * 80)
    seen = backend.run(wrapped(outer, packet), entry)
    assert seen.frame == MACS + TYPES[inner] + bytes(packet)


# ---- answers ----


MOST = {4: 1420, 6: 1400}


def syn(
    version: int, mss: int, flags: str = "SA", src: str | None = None, lead: Any = ()
) -> Packet:
    header = ip4 if version == 4 else ip6
    ends = {"src": src or VIP[version], "dst": CLIENT[version]}
    return header(**ends) / tcp(flags=flags, options=[*lead, ("MSS", mss), ("WScale", 7)])


@INNER
@pytest.mark.parametrize("flags", ["SA", "S"])
@pytest.mark.parametrize("lead", [(), [("NOP", None)]], ids=["even", "odd"])
def test_an_answer_offers_segments_that_fit(
    backend: Backend, inner: int, flags: str, lead: Any
) -> None:
    for offered, told in ((9000, MOST[inner]), (MOST[inner] + 1, MOST[inner])):
        answer = backend.answer(syn(inner, offered, flags, lead=lead))
        assert answer == bytes(syn(inner, told, flags, lead=lead))  # scapy's checksum
    for offered in (MOST[inner], 536):
        packet = syn(inner, offered, flags, lead=lead)
        assert backend.answer(packet) == bytes(packet)


@INNER
def test_other_packets_go_out_as_they_are(backend: Backend, inner: int) -> None:
    header = ip4 if inner == 4 else ip6
    ends = {"src": VIP[inner], "dst": CLIENT[inner]}
    for packet in (
        syn(inner, 9000, "A"),
        syn(inner, 9000, src=OWN[inner]),
        syn(inner, 9000, src=CLIENT[inner]),
        header(**ends) / tcp(flags="SA"),
        header(**ends) / udp(),
        header(**ends) / Raw(b""),
    ):
        assert backend.answer(packet) == bytes(packet)


def test_later_fragments_have_no_flags(backend: Backend) -> None:
    like_a_syn = bytes(syn(4, 9000)[TCP])
    packet = ip4(src=VIP[4], dst=CLIENT[4], proto=6, frag=64) / Raw(like_a_syn)
    assert backend.answer(packet) == bytes(packet)


@INNER
def test_segments_as_they_are_if_asked(backend: Backend, inner: int) -> None:
    backend.decap.write(contents(max_segments={4: 0, 6: 0}))
    try:
        packet = syn(inner, 9000)
        assert backend.answer(packet) == bytes(packet)
    finally:
        backend.decap.write(contents())


# ---- tables ----


def test_what_is_written_is_read(backend: Backend) -> None:
    other = contents(
        ifindex=7,
        namespace=1 << 63,
        addresses=frozenset({ip_address("192.0.2.1")}),
        vips={ip_address("192.0.2.2"): True, ip_address("2001:db8::2"): False},
        sources=frozenset(map(ip_network, ("0.0.0.0/0", "::/0", "192.0.2.1/32", "2001:db8::/127"))),
        max_segments={4: 88, 6: 65495},
        originals={"rp_filter": 0, "arp_ignore": 8},
    )
    backend.decap.write(other)
    try:
        assert backend.decap.contents() == other
    finally:
        backend.decap.write(contents())
    assert backend.decap.contents() == contents()
