# SPDX-License-Identifier: Apache-2.0
"""Packets to frontends, and mutants of them, through both entries.

No reference says what a load balancer makes of any packet. What is checked is what must hold of
all: both entries agree; each packet is counted once; what goes to a backend was fit to be sent, and
is the packet itself with a hop less, in a whole tunnel; an answer is whole, comes from a frontend's
address and goes to whoever sent; what passes is as it was.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from sixlane.datapath.services import FrontendEntry, ServiceEntry
from sixlane.model.addresses import AnyAddress
from sixlane.rfc.checksum import update, verifies
from sixlane.rfc.rfc7915 import Prefix, Translator
from sixlane.rfc.transport import pseudo_header
from tests.fuzz.checking import ENTRIES, Difference, left_for, sent
from tests.fuzz.mutating import BYTES_MAX, mutant
from tests.fuzz.unknown import equal_but_for_the_sum, looks_unfinished
from tests.packets import CLIENT, ip4, ip6, ping4, ping6, tcp, udp
from tests.services import Balanced, raise_balanced
from tests.world import FAR_MAC, Seen

VIP4, VIP6 = IPv4Address("192.175.48.200"), IPv6Address("2001:db8:64::200")
CLIENT6 = "2001:db8:1::5"
BACKENDS: tuple[AnyAddress, ...] = (IPv4Address("10.0.0.1"), IPv6Address("2001:db8:64:1::7"))
TUNNEL4, TUNNEL6 = IPv4Network("198.18.0.0/15"), IPv6Network("100::/64")
ENDS: tuple[tuple[AnyAddress, int, int], ...] = (
    (VIP4, 80, 6),
    (VIP6, 80, 6),
    (VIP4, 53, 17),
    (VIP6, 53, 17),
)
_PREFIX = Prefix("services", IPv6Network("64:ff9b::/96"), (), None, ())
_TRANSLATOR = Translator((_PREFIX,), IPv4Address("193.0.14.1"), IPv6Address("2001:db8::1"))
_BUILT = 40  # of a batch; the others are mutants
_INSIDE = {4: 4, 41: 6}


@contextmanager
def raise_called() -> Iterator[Balanced]:
    """A service whose two backends are reached by a tunnel of each family."""
    with raise_balanced(_TRANSLATOR) as lb:
        for id, address in enumerate(BACKENDS, 1):
            lb.backend(id, address)
        lb.ring([1, 2])
        entries = tuple(FrontendEntry(*end, id) for id, end in enumerate(ENDS, 1))
        lb.commit(ServiceEntry("web", 1, entries))
        yield lb


def packets_to_frontends(seed: int, batch: int, count: int = 200) -> list[bytes]:
    """The same each time."""
    rng = random.Random(f"called {seed} {batch}")
    built = [_build(rng)[:BYTES_MAX] for _ in range(_BUILT)]
    return [
        *built,
        *(mutant(rng, rng.choice(built), rng.choice(built)) for _ in range(count - _BUILT)),
    ]


def check_called(lb: Balanced, packets: Sequence[bytes]) -> Difference | None:
    lb.world.counted()
    runs = 0
    for packet in packets:
        seen = [one for one in (sent(lb.world, packet, entry) for entry in ENTRIES) if one]
        runs += len(seen)
        for one, entry in zip(seen, ENTRIES, strict=False):
            wrong = wrong_with(packet, one)
            if wrong:
                return Difference(
                    (packet,), entry, f"{wrong}: {packet.hex()}, {one.verdict} {one.packet.hex()}"
                )
        if len(seen) == len(ENTRIES) and not _alike(packet, *seen):
            told = " and ".join(f"{one.verdict} {one.packet.hex()}" for one in seen)
            return Difference((packet,), "tc", f"the entries differ: {packet.hex()}, {told}")
    counted = left_for(lb.world.counted())
    if sum(counted.values()) != runs:
        return Difference(tuple(packets), "xdp", f"{runs} packets are counted as {counted}")
    return None


def wrong_with(packet: bytes, seen: Seen) -> str | None:
    """What must not be, if anything is so."""
    if seen.verdict == "pass":
        return None if seen.packet[: len(packet)] == packet else "it was changed, and passes"
    if seen.verdict == "drop" or not _is_to_frontend(packet) or seen.frame[:6] == FAR_MAC:
        return None
    if seen.verdict != "redirect":
        return f"it came to {seen.verdict}"
    out = seen.packet
    to, protocol = (out[16:20], out[9]) if out[0] >> 4 == 4 else (out[24:40], out[6])
    if protocol in _INSIDE and ip_address(to) in BACKENDS:
        return _wrong_with_tunnel(packet, out)
    return _wrong_with_answer(packet, out)


def _alike(packet: bytes, one: Seen, other: Seen) -> bool:
    if one.verdict != other.verdict:
        return False
    if one.packet == other.packet or one.verdict == "drop":
        return True
    # tc may take a checksum for one that is to be completed, and completes it in a quote.
    return looks_unfinished(packet) and equal_but_for_the_sum(one.packet, other.packet)


def _is_to_frontend(packet: bytes) -> bool:
    if len(packet) < 20:
        return False
    if packet[0] >> 4 == 4:
        return packet[16:20] == VIP4.packed
    return len(packet) >= 40 and packet[24:40] == VIP6.packed


def _wrong_with_tunnel(packet: bytes, out: bytes) -> str | None:
    head = 20 if out[0] >> 4 == 4 else 40
    if head == 20:
        if out[0] != 0x45 or not verifies(out[:20]):
            return "the outer header is not whole"
        length, source, family = int.from_bytes(out[2:4]), ip_address(out[12:16]), _INSIDE[out[9]]
    else:
        length, source, family = (
            40 + int.from_bytes(out[4:6]),
            ip_address(out[8:24]),
            _INSIDE[out[6]],
        )
    if source not in (TUNNEL4 if head == 20 else TUNNEL6):
        return f"the tunnel comes from {source}"
    unfit = _unfit(packet)
    if unfit:
        return f"it goes on, with {unfit}"
    own = _own_length(packet)
    if length != head + own or family != packet[0] >> 4:
        return "the outer header tells another length or family"
    if out[head : head + own] != _with_a_hop_less(packet[:own]):
        return "what is inside is another packet"
    return None


def _unfit(packet: bytes) -> str | None:
    """Why it must not go to a backend, as far as that can be told without extension headers."""
    if packet[0] >> 4 == 4:
        head, protocol, hops = (packet[0] & 15) * 4, packet[9], packet[8]
        if not verifies(packet[:head]):
            return "a wrong header checksum"
        if packet[12] in (0, 127) or packet[12] >= 224:
            return "a source that is none"
        if int.from_bytes(packet[6:8]) & 0x3FFF:
            return "a fragment's offset"
    else:
        head, protocol, hops = 40, packet[6], packet[7]
        if packet[8] == 0xFF or (packet[8:23] == bytes(15) and packet[23] <= 1):
            return "a source that is none"
    if hops <= 1:
        return "no hop left"
    if _own_length(packet) > len(packet):
        return "a length beyond its end"
    if protocol in (6, 17):
        to = VIP4 if packet[0] >> 4 == 4 else VIP6
        port = int.from_bytes(packet[head + 2 : head + 4])
        if (to, port, protocol) not in ENDS:
            return "a port that no service has"
    return None


def _own_length(packet: bytes) -> int:
    if packet[0] >> 4 == 4:
        return int.from_bytes(packet[2:4])
    return 40 + int.from_bytes(packet[4:6])


def _with_a_hop_less(packet: bytes) -> bytes:
    at = 8 if packet[0] >> 4 == 4 else 7
    less = bytearray(packet)
    less[at] -= 1
    if at == 8:
        field = int.from_bytes(packet[10:12])
        less[10:12] = update(field, packet[8:10], bytes(less[8:10])).to_bytes(2)
    return bytes(less)


def _wrong_with_answer(packet: bytes, out: bytes) -> str | None:
    """An ICMP error, or an echo."""
    if out[0] >> 4 != packet[0] >> 4:
        return "the answer is of another family"
    if out[0] >> 4 == 4:
        head = (out[0] & 15) * 4
        length, source, to = int.from_bytes(out[2:4]), out[12:16], out[16:20]
        if to != packet[12:16] or source != VIP4.packed or out[9] != 1:
            return "the answer is not from the frontend to who sent"
        whole = verifies(out[:head]) and verifies(out[head:length])
    else:
        length, source, to = 40 + int.from_bytes(out[4:6]), out[8:24], out[24:40]
        if to != packet[8:24] or source != VIP6.packed or out[6] != 58:
            return "the answer is not from the frontend to who sent"
        ends = IPv6Address(source), IPv6Address(to)
        whole = verifies(pseudo_header(*ends, length - 40, 58) + out[40:length])
    if length > len(out) or (not whole and _is_error(out)):
        return "the answer is not whole"
    return None


def _is_error(out: bytes) -> bool:
    """An echo is as wrong as what asked for it."""
    return out[20] in (3, 11, 12) if out[0] >> 4 == 4 else out[40] < 128


# ---- what is sent ----


def _build(rng: random.Random) -> bytes:
    is4 = rng.random() < 0.5
    upper = rng.choice((_flow, _flow, _flow, _icmp, _fragment))
    return bytes(upper(rng, is4))


def _header(rng: random.Random, is4: bool, **more: object) -> Packet:
    hops = rng.choice((64, 64, 64, 2, 1))
    if is4:
        return ip4(**({"src": CLIENT, "dst": str(VIP4), "ttl": hops} | more))
    return ip6(**({"src": CLIENT6, "dst": str(VIP6), "hlim": hops} | more))


def _upper(rng: random.Random) -> Packet:
    port, size = rng.randrange(40000, 40032), rng.choice((0, 1, 64, 900, 1440))
    if rng.random() < 0.5:
        return tcp(size, sport=port, dport=rng.choice((80, 80, 80, 81)), flags=rng.choice("SAFR"))
    return udp(size, sport=port, dport=rng.choice((53, 53, 53, 80)))


def _flow(rng: random.Random, is4: bool) -> Packet:
    more: dict[str, object] = {}
    if is4 and rng.random() < 0.3:
        more = {"flags": rng.choice(("", "DF")), "options": b"\x01\x01\x01\x00"}
    return _header(rng, is4, **more) / _upper(rng)


def _fragment(rng: random.Random, is4: bool) -> Packet:
    offset, more = rng.choice((0, 0, 8)), rng.randrange(2)
    if is4:
        return _header(rng, True, flags=more, frag=offset) / _upper(rng)
    return (
        _header(rng, False) / IPv6ExtHdrFragment(offset=offset, m=more, id=7, nh=17) / _upper(rng)
    )


def _icmp(rng: random.Random, is4: bool) -> Packet:
    if rng.random() < 0.3:
        return _header(rng, is4) / (ping4() if is4 else ping6())
    quoted = _upper(rng)
    ports = quoted[UDP if UDP in quoted else TCP]
    ports.sport, ports.dport = ports.dport, ports.sport  # what a backend has sent
    if is4:
        quote = bytes(ip4(src=str(VIP4), dst=CLIENT) / quoted)[:548]
        return _header(rng, True, src="192.31.196.1") / ICMP(type=3, code=4) / Raw(quote)
    quote = bytes(ip6(src=str(VIP6), dst=CLIENT6) / quoted)[:1200]
    error = rng.choice((ICMPv6PacketTooBig(mtu=1300), ICMPv6DestUnreach(code=4)))
    return _header(rng, False, src="2001:db8:1::1") / error / Raw(quote)
