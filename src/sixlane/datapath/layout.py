# SPDX-License-Identifier: Apache-2.0
"""Generated from bpf/sixlane/types.h and the maps of uplink.bpf.c by sixlane.datapath.generate.

Do not edit: change the C, run `make generate`. Big-endian fields are those of type __be* in C.
"""

import ctypes
from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True)
class MapLayout:
    """A map as the data path declares it. Sizes in bytes; `inner`: of a map of maps."""

    type: int
    key_bytes: int
    value_bytes: int
    max_entries: int
    flags: int
    inner: "MapLayout | None" = None


@dataclass(frozen=True)
class Variable:
    """A constant of the data path that is set before load: where it lies in .rodata."""

    offset: int
    bytes: int


class Limit(IntEnum):
    MAX_PREFIXES = 64
    MAX_DEVICES = 16
    MAX_EAM_LENGTHS = 32
    NAME_BYTES = 32
    NEXT_HOP_SLOTS = 4096
    PAIR_SLOTS = 16384
    PAIR_WAYS = 2
    NEIGHBOUR_SLOTS = 256
    EVENT_HEAD_BYTES = 64
    EVENT_RING_BYTES = 1048576
    MAX_ICMP_POOL = 16
    VISIT_REASONS = 4
    VISIT_EAMS = 4


class PrefixFlag(IntEnum):
    PREFIX_WELL_KNOWN = 1
    PREFIX_RESTRICTED = 2


class GatewayFlag(IntEnum):
    GATEWAY_NEXT_HOP_CACHE = 1
    GATEWAY_FIXED_TOS = 2
    GATEWAY_FIXED_TRAFFIC_CLASS = 4
    GATEWAY_UDP_COMPUTE = 8
    GATEWAY_HAIRPIN = 16
    GATEWAY_HAIRPIN_SIMPLE = 32
    GATEWAY_ICMP_ORIGIN = 64
    GATEWAY_ICMP_UNLIMITED = 128


class RangeWord(IntEnum):
    RANGE_BLOCK = 1073741824
    RANGE_NOT_GLOBAL = 536870912
    RANGE_ILLEGAL_SOURCE = 268435456
    RANGE_NATIVE_SHIFT = 8
    RANGE_NATIVE_MASK = 32512
    RANGE_SERVED_MASK = 255
    RANGE_NATIVE_SETS = 256


class EamFlag(IntEnum):
    EAM_REMOTE = 1


class Direction(IntEnum):
    DIRECTION_46 = 0
    DIRECTION_64 = 1
    DIRECTION_COUNT = 2


class Protocol(IntEnum):
    PROTOCOL_OTHER = 0
    PROTOCOL_TCP = 1
    PROTOCOL_UDP = 2
    PROTOCOL_ICMP = 3
    PROTOCOL_COUNT = 4


class Reason(IntEnum):
    REASON_NONE = 0
    FORWARD_46 = 1
    FORWARD_64 = 2
    FORWARD_HAIRPIN = 3
    FORWARD_NATIVE = 4
    FORWARD_SLOW_PATH = 5
    PASS_NOT_CONFIGURED = 6
    PASS_NOT_IP = 7
    PASS_OTHER_HOST = 8
    PASS_NOT_OURS = 9
    PASS_NATIVE = 10
    DROP_TRUNCATED = 11
    DROP_MALFORMED = 12
    DROP_BAD_HEADER_CHECKSUM = 13
    DROP_PROTOCOL = 14
    DROP_EXTENSION_HEADERS = 15
    DROP_SOURCE_ROUTE = 16
    DROP_ICMP_FRAGMENT = 17
    DROP_ICMP_TYPE = 18
    DROP_ICMP_NESTED = 19
    DROP_ILLEGAL_SOURCE = 20
    DROP_NOT_GLOBAL = 21
    DROP_SOURCE_NOT_ALLOWED = 22
    DROP_SOURCE_NOT_MAPPABLE = 23
    DROP_DESTINATION_NOT_MAPPABLE = 24
    DROP_TTL_EXPIRED = 25
    DROP_UDP_ZERO_CHECKSUM = 26
    DROP_NO_ROUTE = 27
    DROP_BLACKHOLE = 28
    DROP_FORWARDING_OFF = 29
    DROP_TOO_BIG = 30
    DROP_NO_SLOW_PATH = 31
    DROP_RESIZE_FAILED = 32
    ICMP_ERROR_SENT = 33
    ICMP_ERROR_LIMITED = 34
    ICMP_ERROR_FAILED = 35
    EVENT_LIMITED = 36
    EVENT_LOST = 37
    REASON_COUNT = 38


