# SPDX-License-Identifier: Apache-2.0
"""A backend's side of tunnels: programs on one device, pinned with their maps.

    ROOT/maps/<map>-<digest>      each map under its layout (layout.DECAP_DIGESTS)
    ROOT/links/<mode>-<ifindex>   what takes packets out of their tunnels
    ROOT/links/answer             what looks at answers on their way out

Programs live by what they are attached to. The maps also tell what was changed on the machine.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from sixlane.bpf import AttachType, Link, Map, Object, probe
from sixlane.datapath import attach, layout
from sixlane.datapath.attach import Attachment, Entry
from sixlane.datapath.counters import Counter, read_reasons
from sixlane.datapath.layout import DecapReason, VipFlag
from sixlane.datapath.objects import DECAP, object_path
from sixlane.datapath.pins import have_bpffs
from sixlane.errors import ConfigError, KernelError
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.model.packed import packed_address, unpacked_address
from sixlane.net import clsact

ROOT = Path("/sys/fs/bpf/sixlane-decap")

SETTINGS = ("rp_filter", "arp_ignore", "arp_announce")
"""Of the device, in net/ipv4/conf, that may have to be changed."""

_FILTER, _ANSWER_FILTER = "sixlane_decap", "sixlane_answer"
_PROGRAMS: dict[Entry, str] = {"xdp": "decap_xdp", "xdp-generic": "decap_xdp", "tc": "decap_tc"}
_ZERO = bytes(4)
_MAPPED_BITS = 96
_PADDING_BITS = 32


@dataclass(frozen=True)
class Contents:
    """What the maps hold.

    `vips`: with whether we added them to the loopback device. `max_segments`: that SYNs of VIPs may
    offer, by IP version; 0: whatever they do. `originals`: settings of the device that were
    changed, with what they were.
    """

    ifindex: int
    namespace: int
    addresses: frozenset[AnyAddress]
    vips: Mapping[AnyAddress, bool]
    sources: frozenset[AnyNetwork]
    max_segments: Mapping[int, int]
    originals: Mapping[str, int] = field(default_factory=dict)


class Decap:
    """Pinned maps and links below `root`. Use `opened` and `load`."""

    def __init__(self, root: Path, maps: Mapping[str, Map]) -> None:
        self.root = root
        self._maps = maps

    # ---- what packets are treated by ----

    def contents(self) -> Contents | None:
        """None: whoever began to make the maps did not come far."""
        setup = layout.DecapSetup.from_buffer_copy(self._maps["decap_setups"].lookup(_ZERO) or b"")
        if not setup.ifindex:
            return None
        changed = {name: getattr(setup, name) for name in SETTINGS}
        return Contents(
            setup.ifindex,
            setup.namespace,
            frozenset(unpacked_address(key) for key, _ in self._maps["tunnels"].items()),
            {
                unpacked_address(key): bool(_number(value) & VipFlag.VIP_ADDED)
                for key, value in self._maps["vips"].items()
            },
            frozenset(map(_network, self._maps["tunnel_sources"].keys())),
            {4: setup.max_segment4_bytes, 6: setup.max_segment6_bytes},
            {name: value - 1 for name, value in changed.items() if value},
        )

    def write(self, contents: Contents) -> None:
        """What stays is there all the time; what is new comes before the old goes."""
        setup = layout.DecapSetup(
            namespace=contents.namespace,
            ifindex=contents.ifindex,
            max_segment4_bytes=contents.max_segments[4],
            max_segment6_bytes=contents.max_segments[6],
            **{name: value + 1 for name, value in contents.originals.items()},
        )
        self._maps["decap_setups"].update(_ZERO, setup)
        flags = {False: 0, True: int(VipFlag.VIP_ADDED)}
        wanted: dict[str, dict[bytes, int]] = {
            "tunnel_sources": {_source_key(one): 1 for one in contents.sources},
            "vips": {packed_address(one): flags[mine] for one, mine in contents.vips.items()},
            "tunnels": {packed_address(one): 1 for one in contents.addresses},
        }
        for name, entries in wanted.items():
            for key, value in entries.items():
                self._maps[name].update(key, value.to_bytes(4, "little"))
        for name, entries in wanted.items():
            for key in set(self._maps[name].keys()) - entries.keys():
                self._maps[name].delete(key)

    def counters(self) -> dict[str, Counter]:
        """By enum decap_reason in lower case, without its first word."""
        found = read_reasons(self._maps["decap_counters"])
        return {
            one.name.removeprefix("DECAP_").lower(): found[one]
            for one in DecapReason
            if one != DecapReason.DECAP_REASONS
        }

    # ---- devices ----

    def attachments(self) -> list[Attachment]:
        """What takes packets out; one whose device is gone has no name."""
        return list(attach.attachments(_links(self.root), _FILTER))

    def replace(self, opened: Object) -> None:
        """Puts the programs of an object in the place of those attached, between two packets."""
        for one in self.attachments():
            if one.device:
                program = opened.programs[_PROGRAMS[one.entry]]
                attach.replace(_links(self.root), one, program, _FILTER)

    def attach(self, opened: Object, ifindex: int, entry: Entry) -> None:
        """ConfigError: another program is there. NotSupported: the driver has no native XDP."""
        program = opened.programs[_PROGRAMS[entry]]
        attach.attach(_links(self.root), ifindex, entry, program, _FILTER)

    def detach(self, attachment: Attachment) -> None:
        attach.detach(_links(self.root), attachment)

    def attach_answer(self, opened: Object, ifindex: int) -> None:
        """Puts the program for answers on a device, in the place of ours if it is there."""
        program = opened.programs["decap_answer"]
        if not probe.has_tcx():
            clsact.attach(ifindex, program.fd, _ANSWER_FILTER, direction="egress")
            return
        pin = _answer_pin(self.root)
        if pin.exists():
            with Link.from_pin(pin) as pinned:
                if pinned.info.ifindex == ifindex:
                    pinned.update(program)
                    return
            Link.unpin(pin)
        with Link.create(program, ifindex, AttachType.TCX_EGRESS) as created:
            created.pin(pin)

    def detach_answer(self, ifindex: int) -> None:
        """What is not there is fine."""
        pin = _answer_pin(self.root)
        if pin.exists():
            with Link.from_pin(pin) as pinned:
                if pinned.info.ifindex:
                    pinned.detach()
            Link.unpin(pin)
        found = clsact.list_filters(ifindex, "egress")  # none without the qdisc
        if any(one.name == _ANSWER_FILTER for one in found):
            clsact.detach(ifindex, direction="egress")
            clsact.remove_qdisc(ifindex)

    def remove(self) -> None:
        """Removes the pins."""
        try:
            shutil.rmtree(self.root)
        except OSError as error:
            raise KernelError(error.errno or 0, f"remove the pins in {self.root}") from error


@contextmanager
def opened(root: Path) -> Iterator[Decap | None]:
    """What is pinned below `root`, or None; nobody else changes it during the block.

    ConfigError: another version of sixlane made it.
    """
    if not root.is_dir():
        yield None
        return
    with ExitStack() as stack:
        stack.enter_context(_locked(root))
        yield Decap(root, _pinned(root, stack)) if _is_whole(root) else None


@contextmanager
def load(root: Path) -> Iterator[tuple[Decap, Object]]:
    """Loads the programs over the maps below `root`, which are made unless they are there.

    NotSupported: no bpffs, no objects. ConfigError: another version of sixlane made the maps.
    """
    path = object_path(DECAP)
    have_bpffs(root)
    for directory in (root, _maps(root), _links(root)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_locked(root))
        _is_whole(root)
        loaded = stack.enter_context(Object.open(path))
        for name in layout.DECAP_MAPS:
            loaded.maps[name].set_pin_path(_pin(root, name))
        loaded.load()
        yield Decap(root, _pinned(root, stack)), loaded


def _is_whole(root: Path) -> bool:
    """Whether all maps are there, and no others."""
    there = {path.name for path in _maps(root).iterdir()} if _maps(root).is_dir() else set()
    ours = {_pin(root, name).name for name in layout.DECAP_MAPS}
    if there - ours:
        raise ConfigError(
            f"another version of sixlane made what is in {root}",
            "run `sixlane decap down` of that version first",
        )
    return there == ours


def _pinned(root: Path, stack: ExitStack) -> dict[str, Map]:
    return {name: stack.enter_context(Map.from_pin(_pin(root, name))) for name in layout.DECAP_MAPS}


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Waits for whoever is at work there."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _maps(root: Path) -> Path:
    return root / "maps"


def _links(root: Path) -> Path:
    return root / "links"


def _pin(root: Path, name: str) -> Path:
    return _maps(root) / f"{name}-{layout.DECAP_DIGESTS[name]}"


def _answer_pin(root: Path) -> Path:
    return _links(root) / "answer"


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _source_key(network: AnyNetwork) -> bytes:
    """struct tunnel_source_key"""
    mapped = _MAPPED_BITS if network.version == 4 else 0
    addr = layout.Addr.from_buffer_copy(packed_address(network.network_address))
    return bytes(layout.TunnelSourceKey(_PADDING_BITS + mapped + network.prefixlen, 0, addr))


def _network(key: bytes) -> AnyNetwork:
    read = layout.TunnelSourceKey.from_buffer_copy(key)
    address = unpacked_address(bytes(read.addr))
    mapped = _MAPPED_BITS if address.version == 4 else 0
    return ip_network((address, read.bits - _PADDING_BITS - mapped))
