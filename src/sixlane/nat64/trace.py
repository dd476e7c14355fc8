# SPDX-License-Identifier: Apache-2.0
"""What would become of a packet, step by step in words: the data path's own answer, explained."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from sixlane.datapath import Attachment, Datapath
from sixlane.datapath.layout import Reason
from sixlane.datapath.simulate import Simulated, Simulator
from sixlane.errors import ConfigError, KernelError
from sixlane.nat64 import balanced, tracked
from sixlane.nat64.flow import parse_flow
from sixlane.nat64.headers import fields, layer3, summary, version_of
from sixlane.nat64.reasons import MEANINGS
from sixlane.net import link, route
from sixlane.rfc import rfc6052

_PEER_MAC = bytes.fromhex("020000000001")  # of whoever sends to us: a local one
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_SLOW = "sixlane0"

Address = IPv4Address | IPv6Address
Data = dict[str, Any]


def trace(datapath: Datapath, asked: Sequence[Mapping[str, str]], device: str | None) -> list[Data]:
    """For each packet asked for, what would become of it: plain values, ready for JSON.

    A packet is given as `flow` (sixlane.nat64.flow), `packet` (layer 3, in hexadecimal) or `frame`.
    `device`: that it comes in by; None: by which the kernel would answer it. ConfigError: a packet
    cannot be read, or there is no such device with a program.
    """
    attached = datapath.attached()
    if not attached:
        raise ConfigError("no device has a program attached", "sixlane status tells why")
    frames = [_frame(one) for one in asked]
    places = [_place(attached, device, packet) for _, packet in frames]
    answers: list[Data] = []
    for entry in dict.fromkeys(one.entry for one in places):
        simulator = datapath.simulator("tc" if entry == "tc" else "xdp")
        for number, (place, (header, packet)) in enumerate(zip(places, frames, strict=True)):
            if place.entry == entry:
                told = _one(simulator, datapath, place, header, packet)
                answers.append({"number": number, **told})
    return sorted(answers, key=lambda one: one["number"])


def attached_one(attached: Mapping[str, Attachment], device: str) -> Attachment:
    """ConfigError: that device has no program."""
    if device not in attached:
        raise ConfigError(
            f"device {device} has no program attached", f"there are: {', '.join(attached)}"
        )
    return attached[device]


def _frame(asked: Mapping[str, str]) -> tuple[bytes | None, bytes]:
    """Link header, if one was given, and layer 3."""
    if "flow" in asked:
        return None, parse_flow(asked["flow"])
    name = "packet" if "packet" in asked else "frame"
    text = "".join(asked.get(name, "").replace(":", "").split())
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ConfigError("the packet is not in hexadecimal digits") from None
    if name == "packet":
        if len(data) < 20 or data[0] >> 4 not in _ETHERTYPES:
            raise ConfigError("neither IPv4 nor IPv6: layer 3 begins with its version")
        return None, data
    if len(data) < 34:
        raise ConfigError(f"{len(data)} bytes are no frame")
    return layer3(data)


def _place(attached: Mapping[str, Attachment], device: str | None, packet: bytes) -> Attachment:
    """Where a packet comes in."""
    if device is not None:
        return attached_one(attached, device)
    source = fields(packet).get("source")
    way = route.lookup(ip_address(source)) if source else None
    by_index = {one.ifindex: one for one in attached.values()}
    found = by_index.get(way.ifindex or 0) if way else None
    return found or next(iter(attached.values()))


def _one(
    simulator: Simulator, datapath: Datapath, place: Attachment, header: bytes | None, packet: bytes
) -> Data:
    mac = link.get_by_index(place.ifindex).mac
    if header is None:
        header = mac + _PEER_MAC + _ETHERTYPES[packet[0] >> 4]
    try:
        simulated = simulator.run(header + packet, place.ifindex)
    except KernelError as error:
        raise ConfigError(f"the kernel does not take such a frame: {error}") from error
    new_link, new = layer3(simulated.frame)
    sent = simulated.verdict == "redirect"
    return {
        "device": place.device,
        "entry": place.entry,
        "verdict": _verdict(simulated),
        "reasons": [_name(one) for one in simulated.reasons],
        "steps": list(_steps(simulated, datapath, place, header, packet)),
        "before": _shown(packet, header),
        "after": _shown(_cut(new), new_link) if sent else None,
    }


def _verdict(simulated: Simulated) -> str:
    if simulated.verdict == "pass":
        return "passed"
    if _name(simulated.reasons[0]).startswith("drop") if simulated.reasons else True:
        return "answered" if simulated.verdict == "redirect" else "dropped"
    return "cut" if simulated.reasons[0] == Reason.FORWARD_SLOW_PATH else "sent"


def _shown(packet: bytes, header: bytes) -> Data:
    return {
        "summary": summary(packet),
        "fields": fields(packet),
        "hex": (header + packet).hex(),
        "linkBytes": len(header),
    }


def _cut(packet: bytes) -> bytes:
    """Without padding."""
    length = fields(packet).get("length")
    return packet[: int(length)] if length and int(length) else packet


# ---- words ----


def _steps(
    simulated: Simulated, datapath: Datapath, place: Attachment, header: bytes, packet: bytes
) -> Iterator[str]:
    yield f"comes in by {place.device} ({place.entry}): {summary(packet)}"
    if version_of(header) is None:
        yield "is neither IPv4 nor IPv6"
    yield from _addresses(simulated, datapath, packet)
    if simulated.balanced:
        yield from balanced.words(simulated.balanced, datapath)
    yield from map(tracked.words, simulated.tracked)
    if simulated.hop:
        yield _hop_words(simulated)
    new = layer3(simulated.frame)[1]
    if simulated.verdict == "redirect" and _verdict(simulated) != "answered":
        yield from _changes(simulated, packet, _cut(new))
    for number, reason in enumerate(simulated.reasons):
        name = _name(reason)
        counted = "would be counted as" if number == 0 else "and as"
        yield f"{counted} {name}: {MEANINGS.get(name, name)}"
    yield _end_words(simulated, datapath, new)


def _addresses(simulated: Simulated, datapath: Datapath, packet: bytes) -> Iterator[str]:
    """By which prefix or mapping each address is translated."""
    found = fields(packet)
    if not found:
        return
    pool6 = datapath.pool6()
    served = None if simulated.served_by is None else pool6[simulated.served_by]
    for side, new in (("destination", simulated.destination), ("source", simulated.source)):
        old = ip_address(found[side])
        inside = [network for _, network in pool6 if old in network]
        longest = max(inside, key=lambda network: network.prefixlen, default=None)
        if new is not None and new != old:
            by = longest or (served[1] if served else None)
            yield f"{side} {old} becomes {new} by {_by(old, new, simulated, by)}"
        elif longest and new is None and isinstance(old, IPv6Address):
            yield f"{side} {old} is in {longest}: {rfc6052.extract(longest, old)}"
    if served is not None:
        yield f"prefix {served[0]} serves the inside address"


def _by(old: Address, new: Address, simulated: Simulated, pool6: IPv6Network | None) -> str:
    v6, v4 = (old, new) if isinstance(old, IPv6Address) else (new, old)
    for one in simulated.mappings:
        if v6 in one.ipv6 and v4 in one.ipv4:
            side = " (remote)" if one.remote else ""
            return f"the mapping {one.ipv4} = {one.ipv6}{side}"
    return str(pool6) if pool6 else "icmpPool"


def _hop_words(simulated: Simulated) -> str:
    hop = simulated.hop
    assert hop is not None
    way = (
        f"the kernel routes {hop.destination} by {link.name_or_number(hop.ifindex)}, MTU {hop.mtu}"
    )
    if not hop.resolved:
        return f"{way}; the neighbour is not known yet, the kernel asks for it"
    return f"{way}, next hop {_mac(hop.dst_mac)}"


def _changes(simulated: Simulated, packet: bytes, new: bytes) -> Iterator[str]:
    before, after = fields(packet), fields(new)
    if balanced.goes_in_tunnel(simulated, after):
        yield f"leaves in a tunnel from {after['source']} to {after['destination']}"
        return
    versions = [f"IPv{one[0] >> 4}" for one in (packet, new) if one]
    if len(set(versions)) == 2:
        yield f"the {versions[0]} header becomes one of {versions[1]}"
    pairs = {"ttl": "hop limit", "hop limit": "ttl", "tos": "traffic class", "traffic class": "tos"}
    for name, value in before.items():
        if name in ("source", "destination"):
            continue
        other = name if name in after else pairs.get(name, name)
        now = after.get(other)
        if now is None:
            yield f"{name} {value} is gone"
        elif now != value or other != name:
            yield f"{name} {value} becomes {'' if other == name else f'{other} '}{now}"
    known = {*before, *(pairs.get(name, "") for name in before)}
    for name in after.keys() - known:
        yield f"{name} is {after[name]}"


def _end_words(simulated: Simulated, datapath: Datapath, new: bytes) -> str:
    match _verdict(simulated):
        case "passed":
            return "is left to the kernel, untouched"
        case "dropped":
            return "is dropped"
        case "answered":
            return f"is dropped and answered: {summary(_cut(new))}"
        case "cut":
            return f"goes to {_SLOW} to be cut"
        case _:
            hop = simulated.hop
            device = f" by {link.name_or_number(hop.ifindex)}" if hop else ""
            return f"leaves{device}: {summary(_cut(new))}"


def _name(reason: Reason) -> str:
    return reason.name.lower()


def _mac(mac: bytes) -> str:
    return mac.hex(":")