class BucketIndex(IntEnum):
    BUCKET_ICMP_ERRORS = 0
    BUCKET_EVENTS = 1
    BUCKET_COUNT = 2


class Entry(IntEnum):
    ENTRY_XDP = 0
    ENTRY_TC = 1


class EventFlag(IntEnum):
    EVENT_ADDRESSES = 1
    EVENT_PORTS = 2
    EVENT_ICMP = 4
    EVENT_FRAGMENT = 8


class Range4(ctypes.Structure):
    _fields_ = (
        ("first", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )
    first: int
    count: int


assert ctypes.sizeof(Range4) == 8


class SlowPath(ctypes.Structure):
    _fields_ = (
        ("ifindex", ctypes.c_uint32),
        ("near_mac", ctypes.c_uint8 * 6),
        ("far_mac", ctypes.c_uint8 * 6),
    )
    ifindex: int
    near_mac: "ctypes.Array[ctypes.c_uint8]"
    far_mac: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(SlowPath) == 16


class Addr(ctypes.Structure):
    _fields_ = (
        ("hi", ctypes.c_uint64.__ctype_be__),
        ("lo", ctypes.c_uint64.__ctype_be__),
    )
    hi: int
    lo: int


assert ctypes.sizeof(Addr) == 16


class Prefix(ctypes.Structure):
    _fields_ = (
        ("addr", Addr),
        ("mask", Addr),
        ("id", ctypes.c_uint32),
        ("len", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("max_segment_bytes", ctypes.c_uint16),
    )
    addr: Addr
    mask: Addr
    id: int
    len: int
    flags: int
    max_segment_bytes: int


assert ctypes.sizeof(Prefix) == 40


class Label(ctypes.Structure):
    _fields_ = (("text", ctypes.c_uint8 * 32),)
    text: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Label) == 32


class Gateway(ctypes.Structure):
    _fields_ = (
        ("prefix_count", ctypes.c_uint32),
        ("eam4_lens_count", ctypes.c_uint32),
        ("eam6_lens_count", ctypes.c_uint32),
        ("lowest_ipv6_mtu_bytes", ctypes.c_uint32),
        ("icmp_errors_per_second", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("tos", ctypes.c_uint8),
        ("traffic_class", ctypes.c_uint8),
        ("icmp_pool_count", ctypes.c_uint16),
        ("icmp_pool_addresses", ctypes.c_uint32),
        ("native_max_segment_bytes", ctypes.c_uint16),
        ("pad", ctypes.c_uint16),
        ("icmp_pool", Range4 * 16),
        ("digest", ctypes.c_uint64),
        ("ranges_digest", ctypes.c_uint64),
        ("eam_digest", ctypes.c_uint64),
        ("sources_digests", ctypes.c_uint64 * 64),
        ("slow", SlowPath),
        ("icmp_source4", Addr),
        ("icmp_source6", Addr),
        ("eam4_lens", ctypes.c_uint8 * 32),
        ("eam6_lens", ctypes.c_uint8 * 32),
        ("macs", ctypes.c_uint64 * 16),
        ("prefixes", Prefix * 64),
        ("names", Label * 64),
    )
    prefix_count: int
    eam4_lens_count: int
    eam6_lens_count: int
    lowest_ipv6_mtu_bytes: int
    icmp_errors_per_second: int
    flags: int
    tos: int
    traffic_class: int
    icmp_pool_count: int
    icmp_pool_addresses: int
    native_max_segment_bytes: int
    pad: int
    icmp_pool: "ctypes.Array[Range4]"
    digest: int
    ranges_digest: int
    eam_digest: int
    sources_digests: "ctypes.Array[ctypes.c_uint64]"
    slow: SlowPath
    icmp_source4: Addr
    icmp_source6: Addr
    eam4_lens: "ctypes.Array[ctypes.c_uint8]"
    eam6_lens: "ctypes.Array[ctypes.c_uint8]"
    macs: "ctypes.Array[ctypes.c_uint64]"
    prefixes: "ctypes.Array[Prefix]"
    names: "ctypes.Array[Label]"


assert ctypes.sizeof(Gateway) == 5552


class RangeBlock(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint32 * 256),)
    words: "ctypes.Array[ctypes.c_uint32]"


assert ctypes.sizeof(RangeBlock) == 1024


class SourceNode(ctypes.Structure):
    _fields_ = (
        ("child", ctypes.c_uint64 * 4),
        ("let_in", ctypes.c_uint64 * 4),
        ("first", ctypes.c_uint32 * 4),
    )
    child: "ctypes.Array[ctypes.c_uint64]"
    let_in: "ctypes.Array[ctypes.c_uint64]"
    first: "ctypes.Array[ctypes.c_uint32]"


assert ctypes.sizeof(SourceNode) == 80


class Eam4Key(ctypes.Structure):
    _fields_ = (
        ("len", ctypes.c_uint32),
        ("addr", ctypes.c_uint32.__ctype_be__),
    )
    len: int
    addr: int


assert ctypes.sizeof(Eam4Key) == 8


class Eam6Key(ctypes.Structure):
    _fields_ = (
        ("addr", Addr),
        ("len", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    addr: Addr
    len: int
    pad: int


assert ctypes.sizeof(Eam6Key) == 24


class Eam(ctypes.Structure):
    _fields_ = (
        ("addr6", Addr),
        ("addr4", ctypes.c_uint32.__ctype_be__),
        ("len4", ctypes.c_uint8),
        ("len6", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
    )
    addr6: Addr
    addr4: int
    len4: int
    len6: int
    flags: int
    pad: int


assert ctypes.sizeof(Eam) == 24


class Counter(ctypes.Structure):
    _fields_ = (
        ("pkts", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
    )
    pkts: int
    bytes: int


assert ctypes.sizeof(Counter) == 16


class PrefixCounter(ctypes.Structure):
    _fields_ = (("reasons", Counter * 38),)
    reasons: "ctypes.Array[Counter]"


assert ctypes.sizeof(PrefixCounter) == 608


class PastReason(ctypes.Structure):
    _fields_ = (
        ("reason", ctypes.c_uint32),
        ("map", ctypes.c_uint32),
    )
    reason: int
    map: int


assert ctypes.sizeof(PastReason) == 8


class PastPrefix(ctypes.Structure):
    _fields_ = (
        ("prefix", ctypes.c_uint32),
        ("direction", ctypes.c_uint32),
        ("protocol", ctypes.c_uint32),
        ("reason", ctypes.c_uint32),
        ("map", ctypes.c_uint32),
    )
    prefix: int
    direction: int
    protocol: int
    reason: int
    map: int


assert ctypes.sizeof(PastPrefix) == 20


class Bucket(ctypes.Structure):
    _fields_ = (
        ("filled_jiffies", ctypes.c_uint64),
        ("tokens", ctypes.c_uint64),
    )
    filled_jiffies: int
    tokens: int


assert ctypes.sizeof(Bucket) == 16


class Monitor(ctypes.Structure):
    _fields_ = (
        ("enabled", ctypes.c_uint32),
        ("events_per_second", ctypes.c_uint32),
    )
    enabled: int
    events_per_second: int


assert ctypes.sizeof(Monitor) == 8


class Hop(ctypes.Structure):
    _fields_ = (
        ("ifindex", ctypes.c_uint32),
        ("mtu_bytes", ctypes.c_uint32),
        ("dst_mac", ctypes.c_uint8 * 6),
        ("src_mac", ctypes.c_uint8 * 6),
        ("resolved", ctypes.c_uint32),
        ("by_kernel", ctypes.c_uint32),
    )
    ifindex: int
    mtu_bytes: int
    dst_mac: "ctypes.Array[ctypes.c_uint8]"
    src_mac: "ctypes.Array[ctypes.c_uint8]"
    resolved: int
    by_kernel: int


assert ctypes.sizeof(Hop) == 28


class Visit(ctypes.Structure):
    _fields_ = (
        ("reasons", ctypes.c_uint32 * 4),
        ("reason_count", ctypes.c_uint32),
        ("eam_count", ctypes.c_uint32),
        ("eams", Eam * 4),
        ("served", ctypes.c_uint32),
        ("has_hop", ctypes.c_uint32),
        ("new_src", Addr),
        ("new_dst", Addr),
        ("hop_dst", Addr),
        ("hop", Hop),
    )
    reasons: "ctypes.Array[ctypes.c_uint32]"
    reason_count: int
    eam_count: int
    eams: "ctypes.Array[Eam]"
    served: int
    has_hop: int
    new_src: Addr
    new_dst: Addr
    hop_dst: Addr
    hop: Hop


assert ctypes.sizeof(Visit) == 208


class DropEvent(ctypes.Structure):
    _fields_ = (
        ("time_ns", ctypes.c_uint64),
        ("src", Addr),
        ("dst", Addr),
        ("reason", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("ethertype", ctypes.c_uint16.__ctype_be__),
        ("src_port", ctypes.c_uint16.__ctype_be__),
        ("dst_port", ctypes.c_uint16.__ctype_be__),
        ("entry", ctypes.c_uint8),
        ("protocol", ctypes.c_uint8),
        ("icmp_type", ctypes.c_uint8),
        ("icmp_code", ctypes.c_uint8),
        ("head_bytes", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 5),
        ("head", ctypes.c_uint8 * 64),
    )
    time_ns: int
    src: Addr
    dst: Addr
    reason: int
    ifindex: int
    bytes: int
    flags: int
    ethertype: int
    src_port: int
    dst_port: int
    entry: int
    protocol: int
    icmp_type: int
    icmp_code: int
    head_bytes: int
    pad: "ctypes.Array[ctypes.c_uint8]"
    head: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(DropEvent) == 136


class NeighbourUse(ctypes.Structure):
    _fields_ = (
        ("neighbour", ctypes.c_uint64),
        ("asked_jiffies", ctypes.c_uint64),
    )
    neighbour: int
    asked_jiffies: int


assert ctypes.sizeof(NeighbourUse) == 16


class NextHop(ctypes.Structure):
    _fields_ = (
        ("dst", Addr),
        ("expires_jiffies", ctypes.c_uint64),
        ("epoch", ctypes.c_uint32),
        ("hop", Hop),
        ("pad", ctypes.c_uint32),
    )
    dst: Addr
    expires_jiffies: int
    epoch: int
    hop: Hop
    pad: int


assert ctypes.sizeof(NextHop) == 64


class Pair(ctypes.Structure):
    _fields_ = (
        ("src", Addr),
        ("dst", Addr),
        ("expires_jiffies", ctypes.c_uint64),
        ("own_mac", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("epoch", ctypes.c_uint32),
        ("sum", ctypes.c_uint32),
        ("prefix", ctypes.c_uint16),
        ("ipv4_id", ctypes.c_uint16),
        ("new_src", Addr),
        ("new_dst", Addr),
        ("hop", Hop),
        ("counter_prefix", ctypes.c_uint32),
    )
    src: Addr
    dst: Addr
    expires_jiffies: int
    own_mac: int
    generation: int
    epoch: int
    sum: int
    prefix: int
    ipv4_id: int
    new_src: Addr
    new_dst: Addr
    hop: Hop
    counter_prefix: int


assert ctypes.sizeof(Pair) == 128


MAPS = {
    "ranges": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 1024, 256, 4096)),
    "sources": MapLayout(12, 4, 4, 128, 0, MapLayout(2, 4, 80, 1, 4096)),
    "eam4": MapLayout(12, 4, 4, 2, 0, MapLayout(1, 8, 24, 1, 0)),
    "eam6": MapLayout(12, 4, 4, 2, 0, MapLayout(1, 24, 24, 1, 0)),
    "generation": MapLayout(2, 4, 4, 1, 0),
    "gateways": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 5552, 1, 0)),
    "counters": MapLayout(6, 4, 16, 38, 0),
    "prefix_counters": MapLayout(6, 4, 608, 520, 0),
    "past_counters": MapLayout(1, 8, 16, 4096, 1),
    "past_prefixes": MapLayout(1, 20, 16, 4096, 1),
    "buckets": MapLayout(6, 4, 16, 2, 0),
    "monitors": MapLayout(2, 4, 8, 1, 0),
    "events": MapLayout(27, 0, 0, 1048576, 0),
    "next_hops": MapLayout(6, 4, 64, 4096, 0),
    "pairs": MapLayout(2, 4, 128, 16384, 1024),
    "neighbours": MapLayout(6, 4, 16, 256, 0),
    "next_hop_epoch": MapLayout(2, 4, 4, 1, 0),
    "visits": MapLayout(6, 4, 208, 1, 0),
    "fib_works": MapLayout(6, 4, 128, 1, 0),
    "error_works": MapLayout(6, 4, 1616, 1, 0),
    "udp_sum_works": MapLayout(6, 4, 256, 1, 0),
}

DIGESTS = {
    "ranges": "f9f68bfe",
    "sources": "f9f68bfe",
    "eam4": "f9f68bfe",
    "eam6": "f9f68bfe",
    "generation": "f9f68bfe",
    "gateways": "f9f68bfe",
    "counters": "ca046446",
    "prefix_counters": "34d26e74",
    "past_counters": "ca046446",
    "past_prefixes": "34d26e74",
    "buckets": "cb52645b",
    "monitors": "47c845e4",
    "events": "a3ba2282",
    "next_hops": "8943de90",
    "pairs": "f4ac56ff",
    "neighbours": "aa785a4c",
    "next_hop_epoch": "5ff9ad43",
    "visits": "6aeaaad1",
    "fib_works": "a491c414",
    "error_works": "d4947b81",
    "udp_sum_works": "7bb3b539",
}
"""Of the layout of a map. Maps with the same digest are adopted together or not."""

CONFIG = {
    "jiffies_per_second": Variable(0, 4),
    "dry_run": Variable(4, 4),
    "capture": Variable(8, 4),
}
