# SPDX-License-Identifier: Apache-2.0
"""The devices of the Gateway, or all Ethernet devices where there is none yet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sixlane.agent.doctor.check import Check, Finding, Subject
from sixlane.datapath import Attachment
from sixlane.datapath.foreign import foreign_programs
from sixlane.errors import ConfigError
from sixlane.model import Gateway, Network
from sixlane.model.segments import largest_for_big_tcp
from sixlane.nat64.settings import ACCEPT_RA, FORWARDING6, Setting, read_setting, unsettled
from sixlane.nat64.slowpath import NEAR
from sixlane.net import ethtool, features, gso, link, sysctl

_LEAST_MTU_BYTES = 1280
_HOOKS = {"xdp": ("xdp",), "xdp-generic": ("xdp",), "tc": ("tcx ingress", "tc ingress")}
_GRO = ("rx-gro", "rx-gro-list", "rx-gro-hw", "rx-lro")


@dataclass(frozen=True)
class _Device:
    """`attach`: as the Gateway has it; None: it is none of the Gateway's."""

    name: str
    link: link.Link
    attach: str | None
    attachment: Attachment | None


_Look = Callable[[Subject, _Device], Iterator[Finding]]


def _devices(subject: Subject) -> Iterator[_Device | str]:
    """A name is that of a device which is not there."""
    attached = {one.ifindex: one for one in subject.attachments if one.device}
    if subject.gateway is None:
        for found in link.list_links():
            if found.type == link.ARPHRD_ETHER and found.name != NEAR:
                yield _Device(found.name, found, None, attached.get(found.ifindex))
        return
    for wanted in subject.gateway.spec.devices:
        present = link.find(subject.bound.get(wanted.name, wanted.name))
        if present is None:
            yield wanted.name
        else:
            yield _Device(present.name, present, wanted.attach, attached.get(present.ifindex))


def _each(look: _Look) -> Callable[[Subject], Iterator[Finding]]:
    """The look at all devices that are there."""

    def look_at_all(subject: Subject) -> Iterator[Finding]:
        for device in _devices(subject):
            if isinstance(device, _Device):
                yield from look(subject, device)

    return look_at_all


def _present(subject: Subject) -> Iterator[Finding]:
    for device in _devices(subject):
        if isinstance(device, str):
            yield Finding("problem", f"there is no device {device}")
            continue
        state = _state(device.link)
        mode = device.attachment.mode if device.attachment else ""
        what = f"device {device.name}: {state}, " + (f"attached: {mode}" if mode else "no program")
        wrong = device.attach is not None and (not mode or state != "up, with carrier")
        yield Finding("problem" if wrong else "ok", what)


def _state(device: link.Link) -> str:
    if not device.up:
        return "down"
    return "up, with carrier" if device.carrier else "up, without carrier"


def _mtu(subject: Subject, device: _Device) -> Iterator[Finding]:
    mtu = device.link.mtu
    what = f"device {device.name}: MTU {mtu}"
    lowest = _lowest_mtu(subject.gateway)
    if mtu < _LEAST_MTU_BYTES:
        yield Finding("problem", f"{what} is below {_LEAST_MTU_BYTES}: IPv6 is off there")
    elif mtu < lowest:
        yield Finding("warning", f"{what} is below lowestIPv6MTU, {lowest}")
    else:
        yield Finding("ok", what)


def _lowest_mtu(gateway: Gateway | None) -> int:
    return gateway.spec.lowest_ipv6_mtu if gateway else _LEAST_MTU_BYTES


def _native_xdp(subject: Subject, device: _Device) -> Iterator[Finding]:
    driver = features.driver(device.link.ifindex) or device.link.kind or "unknown"
    name = f"device {device.name}, driver {driver}"
    if device.attachment and device.attachment.mode == "xdp":
        yield Finding("ok", f"{name}: native XDP is in use")
        return
    can = features.xdp_features(device.link.ifindex)
    if can is None:
        yield Finding("ok", f"{name}: whether it has native XDP shows when it is attached")
    elif not can & features.XdpFeature.BASIC or not can & features.XdpFeature.REDIRECT:
        yield Finding("missing", f"{name}: no native XDP")
    else:
        frags = can & features.XdpFeature.FRAGS
        yield Finding(
            "ok", f"{name}: native XDP" + (", frames of several buffers" if frags else "")
        )


def _foreign(subject: Subject, device: _Device) -> Iterator[Finding]:
    ours = {device.attachment.program} if device.attachment else set()
    found = foreign_programs(device.link.ifindex, ours)
    for one in found:
        what = f"device {device.name} has a program of somebody else: {one}"
        in_the_way = device.attach is not None and device.attachment is None
        yield Finding(
            "problem" if in_the_way and _is_in_the_way(one.hook, str(device.attach)) else "warning",
            what,
            f"look: bpftool net show dev {device.name}; tc filter show dev {device.name} ingress",
        )
    if not found:
        yield Finding("ok", f"device {device.name}: no programs of others")


