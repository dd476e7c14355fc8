# SPDX-License-Identifier: Apache-2.0
"""Numbers of linux/bpf.h and linux/if_link.h; a test compares them with the kernel's BTF."""

from enum import IntEnum, IntFlag


class MapType(IntEnum):
    """enum bpf_map_type"""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    SOCKMAP = 15
    CPUMAP = 16
    XSKMAP = 17
    SOCKHASH = 18
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    DEVMAP_HASH = 25
    RINGBUF = 27


PER_CPU_MAPS = frozenset(
    {
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
    }
)


class MapFlag(IntFlag):
    """Flags of a map's creation."""

    NO_PREALLOC = 1 << 0
    NO_COMMON_LRU = 1 << 1
    NUMA_NODE = 1 << 2
    RDONLY = 1 << 3
    WRONLY = 1 << 4
    ZERO_SEED = 1 << 6
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    MMAPABLE = 1 << 10
    INNER_MAP = 1 << 12


class Update(IntEnum):
    """What an update may find: anything, no element, an element."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2


class ProgramType(IntEnum):
    """enum bpf_prog_type"""

    SOCKET_FILTER = 1
    SCHED_CLS = 3
    XDP = 6
    SYSCALL = 31


class ProgramFlag(IntFlag):
    """Flags of a program's load."""

    XDP_HAS_FRAGS = 1 << 5


class AttachType(IntEnum):
    """enum bpf_attach_type"""

    XDP = 37
    TCX_INGRESS = 46
    TCX_EGRESS = 47
    NETKIT_PRIMARY = 54
    NETKIT_PEER = 55


class LinkType(IntEnum):
    """enum bpf_link_type"""

    XDP = 6
    TCX = 11
    NETKIT = 13


class XdpFlag(IntFlag):
    """How an XDP program is attached; without one of these, by the driver if it can."""

    SKB_MODE = 1 << 1
    DRV_MODE = 1 << 2
    HW_MODE = 1 << 3


class PlaceFlag(IntFlag):
    """Where a tc program runs among those of its device; without one of these, as the last."""

    BEFORE = 1 << 3


class RunFlag(IntFlag):
    """Flags of a test run."""

    XDP_LIVE_FRAMES = 1 << 1
    SKB_CHECKSUM_COMPLETE = 1 << 2


class LogLevel(IntFlag):
    """What the verifier writes: each branch, each instruction, the closing statistics."""

    BRANCHES = 1
    INSTRUCTIONS = 2
    STATS = 4
