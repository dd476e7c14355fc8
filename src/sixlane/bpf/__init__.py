# SPDX-License-Identifier: Apache-2.0
"""A binding of the system's libbpf (>= 1.1): objects, maps, programs, links, types, probes.

It knows nothing of sixlane's own programs, and imports only `sixlane.errors`.
"""

from sixlane.bpf.btf import Btf
from sixlane.bpf.context import SkBuff, XdpMd
from sixlane.bpf.lib import possible_cpus
from sixlane.bpf.link import Link, LinkInfo, attached_programs, links, xdp_program
from sixlane.bpf.map import Map, MapInfo
from sixlane.bpf.object import LoadError, Object, ObjectMap, ObjectProgram
from sixlane.bpf.program import Program, ProgramInfo, RunResult
from sixlane.bpf.ringbuf import RingBuffer
from sixlane.bpf.uapi import (
    AttachType,
    LinkType,
    LogLevel,
    MapFlag,
    MapType,
    PlaceFlag,
    ProgramFlag,
    ProgramType,
    RunFlag,
    Update,
    XdpFlag,
)

__all__ = [
    "AttachType",
    "Btf",
    "Link",
    "LinkInfo",
    "LinkType",
    "LoadError",
    "LogLevel",
    "Map",
    "MapFlag",
    "MapInfo",
    "MapType",
    "Object",
    "ObjectMap",
    "ObjectProgram",
    "PlaceFlag",
    "Program",
    "ProgramFlag",
    "ProgramInfo",
    "ProgramType",
    "RingBuffer",
    "RunFlag",
    "RunResult",
    "SkBuff",
    "Update",
    "XdpFlag",
    "XdpMd",
    "attached_programs",
    "links",
    "possible_cpus",
    "xdp_program",
]