def _is_in_the_way(hook: str, attach: str) -> bool:
    hooks = _HOOKS.get(attach) or tuple(hook for hooks in _HOOKS.values() for hook in hooks)
    return hook in hooks


def _gro(subject: Subject, device: _Device) -> Iterator[Finding]:
    known = ethtool.features(device.link.ifindex)
    states = {name: known[name].active for name in _GRO if name in known}
    name, mode = device.name, device.attachment.mode if device.attachment else ""
    text = ", ".join(f"{one} {'on' if on else 'off'}" for one, on in states.items())
    what = f"device {name}: {text}"
    if states.get("rx-gro-list") and device.attach is not None:
        yield Finding("problem", what, f"ethtool -K {name} rx-gro-list off, or apply again")
    elif states.get("rx-lro"):
        yield Finding("problem", what, f"ethtool -K {name} lro off")
    elif states.get("rx-gro-hw") and mode == "xdp":
        yield Finding("warning", what, f"ethtool -K {name} rx-gro-hw off")
    elif not states.get("rx-gro") and mode in ("tcx", "clsact") and not device.link.kind:
        yield Finding("warning", what, f"ethtool -K {name} gro on")
    else:
        yield Finding("ok", what)


def _big_tcp(subject: Subject, device: _Device) -> Iterator[Finding]:
    sizes = gso.get_sizes(device.link.ifindex)
    largest = {"IPv6": max(sizes.gso or 0, sizes.gro or 0), "IPv4": sizes.gro_ipv4 or 0}
    big = [f"{name} up to {size}" for name, size in largest.items() if size > gso.ORDINARY]
    sent, taken = _sent_by_pods(subject), sizes.gso_ipv4 or gso.ORDINARY
    if device.attach is not None and sent > taken and not _is_uplink(subject, device):
        what = f"device {device.name}: IPv4 up to {taken} bytes, and pods send up to {sent}"
        hint = f"name it as an uplink; or ip link set dev {device.name} gso_ipv4_max_size {sent}"
        yield Finding("warning", what, hint)
    elif not big:
        yield Finding("ok", f"device {device.name}: no BIG TCP")
    if not big:
        return
    what = f"device {device.name}: BIG TCP, {' and '.join(big)} bytes"
    fits = largest_for_big_tcp(_narrowest(subject))
    too_large = [
        f"{prefix.name} ({prefix.max_segment_size})"
        for prefix in (subject.gateway.spec.prefixes if subject.gateway else ())
        if isinstance(prefix.max_segment_size, int) and prefix.max_segment_size > fits
    ]
    asked_by = _asked_by(subject, device)
    by_tc = device.attachment is not None and device.attachment.entry == "tc"
    if sizes.is_big and too_large:
        hint = f"at most {fits}, auto, or nothing"
        yield Finding("warning", f"{what}, and maxSegmentSize of {', '.join(too_large)}", hint)
    elif largest["IPv4"] > gso.ORDINARY and asked_by is not None:
        yield Finding("ok", f"{what}, as {asked_by.key} asks")
    elif largest["IPv4"] > gso.ORDINARY and by_tc:
        hint = f"ip link set dev {device.name} gro_ipv4_max_size {gso.ORDINARY}"
        yield Finding("warning", f"{what}, and the tc entry", hint)
    else:
        yield Finding("ok", what)


def _asked_by(subject: Subject, device: _Device) -> Network | None:
    """Whose pods are to have BIG TCP of IPv4, which an uplink of theirs then needs."""
    network = subject.network
    if network is None or (network.spec.big_tcp.ipv4 or 0) <= gso.ORDINARY:
        return None
    return network if _is_uplink(subject, device) else None


def _is_uplink(subject: Subject, device: _Device) -> bool:
    network = subject.network
    return network is not None and device.name in {one.name for one in network.spec.uplinks}


def _sent_by_pods(subject: Subject) -> int:
    """How large the packets of IPv6 are that a Gateway makes packets of IPv4 of."""
    asked = (subject.network.spec.big_tcp.ipv6 or 0) if subject.network else 0
    return min(asked, gso.LARGEST)


def _narrowest(subject: Subject) -> int:
    """The smallest MTU of the devices, which says how large segments may be."""
    return min(one.link.mtu for one in _devices(subject) if isinstance(one, _Device))


def _forwarding(subject: Subject, device: _Device) -> Iterator[Finding]:
    try:
        wrong = [one for one in unsettled(device.link.ifindex) if one.setting.family != "feature"]
    except ConfigError as error:
        yield Finding("problem", error.message, error.hint)
        return
    if not wrong:
        yield Finding("ok", f"device {device.name} forwards IPv4 and IPv6")
    for one in wrong:
        what = f"device {device.name}: {one}"
        if device.attach is None:
            yield Finding("ok", f"{what}: an apply sets it")
        else:
            yield Finding("problem", what)


