# SPDX-License-Identifier: Apache-2.0
"""What the kernel and libbpf can do, each tried."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sixlane.agent.doctor.check import Check, Finding, Subject, feature
from sixlane.bpf import features, probe
from sixlane.datapath import Datapath, sizes
from sixlane.datapath.objects import DECAP, POD, UPLINK
from sixlane.errors import NotSupported, SixlaneError
from sixlane.net import features as net
from sixlane.net import sysctl

_NO_COST_YET = "nothing for a gateway; it is for pods on the same machine"
_NEWER = "a newer kernel"
_LOCKED_BYTES = 16 << 20
_LIBBPF = (1, 1)


def _libbpf(subject: Subject) -> Iterator[Finding]:
    try:
        version = features.libbpf_version()
    except NotSupported as error:
        yield Finding("missing", "no libbpf", error.hint)
        return
    text = "libbpf {}.{}".format(*version)
    if version < _LIBBPF:
        yield Finding("problem", f"{text} is older than 1.1")
    else:
        yield Finding("ok", text)


def _privilege(subject: Subject) -> Iterator[Finding]:
    if probe.has_bpf():
        yield Finding("ok", "maps can be made and programs loaded")
    else:
        yield Finding("problem", "maps or programs are refused")


def _data_path(subject: Subject) -> Iterator[Finding]:
    try:
        # To load it takes the kernel seconds, which a gateway at work has better uses for.
        gateway = Datapath.loaded(subject.settings.bpffs) or sizes.measure(UPLINK)
        backend, pods = sizes.measure(DECAP), sizes.measure(POD)
    except SixlaneError as error:
        yield Finding("problem", f"the data path does not load: {error.message}", error.hint)
        return
    measured = (*gateway.items(), *backend.items(), *pods.items())
    counts = [f"{name} {one.instructions}" for name, one in measured]
    yield Finding("ok", f"programs load; instructions: {', '.join(counts)}")


def _bpffs(subject: Subject) -> Iterator[Finding]:
    parent = subject.settings.bpffs.parent
    if probe.bpffs_mounted(parent):
        yield Finding("ok", f"a bpffs is mounted at {parent}")
    else:
        hint = f"mount -t bpf bpf {parent}"
        yield Finding("warning", f"no bpffs is mounted at {parent}", hint)


def _jit(subject: Subject) -> Iterator[Finding]:
    if features.has_jit():
        yield Finding("ok", "programs are compiled (JIT)")
    else:
        yield Finding("problem", "programs are interpreted: the JIT is off or missing")


def _hardening(subject: Subject) -> Iterator[Finding]:
    name = "net.core.bpf_jit_harden"
    value = sysctl.get(name) if sysctl.exists(name) else "0"
    if value == "2":
        yield Finding("warning", f"{name} is 2: also what root loads is hardened")
    else:
        yield Finding("ok", f"{name} is {value}")


def _cgroup2(subject: Subject) -> Iterator[Finding]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] == "cgroup2":
            yield Finding("ok", f"cgroup v2 at {left.split()[4]}")
            return
    yield Finding("missing", "no cgroup v2")


CHECKS = (
    Check(
        "libbpf",
        "libbpf is there, 1.1 or newer",
        "without it nothing works",
        "apt install libbpf1",
        _libbpf,
    ),
    Check(
        "bpf",
        "we may make maps and load programs",
        "without it nothing works",
        "run as root, or with CAP_BPF and CAP_NET_ADMIN; in a container: the host may forbid it",
        _privilege,
    ),
    Check(
        "data-path",
        "the kernel's verifier takes all programs; they are loaded and dropped again",
        "without it nothing works",
        "report it with the kernel's version",
        _data_path,
    ),
    Check(
        "bpffs",
        "where pins are kept, a bpffs is mounted",
        "none if the agent may mount it; else it does not start",
        "mount -t bpf bpf /sys/fs/bpf",
        _bpffs,
    ),
    feature(
        "memlock",
        "a map of 16 MiB can be made",
        "large tables are refused",
        "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        partial(features.can_hold, _LOCKED_BYTES),
        "room for a map of 16 MiB",
    ),
    Check(
        "jit",
        "programs are compiled, not interpreted",
        "each packet takes several times as long",
        "sysctl -w net.core.bpf_jit_enable=1; a kernel with CONFIG_BPF_JIT",
        _jit,
    ),
    Check(
        "jit-hardening",
        "programs of root are not hardened (net.core.bpf_jit_harden below 2)",
        "each packet takes longer",
        "sysctl -w net.core.bpf_jit_harden=1",
        _hardening,
    ),
    feature(
        "btf",
        "the kernel shows its own types",
        "nothing for sixlane; tools that look into the kernel do not work",
        "a kernel with CONFIG_DEBUG_INFO_BTF",
        features.has_kernel_types,
        "BTF of the kernel",
    ),
    feature(
        "ring-buffer",
        "BPF ring buffers",
        "the data path does not load: `monitor --drops` needs them",
        "a kernel of 5.8 or newer",
        features.has_ring_buffer,
        "ring buffers",
    ),
    feature(
        "inner-map-sizes",
        "a map of maps takes arrays of any size",
        "the data path does not load: tables are as large as they must be",
        "a kernel of 5.10 or newer",
        features.has_inner_sizes,
        "maps of maps with arrays of any size",
    ),
    feature(
        "fib-lookup",
        "bpf_fib_lookup, in XDP and tc",
        "the data path does not load: next hops are the kernel's",
        _NEWER,
        features.has_fib_lookup,
        "bpf_fib_lookup",
    ),
    feature(
        "redirect-neigh",
        "bpf_redirect_neigh",
        "the data path of a gateway does not load: the kernel finds neighbours that are not known "
        "yet. What pods send out of the node goes by the host's stack",
        "a kernel of 5.10 or newer",
        features.has_redirect_neigh,
        "bpf_redirect_neigh",
    ),
    feature(
        "redirect-peer",
        "bpf_redirect_peer",
        "nothing for a gateway; what comes to pods waits in the queue of their device",
        "a kernel of 5.10 or newer",
        features.has_redirect_peer,
        "bpf_redirect_peer",
    ),
    feature(
        "xdp-link",
        "XDP programs attach by links",
        "the XDP entry cannot be used: `attach: tc`",
        "a kernel of 5.9 or newer",
        probe.has_xdp_link,
        "XDP links",
    ),
    feature(
        "xdp-frags",
        "XDP programs load for frames of several buffers",
        "nothing today: frames of more than one buffer are for the tc entry",
        "a kernel of 5.18 or newer",
        features.has_xdp_frags,
        "XDP for frames of several buffers",
    ),
    feature(
        "tcx",
        "tc programs attach by links (TCX)",
        "clsact filters are used: they are replaced by name, and others may remove them",
        "a kernel of 6.6 or newer",
        probe.has_tcx,
        "TCX",
    ),
    feature(
        "veth",
        "veth devices and network namespaces can be made",
        "no slow path: what must be fragmented is dropped",
        "a kernel with CONFIG_VETH and CONFIG_NET_NS; CAP_SYS_ADMIN",
        partial(net.has_device_kind, "veth"),
        "veth and network namespaces",
    ),
    feature(
        "netkit",
        "netkit devices can be made",
        "nothing for a gateway; pods have veth devices, on which a packet takes longer",
        "a kernel of 6.7 or newer with CONFIG_NETKIT",
        partial(net.has_device_kind, "netkit"),
        "netkit",
    ),
    feature(
        "fq",
        "the fq queueing discipline",
        "senders on this machine pace with timers of TCP instead",
        "modprobe sch_fq; a kernel with CONFIG_NET_SCH_FQ",
        partial(net.has_qdisc, "fq"),
        "fq",
    ),
    feature(
        "bbr",
        "TCP's congestion control BBR",
        "nothing for a gateway; senders on this machine cannot use it",
        "modprobe tcp_bbr; a kernel with CONFIG_TCP_CONG_BBR",
        partial(net.has_congestion_control, "bbr"),
        "BBR",
    ),
    feature(
        "big-tcp-ipv6",
        "IPv6 packets above 64 KiB within the machine",
        "streams of pods on this machine take more of its time",
        "a kernel of 5.19 or newer",
        partial(net.has_big_tcp, 6),
        "BIG TCP for IPv6",
    ),
    feature(
        "big-tcp-ipv4",
        "IPv4 packets above 64 KiB within the machine",
        "streams of pods on this machine take more of its time",
        "a kernel of 6.3 or newer",
        partial(net.has_big_tcp, 4),
        "BIG TCP for IPv4",
    ),
    Check(
        "cgroup2",
        "a cgroup v2 tree is mounted",
        _NO_COST_YET,
        "mount -t cgroup2 none /sys/fs/cgroup",
        _cgroup2,
    ),
)
