# SPDX-License-Identifier: Apache-2.0
"""The contexts that a test run takes: struct xdp_md and struct __sk_buff of linux/bpf.h.

`Program.run` takes one as `ctx`; `from_buffer_copy` reads what it returns. The kernel answers
EINVAL to a field that it does not take; those that it takes are named at each structure.
"""

import ctypes
from typing import Self


class XdpMd(ctypes.Structure):
    """struct xdp_md. A test run takes data, data_end, ingress_ifindex and rx_queue_index. What is
    before data is metadata, which takes room in front of the frame: up to 32 bytes before Linux
    6.8, and as many as leave room for struct xdp_frame since then.

    The device must be one of the caller's network namespace; a veth needs NAPI, which GRO or an XDP
    program switches on.
    """

    _fields_ = (
        ("data", ctypes.c_uint32),
        ("data_end", ctypes.c_uint32),
        ("data_meta", ctypes.c_uint32),
        ("ingress_ifindex", ctypes.c_uint32),
        ("rx_queue_index", ctypes.c_uint32),
        ("egress_ifindex", ctypes.c_uint32),
    )

    data: int
    data_end: int
    data_meta: int
    ingress_ifindex: int
    rx_queue_index: int
    egress_ifindex: int

    @classmethod
    def of(
        cls,
        packet: bytes,
        ingress_ifindex: int = 0,
        rx_queue_index: int = 0,
        meta_bytes: int = 0,
    ) -> Self:
        """The context of `packet` (from the Ethernet header on, behind so many bytes of metadata)
        as if it came in on a device."""
        return cls(
            data=meta_bytes,
            data_end=len(packet),
            ingress_ifindex=ingress_ifindex,
            rx_queue_index=rx_queue_index,
        )


class SkBuff(ctypes.Structure):
    """struct __sk_buff. A test run takes mark, queue_mapping, priority, ingress_ifindex, ifindex,
    cb, tstamp, wire_len, gso_segs, gso_size and hwtstamp, and sets the rest itself.

    gso_size makes it a packet of segments of no known kind (no gso_type): the kernel changes its
    family all the same, and refuses to make it longer or shorter otherwise.
    """

    _fields_ = (
        ("len", ctypes.c_uint32),
        ("pkt_type", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("queue_mapping", ctypes.c_uint32),
        ("protocol", ctypes.c_uint32),
        ("vlan_present", ctypes.c_uint32),
        ("vlan_tci", ctypes.c_uint32),
        ("vlan_proto", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
        ("ingress_ifindex", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("tc_index", ctypes.c_uint32),
        ("cb", ctypes.c_uint32 * 5),
        ("hash", ctypes.c_uint32),
        ("tc_classid", ctypes.c_uint32),
        ("data", ctypes.c_uint32),
        ("data_end", ctypes.c_uint32),
        ("napi_id", ctypes.c_uint32),
        ("family", ctypes.c_uint32),
        ("remote_ip4", ctypes.c_uint32),
        ("local_ip4", ctypes.c_uint32),
        ("remote_ip6", ctypes.c_uint32 * 4),
        ("local_ip6", ctypes.c_uint32 * 4),
        ("remote_port", ctypes.c_uint32),
        ("local_port", ctypes.c_uint32),
        ("data_meta", ctypes.c_uint32),
        ("flow_keys", ctypes.c_uint64),
        ("tstamp", ctypes.c_uint64),
        ("wire_len", ctypes.c_uint32),
        ("gso_segs", ctypes.c_uint32),
        ("sk", ctypes.c_uint64),
        ("gso_size", ctypes.c_uint32),
        ("tstamp_type", ctypes.c_uint8),
        ("padding", ctypes.c_uint8 * 3),
        ("hwtstamp", ctypes.c_uint64),
    )

    len: int
    pkt_type: int
    mark: int
    queue_mapping: int
    protocol: int
    vlan_present: int
    vlan_tci: int
    vlan_proto: int
    priority: int
    ingress_ifindex: int
    ifindex: int
    tc_index: int
    cb: "ctypes.Array[ctypes.c_uint32]"
    hash: int
    gso_segs: int
    gso_size: int
    wire_len: int
    tstamp: int
    hwtstamp: int