def _reverse_path(subject: Subject, device: _Device) -> Iterator[Finding]:
    """The kernel takes the higher one of the device's and of all devices'."""
    own = read_setting(device.link.ifindex, Setting("ipv4", "rp_filter")) or "0"
    value = max(own, _of_all("rp_filter"))
    what = f"device {device.name}: rp_filter {value}"
    yield Finding("warning", f"{what}: strict") if value == "1" else Finding("ok", what)


def _of_all(name: str) -> str:
    return sysctl.get(("net", "ipv4", "conf", "all", name))


def _router_advertisements(subject: Subject, device: _Device) -> Iterator[Finding]:
    value = read_setting(device.link.ifindex, ACCEPT_RA)
    forwards = read_setting(device.link.ifindex, FORWARDING6) == "1"
    what = f"device {device.name}: accept_ra {value}"
    if value == "1" and forwards:
        hint = f"sysctl -w net.ipv6.conf.{device.name}.accept_ra=2, if it is to learn routes"
        yield Finding("warning", f"{what}, which counts for nothing while it forwards", hint)
    else:
        yield Finding("ok", what)


def _proxy(subject: Subject, device: _Device) -> Iterator[Finding]:
    settings = (Setting("ipv4", "proxy_arp"), Setting("ipv6", "proxy_ndp"))
    on = [str(one) for one in settings if read_setting(device.link.ifindex, one) == "1"]
    if on:
        yield Finding("warning", f"device {device.name}: {' and '.join(on)} on")
    else:
        yield Finding("ok", f"device {device.name}: no proxy for ARP or neighbour discovery")


CHECKS = (
    Check(
        "device",
        "each device of the Gateway is there, up, has carrier and our program",
        "packets that come in by it are not translated, or none do",
        "ip link; sixlane status",
        _present,
    ),
    Check(
        "mtu",
        "the device's MTU is enough for IPv6, and not below the Gateway's lowestIPv6MTU",
        "below 1280 there is no IPv6; below lowestIPv6MTU, packets that may be fragmented are "
        "dropped as too big (drop_too_big)",
        "ip link set dev DEVICE mtu; or lowestIPv6MTU in the Gateway",
        _each(_mtu),
    ),
    Check(
        "native-xdp",
        "the driver, and whether it runs XDP programs itself. Where it cannot tell, the attachment "
        "is the test: to try one would reset some NICs",
        "the tc entry is used, which sees a packet after the kernel has made an skb of it",
        "none is needed: `attach: auto` takes what there is",
        _each(_native_xdp),
    ),
    Check(
        "foreign-programs",
        "XDP, TCX and tc programs of others on the device",
        "before ours, they take packets; in its place, ours cannot attach. What we redirect by XDP "
        "does not meet programs at egress",
        "detach it, or leave this device out",
        _each(_foreign),
    ),
    Check(
        "gro",
        "what of GRO and LRO is on",
        "rx-gro-list makes packets that cannot be resized (drop_resize_failed); LRO makes packets "
        "that cannot be forwarded; rx-gro-hw joins frames before XDP; without rx-gro, tc sees "
        "each frame by itself, which costs throughput",
        "ethtool -K",
        _each(_gro),
    ),
    Check(
        "big-tcp",
        "BIG TCP, packets of more than 64 KiB, is off on the device, or costs nothing",
        "the kernel counts 8 bytes more into segments of IPv6: if full ones are as large as its "
        "MTU, it answers with Packet Too Big, and flows collapse. IPv4 packets of more than 64 KiB "
        "are cut and joined again before tc translates them, which costs throughput. What pods "
        "send is translated to packets of IPv4 as large, and the CPU cuts what a device does not "
        "take: a third of the throughput is left",
        "maxSegmentSize as the hint says; the device among the uplinks of the Network; ip link set "
        "dev DEVICE gro_ipv4_max_size 65536, unless a Network asks for more (`bigTcp`)",
        _each(_big_tcp),
    ),
    Check(
        "forwarding",
        "the device forwards IPv4 and IPv6, without which the FIB refuses to answer",
        "its packets are dropped (drop_forwarding_off)",
        "apply again, or restart the agent; and find who sets it: systemd-networkd, a sysctl file",
        _each(_forwarding),
    ),
    Check(
        "rp-filter",
        "no strict reverse path filter",
        "IPv4 packets that sixlane passes to the kernel are dropped there, unless the route back "
        "is by the same device. Translated packets do not meet it",
        "sysctl -w net.ipv4.conf.all.rp_filter=0 and that of the device, or 2 (loose)",
        _each(_reverse_path),
    ),
    Check(
        "accept-ra",
        "router advertisements are taken from a device that forwards, if they are asked for",
        "default routes that came by router advertisement run out",
        "sysctl -w net.ipv6.conf.DEVICE.accept_ra=2",
        _each(_router_advertisements),
    ),
    Check(
        "proxy",
        "the kernel does not answer for other hosts",
        "neighbours may send packets here that are not for the gateway",
        "sysctl -w net.ipv4.conf.DEVICE.proxy_arp=0, net.ipv6.conf.DEVICE.proxy_ndp=0",
        _each(_proxy),
    ),
)
