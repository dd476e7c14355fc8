# SPDX-License-Identifier: Apache-2.0
"""Generated from bpf/sixlane/types.h and the maps of the objects by sixlane.datapath.generate.

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
    NEXT_HOP_SLOTS = 16384
    PAIR_SLOTS = 16384
    PAIR_WAYS = 2
    FRONTEND_WAYS = 2
    NEIGHBOUR_SLOTS = 256
    EVENT_HEAD_BYTES = 64
    EVENT_RING_BYTES = 1048576
    MAX_ICMP_POOL = 16
    VISIT_REASONS = 4
    VISIT_EAMS = 4
    VISIT_FLOWS = 2
    CAPTURE_BYTES_MAX = 2048
    CAPTURE_RING_BYTES = 4194304
    MAX_POOLS = 16
    MAX_POOL_RANGES = 32
    CLIENT_BLOCKS = 8
    BLOCK_WORDS = 16
    PORT_WORDS = 1024
    ROOM_UNLESS_ASKED = 1
    SYN_WAYS = 8
    SYN_HEAD_BYTES = 104
    SESSION_RING_BYTES = 4194304
    FLOW_CELLS = 8
    FLOW_HASH_WORDS = 10
    SERVICE_NAME_BYTES = 64
    RING_MEMBERS_MAX = 1024
    RING_SIZE_MAX = 131072


class PrefixFlag(IntEnum):
    PREFIX_WELL_KNOWN = 1
    PREFIX_RESTRICTED = 2


class SlowMark(IntEnum):
    SLOW_IN_ORDER = 1
    SLOW_CALLED = 2


class GatewayFlag(IntEnum):
    GATEWAY_NEXT_HOP_CACHE = 1
    GATEWAY_FIXED_TOS = 2
    GATEWAY_FIXED_TRAFFIC_CLASS = 4
    GATEWAY_UDP_COMPUTE = 8
    GATEWAY_HAIRPIN = 16
    GATEWAY_HAIRPIN_SIMPLE = 32
    GATEWAY_ICMP_ORIGIN = 64
    GATEWAY_ICMP_UNLIMITED = 128
    GATEWAY_STATEFUL = 256
    GATEWAY_FILTER_ADDRESS = 512
    GATEWAY_NO_SYN_46 = 1024
    GATEWAY_LOG_BLOCKS = 2048
    GATEWAY_LOG_SESSIONS = 4096
    GATEWAY_SERVICES = 8192
    GATEWAY_NAT = 16384


class RangeWord(IntEnum):
    RANGE_BLOCK = 1073741824
    RANGE_NOT_GLOBAL = 536870912
    RANGE_ILLEGAL_SOURCE = 268435456
    RANGE_POOL4 = 134217728
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
    FORWARD_SERVICE = 6
    FORWARD_REPLY = 7
    FORWARD_CHECK = 8
    ECHO_ANSWERED = 9
    PASS_NOT_CONFIGURED = 10
    PASS_NOT_IP = 11
    PASS_OTHER_HOST = 12
    PASS_NOT_OURS = 13
    PASS_NATIVE = 14
    DROP_TRUNCATED = 15
    DROP_MALFORMED = 16
    DROP_BAD_HEADER_CHECKSUM = 17
    DROP_PROTOCOL = 18
    DROP_EXTENSION_HEADERS = 19
    DROP_SOURCE_ROUTE = 20
    DROP_ICMP_FRAGMENT = 21
    DROP_ICMP_TYPE = 22
    DROP_ICMP_NESTED = 23
    DROP_ILLEGAL_SOURCE = 24
    DROP_NOT_GLOBAL = 25
    DROP_SOURCE_NOT_ALLOWED = 26
    DROP_SOURCE_NOT_MAPPABLE = 27
    DROP_DESTINATION_NOT_MAPPABLE = 28
    DROP_TTL_EXPIRED = 29
    DROP_UDP_ZERO_CHECKSUM = 30
    DROP_NO_ROUTE = 31
    DROP_BLACKHOLE = 32
    DROP_FORWARDING_OFF = 33
    DROP_TOO_BIG = 34
    DROP_NO_SLOW_PATH = 35
    DROP_RESIZE_FAILED = 36
    DROP_FROM_POOL6 = 37
    DROP_NO_SESSION_PROTOCOL = 38
    DROP_NO_BINDING = 39
    DROP_NO_SESSION = 40
    DROP_FILTERED = 41
    DROP_NO_PORT = 42
    DROP_TOO_MANY_SESSIONS = 43
    DROP_TABLE_FULL = 44
    DROP_SYN_STORED = 45
    DROP_SYN_REPEATED = 46
    DROP_SYN_STORE_FULL = 47
    DROP_NO_FRONTEND = 48
    DROP_NO_BACKEND = 49
    DROP_NO_FLOW = 50
    ICMP_ERROR_SENT = 51
    ICMP_ERROR_LIMITED = 52
    ICMP_ERROR_FAILED = 53
    SYN_EXPIRED = 54
    SESSION_LOG_LOST = 55
    EVENT_LIMITED = 56
    EVENT_LOST = 57
    CAPTURE_LIMITED = 58
    CAPTURE_LOST = 59
    REASON_COUNT = 60


class BucketIndex(IntEnum):
    BUCKET_ICMP_ERRORS = 0
    BUCKET_EVENTS = 1
    BUCKET_CAPTURES = 2
    BUCKET_COUNT = 3


class Entry(IntEnum):
    ENTRY_XDP = 0
    ENTRY_TC = 1


class CaptureOutcome(IntEnum):
    CAPTURE_SENT = 1
    CAPTURE_DROPPED = 2
    CAPTURE_PASSED = 4


class EventFlag(IntEnum):
    EVENT_ADDRESSES = 1
    EVENT_PORTS = 2
    EVENT_ICMP = 4
    EVENT_FRAGMENT = 8


class SessionProtocol(IntEnum):
    SESSION_TCP = 0
    SESSION_UDP = 1
    SESSION_ICMP = 2
    SESSION_PROTOCOLS = 3


class SessionState(IntEnum):
    SESSION_FREE = 0
    SESSION_OPEN = 1
    SESSION_V4_INIT = 2
    SESSION_V6_INIT = 3
    SESSION_ESTABLISHED = 4
    SESSION_V4_FIN = 5
    SESSION_V6_FIN = 6
    SESSION_BOTH_FIN = 7
    SESSION_TRANS = 8
    SESSION_STATE_BITS = 4
    SESSION_STATE_MASK = 15
    SESSION_ADDED = 15


class Lifetime(IntEnum):
    LIFETIME_UDP = 0
    LIFETIME_ICMP = 1
    LIFETIME_TCP_ESTABLISHED = 2
    LIFETIME_TCP_TRANSITORY = 3
    LIFETIME_TCP_INCOMING_SYN = 4
    LIFETIME_COUNT = 5


class CountMark(IntEnum):
    GONE = 2147483648
    ADDED = 2147483649
    BLOCK_GIVEN = 1073741824


class FlowKind(IntEnum):
    FLOW_SESSION = 0
    FLOW_NEW_SESSION = 1
    FLOW_NEW_BINDING = 2
    FLOW_NO_BINDING = 3


class BindingFlag(IntEnum):
    BINDING_STATIC = 1
    BINDING_OWN_PORT = 2


class BindResult(IntEnum):
    BIND_DONE = 0
    BIND_INSIDE_BOUND = 1
    BIND_PORT_TAKEN = 2
    BIND_NO_ROOM = 3
    BIND_NOT_POOL4 = 4


class ImportResult(IntEnum):
    IMPORT_MADE = 0
    IMPORT_PRESENT = 1
    IMPORT_NOT_POOL4 = 2
    IMPORT_CONFLICT = 3
    IMPORT_LIMITED = 4
    IMPORT_NO_ROOM = 5


class SlotsIndex(IntEnum):
    SLOTS_SESSIONS = 0
    SLOTS_BINDINGS = 1
    SLOTS_COUNT = 2
    SLOTS_FLOWS = 2


class FragmentKind(IntEnum):
    FRAGMENT_TRANSLATED = 0
    FRAGMENT_HAIRPIN = 1
    FRAGMENT_NOT_OURS = 2


class SessionEventKind(IntEnum):
    SESSION_EVENT_BLOCK_GIVEN = 1
    SESSION_EVENT_BLOCK_BACK = 2
    SESSION_EVENT_MADE = 3
    SESSION_EVENT_ENDED = 4


class FlowState(IntEnum):
    FLOW_FREE = 0
    FLOW_NEW = 1
    FLOW_TCP = 2
    FLOW_UDP = 3
    FLOW_CLOSING = 4
    FLOW_CLIENT = 5
    FLOW_STATES = 8


class FrontendFlag(IntEnum):
    FRONTEND_LOCAL = 1
    FRONTEND_POOL = 2


class ServiceFlag(IntEnum):
    SERVICE_NAT = 1
    SERVICE_MAPPED = 2
    SERVICE_AFFINITY = 4
    SERVICE_RESTRICTED = 8


class BackendState(IntEnum):
    BACKEND_FREE = 0
    BACKEND_ACTIVE = 1
    BACKEND_TERMINATING = 2
    BACKEND_MAINTENANCE = 3
    BACKEND_QUARANTINED = 4


class BackendSince(IntEnum):
    BACKEND_NOT_YET = 2147483647


class FlowCell(IntEnum):
    FLOW_STATE_MASK = 15
    FLOW_TICK_SHIFT = 4
    FLOW_TICK_MASK = 4095
    FLOW_BACKEND_SHIFT = 16
    FLOW_BACKEND_MASK = 1048575
    FLOW_TAG_SHIFT = 36
    FLOW_TAG_MASK = 268435455


class PartKind(IntEnum):
    PART_TUNNEL = 0
    PART_CALL = 1
    PART_REPLY = 2


class CheckMark(IntEnum):
    CHECK_MARK = 1364197376
    CHECK_MARK_MASK = 4293918720


class RingResult(IntEnum):
    RING_UNFINISHED = 0
    RING_BUILT = 1
    RING_REFUSED = 2


class DecapReason(IntEnum):
    DECAP_DONE = 0
    DECAP_PASS_NOT_SERVED = 1
    DECAP_DROP_SOURCE = 2
    DECAP_DROP_TRUNCATED = 3
    DECAP_DROP_MALFORMED = 4
    DECAP_DROP_CHECKSUM = 5
    DECAP_DROP_FRAGMENT = 6
    DECAP_DROP_NESTED = 7
    DECAP_DROP_CONGESTED = 8
    DECAP_DROP_RESIZE_FAILED = 9
    DECAP_REASONS = 10


class VipFlag(IntEnum):
    VIP_ADDED = 1


class PodFlag(IntEnum):
    POD_STACK_LOCAL = 1
    POD_STACK_OUT = 2
    POD_STACK_IN = 4


class PodReason(IntEnum):
    POD_NONE = 0
    POD_LOCAL = 1
    POD_OUT = 2
    POD_IN = 3
    POD_PASS_LINK = 4
    POD_PASS_ASKED = 5
    POD_PASS_ROUTE = 6
    POD_PASS_NEIGHBOUR = 7
    POD_PASS_HOPS = 8
    POD_PASS_OPTIONS = 9
    POD_PASS_TOO_BIG = 10
    POD_PASS_SOURCE = 11
    POD_DROP_PROTOCOL = 12
    POD_DROP_MALFORMED = 13
    POD_DROP_OTHER_HOST = 14
    POD_DROP_SOURCE = 15
    POD_DROP_ROUTER = 16
    POD_DROP_FAILED = 17
    POD_REASONS = 18


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


class PortRange(ctypes.Structure):
    _fields_ = (
        ("first", ctypes.c_uint16),
        ("last", ctypes.c_uint16),
    )
    first: int
    last: int


assert ctypes.sizeof(PortRange) == 4


class Pool(ctypes.Structure):
    _fields_ = (
        ("clients", Addr),
        ("mask", Addr),
        ("first_range", ctypes.c_uint16),
        ("range_count", ctypes.c_uint16),
        ("addresses", ctypes.c_uint32),
        ("ports", PortRange * 3),
        ("block_words", ctypes.c_uint16),
        ("blocks", ctypes.c_uint16),
        ("max_sessions", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    clients: Addr
    mask: Addr
    first_range: int
    range_count: int
    addresses: int
    ports: "ctypes.Array[PortRange]"
    block_words: int
    blocks: int
    max_sessions: int
    id: int
    pad: int


assert ctypes.sizeof(Pool) == 72


class PoolRange(ctypes.Structure):
    _fields_ = (
        ("first", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("index", ctypes.c_uint32),
    )
    first: int
    count: int
    index: int


assert ctypes.sizeof(PoolRange) == 12


class TunnelSource(ctypes.Structure):
    _fields_ = (
        ("addr", Addr),
        ("host_mask", Addr),
    )
    addr: Addr
    host_mask: Addr


assert ctypes.sizeof(TunnelSource) == 32


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
        ("prefix_indices", ctypes.c_uint8 * 64),
        ("lifetimes_seconds", ctypes.c_uint32 * 5),
        ("pool_count", ctypes.c_uint32),
        ("pool_range_count", ctypes.c_uint32),
        ("client_bits", ctypes.c_uint32),
        ("pools", Pool * 16),
        ("pool_ranges", PoolRange * 32),
        ("services_digest", ctypes.c_uint64),
        ("service_sources_digest", ctypes.c_uint64),
        ("service_bits_mask", ctypes.c_uint32),
        ("flow_ticks", ctypes.c_uint32 * 8),
        ("flow_words", ctypes.c_uint32 * 10),
        ("services_pad", ctypes.c_uint32),
        ("tunnel4", TunnelSource),
        ("tunnel6", TunnelSource),
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
    prefix_indices: "ctypes.Array[ctypes.c_uint8]"
    lifetimes_seconds: "ctypes.Array[ctypes.c_uint32]"
    pool_count: int
    pool_range_count: int
    client_bits: int
    pools: "ctypes.Array[Pool]"
    pool_ranges: "ctypes.Array[PoolRange]"
    services_digest: int
    service_sources_digest: int
    service_bits_mask: int
    flow_ticks: "ctypes.Array[ctypes.c_uint32]"
    flow_words: "ctypes.Array[ctypes.c_uint32]"
    services_pad: int
    tunnel4: TunnelSource
    tunnel6: TunnelSource
    macs: "ctypes.Array[ctypes.c_uint64]"
    prefixes: "ctypes.Array[Prefix]"
    names: "ctypes.Array[Label]"


assert ctypes.sizeof(Gateway) == 7344


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
    _fields_ = (("reasons", Counter * 60),)
    reasons: "ctypes.Array[Counter]"


assert ctypes.sizeof(PrefixCounter) == 960


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


class CaptureRule(ctypes.Structure):
    _fields_ = (
        ("outcomes", ctypes.c_uint32),
        ("pkts_per_second", ctypes.c_uint32),
        ("frame_bytes", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("protocol", ctypes.c_uint32),
        ("port", ctypes.c_uint32),
    )
    outcomes: int
    pkts_per_second: int
    frame_bytes: int
    ifindex: int
    protocol: int
    port: int


assert ctypes.sizeof(CaptureRule) == 24


class Capture(ctypes.Structure):
    _fields_ = (
        ("time_ns", ctypes.c_uint64),
        ("ifindex", ctypes.c_uint32),
        ("entry", ctypes.c_uint32),
        ("outcome", ctypes.c_uint32),
        ("before_bytes", ctypes.c_uint32),
        ("before_kept", ctypes.c_uint32),
        ("after_bytes", ctypes.c_uint32),
        ("after_kept", ctypes.c_uint32),
        ("reason_count", ctypes.c_uint32),
        ("reasons", ctypes.c_uint32 * 4),
        ("armed", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("frames", ctypes.c_uint8 * 4096),
    )
    time_ns: int
    ifindex: int
    entry: int
    outcome: int
    before_bytes: int
    before_kept: int
    after_bytes: int
    after_kept: int
    reason_count: int
    reasons: "ctypes.Array[ctypes.c_uint32]"
    armed: int
    pad: int
    frames: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Capture) == 4160


class Client(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_uint16),
        ("block_words", ctypes.c_uint16),
        ("pool", ctypes.c_uint32),
        ("bindings", ctypes.c_uint32),
        ("sessions", ctypes.c_uint32),
        ("blocks", ctypes.c_uint32 * 4),
    )
    address: int
    block_words: int
    pool: int
    bindings: int
    sessions: int
    blocks: "ctypes.Array[ctypes.c_uint32]"


assert ctypes.sizeof(Client) == 32


class VisitFlow(ctypes.Structure):
    _fields_ = (
        ("inside", Addr),
        ("kind", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("left_seconds", ctypes.c_uint32),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("client_bits", ctypes.c_uint8),
        ("has_client", ctypes.c_uint8),
        ("blocks", ctypes.c_uint16),
        ("client", Client),
    )
    inside: Addr
    kind: int
    state: int
    left_seconds: int
    pool: int
    inside_port: int
    pool_port: int
    client_bits: int
    has_client: int
    blocks: int
    client: Client


assert ctypes.sizeof(VisitFlow) == 72


class Hop(ctypes.Structure):
    _fields_ = (
        ("ifindex", ctypes.c_uint32),
        ("mtu_bytes", ctypes.c_uint32),
        ("dst_mac", ctypes.c_uint8 * 6),
        ("src_mac", ctypes.c_uint8 * 6),
        ("resolved", ctypes.c_uint8),
        ("by_kernel", ctypes.c_uint8),
        ("pad", ctypes.c_uint16),
    )
    ifindex: int
    mtu_bytes: int
    dst_mac: "ctypes.Array[ctypes.c_uint8]"
    src_mac: "ctypes.Array[ctypes.c_uint8]"
    resolved: int
    by_kernel: int
    pad: int


assert ctypes.sizeof(Hop) == 24


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
        ("flow_count", ctypes.c_uint32),
        ("service", ctypes.c_uint32),
        ("backend", ctypes.c_uint32),
        ("is_new", ctypes.c_uint32),
        ("flows", VisitFlow * 2),
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
    flow_count: int
    service: int
    backend: int
    is_new: int
    flows: "ctypes.Array[VisitFlow]"


assert ctypes.sizeof(Visit) == 360


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


class SessionEvent(ctypes.Structure):
    _fields_ = (
        ("time_ns", ctypes.c_uint64),
        ("inside", Addr),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("last_port", ctypes.c_uint16.__ctype_be__),
        ("remote_port", ctypes.c_uint16.__ctype_be__),
        ("kind", ctypes.c_uint8),
        ("protocol", ctypes.c_uint8),
        ("client_bits", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 5),
    )
    time_ns: int
    inside: Addr
    pool: int
    remote: int
    inside_port: int
    pool_port: int
    last_port: int
    remote_port: int
    kind: int
    protocol: int
    client_bits: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(SessionEvent) == 48


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
        ("pad", ctypes.c_uint32 * 3),
    )
    dst: Addr
    expires_jiffies: int
    epoch: int
    hop: Hop
    pad: "ctypes.Array[ctypes.c_uint32]"


assert ctypes.sizeof(NextHop) == 64


class Pair(ctypes.Structure):
    _fields_ = (
        ("src", Addr),
        ("dst", Addr),
        ("to_and_from", ctypes.c_uint64),
        ("dst_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("prefix", ctypes.c_uint8),
        ("generation", ctypes.c_uint32),
        ("expires_jiffies", ctypes.c_uint64),
        ("new_src", Addr),
        ("new_dst", Addr),
        ("hop", Hop),
        ("epoch", ctypes.c_uint32),
        ("sum", ctypes.c_uint16),
        ("counter_prefix", ctypes.c_uint16),
        ("new_port", ctypes.c_uint16.__ctype_be__),
        ("ipv4_id", ctypes.c_uint16),
    )
    src: Addr
    dst: Addr
    to_and_from: int
    dst_port: int
    protocol: int
    prefix: int
    generation: int
    expires_jiffies: int
    new_src: Addr
    new_dst: Addr
    hop: Hop
    epoch: int
    sum: int
    counter_prefix: int
    new_port: int
    ipv4_id: int


assert ctypes.sizeof(Pair) == 128


class PairTags(ctypes.Structure):
    _fields_ = (
        ("tags", ctypes.c_uint32 * 2),
        ("knocks", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    tags: "ctypes.Array[ctypes.c_uint32]"
    knocks: int
    pad: int


assert ctypes.sizeof(PairTags) == 16


class Session6Key(ctypes.Structure):
    _fields_ = (
        ("inside", Addr),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("remote_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("prefix", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 6),
    )
    inside: Addr
    remote: int
    inside_port: int
    remote_port: int
    protocol: int
    prefix: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Session6Key) == 32


class Session4Key(ctypes.Structure):
    _fields_ = (
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("remote_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
    )
    pool: int
    remote: int
    pool_port: int
    remote_port: int
    protocol: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Session4Key) == 16


class Filter4Key(ctypes.Structure):
    _fields_ = (
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
    )
    pool: int
    remote: int
    pool_port: int
    protocol: int
    pad: int


assert ctypes.sizeof(Filter4Key) == 12


class Binding6Key(ctypes.Structure):
    _fields_ = (
        ("inside", Addr),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 5),
    )
    inside: Addr
    inside_port: int
    protocol: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Binding6Key) == 24


class IndexSet(ctypes.Structure):
    _fields_ = (
        ("cells", ctypes.c_uint64 * 7),
        ("elsewhere", ctypes.c_uint64),
    )
    cells: "ctypes.Array[ctypes.c_uint64]"
    elsewhere: int


assert ctypes.sizeof(IndexSet) == 64


class IndexSecret(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint32 * 10),)
    words: "ctypes.Array[ctypes.c_uint32]"


assert ctypes.sizeof(IndexSecret) == 40


class Session(ctypes.Structure):
    _fields_ = (
        ("word", ctypes.c_uint64),
        ("inside", Addr),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("remote_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("prefix", ctypes.c_uint8),
        ("serial", ctypes.c_uint32),
        ("binding", ctypes.c_uint32),
        ("generation6", ctypes.c_uint32),
        ("generation4", ctypes.c_uint32),
        ("next", ctypes.c_uint32),
        ("filtered", ctypes.c_uint32),
    )
    word: int
    inside: Addr
    pool: int
    remote: int
    inside_port: int
    pool_port: int
    remote_port: int
    protocol: int
    prefix: int
    serial: int
    binding: int
    generation6: int
    generation4: int
    next: int
    filtered: int


assert ctypes.sizeof(Session) == 64


class Binding(ctypes.Structure):
    _fields_ = (
        ("inside", Addr),
        ("sessions", ctypes.c_uint32),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("prefix", ctypes.c_uint8),
        ("address", ctypes.c_uint8),
        ("client_bits", ctypes.c_uint8),
        ("serial", ctypes.c_uint32),
        ("next", ctypes.c_uint32),
        ("until_seconds", ctypes.c_uint32),
        ("doubtful", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 2),
    )
    inside: Addr
    sessions: int
    pool: int
    inside_port: int
    pool_port: int
    protocol: int
    prefix: int
    address: int
    client_bits: int
    serial: int
    next: int
    until_seconds: int
    doubtful: int
    flags: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Binding) == 48


class Slots(ctypes.Structure):
    _fields_ = (
        ("freed", ctypes.c_uint64),
        ("fresh", ctypes.c_uint64),
        ("changes", ctypes.c_uint64),
    )
    freed: int
    fresh: int
    changes: int


assert ctypes.sizeof(Slots) == 24


class Probe(ctypes.Structure):
    _fields_ = (
        ("src", Addr),
        ("dst", Addr),
        ("src_port", ctypes.c_uint16.__ctype_be__),
        ("dst_port", ctypes.c_uint16.__ctype_be__),
        ("is_due", ctypes.c_uint32),
    )
    src: Addr
    dst: Addr
    src_port: int
    dst_port: int
    is_due: int


assert ctypes.sizeof(Probe) == 40


class Sweep(ctypes.Structure):
    _fields_ = (
        ("first", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("now", ctypes.c_uint64),
        ("ended", ctypes.c_uint32),
        ("done", ctypes.c_uint32),
        ("probe", Probe),
    )
    first: int
    count: int
    now: int
    ended: int
    done: int
    probe: Probe


assert ctypes.sizeof(Sweep) == 64


class StaticBinding(ctypes.Structure):
    _fields_ = (
        ("inside", Addr),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("prefix", ctypes.c_uint8),
        ("wanted", ctypes.c_uint8),
        ("result", ctypes.c_uint8),
        ("pad", ctypes.c_uint32),
    )
    inside: Addr
    pool: int
    inside_port: int
    pool_port: int
    protocol: int
    prefix: int
    wanted: int
    result: int
    pad: int


assert ctypes.sizeof(StaticBinding) == 32


class SessionImport(ctypes.Structure):
    _fields_ = (
        ("inside", Addr),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("inside_port", ctypes.c_uint16.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("remote_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("prefix", ctypes.c_uint8),
        ("state", ctypes.c_uint8),
        ("result", ctypes.c_uint8),
        ("pad", ctypes.c_uint16),
        ("left_ms", ctypes.c_uint32),
    )
    inside: Addr
    pool: int
    remote: int
    inside_port: int
    pool_port: int
    remote_port: int
    protocol: int
    prefix: int
    state: int
    result: int
    pad: int
    left_ms: int


assert ctypes.sizeof(SessionImport) == 40


class ImportBatch(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    count: int
    pad: int


assert ctypes.sizeof(ImportBatch) == 8


class Sweeping(ctypes.Structure):
    _fields_ = (
        ("by_agent_jiffies", ctypes.c_uint64),
        ("next", ctypes.c_uint64),
        ("ahead_jiffies", ctypes.c_uint64),
        ("syns_until", ctypes.c_uint64),
    )
    by_agent_jiffies: int
    next: int
    ahead_jiffies: int
    syns_until: int


assert ctypes.sizeof(Sweeping) == 32


class FragmentKey(ctypes.Structure):
    _fields_ = (
        ("src", Addr),
        ("dst", Addr),
        ("id", ctypes.c_uint32),
        ("protocol", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
    )
    src: Addr
    dst: Addr
    id: int
    protocol: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(FragmentKey) == 40


class Fragment(ctypes.Structure):
    _fields_ = (
        ("new_src", Addr),
        ("new_dst", Addr),
        ("prefix", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("until_jiffies", ctypes.c_uint64),
    )
    new_src: Addr
    new_dst: Addr
    prefix: int
    kind: int
    until_jiffies: int


assert ctypes.sizeof(Fragment) == 48


class StoredSyn(ctypes.Structure):
    _fields_ = (
        ("until", ctypes.c_uint64),
        ("pool", ctypes.c_uint32.__ctype_be__),
        ("remote", ctypes.c_uint32.__ctype_be__),
        ("pool_port", ctypes.c_uint16.__ctype_be__),
        ("remote_port", ctypes.c_uint16.__ctype_be__),
        ("bytes", ctypes.c_uint32),
        ("head", ctypes.c_uint8 * 104),
    )
    until: int
    pool: int
    remote: int
    pool_port: int
    remote_port: int
    bytes: int
    head: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(StoredSyn) == 128


class SynSweep(ctypes.Structure):
    _fields_ = (
        ("first", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("done", ctypes.c_uint32),
        ("is_due", ctypes.c_uint32),
        ("syn", StoredSyn),
    )
    first: int
    count: int
    done: int
    is_due: int
    syn: StoredSyn


assert ctypes.sizeof(SynSweep) == 144


class Frontend(ctypes.Structure):
    _fields_ = (
        ("addr", Addr),
        ("port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint8),
        ("is_there", ctypes.c_uint8),
        ("service", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("flags", ctypes.c_uint8),
        ("service_flags", ctypes.c_uint8),
        ("elsewhere", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
    )
    addr: Addr
    port: int
    protocol: int
    is_there: int
    service: int
    id: int
    flags: int
    service_flags: int
    elsewhere: int
    pad: int


assert ctypes.sizeof(Frontend) == 32


class FrontendSet(ctypes.Structure):
    _fields_ = (("ways", Frontend * 2),)
    ways: "ctypes.Array[Frontend]"


assert ctypes.sizeof(FrontendSet) == 64


class Service(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("affinity_ticks", ctypes.c_uint32),
        ("max_segment_bytes", ctypes.c_uint16),
        ("prefix", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
        ("pool4_count", ctypes.c_uint32),
        ("pool6_count", ctypes.c_uint32),
        ("clients", ctypes.c_uint32),
        ("pool4", Addr),
        ("pool6", Addr),
        ("pad2", ctypes.c_uint64),
        ("name", ctypes.c_uint8 * 64),
    )
    flags: int
    affinity_ticks: int
    max_segment_bytes: int
    prefix: int
    pad: int
    pool4_count: int
    pool6_count: int
    clients: int
    pool4: Addr
    pool6: Addr
    pad2: int
    name: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Service) == 128


class ServiceSourceKey(ctypes.Structure):
    _fields_ = (
        ("bits", ctypes.c_uint32),
        ("service", ctypes.c_uint32.__ctype_be__),
        ("addr", Addr),
    )
    bits: int
    service: int
    addr: Addr


assert ctypes.sizeof(ServiceSourceKey) == 24


class Backend(ctypes.Structure):
    _fields_ = (
        ("addr", Addr),
        ("service", ctypes.c_uint32),
        ("port", ctypes.c_uint16.__ctype_be__),
        ("state", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
        ("since_tick", ctypes.c_uint32),
        ("pad2", ctypes.c_uint32),
    )
    addr: Addr
    service: int
    port: int
    state: int
    pad: int
    since_tick: int
    pad2: int


assert ctypes.sizeof(Backend) == 32


class ServiceRing(ctypes.Structure):
    _fields_ = (
        ("place", ctypes.c_uint64),
        ("digest", ctypes.c_uint64),
    )
    place: int
    digest: int


assert ctypes.sizeof(ServiceRing) == 16


class FlowSet(ctypes.Structure):
    _fields_ = (("cells", ctypes.c_uint64 * 8),)
    cells: "ctypes.Array[ctypes.c_uint64]"


assert ctypes.sizeof(FlowSet) == 64


class FrontendCounter(ctypes.Structure):
    _fields_ = (
        ("forwarded", Counter),
        ("dropped", Counter),
        ("flows", ctypes.c_uint64),
    )
    forwarded: Counter
    dropped: Counter
    flows: int


assert ctypes.sizeof(FrontendCounter) == 40


class BackendCounter(ctypes.Structure):
    _fields_ = (
        ("forwarded", Counter),
        ("flows", ctypes.c_uint64),
    )
    forwarded: Counter
    flows: int


assert ctypes.sizeof(BackendCounter) == 24


class FrontendDrop(ctypes.Structure):
    _fields_ = (
        ("frontend", ctypes.c_uint32),
        ("reason", ctypes.c_uint32),
    )
    frontend: int
    reason: int


assert ctypes.sizeof(FrontendDrop) == 8


class FlowInKey(ctypes.Structure):
    _fields_ = (
        ("client", Addr),
        ("frontend", ctypes.c_uint32),
        ("client_port", ctypes.c_uint16.__ctype_be__),
        ("pad", ctypes.c_uint16),
    )
    client: Addr
    frontend: int
    client_port: int
    pad: int


assert ctypes.sizeof(FlowInKey) == 24


class FlowBackKey(ctypes.Structure):
    _fields_ = (
        ("backend", Addr),
        ("source", Addr),
        ("backend_port", ctypes.c_uint16.__ctype_be__),
        ("source_port", ctypes.c_uint16.__ctype_be__),
        ("protocol", ctypes.c_uint32),
    )
    backend: Addr
    source: Addr
    backend_port: int
    source_port: int
    protocol: int


assert ctypes.sizeof(FlowBackKey) == 40


class NatFlow(ctypes.Structure):
    _fields_ = (
        ("word", ctypes.c_uint64),
        ("client", Addr),
        ("source", Addr),
        ("backend", Addr),
        ("called", Addr),
        ("client_port", ctypes.c_uint16.__ctype_be__),
        ("source_port", ctypes.c_uint16.__ctype_be__),
        ("backend_port", ctypes.c_uint16.__ctype_be__),
        ("called_port", ctypes.c_uint16.__ctype_be__),
        ("service", ctypes.c_uint32),
        ("frontend", ctypes.c_uint32),
        ("backend_id", ctypes.c_uint32),
        ("serial", ctypes.c_uint32),
        ("next", ctypes.c_uint32),
        ("protocol", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("pad2", ctypes.c_uint64 * 3),
    )
    word: int
    client: Addr
    source: Addr
    backend: Addr
    called: Addr
    client_port: int
    source_port: int
    backend_port: int
    called_port: int
    service: int
    frontend: int
    backend_id: int
    serial: int
    next: int
    protocol: int
    pad: "ctypes.Array[ctypes.c_uint8]"
    pad2: "ctypes.Array[ctypes.c_uint64]"


assert ctypes.sizeof(NatFlow) == 128


class Part(ctypes.Structure):
    _fields_ = (
        ("new_src", Addr),
        ("new_dst", Addr),
        ("flow", ctypes.c_uint64),
        ("until_jiffies", ctypes.c_uint64),
        ("frontend", ctypes.c_uint32),
        ("backend", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    new_src: Addr
    new_dst: Addr
    flow: int
    until_jiffies: int
    frontend: int
    backend: int
    kind: int
    pad: int


assert ctypes.sizeof(Part) == 64


class RingMember(ctypes.Structure):
    _fields_ = (
        ("credit", ctypes.c_uint64),
        ("at", ctypes.c_uint32),
        ("skip", ctypes.c_uint32),
        ("weight", ctypes.c_uint32),
        ("backend", ctypes.c_uint32),
        ("behind", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    credit: int
    at: int
    skip: int
    weight: int
    backend: int
    behind: int
    pad: int


assert ctypes.sizeof(RingMember) == 32


class RingBuild(ctypes.Structure):
    _fields_ = (
        ("service", ctypes.c_uint32),
        ("first", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("members", ctypes.c_uint32),
        ("largest_weight", ctypes.c_uint32),
        ("steps", ctypes.c_uint32),
        ("publish", ctypes.c_uint32),
        ("result", ctypes.c_uint32),
        ("cleared", ctypes.c_uint32),
        ("filled", ctypes.c_uint32),
        ("member", ctypes.c_uint32),
        ("behind", ctypes.c_uint32),
        ("digest", ctypes.c_uint64),
        ("replaced", ctypes.c_uint64),
    )
    service: int
    first: int
    size: int
    members: int
    largest_weight: int
    steps: int
    publish: int
    result: int
    cleared: int
    filled: int
    member: int
    behind: int
    digest: int
    replaced: int


assert ctypes.sizeof(RingBuild) == 64


class TunnelSourceKey(ctypes.Structure):
    _fields_ = (
        ("bits", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("addr", Addr),
    )
    bits: int
    pad: int
    addr: Addr


assert ctypes.sizeof(TunnelSourceKey) == 24


class DecapSetup(ctypes.Structure):
    _fields_ = (
        ("namespace", ctypes.c_uint64),
        ("ifindex", ctypes.c_uint32),
        ("max_segment4_bytes", ctypes.c_uint16),
        ("max_segment6_bytes", ctypes.c_uint16),
        ("rp_filter", ctypes.c_uint8),
        ("arp_ignore", ctypes.c_uint8),
        ("arp_announce", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 5),
    )
    namespace: int
    ifindex: int
    max_segment4_bytes: int
    max_segment6_bytes: int
    rp_filter: int
    arp_ignore: int
    arp_announce: int
    pad: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(DecapSetup) == 24


class Pod(ctypes.Structure):
    _fields_ = (
        ("ifindex", ctypes.c_uint32),
        ("pod_mac", ctypes.c_uint8 * 6),
        ("host_mac", ctypes.c_uint8 * 6),
    )
    ifindex: int
    pod_mac: "ctypes.Array[ctypes.c_uint8]"
    host_mac: "ctypes.Array[ctypes.c_uint8]"


assert ctypes.sizeof(Pod) == 16


class PodSetup(ctypes.Structure):
    _fields_ = (
        ("namespace", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("epoch", ctypes.c_uint32),
    )
    namespace: int
    flags: int
    epoch: int


assert ctypes.sizeof(PodSetup) == 16


class PodFlow(ctypes.Structure):
    _fields_ = (
        ("src", Addr),
        ("dst", Addr),
        ("device", ctypes.c_uint32),
        ("label", ctypes.c_uint32.__ctype_be__),
        ("sport", ctypes.c_uint16.__ctype_be__),
        ("dport", ctypes.c_uint16.__ctype_be__),
        ("family", ctypes.c_uint8),
        ("proto", ctypes.c_uint8),
        ("is_behind", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
    )
    src: Addr
    dst: Addr
    device: int
    label: int
    sport: int
    dport: int
    family: int
    proto: int
    is_behind: int
    pad: int


assert ctypes.sizeof(PodFlow) == 48


class PodWay(ctypes.Structure):
    _fields_ = (
        ("flow", PodFlow),
        ("expires_jiffies", ctypes.c_uint64),
        ("epoch", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("mtu_bytes", ctypes.c_uint32),
        ("dst_mac", ctypes.c_uint8 * 6),
        ("src_mac", ctypes.c_uint8 * 6),
        ("sent", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )
    flow: PodFlow
    expires_jiffies: int
    epoch: int
    ifindex: int
    mtu_bytes: int
    dst_mac: "ctypes.Array[ctypes.c_uint8]"
    src_mac: "ctypes.Array[ctypes.c_uint8]"
    sent: int
    pad: int


assert ctypes.sizeof(PodWay) == 88


MAPS = {
    "ranges": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 1024, 256, 4096)),
    "sources": MapLayout(12, 4, 4, 128, 0, MapLayout(2, 4, 80, 1, 4096)),
    "eam4": MapLayout(12, 4, 4, 2, 0, MapLayout(1, 8, 24, 1, 0)),
    "eam6": MapLayout(12, 4, 4, 2, 0, MapLayout(1, 24, 24, 1, 0)),
    "sessions": MapLayout(2, 4, 64, 1, 1024),
    "bindings": MapLayout(2, 4, 48, 1, 1024),
    "nat_flows": MapLayout(2, 4, 128, 1, 1024),
    "syns": MapLayout(2, 4, 128, 1, 1024),
    "binding_works": MapLayout(6, 4, 96, 1, 0),
    "clients": MapLayout(1, 16, 32, 1, 0),
    "sweepings": MapLayout(2, 4, 32, 1, 0),
    "free_slots": MapLayout(2, 4, 24, 2, 0),
    "stateful_works": MapLayout(6, 4, 296, 1, 0),
    "flow_slots": MapLayout(2, 4, 24, 1, 0),
    "flow_sweeps": MapLayout(2, 4, 32, 1, 0),
    "frontend_stats": MapLayout(6, 4, 40, 1, 0),
    "frontend_drops": MapLayout(5, 8, 16, 65536, 1),
    "parts": MapLayout(9, 40, 64, 4096, 0),
    "generation": MapLayout(2, 4, 4, 1, 0),
    "gateways": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 7344, 1, 0)),
    "counters": MapLayout(6, 4, 16, 60, 0),
    "prefix_counters": MapLayout(6, 4, 960, 520, 0),
    "past_counters": MapLayout(1, 8, 16, 4096, 1),
    "past_prefixes": MapLayout(1, 20, 16, 4096, 1),
    "buckets": MapLayout(6, 4, 16, 3, 0),
    "monitors": MapLayout(2, 4, 8, 1, 0),
    "events": MapLayout(27, 0, 0, 1048576, 0),
    "session_events": MapLayout(27, 0, 0, 4194304, 0),
    "next_hops": MapLayout(2, 4, 64, 16384, 1024),
    "pairs": MapLayout(2, 4, 128, 16384, 1024),
    "pair_tags": MapLayout(2, 4, 16, 8192, 0),
    "neighbours": MapLayout(6, 4, 16, 256, 0),
    "next_hop_epoch": MapLayout(2, 4, 4, 1, 0),
    "sessions6": MapLayout(2, 4, 64, 1, 1024),
    "sessions4": MapLayout(2, 4, 64, 1, 1024),
    "index_secrets": MapLayout(2, 4, 40, 1, 0),
    "filters4": MapLayout(1, 12, 4, 1, 0),
    "bindings6": MapLayout(2, 4, 64, 1, 1024),
    "ports4": MapLayout(2, 4, 4, 1, 1024),
    "used4": MapLayout(2, 4, 8, 1, 0),
    "blocks4": MapLayout(2, 4, 4, 1, 0),
    "fragments": MapLayout(9, 40, 48, 1, 0),
    "clock_offset": MapLayout(2, 4, 8, 1, 0),
    "visits": MapLayout(6, 4, 360, 1, 0),
    "capture_rules": MapLayout(2, 4, 24, 1, 0),
    "capture_works": MapLayout(6, 4, 4160, 1, 0),
    "captures": MapLayout(27, 0, 0, 4096, 0),
    "frontends": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 64, 1, 5120)),
    "service_bits": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 8, 1, 4096)),
    "services": MapLayout(12, 4, 4, 2, 0, MapLayout(2, 4, 128, 1, 4096)),
    "service_sources": MapLayout(12, 4, 4, 2, 0, MapLayout(11, 24, 4, 1, 1)),
    "backends": MapLayout(2, 4, 32, 1, 1024),
    "flows_in": MapLayout(2, 4, 64, 1, 1024),
    "flows_back": MapLayout(2, 4, 64, 1, 1024),
    "flow_secrets": MapLayout(2, 4, 40, 1, 0),
    "rings": MapLayout(2, 4, 4, 1, 1024),
    "service_rings": MapLayout(2, 4, 16, 1, 1024),
    "flow_cache": MapLayout(2, 4, 64, 1, 1024),
    "backend_stats": MapLayout(6, 4, 24, 1, 0),
    "ring_members": MapLayout(2, 4, 32, 1024, 1024),
    "ring_taken": MapLayout(2, 4, 8, 2048, 0),
    "fib_works": MapLayout(6, 4, 128, 1, 0),
    "service_works": MapLayout(6, 4, 472, 1, 0),
    "error_works": MapLayout(6, 4, 1720, 1, 0),
    "static_works": MapLayout(2, 4, 96, 1, 0),
    "imports": MapLayout(2, 4, 40, 4096, 1024),
    "udp_sum_works": MapLayout(6, 4, 256, 1, 0),
}

DIGESTS = {
    "ranges": "bda3c289",
    "sources": "bda3c289",
    "eam4": "bda3c289",
    "eam6": "bda3c289",
    "sessions": "a6146298",
    "bindings": "a6146298",
    "nat_flows": "046aac68",
    "syns": "a6146298",
    "binding_works": "625b3e30",
    "clients": "a6146298",
    "sweepings": "a6146298",
    "free_slots": "a6146298",
    "stateful_works": "2ac10e75",
    "flow_slots": "046aac68",
    "flow_sweeps": "046aac68",
    "frontend_stats": "046aac68",
    "frontend_drops": "2b9a0bbb",
    "parts": "e585ce5c",
    "generation": "bda3c289",
    "gateways": "bda3c289",
    "counters": "6a5b2dcf",
    "prefix_counters": "8c357fe9",
    "past_counters": "6a5b2dcf",
    "past_prefixes": "8c357fe9",
    "buckets": "fcc0f4be",
    "monitors": "47c845e4",
    "events": "0cf14193",
    "session_events": "4e0dd0cd",
    "next_hops": "b47f6588",
    "pairs": "a6146298",
    "pair_tags": "a6146298",
    "neighbours": "aa785a4c",
    "next_hop_epoch": "5ff9ad43",
    "sessions6": "a6146298",
    "sessions4": "a6146298",
    "index_secrets": "a6146298",
    "filters4": "a6146298",
    "bindings6": "a6146298",
    "ports4": "a6146298",
    "used4": "a6146298",
    "blocks4": "a6146298",
    "fragments": "a6146298",
    "clock_offset": "427dd494",
    "visits": "d1c7960f",
    "capture_rules": "ad4b9a81",
    "capture_works": "6ac767be",
    "captures": "c9875a87",
    "frontends": "bda3c289",
    "service_bits": "bda3c289",
    "services": "bda3c289",
    "service_sources": "bda3c289",
    "backends": "046aac68",
    "flows_in": "046aac68",
    "flows_back": "046aac68",
    "flow_secrets": "046aac68",
    "rings": "046aac68",
    "service_rings": "046aac68",
    "flow_cache": "046aac68",
    "backend_stats": "046aac68",
    "ring_members": "046aac68",
    "ring_taken": "046aac68",
    "fib_works": "69d522f3",
    "service_works": "0696b565",
    "error_works": "93169e2b",
    "static_works": "a6146298",
    "imports": "a6146298",
    "udp_sum_works": "7bb3b539",
}
"""Of the layout of a map. Maps with the same digest are adopted together or not."""

DECAP_MAPS = {
    "decap_setups": MapLayout(2, 4, 24, 1, 0),
    "tunnels": MapLayout(1, 16, 4, 256, 0),
    "vips": MapLayout(1, 16, 4, 4096, 0),
    "tunnel_sources": MapLayout(11, 24, 4, 1024, 1),
    "decap_counters": MapLayout(6, 4, 16, 10, 0),
}

DECAP_DIGESTS = {
    "decap_setups": "ca50e386",
    "tunnels": "74908713",
    "vips": "19bac434",
    "tunnel_sources": "5e95e8a3",
    "decap_counters": "d2febc2b",
}
"""Of the layout of a map. Maps with the same digest are adopted together or not."""

POD_MAPS = {
    "pods": MapLayout(1, 16, 16, 16384, 1),
    "uplinks": MapLayout(1, 4, 4, 16, 0),
    "translators": MapLayout(3, 4, 4, 1, 0),
    "pod_counters": MapLayout(6, 4, 16, 18, 0),
    "pod_setups": MapLayout(2, 4, 16, 1, 0),
    "pod_ways": MapLayout(6, 4, 88, 4096, 0),
}

POD_DIGESTS = {
    "pods": "45009a68",
    "uplinks": "0abc8d26",
    "translators": "3190e453",
    "pod_counters": "05084e6a",
    "pod_setups": "30c32e04",
    "pod_ways": "21daf25b",
}
"""Of the layout of a map. Maps with the same digest are adopted together or not."""

CONFIG = {
    "jiffies_per_second": Variable(0, 4),
    "flow_tick_shift": Variable(4, 4),
    "dry_run": Variable(8, 4),
    "capture": Variable(12, 4),
}
POD_CONFIG = {
    "jiffies_per_second": Variable(0, 4),
    "redirects_to_peer": Variable(4, 4),
    "redirects_to_neighbour": Variable(8, 4),
}
